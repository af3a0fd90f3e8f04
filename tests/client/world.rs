//! A simulator with phones, and clients that dial it over memory, all on one virtual clock.

use std::sync::Arc;
use std::time::Duration;

use palomar::client::chance::Chance;
use palomar::client::net::{Dialer, Dialling, Endpoint, Tls};
use palomar::client::{Client, Config, Delivery, Drift, PairEvent, State, Stop};
use palomar::clock::Clock;
use palomar::sim::{Direction, NewAccount, SimConfig, Simulator, TrafficFilter, TrafficItem};
use palomar::store::memory::MemoryAccounts;
use palomar::store::{AccountId, Accounts as _, Store};

use crate::faulty::{Plan, faulty};

pub const START: i64 = 1_786_000_000_000;
pub const ANNA: &str = "15550003333";
pub const BERT: &str = "15550004444";

/// Dials the simulator inside the process.
pub struct ToSim(Arc<Simulator>, String);

impl ToSim {
    pub fn new(sim: &Arc<Simulator>, source: &str) -> Self {
        Self(Arc::clone(sim), source.to_owned())
    }
}

impl Dialer for ToSim {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialling<'a> {
        Box::pin(async move { Ok(Box::new(self.0.connect(&self.1)) as _) })
    }
}

pub struct World {
    pub sim: Arc<Simulator>,
    pub clock: Clock,
    /// What any client of this world did not know.
    pub drift: Drift,
    accounts: MemoryAccounts,
}

/// One account's client and store.
pub struct Device {
    pub client: Client,
    pub store: Store,
    source: u8,
    /// How often its process was started anew.
    restarts: u32,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with another configuration of the simulator.
    pub async fn with(change: impl FnOnce(&mut SimConfig)) -> Self {
        let mut config = SimConfig::in_memory(7, START);
        change(&mut config);
        let sim = Arc::new(Simulator::start(config).await.unwrap());
        for number in [ANNA, BERT] {
            let new = NewAccount { number: Some(number.to_owned()), ..NewAccount::default() };
            sim.admin().create_account(new).await.unwrap();
        }
        Self { clock: sim.clock(), sim, drift: Drift::default(), accounts: MemoryAccounts::new() }
    }

    pub async fn device(&self, source: u8) -> Device {
        self.device_with(source, |_| ()).await
    }

    /// As [`device`](Self::device), with another configuration.
    pub async fn device_with(&self, source: u8, change: impl FnOnce(&mut Config)) -> Device {
        let id: AccountId = format!("account{source}").parse().unwrap();
        let store = self.accounts.create(&id, START).unwrap();
        let client = self.open(&store, source, 0, change).await;
        Device { client, store, source, restarts: 0 }
    }

    /// As [`Self::device`], on a store that fails by the plan.
    pub async fn device_failing(&self, source: u8, plan: &Arc<Plan>) -> Device {
        let id: AccountId = format!("account{source}").parse().unwrap();
        let store = faulty(&self.accounts.create(&id, START).unwrap(), plan);
        let client = self.open(&store, source, 0, |_| ()).await;
        Device { client, store, source, restarts: 0 }
    }

    /// The account's state goes to the archive; a fresh one takes its place.
    pub async fn archive(&self, device: &mut Device) {
        let id: AccountId = format!("account{}", device.source).parse().unwrap();
        device.client.close().await.unwrap();
        device.store.close().await.unwrap();
        self.accounts.archive(&id, START).unwrap();
        device.store = self.accounts.create(&id, START).unwrap();
        device.restarts += 1;
        device.client = self.open(&device.store, device.source, device.restarts, |_| ()).await;
    }

    async fn open(
        &self,
        store: &Store,
        source: u8,
        restarts: u32,
        change: impl FnOnce(&mut Config),
    ) -> Client {
        let address = "ws://sim.test/ws/chat".parse().unwrap();
        let endpoint = Endpoint::at(address, self.sim.root_key(), Tls::new(None).unwrap());
        let dialer = ToSim::new(&self.sim, &format!("10.0.0.{source}"));
        let mut config =
            Config { drift: Some(self.drift.clone()), ..Config::new(endpoint, Arc::new(dialer)) };
        change(&mut config);
        // No process ever sees the random numbers of another one.
        let mut seed = [source; 32];
        seed[..4].copy_from_slice(&restarts.to_le_bytes());
        Client::open_with(store.clone(), config, self.clock, Chance::seeded(&seed)).await.unwrap()
    }

