//! Counts the expensive primitives of a thread, so that tests can hold the protocol to its cost (protocol 04
//! §18). Only in tests.

use std::cell::Cell;

/// How often each primitive was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Agreements.
    pub(crate) dh: usize,
    /// Multiplications of the base point to make a key pair.
    pub(crate) key_pairs: usize,
    /// Signatures checked.
    pub(crate) verified: usize,
    /// Signatures made.
    pub(crate) signed: usize,
    /// Calls of HMAC-SHA-256, those inside HKDF included.
    pub(crate) hmac: usize,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { dh: 0, key_pairs: 0, verified: 0, signed: 0, hmac: 0 }) };
}

pub(crate) fn add(change: impl FnOnce(&mut Count)) {
    COUNT.with(|cell| {
        let mut count = cell.get();
        change(&mut count);
        cell.set(count);
    });
}

/// What `work` costs, and its result.
pub(crate) fn of<T>(work: impl FnOnce() -> T) -> (Count, T) {
    COUNT.set(Count::default());
    let result = work();
    (COUNT.get(), result)
}
