//! The rules by which a delivered device list becomes a stored one (protocol 05a §2, §3). Pure.

use crate::crypto::PublicKey;
use crate::signal::adv::key_index::{KeyIndexList, Signed};
use crate::stanza::usync;
use crate::store::{Device, DeviceList};

/// Devices of one user that are looked at.
const MAX_DEVICES: usize = 1000;

/// What was delivered for one user, in the store's terms.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delivered {
    /// The devices; `None`: there was no `device-list`.
    pub(crate) devices: Option<Vec<Device>>,
    /// The `hash` beside them.
    pub(crate) hash: Option<String>,
    pub(crate) key_index: Option<KeyIndexAnswer>,
}

/// A `key-index-list` element.
#[derive(Debug, Clone)]
pub(crate) struct KeyIndexAnswer {
    pub(crate) ts: i64,
    pub(crate) expected_ts: Option<i64>,
    /// The signed list; empty: the account has no companions.
    pub(crate) signed: Vec<u8>,
}

impl From<&usync::Devices> for Delivered {
    fn from(answer: &usync::Devices) -> Self {
        let device = |device: &usync::Device| Device {
            id: device.id,
            key_index: device.key_index,
            hosted: device.hosted,
        };
        Self {
            devices: answer.list.as_ref().map(|list| list.iter().map(device).collect()),
            hash: answer.hash.clone(),
            key_index: answer.key_indexes.as_ref().map(KeyIndexAnswer::from),
        }
    }
}

impl From<&usync::KeyIndexes> for KeyIndexAnswer {
    fn from(list: &usync::KeyIndexes) -> Self {
        let seconds = |ts: u64| i64::try_from(ts).unwrap_or(i64::MAX);
        Self {
            ts: seconds(list.ts),
            expected_ts: list.expected_ts.map(seconds),
            signed: list.signed.clone().unwrap_or_default(),
        }
    }
}

/// What is to be done with the user's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Store this. `reset`: the account was registered anew, so everything of its companions goes.
    Store { list: DeviceList, reset: bool },
    /// The stored one stays.
    Keep,
    /// No answer under this address: ask under the other one.
    Empty,
    /// The answer can't be used.
    Failed(&'static str),
}

/// Judges what came for a user. `primary` is the identity key of its device 0, where known. The addresses and
/// times of the new record are the caller's.
pub(crate) fn judge(old: Option<&DeviceList>, new: &Delivered, primary: Option<&PublicKey>) -> Outcome {
    if new.devices.as_ref().is_some_and(Vec::is_empty) {
        return Outcome::Empty;
    }
    let Some(key_index) = &new.key_index else { return without_key_index(old, new) };
    if old.and_then(|old| old.ts).is_some_and(|stored| key_index.ts < stored) {
        return Outcome::Keep;
    }
    let only_phone = new.devices.as_ref().is_none_or(|devices| devices.iter().all(|device| device.id == 0));
    if key_index.signed.is_empty() {
        if only_phone {
            return Outcome::Store { list: record(old, vec![phone()], new, None, true), reset: false };
        }
        return without_key_index(old, new);
    }
    let devices = new.devices.clone().or_else(|| old.map(|old| old.devices.clone()));
    let Some(devices) = devices else { return Outcome::Failed("neither devices nor a stored list") };
    let Ok(signed) = Signed::parse(&key_index.signed) else { return as_delivered(old, devices, new) };
    let hosted = devices.iter().any(|device| device.hosted);
    let key = if hosted { signed.key().or(primary) } else { primary };
    let (list, verified) = match key {
        Some(key) => match signed.verify(key) {
            Ok(list) => (list, true),
            Err(_) => return Outcome::Failed("the list is not signed by the user's phone"),
        },
        None => match signed.unverified() {
            Ok(list) => (list, false),
            Err(_) => return as_delivered(old, devices, new),
        },
    };
    if i64::try_from(list.timestamp).ok() != Some(key_index.ts) {
        return Outcome::Keep;
    }
    let reset = old.and_then(|old| old.raw_id).is_some_and(|raw_id| raw_id != list.raw_id);
    let kept = valid(devices, Some(&list));
    Outcome::Store { list: record(old, kept, new, Some(list.raw_id), verified), reset }
}

/// Companions without a signed list beside them: those with a key index stay.
fn without_key_index(old: Option<&DeviceList>, new: &Delivered) -> Outcome {
    match &new.devices {
        Some(devices) => as_delivered(old, devices.clone(), new),
        None => Outcome::Failed("no devices"),
    }
}

fn as_delivered(old: Option<&DeviceList>, devices: Vec<Device>, new: &Delivered) -> Outcome {
    let raw_id = old.and_then(|old| old.raw_id);
    Outcome::Store { list: record(old, valid(devices, None), new, raw_id, false), reset: false }
}

fn phone() -> Device {
    Device { id: 0, key_index: None, hosted: false }
}

/// Device 0 always stays; a companion needs a key index, and the signed list must let it be.
fn valid(devices: Vec<Device>, list: Option<&KeyIndexList>) -> Vec<Device> {
    let mut kept: Vec<Device> = Vec::new();
    for device in devices.into_iter().take(MAX_DEVICES) {
        let fine = match device.key_index {
            _ if device.id == 0 => true,
            Some(index) => list.is_none_or(|list| list.keeps(index)),
            None => false,
        };
        if fine && kept.iter().all(|other| other.id != device.id) {
            kept.push(device);
        }
    }
    if kept.iter().all(|device| device.id != 0) {
        kept.insert(0, phone());
    }
    kept
}

