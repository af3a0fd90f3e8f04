//! The outbox at its gate: the answer in its own terms, what waits says why, and the application hears it.

use std::time::Duration;

use super::Language;
use super::decide::{self, NewChats, Why};
use super::release;
use crate::client::devices::own::Own;
use crate::client::event::SendState;
use crate::client::messaging::Messaging;
use crate::client::send::release::{Refused, Times, Verdict};
use crate::client::send::{Refusal, settle};
use crate::store::{Outgoing, StoreError, Tx, UnixMillis};

/// What waits without an end is looked at this often.
const FAR: UnixMillis = 24 * 60 * 60 * 1000;

/// Looks, and changes nothing.
pub(crate) fn check(
    tx: &Tx<'_>,
    own: &Own,
    row: &Outgoing,
    budget: &NewChats,
    times: Times,
) -> Result<Verdict, StoreError> {
    release::check(tx, own, row, budget, times).map(verdict)
}

/// Looks again, in the transaction that encrypts; what the message costs is taken.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    own: &Own,
    row: &Outgoing,
    budget: &NewChats,
    times: Times,
) -> Result<Verdict, StoreError> {
    release::take(tx, own, row, budget, times).map(verdict)
}

fn verdict(verdict: decide::Verdict) -> Verdict {
    match verdict {
        decide::Verdict::Go(_) => Verdict::Go,
        decide::Verdict::Wait(why, until) => Verdict::Wait { why, until },
        decide::Verdict::Refuse(why, until) => {
            let detail = Language::En.why(why).to_owned();
            Verdict::Refuse(Refused { why: Refusal::Limited(why), detail, until })
        }
    }
}

impl Messaging {
    /// A row waits: it says why, and the application hears it once.
    pub(crate) async fn holds(
        &self,
        row: &Outgoing,
        why: Why,
        until: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        let (key, now) = (row.key.clone(), self.ctx.clock.wall_ms());
        self.ctx.store.write(move |tx| waits(tx, &key, why, until, now)).await?;
        let wait = until.map_or(FAR, |until| (until - now).clamp(1, FAR));
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(1));
        self.outbox.hold(row.seq, self.ctx.clock.now() + wait);
        if why == Why::AskingCap {
            self.ctx.limits.ask_cap(self.ctx.clock.now());
        }
        self.ctx.inbox.notify_waiters();
        Ok(())
    }

    /// Whether the identical bytes of a row may go once more. If not it waits; where it would be refused its outcome is
    /// unknown, since the server may have it.
    pub(crate) async fn may_repeat(&self, row: &Outgoing) -> Result<bool, StoreError> {
        let (asked, times, budget) = (row.clone(), self.ctx.times(), self.ctx.config.new_chats);
        let verdict = self.ctx.store.read(move |tx| match Own::load(tx)? {
            Some(own) => release::check(tx, &own, &asked, &budget, times),
            None => Ok(decide::Verdict::Wait(Why::Paused, None)),
        });
        match verdict.await? {
            decide::Verdict::Go(_) => return Ok(true),
            decide::Verdict::Wait(why, until) => self.holds(row, why, until).await?,
            decide::Verdict::Refuse(why, until) => {
                self.end(row, move |tx, row, now| {
                    row.detail = Some(Language::En.why(why).to_owned());
                    (row.why, row.until) = (Some(why.name().to_owned()), until);
                    settle::give_up(tx, row, now)
                })
                .await?;
            }
        }
        Ok(false)
    }
}

fn waits(
    tx: &mut Tx<'_>,
    key: &str,
    why: Why,
    until: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let Some(mut row) = tx.outgoing(key)?.filter(|row| row.state.is_open()) else { return Ok(()) };
    if row.why.as_deref() == Some(why.name()) && row.until == until {
        return Ok(());
    }
    (row.why, row.until) = (Some(why.name().to_owned()), until);
    tx.put_outgoing(&row)?;
    settle::tell(tx, &row, SendState::Waiting { why, until }, now)
}
