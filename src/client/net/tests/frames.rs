//! Handshakes and frames over an open socket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;

use super::peer::{Server, World, frame, framed};
use crate::client::net::*;
use crate::crypto::KeyPair;
use crate::noise::{CipherError, HandshakeFault, Pattern};

#[tokio::test(start_paused = true)]
async fn xx_connects_and_frames_go_both_ways() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    assert_eq!((client.pattern, server.pattern()), (Pattern::Xx, Pattern::Xx));
    assert_eq!(client.chain.unwrap().leaf.key, *world.server.public());
    let accepted = server.client.as_ref().unwrap();
    assert_eq!((&accepted.payload[..], accepted.client_static), (&b"payload"[..], *world.client.public()));

    client.writer.send(&[b"\x00one", b"\x00two"]).await.unwrap();
    assert_eq!(server.plaintext().await, b"\x00one");
    assert_eq!(server.plaintext().await, b"\x00two");
    let sealed = server.seal(b"\x00three");
    server.send_bytes(&sealed).await;
    assert_eq!(frame(&mut client.reader).await.unwrap(), b"\x00three");
}

#[tokio::test(start_paused = true)]
async fn frames_arrive_whole_from_messages_of_one_byte() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    let frames: Vec<_> = [&b"\x00a"[..], &[7; 300]].iter().map(|text| server.seal(text)).collect();
    let frames = frames.concat();
    let send = server.send_bytewise(&frames);
    let read = async {
        assert_eq!(frame(&mut client.reader).await.unwrap(), b"\x00a");
        assert_eq!(frame(&mut client.reader).await.unwrap(), [7; 300]);
    };
    tokio::join!(send, read);
}

#[tokio::test(start_paused = true)]
async fn a_server_hello_in_pieces_of_one_byte_is_read() {
    let mut world = World::new();
    let mut listener = world.listener();
    let answerer = world.answerer();
    let cached = world.server.clone();
    let server = async {
        let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
        let hello = server.shake_but_hold_the_hello(answerer).await.unwrap();
        server.send_bytewise(&hello).await;
        server
    };
    let (client, server) = tokio::join!(world.connect(Some(&cached)), server);
    assert_eq!((client.unwrap().pattern, server.pattern()), (Pattern::Ik, Pattern::Ik));
}

#[tokio::test(start_paused = true)]
async fn frames_that_share_a_message_come_one_by_one() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    let texts: Vec<_> = (0..64_u8).map(|n| vec![0, n]).collect();
    let all = texts.iter().map(|text| server.seal(text)).collect::<Vec<_>>().concat();
    server.send_bytes(&all).await;
    for (n, text) in texts.iter().enumerate() {
        assert_eq!(n > 0, client.reader.ready(), "frame {n}");
        let Arrival::Frame { plaintext, more } = client.reader.next().await.unwrap() else {
            panic!("a part")
        };
        assert_eq!((&plaintext, more), (text, n < 63));
    }
    assert!(!client.reader.ready());
}

#[tokio::test(start_paused = true)]
async fn a_frame_behind_the_server_hello_is_kept_for_the_transport_phase() {
    let mut world = World::new();
    let mut listener = world.listener();
    let answerer = world.answerer();
    let cached = world.server.clone();
    let server = async {
        let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
        let mut message = server.shake_but_hold_the_hello(answerer).await.unwrap();
        message.extend(server.seal(b"\x00first"));
        server.send_bytes(&message).await;
        server
    };
    let (client, _server) = tokio::join!(world.connect(Some(&cached)), server);
    let mut client = client.unwrap();
    assert_eq!(client.pattern, Pattern::Ik);
    assert_eq!(client.chain, None);
    assert!(client.reader.ready());
    assert_eq!(frame(&mut client.reader).await.unwrap(), b"\x00first");
}

#[tokio::test(start_paused = true)]
async fn a_server_with_another_key_is_met_by_xxfallback() {
    let mut world = World::new();
    let mut listener = world.listener();
    let answerer = world.answerer();
    let old = KeyPair::generate(&mut world.rng);
    let server = async {
        let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
        server.shake(answerer).await;
        server
    };
    let (client, server) = tokio::join!(world.connect(Some(&old)), server);
    let client = client.unwrap();
    assert_eq!((client.pattern, server.pattern()), (Pattern::XxFallback, Pattern::XxFallback));
    assert_eq!(client.chain.unwrap().leaf.key, *world.server.public());
}

#[tokio::test(start_paused = true)]
async fn a_bad_tag_ends_the_connection() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    let mut sealed = server.seal(b"\x00text");
    *sealed.last_mut().unwrap() ^= 1;
    server.send_bytes(&sealed).await;
    let error = frame(&mut client.reader).await.unwrap_err();
    assert!(matches!(error, NetError::Cipher(CipherError::Authentication)), "{error}");
    assert_eq!(error.advice(), Advice::Backoff);
}

#[tokio::test(start_paused = true)]
async fn an_empty_frame_ends_the_connection() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    server.send_bytes(&[0, 0, 0]).await;
    assert!(matches!(frame(&mut client.reader).await, Err(NetError::Cipher(CipherError::Authentication))));
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_is_reported_as_bytes_of_an_incomplete_frame() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    let sealed = server.seal(b"\x00text");
    let (begin, end) = sealed.split_at(5);
    server.send_bytes(begin).await;
    assert_eq!(client.reader.next().await.unwrap(), Arrival::Part { incomplete: true });
    assert!(client.reader.next().now_or_never().is_none(), "nothing new is not reported again");
    server.send_bytes(end).await;
    let whole = Arrival::Frame { plaintext: b"\x00text".to_vec(), more: false };
    assert_eq!(client.reader.next().await.unwrap(), whole);
}

