//! The rules of 05a §3, one by one.

use palomar_proto::{AdvKeyIndexList, AdvSignedKeyIndexList};
use prost::Message as _;

use super::*;
use crate::wire::Node;

fn device(id: u16, key_index: Option<u32>) -> Device {
    Device { id, key_index, hosted: false }
}

fn signed(raw_id: u32, ts: u64, current: u32, valid: &[u32]) -> KeyIndexes {
    let details = AdvKeyIndexList {
        raw_id: Some(raw_id),
        timestamp: Some(ts),
        current_index: Some(current),
        valid_indexes: valid.to_vec(),
        account_type: None,
    };
    let list = AdvSignedKeyIndexList {
        details: Some(details.encode_to_vec()),
        account_signature: Some(vec![1; 64]),
        account_signature_key: None,
    };
    KeyIndexes { ts, expected_ts: None, signed: Some(list.encode_to_vec()) }
}

fn answer(list: Option<Vec<Device>>, key_indexes: Option<KeyIndexes>) -> Devices {
    Devices { list, hash: None, key_indexes }
}

fn record(devices: &[Device], ts: u64, raw_id: u32) -> Record {
    Record { devices: devices.to_vec(), ts: Some(ts), expected_ts: None, raw_id: Some(raw_id) }
}

fn ids(update: &Update) -> Vec<u16> {
    update.record.devices.iter().map(|device| device.id).collect()
}

fn good(_: &SignedIndexes, _: bool) -> Signature {
    Signature::Good
}

#[test]
fn device_0_is_kept_even_if_the_list_lacks_it() {
    let update =
        apply(None, &answer(Some(vec![device(3, Some(1))]), Some(signed(7, 10, 2, &[1]))), good).unwrap();
    assert_eq!(ids(&update), [0, 3]);
}

#[test]
fn a_companion_is_valid_by_its_key_index_only() {
    let list =
        vec![device(0, None), device(1, Some(1)), device(2, Some(2)), device(3, Some(9)), device(4, None)];
    let update = apply(None, &answer(Some(list), Some(signed(7, 10, 4, &[1]))), good).unwrap();
    assert_eq!(ids(&update), [0, 1, 3]);
    assert_eq!(update.dropped, [(2, Dropped::NotValid), (4, Dropped::NoKeyIndex)]);
}

#[test]
fn without_a_signed_list_companions_with_a_key_index_are_kept() {
    let list = vec![device(0, None), device(1, Some(1)), device(4, None)];
    let update = apply(None, &answer(Some(list), None), good).unwrap();
    assert_eq!(ids(&update), [0, 1]);
}

#[test]
fn another_raw_id_means_registered_anew_and_every_old_companion_is_gone() {
    let stored = record(&[device(0, None), device(1, Some(1))], 5, 7);
    let list = vec![device(0, None), device(1, Some(1))];
    let update = apply(Some(&stored), &answer(Some(list), Some(signed(8, 10, 1, &[1]))), good).unwrap();
    assert!(update.registered_anew);
    assert_eq!((update.gone.as_slice(), ids(&update)), (&[1][..], vec![0, 1]));
    assert_eq!(update.record.raw_id, Some(8));
}

#[test]
fn an_older_list_and_one_with_two_times_are_ignored() {
    let stored = record(&[device(0, None)], 11, 7);
    let list = || Some(vec![device(0, None), device(1, Some(1))]);
    let older = apply(Some(&stored), &answer(list(), Some(signed(7, 10, 1, &[1]))), good);
    assert_eq!(older, Err(Ignored::Older));
    let two_times = KeyIndexes { ts: 12, ..signed(7, 13, 1, &[1]) };
    assert_eq!(apply(Some(&stored), &answer(list(), Some(two_times)), good), Err(Ignored::TimesDiffer));
}

#[test]
fn a_wrong_signature_fails_the_answer_and_an_unknown_key_postpones_the_check() {
    let list = || Some(vec![device(0, None), device(1, Some(1))]);
    let indexes = || Some(signed(7, 10, 1, &[1]));
    let bad = apply(None, &answer(list(), indexes()), |_, _| Signature::Bad);
    assert_eq!(bad, Err(Ignored::BadSignature));
    assert!(apply(None, &answer(list(), indexes()), |_, _| Signature::Unknown).unwrap().unverified);
}

#[test]
fn the_check_is_told_of_hosted_devices() {
    let list = vec![device(0, None), Device { id: 99, key_index: Some(1), hosted: true }];
    let check = |_: &SignedIndexes, hosted| if hosted { Signature::Good } else { Signature::Bad };
    assert!(apply(None, &answer(Some(list), Some(signed(7, 10, 1, &[1]))), check).is_ok());
}

#[test]
fn an_empty_device_list_is_no_answer_and_neither_is_none() {
    assert_eq!(apply(None, &answer(Some(vec![]), None), good), Err(Ignored::NoAnswer));
    assert_eq!(apply(None, &answer(None, None), good), Err(Ignored::NoAnswer));
    assert_eq!(apply(None, &answer(None, Some(signed(7, 1, 1, &[]))), good), Err(Ignored::NoAnswer));
}

