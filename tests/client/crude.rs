//! A server that is not ours and behaves worse than the real one (the simulator's profile `crude`): the client waits a bounded
//! time for each thing that does not come, says where it stands, and lives on.

use std::sync::Arc;
use std::time::Duration;

use palomar::client::net::{Egress, Endpoint, Tcp, Tls};
use palomar::client::send::SendOutcome;
use palomar::client::{Client, Config, Event, LogOut, PairEvent, State, Stop};
use palomar::sim::{NewAccount, Profile, SimConfig, Simulator};
use palomar::store::memory::MemoryAccounts;
use palomar::store::{AccountId, Accounts as _};
use palomar::wire::Jid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{ANNA, BERT, Device, START, World, within};

/// From the scan to "ready": 10 s for a restart that does not come, 60 s for the work before the queue, 75 s for `<active/>`,
/// beside them 60 s for a queue that does not end.
const TO_READY: Duration = Duration::from_secs(10 + 60 + 75 + 5);
/// From the dial of a later login to "ready": 10 s until `<active/>` is sent all the same, 60 s for a queue that does not end.
const AGAIN: Duration = Duration::from_secs(10 + 60 + 5);

async fn crude() -> World {
    World::with(|config| config.profile = Profile::Crude).await
}

async fn hears(device: &Device, text: &str) {
    let heard = |delivery: &palomar::client::Delivery| match &delivery.event {
        Event::Message(message) if message.text.as_deref() == Some(text) => Some(()),
        _ => None,
    };
    device.event(heard).await;
}

async fn sends(world: &World, device: &Device, text: &str) {
    device.client.send_text(&Jid::pn(BERT).unwrap(), text, text).await.unwrap();
    let outcome = within(device.client.outcome(text)).await.unwrap();
    assert!(matches!(outcome, Some(SendOutcome::Sent { .. })), "{outcome:?}");
    world.sim.admin().wait_text(BERT, text, Duration::from_secs(60)).await.unwrap();
}

/// Runs something and holds it to a time of the virtual clock.
async fn takes_at_most<T>(world: &World, limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    let begun = world.clock.now();
    let done = within(work).await;
    let took = world.clock.now() - begun;
    println!("{what}: {took:?}");
    assert!(took <= limit, "{what} took {took:?}, more than {limit:?}");
    done
}

#[tokio::test(start_paused = true)]
async fn crude_link_text_both_ways_and_log_out() {
    let world = crude().await;
    let device = world.device(1).await;
    // `<success>` came first and changed nothing: the code is shown and scanned.
    world.link(&device, ANNA).await;
    // No restart: the client closes by itself and logs in.
    takes_at_most(&world, TO_READY, "from the scan to ready", device.client.ready()).await.unwrap();
    assert_eq!(world.logins().await, 2, "one <success> before the registration, one login");

    sends(&world, &device, "to a phone").await;
    world.sim.admin().send_text(BERT, ANNA, "from a phone").await.unwrap();
    hears(&device, "from a phone").await;

    // The server unlinks without a word of answer.
    let limit = Duration::from_secs(5);
    takes_at_most(&world, limit, "log-out", device.client.log_out()).await.unwrap();
    let stop = device.stops().await;
    assert!(matches!(stop, Stop::LoggedOut { reason: LogOut::User | LogOut::DeviceRemoved, .. }), "{stop:?}");
    assert!(world.sim.admin().account(ANNA).await.unwrap().devices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn crude_queries_without_an_answer_leave_a_ready_account_in_peace() {
    let world = crude().await;
    let device = world.linked(ANNA, 1).await;
    let logins = world.logins().await;
    world.clock.sleep(Duration::from_secs(3600)).await;
    assert_eq!(*device.client.state().borrow(), State::Ready);
    assert_eq!(world.logins().await, logins, "the connection was never given up");
    let asked = world.sent(ANNA, "iq").await;
    let of =
        |xmlns: &str| asked.iter().filter(|item| item.node.str("xmlns").as_deref() == Some(xmlns)).count();
    println!("in an hour: properties {}, privacy {}", of("abt"), of("privacy"));
    assert!(of("abt") <= 6 && of("privacy") == 1, "unanswered queries are not hammered");
    sends(&world, &device, "still here").await;
}

#[tokio::test(start_paused = true)]
async fn crude_without_an_offline_queue_a_login_ends_and_life_goes_on() {
    let world = crude().await;
    let device = world.linked(ANNA, 1).await;
    world.sim.admin().send_text(BERT, ANNA, "before").await.unwrap();
    hears(&device, "before").await;
    device.client.disconnect().await.unwrap();
    world.sim.admin().send_text(BERT, ANNA, "lost").await.unwrap();
    device.client.connect().await.unwrap();
    takes_at_most(&world, TO_READY, "the second login", device.client.ready()).await.unwrap();
    world.sim.admin().send_text(BERT, ANNA, "after").await.unwrap();
    hears(&device, "after").await;
    assert_eq!(device.open_events("message").await, 0, "what was lost is not made up");
    sends(&world, &device, "and back").await;
}

#[tokio::test(start_paused = true)]
async fn crude_device_lists_without_key_indexes_reach_the_phones_and_are_not_asked_for_again_and_again() {
    let world = crude().await;
    let anna = world.linked(ANNA, 1).await;
    let other = world.linked(ANNA, 2).await;
    let bert = world.linked(BERT, 3).await;
    for text in ["first", "second", "third"] {
        sends(&world, &anna, text).await;
    }
    bert.client.send_text(&Jid::pn(ANNA).unwrap(), "answer", "answer").await.unwrap();
    world.sim.admin().wait_text(ANNA, "answer", Duration::from_secs(60)).await.unwrap();
    world.clock.sleep(Duration::from_secs(600)).await;
    for device in [&anna, &other, &bert] {
        assert_eq!(*device.client.state().borrow(), State::Ready);
    }
    let queries = world.sent(ANNA, "iq").await;
    let lists = queries.iter().filter(|item| item.node.find("usync").is_some()).count();
    println!("{lists} questions for device lists of two devices and three texts");
    assert!(lists <= 12, "{lists} questions for device lists");
}

#[tokio::test(start_paused = true)]
async fn crude_a_log_in_again_waits_no_longer_than_for_the_queue() {
    let world = crude().await;
    let device = world.linked(ANNA, 1).await;
    // What is due before the queue makes each login passive; answered properties end that.
    let answered = device.store.write(|tx| tx.set_props(&palomar::store::Props::default())).await;
    answered.unwrap();
    device.client.disconnect().await.unwrap();
    device.client.connect().await.unwrap();
    takes_at_most(&world, AGAIN, "a login with nothing due", device.client.ready()).await.unwrap();
}

/// A simulator on sockets whose certificate nobody signed but itself.
async fn self_signed() -> (Simulator, tempfile::TempDir, std::path::PathBuf) {
    let config = SimConfig { profile: Profile::Crude, ..SimConfig::ephemeral(7) };
    let sim = Simulator::start(config).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, sim.ca_pem()).unwrap();
    (sim, folder, ca)
}

async fn first_pair_event(sim: &Simulator, ca: Option<&std::path::Path>) -> PairEvent {
    let address = sim.chat_tls_url().unwrap().parse().unwrap();
    let endpoint = Endpoint::at(address, sim.root_key(), Tls::new(ca).unwrap());
    let id: AccountId = "anna".parse().unwrap();
    let store = MemoryAccounts::new().create(&id, START).unwrap();
    let client = Client::open(store, Config::new(endpoint, Arc::new(Tcp))).await.unwrap();
    let mut pairing = client.pair().await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(60), pairing.next()).await;
    event.expect("in time").expect("an event")
}

