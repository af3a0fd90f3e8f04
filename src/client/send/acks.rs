//! Who waits for which ack of the server (protocol 05a §12, 05b §8). A connection's end wakes all of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::stanza::ack::ServerAck;

/// How long an ack is waited for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(75);

/// Why there was no ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAck {
    Timeout,
    Disconnected,
}

type Waiters = HashMap<(String, String), oneshot::Sender<ServerAck>>;

/// The waiters, by class and id.
#[derive(Default)]
pub(crate) struct Acks(Mutex<Waiters>);

/// A place in the queue of an ack; given up when dropped unused.
pub(crate) struct Waiter(oneshot::Receiver<ServerAck>);

impl Acks {
    /// Waits for an ack, from now on. Ask before the stanza goes out. A second waiter replaces the first.
    pub(crate) fn expect(&self, class: &str, id: &str) -> Waiter {
        let (tell, told) = oneshot::channel();
        let mut waiters = self.lock();
        waiters.retain(|_, waiter| !waiter.is_closed());
        waiters.insert((class.to_owned(), id.to_owned()), tell);
        Waiter(told)
    }

    /// An ack came; it comes back if nobody waits for it.
    pub(crate) fn came(&self, ack: ServerAck) -> Option<ServerAck> {
        match self.lock().remove(&(ack.class.clone(), ack.id.clone())) {
            Some(waiter) => waiter.send(ack).err(),
            None => Some(ack),
        }
    }

    /// The connection ended.
    pub(crate) fn disconnected(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Waits.
    pub(crate) async fn wait(self, clock: &Clock) -> Result<ServerAck, NoAck> {
        tokio::select! {
            biased;
            ack = self.0 => ack.map_err(|_| NoAck::Disconnected),
            () = clock.sleep(TIMEOUT) => Err(NoAck::Timeout),
        }
    }
}
