//! What protocol 01 §22 wants proved of the handshakes, with chains issued here. (The vectors are in
//! `tests/vectors_noise.rs`.)

use proptest::prelude::*;
use prost::Message;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::crypto::{KeyPair, PublicKey};
use crate::proto::noise::{self, CertificateDetails, ClientFinish, ClientHello, HandshakeMessage};
use crate::wire;

const NOW: u64 = 1_780_000_000;

/// A server with its chain, and a client.
struct World {
    rng: ChaCha20Rng,
    root: KeyPair,
    issuer: KeyPair,
    server: KeyPair,
    client: KeyPair,
    intermediate: Certificate,
    leaf: Certificate,
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let [root, issuer, server, client] = std::array::from_fn(|_| KeyPair::generate(&mut rng));
        let certificate = |serial, issuer_serial, key: &KeyPair| Certificate {
            serial,
            issuer_serial,
            key: *key.public(),
            not_before: NOW - 100,
            not_after: NOW + 100,
        };
        let (intermediate, leaf) = (certificate(3, 0, &issuer), certificate(7, 3, &server));
        Self { rng, root, issuer, server, client, intermediate, leaf }
    }

    fn chain(&mut self) -> Vec<u8> {
        issue_chain(&self.root, &self.issuer, &self.intermediate, &self.leaf, &mut self.rng)
    }

    fn trust(&self) -> Trust {
        Trust { root: *self.root.public(), now: NOW.cast_signed() }
    }

    fn ephemeral(&mut self) -> KeyPair {
        KeyPair::generate(&mut self.rng)
    }

    /// Runs XX up to the client's judgement of this chain.
    fn judge(&mut self, chain: &[u8]) -> Result<ServerAnswer, HandshakeError> {
        let (client, hello) = Initiator::xx(&self.client.clone(), self.ephemeral()).unwrap();
        let responder = Responder::new(&self.server.clone(), self.ephemeral());
        let Answer::Wait { server_hello, .. } = responder.read_client_hello(&hello, chain).unwrap() else {
            panic!("XX waits for the ClientFinish")
        };
        client.read_server_hello(&server_hello, &self.trust())
    }

    /// A client that begins IK with `cached`, and its hello.
    fn ik(&mut self, cached: &PublicKey) -> (Initiator, Vec<u8>) {
        Initiator::ik(&self.client.clone(), self.ephemeral(), cached, b"payload").unwrap()
    }

    fn respond(&mut self, hello: &[u8]) -> Answer {
        let chain = self.chain();
        Responder::new(&self.server.clone(), self.ephemeral()).read_client_hello(hello, &chain).unwrap()
    }
}

fn fault(result: Result<ServerAnswer, HandshakeError>) -> HandshakeFault {
    result.expect_err("the chain is refused, and without a verified chain there is no ClientFinish").fault
}

#[test]
fn a_chain_of_the_issuing_side_is_accepted() {
    let mut world = World::new();
    let chain = world.chain();
    assert!(matches!(world.judge(&chain), Ok(ServerAnswer::Verified(_))));
}

