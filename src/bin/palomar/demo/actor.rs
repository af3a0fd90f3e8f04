//! One account of the demo: its own store, its own runtime, so that it can be killed without a word.

use std::sync::Arc;
use std::time::Duration;

use palomar::client::net::{Endpoint, Tcp};
use palomar::client::send::Pacing;
use palomar::client::{self, Client, DeviceProfile, PairEvent, State};
use palomar::clock::Clock;
use palomar::store::sqlite::{Options, SqliteAccounts, Writers};
use palomar::store::{AccountId, Accounts, DataDir, Store};
use tokio::runtime::Runtime;

use super::ledger::Ledger;
use crate::exit::Failure;
use crate::send::text;

/// How long a store may take to be free again after a kill.
const SETTLE: Duration = Duration::from_secs(5);
/// The pause between two messages of one account; the product's own is 2 to 3 s.
const PACING: Pacing =
    Pacing { gap: Duration::from_millis(300), jitter: Duration::from_millis(200), per_minute: 60 };

/// An account that can be killed and reopened.
pub struct Actor {
    /// Its place in the table.
    pub index: usize,
    /// Its id.
    pub name: &'static str,
    /// Its phone's number.
    pub number: &'static str,
    profile: DeviceProfile,
    id: AccountId,
    accounts: Arc<SqliteAccounts>,
    endpoint: Endpoint,
    ledger: Arc<Ledger>,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    client: Client,
    store: Store,
}

impl Actor {
    /// Makes the account in the folder, not running.
    pub async fn make(
        index: usize,
        (name, number): (&'static str, &'static str),
        profile: DeviceProfile,
        (data, endpoint): (&DataDir, &Endpoint),
        ledger: &Arc<Ledger>,
    ) -> Result<Self, Failure> {
        let id = AccountId::new(name)?;
        let accounts =
            SqliteAccounts::new(data.clone(), Arc::new(Writers::threads(1, 4)?), Options::default())?;
        let store = accounts.create(&id, now())?;
        let record = profile.record();
        store.write(move |tx| tx.set_profile(&record)).await?;
        store.close().await?;
        let (endpoint, ledger) = (endpoint.clone(), Arc::clone(ledger));
        Ok(Self {
            index,
            name,
            number,
            profile,
            id,
            accounts: Arc::new(accounts),
            endpoint,
            ledger,
            running: None,
        })
    }

    /// Its device profile, in words.
    pub fn presents_as(&self) -> String {
        format!("{} on {}", self.profile.browser.name(), self.profile.os.name_and_version().0)
    }

    /// Opens the store and the client in a runtime of their own, and begins to listen.
    pub async fn start(&mut self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|e| Failure::failed(format!("a runtime does not start: {e}")))?;
        let store = self.accounts.open(&self.id, now())?;
        let mut config = client::Config::new(self.endpoint.clone(), Arc::new(Tcp));
        config.pacing = PACING;
        let opening = runtime.spawn(Client::open(store.clone(), config));
        let client = opening.await.map_err(|e| Failure::failed(e.to_string()))??;
        let (mut events, ledger, index) = (client.events(), Arc::clone(&self.ledger), self.index);
        runtime.spawn(async move {
            while let Ok(delivery) = events.next().await {
                ledger.with(|book| book.event(index, &delivery.id, &delivery.event));
                if delivery.ack().await.is_err() {
                    return;
                }
            }
        });
        self.running = Some(Running { runtime, client, store });
        Ok(())
    }

    fn client(&self) -> Result<&Client, Failure> {
        let running =
            self.running.as_ref().ok_or_else(|| Failure::failed(format!("{} does not run", self.name)))?;
        Ok(&running.client)
    }

    /// Links: hands every QR to `scan`, returns the own JID once linked.
    pub async fn link<F: Future<Output = Result<(), Failure>>>(
        &self,
        mut scan: impl FnMut(String) -> F,
    ) -> Result<String, Failure> {
        let mut pairing = self.client()?.pair().await?;
        while let Some(event) = pairing.next().await {
            match event {
                PairEvent::QrCode { text, .. } => scan(text).await?,
                PairEvent::PairSuccess { jid, .. } => return Ok(jid.to_string()),
                other => return Err(Failure::failed(format!("{} was not linked: {other:?}", self.name))),
            }
        }
        Err(Failure::failed(format!("the linking of {} ended", self.name)))
    }

    /// Wants the account connected.
    pub async fn connect(&self) -> Result<(), Failure> {
        Ok(self.client()?.connect().await?)
    }

    /// Waits until it may send.
    pub async fn ready(&self, within: Duration) -> Result<(), Failure> {
        let late =
            |_| Failure::failed(format!("{} did not become ready within {} s", self.name, within.as_secs()));
        Ok(tokio::time::timeout(within, self.client()?.ready()).await.map_err(late)??)
    }

    /// Sends a text; its idempotency key is the text. Returns when it is in the outbox.
    pub async fn send(&self, to_number: &str, body: &str) -> Result<(), Failure> {
        let to = crate::send::recipient(to_number)?;
        let accepted = self.client()?.send(&to, text(body), body).await?;
        self.ledger.with(|book| book.named(body, accepted.message_id));
        Ok(())
    }

    /// Where it stands, in a word.
    pub fn state(&self) -> String {
        match self.client().map(|client| client.state().borrow().clone()) {
            Ok(State::Ready) => "ready".to_owned(),
            Ok(State::Stopped(stop)) => stop.name().to_owned(),
            Ok(other) => format!("{other:?}").to_lowercase(),
            Err(_) => "not running".to_owned(),
        }
    }

    /// Ends it in the middle of whatever it does: no flush, no goodbye, the connection just breaks.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        let Some(Running { runtime, client, store }) = self.running.take() else { return Ok(()) };
        runtime.shutdown_background();
        drop((client, store));
        let accounts = Arc::clone(&self.accounts);
        let free = tokio::task::spawn_blocking(move || accounts.settle(SETTLE)).await;
        match free {
            Ok(true) => Ok(()),
            _ => Err(Failure::failed(format!("the store of {} was not free after the kill", self.name))),
        }
    }

    /// Ends it in order.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        let Some(Running { runtime, client, store }) = self.running.take() else { return Ok(()) };
        client.close().await?;
        store.close().await?;
        runtime.shutdown_background();
        Ok(())
    }
}

fn now() -> i64 {
    Clock::system().wall_ms()
}