#[tokio::test(flavor = "multi_thread")]
async fn crude_a_self_signed_certificate_is_refused_in_words_and_taken_with_ca() {
    let (sim, _folder, ca) = self_signed().await;
    sim.admin()
        .create_account(NewAccount { number: Some(ANNA.to_owned()), ..NewAccount::default() })
        .await
        .unwrap();
    match first_pair_event(&sim, None).await {
        PairEvent::Closed { reason } => {
            println!("without --ca: {reason}");
            assert!(reason.to_lowercase().contains("certificate"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let event = first_pair_event(&sim, Some(&ca)).await;
    assert!(matches!(event, PairEvent::QrCode { .. }), "{event:?}");
}

/// As many bytes as a photo has.
const IMAGE: usize = 350_000;

fn image() -> Vec<u8> {
    (0..IMAGE).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

/// Answers one GET over TLS with the image; whatever comes is an end.
async fn serve_once(listener: tokio::net::TcpListener, tls: Arc<rustls::ServerConfig>) {
    let (stream, _) = listener.accept().await.unwrap();
    let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {IMAGE}\r\nConnection: close\r\n\r\n");
    stream.write_all(&[answer.as_bytes(), &image()].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// A media host with a self-signed certificate: its address, and the certificate as PEM.
async fn media_host() -> (std::net::SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(serve_once(listener, Arc::new(tls)));
    (at, made.cert.pem())
}

/// Over the account's way out and its TLS, as every byte of media will go.
async fn fetch(at: std::net::SocketAddr, tls: &Tls) -> std::io::Result<Vec<u8>> {
    let dialer = Egress::Direct.dialer(Arc::new(Tcp));
    let stream = dialer.dial("127.0.0.1", at.port()).await.map_err(std::io::Error::other)?;
    let mut stream = tls.connect("127.0.0.1", stream).await?;
    stream.write_all(b"GET /v/image HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn crude_image_sized_bytes_come_over_a_self_signed_certificate_with_ca() {
    let (at, _) = media_host().await;
    let refused = fetch(at, &Tls::new(None).unwrap()).await.expect_err("a self-signed certificate");
    println!("without --ca: {refused}");
    assert!(refused.to_string().to_lowercase().contains("certificate"), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let (at, pem) = media_host().await;
    std::fs::write(&ca, pem).unwrap();
    let answer = fetch(at, &Tls::new(Some(&ca)).unwrap()).await.unwrap();
    assert!(answer.ends_with(&image()), "{} bytes", answer.len());
}
