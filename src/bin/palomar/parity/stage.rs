//! What is played for the comparison: one account links, logs in again, and lives through a quiet day.

use std::sync::Arc;
use std::time::Duration;

use palomar::client::chance::Chance;
use palomar::client::net::{Dialer, Dialling, Endpoint, Tls};
use palomar::client::{Client, Config, PairEvent, SendOutcome};
use palomar::clock::Clock;
use palomar::sim::{Direction, Kick, NewAccount, SimConfig, Simulator, TrafficFilter};
use palomar::stanza::judge::order::{Day, Mark, Shape};
use palomar::store::memory::MemoryAccounts;
use palomar::store::{AccountId, Accounts as _, Store};
use palomar::wire::Jid;

use crate::exit::Failure;

/// The day that is played.
pub const DAY: Day = Day { hours: 24, reconnects: 3, contacts: 5, received: 50, sent: 20 };

/// When the world begins.
const START: i64 = 1_786_000_000_000;
const OWN: &str = "15550003333";
const NAME: &str = "Anna";
/// For one step; much more than any takes.
const STEP: Duration = Duration::from_secs(600);
/// What follows "ready" in the background is over by then.
const SETTLED: Duration = Duration::from_secs(90);
/// Messages come and go at these minutes.
const IN_EVERY: u32 = 28;
const OUT_EVERY: u32 = 70;
/// How long the account is away at the second of its reconnects.
const AWAY: u32 = 30;

/// What the server saw and said, in its order.
pub struct Seen {
    /// From the dial of the registration on.
    pub link: Vec<Mark>,
    /// From the dial of a later login on.
    pub login: Vec<Mark>,
    /// All day.
    pub day: Vec<Mark>,
    /// What the strict simulator objected to.
    pub violations: usize,
}

/// Plays it on a virtual clock of its own; blocks meanwhile.
pub fn in_virtual_time(seed: u64) -> Result<Seen, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.map_err(|e| Failure::failed(format!("the runtime does not start: {e}")))?.block_on(play(seed))
}

async fn play(seed: u64) -> Result<Seen, Failure> {
    let mut stage = Stage::new(seed).await?;
    stage.link().await?;
    stage.settle().await?;
    let link = stage.marks().await;
    stage.reopen().await?;
    stage.settle().await?;
    let login = stage.marks().await;
    stage.day().await?;
    let day = stage.marks().await;
    let violations = usize::try_from(stage.sim.admin().violations().await.total()).unwrap_or(usize::MAX);
    Ok(Seen { link, login, day, violations })
}

/// Dials the simulator inside the process.
struct ToSim(Arc<Simulator>);

impl Dialer for ToSim {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialling<'a> {
        Box::pin(async move { Ok(Box::new(self.0.connect("10.0.0.1")) as _) })
    }
}

struct Stage {
    sim: Arc<Simulator>,
    clock: Clock,
    store: Store,
    client: Client,
    seed: u64,
    /// The traffic up to here was looked at.
    cursor: u64,
}

fn contact(index: u32) -> String {
    format!("1555000{:04}", 4000 + index % DAY.contacts)
}

impl Stage {
    async fn new(seed: u64) -> Result<Self, Failure> {
        let sim = Simulator::start(SimConfig::in_memory(seed, START)).await;
        let sim = Arc::new(sim.map_err(|e| Failure::failed(format!("the simulator does not start: {e}")))?);
        for number in (0..DAY.contacts).map(contact).chain([OWN.to_owned()]) {
            sim.admin().create_account(NewAccount { number: Some(number), ..NewAccount::default() }).await?;
        }
        let id: AccountId = "anna".parse().map_err(failed)?;
        let store = MemoryAccounts::new().create(&id, START).map_err(failed)?;
        let clock = sim.clock();
        let client = open(&sim, &store, clock, seed).await?;
        client.set_push_name(NAME).await.map_err(failed)?;
        Ok(Self { sim, clock, store, client, seed, cursor: 0 })
    }

    /// What came to pass since the last call.
    async fn marks(&mut self) -> Vec<Mark> {
        let filter = TrafficFilter { since: self.cursor, ..TrafficFilter::default() };
        let items = self.sim.admin().traffic(&filter).await;
        self.cursor = items.last().map_or(self.cursor, |item| item.cursor);
        let marks = items.iter().map(|item| Shape::of(item.direction == Direction::In, &item.node).mark());
        marks.flatten().collect()
    }

