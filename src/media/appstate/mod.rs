//! The cryptography of app state: key expansion, LTHash, values and their MACs, snapshots and patches, read and built
//! (protocol 06 §2.4, §4, §7, §9.1).
//!
//! Pure. What a record means (actions), when collections are fetched or sent, and where their state is kept live elsewhere.

mod build;
mod index;
mod key;
mod lthash;
mod patch;
mod record;
mod snapshot;

use std::collections::BTreeMap;

pub use build::{Built, Change, Extras, build_patch};
pub use index::{index_json, index_parts};
pub use key::{KeyRing, SyncKey};
pub use lthash::LtHash;
pub use patch::{Patched, apply_patch};
pub use record::{Operation, Record, RecordIv, SealedRecord, seal_record};
pub use snapshot::apply_snapshot;

/// The most mutations of a patch with an inline list (official client).
pub const MAX_INLINE_MUTATIONS: usize = 100;
/// The most bytes of a patch with an inline list (official client).
pub const MAX_INLINE_BYTES: usize = 10_000;
/// The most records of a snapshot or patch that are taken (protocol 06 §13).
pub const MAX_RECORDS: usize = 1_000_000;

/// The MAC of an index under the key of its record: the name of an entry in a collection.
pub type IndexMac = [u8; 32];
/// The MAC of a value: what the LTHash sums.
pub type ValueMac = [u8; 32];

/// Where a collection stands: everything that the next snapshot or patch is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collection {
    /// Version of the last snapshot or patch that was applied; 0 for an empty collection.
    pub version: u64,
    /// The sum over `value_macs`, but for a diverged collection.
    pub lthash: LtHash,
    /// The entries: index MAC to value MAC.
    pub value_macs: BTreeMap<IndexMac, ValueMac>,
    /// Whether the hash has drifted: the comparison with a patch's `snapshotMac` is left out until the next snapshot
    /// (protocol 06 §8.3).
    pub diverged: bool,
}

/// Why a snapshot or a patch was not applied. Nothing of it was, then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppStateError {
    /// The structure is wrong: undecodable, a part missing, an impossible length, two sources of mutations.
    #[error("malformed")]
    Malformed,
    /// More records than [`MAX_RECORDS`].
    #[error("too many records")]
    TooLarge,
    /// Not the version after the local one: fetch from the local version again.
    #[error("version {found} where {expected} was due")]
    VersionGap {
        /// The local version + 1.
        expected: u64,
        /// What the patch says.
        found: u64,
    },
    /// An operation that is neither SET nor REMOVE.
    #[error("unknown operation {0}")]
    UnknownOperation(i32),
    /// A device gave the collection up: it is at its end (`exitCode`).
    #[error("the collection was given up by a device (code {0})")]
    TerminalPatch(u64),
    /// Keys that are not stored: ask the own devices for them.
    #[error("{} keys missing", .0.len())]
    KeyMissing(Vec<Vec<u8>>),
    /// The patch was not made by a device of this account, or not for this collection and version.
    #[error("the patch's MAC is wrong")]
    PatchMacMismatch,
    /// The snapshot is not what a device of this account made.
    #[error("the snapshot's MAC is wrong")]
    SnapshotMacMismatch,
    /// Two SETs or two REMOVEs of one index MAC.
    #[error("an index twice")]
    DuplicateIndex,
    /// A value was changed.
    #[error("a value's MAC is wrong")]
    ValueMacMismatch,
    /// A value can't be decrypted under a right MAC.
    #[error("a value can't be decrypted")]
    DecryptFailed,
    /// A decrypted value is no action.
    #[error("a value can't be decoded")]
    DecodeFailed,
    /// A value stands under another index than its own.
    #[error("an index MAC is wrong")]
    IndexMacMismatch,
    /// The sum after the patch is not the sender's: the collection has drifted (protocol 06 §8.3).
    #[error("the collection's hash is not the sender's")]
    LtHashMismatch,
}

#[cfg(test)]
mod tests;
