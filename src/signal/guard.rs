//! What hostile messages may cost (protocol 04 §17): a budget of chain steps for each message, and per address
//! a limit on attempts after many failures in a row. Kept in memory only, beside the record.

use crate::clock::UnixMillis;

/// After so many failures in a row only the current session is tried.
const MAX_FAILURES: u32 = 20;

/// So many failed new base keys within [`WINDOW`] are looked at.
const MAX_FAILED_BASE_KEYS: u32 = 20;

const WINDOW: UnixMillis = 60_000;

/// The chain steps of one message over all sessions that are tried.
const BUDGET: u32 = 10_000;

/// The same for other devices of our own account.
const BUDGET_OWN: u32 = 50_000;

/// The failures of one address.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    failures: u32,
    failed_base_keys: u32,
    window_start: UnixMillis,
}

impl Guard {
    /// Whether only the current session is to be tried.
    pub(crate) fn is_strict(&self) -> bool {
        self.failures >= MAX_FAILURES
    }

    /// Whether a new base key is looked at now.
    pub(crate) fn admits_base_key(&self, now: UnixMillis) -> bool {
        self.failed_base_keys < MAX_FAILED_BASE_KEYS || !self.in_window(now)
    }

    fn in_window(&self, now: UnixMillis) -> bool {
        (0..WINDOW).contains(&now.saturating_sub(self.window_start))
    }

    pub(crate) fn opened(&mut self) {
        self.failures = 0;
    }

    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(crate) fn failed_base_key(&mut self, now: UnixMillis) {
        if !self.in_window(now) {
            self.window_start = now;
            self.failed_base_keys = 0;
        }
        self.failed_base_keys = self.failed_base_keys.saturating_add(1);
    }

    /// The chain steps that one message may cost.
    pub(crate) fn budget(own_account: bool) -> u32 {
        if own_account { BUDGET_OWN } else { BUDGET }
    }
}
