//! Sender keys: one chain per (group, sender device), which encrypts once for all members (protocol 04 §10).
//!
//! [`SenderKey`] is a chain of our own, [`SenderKeyRecord`] what is kept of another device's chains in one group.
//! The two wire messages are in `sender_message`. When a chain is rotated, to whom it was distributed, and where
//! the records are stored, is decided elsewhere.

mod chain;
mod codec;
mod own;
mod record;

#[cfg(test)]
mod tests;

pub use codec::RecordError;
pub use own::SenderKey;
pub use record::SenderKeyRecord;

/// States kept of one sender in one group.
pub const MAX_STATES: usize = 5;
/// Seeds of skipped messages kept per state.
pub const MAX_SKIPPED: usize = 2000;
/// How far ahead of the chain a message may be. A limit against hostile input.
pub const MAX_JUMP: u32 = 2000;
/// A chain of our own ends here.
pub const LAST_ITERATION: u32 = 0x7fff_ffff;