/// A defect by name, what makes it, and the refusal.
type Defect = (&'static str, fn(&mut World), CertificateError);

#[test]
fn each_bad_chain_aborts_before_the_client_finish() {
    let defects: [Defect; 5] = [
        (
            "wrong-root",
            |world| world.root = KeyPair::generate(&mut world.rng),
            CertificateError::Signature(Link::Intermediate),
        ),
        (
            "leaf-sig",
            |world| world.issuer = KeyPair::generate(&mut world.rng),
            CertificateError::Signature(Link::Leaf),
        ),
        (
            "inter-serial",
            |world| world.intermediate.issuer_serial = 1,
            CertificateError::Issuer(Link::Intermediate),
        ),
        ("leaf-serial", |world| world.leaf.issuer_serial = 4, CertificateError::Issuer(Link::Leaf)),
        (
            "leaf-key",
            |world| world.leaf.key = *KeyPair::generate(&mut world.rng).public(),
            CertificateError::ServerKey,
        ),
    ];
    for (name, damage, expected) in defects {
        let mut world = World::new();
        let root = world.root.clone();
        damage(&mut world);
        let chain = world.chain();
        world.root = root;
        assert_eq!(fault(world.judge(&chain)), HandshakeFault::Certificate(expected), "{name}");
    }
}

#[test]
fn a_chain_out_of_its_dates_is_refused_as_clock_or_certificate() {
    type Defect = (&'static str, Link, fn(&mut World));
    let defects: [Defect; 4] = [
        ("leaf expired", Link::Leaf, |world| world.leaf.not_after = NOW - 1),
        ("leaf in the future", Link::Leaf, |world| world.leaf.not_before = NOW + 1),
        ("intermediate expired", Link::Intermediate, |world| world.intermediate.not_after = NOW - 1),
        ("intermediate in the future", Link::Intermediate, |world| world.intermediate.not_before = NOW + 1),
    ];
    for (name, expected, damage) in defects {
        let mut world = World::new();
        damage(&mut world);
        let chain = world.chain();
        let HandshakeFault::Certificate(CertificateError::ClockOrCertificate { link, now, .. }) =
            fault(world.judge(&chain))
        else {
            panic!("{name}: another refusal")
        };
        assert_eq!((link, now), (expected, NOW.cast_signed()), "{name}");
    }
}

#[test]
fn the_first_and_the_last_second_of_a_certificate_are_valid_and_ik_leaves_out_the_last() {
    let mut world = World::new();
    world.leaf.not_before = NOW;
    let chain = world.chain();
    let Ok(ServerAnswer::Verified(verified)) = world.judge(&chain) else { panic!("refused") };
    let chain = verified.finish(b"payload").unwrap().chain;
    assert!(chain.is_valid_at(NOW.cast_signed()));
    assert!(chain.is_valid_at(NOW.cast_signed() + 99));
    assert!(!chain.is_valid_at(NOW.cast_signed() + 100));
    assert!(!chain.is_valid_at(-1));

    world.leaf.not_after = NOW;
    let chain = world.chain();
    assert!(matches!(world.judge(&chain), Ok(ServerAnswer::Verified(_))));
}

#[test]
fn a_flipped_bit_a_short_signature_and_a_missing_certificate_are_refused() {
    let mut world = World::new();
    let good = noise::CertChain::decode(&world.chain()[..]).unwrap();
    let edit = |change: fn(&mut noise::CertChain)| {
        let mut chain = good.clone();
        change(&mut chain);
        chain.encode_to_vec()
    };
    let flipped = edit(|chain| chain.leaf.as_mut().unwrap().signature.as_mut().unwrap()[10] ^= 1);
    assert_eq!(
        fault(world.judge(&flipped)),
        HandshakeFault::Certificate(CertificateError::Signature(Link::Leaf))
    );
    let malformed: [fn(&mut noise::CertChain); 5] = [
        |chain| chain.leaf.as_mut().unwrap().signature.as_mut().unwrap().truncate(63),
        |chain| chain.leaf = None,
        |chain| chain.intermediate = None,
        |chain| chain.intermediate.as_mut().unwrap().details = None,
        |chain| chain.leaf.as_mut().unwrap().details = Some(Vec::new()),
    ];
    for change in malformed {
        assert_eq!(
            fault(world.judge(&edit(change))),
            HandshakeFault::Certificate(CertificateError::Malformed)
        );
    }
}

#[test]
fn the_dead_form_of_details_with_an_issuer_text_is_refused() {
    let mut world = World::new();
    // serial 1, issuer string 2, expires 3, subject 4, key 5.
    let details = b"\x08\x03\x12\x04root\x18\x01\x22\x04leaf\x2a\x01x".to_vec();
    assert!(CertificateDetails::decode(&details[..]).is_err());
    let signature = crate::crypto::xeddsa::sign(&world.root, &[&details], &[1; 64]).to_vec();
    let mut chain = noise::CertChain::decode(&world.chain()[..]).unwrap();
    chain.intermediate = Some(noise::NoiseCertificate { details: Some(details), signature: Some(signature) });
    let verdict = fault(world.judge(&chain.encode_to_vec()));
    assert_eq!(verdict, HandshakeFault::Certificate(CertificateError::Malformed));
}

#[test]
fn a_stock_noise_xx_client_is_rejected_by_our_server() {
    let mut world = World::new();
    let e = world.ephemeral();
    let hello = ClientHello { ephemeral: Some(e.public().as_bytes().to_vec()), ..Default::default() };
    let hello = HandshakeMessage { client_hello: Some(hello), ..Default::default() }.encode_to_vec();
    let Answer::Wait { server_hello, next } = world.respond(&hello) else { panic!("XX") };
    let answer = HandshakeMessage::decode(&server_hello[..]).unwrap().server_hello.unwrap();
    let server_ephemeral = PublicKey::from_slice(answer.ephemeral()).unwrap();

    // The Noise specification mixes the empty payload of message 1 and arrives at another transcript. The keys are
    // the same, so this client could still seal a ClientFinish if it went on regardless.
    let finish = {
        let mut state = SymmetricState::new("Noise_XX_25519_AESGCM_SHA256");
        state.mix_hash(&PROLOGUE);
        state.mix_hash(e.public().as_bytes());
        state.mix_hash(&[]);
        state.mix_hash(server_ephemeral.as_bytes());
        state.mix_key(e.agree(&server_ephemeral).unwrap().as_bytes());
        state.mix_hash(answer.r#static());
        state.mix_key(e.agree(world.server.public()).unwrap().as_bytes());
        state.mix_hash(answer.payload());
        let key = state.encrypt_and_hash(world.client.public().as_bytes()).unwrap();
        state.mix_key(world.client.agree(&server_ephemeral).unwrap().as_bytes());
        let payload = state.encrypt_and_hash(b"payload").unwrap();
        let finish = ClientFinish { r#static: Some(key), payload: Some(payload), ..Default::default() };
        HandshakeMessage { client_finish: Some(finish), ..Default::default() }.encode_to_vec()
    };
    let error = next.read_client_finish(&finish).expect_err("another transcript");
    assert_eq!(error, HandshakeError { pattern: Pattern::Xx, fault: HandshakeFault::Decrypt });
}

#[test]
fn ik_is_done_after_one_message_and_both_directions_work() {
    let mut world = World::new();
    let (client, hello) = world.ik(&world.server.public().to_owned());
    let Answer::Done { server_hello, client: mut accepted } = world.respond(&hello) else { panic!("IK") };
    assert_eq!((accepted.payload.as_slice(), accepted.pattern), (&b"payload"[..], Pattern::Ik));
    assert_eq!(accepted.client_static, *world.client.public());
    let Ok(ServerAnswer::Accepted(mut transport)) = client.read_server_hello(&server_hello, &world.trust())
    else {
        panic!("IK")
    };
    for (from, to) in [
        (&mut transport.seal, &mut accepted.transport.open),
        (&mut accepted.transport.seal, &mut transport.open),
    ] {
        let mut frame = Vec::new();
        from.seal_into(b"\x00stanza", &mut frame).unwrap();
        assert_eq!(*to.open(&mut frame[3..]).unwrap(), b"\x00stanza"[..]);
    }
}

#[test]
fn a_server_without_ik_answers_by_xxfallback() {
    let mut world = World::new();
    let (client, hello) = world.ik(&world.server.public().to_owned());
    let chain = world.chain();
    let responder = Responder::new(&world.server.clone(), world.ephemeral()).without_ik();
    let Ok(Answer::Wait { server_hello, next }) = responder.read_client_hello(&hello, &chain) else {
        panic!("a fallback")
    };
    let Ok(ServerAnswer::Verified(verified)) = client.read_server_hello(&server_hello, &world.trust()) else {
        panic!("a fallback")
    };
    assert_eq!(verified.pattern(), Pattern::XxFallback);
    let accepted = next.read_client_finish(&verified.finish(b"payload").unwrap().client_finish).unwrap();
    assert_eq!(accepted.pattern, Pattern::XxFallback);
}

#[test]
fn a_failure_names_the_pattern_in_which_it_happened() {
    let mut world = World::new();
    let old = KeyPair::generate(&mut world.rng);
    let pattern = |client: Initiator, message: &[u8], trust: &Trust| {
        client.read_server_hello(message, trust).expect_err("refused").pattern
    };

    // Garbage and a bad tag before the fallback.
    let (client, _) = world.ik(&world.server.public().to_owned());
    assert_eq!(pattern(client, b"\xff\xff", &world.trust()), Pattern::Ik);
    let (client, hello) = world.ik(&world.server.public().to_owned());
    let Answer::Done { mut server_hello, .. } = world.respond(&hello) else { panic!("IK") };
    *server_hello.last_mut().unwrap() ^= 1;
    assert_eq!(pattern(client, &server_hello, &world.trust()), Pattern::Ik);

    // A bad chain after it.
    let (client, hello) = world.ik(old.public());
    let Answer::Wait { server_hello, .. } = world.respond(&hello) else { panic!("a fallback") };
    let stranger = Trust { root: *old.public(), ..world.trust() };
    assert_eq!(pattern(client, &server_hello, &stranger), Pattern::XxFallback);
}

#[test]
fn shapes_that_are_no_server_hello_are_refused() {
    let mut world = World::new();
    let hello = |ephemeral: Option<Vec<u8>>| noise::ServerHello {
        ephemeral,
        r#static: Some(vec![0; 48]),
        payload: Some(vec![0; 64]),
        ..Default::default()
    };
    let point = world.server.public().as_bytes().to_vec();
    let cases = [
        (noise::ServerHello { r#static: None, ..hello(Some(point.clone())) }, HandshakeFault::Malformed),
        (noise::ServerHello { r#static: Some(vec![]), ..hello(Some(point)) }, HandshakeFault::Decrypt),
        (hello(None), HandshakeFault::Malformed),
        (hello(Some(vec![9; 31])), HandshakeFault::Malformed),
        (hello(Some(vec![0; 32])), HandshakeFault::LowOrder(crate::crypto::LowOrderPoint)),
    ];
    for (server_hello, expected) in cases {
        let (client, _) = Initiator::xx(&world.client.clone(), world.ephemeral()).unwrap();
        let message = HandshakeMessage { server_hello: Some(server_hello), ..Default::default() };
        let error = client.read_server_hello(&message.encode_to_vec(), &world.trust()).expect_err("refused");
        assert_eq!(error.fault, expected);
    }
    let (client, hello) = Initiator::xx(&world.client.clone(), world.ephemeral()).unwrap();
    assert!(client.read_server_hello(&hello, &world.trust()).is_err(), "a ClientHello is no ServerHello");
}

#[test]
fn counters_count_up_and_refuse_to_wrap() {
    let key = [7; 32];
    let mut seal = CipherState::new(&key);
    let mut out = Vec::new();
    (0..3).for_each(|_| seal.seal_into(b"x", &mut out).unwrap());
    assert_eq!(seal.nonce(), 3);
    assert_ne!(out[3..20], out[23..40], "another counter, another ciphertext");

    let mut last = CipherState::new(&key).with_nonce(u32::MAX - 1);
    out.clear();
    last.seal_into(b"x", &mut out).unwrap();
    assert_eq!(last.seal_into(b"x", &mut out), Err(CipherError::Exhausted));
    assert_eq!(out.len(), 3 + 1 + 16, "nothing was written");
    let mut open = CipherState::new(&key).with_nonce(u32::MAX);
    assert_eq!(open.open(&mut out[3..]).err(), Some(CipherError::Exhausted));
}

#[test]
fn a_bad_tag_and_a_body_shorter_than_a_tag_do_not_open() {
    let key = [7; 32];
    let mut frame = Vec::new();
    CipherState::new(&key).seal_into(b"x", &mut frame).unwrap();
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(CipherState::new(&key).open(&mut frame[3..]).err(), Some(CipherError::Authentication));
    assert_eq!(CipherState::new(&key).open(&mut []).err(), Some(CipherError::Authentication));
}

#[test]
fn sealing_a_body_of_2_pow_24_fails_locally_and_takes_no_counter() {
    let mut seal = CipherState::new(&[7; 32]);
    let mut out = b"before".to_vec();
    let longest = vec![0; (1 << 24) - 1 - 16];
    assert_eq!(seal.seal_into(&vec![0; longest.len() + 1], &mut out), Err(CipherError::TooLong));
    assert_eq!((out.as_slice(), seal.nonce()), (&b"before"[..], 0));
    seal.seal_into(&longest, &mut out).unwrap();
    assert_eq!(out[6..9], [0xff; 3]);
}

#[test]
fn debug_output_shows_no_key() {
    let mut world = World::new();
    let (client, _) = world.ik(&world.server.public().to_owned());
    assert_eq!(format!("{client:?}"), "Initiator(Ik)");
    assert_eq!(format!("{:?}", CipherState::new(&[7; 32])), "CipherState { key: gcm::Key(..), n: 0 }");
    assert_eq!(format!("{:?}", SymmetricState::new("name")), "SymmetricState(..)");
}

#[test]
fn the_pre_intro_does_not_change_the_handshake_hash() {
    let run = |routing: Option<&[u8]>| {
        let mut world = World::new();
        let (client, hello) = Initiator::xx(&world.client.clone(), world.ephemeral()).unwrap();
        let mut stream = wire::intro(routing);
        stream.extend(wire::frame_header(hello.len()).unwrap());
        stream.extend(&hello);
        let intro = wire::parse_intro(&stream).unwrap().unwrap();
        assert_eq!(intro.routing_info.as_deref(), routing);
        let mut decoder = wire::FrameDecoder::new();
        decoder.push(&stream[intro.len..]);
        let Answer::Wait { server_hello, next } = world.respond(&decoder.next().unwrap().unwrap()) else {
            panic!("XX")
        };
        let Ok(ServerAnswer::Verified(verified)) = client.read_server_hello(&server_hello, &world.trust())
        else {
            panic!("refused")
        };
        let finish = verified.finish(b"payload").unwrap().client_finish;
        next.read_client_finish(&finish).unwrap();
        (server_hello, finish)
    };
    // Every sealed field is authenticated with the hash at its place: equal bytes, equal hashes.
    assert_eq!(run(None), run(Some(b"routing")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_instead_of_a_handshake_message_are_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..400), ephemeral in any::<[u8; 32]>(),
    ) {
        let mut world = World::new();
        let server = *world.server.public();
        let trust = world.trust();
        prop_assert!(CertChain::verify(&bytes, &trust.root, &server, trust.now).is_err());
        // As they are, and as the fields of a well-formed message.
        let hello = noise::ServerHello {
            ephemeral: Some(ephemeral.to_vec()),
            r#static: Some(bytes.clone()),
            payload: Some(bytes.clone()),
            ..Default::default()
        };
        let finish = ClientFinish { r#static: Some(bytes.clone()), payload: Some(bytes.clone()), ..Default::default() };
        let shaped = HandshakeMessage { server_hello: Some(hello), client_finish: Some(finish), ..Default::default() };
        for message in [bytes, shaped.encode_to_vec()] {
            let (xx, hello) = Initiator::xx(&world.client.clone(), world.ephemeral()).unwrap();
            prop_assert!(xx.read_server_hello(&message, &trust).is_err());
            let (ik, _) = world.ik(&server);
            prop_assert!(ik.read_server_hello(&message, &trust).is_err());
            prop_assert!(Responder::new(&world.server, world.client.clone()).read_client_hello(&message, b"").is_err());
            let Answer::Wait { next, .. } = world.respond(&hello) else { panic!("XX") };
            prop_assert!(next.read_client_finish(&message).is_err());
        }
    }
}
