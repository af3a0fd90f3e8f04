//! The log of what clients did wrong (09 §23). Not: the checks themselves, which stand where the stanza is
//! handled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::FailOn;
use super::rules::{Mode, Rules};
use crate::clock::UnixMillis;

/// How grave a violation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// A fault.
    Normal,
    /// A reused message key or worse.
    Critical,
}

/// One kind of fault of one account, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The number, or none before login.
    pub account: Option<String>,
    /// The connection of the last one.
    pub connection: Option<u64>,
    /// Code of 09 §23, such as `counter-reuse`.
    pub code: String,
    /// The rule it belongs to; protocol faults are R15.
    pub rule: String,
    /// How grave.
    pub severity: Severity,
    /// How often.
    pub count: u64,
    /// First time, milliseconds of the world's clock.
    pub first_ms: UnixMillis,
    /// Last time.
    pub last_ms: UnixMillis,
    /// What was seen, without secrets or texts.
    pub detail: String,
    /// Cursor into the traffic log, where there is one.
    pub sample: Option<u64>,
}

/// One fault as it is reported.
#[derive(Debug, Clone)]
pub(crate) struct Fault<'a> {
    pub account: Option<&'a str>,
    pub connection: Option<u64>,
    pub code: &'static str,
    pub detail: String,
    pub sample: Option<u64>,
}

/// All violations since the start or the last clearing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violations {
    items: Vec<Violation>,
    total: u64,
}

impl Violations {
    /// How many, each counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// One item per account and code, in order of first occurrence.
    #[must_use]
    pub fn items(&self) -> &[Violation] {
        &self.items
    }

    /// How many per code.
    #[must_use]
    pub fn by_code(&self) -> BTreeMap<String, u64> {
        let mut by_code = BTreeMap::new();
        for item in &self.items {
            *by_code.entry(item.code.clone()).or_default() += item.count;
        }
        by_code
    }

    /// How many of this code.
    #[must_use]
    pub fn count(&self, code: &str) -> u64 {
        self.items.iter().filter(|item| item.code == code).map(|item| item.count).sum()
    }

    /// How many count under `--fail-on` (09 §23).
    #[must_use]
    pub fn counted(&self, fail_on: FailOn, rules: &Rules) -> u64 {
        let counts = |item: &&Violation| match fail_on {
            FailOn::Report => true,
            FailOn::Enforce => item.rule == "R15" || rules.mode(&item.rule) == Some(Mode::Enforce),
            FailOn::Critical => item.severity == Severity::Critical,
        };
        self.items.iter().filter(counts).map(|item| item.count).sum()
    }

    /// Those of one account.
    #[must_use]
    pub fn of(&self, account: &str) -> Self {
        let items: Vec<_> =
            self.items.iter().filter(|item| item.account.as_deref() == Some(account)).cloned().collect();
        Self { total: items.iter().map(|item| item.count).sum(), items }
    }

    pub(crate) fn record(&mut self, now: UnixMillis, fault: Fault<'_>) {
        self.total += 1;
        // Shapes count per finding, everything else per code.
        let shape = matches!(fault.code, "stanza-unlike" | "payload-unlike");
        let known = self.items.iter_mut().find(|item| {
            item.code == fault.code
                && item.account.as_deref() == fault.account
                && (!shape || item.detail == fault.detail)
        });
        if let Some(item) = known {
            item.count += 1;
            item.last_ms = now;
            item.connection = fault.connection;
            return;
        }
        let severity = if fault.code == "counter-reuse" { Severity::Critical } else { Severity::Normal };
        self.items.push(Violation {
            account: fault.account.map(str::to_owned),
            connection: fault.connection,
            code: fault.code.to_owned(),
            rule: rule_of(fault.code).to_owned(),
            severity,
            count: 1,
            first_ms: now,
            last_ms: now,
            detail: fault.detail,
            sample: fault.sample,
        });
    }
}

/// The rule that a code belongs to.
fn rule_of(code: &str) -> &'static str {
    match code {
        "parallel-connects" => "R1",
        "login-spacing" => "R2",
        "reconnect-storm" => "R3",
        "rate-soft" | "rate-hard" => "R4",
        "cold-outreach" => "R5",
        "cooldown-login" => "R6",
        "double-link" => "R7",
        "connections-per-source" => "R8",
        "retry-excess" => "R9",
        "usync-rate" => "R10",
        "bulk-identical" => "R11",
        "group-rate" => "R12",
        "synchronised-fleet" => "R13",
        "always-online" => "R14",
        "restriction-ignored" | "challenge-answered" | "restriction-poll" => "R16",
        "stanza-unlike" | "payload-unlike" => "R17",
        _ => "R15",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_per_account_and_code() {
        let mut log = Violations::default();
        let fault =
            |account, code| Fault { account, connection: None, code, detail: String::new(), sample: None };
        log.record(1, fault(Some("15550001"), "duplicate-id"));
        log.record(2, fault(Some("15550001"), "duplicate-id"));
        log.record(3, fault(None, "bad-intro"));
        log.record(4, fault(Some("15550002"), "counter-reuse"));

        assert_eq!(log.total(), 4);
        assert_eq!(log.items().len(), 3);
        assert_eq!(log.of("15550001").total(), 2);
        assert_eq!(log.count("bad-intro"), 1);
        assert_eq!(log.items()[2].severity, Severity::Critical);
    }
}
