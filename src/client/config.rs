//! What a client is told from outside: where the service is, how to get there, times and limits. All defaults
//! are those of the protocol chapters. Addresses and egress themselves are in [`net`](crate::client::net).

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::client::drift::Drift;
use crate::client::life::keepalive;
use crate::client::limits::NewChats;
use crate::client::net::{Dialer, Endpoint};
use crate::client::payload::{BUILT_IN_VERSION, ClientVersion};
use crate::client::recorder::Recorder;
use crate::client::send::Pacing;
use crate::client::version::Discovery;
use crate::clock::UnixMillis;

/// Everything a client needs to know besides its store.
#[derive(Clone)]
pub struct Config {
    /// Where the service is.
    pub endpoint: Endpoint,
    /// How its bytes leave.
    pub egress: Arc<dyn Dialer>,
    /// The web client's version in use; can be moved forward while running.
    pub version: VersionCell,
    /// Where the service is asked for its current version, once a day; `None`: never. Off unless it is set.
    pub discovery: Option<Discovery>,
    /// Waiting times.
    pub timeouts: Timeouts,
    /// How fast the account writes (05d §10).
    pub pacing: Pacing,
    /// How many new chats the account begins by itself (05d §10).
    pub new_chats: NewChats,
    /// Numbers of keepalive (01 §16).
    pub keepalive: keepalive::Numbers,
    /// The application wants to be shown as available (05d §1). Without it the phone keeps its push messages.
    pub available: bool,
    /// Where shapes that this build does not know are counted; `None`: nowhere. A process with several clients gives
    /// them one counter.
    pub drift: Option<Drift>,
    /// Records the shapes of all stanzas of the account's connections.
    pub recorder: Option<Recorder>,
    /// "Silent delivery": delivery receipts are `inactive`, which shows no ticks, while the account is not shown as
    /// available (05b §8). The official client does not do that.
    pub silent_delivery: bool,
    /// Called with the facts of a pairing before it is accepted; `Err` vetoes it (02 §5 step 5).
    pub pair_veto: Option<PairVeto>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Judges a pairing: `Err` says in words why it must not come about.
pub type PairVeto = Arc<dyn Fn(&PairCandidate) -> Result<(), String> + Send + Sync>;

/// What pair-success names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairCandidate {
    /// Own address with device.
    pub jid: crate::wire::Jid,
    /// The phone's platform.
    pub platform: Option<String>,
    /// The business's name.
    pub business: Option<String>,
}

/// Waiting times that are not part of a pure state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// First stanza after the handshake (01 §5).
    pub first_stanza: Duration,
    /// An IQ's answer, from the first write (01 §14.3).
    pub iq: Duration,
    /// The work before the queue of a passive login (01 §14.2 step 3).
    pub startup_work: Duration,
    /// The server's own close (01 §18).
    pub server_close: Duration,
    /// Flushing at a graceful close (01 §19).
    pub flush: Duration,
    /// The 515 after pairing (02 §5).
    pub restart: Duration,
    /// The answer to a log-out (02 §11).
    pub unlink: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            first_stanza: s(60),
            iq: s(75),
            startup_work: s(60),
            server_close: s(10),
            flush: s(2),
            restart: s(10),
            unlink: s(3),
        }
    }
}

impl Config {
    /// The service at `endpoint` over `egress`, with all defaults.
    #[must_use]
    pub fn new(endpoint: Endpoint, egress: Arc<dyn Dialer>) -> Self {
        Self {
            endpoint,
            egress,
            version: VersionCell::default(),
            discovery: None,
            timeouts: Timeouts::default(),
            pacing: Pacing::default(),
            new_chats: NewChats::default(),
            keepalive: keepalive::Numbers::default(),
            available: false,
            drift: Some(Drift::default()),
            recorder: None,
            silent_delivery: false,
            pair_veto: None,
        }
    }
}

/// The client version in use, shared by whoever refreshes it (01 §13). It only moves forward.
#[derive(Debug, Clone)]
pub struct VersionCell(Arc<RwLock<Held>>);

#[derive(Debug, Clone, Copy)]
struct Held {
    version: ClientVersion,
    /// When the service was last asked, Unix milliseconds.
    checked_at: Option<UnixMillis>,
}

impl Default for VersionCell {
    fn default() -> Self {
        Self::new(BUILT_IN_VERSION)
    }
}

impl VersionCell {
    /// Starts with `version`.
    #[must_use]
    pub fn new(version: ClientVersion) -> Self {
        Self(Arc::new(RwLock::new(Held { version, checked_at: None })))
    }

    /// The version in use.
    #[must_use]
    pub fn get(&self) -> ClientVersion {
        self.0.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// When the service was last asked for its version, Unix milliseconds, as far as known.
    #[must_use]
    pub fn checked_at(&self) -> Option<UnixMillis> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).checked_at
    }

    /// The service was asked then.
    pub(crate) fn note_checked(&self, at: UnixMillis) {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        held.checked_at = held.checked_at.max(Some(at));
    }

    /// Takes a newer version; an older one is ignored. `true` if it was taken.
    pub fn refresh(&self, version: ClientVersion) -> bool {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let newer = version > held.version;
        if newer {
            held.version = version;
        }
        newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_version_than_the_one_in_use_is_ignored() {
        let cell = VersionCell::new(ClientVersion([2, 3000, 50]));
        assert!(!cell.refresh(ClientVersion([2, 3000, 49])));
        assert!(!cell.refresh(ClientVersion([2, 3000, 50])));
        assert!(cell.refresh(ClientVersion([2, 3000, 51])));
        assert_eq!(cell.get(), ClientVersion([2, 3000, 51]));
    }
}
