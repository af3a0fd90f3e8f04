//! The health of an account, to be shown: every signal that is in force, and what waits because of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::decide::Why;
use super::record::{DAY, HOUR, Pause, Restrictions, Source};
use super::signals::{SignalKind, word};
use crate::client::dispatch::EXPIRY;
use crate::client::life::stop;
use crate::client::state::Stop;
use crate::stanza::restrictions::CapStatus;
use crate::store::{StoreError, Tx, UnixMillis};

/// Rows that are looked at for what waits.
const LOOKED_AT: usize = 10_000;

/// How an account stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// Nothing limits it.
    Fine,
    /// Something does, for a time.
    Limited,
    /// A person has to act.
    Alarm,
    /// It stands still.
    Stopped,
}

/// A signal in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Which.
    pub signal: SignalKind,
    /// The service's own word for it, or the number that it names.
    pub value: Option<String>,
    /// The group or the protocol that it is about.
    pub subject: Option<String>,
    /// Since when it is known, Unix milliseconds.
    pub since: Option<UnixMillis>,
    /// Its end, where it is known.
    pub until: Option<UnixMillis>,
    /// Where it came from.
    pub source: Option<Source>,
    /// A person has to act.
    pub alarm: bool,
}

/// The quota of new chats, as the service last told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quota {
    /// Of a cycle.
    pub total: u32,
    /// Used up.
    pub used: u32,
    /// The cycle's end.
    pub until: Option<UnixMillis>,
    /// When it was told.
    pub told: UnixMillis,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// In one word.
    pub standing: Standing,
    /// What is in force.
    pub signals: Vec<Shown>,
    /// The service's quota of new chats, if it told one.
    pub quota: Option<Quota>,
    /// New chats begun within an hour, and within a day.
    pub new_chats: (usize, usize),
    /// Messages that wait, by reason.
    pub waiting: BTreeMap<&'static str, usize>,
    /// What the service said when it stopped the account.
    pub details: Vec<(String, String)>,
}

/// How an account stands.
///
/// # Errors
/// The store's.
pub fn health(tx: &Tx<'_>, now: UnixMillis) -> Result<Health, StoreError> {
    let kept = Restrictions::load(tx)?;
    let mut signals = Vec::new();
    let stop = stopped(tx, &mut signals)?;
    if let Some(at) = tx
        .setting(EXPIRY)?
        .and_then(|at| std::str::from_utf8(at.expose()).ok()?.rsplit(' ').next()?.parse().ok())
    {
        let seconds: i64 = at;
        signals.push(Shown::new(SignalKind::ClientExpiry).until(Some(seconds.saturating_mul(1000))));
    }
    of_account(&kept, now, &mut signals);
    of_groups(&kept, now, &mut signals);
    for (protocol, pause) in &kept.usync {
        signals.extend(Shown::paused(SignalKind::Usync, Some(*pause), now).map(|s| s.about(protocol)));
    }
    let begun = |within: UnixMillis| {
        kept.units.iter().filter(|unit| unit.new && now.saturating_sub(unit.at) < within).count()
    };
    let quota = kept.cap.filter(|cap| cap.told.total > 0).map(|cap| Quota {
        total: cap.told.total,
        used: cap.told.used,
        until: cap.until,
        told: cap.at,
    });
    let standing = if stop {
        Standing::Stopped
    } else if signals.iter().any(|shown| shown.alarm) {
        Standing::Alarm
    } else if signals.is_empty() {
        Standing::Fine
    } else {
        Standing::Limited
    };
    let new_chats = (begun(HOUR), begun(DAY));
    let details = if stop { stop::details(tx)? } else { Vec::new() };
    Ok(Health { standing, signals, quota, new_chats, waiting: waiting(tx)?, details })
}

fn stopped(tx: &Tx<'_>, signals: &mut Vec<Shown>) -> Result<bool, StoreError> {
    let (Some(stop), Some(state)) = (stop::load(tx)?, tx.stop_state()?) else { return Ok(false) };
    let mut shown = match &stop {
        Stop::TempBanned { code, until } => {
            Shown { value: Some(code.to_string()), ..Shown::new(SignalKind::Ban).until(Some(*until)) }
        }
        other => Shown { value: Some(other.name().to_owned()), ..Shown::new(SignalKind::Stopped) },
    };
    // What the user asked for is no alarm.
    shown.alarm = stop != Stop::UserStopped;
    shown.since = Some(state.since);
    shown.source = shown.alarm.then_some(Source::Connection);
    signals.push(shown);
    Ok(true)
}

