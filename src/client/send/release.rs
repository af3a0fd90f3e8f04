//! May a message leave now? Asked twice of every row but peer messages: before the network is asked anything for its
//! sake, and again in the transaction that encrypts it, which also takes what is counted (protocol 05d §9.2: not when the
//! row is queued). Each rule lives with its subject; here they only stand in order.

use crate::client::devices::own::Own;
use crate::client::limits::{self, NewChats, Why};
use crate::client::send::outcome::Refusal;
use crate::client::send::{edit, wrong};
use crate::store::{Outgoing, StoreError, Tx, UnixMillis};

/// When the question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// Our wall time.
    pub(crate) now: UnixMillis,
    /// The server's time, Unix seconds.
    pub(crate) server_s: i64,
}

impl Times {
    /// A time of the server, Unix seconds, on our wall: not before that second is over there.
    pub(crate) fn wall(self, seconds: i64) -> UnixMillis {
        let seconds = seconds.saturating_add(1);
        self.now.saturating_add(seconds.saturating_sub(self.server_s).saturating_mul(1000))
    }
}

/// A message is not sent, for a reason of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) why: Refusal,
    /// What a person should know.
    pub(crate) detail: String,
    /// When the reason ends, where that is known.
    pub(crate) until: Option<UnixMillis>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It leaves.
    Go,
    /// It waits, and is asked about again; its chat waits with it.
    Wait {
        why: Why,
        /// Until then; `None`: until something changes.
        until: Option<UnixMillis>,
    },
    /// It ends.
    Refuse(Refused),
}

/// Looks, and changes nothing.
pub(crate) fn check(
    tx: &Tx<'_>,
    own: &Own,
    row: &Outgoing,
    budget: &NewChats,
    times: Times,
) -> Result<Verdict, StoreError> {
    match by_ourselves(tx, own, row, times)? {
        Verdict::Go => limits::check(tx, own, row, budget, times),
        other => Ok(other),
    }
}

/// What has nothing to do with limits of the service.
fn by_ourselves(tx: &Tx<'_>, own: &Own, row: &Outgoing, times: Times) -> Result<Verdict, StoreError> {
    if let Some(refused) = wrong::stopped(tx, row, times.now)? {
        return Ok(Verdict::Refuse(refused));
    }
    if let Some(refused) = edit::too_late(tx, own, row, times.server_s)? {
        return Ok(Verdict::Refuse(refused));
    }
    Ok(Verdict::Go)
}

/// Looks again, in the transaction that encrypts; on [`Verdict::Go`] what a message costs is taken.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    own: &Own,
    row: &Outgoing,
    budget: &NewChats,
    times: Times,
) -> Result<Verdict, StoreError> {
    match by_ourselves(tx, own, row, times)? {
        Verdict::Go => limits::take(tx, own, row, budget, times),
        other => Ok(other),
    }
}
