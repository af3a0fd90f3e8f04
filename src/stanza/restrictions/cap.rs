//! The cap on new chats: a monthly quota of chats with people who have not answered.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::stanza::element::Element;
use crate::stanza::mex::{self, MexError};
use crate::wire::Node;

const QUERY: &str = "27910975521856601";

/// How near the cap is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CapStatus {
    /// Not near, or unknown.
    #[default]
    None,
    /// Half of it is used.
    FirstWarning,
    /// Most of it is used.
    SecondWarning,
    /// It is reached.
    Capped,
}

/// A one-time exception from the cap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the service's own words")]
pub enum Exception {
    NotEligible,
    #[default]
    Eligible,
    ActiveInCurrentCycle,
    Exhausted,
}

/// Whether the account is a verified business.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the service's own words")]
pub enum Verified {
    NotEligible,
    #[default]
    NotActive,
    Active,
    ActiveUpgradeAvailable,
}

/// How the cap stands. Times are Unix seconds; 0: unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// New chats of a cycle.
    pub total: u32,
    /// Used up.
    pub used: u32,
    /// The cycle's begin.
    pub cycle_start: i64,
    /// The cycle's end.
    pub cycle_end: i64,
    /// When the server said so.
    pub sent: i64,
    /// How near it is.
    pub status: CapStatus,
    /// The one-time exception.
    pub exception: Exception,
    /// Verified business.
    pub verified: Verified,
}

impl Cap {
    /// Asks for it, without id.
    #[must_use]
    pub fn query() -> Node {
        mex::query(QUERY, &json!({ "input": { "type": "INDIVIDUAL_NEW_CHAT_THREAD" } }))
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// Nothing is known then.
    pub fn answer<'n>(answer: impl Element<'n>) -> Result<Self, MexError> {
        let data = mex::answer(answer)?;
        data.get("xwa2_message_capping_info")
            .and_then(Self::read)
            .ok_or_else(|| MexError { code: 500, message: "the answer says nothing of the cap".to_owned() })
    }

    /// What is left of the quota.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.total - self.used.min(self.total)
    }

    pub(super) fn read(told: &Value) -> Option<Self> {
        let count = |key| u32::try_from(mex::number(told.get(key))?).ok();
        let time = |key| mex::number(told.get(key)).filter(|time| *time > 0).unwrap_or(0);
        fn word<T: Default + serde::de::DeserializeOwned>(told: &Value, key: &str) -> T {
            serde_json::from_value(told.get(key).cloned().unwrap_or_default()).unwrap_or_default()
        }
        Some(Self {
            total: count("total_quota")?,
            used: count("used_quota")?,
            cycle_start: time("cycle_start_timestamp"),
            cycle_end: time("cycle_end_timestamp"),
            sent: time("server_sent_timestamp"),
            status: word(told, "capping_status"),
            exception: word(told, "ote_status"),
            verified: word(told, "mv_status"),
        })
    }
}
