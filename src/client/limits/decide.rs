//! May this message leave now? The table of 05d §9.2 and the budget of §10, as a function of what is known. Pure.

use serde::{Deserialize, Serialize};

use super::record::{DAY, HOUR, MINUTE, Restrictions};
use crate::stanza::restrictions::CapStatus;
use crate::store::UnixMillis;

/// How many new chats an account begins by itself: below what the service bears. Loosening it is for servers of one's
/// own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewChats {
    /// In any hour.
    pub per_hour: usize,
    /// In any day.
    pub per_day: usize,
    /// With the same text, in any hour.
    pub same_text: usize,
}

impl Default for NewChats {
    fn default() -> Self {
        Self { per_hour: 5, per_day: 20, same_text: 5 }
    }
}

/// Why a message waits or is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Why {
    /// The service wants a person.
    Challenge,
    /// The service told the account to pause.
    Paused,
    /// A time-lock of linked devices: a person has to look first.
    Companions,
    /// The reach-out time-lock.
    Timelock,
    /// The cap on new chats is reached.
    Capped,
    /// The service refused this one chat.
    ChatRefused,
    /// The account has blocked the user.
    Blocked,
    /// The same text went to several new chats within an hour.
    SameText,
    /// The account's own budget of new chats.
    NewChats,
    /// What is left of the service's quota is spread over the days of its cycle.
    Spread,
    /// The service's quota is nearly used up: only what a person ordered.
    NearlyCapped,
    /// The quota is being asked for.
    AskingCap,
    /// The first message to this user has not been taken yet.
    FirstMessage,
}

impl Why {
    pub(super) const ALL: [Self; 13] = [
        Self::Challenge,
        Self::Paused,
        Self::Companions,
        Self::Timelock,
        Self::Capped,
        Self::ChatRefused,
        Self::Blocked,
        Self::SameText,
        Self::NewChats,
        Self::Spread,
        Self::NearlyCapped,
        Self::AskingCap,
        Self::FirstMessage,
    ];

    /// Its stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::Paused => "paused",
            Self::Companions => "companions",
            Self::Timelock => "timelock",
            Self::Capped => "capped",
            Self::ChatRefused => "chat_refused",
            Self::Blocked => "blocked",
            Self::SameText => "same_text",
            Self::NewChats => "new_chats",
            Self::Spread => "spread",
            Self::NearlyCapped => "nearly_capped",
            Self::AskingCap => "asking_cap",
            Self::FirstMessage => "first_message",
        }
    }

    /// It ends by itself within seconds, or with the answer to a question that is under way.
    #[must_use]
    pub fn is_short(self) -> bool {
        matches!(self, Self::AskingCap | Self::FirstMessage)
    }

    /// The reason with a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.name() == name)
    }
}

/// The server's properties that are about the cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CapProps {
    /// The quota; 0: there is no cap.
    pub(super) quota: u32,
    /// Milliseconds for which an answer counts.
    pub(super) lifetime: UnixMillis,
}

/// What is known of a chat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Chat {
    /// The service lets it through a time-lock.
    pub(super) exempt: bool,
    /// It lets it through the cap.
    pub(super) exempt_from_cap: bool,
    /// We have written there and the server took it, or its user has written to us.
    pub(super) known: bool,
    pub(super) heard_at: Option<UnixMillis>,
    pub(super) counted_at: Option<UnixMillis>,
    pub(super) blocked: bool,
    pub(super) refused_until: Option<UnixMillis>,
    /// A message to it is under way, and the server has not answered.
    pub(super) under_way: bool,
}

/// A message that wants to leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) chat: Chat,
    /// The chat's name.
    pub(super) name: &'a str,
    /// Nobody ordered it by itself.
    pub(super) campaign: bool,
    pub(super) created_at: UnixMillis,
    /// What it costs is paid: it is encrypted already.
    pub(super) paid: bool,
    /// Of its text.
    pub(super) text: Option<u64>,
}

/// What a message costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// One of the account's own budget.
    pub(super) new_chat: bool,
    /// One of the service's quota.
    pub(super) quota: bool,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Go(Cost),
    /// Until then; `None`: until something changes.
    Wait(Why, Option<UnixMillis>),
    Refuse(Why, Option<UnixMillis>),
}

