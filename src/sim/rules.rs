//! The modes of the operating rules (09 §23): protocol faults (R15) and shapes of stanzas (R17) are judged here.

use serde::{Deserialize, Serialize};

use super::config::Profile;

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

/// The rules; one that a change does not name stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Protocol faults. Off, nothing is recorded; the answers of the router stay.
    #[serde(rename = "R15", skip_serializing_if = "Option::is_none")]
    pub protocol_faults: Option<Rule>,
    /// Shapes of stanzas: a violation in `strict`, in the traffic log in `lenient`; `bench` judges nothing.
    #[serde(rename = "R17", skip_serializing_if = "Option::is_none")]
    pub shapes: Option<Rule>,
}

impl Rules {
    /// The rules at the start of a run with this profile (09 §1).
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let (faults, shapes) = match profile {
            Profile::Strict => (Mode::Enforce, Mode::Report),
            Profile::Lenient => (Mode::Report, Mode::Report),
            Profile::Bench => (Mode::Off, Mode::Off),
        };
        Self { protocol_faults: Some(Rule { mode: faults }), shapes: Some(Rule { mode: shapes }) }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        if other.protocol_faults.is_some() {
            self.protocol_faults = other.protocol_faults;
        }
        if other.shapes.is_some() {
            self.shapes = other.shapes;
        }
    }

    pub(crate) fn judges_shapes(&self) -> bool {
        self.shapes.as_ref().is_some_and(|rule| rule.mode != Mode::Off)
    }

    pub(crate) fn records_faults(&self) -> bool {
        self.protocol_faults.as_ref().is_none_or(|rule| rule.mode != Mode::Off)
    }
}
