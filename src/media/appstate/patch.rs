//! Applying a patch, whole or not at all, in the order of checks of protocol 06 §7.2.

use std::collections::BTreeMap;

use palomar_proto::{SyncdMutation, SyncdPatch};

use super::record::{Operation, RawRecord, Record};
use super::snapshot::missing;
use super::{AppStateError, Collection, IndexMac, KeyRing, LtHash, MAX_RECORDS, ValueMac};
use crate::crypto::ct_eq;

/// What a patch did.
#[derive(Debug, Clone, PartialEq)]
pub struct Patched {
    /// The version after it.
    pub version: u64,
    /// The hash after it.
    pub lthash: LtHash,
    /// The entries that change: a new value MAC, or `None` for one that is gone.
    pub entries: BTreeMap<IndexMac, Option<ValueMac>>,
    /// Its mutations in order, verified and decrypted.
    pub records: Vec<Record>,
    /// REMOVEs of indexes that the collection doesn't hold: no error, worth a warning.
    pub removed_unknown: usize,
}

impl Collection {
    /// Takes over what a patch did.
    pub fn take(&mut self, patched: &Patched) {
        self.version = patched.version;
        self.lthash = patched.lthash;
        for (index, value) in &patched.entries {
            match value {
                Some(value) => self.value_macs.insert(*index, *value),
                None => self.value_macs.remove(index),
            };
        }
    }
}

/// Checks a patch against a collection and says what it does; `external` is the downloaded list that replaces an empty inline
/// one. A patch without a version is taken as the next one: both MACs cover it.
///
/// # Errors
/// [`AppStateError`]; nothing of the patch may be applied then.
pub fn apply_patch(
    local: &Collection,
    name: &str,
    patch: &SyncdPatch,
    external: Option<&[SyncdMutation]>,
    keys: &KeyRing,
) -> Result<Patched, AppStateError> {
    let version = version(local, patch)?;
    let id = patch.key_id.as_ref().and_then(|key| key.id.as_deref()).filter(|id| !id.is_empty());
    let id = id.ok_or(AppStateError::Malformed)?;
    if let Some(exit) = &patch.exit_code {
        return Err(AppStateError::TerminalPatch(exit.code.unwrap_or_default()));
    }
    let raw = raw(patch, external)?;
    missing(id, &raw, keys)?;
    let key = keys.get(id).ok_or_else(|| AppStateError::KeyMissing(vec![id.to_vec()]))?;

    let snapshot_mac = patch.snapshot_mac.as_deref().unwrap_or_default();
    let patch_mac = key.patch_mac(snapshot_mac, raw.iter().map(|record| &record.value_mac), version, name);
    if !ct_eq(&patch_mac, patch.patch_mac.as_deref().unwrap_or_default()) {
        return Err(AppStateError::PatchMacMismatch);
    }
    let effects = effects(&raw)?;
    let records = raw.iter().map(|record| record.open(keys)).collect::<Result<_, _>>()?;
    let outcome =
        fitting(local, &effects, |lthash| ct_eq(&key.snapshot_mac(lthash, version, name), snapshot_mac))?;
    Ok(Patched {
        version,
        lthash: outcome.lthash,
        entries: outcome.entries,
        records,
        removed_unknown: outcome.removed_unknown,
    })
}

fn version(local: &Collection, patch: &SyncdPatch) -> Result<u64, AppStateError> {
    let expected = local.version.checked_add(1).ok_or(AppStateError::Malformed)?;
    let found = patch.version.as_ref().and_then(|version| version.version).unwrap_or(expected);
    if found == expected { Ok(found) } else { Err(AppStateError::VersionGap { expected, found }) }
}

fn raw<'a>(
    patch: &'a SyncdPatch,
    external: Option<&'a [SyncdMutation]>,
) -> Result<Vec<RawRecord<'a>>, AppStateError> {
    let mutations = match (external, patch.external_mutations.is_some()) {
        (None, false) => &patch.mutations,
        (Some(list), true) if patch.mutations.is_empty() && !list.is_empty() => list,
        _ => return Err(AppStateError::Malformed),
    };
    if mutations.len() > MAX_RECORDS {
        return Err(AppStateError::TooLarge);
    }
    mutations.iter().map(RawRecord::of_mutation).collect()
}

/// What a patch does to one index MAC. At most one SET and one REMOVE, in the order they stand.
#[derive(Clone, Copy)]
enum Effect {
    Set(ValueMac),
    Remove,
    RemoveThenSet(ValueMac),
    /// No known sender makes it; two readings are known (protocol 06 §4.3).
    SetThenRemove(ValueMac),
}

fn effects(raw: &[RawRecord<'_>]) -> Result<BTreeMap<IndexMac, Effect>, AppStateError> {
    let mut effects = BTreeMap::new();
    for record in raw {
        let effect = match (effects.get(&record.index_mac), record.operation) {
            (None, Operation::Set) => Effect::Set(record.value_mac),
            (None, Operation::Remove) => Effect::Remove,
            (Some(Effect::Remove), Operation::Set) => Effect::RemoveThenSet(record.value_mac),
            (Some(Effect::Set(mac)), Operation::Remove) => Effect::SetThenRemove(*mac),
            _ => return Err(AppStateError::DuplicateIndex),
        };
        effects.insert(record.index_mac, effect);
    }
    Ok(effects)
}

struct Outcome {
    lthash: LtHash,
    entries: BTreeMap<IndexMac, Option<ValueMac>>,
    removed_unknown: usize,
}

/// How a SET followed by a REMOVE of the same index MAC is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The SET only adds, the REMOVE takes the stored value out, the SET's value stays.
    Newest,
    /// One after the other: nothing is left.
    InOrder,
}

/// The outcome whose hash is the sender's; for a diverged collection the newest reading, unchecked.
fn fitting(
    local: &Collection,
    effects: &BTreeMap<IndexMac, Effect>,
    fits: impl Fn(&LtHash) -> bool,
) -> Result<Outcome, AppStateError> {
    let newest = outcome(local, effects, Reading::Newest);
    if local.diverged || fits(&newest.lthash) {
        return Ok(newest);
    }
    let ambiguous = effects.values().any(|effect| matches!(effect, Effect::SetThenRemove(_)));
    let in_order = ambiguous.then(|| outcome(local, effects, Reading::InOrder));
    in_order.filter(|outcome| fits(&outcome.lthash)).ok_or(AppStateError::LtHashMismatch)
}

fn outcome(local: &Collection, effects: &BTreeMap<IndexMac, Effect>, reading: Reading) -> Outcome {
    let mut outcome = Outcome { lthash: local.lthash, entries: BTreeMap::new(), removed_unknown: 0 };
    for (index, effect) in effects {
        let stored = local.value_macs.get(index);
        if let Some(stored) = stored {
            outcome.lthash.subtract(stored);
        } else if matches!(effect, Effect::Remove) {
            outcome.removed_unknown += 1;
        }
        let value = match *effect {
            Effect::Set(mac) | Effect::RemoveThenSet(mac) => Some(mac),
            Effect::SetThenRemove(mac) if reading == Reading::Newest => Some(mac),
            Effect::Remove | Effect::SetThenRemove(_) => None,
        };
        if let Some(value) = &value {
            outcome.lthash.add(value);
        }
        outcome.entries.insert(*index, value);
    }
    outcome
}
