//! A client of the test's own over memory: intro, handshake, certificates, frames (09 §4).

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;
use crate::noise::HandshakeFault;
use crate::sim::{CertMode, NewAccount, SimConfig, Simulator};

async fn start() -> Simulator {
    Simulator::start(SimConfig::in_memory(1, START)).await.unwrap()
}

async fn connect(sim: &Simulator, keys: &mut Keys, payload: &ClientPayload) -> Wire<tokio::io::DuplexStream> {
    handshake(sim.connect("test"), keys, sim.root_key(), sim.clock().wall_s(), payload).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_in_memory_pairs_and_logs_in_over_the_whole_stack() {
    let sim = start().await;
    let number = sim.admin().create_account(NewAccount::default()).await.unwrap().number;
    let mut keys = Keys::new("a");
    let payload = keys.companion.register_payload();
    let mut wire = connect(&sim, &mut keys, &payload).await;
    let admin = sim.admin().clone();
    let scanned = std::cell::Cell::new(None);
    wire.pair(&mut keys, async |qr| {
        scanned.set(Some(tokio::spawn(async move { admin.scan_qr(&number, &qr).await })));
    })
    .await;
    let linked = scanned.take().unwrap().await.unwrap().unwrap();
    assert_eq!(linked.device, 1);
    assert!(wire.next().await.is_none(), "closed after 515");

    let payload = keys.login_payload();
    let mut wire = connect(&sim, &mut keys, &payload).await;
    assert_eq!(wire.take("success").await.jid("lid").unwrap().to_string(), linked.lid);
    let ping = Node::new("iq")
        .attr("to", Jid::service())
        .attr("xmlns", "w:p")
        .attr("type", "get")
        .attr("id", "1.1-1");
    wire.send(&ping).await;
    let pong = wire.take("iq").await;
    assert_eq!((pong.str("id").as_deref(), pong.str("type").as_deref()), (Some("1.1-1"), Some("result")));
    assert_eq!(sim.admin().violations().await.total(), 0);
}

#[tokio::test(start_paused = true)]
async fn refs_run_out_by_the_clock_alone() {
    let sim = start().await;
    let mut keys = Keys::new("a");
    let payload = keys.companion.register_payload();
    let before = sim.clock().now();
    let mut wire = connect(&sim, &mut keys, &payload).await;
    wire.take("iq").await;
    assert!(wire.next().await.is_none());
    assert_eq!((sim.clock().now() - before).as_secs(), 165);
}

#[tokio::test(start_paused = true)]
async fn each_wrong_certificate_is_seen_by_a_verifying_client() {
    let sim = start().await;
    let mut keys = Keys::new("a");
    let payload = keys.companion.register_payload();
    for mode in [
        CertMode::Expired,
        CertMode::Future,
        CertMode::WrongRoot,
        CertMode::LeafSig,
        CertMode::LeafKey,
        CertMode::LeafSerial,
        CertMode::InterSerial,
        CertMode::MissingLeaf,
        CertMode::ShortSig,
        CertMode::ReplayedGenuine,
    ] {
        sim.admin().set_cert(mode).await;
        let result =
            handshake(sim.connect("test"), &mut keys, sim.root_key(), sim.clock().wall_s(), &payload).await;
        let fault = result.err().map(|error| error.fault);
        assert!(matches!(fault, Some(HandshakeFault::Certificate(_))), "{mode:?}: {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_intro_is_a_violation_and_closes_without_reply() {
    let sim = start().await;
    for intro in [&b"WA\x05\x03"[..], b"WA\x06\x02", b"GET /"] {
        let mut socket = upgrade(sim.connect("test")).await;
        socket.send(Message::binary(intro.to_vec())).await.unwrap();
        let mut frames = FrameDecoder::new();
        assert!(next_frame(&mut socket, &mut frames).await.is_none());
    }
    assert_eq!(sim.admin().violations().await.count("bad-intro"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_text_message_is_a_violation_and_closes_1003() {
    let sim = start().await;
    let mut keys = Keys::new("a");
    let payload = keys.companion.register_payload();
    let mut wire = connect(&sim, &mut keys, &payload).await;
    wire.take("iq").await;
    wire.socket.send(Message::text("hello")).await.unwrap();
    let code = loop {
        match wire.socket.next().await {
            Some(Ok(Message::Close(frame))) => break frame.map(|frame| frame.code),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, Some(CloseCode::Unsupported));
    assert_eq!(sim.admin().violations().await.count("text-message"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stops_is_closed_after_20_s() {
    let sim = start().await;
    let before = sim.clock().now();
    let mut socket = upgrade(sim.connect("test")).await;
    socket.send(Message::binary(INTRO.to_vec())).await.unwrap();
    assert!(next_frame(&mut socket, &mut FrameDecoder::new()).await.is_none());
    assert_eq!((sim.clock().now() - before).as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn proves_09_27_15_garbage_in_every_state_never_stops_the_server() {
    use rand_core::Rng;
    let sim = start().await;
    let mut rng = seed::stream(3, "garbage", "");
    let mut keys = Keys::new("a");
    let payload = keys.companion.register_payload();
    for round in 0..60u32 {
        let mut bytes = vec![0; 1 + (rng.next_u32() % 400) as usize];
        rng.fill_bytes(&mut bytes);
        if round % 3 == 0 {
            let mut socket = upgrade(sim.connect("test")).await;
            let _ = socket.send(Message::binary([&INTRO[..], &bytes].concat())).await;
            continue;
        }
        let mut wire = connect(&sim, &mut keys, &payload).await;
        wire.take("iq").await;
        if round % 3 == 1 {
            // Below the cipher.
            let _ = wire.socket.send(Message::binary(bytes)).await;
        } else {
            // Above it: five undecodable frames in a row close.
            for _ in 0..5 {
                let mut frame = Vec::new();
                bytes[0] = 0;
                bytes.get_mut(1).into_iter().for_each(|byte| *byte = 0xf1);
                wire.transport.seal.seal_into(&bytes, &mut frame).unwrap();
                let _ = wire.socket.send(Message::binary(frame)).await;
            }
            assert!(wire.next().await.is_none());
        }
    }
    let mut wire = connect(&sim, &mut keys, &payload).await;
    wire.take("iq").await;
    assert!(sim.admin().violations().await.count("bad-frame") >= 100);
}

#[tokio::test(start_paused = true)]
async fn one_byte_at_a_time_and_all_at_once_are_the_same() {
    let sim = start().await;
    let mut keys = Keys::new("a");
    let payload = keys.companion.register_payload();
    let mut wire = connect(&sim, &mut keys, &payload).await;
    wire.take("iq").await;
    let ping = |id: u32| {
        let ping = Node::new("iq").attr("xmlns", "w:p").attr("type", "get");
        encode(&ping.attr("to", Jid::service()).attr("id", format!("1.1-{id}"))).unwrap()
    };
    let mut bytes = Vec::new();
    (0..3).for_each(|id| wire.transport.seal.seal_into(&ping(id), &mut bytes).unwrap());
    for byte in bytes {
        wire.socket.send(Message::binary(vec![byte])).await.unwrap();
    }
    let mut bytes = Vec::new();
    (3..6).for_each(|id| wire.transport.seal.seal_into(&ping(id), &mut bytes).unwrap());
    wire.socket.send(Message::binary(bytes)).await.unwrap();
    for id in 0..6 {
        assert_eq!(wire.take("iq").await.str("id").unwrap(), format!("1.1-{id}"));
    }
}

#[tokio::test(start_paused = true)]
async fn stanzas_above_the_limit_are_compressed() {
    let config = SimConfig { compress_above: Some(100), ..SimConfig::in_memory(1, START) };
    let sim = Simulator::start(config).await.unwrap();
    let mut keys = Keys::new("a");
    let payload = keys.companion.register_payload();
    let mut wire = connect(&sim, &mut keys, &payload).await;
    let mut frame = next_frame(&mut wire.socket, &mut wire.frames).await.unwrap();
    let plaintext = wire.transport.open.open(&mut frame).unwrap();
    assert_eq!(plaintext[0], 2);
    assert_eq!(decode_node(plaintext).unwrap().find("pair-device").unwrap().nodes().count(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_ik_hello_is_answered_as_configured() {
    use crate::sim::IkMode;
    for mode in [IkMode::Accept, IkMode::Fallback, IkMode::Drop] {
        let sim = Simulator::start(SimConfig { ik: mode, ..SimConfig::in_memory(1, START) }).await.unwrap();
        let mut keys = Keys::new("a");
        let (root, now) = (sim.root_key(), sim.clock().wall_s());
        let payload = keys.companion.register_payload().encode_to_vec();
        let server = crate::sim::chain::ServerIdentity::new(1);
        let e = KeyPair::generate(&mut keys.rng);
        let (initiator, hello) =
            Initiator::ik(&keys.noise, e, server.noise_static().public(), &payload).unwrap();
        let mut socket = upgrade(sim.connect("test")).await;
        let first = [&INTRO[..], &frame_header(hello.len()).unwrap(), &hello].concat();
        socket.send(Message::binary(first)).await.unwrap();
        let mut frames = FrameDecoder::new();
        let Some(answer) = next_frame(&mut socket, &mut frames).await else {
            assert_eq!(mode, IkMode::Drop);
            continue;
        };
        let transport = match initiator.read_server_hello(&answer, &Trust { root, now }).unwrap() {
            ServerAnswer::Accepted(transport) => {
                assert_eq!(mode, IkMode::Accept);
                transport
            }
            ServerAnswer::Verified(verified) => {
                assert_eq!(mode, IkMode::Fallback);
                let established = verified.finish(&payload).unwrap();
                let finish = &established.client_finish;
                let message = [&frame_header(finish.len()).unwrap()[..], finish].concat();
                socket.send(Message::binary(message)).await.unwrap();
                established.transport
            }
        };
        let mut wire = Wire { socket, frames, transport };
        assert!(wire.take("iq").await.find("pair-device").is_some(), "{mode:?}");
    }
}
