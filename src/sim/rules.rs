//! The modes of the operating rules (09 §23). Protocol faults (R15) are the ones that this simulator judges.

use serde::{Deserialize, Serialize};

/// What happens at a breach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing.
    Off,
    /// It is recorded.
    Report,
    /// It is recorded and answered as the rule says.
    Enforce,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What happens at a breach.
    pub mode: Mode,
}

/// The rules; an absent one is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Protocol faults. Off, nothing is recorded; the answers of the router stay.
    #[serde(rename = "R15", skip_serializing_if = "Option::is_none")]
    pub protocol_faults: Option<Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { protocol_faults: Some(Rule { mode: Mode::Enforce }) }
    }
}

impl Rules {
    pub(crate) fn merge(&mut self, other: Self) {
        if other.protocol_faults.is_some() {
            self.protocol_faults = other.protocol_faults;
        }
    }

    pub(crate) fn records_faults(&self) -> bool {
        self.protocol_faults.as_ref().is_none_or(|rule| rule.mode != Mode::Off)
    }
}
