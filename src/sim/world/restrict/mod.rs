//! Restrictions of accounts (09 §18 no. 7): what is in force, how it is set, announced and ended.
//!
//! | file | subject |
//! |---|---|
//! | `answers` | what clients are told: mex answers, notifications, refused IQs |
//! | `judge` | sends under a restriction: what is refused, and what is a violation (R16) |

mod answers;
mod judge;

pub(crate) use answers::resting;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::World;
use super::timers::Timer;
use super::tracked::Tracked;
use crate::clock::UnixMillis;
use crate::wire::{Jid, Node};

/// The length of a cycle of the cap if the call names none, in seconds.
const CYCLE_S: u64 = 2_592_000;

/// A change of an account's restrictions: a field that is missing leaves things as they are, `null` lifts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Restrict {
    /// The reach-out time-lock.
    #[serde(deserialize_with = "given")]
    pub timelock: Option<Option<TimelockOrder>>,
    /// The cap on new chats.
    #[serde(deserialize_with = "given")]
    pub cap: Option<Option<CapOrder>>,
    /// An integrity challenge.
    #[serde(deserialize_with = "given")]
    pub challenge: Option<Option<ChallengeOrder>>,
    /// A flood of strangers.
    #[serde(deserialize_with = "given")]
    pub brigading: Option<Option<BrigadingOrder>>,
    /// The client version will be refused.
    #[serde(deserialize_with = "given")]
    pub client_expiry: Option<Option<ExpiryOrder>>,
    /// A limit of adding people to groups and creating them.
    #[serde(deserialize_with = "given")]
    pub group_limit: Option<Option<GroupLimitOrder>>,
    /// A block of group actions.
    #[serde(deserialize_with = "given")]
    pub group_block: Option<Option<GroupBlockOrder>>,
    /// Messages are refused for a time.
    #[serde(deserialize_with = "given")]
    pub message_backoff: Option<Option<MessageBackoffOrder>>,
    /// A protocol of usync is refused for a time.
    #[serde(deserialize_with = "given")]
    pub usync_backoff: Option<Option<UsyncBackoffOrder>>,
    /// No notification: only the query or the refusal shows it.
    pub silent: bool,
}

/// A field that is there, `null` included.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// See [`Restrict::timelock`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelockOrder {
    /// In force.
    #[serde(default = "yes")]
    pub active: bool,
    /// `enforcement_type`.
    #[serde(rename = "type", default = "default_type")]
    pub kind: String,
    /// Its end; without one it has none that a client could read.
    #[serde(default)]
    pub ends_in_s: Option<u64>,
}

fn yes() -> bool {
    true
}

fn default_type() -> String {
    "DEFAULT".to_owned()
}

/// See [`Restrict::cap`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapOrder {
    /// New chats of a cycle.
    pub quota: u32,
    /// Used up.
    #[serde(default)]
    pub used: u32,
    /// The cycle's end.
    #[serde(default)]
    pub cycle_end_in_s: Option<u64>,
    /// `capping_status`; follows from the use if missing.
    #[serde(default)]
    pub status: Option<String>,
    /// `ote_status`.
    #[serde(default)]
    pub ote: Option<String>,
    /// `mv_status`.
    #[serde(default)]
    pub mv: Option<String>,
}

/// See [`Restrict::challenge`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeOrder {
    /// `PASSKEY` or `CAPTCHA`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// See [`Restrict::brigading`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrigadingOrder {
    /// `DETECTED`, `ENFORCED`, `NOT_ENFORCED`, `NOT_DETECTED`.
    pub state: String,
}

/// See [`Restrict::client_expiry`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpiryOrder {
    /// From now.
    pub in_s: u64,
}

/// See [`Restrict::group_limit`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupLimitOrder {
    /// So many people at once.
    #[serde(default)]
    pub participant_limit: Option<u32>,
    /// Nothing for so long.
    #[serde(default)]
    pub backoff_s: Option<u64>,
    /// `user` or `group`.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The group, for `group`; without one the first that is asked for.
    #[serde(default)]
    pub group: Option<String>,
}

