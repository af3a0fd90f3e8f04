//! What the server says beside messages, and what the client asks by itself (protocol 01 §13 to §18, 05c §1).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use palomar::client::net::{Dialer, Dialling};
use palomar::client::payload::ClientVersion;
use palomar::client::version::Discovery;
use palomar::client::{State, Stop};
use palomar::sim::{Ban, TrafficItem};
use palomar::store::inbox::MessageKey;
use palomar::wire::{Jid, Node};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{ANNA, START, World, within};

/// The questions of a namespace that a number's clients asked.
async fn asked(world: &World, xmlns: &str) -> Vec<TrafficItem> {
    let iqs = world.sent(ANNA, "iq").await.into_iter();
    iqs.filter(|item| item.node.str("xmlns").as_deref() == Some(xmlns)).collect()
}

fn notification(kind: &'static str, id: &'static str, from: Jid, child: Node) -> Node {
    Node::new("notification")
        .attr("from", from)
        .attr("type", kind)
        .attr("id", id)
        .attr("t", "1786000000")
        .child(child)
}

async fn ack_of(world: &World, id: &str) -> Node {
    let acks = world.sent(ANNA, "ack").await;
    let found: Vec<_> = acks.iter().filter(|item| item.node.str("id").as_deref() == Some(id)).collect();
    assert_eq!(found.len(), 1, "{id} is answered exactly once");
    found[0].node.clone()
}