#[test]
fn a_signed_list_alone_filters_the_stored_devices() {
    let stored = record(&[device(0, None), device(1, Some(1)), device(2, Some(2))], 5, 7);
    let update = apply(Some(&stored), &answer(None, Some(signed(7, 10, 2, &[2]))), good).unwrap();
    assert_eq!((ids(&update), update.gone), (vec![0, 2], vec![1]));
}

#[test]
fn a_time_without_signed_bytes_reduces_the_record_to_device_0() {
    let stored = record(&[device(0, None), device(1, Some(1))], 5, 7);
    let bare = |ts| Some(KeyIndexes { ts, expected_ts: None, signed: None });
    for list in [None, Some(vec![device(0, None)])] {
        let update = apply(Some(&stored), &answer(list.clone(), bare(6)), good).unwrap();
        assert_eq!((ids(&update), update.gone), (vec![0], vec![1]));
        assert_eq!(apply(Some(&stored), &answer(list, bare(4)), good), Err(Ignored::Older));
    }
}

#[test]
fn unreadable_key_indexes_keep_the_list_as_delivered() {
    let bytes = KeyIndexes { ts: 10, expected_ts: None, signed: Some(vec![0xff]) };
    let list = vec![device(0, None), device(4, None)];
    let update = apply(None, &answer(Some(list), Some(bytes)), good).unwrap();
    assert!(update.unreadable);
    assert_eq!(ids(&update), [0, 4]);
}

fn notification(operations: impl IntoIterator<Item = Node>) -> Node {
    Node::new("notification")
        .attr("type", "devices")
        .attr("from", Jid::pn("1555").unwrap())
        .children(operations)
}

fn delta(tag: &'static str, device: u16, indexes: &KeyIndexes) -> Node {
    let list = Node::new("key-index-list").attr("ts", indexes.ts);
    let list = match &indexes.signed {
        Some(bytes) => list.bytes(bytes.clone()),
        None => list,
    };
    let jid = Jid::pn("1555").unwrap().with_device(device);
    Node::new(tag).child(Node::new("device").attr("jid", jid).attr("key-index", 2u32)).child(list)
}

#[test]
fn of_several_operations_remove_counts_before_add() {
    let indexes = signed(7, 10, 2, &[2]);
    let both = notification([delta("add", 5, &indexes), delta("remove", 6, &indexes)]);
    assert!(matches!(Notification::parse(&both).unwrap().change, Some(Change::Remove(_))));
}

#[test]
fn add_and_remove_need_a_list_and_remove_a_time() {
    let without = notification([Node::new("add")]);
    assert_eq!(Notification::parse(&without), Err(Malformed("key-index-list")));
    let zero = notification([delta("remove", 5, &KeyIndexes { ts: 0, expected_ts: None, signed: None })]);
    assert_eq!(Notification::parse(&zero), Err(Malformed("ts")));
}

#[test]
fn add_appends_and_remove_takes_away() {
    let user = Jid::pn("1555").unwrap();
    let stored = record(&[device(0, None)], 5, 7);
    let add = notification([delta("add", 5, &signed(7, 10, 2, &[2]))]);
    let Some(Change::Add(change)) = Notification::parse(&add).unwrap().change else { panic!("an add") };
    let update = apply_change(&stored, &user, false, &change, good).unwrap().unwrap();
    assert_eq!(ids(&update), [0, 5]);

    let right = Delta { hash: Some(update.record.hash(&user)), ..change.clone() };
    assert!(apply_change(&stored, &user, false, &right, good).is_ok());
    let wrong = Delta { hash: Some("2:aaaaaaaa".into()), ..change };
    assert_eq!(apply_change(&stored, &user, false, &wrong, good), Err(Stale::Hash));

    let remove = notification([delta("remove", 5, &KeyIndexes { ts: 11, expected_ts: None, signed: None })]);
    let Some(Change::Remove(change)) = Notification::parse(&remove).unwrap().change else {
        panic!("a removal")
    };
    let update = apply_change(&update.record, &user, true, &change, good).unwrap().unwrap();
    assert_eq!((ids(&update), update.gone), (vec![0], vec![5]));
}

#[test]
fn a_device_with_two_numbers_makes_the_record_stale() {
    let user = Jid::pn("1555").unwrap();
    let change = Delta {
        devices: vec![device(5, Some(2))],
        contradicts: true,
        key_indexes: signed(7, 10, 2, &[2]),
        hash: None,
    };
    let stale = apply_change(&record(&[device(0, None)], 5, 7), &user, false, &change, good);
    assert_eq!(stale, Err(Stale::Contradiction));
}

#[test]
fn of_twenty_thousand_devices_of_one_user_a_thousand_are_looked_at() {
    let list = (0..20_000).map(|id| device(id, Some(1))).collect();
    let update = apply(None, &answer(Some(list), None), good).unwrap();
    assert!(update.cut);
    assert_eq!(update.record.devices.len(), MAX_DEVICES);
}
