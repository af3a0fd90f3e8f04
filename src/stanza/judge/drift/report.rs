//! What was counted: bounded, without values, without accounts.

use serde::{Deserialize, Serialize};

use super::unknown::{Kind, Unknown};

/// Most entries; the last of them is `other` for everything that comes after.
pub const MAX_ENTRIES: usize = 512;
/// The name of that entry.
const OTHER: &str = "other";

/// An unknown shape and how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What is unknown.
    pub kind: Kind,
    /// Where: operation and path, or a message of the schema.
    #[serde(rename = "where")]
    pub place: String,
    /// The tag, attribute name, field number or code.
    pub name: String,
    /// How often.
    pub count: u64,
    /// Unix seconds.
    pub first_seen: i64,
    /// Unix seconds.
    pub last_seen: i64,
    /// The web client's version that was presented when it was last seen.
    pub client_version: String,
}

/// The drift report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Report(Vec<Entry>);

impl Report {
    /// Counts an unknown shape, seen at `now` (Unix seconds). `true`: it is a new one.
    pub fn add(&mut self, unknown: Unknown, now: i64, client_version: &str) -> bool {
        self.count(unknown, 1, (now, now), client_version)
    }

    fn count(&mut self, unknown: Unknown, times: u64, (first, last): (i64, i64), version: &str) -> bool {
        let same = |entry: &&mut Entry| {
            entry.kind == unknown.kind && entry.place == unknown.place && entry.name == unknown.name
        };
        if let Some(entry) = self.0.iter_mut().find(same) {
            entry.count = entry.count.saturating_add(times);
            entry.first_seen = entry.first_seen.min(first);
            if last >= entry.last_seen {
                entry.last_seen = last;
                entry.client_version = version.to_owned();
            }
            return false;
        }
        let is_full = self.0.len() + 1 >= MAX_ENTRIES;
        if is_full && unknown.name != OTHER {
            let other = Unknown::new(Kind::Operation, "-", OTHER);
            self.count(other, times, (first, last), version);
            return false;
        }
        let Unknown { kind, place, name } = unknown;
        let client_version = version.to_owned();
        self.0.push(Entry {
            kind,
            place,
            name,
            count: times,
            first_seen: first,
            last_seen: last,
            client_version,
        });
        true
    }

    /// Adds what another report counted.
    pub fn merge(&mut self, other: &Self) {
        for entry in &other.0 {
            let unknown = Unknown::new(entry.kind, entry.place.clone(), entry.name.clone());
            self.count(unknown, entry.count, (entry.first_seen, entry.last_seen), &entry.client_version);
        }
    }

    /// The entries, in the order in which they were first seen.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether nothing unknown was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(name: &str) -> Unknown {
        Unknown::new(Kind::Attribute, "op path", name)
    }

    #[test]
    fn drift_a_shape_is_listed_once_with_its_count_and_times() {
        let mut report = Report::default();
        assert!(report.add(unknown("a"), 10, "1"));
        assert!(!report.add(unknown("a"), 30, "2"));
        assert!(!report.add(unknown("a"), 20, "1"));
        let [entry] = report.entries() else { panic!("{report:?}") };
        assert_eq!((entry.count, entry.first_seen, entry.last_seen), (3, 10, 30));
        assert_eq!(entry.client_version, "2");
    }

    #[test]
    fn drift_a_hundred_thousand_names_leave_at_most_512_entries() {
        let mut report = Report::default();
        for at in 0..100_000 {
            report.add(unknown(&format!("n{at}")), at, "1");
        }
        assert_eq!(report.entries().len(), MAX_ENTRIES);
        let last = report.entries().last().unwrap();
        assert_eq!((last.name.as_str(), last.count), (OTHER, 100_000 - 511));
        let mut both = report.clone();
        both.merge(&report);
        assert_eq!(both.entries().len(), MAX_ENTRIES);
        assert_eq!(both.entries().iter().map(|entry| entry.count).sum::<u64>(), 200_000);
    }
}