#[tokio::test(start_paused = true)]
async fn privacy_and_blocklist_are_asked_for_once_a_login_and_again_when_the_server_says_so() {
    let world = World::new().await;
    let mut device = world.linked(ANNA, 1).await;
    world.clock.sleep(Duration::from_secs(30)).await;
    assert_eq!((asked(&world, "privacy").await.len(), asked(&world, "blocklist").await.len()), (1, 1));
    let own = Jid::pn(ANNA).unwrap();
    let hints =
        notification("account_sync", "n1", own.clone(), Node::new("privacy")).child(Node::new("blocklist"));
    world.sim.admin().inject(world.connection().await, hints).await;
    world.clock.sleep(Duration::from_secs(5)).await;
    let lists = asked(&world, "blocklist").await;
    assert_eq!((asked(&world, "privacy").await.len(), lists.len()), (2, 2));
    assert!(lists[1].node.find("item").unwrap().get("dhash").is_some(), "with the hash that is held");
    // Somebody else has no say.
    let foreign = notification("account_sync", "n2", Jid::pn("15550009999").unwrap(), Node::new("privacy"));
    world.sim.admin().inject(world.connection().await, foreign).await;
    world.clock.sleep(Duration::from_secs(5)).await;
    assert_eq!(asked(&world, "privacy").await.len(), 2);
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    world.clock.sleep(Duration::from_secs(30)).await;
    assert_eq!((asked(&world, "privacy").await.len(), asked(&world, "blocklist").await.len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_dirty_domain_is_called_clean_only_after_its_work_and_all_of_a_bulletin_at_once() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    world.clock.sleep(Duration::from_secs(30)).await;
    let before = asked(&world, "privacy").await.len();
    let account = Node::new("dirty").attr("type", "account_sync").attr("timestamp", "5");
    let account = account.child(Node::new("privacy"));
    let groups = Node::new("dirty").attr("type", "groups").attr("timestamp", "6");
    let unknown = Node::new("dirty").attr("type", "something_new");
    let ib = Node::new("ib").attr("from", Jid::service()).children([account, groups, unknown]);
    world.sim.admin().inject(world.connection().await, ib).await;
    world.clock.sleep(Duration::from_secs(5)).await;
    let iqs = world.sent(ANNA, "iq").await;
    let place =
        |xmlns: &str| iqs.iter().rposition(|item| item.node.str("xmlns").as_deref() == Some(xmlns)).unwrap();
    assert_eq!(asked(&world, "privacy").await.len(), before + 1);
    assert!(place("privacy") < place("urn:xmpp:whatsapp:dirty"), "first the work");
    let clean = asked(&world, "urn:xmpp:whatsapp:dirty").await;
    assert_eq!(clean.len(), 1);
    let told: Vec<_> = clean[0]
        .node
        .find_all("clean")
        .map(|clean| {
            (clean.str("type").unwrap().into_owned(), clean.str("timestamp").map(|t| t.into_owned()))
        })
        .collect();
    let expected = [("account_sync", Some("5")), ("groups", Some("6")), ("something_new", None)];
    assert_eq!(told, expected.map(|(kind, t)| (kind.to_owned(), t.map(str::to_owned))));
    // Of what the client holds no copy the application hears.
    assert_eq!(device.open_events("notice").await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_stanza_of_unknown_kind_is_refused_with_488_and_one_that_needs_no_answer_gets_none() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let connection = world.connection().await;
    let unknown = Node::new("something").attr("id", "u1").attr("from", Jid::service()).attr("type", "new");
    world.sim.admin().inject(connection, unknown).await;
    world.sim.admin().inject(connection, Node::new("something").attr("id", "u2")).await;
    let presence = Node::new("presence").attr("id", "p1").attr("from", Jid::pn("15550009999").unwrap());
    world.sim.admin().inject(connection, presence).await;
    world.clock.sleep(Duration::from_secs(1)).await;
    let nack = ack_of(&world, "u1").await;
    assert_eq!(
        (nack.str("class").as_deref(), nack.str("error").as_deref()),
        (Some("something"), Some("488"))
    );
    let acks = world.sent(ANNA, "ack").await;
    let others = ["u2", "p1"].map(Some);
    assert!(!acks.iter().any(|item| others.contains(&item.node.str("id").as_deref())));
    assert_eq!(*device.client.state().borrow(), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn pairing_notifications_after_pairing_are_only_acked_and_incomplete_ones_refused_with_487() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let connection = world.connection().await;
    let server = Jid::service;
    let late = notification("companion_reg_refresh", "c1", server(), Node::new("companion_reg_refresh"));
    let timer = notification("disappearing_mode", "d1", server(), Node::new("disappearing_mode"));
    let sync = notification("server_sync", "s1", server(), Node::new("collection").attr("name", "regular"));
    for stanza in [late, timer, sync] {
        world.sim.admin().inject(connection, stanza).await;
    }
    world.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(ack_of(&world, "c1").await.get("error"), None);
    for id in ["d1", "s1"] {
        assert_eq!(ack_of(&world, id).await.str("error").as_deref(), Some("487"), "{id}");
    }
    assert_eq!(device.open_events("notice").await, 2, "shown all the same");
}

#[tokio::test(start_paused = true)]
async fn somebody_with_a_new_number_is_learned_under_both_addresses() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let jid = |text: &str| text.parse::<Jid>().unwrap();
    let modify = Node::new("modify")
        .attr("old", jid("15550000001@s.whatsapp.net"))
        .attr("new", jid("15550000002@s.whatsapp.net"))
        .attr("old_lid", jid("90001@lid"))
        .attr("new_lid", jid("90002@lid"));
    let told = notification("contacts", "m1", Jid::service(), modify);
    world.sim.admin().inject(world.connection().await, told).await;
    world.clock.sleep(Duration::from_secs(1)).await;
    let lid = device.store.read(|tx| tx.lid_of("15550000002@s.whatsapp.net")).await.unwrap();
    assert_eq!(lid.as_deref(), Some("90002@lid"));
    assert_eq!(ack_of(&world, "m1").await.get("error"), None);
}

#[tokio::test(start_paused = true)]
async fn a_503_marks_offline_at_once_waits_for_the_close_at_most_10_s_and_comes_back() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let logins = world.logins().await;
    let before = world.clock.now();
    let error = Node::new("stream:error").attr("code", "503");
    world.sim.admin().inject(world.connection().await, error).await;
    device.becomes(|state| *state != State::Ready).await;
    assert!(world.clock.now() - before < Duration::from_secs(1), "offline at once");
    within(device.client.ready()).await.unwrap();
    let took = world.clock.now() - before;
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(15), "{took:?}");
    assert_eq!(world.logins().await, logins + 1);
}

#[tokio::test(start_paused = true)]
async fn frames_that_cannot_be_read_on_two_connections_in_a_row_are_told_and_dialled_more_slowly() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let mut waits = Vec::new();
    for _ in 0..2 {
        let before = world.clock.now();
        world.sim.admin().inject_bytes(world.connection().await, vec![2, 1, 2, 3], true).await;
        device.becomes(|state| *state != State::Ready).await;
        within(device.client.ready()).await.unwrap();
        waits.push(world.clock.now() - before);
    }
    assert_eq!(device.open_events("incompatible").await, 1);
    assert!(waits[0] < Duration::from_secs(3) && waits[1] >= Duration::from_secs(13), "{waits:?}");
}

/// Dials the simulator, and for another host a page that names a revision, each time one higher.
struct WithPage {
    sim: Arc<dyn Dialer>,
    revision: u32,
    asked: Arc<AtomicUsize>,
}

impl Dialer for WithPage {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a> {
        if host != "page.test" {
            return self.sim.dial(host, port);
        }
        let before = self.asked.fetch_add(1, Ordering::Relaxed);
        let revision = self.revision + u32::try_from(before).unwrap();
        let (client, mut server) = tokio::io::duplex(4096);
        let body = format!("x=JSON.parse(\"{{\\\"client_revision\\\":{revision}}}\")");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        tokio::spawn(async move {
            let mut request = vec![0; 2048];
            let count = server.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            assert!(
                request.starts_with("GET /page HTTP/1.1\r\n") && request.contains("Sec-Fetch-Site: none")
            );
            server.write_all(answer.as_bytes()).await.unwrap();
        });
        Box::pin(async move { Ok(Box::new(client) as _) })
    }
}

