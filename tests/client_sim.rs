//! The client against the simulated server, in one process over memory: linking, login, unlinking.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use palomar::client::chance::Chance;
use palomar::client::net::{Dialer, Dialling, Endpoint, Tls};
use palomar::client::{Client, Config, PairEvent, State};
use palomar::clock::Clock;
use palomar::sim::{NewAccount, SimConfig, Simulator};
use palomar::store::memory::MemoryAccounts;
use palomar::store::{AccountId, Accounts as _, Store};

const START: i64 = 1_786_000_000_000;
const NUMBER: &str = "15550003333";

/// Dials the simulator inside the process.
struct ToSim(Arc<Simulator>);

impl Dialer for ToSim {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialling<'a> {
        Box::pin(async move { Ok(Box::new(self.0.connect("10.0.0.1")) as _) })
    }
}

struct World {
    sim: Arc<Simulator>,
    store: Store,
    clock: Clock,
}

impl World {
    async fn new() -> Self {
        let sim = Arc::new(Simulator::start(SimConfig::in_memory(7, START)).await.unwrap());
        sim.admin()
            .create_account(NewAccount { number: Some(NUMBER.to_owned()), ..NewAccount::default() })
            .await
            .unwrap();
        let accounts = MemoryAccounts::new();
        let store = accounts.create(&"one".parse::<AccountId>().unwrap(), START).unwrap();
        Self { clock: sim.clock(), sim, store }
    }

    async fn client(&self) -> Client {
        let endpoint = Endpoint::at(
            "ws://sim.test/ws/chat".parse().unwrap(),
            self.sim.root_key(),
            Tls::new(None).unwrap(),
        );
        let config = Config::new(endpoint, Arc::new(ToSim(Arc::clone(&self.sim))));
        Client::open_with(self.store.clone(), config, self.clock, Chance::seeded(&[7; 32])).await.unwrap()
    }

    async fn link(&self, client: &Client) {
        let mut pairing = client.pair().await.unwrap();
        loop {
            match pairing.next().await.expect("the pairing ended") {
                PairEvent::QrCode { text, .. } => {
                    self.sim.admin().scan_qr(NUMBER, &text).await.unwrap();
                }
                PairEvent::PairSuccess { jid, .. } => {
                    assert_eq!(jid.user(), NUMBER);
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn assert_no_violations(&self) {
        let violations = self.sim.admin().violations().await;
        assert_eq!(violations.total(), 0, "{violations:#?}");
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), work).await.expect("took too long")
}

#[tokio::test(start_paused = true)]
async fn pairs_by_qr_with_515_logs_in_and_is_ready() {
    let world = World::new().await;
    let client = world.client().await;
    world.link(&client).await;
    within(client.ready()).await.unwrap();
    assert_eq!(*client.state().borrow(), State::Ready);
    world.assert_no_violations().await;
}
