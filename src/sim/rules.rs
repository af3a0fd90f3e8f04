//! The modes and limits of the operating rules (09 §23). Not: the judging, which is the world's `limits` for R1 to R14
//! and stands where a stanza is handled for the others.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{OperatingRules, Profile};

/// What happens at a breach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing.
    Off,
    /// It is recorded.
    Report,
    /// It is recorded and answered as the rule says.
    Enforce,
}

/// A rule without limits of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What happens at a breach.
    pub mode: Mode,
}

/// A change of the rules that can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// There is no such rule, or it has no such limit.
    #[error("unknown field {0}")]
    UnknownField(String),
    /// A value of another form.
    #[error("{0}")]
    Value(String),
}

/// What an account's second link does (R7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoubleLinkPolicy {
    /// The older companion is unlinked.
    Replace,
    /// Nothing.
    Both,
    /// The scan is refused.
    Refuse,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:expr),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// What happens at a breach.
            pub mode: Mode,
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $name {
            fn new(mode: Mode) -> Self {
                Self { mode, $($field: $default),* }
            }
        }
    )*};
}

rules! {
    /// R1: simultaneous connection attempts of a source.
    Attempts {
        /// How many.
        max: usize = 3,
    }
    /// R2: the space between logins of different devices of a source.
    Spacing {
        /// How long.
        min_ms: i64 = 1000,
        /// How much less is taken.
        tolerance_ms: i64 = 100,
    }
    /// R3: reconnects of a device.
    Reconnects {
        /// In 60 s.
        per_min: usize = 10,
        /// In an hour.
        per_hour: usize = 30,
    }
    /// R4: messages of an account.
    MessageRate {
        /// More than these in 60 s are recorded.
        soft_per_min: usize = 30,
        /// More than these in 60 s are refused.
        hard_per_min: usize = 40,
        /// More than these in 5 s are refused.
        burst_5s: usize = 5,
    }
    /// R5: new chats with those who never wrote.
    Outreach {
        /// In an hour.
        per_hour: usize = 10,
        /// In a cycle; 0 is off.
        cap_per_cycle: usize = 0,
        /// The cycle, seconds.
        cycle_s: i64 = 2_592_000,
        /// On breach, a time-lock of this many seconds; 0 is none.
        timelock_s: i64 = 0,
    }
    /// R6: the rest after a logout.
    Cooldown {
        /// At least, seconds.
        min_s: u64 = 300,
        /// At most.
        max_s: u64 = 300,
    }
    /// R7: two companions of the same kind.
    DoubleLink {
        /// What becomes of them.
        policy: DoubleLinkPolicy = DoubleLinkPolicy::Replace,
    }
    /// R8: live connections of a source.
    LiveConnections {
        /// How many.
        max: usize = 5,
    }
    /// R9: retry receipts, and resends, of a message.
    RetryExcess {
        /// How many.
        max: u32 = 5,
    }
    /// R10: usync queries of an account.
    UsyncRate {
        /// Numbers looked up in 60 s.
        numbers_per_min: usize = 60,
        /// Queries with `contact` in 60 s.
        contact_per_min: usize = 10,
        /// Other queries in 60 s.
        other_per_min: usize = 120,
    }
    /// R11: the same text to those who never wrote.
    BulkIdentical {
        /// How many.
        recipients: usize = 20,
        /// Within, seconds.
        window_s: i64 = 600,
    }
    /// R12: groups made, members added.
    GroupRate {
        /// Groups in an hour.
        creates_per_hour: usize = 5,
        /// Members in an hour.
        adds_per_hour: usize = 50,
    }
    /// R14: presence without a pause.
    AlwaysOnline {
        /// How long.
        hours: i64 = 16,
    }
}

/// All rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Simultaneous connection attempts.
    #[serde(rename = "R1")]
    pub attempts: Attempts,
    /// Space between logins.
    #[serde(rename = "R2")]
    pub spacing: Spacing,
    /// Reconnects.
    #[serde(rename = "R3")]
    pub reconnects: Reconnects,
    /// Messages.
    #[serde(rename = "R4")]
    pub message_rate: MessageRate,
    /// New chats.
    #[serde(rename = "R5")]
    pub outreach: Outreach,
    /// The rest after a logout.
    #[serde(rename = "R6")]
    pub cooldown: Cooldown,
    /// Two companions of the same kind.
    #[serde(rename = "R7")]
    pub double_link: DoubleLink,
    /// Live connections.
    #[serde(rename = "R8")]
    pub live_connections: LiveConnections,
    /// Retries.
    #[serde(rename = "R9")]
    pub retry_excess: RetryExcess,
    /// Look-ups.
    #[serde(rename = "R10")]
    pub usync_rate: UsyncRate,
    /// The same text to many.
    #[serde(rename = "R11")]
    pub bulk_identical: BulkIdentical,
    /// Groups.
    #[serde(rename = "R12")]
    pub group_rate: GroupRate,
    /// Accounts that move as one; never more than a report.
    #[serde(rename = "R13")]
    pub synchronised: Rule,
    /// Presence without a pause; never more than a report.
    #[serde(rename = "R14")]
    pub always_online: AlwaysOnline,
    /// Protocol faults. Off, nothing is recorded; the answers of the router stay.
    #[serde(rename = "R15")]
    pub protocol_faults: Rule,
    /// Restrictions that were announced and are ignored.
    #[serde(rename = "R16")]
    pub restrictions: Rule,
    /// Shapes of stanzas: a violation in `strict`, in the traffic log in `lenient`; `bench` judges nothing.
    #[serde(rename = "R17")]
    pub shapes: Rule,
}