/// The rules, in order.
pub(super) fn decide(
    kept: &Restrictions,
    budget: &NewChats,
    props: CapProps,
    message: &Message<'_>,
    now: UnixMillis,
) -> Verdict {
    let chat = &message.chat;
    if chat.blocked {
        return Verdict::Refuse(Why::Blocked, None);
    }
    if let Some(held) = held(kept, message, now) {
        return held;
    }
    if let Some((why, until)) = closed(kept, chat, now) {
        return closing(message, why, until);
    }
    let cap = CapNow::of(kept, props, now);
    if let Some(cap) = cap.filter(|cap| !chat.exempt_from_cap && cap.is_full()) {
        return closing(message, Why::Capped, cap.until);
    }
    if chat.exempt || message.paid {
        return Verdict::Go(Cost::default());
    }
    let cap = cap.filter(|_| !chat.exempt_from_cap);
    if chat.known {
        let in_cycle = |at: Option<UnixMillis>| cap.is_some_and(|cap| at.is_some_and(|at| at >= cap.since));
        let quota = cap.is_some() && !in_cycle(chat.heard_at) && !in_cycle(chat.counted_at);
        return Verdict::Go(Cost { new_chat: false, quota });
    }
    new_chat(kept, budget, cap, message, now)
}

/// What holds every chat.
fn held(kept: &Restrictions, message: &Message<'_>, now: UnixMillis) -> Option<Verdict> {
    let just_ordered = !message.campaign && now.saturating_sub(message.created_at) <= MINUTE;
    if kept.challenge.is_some() && !just_ordered {
        return Some(Verdict::Wait(Why::Challenge, None));
    }
    if let Some(pause) = kept.messages.filter(|pause| pause.holds(now)) {
        return Some(Verdict::Wait(Why::Paused, Some(pause.until)));
    }
    if kept.companions.is_some() && message.campaign {
        return Some(Verdict::Wait(Why::Companions, None));
    }
    None
}

/// What closes this chat, whatever it costs.
fn closed(kept: &Restrictions, chat: &Chat, now: UnixMillis) -> Option<(Why, Option<UnixMillis>)> {
    if let Some(until) = chat.refused_until.filter(|until| now < *until) {
        return Some((Why::ChatRefused, Some(until)));
    }
    let lock = kept.timelock.filter(|lock| lock.until.is_none_or(|until| now < until));
    if let Some(lock) = lock.filter(|_| !chat.exempt) {
        return Some((Why::Timelock, lock.until));
    }
    let capped = kept.cap.filter(|cap| cap.status(now) == CapStatus::Capped);
    capped.filter(|_| !chat.exempt_from_cap).map(|cap| (Why::Capped, cap.until))
}

/// A closed chat: a single message is refused, those of a campaign wait.
fn closing(message: &Message<'_>, why: Why, until: Option<UnixMillis>) -> Verdict {
    if message.campaign { Verdict::Wait(why, until) } else { Verdict::Refuse(why, until) }
}

/// The cap, where it is in force.
#[derive(Debug, Clone, Copy)]
struct CapNow {
    status: CapStatus,
    /// Before what we have spent since the server last counted.
    left: u32,
    spent: u32,
    since: UnixMillis,
    until: Option<UnixMillis>,
    /// The answer is old.
    stale: bool,
}

impl CapNow {
    fn of(kept: &Restrictions, props: CapProps, now: UnixMillis) -> Option<Self> {
        let told = kept.cap.filter(|cap| cap.told.total > 0 && cap.until.is_none_or(|until| now < until));
        if props.quota == 0 && told.is_none() {
            return None;
        }
        let asked = kept.asked_cap.max(told.map(|cap| cap.at));
        let stale = asked.is_none_or(|at| now.saturating_sub(at) > props.lifetime);
        let spent_since = |at: UnixMillis| {
            u32::try_from(kept.units.iter().filter(|unit| unit.at > at).count()).unwrap_or(u32::MAX)
        };
        Some(match told {
            Some(cap) => {
                let most = if props.quota > 0 { props.quota } else { u32::MAX };
                let start = cap.until.map_or(now - 30 * DAY, |until| {
                    until - (cap.told.cycle_end - cap.told.cycle_start).clamp(0, 32 * 86_400) * 1000
                });
                Self {
                    status: cap.status(now),
                    left: cap.told.remaining().min(most),
                    spent: spent_since(cap.at),
                    since: start,
                    until: cap.until,
                    stale,
                }
            }
            // Nothing is known but the bound: it counts for any thirty days.
            None => Self {
                status: CapStatus::None,
                left: props.quota,
                spent: spent_since(now - 30 * DAY),
                since: now - 30 * DAY,
                until: None,
                stale,
            },
        })
    }

