//! The limits: 15 numbers, each with its default, in `[limits]` of the file and under three names in the environment.
//! An account by itself obeys the pace of writing; the others are a fleet's, and read and checked all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use figment::Figment;
use palomar::client::send::Pacing;
use serde::Deserialize;

use crate::exit::Failure;

/// The section of the file.
pub const SECTION: &str = "limits";

/// Key and default. `use_multi_session` is a switch, 1 or 0.
pub const LIMITS: [(&str, u64); 15] = [
    ("use_multi_session", 1),
    ("max_concurrent_connections", 5),
    ("max_concurrent_jobs", 2),
    ("connect_delay_min_ms", 1_000),
    ("connect_delay_max_ms", 3_000),
    ("queue_pause_ms", 2_000),
    ("max_connecting", 3),
    ("qr_timeout_ms", 60_000),
    ("logout_cooldown_min_ms", 300_000),
    ("logout_cooldown_max_ms", 600_000),
    (GAP, 2_000),
    (PER_MINUTE, 30),
    ("health_interval_ms", 30_000),
    ("metrics_interval_ms", 60_000),
    ("clean_restart_wait_ms", 30_000),
];
const GAP: &str = "min_message_gap_ms";
const PER_MINUTE: &str = "max_messages_per_minute";

/// A number or a switch as written: by the file, or as the text of a variable.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Written {
    Switch(bool),
    Number(u64),
    Text(String),
}

impl Written {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Switch(on) => Some(u64::from(*on)),
            Self::Number(number) => Some(*number),
            Self::Text(text) => match text.trim() {
                "true" => Some(1),
                "false" => Some(0),
                digits => digits.parse().ok(),
            },
        }
    }
}

/// A limit that somebody set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its key.
    pub key: &'static str,
    /// Its value.
    pub value: u64,
    /// Which layer set it.
    pub origin: String,
}

/// The limits that differ from their defaults.
#[derive(Debug, Clone, Default)]
pub struct Limits(pub Vec<Set>);

impl Limits {
    /// Reads and checks the section.
    pub fn read(figment: &Figment) -> Result<Self, Failure> {
        let written: BTreeMap<String, Written> = match figment.extract_inner(SECTION) {
            Ok(written) => written,
            Err(error) if error.missing() => return Ok(Self::default()),
            Err(error) => return Err(Failure::usage(format!("configuration: {error}"))),
        };
        let mut set = Vec::new();
        for (name, written) in written {
            let Some((key, _)) = LIMITS.iter().find(|(key, _)| *key == name) else {
                let known: Vec<&str> = LIMITS.iter().map(|(key, _)| *key).collect();
                return Err(Failure::usage(format!("configuration: there is no limit {name:?}"))
                    .next(format!("known are {}", known.join(", "))));
            };
            let value = written.number().ok_or_else(|| {
                Failure::usage(format!("configuration: {SECTION}.{key}: {written:?} is no whole number"))
            })?;
            let origin = figment.find_metadata(&format!("{SECTION}.{key}"));
            let origin = origin.map_or_else(String::new, |layer| layer.name.to_string());
            set.push(Set { key, value, origin });
        }
        Ok(Self(set))
    }

    fn of(&self, key: &str) -> Option<u64> {
        self.0.iter().find(|set| set.key == key).map(|set| set.value)
    }

    /// How fast an account writes. The random part of the pause is half of the fixed one, as by default.
    pub fn pacing(&self) -> Pacing {
        let mut pacing = Pacing::default();
        if let Some(gap) = self.of(GAP) {
            pacing.gap = Duration::from_millis(gap);
            pacing.jitter = pacing.gap / 2;
        }
        if let Some(count) = self.of(PER_MINUTE) {
            pacing.per_minute = usize::try_from(count).unwrap_or(usize::MAX).max(1);
        }
        pacing
    }
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Set { key, value, origin } in &self.0 {
            write!(f, "{key} {value} ({origin}), ")?;
        }
        write!(f, "{} of {} as by default", LIMITS.len() - self.0.len(), LIMITS.len())
    }
}