#[tokio::test(start_paused = true)]
async fn a_text_message_is_ignored_and_a_websocket_ping_answered() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    server.ws.send(Message::text("hello")).await.unwrap();
    assert_eq!(client.reader.next().await.unwrap(), Arrival::Part { incomplete: false });
    server.ws.send(Message::Ping(b"p".to_vec().into())).await.unwrap();
    assert_eq!(client.reader.next().await.unwrap(), Arrival::Part { incomplete: false });
    let sealed = server.seal(b"\x00text");
    server.send_bytes(&sealed).await;
    assert_eq!(frame(&mut client.reader).await.unwrap(), b"\x00text");
    assert!(client.reader.next().now_or_never().is_none());
    assert!(matches!(server.ws.next().await, Some(Ok(Message::Pong(_)))));
}

#[tokio::test(start_paused = true)]
async fn concurrent_senders_give_increasing_counters_on_the_wire() {
    let mut world = World::new();
    let (client, mut server) = world.connected().await;
    let writer = Arc::new(Mutex::new(client.writer));
    let senders: Vec<_> = (0..20_u8)
        .map(|n| {
            let writer = Arc::clone(&writer);
            tokio::spawn(async move { writer.lock().await.send(&[&[0, n], &[1, n]]).await.unwrap() })
        })
        .collect();
    // The server's counter goes up by one for each frame, so that each opens only in its place.
    let mut seen = Vec::new();
    for _ in 0..40 {
        seen.push(server.plaintext().await);
    }
    for sender in senders {
        sender.await.unwrap();
    }
    seen.sort();
    let all: Vec<_> = (0..2).flat_map(|k| (0..20).map(move |n| vec![k, n])).collect();
    assert_eq!(seen, all);
}

#[tokio::test(start_paused = true)]
async fn a_text_too_long_for_a_frame_is_refused_and_the_writer_lives_on() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    let long = vec![0; 1 << 24];
    let error = client.writer.send(&[b"\x00one", &long]).await.unwrap_err();
    assert!(matches!(error, NetError::Cipher(CipherError::TooLong)));
    client.writer.send(&[b"\x00two"]).await.unwrap();
    assert_eq!(server.plaintext().await, b"\x00two");
}

#[tokio::test(start_paused = true)]
async fn after_a_cancelled_send_the_writer_is_dead() {
    let mut world = World::new();
    let (mut client, _server) = world.connected().await;
    // More than the pipe holds, so that the server, which does not read, holds it up.
    let long = vec![0; 1 << 20];
    let sent = tokio::time::timeout(Duration::from_secs(1), client.writer.send(&[&long])).await;
    assert!(sent.is_err());
    assert!(matches!(client.writer.send(&[b"\x00x"]).await, Err(NetError::Dead)));
}

#[tokio::test(start_paused = true)]
async fn closing_says_1000_and_dropping_both_halves_ends_the_stream() {
    let mut world = World::new();
    let (client, mut server) = world.connected().await;
    client.writer.close().await.unwrap();
    let Some(Ok(Message::Close(Some(close)))) = server.ws.next().await else { panic!("no close") };
    assert_eq!(u16::from(close.code), 1000);
    drop(client.reader);
    assert!(server.is_left_without_a_word().await);
}

#[tokio::test(start_paused = true)]
async fn the_servers_close_is_reported_with_its_code() {
    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    server.ws.close(None).await.unwrap();
    assert!(matches!(client.reader.next().await, Err(NetError::Closed { code: None | Some(1005) })));
}

#[tokio::test(start_paused = true)]
async fn a_frame_over_64_kib_ends_the_handshake_but_not_the_transport_phase() {
    let mut world = World::new();
    let mut listener = world.listener();
    let server = async {
        let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
        server.body().await;
        server.send_bytes(&[1, 0, 1]).await;
        assert!(server.is_left_without_a_word().await);
    };
    let (client, ()) = tokio::join!(world.connect(None), server);
    assert!(matches!(client, Err(NetError::Frame(_))));

    let mut world = World::new();
    let (mut client, mut server) = world.connected().await;
    let sealed = server.seal(&vec![3; 1 << 18]);
    let ((), read) = tokio::join!(server.send_bytes(&sealed), frame(&mut client.reader));
    assert_eq!(read.unwrap(), vec![3; 1 << 18]);
}

#[tokio::test(start_paused = true)]
async fn garbage_instead_of_a_server_hello_ends_the_handshake() {
    let mut world = World::new();
    let mut listener = world.listener();
    let server = async {
        let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
        server.body().await;
        server.send_bytes(&framed(b"\xff\xff\xff")).await;
        assert!(server.is_left_without_a_word().await);
    };
    let (client, ()) = tokio::join!(world.connect(None), server);
    let Err(NetError::Handshake(error)) = client else { panic!("it must fail") };
    assert_eq!(error.fault, HandshakeFault::Malformed);
}

#[tokio::test(start_paused = true)]
async fn a_server_hello_is_waited_for_20_seconds() {
    let mut world = World::new();
    let mut listener = world.listener();
    let (clock, start) = (world.clock, world.clock.now());
    let server = async {
        let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
        server.body().await;
        server
    };
    let (client, _server) = tokio::join!(world.connect(None), server);
    assert!(matches!(client, Err(NetError::Timeout(Phase::ServerHello))));
    assert_eq!((clock.now() - start).as_secs(), 20);
}
