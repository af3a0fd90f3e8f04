//! Questions to the server and their answers (protocol 01 §14.3): ids, waiters, deadlines, how many at a time (05d §10),
//! and what becomes of an open question when its connection ends. What is asked is in the files of the subjects.

mod gate;
mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use rand_core::CryptoRng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::client::line::IqError;
use crate::client::link::{Link, encode};
use crate::clock::Clock;
use crate::stanza::iq;
use crate::stanza::restrictions::RateLimit;
use crate::wire::{Node, NodeRef};

use gate::{Gate, Turn};
use table::{Open, Table};

/// Questions that may be open at the same time (05d §10).
const IN_FLIGHT: usize = 5;

/// What becomes of an open question when its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It is written again, unchanged, on the next connection.
    NextConnection,
    /// It belonged to that connection and ends as disconnected.
    Never,
    /// It would be seen twice if the server had done it already: its outcome is unknown.
    Unknown,
}

/// All open questions of an account.
#[derive(Debug)]
pub(crate) struct Questions {
    table: Mutex<Table>,
    gate: Mutex<Gate>,
    places: Arc<Semaphore>,
    /// Draws the jitter of waits.
    rng: Mutex<ChaCha20Rng>,
    clock: Clock,
}

impl Questions {
    /// None yet; the ids' prefix is drawn once per process.
    pub fn new<R: CryptoRng + ?Sized>(clock: Clock, rng: &mut R) -> Self {
        let prefix = format!("{}.{}-", rng.random::<u16>(), rng.random::<u16>());
        Self {
            table: Mutex::new(Table::new(prefix)),
            gate: Mutex::default(),
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            rng: Mutex::new(ChaCha20Rng::from_seed(rng.random())),
            clock,
        }
    }

    /// A fresh id, from the counter that all ids share.
    pub fn id(&self) -> String {
        self.table().next_id().1
    }

    /// Asks over `link` and waits for the answer, at most for `deadline` from the moment it goes out.
    pub async fn ask(
        &self,
        link: &Link,
        question: Node,
        repeat: Repeat,
        deadline: Duration,
    ) -> Result<Node, IqError> {
        self.ask_over(|| Some(link.clone()), question, repeat, deadline).await
    }

    /// As [`ask`](Self::ask), over the link that there is when the question's turn has come.
    pub async fn ask_over(
        &self,
        link: impl FnOnce() -> Option<Link>,
        question: Node,
        repeat: Repeat,
        deadline: Duration,
    ) -> Result<Node, IqError> {
        let kinds = gate::kinds(&question);
        let place = match &kinds {
            Some(kinds) => Some(self.turn(kinds).await?),
            None => None,
        };
        let link = link().ok_or(IqError::Disconnected)?;
        let until = self.clock.now() + deadline;
        let (number, id) = self.table().next_id();
        let plaintext = encode(&question.attr("id", id)).map_err(|_| IqError::Disconnected)?;
        let (answer, answered) = oneshot::channel();
        let kinds = kinds.unwrap_or_default();
        self.table().open(number, Open { plaintext: plaintext.clone(), repeat, answer, kinds, place })?;
        // The entry goes when the caller loses interest, too.
        let _entry = Entry { questions: self, number };
        if link.send_encoded(plaintext, true).await.is_err() && repeat == Repeat::Never {
            return Err(IqError::Disconnected);
        }
        tokio::select! {
            biased;
            answer = answered => answer.unwrap_or(Err(IqError::Disconnected)),
            () = self.clock.sleep_until(until) => Err(IqError::Timeout),
        }
    }

    /// Waits for a place among the open questions and for the question's turn; fails at once while the server wants none
    /// of its kind.
    async fn turn(&self, kinds: &[String]) -> Result<OwnedSemaphorePermit, IqError> {
        let held = self.gate().held(kinds, self.clock.now());
        if let Some(wait) = held {
            return Err(IqError::Held(wait));
        }
        // Never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| IqError::Stopped)?;
        loop {
            let turn = self.gate().turn(kinds, self.clock.now());
            match turn {
                Turn::Go => return Ok(place),
                Turn::Wait(until) => self.clock.sleep_until(until).await,
                Turn::Held(wait) => return Err(IqError::Held(wait)),
            }
        }
    }

    /// An answer came; `false` if nobody waits for it.
    pub fn answer(&self, stanza: NodeRef<'_>) -> bool {
        let Some(id) = stanza.str("id") else { return false };
        let Some(open) = self.table().take(&id) else { return false };
        let refused = gate::refused(&open.kinds, stanza);
        let now = self.clock.now();
        let wait = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            self.gate().answered(&open.kinds, &refused, now, &mut *rng)
        };
        let result = if stanza.str("type").as_deref() == Some("error") {
            let iq::IqError { code, text, backoff } = iq::IqError::parse(stanza);
            // Whoever asked is told how long the kind is held back, with a number of the server or without.
            let backoff = wait.map(|wait| wait.as_secs().max(1)).or(backoff);
            Err(IqError::Refused { code, text, backoff, rate_limit: RateLimit::of(stanza) })
        } else {
            Ok(stanza.to_node())
        };
        // The waiter may have given up meanwhile.
        let _ = open.answer.send(result);
        true
    }

    /// The connection ended: everything but [`Repeat::NextConnection`] ends with it.
    pub fn connection_ended(&self) {
        self.table().connection_ended();
    }

    /// What has to be written again on a new connection, in the old order.
    pub fn take_repeats(&self) -> Vec<Vec<u8>> {
        self.table().take_repeats(|| Arc::clone(&self.places).try_acquire_owned().ok())
    }

    /// A stop state ends every open question, and those asked while it stands.
    pub fn set_stopped(&self, stopped: bool) {
        self.table().set_stopped(stopped);
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes its question out of the table when dropped.
struct Entry<'a> {
    questions: &'a Questions,
    number: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.questions.table().forget(self.number);
    }
}