fn record(
    old: Option<&DeviceList>,
    devices: Vec<Device>,
    new: &Delivered,
    raw_id: Option<u32>,
    verified: bool,
) -> DeviceList {
    let ts = new.key_index.as_ref().map(|list| list.ts).or_else(|| old.and_then(|old| old.ts));
    let seen = old.and_then(|old| old.expected_ts);
    let expected = new.key_index.as_ref().and_then(|list| list.expected_ts).max(seen);
    DeviceList {
        devices,
        ts,
        raw_id,
        dhash: new.hash.clone(),
        expected_ts: expected.filter(|expected| ts.is_none_or(|ts| *expected > ts)),
        verified,
        ..DeviceList::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{KeyPair, os_rng, random_bytes};
    use crate::signal::adv::Hosting;

    fn companion(id: u16, key_index: Option<u32>) -> Device {
        Device { id, key_index, hosted: false }
    }

    struct Account(KeyPair);

    impl Account {
        fn signed(&self, raw_id: u32, ts: i64, valid: &[u32], current: u32) -> Option<KeyIndexAnswer> {
            let list = KeyIndexList {
                raw_id,
                timestamp: ts.unsigned_abs(),
                current_index: current,
                valid_indexes: valid.to_vec(),
                account: Hosting::Plain,
            };
            let signed = list.sign(&self.0, false, &random_bytes(&mut os_rng()));
            Some(KeyIndexAnswer { ts, expected_ts: None, signed })
        }
    }

    fn account() -> Account {
        Account(KeyPair::generate(&mut os_rng()))
    }

    fn ids(outcome: &Outcome) -> Vec<u16> {
        match outcome {
            Outcome::Store { list, .. } => list.devices.iter().map(|device| device.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn device_zero_is_always_kept_and_companions_need_a_valid_or_newer_key_index() {
        let account = account();
        let devices =
            vec![companion(5, Some(2)), companion(6, Some(3)), companion(9, Some(5)), companion(11, None)];
        let new = Delivered {
            devices: Some(devices),
            key_index: account.signed(1, 10, &[2], 4),
            ..Delivered::default()
        };
        assert_eq!(ids(&judge(None, &new, Some(account.0.public()))), [0, 5, 9]);
    }

    #[test]
    fn an_empty_list_is_no_answer() {
        let new = Delivered { devices: Some(Vec::new()), ..Delivered::default() };
        assert_eq!(judge(None, &new, None), Outcome::Empty);
    }

    #[test]
    fn a_list_signed_by_a_wrong_key_leaves_the_record_unchanged() {
        let (account, other) = (account(), account());
        let new = Delivered {
            devices: Some(vec![companion(0, None), companion(5, Some(2))]),
            key_index: other.signed(1, 10, &[2], 4),
            ..Delivered::default()
        };
        assert!(matches!(judge(None, &new, Some(account.0.public())), Outcome::Failed(_)));
        // Not known: taken, and marked as not verified.
        match judge(None, &new, None) {
            Outcome::Store { list, .. } => assert!(!list.verified),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_older_time_or_one_that_differs_from_the_signed_one_is_ignored() {
        let account = account();
        let old = DeviceList { ts: Some(20), ..DeviceList::default() };
        let mut new = Delivered {
            devices: Some(vec![companion(0, None)]),
            key_index: account.signed(1, 10, &[], 4),
            ..Delivered::default()
        };
        assert_eq!(judge(Some(&old), &new, Some(account.0.public())), Outcome::Keep);
        if let Some(list) = &mut new.key_index {
            list.ts = 30;
        }
        assert_eq!(judge(Some(&old), &new, Some(account.0.public())), Outcome::Keep);
    }

    #[test]
    fn another_raw_id_means_registered_anew() {
        let account = account();
        let old = DeviceList { ts: Some(5), raw_id: Some(7), ..DeviceList::default() };
        let new = Delivered {
            devices: Some(vec![companion(0, None), companion(4, Some(1))]),
            key_index: account.signed(8, 10, &[1], 1),
            ..Delivered::default()
        };
        match judge(Some(&old), &new, Some(account.0.public())) {
            Outcome::Store { reset, list } => assert!(reset && list.raw_id == Some(8)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_short_answer_filters_the_stored_devices_or_reduces_them_to_the_phone() {
        let account = account();
        let old = DeviceList {
            devices: vec![companion(0, None), companion(5, Some(2)), companion(6, Some(3))],
            ts: Some(5),
            ..DeviceList::default()
        };
        let same = Delivered { key_index: account.signed(1, 10, &[3], 4), ..Delivered::default() };
        assert_eq!(ids(&judge(Some(&old), &same, Some(account.0.public()))), [0, 6]);
        let none = KeyIndexAnswer { ts: 10, expected_ts: None, signed: Vec::new() };
        let gone = Delivered { key_index: Some(none), ..Delivered::default() };
        assert_eq!(ids(&judge(Some(&old), &gone, None)), [0]);
    }

    #[test]
    fn undecodable_key_index_bytes_keep_the_list_as_delivered() {
        let new = Delivered {
            devices: Some(vec![companion(0, None), companion(5, Some(2)), companion(6, None)]),
            key_index: Some(KeyIndexAnswer { ts: 1, expected_ts: None, signed: vec![0xff; 9] }),
            ..Delivered::default()
        };
        assert_eq!(ids(&judge(None, &new, None)), [0, 5]);
    }

    #[test]
    fn twenty_thousand_devices_are_cut() {
        let devices = (0..20_000).map(|id| companion(id, Some(1))).collect();
        assert_eq!(valid(devices, None).len(), MAX_DEVICES);
    }
}
