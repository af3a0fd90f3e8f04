//! The questions about time-lock and cap, when they are asked (protocol 05d §9.1), and the ends of what ends by itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::record::{MINUTE, Restrictions, Source};
use super::release;
use super::signals;
use crate::client::context::Shared;
use crate::client::iq::Repeat;
use crate::client::messaging::Messaging;
use crate::client::send::release::Times;
use crate::stanza::mex::MexError;
use crate::stanza::restrictions::{Cap, Timelock};
use crate::store::{StoreError, UnixMillis};

/// The same question at most once in this time.
const GAP: UnixMillis = 10 * MINUTE;

/// After "ready" the first question waits so many milliseconds.
const SPREAD: std::ops::Range<u64> = 5_000..60_001;

/// A time-lock without an end is asked about again after this.
const WITHOUT_END: UnixMillis = MINUTE;

/// Nothing is looked at less often.
const SELDOM: Duration = Duration::from_secs(3600);

/// The two questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Timelock,
    Cap,
}

/// The memory of this room: what wants to be asked, and a bell.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    wanted: Mutex<Wanted>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Wanted {
    timelock: Option<Instant>,
    cap: Option<Instant>,
}

impl Limits {
    /// Something happened after which the time-lock is asked for, as soon as it may be.
    pub(crate) fn ask_timelock(&self, now: Instant) {
        self.lock().timelock.get_or_insert(now);
        self.bell.notify_one();
    }

    /// The same for the cap.
    pub(crate) fn ask_cap(&self, now: Instant) {
        self.lock().cap.get_or_insert(now);
        self.bell.notify_one();
    }

    /// The record has changed.
    pub(crate) fn changed(&self) {
        self.bell.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Our time and the server's.
    pub(crate) fn times(&self) -> Times {
        Times { now: self.clock.wall_ms(), server_s: self.server_ms() / 1000 }
    }
}

impl Messaging {
    /// Works until the account closes.
    pub(crate) async fn run_limits(&self) {
        let mut state = self.ctx.state.subscribe();
        let mut ready = false;
        loop {
            let is_ready = state.borrow_and_update().is_ready();
            if is_ready && !ready {
                self.session_began();
            }
            ready = is_ready;
            let next = match self.look_at_limits(ready).await {
                Ok(next) => next,
                Err(error) => {
                    self.store_failed(&error).await;
                    continue;
                }
            };
            tokio::select! {
                biased;
                changed = state.changed() => if changed.is_err() { return },
                () = self.ctx.limits.bell.notified() => {}
                () = self.ctx.clock.sleep_until(next) => {}
            }
        }
    }

    /// Once after "ready", spread, in the background of everything else.
    fn session_began(&self) {
        let mut rng = self.ctx.chance.fork();
        let mut soon = || self.ctx.clock.now() + Duration::from_millis(rng.random_range(SPREAD));
        let (timelock, cap) = (soon(), soon());
        let mut wanted = self.ctx.limits.lock();
        wanted.timelock.get_or_insert(timelock);
        wanted.cap.get_or_insert(cap);
    }

