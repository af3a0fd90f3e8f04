//! Signals that want a person: the integrity challenge, and a flood of strangers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The service wants a human. It is never answered by us, so that nothing but its kind is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Challenge {
    /// A passkey.
    Passkey,
    /// A picture puzzle.
    Captcha,
    /// A kind that we don't know.
    Unknown,
}

impl Challenge {
    pub(super) fn read(told: &Value) -> Option<Self> {
        let kind = told.as_object()?.get("challenge_type").cloned().unwrap_or_default();
        Some(serde_json::from_value(kind).unwrap_or(Self::Unknown))
    }
}

/// Others are flooding this account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Brigading {
    /// Noticed.
    Detected,
    /// The service does something about it.
    Enforced,
    /// It no longer does.
    NotEnforced,
    /// Over.
    NotDetected,
}

impl Brigading {
    pub(super) fn read(told: &Value) -> Option<Self> {
        serde_json::from_value(told.get("state")?.clone()).ok()
    }
}
