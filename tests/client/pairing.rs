//! Linking (protocol 02 §16).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use palomar::client::config::VersionCell;
use palomar::client::net::{ByteStream, Dialer, Dialling};
use palomar::client::pair::CodeError;
use palomar::client::payload::ClientVersion;
use palomar::client::{ClientError, PairEvent, State, Stop};
use palomar::sim::Corrupt;
use palomar::wire::{Jid, Node};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::world::{ANNA, BERT, World, within};

#[tokio::test(start_paused = true)]
async fn pairs_by_qr_with_515_then_logs_in_and_is_ready() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    assert_eq!(*device.client.state().borrow(), State::Ready);
    assert_eq!(device.open_events("linked").await, 1);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn pairs_by_code() {
    let world = World::new().await;
    let device = world.device(1).await;
    let mut pairing = device.client.pair().await.unwrap();
    let code = within(pairing.code("+1 555 000 3333", None)).await.unwrap();
    let second = pairing.code("+1 555 000 3333", None).await;
    assert_eq!(second, Err(CodeError::Outstanding));
    world.sim.admin().enter_code(ANNA, &code).await.unwrap();
    within(device.client.ready()).await.unwrap();
    let mut success = false;
    while let Some(event) = pairing.next().await {
        success |= matches!(event, PairEvent::PairSuccess { .. });
    }
    assert!(success);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_code_asked_for_at_ref_1_still_pairs_when_typed_at_ref_5() {
    let world = World::new().await;
    let device = world.device(1).await;
    let pairing = device.client.pair().await.unwrap();
    let code = within(pairing.code(ANNA, None)).await.unwrap();
    world.clock.sleep(Duration::from_secs(130)).await;
    world.sim.admin().enter_code(ANNA, &code.replace('-', "")).await.unwrap();
    within(device.client.ready()).await.unwrap();
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_code_ends_the_flow_after_60_s_and_redraws_the_qr() {
    let world = World::new().await;
    let device = world.device(1).await;
    let mut pairing = device.client.pair().await.unwrap();
    within(pairing.code(ANNA, Some("12345678"))).await.unwrap();
    assert!(world.sim.admin().enter_code(ANNA, "87654321").await.is_err());
    let mut codes = Vec::new();
    let mut void = false;
    while codes.len() < 2 || !void {
        match within(pairing.next()).await.expect("the pairing ended") {
            PairEvent::QrCode { text, .. } => codes.push(text),
            PairEvent::PairingCodeVoid { .. } => void = true,
            _ => {}
        }
    }
    assert_ne!(codes[0].rsplit(',').nth(1), codes[1].rsplit(',').nth(1), "the secret is another one");
    pairing.cancel().await;
    device.becomes(|state| *state == State::Unpaired).await;
}

#[tokio::test(start_paused = true)]
async fn the_codes_are_exhausted_after_the_sixth_and_the_connection_closes() {
    let world = World::new().await;
    let device = world.device(1).await;
    let mut pairing = device.client.pair().await.unwrap();
    let (mut lives, mut exhausted) = (Vec::new(), false);
    while let Some(event) = within(pairing.next()).await {
        match event {
            PairEvent::QrCode { valid_for, .. } => lives.push(valid_for.as_secs()),
            PairEvent::QrExhausted => exhausted = true,
            PairEvent::Closed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lives, [60, 20, 20, 20, 20, 20]);
    assert!(exhausted);
    assert_eq!(*device.client.state().borrow(), State::Unpaired);
}

#[tokio::test(start_paused = true)]
async fn a_corrupt_pairing_is_refused_with_its_code_and_stores_nothing() {
    let cases = [
        (Corrupt::Hmac, 401, "hmac-mismatch"),
        (Corrupt::AccountSig, 401, "signature-mismatch"),
        (Corrupt::Identity, 401, "signature-mismatch"),
        (Corrupt::KeyIndex, 500, "internal-error"),
    ];
    for (corrupt, code, text) in cases {
        let world = World::new().await;
        let device = world.device(1).await;
        let mut pairing = device.client.pair().await.unwrap();
        let told = loop {
            match within(pairing.next()).await.expect("the pairing ended") {
                PairEvent::QrCode { text, .. } => {
                    let refused = world.sim.admin().scan_qr_with(ANNA, &text, Some(corrupt)).await;
                    assert!(refused.is_err());
                }
                PairEvent::PairError { code, .. } => break code,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(told, code, "{corrupt:?} {text}");
        assert!(device.store.read(|tx| tx.link()).await.unwrap().is_none());
        device.becomes(|state| *state == State::Unpaired).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_users_pairing_at_once_end_with_distinct_devices_and_keys() {
    let world = World::new().await;
    let (one, two) = tokio::join!(world.linked(ANNA, 1), world.linked(BERT, 2));
    let link = |device: &crate::world::Device| {
        let store = device.store.clone();
        async move {
            store.read(|tx| Ok::<_, palomar::store::StoreError>((tx.link()?, tx.keys()?))).await.unwrap()
        }
    };
    let (one, two) = (link(&one).await, link(&two).await);
    assert_ne!(one.0.unwrap().pn, two.0.unwrap().pn);
    let (one, two) = (one.1.unwrap(), two.1.unwrap());
    assert_ne!(one.noise.public, two.noise.public);
    assert_ne!(one.identity.public, two.identity.public);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_companion_of_one_number_gets_another_device_id() {
    let world = World::new().await;
    let one = world.linked(ANNA, 1).await;
    let two = world.linked(ANNA, 2).await;
    let pn = |device: &crate::world::Device| {
        let store = device.store.clone();
        async move { store.read(|tx| tx.link()).await.unwrap().unwrap().pn }
    };
    assert_ne!(pn(&one).await, pn(&two).await);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn unlinked_by_the_phone_online_it_stops_once_and_never_dials_again() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    world.sim.admin().unlink(ANNA, None).await.unwrap();
    assert!(matches!(device.stops().await, Stop::LoggedOut { .. }));
    let logins = world.logins().await;
    world.clock.sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.logins().await, logins);
    assert_eq!(device.open_events("stopped").await, 1);
    assert!(matches!(device.client.connect().await, Err(ClientError::Stopped(Stop::LoggedOut { .. }))));
    assert!(matches!(device.client.pair().await, Err(ClientError::Stopped(_))));
}

#[tokio::test(start_paused = true)]
async fn unlinked_while_offline_the_next_login_says_so() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    device.client.disconnect().await.unwrap();
    world.sim.admin().unlink(ANNA, None).await.unwrap();
    device.client.connect().await.unwrap();
    assert!(matches!(device.stops().await, Stop::LoggedOut { .. }));
    assert_eq!(device.open_events("stopped").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_out_by_the_user_removes_the_device_at_the_server() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    within(device.client.log_out()).await.unwrap();
    assert!(matches!(device.stops().await, Stop::LoggedOut { .. }));
    let devices = world.sim.admin().account(ANNA).await.unwrap().devices;
    assert!(devices.iter().all(|device| device.device == 0), "{devices:?}");
    let removed = world.sent(ANNA, "iq").await;
    let removed = removed.iter().filter(|item| item.node.find("remove-companion-device").is_some());
    assert_eq!(removed.count(), 1);
    world.assert_no_violations().await;
}

/// A pairing whose first code is shown.
async fn shown(world: &World, device: &crate::world::Device) -> (palomar::client::Pairing, String) {
    let mut pairing = device.client.pair().await.unwrap();
    match within(pairing.next()).await.unwrap() {
        PairEvent::QrCode { text, .. } => {
            assert_eq!(world.sim.admin().connections().await.len(), 1);
            (pairing, text)
        }
        other => panic!("{other:?}"),
    }
}

fn notification(kind: &'static str, child: Node) -> Node {
    Node::new("notification")
        .attr("from", Jid::service())
        .attr("type", kind)
        .attr("id", "n1")
        .attr("t", "1786000000")
        .child(child)
}

#[tokio::test(start_paused = true)]
async fn a_refresh_changes_the_secret_in_the_shown_code_but_not_its_deadline() {
    let world = World::new().await;
    let device = world.device(1).await;
    let (mut pairing, first) = shown(&world, &device).await;
    world.clock.sleep(Duration::from_secs(45)).await;
    let refresh = notification("companion_reg_refresh", Node::new("companion_reg_refresh"));
    world.sim.admin().inject(world.connection().await, refresh).await;
    let Some(PairEvent::QrCode { text, valid_for }) = within(pairing.next()).await else {
        panic!("no new code");
    };
    assert!(valid_for <= Duration::from_secs(15) && valid_for > Duration::from_secs(13), "{valid_for:?}");
    let parts = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (first, second) = (parts(&first), parts(&text));
    assert_eq!(first[..3], second[..3]);
    assert_ne!(first[3], second[3]);
    world.sim.admin().scan_qr(ANNA, &text).await.unwrap();
    within(device.client.ready()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_passkey_gate_ends_the_pairing_where_no_authenticator_is_there() {
    let world = World::new().await;
    let device = world.device(1).await;
    let (mut pairing, _) = shown(&world, &device).await;
    let options = Node::new("passkey_request_options").text_bytes(r#"{"challenge":"AA","timeout":30000}"#);
    let asked = notification("passkey_prologue_request", options);
    world.sim.admin().inject(world.connection().await, asked).await;
    let Some(PairEvent::PasskeyRequired { within: limit, .. }) = within(pairing.next()).await else {
        panic!("the application is not asked");
    };
    assert_eq!(limit, Duration::from_secs(30));
    pairing.passkey(None).await.unwrap();
    let mut told = Vec::new();
    while let Some(event) = within(pairing.next()).await {
        told.push(event);
    }
    assert!(matches!(&told[0], PairEvent::PairError { text, .. } if text == "passkey_unsupported"));
    assert!(matches!(told[1], PairEvent::Closed { .. }));
    device.becomes(|state| *state == State::Unpaired).await;
}

#[tokio::test(start_paused = true)]
async fn the_passkey_gate_never_hangs() {
    let world = World::new().await;
    let device = world.device(1).await;
    let (mut pairing, _) = shown(&world, &device).await;
    let options = Node::new("passkey_request_options").text_bytes(r#"{"challenge":"AA"}"#);
    let asked = notification("passkey_prologue_request", options);
    world.sim.admin().inject(world.connection().await, asked).await;
    let before = world.clock.now();
    while within(pairing.next()).await.is_some() {}
    assert!(world.clock.now() - before <= Duration::from_secs(62));
}

#[tokio::test(start_paused = true)]
async fn a_pair_success_after_pairing_is_refused_and_the_store_stays() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let before = device.store.read(|tx| tx.link()).await.unwrap().unwrap();
    let jid = Jid::pn(BERT).unwrap().with_device(9);
    let success = Node::new("pair-success").child(Node::new("device").attr("jid", jid));
    let again = Node::new("iq")
        .attr("from", Jid::service())
        .attr("id", "again")
        .attr("type", "set")
        .attr("xmlns", "md")
        .child(success);
    world.sim.admin().inject(world.connection().await, again).await;
    world.clock.sleep(Duration::from_secs(1)).await;
    let answers = world.sent(ANNA, "iq").await;
    let answer = answers.iter().find(|item| item.node.str("id").as_deref() == Some("again")).unwrap();
    assert_eq!(answer.node.find("error").unwrap().u64("code"), Some(500));
    let after = device.store.read(|tx| tx.link()).await.unwrap().unwrap();
    assert_eq!((before.pn, before.account), (after.pn, after.account));
}

#[tokio::test(start_paused = true)]
async fn a_second_pairing_of_one_account_at_once_is_a_local_error_and_the_first_goes_on() {
    let world = World::new().await;
    let device = world.device(1).await;
    let (mut pairing, code) = shown(&world, &device).await;
    assert!(matches!(device.client.pair().await, Err(ClientError::Pairing)));
    world.sim.admin().scan_qr(ANNA, &code).await.unwrap();
    assert!(matches!(within(pairing.next()).await, Some(PairEvent::PairSuccess { .. })));
    within(device.client.ready()).await.unwrap();
    assert!(matches!(device.client.pair().await, Err(ClientError::Linked)));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_does_not_come_about_names_an_old_version_as_the_first_suspect() {
    let world = World::new().await;
    let version = ClientVersion([2, 3000, 1_033_287_297]);
    let device = world.device_with(1, |config| config.version = VersionCell::new(version)).await;
    let mut pairing = device.client.pair().await.unwrap();
    let mut last = None;
    while let Some(event) = within(pairing.next()).await {
        last = Some(event);
    }
    let Some(PairEvent::Closed { reason }) = last else { panic!("{last:?}") };
    assert!(reason.contains("2.3000.1033287297 is 176 days old"), "{reason}");
}

/// What becomes of everything that is written from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Writes {
    Pass,
    Fail,
    Hang,
}

/// A dialler whose streams can be cut while they are in use.
struct Cut(Arc<dyn Dialer>, Arc<AtomicU8>);

impl Dialer for Cut {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move { Ok(Box::new(CutStream(self.0.dial(host, port).await?, self.1.clone())) as _) })
    }
}

struct CutStream(Box<dyn ByteStream>, Arc<AtomicU8>);

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.1.load(Ordering::Relaxed) {
            now if now == Writes::Fail as u8 => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
            now if now == Writes::Hang as u8 => Poll::Pending,
            _ => Pin::new(&mut self.0).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_pairing_whose_reply_cannot_be_written_leaves_the_store_unpaired_and_says_nothing_of_a_link() {
    let world = World::new().await;
    let writes = Arc::new(AtomicU8::new(Writes::Pass as u8));
    let cut = Arc::clone(&writes);
    let device =
        world.device_with(1, |config| config.egress = Arc::new(Cut(Arc::clone(&config.egress), cut))).await;
    let (mut pairing, code) = shown(&world, &device).await;
    writes.store(Writes::Fail as u8, Ordering::Relaxed);
    world.sim.admin().scan_qr(ANNA, &code).await.ok();
    while let Some(event) = within(pairing.next()).await {
        assert!(!matches!(event, PairEvent::PairSuccess { .. }));
    }
    let (link, phone) = device
        .store
        .read(|tx| Ok::<_, palomar::store::StoreError>((tx.link()?, tx.identity_addresses("")?)))
        .await
        .unwrap();
    assert!(link.is_none() && phone.is_empty(), "never half: {phone:?}");
    assert_eq!(device.open_events("linked").await, 0);
    // And the next try works.
    writes.store(Writes::Pass as u8, Ordering::Relaxed);
    world.link(&device, ANNA).await;
    within(device.client.ready()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_stored_link_and_its_reply_ends_in_a_401_and_never_in_half_a_link() {
    let world = World::new().await;
    let writes = Arc::new(AtomicU8::new(Writes::Pass as u8));
    let cut = Arc::clone(&writes);
    let mut device =
        world.device_with(1, |config| config.egress = Arc::new(Cut(Arc::clone(&config.egress), cut))).await;
    let (pairing, code) = shown(&world, &device).await;
    writes.store(Writes::Hang as u8, Ordering::Relaxed);
    let scan = tokio::spawn({
        let sim = Arc::clone(&world.sim);
        async move { sim.admin().scan_qr(ANNA, &code).await.is_ok() }
    });
    while device.store.read(|tx| tx.link()).await.unwrap().is_none() {
        world.clock.sleep(Duration::from_millis(10)).await;
    }
    // The process is gone before the reply left.
    drop(pairing);
    world.restart(&mut device).await;
    assert!(!scan.await.unwrap(), "the phone hears nothing of a link");
    device.client.connect().await.unwrap();
    assert!(matches!(device.stops().await, Stop::LoggedOut { .. }));
}