    /// The client's process ends and starts anew on the same store.
    pub async fn restart(&self, device: &mut Device) {
        self.restart_with(device, |_| ()).await;
    }

    /// As [`restart`](Self::restart), with another configuration.
    pub async fn restart_with(&self, device: &mut Device, change: impl FnOnce(&mut Config)) {
        device.client.close().await.unwrap();
        device.restarts += 1;
        device.client = self.open(&device.store, device.source, device.restarts, change).await;
    }

    /// A linked device that is ready.
    pub async fn linked(&self, number: &str, source: u8) -> Device {
        let device = self.device(source).await;
        self.link(&device, number).await;
        within(device.client.ready()).await.unwrap();
        device
    }

    /// Links by QR.
    pub async fn link(&self, device: &Device, number: &str) {
        let mut pairing = device.client.pair().await.unwrap();
        loop {
            match within(pairing.next()).await.expect("the pairing ended") {
                PairEvent::QrCode { text, .. } => {
                    self.sim.admin().scan_qr(number, &text).await.unwrap();
                }
                PairEvent::PairSuccess { jid, .. } => {
                    assert_eq!(jid.user(), number);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn assert_no_violations(&self) {
        let violations = self.sim.admin().violations().await;
        assert_eq!(violations.total(), 0, "{violations:#?}");
        for item in self.sim.admin().traffic(&TrafficFilter::default()).await {
            let judged = item.judge.is_some() == (item.direction == Direction::In);
            assert!(judged, "every stanza of a client is judged, and no other: {item:?}");
        }
        let drift = self.drift.report();
        assert!(drift.is_empty(), "a simulator without faults sends nothing unknown: {drift:#?}");
    }

    /// Stanzas of one kind that a number's clients sent.
    pub async fn sent(&self, number: &str, tag: &str) -> Vec<TrafficItem> {
        let filter = TrafficFilter {
            account: Some(number.to_owned()),
            tag: Some(tag.to_owned()),
            ..TrafficFilter::default()
        };
        let items = self.sim.admin().traffic(&filter).await;
        items.into_iter().filter(|item| item.direction == Direction::In).collect()
    }

    /// How many connections there have been on which a login was asked for: `<success>` and `<failure>` together.
    pub async fn logins(&self) -> usize {
        let mut count = 0;
        for tag in ["success", "failure"] {
            let filter = TrafficFilter { tag: Some(tag.to_owned()), ..TrafficFilter::default() };
            count += self.sim.admin().traffic(&filter).await.len();
        }
        count
    }

    /// The one live connection.
    pub async fn connection(&self) -> u64 {
        self.sim.admin().connections().await.last().expect("nobody is connected").id
    }
}

impl Device {
    pub async fn becomes(&self, wanted: impl FnMut(&State) -> bool) -> State {
        within(self.client.state().wait_for(wanted)).await.unwrap().clone()
    }

    pub async fn stops(&self) -> Stop {
        match self.becomes(|state| matches!(state, State::Stopped(_))).await {
            State::Stopped(stop) => stop,
            other => panic!("{other:?}"),
        }
    }

    /// The events that are not acknowledged, of one kind.
    pub async fn open_events(&self, kind: &str) -> usize {
        let open = self.store.read(|tx| tx.open_events(0, 1000)).await.unwrap();
        open.iter().filter(|event| event.kind == kind).count()
    }

    /// The next event that `pick` takes; the others are acknowledged on the way.
    pub async fn event<T>(&self, mut pick: impl FnMut(&Delivery) -> Option<T>) -> T {
        let mut events = self.client.events();
        loop {
            let delivery = within(events.next()).await.unwrap();
            let picked = pick(&delivery);
            delivery.ack().await.unwrap();
            if let Some(picked) = picked {
                return picked;
            }
        }
    }
}

/// Ten minutes of virtual time are enough for anything.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), work).await.expect("took too long")
}