/// See [`Restrict::group_block`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupBlockOrder {
    /// Every change of a group; else only those of roles.
    #[serde(default)]
    pub all: bool,
}

/// See [`Restrict::message_backoff`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageBackoffOrder {
    /// The ack's code.
    #[serde(default = "rate")]
    pub error: u16,
    /// For so long.
    pub backoff_s: u64,
}

fn rate() -> u16 {
    429
}

/// See [`Restrict::usync_backoff`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsyncBackoffOrder {
    /// Its name.
    pub protocol: String,
    /// For so long.
    pub backoff_s: u64,
}

/// What is in force for an account, and what S needs to judge by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Restricted {
    pub timelock: Option<Timelock>,
    pub cap: Option<Cap>,
    pub challenge: Option<String>,
    pub brigading: Option<String>,
    pub client_expiry: Option<i64>,
    pub group_limit: Option<GroupLimit>,
    pub group_block: Option<bool>,
    pub messages: Option<Backoff>,
    pub usync: BTreeMap<String, UnixMillis>,
    /// When a client could first know of each.
    pub told: BTreeMap<String, UnixMillis>,
    /// When the two questions were asked.
    pub asked: BTreeMap<String, UnixMillis>,
    /// When a client ignored one.
    pub ignored: Vec<UnixMillis>,
    /// Who has written to the account in this cycle, and to whom it has written.
    pub heard: BTreeSet<String>,
    pub counted: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Timelock {
    pub kind: String,
    pub until: Option<UnixMillis>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cap {
    pub quota: u32,
    pub used: u32,
    pub start: UnixMillis,
    pub end: UnixMillis,
    pub status: Option<String>,
    pub ote: String,
    pub mv: String,
}

impl Cap {
    /// 50 % and 80 % warn (the second is our number), 100 % closes.
    pub fn status(&self) -> &str {
        if let Some(status) = &self.status {
            return status;
        }
        let percent = u64::from(self.used) * 100 / u64::from(self.quota.max(1));
        match percent {
            0..50 => "NONE",
            50..80 => "FIRST_WARNING",
            80..100 => "SECOND_WARNING",
            _ => "CAPPED",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupLimit {
    pub participants: Option<u32>,
    pub until: Option<UnixMillis>,
    pub by_group: bool,
    pub group: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backoff {
    pub error: u16,
    pub until: UnixMillis,
}

impl World {
    /// What is in force for an account.
    pub(crate) fn restricted(&self, number: &str) -> Option<&Restricted> {
        self.restricted.get(number)
    }

    fn after(&self, seconds: u64) -> UnixMillis {
        self.now_ms.saturating_add(i64::try_from(seconds.min(1 << 40)).unwrap_or(0) * 1000)
    }

    /// Changes what is in force, and tells the account's devices.
    pub(crate) fn restrict(&mut self, number: &str, change: Restrict) {
        let loud = !change.silent;
        if let Some(order) = change.timelock {
            let order = order.filter(|order| order.active);
            self.set_timelock(number, order.map(|order| (order.kind, order.ends_in_s)), loud);
        }
        if let Some(order) = change.cap {
            self.set_cap(number, order, loud);
        }
        if let Some(order) = change.challenge {
            let kind = order.map(|order| order.kind);
            self.change(number, "challenge", |kept| kept.challenge.clone_from(&kind));
            if let Some(kind) = kind.filter(|_| loud) {
                self.announce(number, "challenge", answers::challenge(&kind));
            }
        }
        if let Some(order) = change.brigading {
            let state = order.map(|order| order.state);
            self.change(number, "brigading", |kept| kept.brigading.clone_from(&state));
            if loud {
                let state = state.unwrap_or_else(|| "NOT_DETECTED".to_owned());
                self.announce(number, "brigading", answers::brigading(&state));
            }
        }
        if let Some(order) = change.client_expiry {
            let at = order.map(|order| self.after(order.in_s).div_euclid(1000));
            self.change(number, "client_expiry", |kept| kept.client_expiry = at);
            if loud {
                self.tell_expiry(number, at);
            }
        }
        self.restrict_groups(number, change.group_limit, change.group_block);
        if let Some(order) = change.message_backoff {
            let until = order.map(|order| Backoff { error: order.error, until: self.after(order.backoff_s) });
            self.change(number, "messages", |kept| kept.messages = until);
        }
        if let Some(order) = change.usync_backoff {
            let pause = order.map(|order| (order.protocol, self.after(order.backoff_s)));
            self.change(number, "usync", |kept| kept.usync = pause.into_iter().collect());
        }
    }

    fn restrict_groups(
        &mut self,
        number: &str,
        limit: Option<Option<GroupLimitOrder>>,
        block: Option<Option<GroupBlockOrder>>,
    ) {
        if let Some(order) = limit {
            let limit = order.map(|order| GroupLimit {
                participants: order.participant_limit,
                until: order.backoff_s.map(|seconds| self.after(seconds)),
                by_group: order.kind.as_deref() == Some("group"),
                group: order.group,
            });
            self.change(number, "group_limit", |kept| kept.group_limit = limit);
        }
        if let Some(order) = block {
            self.change(number, "group_block", |kept| kept.group_block = order.map(|order| order.all));
        }
    }

    /// Changes a part; that clients know of it begins anew.
    fn change(&mut self, number: &str, part: &str, change: impl FnOnce(&mut Restricted)) {
        let kept = self.restricted.entry(number.to_owned()).or_default();
        change(kept);
        kept.told.remove(part);
    }

    /// What was in force before a restart, and its ends.
    pub(crate) fn restore_restricted(&mut self, all: BTreeMap<String, Restricted>) {
        for (number, kept) in &all {
            let lock = kept.timelock.as_ref().and_then(|lock| lock.until);
            for end in lock.into_iter().chain(kept.cap.as_ref().map(|cap| cap.end)) {
                self.timers.set(end, Timer::Restriction(number.clone()));
            }
        }
        self.restricted = Tracked::new(all);
    }

    /// Sets or lifts a time-lock; it ends by itself at its time.
    pub(crate) fn set_timelock(&mut self, number: &str, lock: Option<(String, Option<u64>)>, loud: bool) {
        let lock = lock.map(|(kind, ends)| Timelock { kind, until: ends.map(|ends| self.after(ends)) });
        if let Some(until) = lock.as_ref().and_then(|lock| lock.until) {
            self.timers.set(until, Timer::Restriction(number.to_owned()));
        }
        self.change(number, "timelock", |kept| kept.timelock.clone_from(&lock));
        if loud {
            let fields = answers::timelock(lock.as_ref());
            let data = json!({ "xwa2_notify_account_reachout_timelock": fields });
            self.announce(number, "timelock", ("NotificationUserReachoutTimelockUpdate", data));
        }
    }

    fn set_cap(&mut self, number: &str, order: Option<CapOrder>, loud: bool) {
        let now = self.now_ms;
        let cap = order.map(|order| {
            let end = self.after(order.cycle_end_in_s.unwrap_or(CYCLE_S));
            let word = |word: Option<String>| word.unwrap_or_else(|| "NOT_ELIGIBLE".to_owned());
            let (ote, mv) = (word(order.ote), word(order.mv));
            let start = end - i64::try_from(CYCLE_S * 1000).unwrap_or(0);
            Cap { quota: order.quota, used: order.used, start, end, status: order.status, ote, mv }
        });
        if let Some(account) = self.accounts.get_mut(number) {
            match &cap {
                Some(cap) => account.abprops.insert("17845".to_owned(), cap.quota.to_string()),
                None => account.abprops.remove("17845"),
            };
        }
        if let Some(cap) = &cap {
            self.timers.set(cap.end.max(now), Timer::Restriction(number.to_owned()));
        }
        self.change(number, "cap", |kept| {
            kept.cap = cap;
            kept.heard.clear();
            kept.counted.clear();
        });
        if loud {
            self.announce_cap(number);
        }
    }

    fn announce_cap(&mut self, number: &str) {
        let data = json!({
            "xwa2_notify_new_chat_messages_capping_info_update": self.cap_info(number)
        });
        self.announce(number, "cap", ("MessageCappingInfoNotification", data));
    }

    /// Tells the account's devices; those that are connected know it from now on.
    fn announce(&mut self, number: &str, part: &str, (op, data): (&'static str, Value)) {
        let Some(own) = self.accounts.get(number).map(|account| account.pn.clone()) else { return };
        let content = json!({ "data": data }).to_string();
        let update = Node::new("update").attr("op_name", op).text_bytes(&content);
        let notification = self.notification(own, "mex").child(update);
        self.notify_account(number, Some(0), notification);
        let heard = self.sessions().any(|(_, session)| session.device.number == number);
        if heard {
            self.known(number, part);
        }
    }

    /// A client knows of a part now.
    fn known(&mut self, number: &str, part: &str) {
        let now = self.now_ms;
        if let Some(kept) = self.restricted.get_mut(number) {
            kept.told.entry(part.to_owned()).or_insert(now);
        }
    }

    fn tell_expiry(&mut self, number: &str, at: Option<i64>) {
        let bulletin = Node::new("ib")
            .attr("from", Jid::service())
            .child(Node::new("client_expiration").opt_attr("t", at.map(|at| at.to_string())));
        let live: Vec<_> = self
            .sessions()
            .filter(|(_, session)| session.device.number == number)
            .map(|(connection, _)| connection)
            .collect();
        for connection in live {
            self.write(connection, bulletin.clone());
        }
    }

    /// A time-lock or a cycle may have come to its end.
    pub(crate) fn restriction_due(&mut self, number: &str) {
        let now = self.now_ms;
        let Some(kept) = self.restricted.get(number) else { return };
        if kept.timelock.as_ref().is_some_and(|lock| lock.until.is_some_and(|until| until <= now)) {
            self.set_timelock(number, None, true);
        }
        let Some(kept) = self.restricted.get_mut(number) else { return };
        let Some(cap) = kept.cap.as_mut().filter(|cap| cap.end <= now) else { return };
        cap.used = 0;
        cap.status = None;
        (cap.start, cap.end) = (cap.end, cap.end + i64::try_from(CYCLE_S * 1000).unwrap_or(0));
        let end = cap.end;
        kept.heard.clear();
        kept.counted.clear();
        kept.told.remove("cap");
        self.timers.set(end, Timer::Restriction(number.to_owned()));
        self.announce_cap(number);
    }

    /// What is in force, for GET (09 §21).
    pub(crate) fn restrictions_json(&self, number: &str) -> Value {
        let kept = self.restricted.get(number).cloned().unwrap_or_default();
        let now = self.now_ms;
        let left = |until: UnixMillis| (until - now).max(0) / 1000;
        let backoff = kept.messages.filter(|backoff| backoff.until > now);
        let usync = kept.usync.iter().find(|(_, until)| **until > now);
        json!({
            "timelock": kept.timelock.as_ref().map(|lock| json!({
                "active": true, "type": lock.kind, "ends_in_s": lock.until.map(left),
            })),
            "cap": kept.cap.as_ref().map(|cap| json!({
                "quota": cap.quota, "used": cap.used, "cycle_end_in_s": left(cap.end),
                "status": cap.status(), "ote": cap.ote, "mv": cap.mv,
            })),
            "challenge": kept.challenge.map(|kind| json!({ "type": kind })),
            "brigading": kept.brigading.map(|state| json!({ "state": state })),
            "client_expiry": kept.client_expiry.map(|at| json!({ "in_s": (at - now / 1000).max(0) })),
            "group_limit": kept.group_limit.as_ref().map(|limit| json!({
                "participant_limit": limit.participants, "backoff_s": limit.until.map(left),
                "type": if limit.by_group { "group" } else { "user" }, "group": limit.group,
            })),
            "group_block": kept.group_block.map(|all| json!({ "all": all })),
            "message_backoff": backoff.map(|backoff| json!({
                "error": backoff.error, "backoff_s": left(backoff.until),
            })),
            "usync_backoff": usync.map(|(protocol, until)| json!({
                "protocol": protocol, "backoff_s": left(*until),
            })),
        })
    }
}
