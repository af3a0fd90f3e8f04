//! What can be observed about an account's life, and the states in which it stands still until a person acts
//! (protocol 01 §19). How they are reached is in [`life::decide`](crate::client::life::decide).

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;

/// Where an account stands right now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// No link, and no pairing under way.
    Unpaired,
    /// Linked, not connected, and not asked to be.
    Offline,
    /// A pairing connection is open or being opened.
    Pairing,
    /// Dialling or shaking hands.
    Connecting {
        /// Failed tries since the last stable connection.
        attempt: u32,
    },
    /// Waiting before the next try.
    Waiting {
        /// Wall time of the next try.
        until: UnixMillis,
    },
    /// Logged in, the offline queue is still coming.
    CatchingUp,
    /// Logged in and caught up: may send.
    Ready,
    /// Standing still for good; only the caller leaves this.
    Stopped(Stop),
}

impl State {
    /// True where the account may send at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }
}

/// Why an account stands still. Written to the store, so that a restart keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stop", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stop {
    /// The link is gone; a new one needs new keys.
    LoggedOut {
        /// What took it away.
        reason: LogOut,
    },
    /// The same credentials are connected elsewhere.
    Replaced,
    /// The service refuses this client version.
    ClientTooOld {
        /// The version that was used, e.g. `2.3000.1045649367`.
        version: String,
    },
    /// The service refuses this user agent: a configuration error.
    BadUserAgent,
    /// Banned for a time.
    TempBanned {
        /// The service's code, e.g. 101: sent to too many people.
        code: u32,
        /// When it ends, wall time in milliseconds.
        until: UnixMillis,
    },
    /// A `<failure>` for which nothing better than a person is known.
    UnknownFailure {
        /// Its number, where it had a readable one.
        reason: Option<u32>,
    },
    /// The phone has a new identity: it was registered anew, or somebody stands in between (protocol 02 §11).
    PhoneIdentityChanged,
    /// The user asked for it.
    UserStopped,
}

/// What ended a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogOut {
    /// `<failure>` at login, with its number (401, 403 or 406).
    OnConnect {
        /// The number.
        reason: u32,
    },
    /// Removed on the phone or by the service while connected.
    DeviceRemoved,
    /// Stream error 516.
    Forced,
    /// The user asked for it.
    User,
}

impl Stop {
    /// The stable name of the state.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::LoggedOut { .. } => "logged_out",
            Self::Replaced => "replaced",
            Self::ClientTooOld { .. } => "client_too_old",
            Self::BadUserAgent => "bad_user_agent",
            Self::TempBanned { .. } => "temp_banned",
            Self::UnknownFailure { .. } => "unknown_failure",
            Self::PhoneIdentityChanged => "phone_identity_changed",
            Self::UserStopped => "user_stopped",
        }
    }

    /// Whether the caller may leave it at `now` without a new link.
    #[must_use]
    pub fn may_resume(&self, now: UnixMillis) -> bool {
        match self {
            Self::LoggedOut { .. } => false,
            Self::TempBanned { until, .. } => now >= *until,
            _ => true,
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LoggedOut { .. } => f.write_str("logged out; archive the account and link it anew"),
            Self::Replaced => f.write_str(
                "the same credentials are connected elsewhere; stop the other client, then resume",
            ),
            Self::ClientTooOld { version } => {
                write!(f, "the service refuses client version {version}; give a newer one, then resume")
            }
            Self::BadUserAgent => {
                f.write_str("the service refuses the user agent; correct the configuration")
            }
            Self::TempBanned { code, until } => {
                write!(f, "banned for a time (code {code}), until {until} ms after the Unix epoch")
            }
            Self::UnknownFailure { reason: Some(reason) } => {
                write!(f, "the service refused the login with {reason}; look into it before resuming")
            }
            Self::UnknownFailure { reason: None } => {
                f.write_str("the service refused the login without a number; look into it before resuming")
            }
            Self::PhoneIdentityChanged => {
                f.write_str("the phone has a new identity; check the phone, then resume or archive")
            }
            Self::UserStopped => f.write_str("stopped by the user"),
        }
    }
}