    /// Ends what has ended, asks what is due. When to look again.
    async fn look_at_limits(&self, ready: bool) -> Result<Instant, StoreError> {
        let now = self.ctx.clock.wall_ms();
        let look = |tx: &crate::store::Tx<'_>| Ok((Restrictions::load(tx)?, release::props(tx)?));
        let (mut kept, props) = self.ctx.store.read(move |tx| look(tx)).await?;
        if kept.ends().any(|end| end <= now) {
            let locked = kept.timelock.is_some();
            kept = self
                .ctx
                .store
                .write(move |tx| {
                    signals::sweep(tx, now)?;
                    Restrictions::load(tx)
                })
                .await?;
            if locked && kept.timelock.is_none() {
                self.ctx.limits.lock().timelock.get_or_insert(self.ctx.clock.now());
            }
            self.limits_changed();
        }
        if kept.timelock.is_some_and(|lock| lock.until.is_none()) {
            let at = kept.asked_timelock.unwrap_or(now) + WITHOUT_END;
            let at = self.ctx.clock.now() + millis(at - now);
            self.ctx.limits.lock().timelock.get_or_insert(at);
        }
        if props.quota == 0 && kept.cap.is_none() {
            self.ctx.limits.lock().cap = None;
        }
        let (timelock, cap) = {
            let wanted = self.ctx.limits.lock();
            (wanted.timelock, wanted.cap)
        };
        let asked =
            [(Question::Timelock, kept.asked_timelock, timelock), (Question::Cap, kept.asked_cap, cap)];
        let mut next = self.ctx.clock.now() + SELDOM;
        for (question, last, wanted) in asked {
            let Some(wanted) = wanted.filter(|_| ready) else { continue };
            let earliest = last.map_or(now, |last| last + GAP);
            let due = wanted.max(self.ctx.clock.now() + millis(earliest - now));
            if due <= self.ctx.clock.now() {
                self.ask_about(question).await?;
                // There may be something new to wait for.
                return Ok(self.ctx.clock.now());
            }
            next = next.min(due);
        }
        let end = kept.ends().min().map(|end| self.ctx.clock.now() + millis(end - now));
        Ok(end.map_or(next, |end| next.min(end)))
    }

    /// Asks. A failed question changes nothing, and is not asked again before the next occasion.
    async fn ask_about(&self, question: Question) -> Result<(), StoreError> {
        let now = self.ctx.clock.wall_ms();
        {
            let mut wanted = self.ctx.limits.lock();
            match question {
                Question::Timelock => wanted.timelock = None,
                Question::Cap => wanted.cap = None,
            }
        }
        // Durable first: no restart asks more often.
        self.ctx
            .store
            .write(move |tx| {
                let mut kept = Restrictions::load(tx)?;
                match question {
                    Question::Timelock => kept.asked_timelock = Some(now),
                    Question::Cap => kept.asked_cap = Some(now),
                }
                kept.save(tx, now)
            })
            .await?;
        let node = match question {
            Question::Timelock => Timelock::query(),
            Question::Cap => Cap::query(),
        };
        let answer = match self.ctx.ask(node, Repeat::Never, self.ctx.config.timeouts.iq).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(%error, ?question, "a question about restrictions was not answered");
                self.limits_changed();
                return Ok(());
            }
        };
        let times = self.ctx.times();
        let taken = self
            .ctx
            .store
            .write(move |tx| -> Result<Result<(), MexError>, StoreError> {
                match question {
                    Question::Timelock => match Timelock::answer(&answer) {
                        Ok(told) => signals::timelock(tx, &told, Source::Query, times)?,
                        Err(error) => return Ok(Err(error)),
                    },
                    Question::Cap => match Cap::answer(&answer) {
                        Ok(told) => signals::cap(tx, &told, Source::Query, times)?,
                        Err(error) => return Ok(Err(error)),
                    },
                }
                Ok(Ok(()))
            })
            .await?;
        if let Err(error) = taken {
            tracing::info!(%error, ?question, "an answer about restrictions says nothing");
        }
        self.limits_changed();
        Ok(())
    }

    /// What waits is looked at again, and the application hears of it.
    pub(crate) fn limits_changed(&self) {
        self.ctx.limits.changed();
        self.outbox.judge_again();
        self.ctx.inbox.notify_waiters();
    }

    /// A person has dealt with what calls for one. Whether there was anything.
    pub(crate) async fn clear_restrictions(&self) -> Result<bool, StoreError> {
        let now = self.ctx.clock.wall_ms();
        let any = self.ctx.store.write(move |tx| signals::clear(tx, now)).await?;
        self.limits_changed();
        Ok(any)
    }
}

/// So many milliseconds, none if it is over.
fn millis(ms: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
