//! The server's certificates, and the memory of them.

use super::peer::{NOW, Server, World};
use crate::client::net::*;
use crate::crypto::KeyPair;
use crate::noise::{CertChain, CertificateError, HandshakeError, HandshakeFault, Link, Pattern};

type Damage = fn(&mut World);

/// Runs a handshake with a server whose chain is `damage`d; the server must see no ClientFinish.
async fn refusal(damage: Damage) -> NetError {
    let mut world = World::new();
    damage(&mut world);
    let mut listener = world.listener();
    let answerer = world.answerer();
    let server = async {
        let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
        let hello = server.body().await;
        let responder = crate::noise::Responder::new(&answerer.server, answerer.ephemeral);
        let answer = responder.read_client_hello(&hello, &answerer.chain).unwrap();
        let crate::noise::Answer::Wait { server_hello, .. } = answer else { panic!("XX") };
        server.send_bytes(&super::peer::framed(&server_hello)).await;
        assert!(server.is_left_without_a_word().await, "no ClientFinish");
    };
    let (client, ()) = tokio::join!(world.connect(None), server);
    client.expect_err("the chain is bad")
}

#[tokio::test(start_paused = true)]
async fn each_certificate_defect_is_refused_before_the_client_finish() {
    use CertificateError::{Issuer, ServerKey, Signature};
    let defects: [(&str, Damage, CertificateError); 5] = [
        ("wrong-root", |world| world.root = KeyPair::generate(&mut world.rng), Signature(Link::Intermediate)),
        ("leaf-sig", |world| world.issuer = KeyPair::generate(&mut world.rng), Signature(Link::Leaf)),
        ("leaf-key", |world| world.leaf.key = *KeyPair::generate(&mut world.rng).public(), ServerKey),
        ("leaf-serial", |world| world.leaf.issuer_serial = 4, Issuer(Link::Leaf)),
        ("inter-serial", |world| world.intermediate.issuer_serial = 1, Issuer(Link::Intermediate)),
    ];
    for (name, damage, expected) in defects {
        let error = refusal(damage).await;
        assert_eq!(error.advice(), Advice::Untrusted, "{name}");
        let NetError::Handshake(error) = error else { panic!("{name}: {error}") };
        assert_eq!(error.fault, HandshakeFault::Certificate(expected), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_or_future_chain_is_refused_as_clock_or_certificate() {
    let defects: [Damage; 4] = [
        |world| world.leaf.not_after = NOW - 1,
        |world| world.leaf.not_before = NOW + 60,
        |world| world.intermediate.not_after = NOW - 1,
        |world| world.intermediate.not_before = NOW + 60,
    ];
    for damage in defects {
        assert_eq!(refusal(damage).await.advice(), Advice::ClockOrCertificate);
    }
}

fn chain(world: &World) -> CertChain {
    CertChain { leaf: world.leaf, intermediate: world.intermediate }
}

#[tokio::test(start_paused = true)]
async fn ik_is_chosen_only_when_registered_with_a_chain_inside_its_dates() {
    let world = World::new();
    let (chain, now, memory) = (chain(&world), NOW.cast_signed(), Memory::default());
    assert_eq!(memory.choose(true, Some(&chain), now), Some(*world.server.public()));
    assert_eq!(memory.choose(false, Some(&chain), now), None);
    assert_eq!(memory.choose(true, None, now), None);
    assert_eq!(memory.choose(true, Some(&chain), now + 1000), None, "notAfter itself is outside");
    assert_eq!(memory.choose(true, Some(&chain), now - 1001), None);
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_the_cached_chain_follows_the_table() {
    let mut world = World::new();
    let (established, _server) = world.connected().await;
    let (chain, now) = (chain(&world), NOW.cast_signed());
    let failed = |pattern| NetError::Handshake(HandshakeError { pattern, fault: HandshakeFault::Decrypt });
    let mut memory = Memory::default();

    for neutral in [
        NetError::Timeout(Phase::ServerHello),
        NetError::Closed { code: None },
        failed(Pattern::Xx),
        failed(Pattern::XxFallback),
    ] {
        assert_eq!(memory.note(true, Err(&neutral)), CachedChain::Keep);
        assert!(memory.choose(true, Some(&chain), now).is_some(), "{neutral}");
    }
    assert_eq!(memory.note(true, Err(&failed(Pattern::Ik))), CachedChain::Delete);
    assert_eq!(memory.choose(true, Some(&chain), now), None, "the next connect uses XX");
    assert_eq!(memory.note(true, Ok(&established)), CachedChain::Store(chain));
    assert!(memory.choose(true, Some(&chain), now).is_some());
    assert_eq!(memory.note(false, Ok(&established)), CachedChain::Keep, "never from a pairing connection");
    let accepted = Established { chain: None, ..established };
    assert_eq!(memory.note(true, Ok(&accepted)), CachedChain::Keep);
}
