//! Which users' lists have changed since a question about them began: an answer that a notification has overtaken must
//! not be taken (protocol 05a §3). In memory: no question outlives its process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Users that are remembered one by one; then all count as changed.
const MAX: usize = 4096;

#[derive(Debug, Default)]
struct Inner {
    now: u64,
    /// Everybody counts as changed then.
    all: u64,
    users: HashMap<String, u64>,
}

/// See the module. Users by address; a user with two addresses is noted under both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Epochs(Arc<Mutex<Inner>>);

impl Epochs {
    /// A moment to compare with later.
    pub(crate) fn now(&self) -> u64 {
        self.lock().now
    }

    /// Something was told about a user.
    pub(crate) fn changed(&self, users: impl IntoIterator<Item = String>) {
        let mut inner = self.lock();
        inner.now += 1;
        let now = inner.now;
        if inner.users.len() >= MAX {
            inner.users.clear();
            inner.all = now;
        }
        inner.users.extend(users.into_iter().map(|user| (user, now)));
    }

    /// Whether something was told about one of these after that moment.
    pub(crate) fn is_overtaken<'u>(&self, since: u64, users: impl IntoIterator<Item = &'u String>) -> bool {
        let inner = self.lock();
        let mut changes = users.into_iter().filter_map(|user| inner.users.get(user));
        inner.all > since || changes.any(|at| *at > since)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_after_the_moment_counts_and_nothing_is_forgotten() {
        let (epochs, name) = (Epochs::default(), |n: usize| n.to_string());
        epochs.changed([name(1)]);
        let since = epochs.now();
        assert!(!epochs.is_overtaken(since, &[name(1)]));
        epochs.changed([name(2)]);
        assert!(epochs.is_overtaken(since, &[name(1), name(2)]) && !epochs.is_overtaken(since, &[name(1)]));
        (0..2 * MAX).for_each(|n| epochs.changed([name(n + 10)]));
        assert!(epochs.is_overtaken(since, &[name(2)]), "what fell out of memory counts as changed");
    }
}