    async fn link(&self) -> Result<(), Failure> {
        let mut pairing = self.client.pair().await.map_err(failed)?;
        while let Some(event) = within(pairing.next()).await? {
            match event {
                PairEvent::QrCode { text, .. } => {
                    self.sim.admin().scan_qr(OWN, &text).await?;
                }
                PairEvent::PairSuccess { .. } => return Ok(()),
                other => return Err(Failure::failed(format!("the pairing came to {other:?}"))),
            }
        }
        Err(Failure::failed("the pairing ended"))
    }

    async fn settle(&self) -> Result<(), Failure> {
        within(self.client.ready()).await?.map_err(failed)?;
        self.clock.sleep(SETTLED).await;
        Ok(())
    }

    /// The process ends and starts anew.
    async fn reopen(&mut self) -> Result<(), Failure> {
        self.client.close().await.map_err(failed)?;
        self.marks().await;
        self.client = open(&self.sim, &self.store, self.clock, self.seed + 1).await?;
        self.client.connect().await.map_err(failed)
    }

    async fn day(&self) -> Result<(), Failure> {
        let (mut came, mut went) = (0, 0);
        for minute in 0..DAY.hours * 60 {
            self.clock.sleep(Duration::from_secs(60)).await;
            self.trouble(minute).await?;
            if minute % IN_EVERY == 0 && came < DAY.received {
                self.sim.admin().send_text(&contact(came), OWN, &format!("in {came}")).await?;
                came += 1;
            }
            if minute % OUT_EVERY == 5 && went < DAY.sent {
                self.send(went).await?;
                went += 1;
            }
        }
        self.settle().await?;
        if (came, went) != (DAY.received, DAY.sent) {
            return Err(Failure::failed(format!("the day was too short: {came} came, {went} went")));
        }
        self.all_arrived().await
    }

    /// The reconnects of the day: dropped, away for a while, closed by the server.
    async fn trouble(&self, minute: u32) -> Result<(), Failure> {
        let (dropped, away, closed) = (6 * 60, 12 * 60, 18 * 60);
        if minute == dropped {
            self.sim.admin().kick(OWN, None, Kick::Reset, None).await?;
        } else if minute == away {
            self.client.disconnect().await.map_err(failed)?;
        } else if minute == away + AWAY {
            self.client.connect().await.map_err(failed)?;
        } else if minute == closed {
            self.sim.admin().kick(OWN, None, Kick::Close, None).await?;
        }
        Ok(())
    }

    async fn send(&self, index: u32) -> Result<(), Failure> {
        let to = Jid::pn(&contact(index)).map_err(failed)?;
        let text = format!("out {index}");
        self.client.send_text(&to, &text, &text).await.map_err(failed).map(drop)
    }

    /// A day on which something was lost is no measure.
    async fn all_arrived(&self) -> Result<(), Failure> {
        for index in 0..DAY.sent {
            let text = format!("out {index}");
            let outcome = within(self.client.outcome(&text)).await?.map_err(failed)?;
            if !matches!(outcome, Some(SendOutcome::Sent { .. })) {
                return Err(Failure::failed(format!("{text} was not sent: {outcome:?}")));
            }
            self.sim.admin().wait_text(&contact(index), &text, STEP).await?;
        }
        let all = i64::from(DAY.received) + i64::from(DAY.sent) * 4;
        let count = usize::try_from(all).unwrap_or(usize::MAX);
        let open = self.store.read(move |tx| tx.open_events(0, count)).await.map_err(failed)?;
        let came = open.iter().filter(|event| event.kind == "message").count();
        if came != usize::try_from(DAY.received).unwrap_or(usize::MAX) {
            return Err(Failure::failed(format!("{came} messages came of {}", DAY.received)));
        }
        Ok(())
    }
}

async fn open(sim: &Arc<Simulator>, store: &Store, clock: Clock, seed: u64) -> Result<Client, Failure> {
    let address = "ws://sim.test/ws/chat".parse().map_err(failed)?;
    let endpoint = Endpoint::at(address, sim.root_key(), Tls::new(None).map_err(failed)?);
    let config = Config::new(endpoint, Arc::new(ToSim(Arc::clone(sim))));
    let mut chance = [0; 32];
    chance.iter_mut().zip(seed.to_be_bytes()).for_each(|(to, from)| *to = from);
    Client::open_with(store.clone(), config, clock, Chance::seeded(&chance)).await.map_err(failed)
}

async fn within<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(STEP, work)
        .await
        .map_err(|_| Failure::failed("the client did not get on within 10 minutes"))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}
