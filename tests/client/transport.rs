//! What a client does with addresses, login counters, refusals and a long queue (protocol 01 §22).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use palomar::client::chance::Chance;
use palomar::client::net::{DialError, Dialer, Dialling, Endpoint, Tls};
use palomar::client::{Client, Config, Event, State, Stop};
use palomar::sim::{Ban, Direction, Kick, Simulator, TrafficFilter};
use palomar::store::StoreError;

use crate::world::{ANNA, BERT, Device, World, within};

/// Two ports lead to the simulator; one of them can be closed.
struct TwoPorts {
    sim: Arc<Simulator>,
    closed: Mutex<Option<u16>>,
    dialled: Mutex<Vec<u16>>,
    under_way: AtomicUsize,
}

impl Dialer for TwoPorts {
    fn dial<'a>(&'a self, _host: &'a str, port: u16) -> Dialling<'a> {
        Box::pin(async move {
            assert_eq!(self.under_way.fetch_add(1, Ordering::SeqCst), 0, "two dials at the same time");
            self.dialled.lock().unwrap().push(port);
            tokio::time::sleep(Duration::from_millis(300)).await;
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if *self.closed.lock().unwrap() == Some(port) {
                let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                return Err(DialError::from(refused));
            }
            Ok(Box::new(self.sim.connect("10.0.0.1")) as _)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn proves_01_22_15_the_second_address_is_tried_after_a_failed_open_and_stays_first() {
    let world = World::new().await;
    let mut device = world.linked(ANNA, 1).await;
    device.client.close().await.unwrap();
    let ports = Arc::new(TwoPorts {
        sim: Arc::clone(&world.sim),
        closed: Mutex::new(Some(443)),
        dialled: Mutex::default(),
        under_way: AtomicUsize::new(0),
    });
    let endpoint = Endpoint {
        second: Some("ws://sim.test:5222/ws/chat".parse().unwrap()),
        ..Endpoint::at(
            "ws://sim.test:443/ws/chat".parse().unwrap(),
            world.sim.root_key(),
            Tls::new(None).unwrap(),
        )
    };
    let config = Config::new(endpoint, Arc::clone(&ports) as _);
    let chance = Chance::seeded(&[77; 32]);
    device.client = Client::open_with(device.store.clone(), config, world.clock, chance).await.unwrap();
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    assert_eq!(*ports.dialled.lock().unwrap(), [443, 5222]);

    world.clock.sleep(Duration::from_secs(40)).await;
    *ports.closed.lock().unwrap() = None;
    for _ in 0..2 {
        world.sim.admin().kick(ANNA, None, Kick::Reset, None).await.unwrap();
        device.becomes(|state| *state != State::Ready).await;
        within(device.client.ready()).await.unwrap();
        world.clock.sleep(Duration::from_secs(40)).await;
    }
    assert_eq!(*ports.dialled.lock().unwrap(), [443, 5222, 5222, 5222], "the one that opened is first");

    *ports.closed.lock().unwrap() = Some(5222);
    world.sim.admin().kick(ANNA, None, Kick::Reset, None).await.unwrap();
    device.becomes(|state| *state != State::Ready).await;
    within(device.client.ready()).await.unwrap();
    assert_eq!(ports.dialled.lock().unwrap()[4..], [5222, 443]);
}

async fn login_counter(device: &Device) -> u32 {
    device.store.read(|tx| tx.login()).await.unwrap().counter
}

#[tokio::test(start_paused = true)]
async fn proves_01_22_06_lc_is_0_1_2_over_three_logins_the_second_refused_and_0_after_its_last_value() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    assert_eq!(login_counter(&device).await, 1, "0 went out, 1 is next");
    device.client.disconnect().await.unwrap();
    world.sim.admin().ban(ANNA, Ban { reason: 402, code: 101, expire: 1 }).await.unwrap();
    device.client.connect().await.unwrap();
    assert!(matches!(device.stops().await, Stop::TempBanned { .. }));
    assert_eq!(login_counter(&device).await, 2, "a refused login counts");
    world.sim.admin().unban(ANNA).await.unwrap();
    world.clock.sleep(Duration::from_secs(2)).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    assert_eq!(login_counter(&device).await, 3);

    device.client.disconnect().await.unwrap();
    let last = i32::MAX.unsigned_abs();
    device
        .store
        .write(move |tx| {
            let login = palomar::store::Login { counter: last, ..tx.login()? };
            tx.set_login(&login)
        })
        .await
        .unwrap();
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    assert_eq!(login_counter(&device).await, 0, "after 2^31 - 1 comes 0");
}

/// What a refusal must lead to.
enum Leads {
    Stops(fn(&Stop) -> bool),
    DialsOn,
}

/// The link, its keys, and whether a device was removed by our own wish.
async fn kept(world: &World, device: &Device, before: &(Vec<u8>, String), what: &str) {
    let now = device
        .store
        .read(|tx| {
            let (keys, link) = (tx.keys()?.unwrap(), tx.link()?.unwrap());
            Ok::<_, StoreError>((keys.noise.public.to_vec(), link.pn))
        })
        .await
        .unwrap();
    assert_eq!(now, *before, "{what} touches neither keys nor link");
    let iqs = world.sent(ANNA, "iq").await;
    let removed = iqs.iter().filter(|item| item.node.find("remove-companion-device").is_some());
    assert_eq!(removed.count(), 0, "{what} unlinks nobody");
}

async fn keys(device: &Device) -> (Vec<u8>, String) {
    let read = device
        .store
        .read(|tx| Ok::<_, StoreError>((tx.keys()?.unwrap().noise.public.to_vec(), tx.link()?.unwrap().pn)));
    read.await.unwrap()
}

async fn leads(world: &World, device: &Device, leads: &Leads, what: &str) {
    match leads {
        Leads::Stops(wanted) => {
            let stop = device.stops().await;
            assert!(wanted(&stop), "{what}: {stop:?}");
            let logins = world.logins().await;
            world.clock.sleep(Duration::from_secs(3600)).await;
            assert_eq!(world.logins().await, logins, "{what}: no dial after a stop");
            assert_eq!(device.open_events("stopped").await, 1, "{what}: one terminal event");
        }
        Leads::DialsOn => {
            let logins = world.logins().await;
            world.clock.sleep(Duration::from_secs(600)).await;
            assert!(world.logins().await > logins, "{what}: it dials on");
            assert_eq!(device.open_events("stopped").await, 0, "{what}: no terminal event");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn proves_01_22_07_each_failure_drives_the_client_to_its_action_and_unlinks_nobody() {
    let unknown = || Leads::Stops(|stop| matches!(stop, Stop::UnknownFailure { .. }));
    let logged_out = || Leads::Stops(|stop| matches!(stop, Stop::LoggedOut { .. }));
    let rows = [
        (400, unknown()),
        (401, logged_out()),
        (402, Leads::Stops(|stop| matches!(stop, Stop::TempBanned { code: 102, .. }))),
        (403, logged_out()),
        (405, Leads::Stops(|stop| matches!(stop, Stop::ClientTooOld { .. }))),
        (406, logged_out()),
        (409, Leads::Stops(|stop| *stop == Stop::BadUserAgent)),
        (411, unknown()),
        (415, unknown()),
        (418, unknown()),
        (429, Leads::DialsOn),
        (500, Leads::DialsOn),
        (501, unknown()),
        (503, Leads::DialsOn),
        (599, unknown()),
    ];
    for (reason, row) in rows {
        let world = World::new().await;
        let device = world.linked(ANNA, 1).await;
        let before = keys(&device).await;
        device.client.disconnect().await.unwrap();
        world.sim.admin().ban(ANNA, Ban { reason, code: 102, expire: 86_400 }).await.unwrap();
        device.client.connect().await.unwrap();
        let what = format!("failure {reason}");
        leads(&world, &device, &row, &what).await;
        kept(&world, &device, &before, &what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn proves_01_22_07_each_stream_error_drives_the_client_to_its_action_and_unlinks_nobody() {
    let rows = [
        (401, Leads::DialsOn),
        (409, Leads::Stops(|stop| *stop == Stop::Replaced)),
        (429, Leads::DialsOn),
        (500, Leads::DialsOn),
        (503, Leads::DialsOn),
        (515, Leads::DialsOn),
        (516, Leads::Stops(|stop| matches!(stop, Stop::LoggedOut { .. }))),
        (999, Leads::DialsOn),
    ];
    for (code, row) in rows {
        let world = World::new().await;
        let device = world.linked(ANNA, 1).await;
        let before = keys(&device).await;
        let logins = world.logins().await;
        world.sim.admin().kick(ANNA, None, Kick::StreamError, Some(code)).await.unwrap();
        let what = format!("stream error {code}");
        if let Leads::DialsOn = row {
            world.clock.sleep(Duration::from_secs(600)).await;
            assert_eq!(world.logins().await, logins + 1, "{what}: one login");
            assert_eq!(*device.client.state().borrow(), State::Ready, "{what}");
            assert_eq!(device.open_events("stopped").await, 0, "{what}: no terminal event");
        } else {
            leads(&world, &device, &row, &what).await;
        }
        kept(&world, &device, &before, &what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn proves_01_22_11_450_items_come_in_batches_nothing_is_lost_and_each_is_answered_once() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    device.client.disconnect().await.unwrap();
    for n in 0..450 {
        world.sim.admin().send_text(BERT, ANNA, &format!("text {n}")).await.unwrap();
    }
    let since = world.sim.admin().cursor();
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 450 {
        let text = device.event(|delivery| match &delivery.event {
            Event::Message(message) => message.text.clone(),
            _ => None,
        });
        assert!(seen.insert(text.await), "shown twice");
    }
    world.clock.sleep(Duration::from_secs(5)).await;
    let filter = TrafficFilter { account: Some(ANNA.to_owned()), since, ..TrafficFilter::default() };
    let traffic = world.sim.admin().traffic(&filter).await;
    let place = |what: &dyn Fn(&palomar::sim::TrafficItem) -> bool| traffic.iter().position(what);
    let asks = |item: &palomar::sim::TrafficItem| {
        item.direction == Direction::In && item.node.tag == "ib" && item.node.find("offline_batch").is_some()
    };
    let first = place(&asks).expect("a request");
    let primer = place(&|item| item.direction == Direction::Out && item.node.get("offline").is_some());
    assert!(primer.expect("a primer") < first, "nothing is asked before the first stanza with `offline`");
    let end = place(&|item| {
        item.direction == Direction::Out && item.node.tag == "ib" && item.node.find("offline").is_some()
    });
    let requests: Vec<_> = traffic.iter().enumerate().filter(|(_, item)| asks(item)).collect();
    assert!(requests.len() >= 2, "450 items are more than two batches");
    assert!(requests.iter().all(|(at, _)| *at < end.expect("the end marker")), "none after the end");
    for pair in requests.windows(2) {
        let apart = pair[1].1.at_ms - pair[0].1.at_ms;
        assert!(apart >= 100, "{apart} ms between two requests");
    }
    let queue = world.sim.admin().account(ANNA).await.unwrap().devices[0].queue;
    assert_eq!(queue, 0, "each is answered");
    let mut answered = std::collections::BTreeMap::<String, u32>::new();
    for receipt in traffic.iter().filter(|i| i.direction == Direction::In && i.node.tag == "receipt") {
        let more = receipt.node.find("list").into_iter().flat_map(|list| list.find_all("item"));
        let ids = std::iter::once(&receipt.node).chain(more).filter_map(|node| node.str("id"));
        ids.for_each(|id| *answered.entry(id.into_owned()).or_default() += 1);
    }
    assert_eq!((answered.len(), answered.values().max()), (450, Some(&1)), "each exactly once");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn proves_01_22_14_after_a_passive_login_the_work_comes_before_active() {
    let world = World::new().await;
    let _device = world.linked(ANNA, 1).await;
    let iqs = world.sent(ANNA, "iq").await;
    let place = |what: &dyn Fn(&palomar::wire::Node) -> bool| iqs.iter().position(|item| what(&item.node));
    let upload = place(&|iq| iq.str("xmlns").as_deref() == Some("encrypt") && iq.find("list").is_some());
    let props = place(&|iq| iq.str("xmlns").as_deref() == Some("abt"));
    let active = place(&|iq| iq.find("active").is_some()).expect("<active/>");
    assert!(upload.expect("an upload") < active && props.expect("the properties") < active);
    let actives = iqs.iter().filter(|item| item.node.find("active").is_some()).count();
    let counts = iqs.iter().filter(|item| item.node.find("count").is_some()).count();
    assert_eq!((actives, counts), (1, 0));
}

/// A first login whose limits are cut down by `hurry`; how often `<active/>` went out.
async fn first_login(hurry: fn(&mut palomar::client::config::Timeouts)) -> usize {
    let world = World::new().await;
    let mut device = world.device(1).await;
    device.client.close().await.unwrap();
    let ports = Arc::new(TwoPorts {
        sim: Arc::clone(&world.sim),
        closed: Mutex::default(),
        dialled: Mutex::default(),
        under_way: AtomicUsize::new(0),
    });
    let address = "ws://sim.test/ws/chat".parse().unwrap();
    let endpoint = Endpoint::at(address, world.sim.root_key(), Tls::new(None).unwrap());
    let mut config = Config::new(endpoint, ports as _);
    hurry(&mut config.timeouts);
    let chance = Chance::seeded(&[78; 32]);
    device.client = Client::open_with(device.store.clone(), config, world.clock, chance).await.unwrap();
    world.link(&device, ANNA).await;
    world.clock.sleep(Duration::from_secs(300)).await;
    let iqs = world.sent(ANNA, "iq").await;
    iqs.iter().filter(|item| item.node.find("active").is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn proves_01_22_14_active_goes_out_also_when_the_work_takes_too_long_and_when_each_part_of_it_fails() {
    let late = first_login(|timeouts| timeouts.startup_work = Duration::ZERO).await;
    assert!(late >= 1, "the work is given up at its limit");
    let failed = first_login(|timeouts| timeouts.iq = Duration::ZERO).await;
    assert!(failed >= 1, "every question of the work fails at once");
}
