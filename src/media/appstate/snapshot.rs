//! Applying a snapshot (protocol 06 §7.1).

use std::collections::{BTreeMap, BTreeSet};

use palomar_proto::SyncdSnapshot;
use prost::Message;

use super::record::{Operation, RawRecord, Record};
use super::{AppStateError, Collection, KeyRing, LtHash, MAX_RECORDS};
use crate::crypto::ct_eq;

/// Reads a snapshot of a collection: the collection as it stands after it, and every record. `None` for a stale or replayed
/// one (not above the local version; while the collection is diverged an equal one is taken).
///
/// # Errors
/// [`AppStateError`]; `local` stays what it is.
pub fn apply_snapshot(
    local: &Collection,
    name: &str,
    bytes: &[u8],
    keys: &KeyRing,
) -> Result<Option<(Collection, Vec<Record>)>, AppStateError> {
    let snapshot = SyncdSnapshot::decode(bytes).map_err(|_| AppStateError::Malformed)?;
    if snapshot.records.len() > MAX_RECORDS {
        return Err(AppStateError::TooLarge);
    }
    let version =
        snapshot.version.as_ref().and_then(|version| version.version).ok_or(AppStateError::Malformed)?;
    let new = version > local.version || (local.diverged && version == local.version);
    if local.version > 0 && !new {
        return Ok(None);
    }
    let id = snapshot.key_id.as_ref().and_then(|key| key.id.as_deref()).unwrap_or_default();
    let records = raw(&snapshot)?;
    missing(id, &records, keys)?;

    let (lthash, value_macs) = sum(&records)?;
    let (Some(mac), Some(key)) = (&snapshot.mac, keys.get(id)) else {
        return Err(AppStateError::SnapshotMacMismatch);
    };
    if !ct_eq(&key.snapshot_mac(&lthash, version, name), mac) {
        return Err(AppStateError::SnapshotMacMismatch);
    }
    let records = records.iter().map(|record| record.open(keys)).collect::<Result<_, _>>()?;
    Ok(Some((Collection { version, lthash, value_macs, diverged: false }, records)))
}

fn raw(snapshot: &SyncdSnapshot) -> Result<Vec<RawRecord<'_>>, AppStateError> {
    snapshot.records.iter().map(|record| RawRecord::read(Operation::Set, record)).collect()
}

/// Every key id of the list that is not stored, and the id of the whole. An absent id of the whole is no missing key.
pub(super) fn missing(id: &[u8], records: &[RawRecord<'_>], keys: &KeyRing) -> Result<(), AppStateError> {
    let ids = records.iter().map(|record| record.key_id).chain(Some(id).filter(|id| !id.is_empty()));
    let missing: BTreeSet<_> = ids.filter(|id| keys.get(id).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(AppStateError::KeyMissing(missing.into_iter().map(<[u8]>::to_vec).collect()))
}

type Sum = (LtHash, BTreeMap<super::IndexMac, super::ValueMac>);

fn sum(records: &[RawRecord<'_>]) -> Result<Sum, AppStateError> {
    let mut lthash = LtHash::default();
    let mut value_macs = BTreeMap::new();
    for record in records {
        lthash.add(&record.value_mac);
        if value_macs.insert(record.index_mac, record.value_mac).is_some() {
            return Err(AppStateError::DuplicateIndex);
        }
    }
    Ok((lthash, value_macs))
}
