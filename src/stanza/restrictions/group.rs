//! What limits group operations: refusals of one, and groups that are locked or suspended (05d §9.1, 05c §4).

use serde::{Deserialize, Serialize};

use crate::stanza::element::Element;

/// The largest `participant_limit` that is one.
const MOST: u64 = 19_999;

/// Whom a backoff of group operations concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every add and create of this account.
    User,
    /// What is added to this group.
    Group,
}

/// What a refused group operation says besides its code: `<rate_limit>`, `<growth_locked>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimit {
    /// So many people at once.
    Participants(u32),
    /// None at all for so many seconds.
    Backoff {
        /// Whom it concerns.
        scope: Scope,
        /// Seconds.
        seconds: u64,
    },
    /// The group's links are closed until then, Unix seconds.
    Locked(i64),
}

impl RateLimit {
    /// Reads the refusal, where it has one; it may stand beside or inside `<error>`.
    #[must_use]
    pub fn of<'n>(refusal: impl Element<'n>) -> Option<Self> {
        let error = refusal.child("error");
        let child = |tag: &str| error.and_then(|error| error.child(tag)).or_else(|| refusal.child(tag));
        if let Some(ends) = child("growth_locked").and_then(|locked| locked.number("expiration")) {
            return i64::try_from(ends).ok().map(Self::Locked);
        }
        let limit = child("rate_limit")?;
        if let Some(most) = limit.number("participant_limit").filter(|most| (1..=MOST).contains(most)) {
            return u32::try_from(most).ok().map(Self::Participants);
        }
        let scope = if limit.says("type", "group") { Scope::Group } else { Scope::User };
        Some(Self::Backoff { scope, seconds: limit.number("backoff")? })
    }
}

/// How an appeal against a suspension stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Appeal {
    /// None was made.
    None,
    /// Not decided.
    InReview,
    /// Granted.
    Approved,
    /// Not granted.
    Rejected,
}

/// What a `<group>` says of its being locked or suspended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupState {
    /// Nobody joins by link until then, Unix seconds.
    pub locked_until: Option<i64>,
    /// Nothing is sent to it.
    pub suspended: bool,
    /// The appeal.
    pub appeal: Option<Appeal>,
    /// When that last changed, Unix seconds.
    pub appeal_updated: Option<i64>,
}

impl GroupState {
    /// Reads a `<group>`.
    #[must_use]
    pub fn of<'n>(group: impl Element<'n>) -> Self {
        let time = |tag, key| group.child(tag).and_then(|child| i64::try_from(child.number(key)?).ok());
        let appeal = group.child("appeal_status").and_then(|status| {
            Some(match &*status.text("type")? {
                "none" => Appeal::None,
                "in_review" => Appeal::InReview,
                "approved" => Appeal::Approved,
                "rejected" => Appeal::Rejected,
                _ => return None,
            })
        });
        Self {
            locked_until: time("growth_locked", "expiration"),
            suspended: group.child("suspended").is_some(),
            appeal,
            appeal_updated: time("appeal_update_time", "value"),
        }
    }
}

/// A `w:gp2` notification's word on one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupChange {
    /// Links are closed until then, Unix seconds.
    Locked(Option<i64>),
    /// They are open again.
    Unlocked,
    /// Nothing is sent to it.
    Suspended,
    /// It is free again.
    Unsuspended,
}

impl GroupChange {
    /// What a notification says, in order.
    #[must_use]
    pub fn all<'n>(notification: impl Element<'n>) -> Vec<Self> {
        notification.each().filter_map(|child| Self::one(child)).collect()
    }

    fn one<'n>(child: impl Element<'n>) -> Option<Self> {
        Some(match child.name() {
            "growth_locked" => Self::Locked(child.number("expiration").and_then(|at| i64::try_from(at).ok())),
            "growth_unlocked" => Self::Unlocked,
            "suspended" => Self::Suspended,
            "unsuspended" => Self::Unsuspended,
            _ => return None,
        })
    }
}