fn of_account(kept: &Restrictions, now: UnixMillis, signals: &mut Vec<Shown>) {
    if let Some(challenge) = kept.challenge {
        let shown = Shown::new(SignalKind::Challenge).since(challenge.since).value(&challenge.what);
        signals.push(shown.from(Source::Notification));
    }
    if let Some(companions) = kept.companions {
        signals.push(Shown::new(SignalKind::Companions).since(companions.since).value(&companions.what));
    }
    if let Some(lock) = kept.timelock.filter(|lock| lock.until.is_none_or(|until| now < until)) {
        let shown = Shown::new(SignalKind::Timelock).since(lock.since).value(&lock.kind);
        signals.push(shown.until(lock.until).from(lock.source));
    }
    if let Some(cap) = kept.cap.filter(|cap| cap.status(now) != CapStatus::None) {
        let shown = Shown::new(SignalKind::Cap).since(cap.at).value(&cap.status(now));
        signals.push(shown.until(cap.until).from(cap.source));
    }
    signals.extend(Shown::paused(SignalKind::Messages, kept.messages, now));
    signals.extend(Shown::paused(SignalKind::GroupBlock, kept.group_block, now));
    signals.extend(Shown::paused(SignalKind::GroupAdds, kept.group_adds, now));
    if let Some(limit) = kept.group_participants.filter(|limit| now < limit.since + DAY) {
        let shown = Shown::new(SignalKind::GroupParticipants).since(limit.since).value(&limit.what);
        signals.push(shown.from(Source::Refusal));
    }
    if let Some(brigading) = kept.brigading {
        let shown = Shown::new(SignalKind::Brigading).since(brigading.since).value(&brigading.what);
        signals.push(shown.from(Source::Notification));
    }
}

fn of_groups(kept: &Restrictions, now: UnixMillis, signals: &mut Vec<Shown>) {
    for (group, limits) in &kept.groups {
        let mut shown: Vec<Shown> =
            Shown::paused(SignalKind::GroupAdds, limits.adds, now).into_iter().collect();
        shown.extend(Shown::paused(SignalKind::GroupLocked, limits.locked, now));
        if let Some(since) = limits.suspended {
            shown.push(Shown::new(SignalKind::GroupSuspended).since(since));
        }
        signals.extend(shown.into_iter().map(|shown| shown.about(group)));
    }
}

/// Messages that wait, by the reason that they were told.
fn waiting(tx: &Tx<'_>) -> Result<BTreeMap<&'static str, usize>, StoreError> {
    let mut waiting = BTreeMap::new();
    let mut after = 0;
    for _ in 0..LOOKED_AT.div_ceil(256) {
        let rows = tx.open_outgoing(after, 256)?;
        let Some(last) = rows.last() else { break };
        after = last.seq;
        for why in rows.iter().filter_map(|row| Why::of(row.why.as_deref()?)) {
            *waiting.entry(why.name()).or_default() += 1;
        }
    }
    Ok(waiting)
}

impl Shown {
    fn new(signal: SignalKind) -> Self {
        Self {
            signal,
            value: None,
            subject: None,
            since: None,
            until: None,
            source: None,
            alarm: signal.is_alarm(),
        }
    }

    fn paused(signal: SignalKind, pause: Option<Pause>, now: UnixMillis) -> Option<Self> {
        let pause = pause.filter(|pause| pause.holds(now))?;
        let until = Some(pause.until).filter(|until| *until < UnixMillis::MAX);
        Some(Self::new(signal).since(pause.since).until(until).from(Source::Refusal))
    }

    fn since(mut self, since: UnixMillis) -> Self {
        self.since = Some(since);
        self
    }

    fn until(mut self, until: Option<UnixMillis>) -> Self {
        self.until = until;
        self
    }

    fn value(mut self, value: &impl Serialize) -> Self {
        self.value = word(value);
        self
    }

    fn about(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    fn from(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }
}
