//! What is kept of the restrictions with the account: one record, small and bounded. Times are wall milliseconds. What
//! concerns one chat stands with the chat ([`ChatFacts`](crate::store::ChatFacts)).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stanza::restrictions::{Appeal, Brigading, Cap, CapStatus, Challenge, LockKind};
use crate::store::{StoreError, Tx, UnixMillis};

const SETTING: &str = "restrictions";

/// Groups of which something is kept.
const GROUPS: usize = 512;

/// Protocols of usync that may wait.
const PROTOCOLS: usize = 32;

/// New chats and texts that are remembered.
const REMEMBERED: usize = 4096;

pub(super) const MINUTE: UnixMillis = 60_000;
pub(super) const HOUR: UnixMillis = 60 * MINUTE;
pub(super) const DAY: UnixMillis = 24 * HOUR;

/// The longest that new chats count: a cycle of the service, and a day.
const CYCLE: UnixMillis = 32 * DAY;

/// Where a signal came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The server answered a question.
    Query,
    /// It said so by itself.
    Notification,
    /// It refused something.
    Refusal,
    /// It ended or refused the connection.
    Connection,
}

/// A time-lock in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Its kind.
    pub kind: LockKind,
    /// Since when it is known.
    pub since: UnixMillis,
    /// Its end; `None`: in force until the server says something else.
    pub until: Option<UnixMillis>,
    /// Where it came from.
    pub source: Source,
}

/// What is known of the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capped {
    /// What the server last said; after a refusal without any answer all 0 but the status.
    pub told: Cap,
    /// When.
    pub at: UnixMillis,
    /// The end of the cycle, our time; `None`: unknown.
    pub until: Option<UnixMillis>,
    /// Where it came from.
    pub source: Source,
}

impl Capped {
    /// The status, which does not outlive its cycle.
    #[must_use]
    pub fn status(&self, now: UnixMillis) -> CapStatus {
        if self.until.is_some_and(|until| now >= until) { CapStatus::None } else { self.told.status }
    }
}

/// Something that is so since a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since<T> {
    /// What.
    pub what: T,
    /// Since when.
    pub since: UnixMillis,
}

/// Something that is off until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: UnixMillis,
    /// Until when.
    pub until: UnixMillis,
}

impl Pause {
    pub(super) fn holds(&self, now: UnixMillis) -> bool {
        now < self.until
    }
}

/// What is kept of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupLimits {
    /// Nobody is added.
    pub adds: Option<Pause>,
    /// Nobody joins by link.
    pub locked: Option<Pause>,
    /// Nothing is sent to it, since then.
    pub suspended: Option<UnixMillis>,
    /// How an appeal stands.
    pub appeal: Option<Appeal>,
}

/// A chat that cost one of a limited number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// When.
    pub at: UnixMillis,
    /// A new chat; else only one of the service's quota.
    pub new: bool,
}

/// A text that went to a new chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// Of the text.
    pub hash: u64,
    /// The chat.
    pub chat: String,
    /// When.
    pub at: UnixMillis,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restrictions {
    /// The time-lock, while in force.
    pub timelock: Option<Lock>,
    /// The cap.
    pub cap: Option<Capped>,
    /// A person is wanted, until one has cleared it.
    pub challenge: Option<Since<Challenge>>,
    /// A time-lock of linked devices has been there; what is not ordered one by one waits until a person has looked.
    pub companions: Option<Since<LockKind>>,
    /// A flood of strangers.
    pub brigading: Option<Since<Brigading>>,
    /// All messages wait.
    pub messages: Option<Pause>,
    /// No adds and no new groups.
    pub group_adds: Option<Pause>,
    /// No changes of roles, adds and new groups: the service's integrity enforcement.
    pub group_block: Option<Pause>,
    /// So many people at once into a group.
    pub group_participants: Option<Since<u32>>,
    /// By address.
    pub groups: BTreeMap<String, GroupLimits>,
    /// By the name of the usync protocol.
    pub usync: BTreeMap<String, Pause>,
    /// When the time-lock was last asked for.
    pub asked_timelock: Option<UnixMillis>,
    /// When the cap was.
    pub asked_cap: Option<UnixMillis>,
    /// Chats that were refused with 463 lately: a time-lock may explain it.
    pub(super) refused: Vec<(String, UnixMillis)>,
    /// What was spent.
    pub(super) units: Vec<Unit>,
    /// Texts to new chats, of the last hour.
    pub(super) texts: Vec<Text>,
}

impl Restrictions {
    /// What is kept with an account.
    ///
    /// # Errors
    /// The store's.
    pub fn load(tx: &Tx<'_>) -> Result<Self, StoreError> {
        let kept = tx.setting(SETTING)?;
        Ok(kept.and_then(|kept| serde_json::from_slice(kept.expose()).ok()).unwrap_or_default())
    }

    pub(super) fn save(&mut self, tx: &mut Tx<'_>, now: UnixMillis) -> Result<(), StoreError> {
        self.tidy(now);
        // Plain data with text keys: writing it can't fail.
        let kept = serde_json::to_vec(self).unwrap_or_default();
        tx.set_setting(SETTING, (*self != Self::default()).then_some(&kept))
    }

    /// Forgets what no longer counts.
    fn tidy(&mut self, now: UnixMillis) {
        let age = |at: UnixMillis| now.saturating_sub(at);
        self.units.retain(|unit| age(unit.at) < CYCLE);
        self.texts.retain(|text| age(text.at) < HOUR);
        self.refused.retain(|(_, at)| age(*at) < HOUR);
        let old = |len: usize| len.saturating_sub(REMEMBERED);
        self.units.drain(..old(self.units.len()));
        self.texts.drain(..old(self.texts.len()));
        self.group_participants.take_if(|limit| age(limit.since) >= DAY);
        self.groups.retain(|_, group| *group != GroupLimits::default());
        while self.groups.len() > GROUPS && self.groups.pop_first().is_some() {}
        while self.usync.len() > PROTOCOLS && self.usync.pop_first().is_some() {}
    }

    /// Every time at which something ends by itself.
    pub(super) fn ends(&self) -> impl Iterator<Item = UnixMillis> + '_ {
        let cap = self.cap.filter(|cap| cap.told.status != CapStatus::None).and_then(|cap| cap.until);
        let lock = self.timelock.and_then(|lock| lock.until);
        let pauses = [self.messages, self.group_adds, self.group_block].into_iter().flatten();
        let groups = self.groups.values().flat_map(|group| [group.adds, group.locked]).flatten();
        let pauses = pauses.chain(groups).chain(self.usync.values().copied());
        cap.into_iter().chain(lock).chain(pauses.map(|pause| pause.until))
    }
}
