//! Building a patch (protocol 06 §9.1, nos. 3 to 5). Which mutations, which key and how they are split is the caller's.

use std::collections::{BTreeMap, BTreeSet};

use palomar_proto::{KeyId, SyncdPatch};

use super::record::{Operation, RecordIv, SealedRecord, seal_record};
use super::{AppStateError, Collection, KeyRing, Patched};

/// A mutation to send.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// What it does.
    pub operation: Operation,
    /// The bytes of a `SyncActionData` with index, value, (empty) padding and version.
    pub data: &'a [u8],
    /// The id of the key it stands under: the patch's, but for the REMOVE of a rotation pair, which has the old one.
    pub key_id: &'a [u8],
    /// 16 random bytes.
    pub iv: RecordIv,
}

/// The two fields that the official client always writes; the vectors show patches without them.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// The own device number.
    pub device_index: Option<u32>,
    /// `PatchDebugData`; only beside an inline list.
    pub client_debug_data: Option<Vec<u8>>,
}

/// A patch to send, and what it does to the collection once the server has taken it.
#[derive(Debug, Clone)]
pub struct Built {
    /// The patch, without a version.
    pub patch: SyncdPatch,
    /// For [`Collection::take`].
    pub patched: Patched,
}

/// Builds the patch that follows on a collection.
///
/// # Errors
/// [`AppStateError::KeyMissing`] for a key that is not stored, [`AppStateError::DuplicateIndex`] for two mutations that the
/// official reader refuses, [`AppStateError::DecodeFailed`] for bytes that are no action.
pub fn build_patch(
    local: &Collection,
    name: &str,
    changes: &[Change<'_>],
    key_id: &[u8],
    keys: &KeyRing,
    extras: Extras,
) -> Result<Built, AppStateError> {
    let missing = |id: &[u8]| AppStateError::KeyMissing(vec![id.to_vec()]);
    let key = keys.get(key_id).ok_or_else(|| missing(key_id))?;
    let mut sealed: Vec<SealedRecord> = Vec::with_capacity(changes.len());
    for change in changes {
        let key = keys.get(change.key_id).ok_or_else(|| missing(change.key_id))?;
        sealed.push(seal_record(key, change.key_id, change.operation, change.data, &change.iv)?);
    }
    no_duplicates(changes, &sealed)?;

    let version = local.version.checked_add(1).ok_or(AppStateError::Malformed)?;
    let patched = effect(local, changes, &sealed, version);
    let snapshot_mac = key.snapshot_mac(&patched.lthash, version, name);
    let value_macs = sealed.iter().map(|record| &record.value_mac);
    let patch_mac = key.patch_mac(&snapshot_mac, value_macs, version, name);
    let patch = SyncdPatch {
        mutations: sealed.into_iter().map(|record| record.mutation).collect(),
        snapshot_mac: Some(snapshot_mac.to_vec()),
        patch_mac: Some(patch_mac.to_vec()),
        key_id: Some(KeyId { id: Some(key_id.to_vec()) }),
        device_index: extras.device_index,
        client_debug_data: extras.client_debug_data,
        ..SyncdPatch::default()
    };
    Ok(Built { patch, patched })
}

/// No two SETs and no two REMOVEs of one index MAC, and no REMOVE behind a SET of it.
fn no_duplicates(changes: &[Change<'_>], sealed: &[SealedRecord]) -> Result<(), AppStateError> {
    let mut seen = BTreeSet::new();
    for (change, record) in changes.iter().zip(sealed) {
        let again = !seen.insert((record.index_mac, change.operation));
        let after_set =
            change.operation == Operation::Remove && seen.contains(&(record.index_mac, Operation::Set));
        if again || after_set {
            return Err(AppStateError::DuplicateIndex);
        }
    }
    Ok(())
}

fn effect(local: &Collection, changes: &[Change<'_>], sealed: &[SealedRecord], version: u64) -> Patched {
    let mut patched = Patched {
        version,
        lthash: local.lthash,
        entries: BTreeMap::new(),
        records: Vec::new(),
        removed_unknown: 0,
    };
    for (change, record) in changes.iter().zip(sealed) {
        let stored = || local.value_macs.get(&record.index_mac).copied();
        let old = patched.entries.get(&record.index_mac).copied().unwrap_or_else(stored);
        match old {
            Some(old) => patched.lthash.subtract(&old),
            None if change.operation == Operation::Remove => patched.removed_unknown += 1,
            None => {}
        }
        let value = (change.operation == Operation::Set).then_some(record.value_mac);
        if let Some(value) = &value {
            patched.lthash.add(value);
        }
        patched.entries.insert(record.index_mac, value);
    }
    patched
}
