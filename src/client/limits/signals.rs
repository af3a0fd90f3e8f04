//! A signal comes, or ends: what changes in the record, and what the application is told. Inside a transaction.

use serde::{Deserialize, Serialize};

use super::chat;
use super::record::{Capped, DAY, Lock, MINUTE, Pause, Restrictions, Since, Source};
use crate::client::devices::address;
use crate::client::devices::own::is_lid_family;
use crate::client::event::Event;
use crate::client::send::release::Times;
use crate::client::send::token;
use crate::stanza::restrictions::{
    Brigading, Cap, CapStatus, Challenge, Exception, Timelock, Told, Verified,
};
use crate::store::{StoreError, Tx, UnixMillis};
use crate::wire::Jid;

/// How long one chat is refused after a 463 that no time-lock explains.
const CHAT_REFUSED: UnixMillis = DAY;

/// How long the cap holds after a 475 if nothing more is known.
const CAPPED: UnixMillis = DAY;

/// Refusals so young are explained by a time-lock that is told.
const EXPLAINED: UnixMillis = 15 * MINUTE;

/// Which signal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SignalKind {
    /// The reach-out time-lock.
    Timelock,
    /// A time-lock that is aimed at linked devices: a person has to look.
    Companions,
    /// The cap on new chats.
    Cap,
    /// The service wants a person.
    Challenge,
    /// Strangers flood the account.
    Brigading,
    /// One chat was refused.
    Chat,
    /// All messages pause.
    Messages,
    /// Adding people and creating groups pause.
    GroupAdds,
    /// Only so many people at once.
    GroupParticipants,
    /// Changing roles, adding and creating pause: integrity enforcement.
    GroupBlock,
    /// Links of a group are closed.
    GroupLocked,
    /// A group is suspended.
    GroupSuspended,
    /// Questions about users pause.
    Usync,
    /// The client version will be refused.
    ClientExpiry,
    /// Banned for a time.
    Ban,
    /// Logged out, locked or refused.
    Stopped,
}

impl SignalKind {
    /// Every signal.
    pub const ALL: [Self; 16] = [
        Self::Timelock,
        Self::Companions,
        Self::Cap,
        Self::Challenge,
        Self::Brigading,
        Self::Chat,
        Self::Messages,
        Self::GroupAdds,
        Self::GroupParticipants,
        Self::GroupBlock,
        Self::GroupLocked,
        Self::GroupSuspended,
        Self::Usync,
        Self::ClientExpiry,
        Self::Ban,
        Self::Stopped,
    ];

    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Timelock => "timelock",
            Self::Companions => "companions",
            Self::Cap => "cap",
            Self::Challenge => "challenge",
            Self::Brigading => "brigading",
            Self::Chat => "chat",
            Self::Messages => "messages",
            Self::GroupAdds => "group_adds",
            Self::GroupParticipants => "group_participants",
            Self::GroupBlock => "group_block",
            Self::GroupLocked => "group_locked",
            Self::GroupSuspended => "group_suspended",
            Self::Usync => "usync",
            Self::ClientExpiry => "client_expiry",
            Self::Ban => "ban",
            Self::Stopped => "stopped",
        }
    }

    /// Whether a person is to be called.
    #[must_use]
    pub fn is_alarm(self) -> bool {
        matches!(self, Self::Challenge | Self::Companions | Self::GroupBlock | Self::Ban | Self::Stopped)
    }
}

/// What happened to a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is there.
    Began,
    /// It says something else than before.
    Changed,
    /// It is over.
    Ended,
    /// A person has dealt with it.
    Cleared,
}

/// A signal of the service, as the application is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    /// Which.
    pub signal: SignalKind,
    /// What happened to it.
    pub change: Change,
    /// The service's own word for it, where there is one.
    pub value: Option<String>,
    /// The group, chat or protocol that it is about.
    pub subject: Option<String>,
    /// Its end, Unix milliseconds, where it is known.
    pub until: Option<UnixMillis>,
    /// Where it came from.
    pub source: Option<Source>,
    /// A person is to be called.
    pub alarm: bool,
    /// When, Unix milliseconds.
    pub at: UnixMillis,
}