impl Rules {
    /// The rules at the start of a run with this profile (09 §1).
    #[must_use]
    pub fn of(profile: Profile, operating: OperatingRules) -> Self {
        let (faults, shapes) = match profile {
            Profile::Strict => (Mode::Enforce, Mode::Report),
            Profile::Lenient | Profile::Crude => (Mode::Report, Mode::Report),
            Profile::Bench => (Mode::Off, Mode::Off),
        };
        let mode = match operating {
            OperatingRules::OfProfile => faults,
            OperatingRules::Off => Mode::Off,
            OperatingRules::All(mode) => mode,
        };
        Self {
            attempts: Attempts::new(mode),
            spacing: Spacing::new(mode),
            reconnects: Reconnects::new(mode),
            message_rate: MessageRate::new(mode),
            outreach: Outreach::new(mode),
            cooldown: Cooldown::new(mode),
            double_link: DoubleLink::new(mode),
            live_connections: LiveConnections::new(mode),
            retry_excess: RetryExcess::new(mode),
            usync_rate: UsyncRate::new(mode),
            bulk_identical: BulkIdentical::new(mode),
            group_rate: GroupRate::new(mode),
            synchronised: Rule { mode: mode.min(Mode::Report) },
            always_online: AlwaysOnline::new(mode.min(Mode::Report)),
            protocol_faults: Rule { mode: faults },
            restrictions: Rule { mode },
            shapes: Rule { mode: shapes },
        }
    }

    /// Changes what `change` names (`{R4:{mode, soft_per_min}}`); everything else stays.
    ///
    /// # Errors
    /// [`RulesError`]; then nothing is changed.
    pub fn merge(&mut self, change: &Value) -> Result<(), RulesError> {
        let wrong = |error: serde_json::Error| RulesError::Value(error.to_string());
        let mut rules = serde_json::to_value(&*self).map_err(wrong)?;
        let object =
            |value: &Value| value.as_object().cloned().ok_or(RulesError::Value("no object".to_owned()));
        for (name, fields) in object(change)? {
            let rule = rules.get_mut(&name).ok_or_else(|| RulesError::UnknownField(name.clone()))?;
            for (field, value) in object(&fields)? {
                let place = rule
                    .get_mut(&field)
                    .ok_or_else(|| RulesError::UnknownField(format!("{name}.{field}")))?;
                *place = value;
            }
        }
        *self = serde_json::from_value(rules).map_err(wrong)?;
        Ok(())
    }

    /// The mode of a rule by its name, such as `R4`.
    #[must_use]
    pub fn mode(&self, rule: &str) -> Option<Mode> {
        let rules = serde_json::to_value(self).ok()?;
        serde_json::from_value(rules.get(rule)?.get("mode")?.clone()).ok()
    }

    pub(crate) fn judges_shapes(&self) -> bool {
        self.shapes.mode != Mode::Off
    }

    pub(crate) fn records_faults(&self) -> bool {
        self.protocol_faults.mode != Mode::Off
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_names_what_it_changes_and_nothing_else_moves() {
        let mut rules = Rules::of(Profile::Strict, OperatingRules::OfProfile);
        rules.merge(&json!({"R4": {"soft_per_min": 3}, "R17": {"mode": "off"}})).unwrap();
        assert_eq!((rules.message_rate.soft_per_min, rules.message_rate.hard_per_min), (3, 40));
        assert_eq!((rules.mode("R4"), rules.mode("R17")), (Some(Mode::Enforce), Some(Mode::Off)));
        let before = rules.clone();
        for (change, error) in [
            (json!({"R99": {"mode": "off"}}), RulesError::UnknownField("R99".to_owned())),
            (json!({"R1": {"colour": 1}}), RulesError::UnknownField("R1.colour".to_owned())),
        ] {
            assert_eq!(rules.merge(&change), Err(error));
        }
        assert!(matches!(rules.merge(&json!({"R1": {"max": "many"}})), Err(RulesError::Value(_))));
        assert_eq!(rules, before);
    }

    #[test]
    fn the_profile_decides_how_the_rules_begin_unless_told_otherwise() {
        let mode = |profile, operating| Rules::of(profile, operating).attempts.mode;
        assert_eq!(mode(Profile::Strict, OperatingRules::OfProfile), Mode::Enforce);
        assert_eq!(mode(Profile::Lenient, OperatingRules::OfProfile), Mode::Report);
        assert_eq!(mode(Profile::Bench, OperatingRules::OfProfile), Mode::Off);
        assert_eq!(mode(Profile::Strict, OperatingRules::Off), Mode::Off);
        assert_eq!(mode(Profile::Strict, OperatingRules::All(Mode::Report)), Mode::Report);
    }
}
