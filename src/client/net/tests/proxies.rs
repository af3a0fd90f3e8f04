//! Egresses: every byte goes through the proxy, and the proxy's refusals are told apart.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::peer::{Server, World, frame};
use crate::client::net::memory::MemoryListener;
use crate::client::net::*;

/// Accepts the dial of the proxy, and only that.
async fn proxy_stream(listener: &mut MemoryListener) -> DuplexStream {
    let dialled = listener.accept().await.unwrap();
    assert_eq!((dialled.host.as_str(), dialled.port), ("proxy.test", 3128));
    dialled.stream
}

async fn head(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn expect(stream: &mut DuplexStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(read, bytes);
}

fn egress(world: &World, text: &str) -> Arc<dyn Dialer> {
    text.parse::<Egress>().unwrap().dialer(Arc::new(world.dialer.clone()))
}

/// A whole connection over this egress, whose proxy is `proxy`: both directions work, and all of it went through the
/// one stream to the proxy.
async fn connect_through(text: &str, proxy: impl AsyncFn(&mut DuplexStream)) {
    let mut world = World::new();
    let mut listener = world.listener();
    let answerer = world.answerer();
    let dialer = egress(&world, text);
    let server = async {
        let mut stream = proxy_stream(&mut listener).await;
        proxy(&mut stream).await;
        let mut server = Server::accept(stream).await;
        server.shake(answerer).await;
        let sealed = server.seal(b"\x00down");
        server.send_bytes(&sealed).await;
        assert_eq!(server.plaintext().await, b"\x00up");
        server
    };
    let client = async {
        let address = world.endpoint.address.clone();
        let socket =
            open(&*dialer, &world.endpoint, &address, None, &world.clock, &mut world.rng).await.unwrap();
        let (noise, root) = (&world.client, world.endpoint.root);
        let how = Handshake { noise, payload: b"p", routing: None, server_static: None, root };
        let mut client = handshake(socket, &how, &world.clock, &mut world.rng).await.unwrap();
        client.writer.send(&[b"\x00up"]).await.unwrap();
        assert_eq!(frame(&mut client.reader).await.unwrap(), b"\x00down");
    };
    tokio::join!(client, server);
    drop((world, dialer));
    assert!(listener.accept().await.is_none(), "nothing else was dialled");
}

#[tokio::test(start_paused = true)]
async fn an_http_proxy_carries_all_bytes() {
    connect_through("http://proxy.test:3128", async |stream| {
        let expected = "CONNECT server.test:80 HTTP/1.1\r\nHost: server.test:80\r\n\r\n";
        assert_eq!(head(stream).await, expected);
        stream.write_all(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n").await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_http_proxy_gets_basic_credentials() {
    connect_through("http://user:pa%3Ass@proxy.test:3128", async |stream| {
        assert!(head(stream).await.contains("\r\nProxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n"));
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_socks5_proxy_carries_all_bytes_and_looks_up_the_name() {
    connect_through("socks5://proxy.test:3128", async |stream| {
        expect(stream, &[5, 1, 0]).await;
        stream.write_all(&[5, 0]).await.unwrap();
        expect(stream, b"\x05\x01\x00\x03\x0bserver.test\x00\x50").await;
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 1, 2]).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_socks5_proxy_gets_user_and_password() {
    connect_through("socks5://user:pass@proxy.test:3128", async |stream| {
        expect(stream, &[5, 2, 0, 2]).await;
        stream.write_all(&[5, 2]).await.unwrap();
        expect(stream, b"\x01\x04user\x04pass").await;
        stream.write_all(&[1, 0]).await.unwrap();
        expect(stream, b"\x05\x01\x00\x03\x0bserver.test\x00\x50").await;
        stream.write_all(b"\x05\x00\x00\x03\x01x\x00\x00").await.unwrap();
    })
    .await;
}

/// What a dial comes to with a proxy that answers these bytes, one string after each of its reads.
async fn dial_error(text: &str, answers: &[&[u8]]) -> DialError {
    let mut world = World::new();
    let mut listener = world.listener();
    let dialer = egress(&world, text);
    let proxy = async {
        let mut stream = proxy_stream(&mut listener).await;
        for answer in answers {
            let mut asked = [0; 512];
            assert!(stream.read(&mut asked).await.unwrap() > 0);
            stream.write_all(answer).await.unwrap();
        }
        stream
    };
    let (dialled, _stream) = tokio::join!(dialer.dial("server.test", 443), proxy);
    let error = NetError::from(dialled.err().expect("the proxy refuses"));
    assert_eq!(error.advice(), Advice::Configuration);
    let NetError::Dial(error) = error else { panic!("a dial error") };
    error
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_proxy_are_told_apart() {
    const HTTP: &str = "http://proxy.test:3128";
    const SOCKS: &str = "socks5://u:p@proxy.test:3128";
    use DialError::{ProxyCredentials, ProxyProtocol, ProxyReply, ProxyStatus};
    assert!(matches!(dial_error(HTTP, &[b"HTTP/1.1 403 No\r\n\r\n"]).await, ProxyStatus(403)));
    assert!(matches!(dial_error(HTTP, &[b"HTTP/1.1 407 Auth\r\n\r\n"]).await, ProxyCredentials));
    assert!(matches!(dial_error(HTTP, &[b"SSH-2.0-x\r\n\r\n"]).await, ProxyProtocol));
    assert!(matches!(dial_error(HTTP, &[&[b'x'; 20_000]]).await, ProxyProtocol));
    assert!(matches!(dial_error(SOCKS, &[&[5, 0xff]]).await, ProxyCredentials));
    assert!(matches!(dial_error(SOCKS, &[&[5, 2], &[1, 1]]).await, ProxyCredentials));
    assert!(matches!(dial_error(SOCKS, &[&[5, 0], &[5, 2, 0, 1]]).await, ProxyReply(2)));
    assert!(matches!(dial_error(SOCKS, &[b"HT"]).await, ProxyProtocol));
}

#[test]
fn egresses_are_read_and_shown_without_credentials() {
    for text in ["direct", "http://proxy.test:3128", "socks5://[::1]:1080"] {
        assert_eq!(text.parse::<Egress>().unwrap().to_string(), text);
    }
    let egress: Egress = "socks5h://user:secret@proxy.test:1080/".parse().unwrap();
    assert_eq!(egress.to_string(), "socks5://proxy.test:1080");
    assert!(!format!("{egress:?}").contains("secret"));
    let wrong = ["", "proxy.test:1", "http://proxy.test", "ftp://x:1", "http://user@x:1", "http://u:%zz@x:1"];
    for text in wrong {
        assert_eq!(text.parse::<Egress>(), Err(EgressError), "{text}");
    }
}