    fn remaining(&self) -> u32 {
        self.left.saturating_sub(self.spent)
    }

    fn is_full(&self) -> bool {
        self.remaining() == 0
    }
}

/// A chat that nobody has written in.
fn new_chat(
    kept: &Restrictions,
    budget: &NewChats,
    cap: Option<CapNow>,
    message: &Message<'_>,
    now: UnixMillis,
) -> Verdict {
    if message.chat.under_way {
        return Verdict::Wait(Why::FirstMessage, None);
    }
    if let Some(until) = same_text(kept, budget, message, now) {
        return Verdict::Refuse(Why::SameText, Some(until));
    }
    let new: Vec<UnixMillis> = kept.units.iter().filter(|unit| unit.new).map(|unit| unit.at).collect();
    let hour = window(&new, budget.per_hour, HOUR, now);
    let day = window(&new, budget.per_day, DAY, now);
    if let Some(until) = hour.max(day) {
        return Verdict::Wait(Why::NewChats, Some(until));
    }
    let Some(cap) = cap else { return Verdict::Go(Cost { new_chat: true, quota: false }) };
    if message.campaign && cap.stale {
        return Verdict::Wait(Why::AskingCap, None);
    }
    if message.campaign && cap.status == CapStatus::SecondWarning {
        return Verdict::Wait(Why::NearlyCapped, cap.until);
    }
    // What is left, and what today took of it, over the days that are left.
    let days = u64::try_from((cap.until.unwrap_or(now + 30 * DAY) - now + DAY - 1) / DAY).unwrap_or(1).max(1);
    let today = new.iter().filter(|at| now.saturating_sub(**at) < DAY).count();
    let daily =
        usize::try_from((u64::from(cap.remaining()) + today as u64).div_ceil(days)).unwrap_or(usize::MAX);
    let spread = if cap.status == CapStatus::FirstWarning {
        window(&new, daily.div_ceil(2), DAY, now).max(window(&new, daily, 2 * DAY, now))
    } else {
        window(&new, daily, DAY, now)
    };
    match spread {
        // A person's single message may be one too many for today, as long as the quota has room for it.
        Some(until) if cap.status != CapStatus::SecondWarning => Verdict::Wait(Why::Spread, Some(until)),
        _ => Verdict::Go(Cost { new_chat: true, quota: true }),
    }
}

/// When the next one fits into a sliding window; `None`: now.
fn window(times: &[UnixMillis], most: usize, length: UnixMillis, now: UnixMillis) -> Option<UnixMillis> {
    let inside: Vec<UnixMillis> =
        times.iter().copied().filter(|at| now.saturating_sub(*at) < length).collect();
    let surplus = inside.len().checked_sub(most)?;
    // With a budget of nothing the question comes again after a whole window.
    Some(inside.get(surplus).map_or(now + length, |at| at + length))
}

/// The end of the hour in which this text has gone to as many other new chats as it may.
fn same_text(
    kept: &Restrictions,
    budget: &NewChats,
    message: &Message<'_>,
    now: UnixMillis,
) -> Option<UnixMillis> {
    let hash = message.text?;
    let mut chats: Vec<&str> = Vec::new();
    let mut first = now;
    for text in kept.texts.iter().filter(|text| text.hash == hash && now.saturating_sub(text.at) < HOUR) {
        if text.chat != message.name && !chats.contains(&text.chat.as_str()) {
            chats.push(&text.chat);
            first = first.min(text.at);
        }
    }
    (chats.len() >= budget.same_text).then_some(first + HOUR)
}