impl Restriction {
    pub(super) fn new(signal: SignalKind, change: Change, at: UnixMillis) -> Self {
        let alarm = signal.is_alarm() && matches!(change, Change::Began | Change::Changed);
        Self { signal, change, value: None, subject: None, until: None, source: None, alarm, at }
    }

    /// In the service's own word.
    pub(super) fn value(mut self, value: impl Serialize) -> Self {
        self.value = word(&value);
        self
    }

    pub(super) fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    pub(super) fn until(mut self, until: Option<UnixMillis>) -> Self {
        self.until = until;
        self
    }

    pub(super) fn from(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Writes the event.
    pub(super) fn tell(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let now = self.at;
        tracing::info!(signal = self.signal.name(), change = ?self.change, "a restriction");
        tx.push_event(&Event::Restriction(self).row(now), now).map(drop)
    }
}

/// How a value is written.
pub(super) fn word(value: &impl Serialize) -> Option<String> {
    match serde_json::to_value(value).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// Takes what a notification tells.
pub(super) fn take(tx: &mut Tx<'_>, told: &Told, source: Source, times: Times) -> Result<(), StoreError> {
    match told {
        Told::Timelock(told) => timelock(tx, told, source, times),
        Told::Cap(told) => cap(tx, told, source, times),
        Told::Challenge(told) => challenge(tx, *told, source, times.now),
        Told::Brigading(told) => brigading(tx, *told, source, times.now),
    }
}

pub(super) fn timelock(
    tx: &mut Tx<'_>,
    told: &Timelock,
    source: Source,
    times: Times,
) -> Result<(), StoreError> {
    let now = times.now;
    let mut kept = Restrictions::load(tx)?;
    let before = kept.timelock;
    if told.active {
        let until = told.ends.map(|ends| times.wall(ends)).filter(|until| *until > now);
        let lock = Lock { kind: told.kind, since: before.map_or(now, |lock| lock.since), until, source };
        kept.timelock = Some(lock);
        for (chat, at) in std::mem::take(&mut kept.refused) {
            if let (true, Ok(chat)) = (now.saturating_sub(at) < EXPLAINED, chat.parse::<Jid>()) {
                chat::token_came(tx, &chat)?;
            }
        }
        let same = before.is_some_and(|before| (before.kind, before.until) == (lock.kind, lock.until));
        if !same {
            let change = if before.is_some() { Change::Changed } else { Change::Began };
            Restriction::new(SignalKind::Timelock, change, now)
                .value(told.kind)
                .until(until)
                .from(source)
                .tell(tx)?;
        }
        if told.kind.is_for_companions() && kept.companions.is_none() {
            kept.companions = Some(Since { what: told.kind, since: now });
            Restriction::new(SignalKind::Companions, Change::Began, now)
                .value(told.kind)
                .from(source)
                .tell(tx)?;
        }
    } else {
        kept.timelock = None;
        if let Some(before) = before {
            let ended = Restriction::new(SignalKind::Timelock, Change::Ended, now);
            ended.value(before.kind).from(source).tell(tx)?;
        }
    }
    kept.save(tx, now)
}

pub(super) fn cap(tx: &mut Tx<'_>, told: &Cap, source: Source, times: Times) -> Result<(), StoreError> {
    let now = times.now;
    let mut kept = Restrictions::load(tx)?;
    let before = kept.cap;
    if source == Source::Notification && before.is_some_and(|before| told.sent <= before.told.sent) {
        return Ok(());
    }
    let end = (told.cycle_end > 0).then(|| times.wall(told.cycle_end));
    let mut next = Capped { told: *told, at: now, until: end, source };
    // A refusal holds to the end of its cycle; an answer to our question does not lower it.
    let refused = before.filter(|before| {
        source == Source::Query && before.source == Source::Refusal && before.status(now) == CapStatus::Capped
    });
    if let Some(before) = refused {
        next.told.status = CapStatus::Capped;
        next.source = Source::Refusal;
        next.until = end.filter(|end| *end > now).or(before.until);
    }
    kept.cap = Some(next);
    cap_changed(tx, before, next, now)?;
    kept.save(tx, now)
}

fn cap_changed(
    tx: &mut Tx<'_>,
    before: Option<Capped>,
    next: Capped,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let old = before.map_or(CapStatus::None, |before| before.status(now));
    let new = next.status(now);
    let change = match (old, new) {
        (old, new) if old == new => return Ok(()),
        (_, CapStatus::None) => Change::Ended,
        (CapStatus::None, _) => Change::Began,
        _ => Change::Changed,
    };
    let told = Restriction::new(SignalKind::Cap, change, now).value(new).from(next.source);
    told.until(next.until.filter(|_| new != CapStatus::None)).tell(tx)
}

fn challenge(tx: &mut Tx<'_>, told: Challenge, source: Source, now: UnixMillis) -> Result<(), StoreError> {
    let mut kept = Restrictions::load(tx)?;
    let before = kept.challenge;
    if before.is_some_and(|before| before.what == told) {
        return Ok(());
    }
    kept.challenge = Some(Since { what: told, since: before.map_or(now, |before| before.since) });
    let change = if before.is_some() { Change::Changed } else { Change::Began };
    Restriction::new(SignalKind::Challenge, change, now).value(told).from(source).tell(tx)?;
    kept.save(tx, now)
}

fn brigading(tx: &mut Tx<'_>, told: Brigading, source: Source, now: UnixMillis) -> Result<(), StoreError> {
    let mut kept = Restrictions::load(tx)?;
    let before = kept.brigading;
    let over = told == Brigading::NotDetected;
    let change = match before {
        None if over => return Ok(()),
        Some(before) if before.what == told => return Ok(()),
        None => Change::Began,
        Some(_) if over => Change::Ended,
        Some(_) => Change::Changed,
    };
    kept.brigading =
        (!over).then_some(Since { what: told, since: before.map_or(now, |before| before.since) });
    Restriction::new(SignalKind::Brigading, change, now).value(told).from(source).tell(tx)?;
    kept.save(tx, now)
}

/// A message was refused with 463. It closes this one chat, unless the address explains it (05a §8) or a time-lock does.
pub(crate) fn refused_463(
    tx: &mut Tx<'_>,
    user: &Jid,
    lid_addressed: bool,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let other = address::other_form(tx, &user.to_user())?;
    if !lid_addressed && other.as_ref().is_some_and(is_lid_family) {
        return Ok(());
    }
    let mut kept = Restrictions::load(tx)?;
    let locked = kept.timelock.is_some_and(|lock| lock.until.is_none_or(|until| now < until));
    if locked && !token::is_held(tx, user, now.div_euclid(1000))? {
        return Ok(());
    }
    let until = now + CHAT_REFUSED;
    chat::change(tx, user, |facts| (facts.refused_until, facts.refused_at) = (Some(until), Some(now)))?;
    let name = chat::name(tx, user)?;
    Restriction::new(SignalKind::Chat, Change::Began, now)
        .value("463")
        .about(name.clone())
        .until(Some(until))
        .from(Source::Refusal)
        .tell(tx)?;
    kept.refused.push((name, now));
    kept.save(tx, now)
}

/// A message was refused with 475: the cap is reached.
pub(crate) fn refused_475(tx: &mut Tx<'_>, now: UnixMillis) -> Result<(), StoreError> {
    let mut kept = Restrictions::load(tx)?;
    let before = kept.cap;
    let nothing = Cap {
        total: 0,
        used: 0,
        cycle_start: 0,
        cycle_end: 0,
        sent: 0,
        status: CapStatus::Capped,
        exception: Exception::default(),
        verified: Verified::default(),
    };
    let told = before.map_or(nothing, |before| Cap { status: CapStatus::Capped, ..before.told });
    let until = before.and_then(|before| before.until).filter(|until| *until > now);
    let next = Capped {
        told,
        at: before.map_or(now, |before| before.at),
        until: until.or(Some(now + CAPPED)),
        source: Source::Refusal,
    };
    kept.cap = Some(next);
    cap_changed(tx, before, next, now)?;
    kept.save(tx, now)
}

/// The service told the account to send nothing before a time.
pub(crate) fn paused(tx: &mut Tx<'_>, until: UnixMillis, now: UnixMillis) -> Result<(), StoreError> {
    let mut kept = Restrictions::load(tx)?;
    let change = if kept.messages.is_some() { Change::Changed } else { Change::Began };
    kept.messages = Some(Pause { since: now, until });
    let told = Restriction::new(SignalKind::Messages, change, now).until(Some(until));
    told.from(Source::Refusal).tell(tx)?;
    kept.save(tx, now)
}

/// A person has dealt with what calls for one: the challenge, the lock of linked devices, the block of group actions.
/// Whether there was anything.
///
/// # Errors
/// The store's.
pub fn clear(tx: &mut Tx<'_>, now: UnixMillis) -> Result<bool, StoreError> {
    let mut kept = Restrictions::load(tx)?;
    let mut cleared = Vec::new();
    if let Some(challenge) = kept.challenge.take() {
        cleared.push(Restriction::new(SignalKind::Challenge, Change::Cleared, now).value(challenge.what));
    }
    if let Some(companions) = kept.companions.take() {
        cleared.push(Restriction::new(SignalKind::Companions, Change::Cleared, now).value(companions.what));
    }
    if kept.group_block.take().is_some() {
        cleared.push(Restriction::new(SignalKind::GroupBlock, Change::Cleared, now));
    }
    let any = !cleared.is_empty();
    for restriction in cleared {
        restriction.tell(tx)?;
    }
    kept.save(tx, now)?;
    Ok(any)
}

/// Ends what has come to its end. Whether anything did.
pub(super) fn sweep(tx: &mut Tx<'_>, now: UnixMillis) -> Result<bool, StoreError> {
    let mut kept = Restrictions::load(tx)?;
    let mut ended = Vec::new();
    let mut over = |signal, subject: Option<&str>| {
        let mut restriction = Restriction::new(signal, Change::Ended, now);
        restriction.subject = subject.map(str::to_owned);
        ended.push(restriction);
    };
    if kept.timelock.is_some_and(|lock| lock.until.is_some_and(|until| now >= until)) {
        kept.timelock = None;
        over(SignalKind::Timelock, None);
    }
    if let Some(cap) = &mut kept.cap
        && cap.told.status != CapStatus::None
        && cap.status(now) == CapStatus::None
    {
        cap.told.status = CapStatus::None;
        over(SignalKind::Cap, None);
    }
    let is_over = |pause: &mut Option<Pause>| pause.take_if(|pause| !pause.holds(now)).is_some();
    if is_over(&mut kept.messages) {
        over(SignalKind::Messages, None);
    }
    if is_over(&mut kept.group_adds) {
        over(SignalKind::GroupAdds, None);
    }
    if is_over(&mut kept.group_block) {
        over(SignalKind::GroupBlock, None);
    }
    for (group, limits) in &mut kept.groups {
        if is_over(&mut limits.adds) {
            over(SignalKind::GroupAdds, Some(group));
        }
        if is_over(&mut limits.locked) {
            over(SignalKind::GroupLocked, Some(group));
        }
    }
    kept.usync.retain(|protocol, pause| {
        let holds = pause.holds(now);
        if !holds {
            over(SignalKind::Usync, Some(protocol));
        }
        holds
    });
    let any = !ended.is_empty();
    for restriction in ended {
        restriction.tell(tx)?;
    }
    if any {
        kept.save(tx, now)?;
    }
    Ok(any)
}