const NEWER: u32 = 1_050_000_000;

fn page() -> Discovery {
    Discovery {
        host: "page.test".to_owned(),
        port: 80,
        tls: false,
        path: "/page".to_owned(),
        user_agent: "Mozilla/5.0".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_version_is_tried_once_more_where_discovery_yields_a_newer_one() {
    let world = World::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut device = world.linked(ANNA, 1).await;
    device.client.disconnect().await.unwrap();
    world.sim.admin().ban(ANNA, Ban { reason: 405, code: 0, expire: 0 }).await.unwrap();
    let logins = world.logins().await;
    device.client.connect().await.unwrap();
    let Stop::ClientTooOld { version } = device.stops().await else { panic!("not too old") };
    assert_eq!(world.logins().await, logins + 1, "without discovery it stops at once");
    assert_ne!(version, ClientVersion([2, 3000, NEWER]).to_string());

    let count = Arc::clone(&asked);
    world
        .restart_with(&mut device, |config| {
            let sim = Arc::clone(&config.egress);
            config.egress = Arc::new(WithPage { sim, revision: NEWER, asked: count });
            config.discovery = Some(page());
        })
        .await;
    // The question of the start is answered before the first dial.
    world.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    device.client.connect().await.unwrap();
    let Stop::ClientTooOld { version } = device.stops().await else { panic!("not too old") };
    assert_eq!(
        version,
        ClientVersion([2, 3000, NEWER + 1]).to_string(),
        "the version that was presented last"
    );
    assert_eq!(asked.load(Ordering::Relaxed), 2, "asked once more when it was refused");
    assert_eq!(world.logins().await, logins + 3, "and tried with the newer one, once");
    assert!(device.store.read(|tx| tx.link()).await.unwrap().is_some(), "credentials are kept");

    // A restart without discovery remembers what was found.
    world.restart(&mut device).await;
    world.sim.admin().unban(ANNA).await.unwrap();
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    let found = device.store.read(|tx| tx.setting("client_version")).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(found.expose()).starts_with("2.3000.1050000001 "));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn the_version_is_asked_for_once_a_day_and_never_holds_up_a_login() {
    let world = World::new().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut device = world.linked(ANNA, 1).await;
    let count = Arc::clone(&asked);
    world
        .restart_with(&mut device, |config| {
            let sim = Arc::clone(&config.egress);
            // A smaller one than is in use: ignored.
            config.egress = Arc::new(WithPage { sim, revision: 7, asked: count });
            config.discovery = Some(page());
        })
        .await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    world.clock.sleep(Duration::from_secs(3 * 86_400 + 60)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    let found = device.store.read(|tx| tx.setting("client_version")).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(found.expose()).starts_with("2.3000.1045649367 "));
}

#[tokio::test(start_paused = true)]
async fn what_is_old_leaves_the_store_by_itself_once_a_day() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    const DAY: i64 = 86_400_000;
    let (old, young) = (MessageKey::new("chat", "sender", "old"), MessageKey::new("chat", "sender", "young"));
    let rows = (old.clone(), young.clone());
    let put = move |tx: &mut palomar::store::Tx<'_>| {
        tx.mark_message_seen(&rows.0, None, START - 40 * DAY)?;
        tx.mark_message_seen(&rows.1, None, START)
    };
    device.store.write(put).await.unwrap();
    world.clock.sleep(Duration::from_secs(2 * 86_400)).await;
    let seen = device.store.read(move |tx| {
        Ok::<_, palomar::store::StoreError>((tx.seen_message(&old)?, tx.seen_message(&young)?))
    });
    let (old, young) = seen.await.unwrap();
    assert!(old.is_none() && young.is_some());
    assert_eq!(*device.client.state().borrow(), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_date_is_told_once_for_a_version_and_only_moves_nearer() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let connection = world.connection().await;
    let expires = |t: String| {
        Node::new("ib").attr("from", Jid::service()).child(Node::new("client_expiration").attr("t", t))
    };
    let now = START / 1000;
    let days = |days: i64| (now + days * 86_400).to_string();
    for t in [days(60), days(70), "-5".to_owned(), "soon".to_owned(), days(50), days(1)] {
        world.sim.admin().inject(connection, expires(t)).await;
        world.clock.sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(device.open_events("client_expires").await, 3, "60, 50, and 3 days at the least");
    assert_eq!(*device.client.state().borrow(), State::Ready, "reported, not disconnected");
}
