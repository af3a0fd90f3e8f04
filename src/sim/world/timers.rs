//! What the world does later: a queue of deadlines in the world's own time.

use std::collections::BTreeMap;

use super::account::DeviceRef;
use super::connection::ConnectionId;
use super::faults::Scope;
use super::receipts::MergeKey;
use crate::clock::UnixMillis;
use crate::wire::Node;

/// Something that is due at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Close a connection whose end was announced.
    Close(ConnectionId),
    /// A pairing ref's time is over.
    RefExpired(ConnectionId),
    /// The companion has not answered pair-success.
    PairingTimeout(ConnectionId),
    /// A code hello's 180 s are over.
    HelloExpired(ConnectionId),
    /// No `offline_batch` came: release the backlog. The count tells a later request from this one.
    OfflineFallback(ConnectionId, u64),
    /// A passive login must have said `active` by now.
    NeverActive(ConnectionId),
    /// A stanza delivered live must be answered by now.
    Unanswered {
        /// The receiver.
        device: DeviceRef,
        /// The queue entry.
        entry: u64,
        /// The connection it went to.
        connection: ConnectionId,
    },
    /// A silent connection is closed.
    Idle(ConnectionId),
    /// A restriction of this account may end.
    Restriction(String),
    /// Ping from the server.
    Ping(ConnectionId),
    /// Receipts that were kept to be merged.
    MergedReceipt(MergeKey),
    /// An armed fault's time has come.
    Faults,
    /// A bad network gets well.
    NetEnds(Scope),
    /// A stanza that was kept back.
    Write(ConnectionId, Box<Node>),
    /// An account may have been available since then without a pause.
    AlwaysOnline(String, UnixMillis),
}

/// Deadlines in order of time, then of setting.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(UnixMillis, u64), Timer>,
    next: u64,
}

impl Timers {
    pub fn set(&mut self, at: UnixMillis, timer: Timer) {
        self.next += 1;
        self.due.insert((at, self.next), timer);
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<UnixMillis> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// The earliest timer that is due at `now`.
    pub fn pop(&mut self, now: UnixMillis) -> Option<(UnixMillis, Timer)> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| {
            let ((at, _), timer) = first.remove_entry();
            (at, timer)
        })
    }
}
