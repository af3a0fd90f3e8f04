//! Two clients and their phones over the simulated server, in one process over memory: texts both ways, receipts, the
//! offline queue, lost sessions. The simulator is strict, and nothing of ours may be a violation.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use palomar::client::chance::Chance;
use palomar::client::event::ReceiptKind;
use palomar::client::net::{Dialer, Dialling, Endpoint, Tls};
use palomar::client::send::SendOutcome;
use palomar::client::{Client, Config, Event, PairEvent};
use palomar::sim::{NewAccount, SimConfig, Simulator};
use palomar::store::memory::MemoryAccounts;
use palomar::store::{AccountId, Accounts as _, Store};
use palomar::wire::Jid;

const START: i64 = 1_786_000_000_000;
const ONE: &str = "15550003331";
const TWO: &str = "15550003332";
const LONG: Duration = Duration::from_secs(120);

/// Dials the simulator inside the process.
struct ToSim(Arc<Simulator>);

impl Dialer for ToSim {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialling<'a> {
        Box::pin(async move { Ok(Box::new(self.0.connect("10.0.0.1")) as _) })
    }
}

struct World {
    sim: Arc<Simulator>,
}

impl World {
    async fn new() -> Self {
        let sim = Arc::new(Simulator::start(SimConfig::in_memory(7, START)).await.unwrap());
        for number in [ONE, TWO] {
            let new = NewAccount { number: Some(number.to_owned()), ..NewAccount::default() };
            sim.admin().create_account(new).await.unwrap();
        }
        Self { sim }
    }

    /// A linked client of an account, ready.
    async fn client(&self, number: &str, seed: u8) -> Client {
        let id = "account".parse::<AccountId>().unwrap();
        let client = self.open(MemoryAccounts::new().create(&id, START).unwrap(), seed).await;
        let mut pairing = client.pair().await.unwrap();
        loop {
            match pairing.next().await.expect("the pairing ended") {
                PairEvent::QrCode { text, .. } => {
                    self.sim.admin().scan_qr(number, &text).await.unwrap();
                }
                PairEvent::PairSuccess { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        within(client.ready()).await.unwrap();
        client
    }

    async fn open(&self, store: Store, seed: u8) -> Client {
        let address = "ws://sim.test/ws/chat".parse().unwrap();
        let endpoint = Endpoint::at(address, self.sim.root_key(), Tls::new(None).unwrap());
        let config = Config::new(endpoint, Arc::new(ToSim(Arc::clone(&self.sim))));
        Client::open_with(store, config, self.sim.clock(), Chance::seeded(&[seed; 32])).await.unwrap()
    }

    async fn assert_no_violations(&self) {
        let violations = self.sim.admin().violations().await;
        assert_eq!(violations.total(), 0, "{violations:#?}");
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), work).await.expect("took too long")
}

fn jid(number: &str) -> Jid {
    Jid::pn(number).unwrap()
}

async fn sends(client: &Client, to: &str, text: &str) -> String {
    let accepted = client.send_text(&jid(to), text, text).await.unwrap();
    let outcome = within(client.outcome(text)).await.unwrap().unwrap();
    assert!(matches!(outcome, SendOutcome::Sent { .. }), "{outcome:?}");
    accepted.message_id
}

/// Every event that is in the inbox.
async fn events(client: &Client) -> Vec<Event> {
    let rows = client.store().read(|tx| tx.open_events(0, 10_000)).await.unwrap();
    rows.iter().filter_map(|row| Event::read(row.payload.expose())).collect()
}

async fn texts(client: &Client) -> Vec<String> {
    let events = events(client).await.into_iter();
    events.filter_map(|event| if let Event::Message(message) = event { message.text } else { None }).collect()
}

/// Waits until the inbox holds a text.
async fn hears(client: &Client, text: &str) {
    within(async {
        while !texts(client).await.iter().any(|heard| heard == text) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn texts_go_both_ways_between_clients_and_phones_and_receipts_come_back() {
    let world = World::new().await;
    let (one, two) = (world.client(ONE, 1).await, world.client(TWO, 2).await);
    let admin = world.sim.admin();

    let id = sends(&one, TWO, "to everybody").await;
    hears(&two, "to everybody").await;
    admin.wait_text(TWO, "to everybody", LONG).await.unwrap();
    admin.wait_text(ONE, "to everybody", LONG).await.unwrap();

    sends(&two, ONE, "back").await;
    hears(&one, "back").await;
    admin.send_text(ONE, TWO, "from the phone").await.unwrap();
    hears(&two, "from the phone").await;
    hears(&one, "from the phone").await;

    two.mark_read(&jid(ONE), &jid(ONE), vec![id.clone()], false).await.unwrap();
    within(async {
        let read = |event: &Event| {
            matches!(event, Event::Receipt(r) if r.kind == ReceiptKind::Read && r.ids.contains(&id))
        };
        while !events(&one).await.iter().any(read) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_while_a_client_was_away_arrives_once() {
    let world = World::new().await;
    let (one, two) = (world.client(ONE, 1).await, world.client(TWO, 2).await);
    sends(&one, TWO, "first").await;
    hears(&two, "first").await;
    two.disconnect().await.unwrap();
    for at in 0..40 {
        sends(&one, TWO, &format!("late {at}")).await;
    }
    two.connect().await.unwrap();
    within(two.ready()).await.unwrap();
    hears(&two, "late 39").await;
    let heard = texts(&two).await;
    assert_eq!(heard.len(), 41, "{heard:?}");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_heals_in_both_directions() {
    let world = World::new().await;
    let one = world.client(ONE, 1).await;
    let admin = world.sim.admin();
    sends(&one, TWO, "first").await;
    admin.wait_text(TWO, "first", LONG).await.unwrap();
    admin.send_text(TWO, ONE, "answer").await.unwrap();
    hears(&one, "answer").await;

    // The client loses its sessions: what the phone sends is asked for again.
    let lost = |tx: &mut palomar::store::Tx<'_>| {
        for address in tx.session_addresses("")? {
            tx.delete_session(&address)?;
        }
        Ok::<_, palomar::store::StoreError>(())
    };
    one.store().write(lost).await.unwrap();
    admin.send_text(TWO, ONE, "after the loss").await.unwrap();
    hears(&one, "after the loss").await;
    sends(&one, TWO, "and back").await;
    admin.wait_text(TWO, "and back", LONG).await.unwrap();
    world.assert_no_violations().await;
}
