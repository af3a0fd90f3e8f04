//! Questions to the server and their answers (protocol 01 §14.3): ids, waiters, deadlines, and what becomes of an
//! open question when its connection ends. What is asked is in the files of the subjects.

mod table;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use rand_core::CryptoRng;
use tokio::sync::oneshot;

use crate::client::line::IqError;
use crate::client::link::{Link, encode};
use crate::clock::Clock;
use crate::stanza::iq;
use crate::wire::{Node, NodeRef};

use table::{Open, Table};

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
    clock: Clock,
}

impl Questions {
    /// None yet; the ids' prefix is drawn once per process.
    pub fn new<R: CryptoRng + ?Sized>(clock: Clock, rng: &mut R) -> Self {
        let prefix = format!("{}.{}-", rng.random::<u16>(), rng.random::<u16>());
        Self { table: Mutex::new(Table::new(prefix)), clock }
    }

    /// A fresh id, from the counter that all ids share.
    pub fn id(&self) -> String {
        self.table().next_id().1
    }

    /// Asks over `link` and waits for the answer, at most for `deadline` from now.
    pub async fn ask(
        &self,
        link: &Link,
        question: Node,
        repeat: Repeat,
        deadline: Duration,
    ) -> Result<Node, IqError> {
        let until = self.clock.now() + deadline;
        let (number, id) = self.table().next_id();
        let plaintext = encode(&question.attr("id", id)).map_err(|_| IqError::Disconnected)?;
        let (answer, answered) = oneshot::channel();
        self.table().open(number, Open { plaintext: plaintext.clone(), repeat, answer })?;
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

    /// An answer came; `false` if nobody waits for it.
    pub fn answer(&self, stanza: NodeRef<'_>) -> bool {
        let Some(id) = stanza.str("id") else { return false };
        let Some(open) = self.table().take(&id) else { return false };
        let result = if stanza.str("type").as_deref() == Some("error") {
            let iq::IqError { code, text, backoff } = iq::IqError::parse(stanza);
            Err(IqError::Refused { code, text, backoff })
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
        self.table().take_repeats()
    }

    /// A stop state ends every open question, and those asked while it stands.
    pub fn set_stopped(&self, stopped: bool) {
        self.table().set_stopped(stopped);
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
