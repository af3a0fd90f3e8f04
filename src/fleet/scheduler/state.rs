//! The twelve states of an account in a fleet, one enumeration (research, gateway conventions §5), and what leads into them.

use std::fmt;

use super::AccountId;
use crate::fleet::At;

/// What the operator wants, apart from what is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// To be connected whenever it can be.
    Running,
    /// No connection.
    Stopped,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To log in with the keys that are stored.
    Resume,
    /// To link: a person has to act.
    Link,
}

/// Which step of a link waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkStep {
    /// A QR code is to be scanned.
    Qr,
    /// A code is to be entered on the phone.
    Code,
    /// A passkey is asked for.
    Passkey,
    /// The passkey's answer is to be confirmed.
    PasskeyConfirm,
}

/// Why an account is logged out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogoutCause {
    /// The phone, or the service, unlinked it.
    Unlinked,
    /// The same within 30 s of becoming ready: the symptom of clients that look alike (SR-055).
    RightAfterLinking,
    /// The account is locked or banned for good.
    Banned,
    /// The operator logged it out.
    Asked,
}

/// Why an account has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service refuses this client version (405).
    Outdated,
    /// The service refuses this client (409).
    Refused,
    /// The number that was just linked is held by another account. For the operator only (SR-038).
    SameNumber {
        /// Who holds it.
        holder: AccountId,
    },
    /// Another refusal, by its code.
    Code(u16),
    /// The account's store can't be opened.
    Store,
}

/// Why an account waits to dial again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackoffCode {
    /// The connection was lost, or never came about.
    Lost,
    /// The service said "too much".
    RateLimited,
    /// The service banned the account for a time; no dial before its end.
    TempBanned,
}

/// The state of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nothing is wanted.
    Stopped,
    /// It waits for its turn.
    Queued {
        /// What it waits for.
        purpose: Purpose,
        /// When it dials, once it was taken from the queue.
        starts_at: Option<At>,
    },
    /// Dial, handshake, log-in.
    Connecting {
        /// What for.
        purpose: Purpose,
    },
    /// A person is needed.
    Linking {
        /// For what.
        step: LinkStep,
        /// Which round of codes, from 1.
        round: u32,
    },
    /// All rounds were shown and nobody came; no socket.
    LinkExpired,
    /// Logged in: keys, first app state, what came while away.
    Syncing,
    /// Usable.
    Ready {
        /// Since when.
        since: At,
    },
    /// Linked, and the service limits what it may send.
    Restricted {
        /// Until when, where the service says so.
        until: Option<At>,
        /// Since when it is usable.
        since: At,
    },
    /// A loss that mends itself.
    Backoff {
        /// When it goes back into the queue.
        retry_at: At,
        /// Why.
        code: BackoffCode,
    },
    /// Another client uses this identity.
    Replaced,
    /// Unlinked. Nothing happens until a person asks.
    LoggedOut {
        /// Why.
        cause: LogoutCause,
        /// No link before this.
        cooldown_until: At,
    },
    /// At its end for now.
    Failed(Failure),
}

impl State {
    /// The name in interfaces, lower case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Queued { .. } => "queued",
            Self::Connecting { .. } => "connecting",
            Self::Linking { .. } => "linking",
            Self::LinkExpired => "link_expired",
            Self::Syncing => "syncing",
            Self::Ready { .. } => "ready",
            Self::Restricted { .. } => "restricted",
            Self::Backoff { .. } => "backoff",
            Self::Replaced => "replaced",
            Self::LoggedOut { .. } => "logged_out",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether the account may send, within its restrictions.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Restricted { .. })
    }

    /// Between dial and ready (SR-013).
    pub(super) fn is_connecting(&self) -> bool {
        matches!(self, Self::Connecting { .. } | Self::Linking { .. } | Self::Syncing)
    }

    /// Taken from the queue or beyond, with a link as its aim.
    pub(super) fn is_linking(&self) -> bool {
        let link = Purpose::Link;
        matches!(self, Self::Linking { .. })
            || matches!(self, Self::Connecting { purpose } if *purpose == link)
            || matches!(self, Self::Queued { purpose, starts_at: Some(_) } if *purpose == link)
    }

    /// Since when it is usable.
    pub(super) fn ready_since(&self) -> Option<At> {
        match self {
            Self::Ready { since } | Self::Restricted { since, .. } => Some(*since),
            _ => None,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
