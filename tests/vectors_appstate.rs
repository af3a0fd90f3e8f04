//! `appstate.json`: keys, LTHash, records, snapshots and patches, read, built and refused (protocol 06 §15 nos. 1 to 4).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;

use common::vectors::{File, array, bytes, known_keys, name, text};
use palomar::media::appstate::{
    AppStateError, Change, Collection, Extras, KeyRing, LtHash, Operation, Record, SyncKey, apply_patch,
    apply_snapshot, build_patch, seal_record,
};
use palomar::proto::{Message as ChatMessage, SyncActionData, SyncActionValue, SyncdPatch};
use prost::Message;
use serde_json::Value;

fn key_ring(cases: &[Value]) -> KeyRing {
    let mut ring = KeyRing::default();
    for case in cases {
        known_keys(case, &["key_id", "key_data"]);
        ring.add(&bytes(case, "key_id"), &array(case, "key_data"));
    }
    ring
}

fn state(case: &Value, key: &str) -> Collection {
    let state = &case[key];
    known_keys(state, &["version", "lthash", "index_value_macs"]);
    let macs = state["index_value_macs"].as_object().unwrap();
    let mac = |hex: &str| <[u8; 32]>::try_from(hex::decode(hex).unwrap()).unwrap();
    let value_macs: BTreeMap<_, _> =
        macs.iter().map(|(index, value)| (mac(index), mac(value.as_str().unwrap()))).collect();
    Collection {
        version: text(state, "version").parse().unwrap(),
        lthash: LtHash::from_bytes(&array(state, "lthash")),
        value_macs,
        diverged: false,
    }
}

fn operation(case: &Value) -> Operation {
    match text(case, "operation") {
        "SET" => Operation::Set,
        "REMOVE" => Operation::Remove,
        other => panic!("unknown operation {other}"),
    }
}

/// The bytes of the action that a mutation of the vectors describes.
fn action(case: &Value) -> Vec<u8> {
    SyncActionData {
        index: Some(text(case, "index_json").as_bytes().to_vec()),
        value: Some(SyncActionValue::decode(&*bytes(case, "value_proto")).unwrap()),
        padding: Some(Vec::new()),
        version: Some(i32::try_from(case["action_version"].as_i64().unwrap()).unwrap()),
    }
    .encode_to_vec()
}

fn check_mutations(expected: &Value, records: &[Record]) {
    let expected = expected.as_array().unwrap();
    assert_eq!(records.len(), expected.len());
    for (case, record) in expected.iter().zip(records) {
        known_keys(case, &["operation", "index_json", "value_proto", "action_version"]);
        assert_eq!(record.operation, operation(case));
        assert_eq!(record.data.index(), text(case, "index_json").as_bytes());
        let value = record.data.value.clone().unwrap_or_default().encode_to_vec();
        assert_eq!(hex::encode(value), text(case, "value_proto"));
        assert_eq!(i64::from(record.data.version()), case["action_version"].as_i64().unwrap());
    }
}

/// Applies patches one after the other, as far as they are right.
fn apply_all(local: &mut Collection, case: &Value, ring: &KeyRing) -> Result<Vec<Record>, AppStateError> {
    let mut records = Vec::new();
    for patch in case["patches"].as_array().unwrap() {
        let patch = SyncdPatch::decode(&*hex::decode(patch.as_str().unwrap()).unwrap())
            .map_err(|_| AppStateError::Malformed)?;
        let patched = apply_patch(local, text(case, "collection"), &patch, None, ring)?;
        local.take(&patched);
        records.extend(patched.records);
    }
    Ok(records)
}

/// The name of the chapter for an error.
fn error_name(error: &AppStateError) -> &'static str {
    match error {
        AppStateError::Malformed => "Malformed",
        AppStateError::TooLarge => "TooLarge",
        AppStateError::VersionGap { .. } => "VersionGap",
        AppStateError::UnknownOperation(_) => "UnknownOperation",
        AppStateError::TerminalPatch(_) => "TerminalPatch",
        AppStateError::KeyMissing(_) => "KeyMissing",
        AppStateError::PatchMacMismatch => "PatchMacMismatch",
        AppStateError::SnapshotMacMismatch => "SnapshotMacMismatch",
        AppStateError::DuplicateIndex => "DuplicateIndex",
        AppStateError::ValueMacMismatch => "ValueMacMismatch",
        AppStateError::DecryptFailed => "DecryptFailed",
        AppStateError::DecodeFailed => "DecodeFailed",
        AppStateError::IndexMacMismatch => "IndexMacMismatch",
        AppStateError::LtHashMismatch => "LtHashMismatch",
    }
}

#[test]
fn vectors_appstate() {
    let mut file = File::open("appstate");
    let ring = key_ring(&file.section("keys"));
    for id in file.section("unknown_key_id") {
        assert!(ring.get(&hex::decode(id.as_str().unwrap()).unwrap()).is_none());
    }
    file.section("key_expansion").iter().for_each(expands);
    file.section("lthash").iter().for_each(sums);
    file.section("mutation_encode").iter().for_each(|case| seals(case, &ring));
    for case in file.section("snapshot_decode") {
        known_keys(&case, &["name", "collection", "snapshot", "expect"]);
        known_keys(&case["expect"], &["mutations", "state"]);
        let read = apply_snapshot(
            &Collection::default(),
            text(&case, "collection"),
            &bytes(&case, "snapshot"),
            &ring,
        );
        let (collection, records) = read.unwrap().unwrap();
        assert_eq!(collection, state(&case["expect"], "state"), "{}", name(&case));
        check_mutations(&case["expect"]["mutations"], &records);
    }
    for case in file.section("patch_decode") {
        known_keys(&case, &["name", "collection", "start", "patches", "expect"]);
        known_keys(&case["expect"], &["mutations", "state"]);
        let mut local = state(&case, "start");
        let records =
            apply_all(&mut local, &case, &ring).unwrap_or_else(|error| panic!("{}: {error}", name(&case)));
        assert_eq!(local, state(&case["expect"], "state"), "{}", name(&case));
        check_mutations(&case["expect"]["mutations"], &records);
    }
    file.section("patch_encode").iter().for_each(|case| builds(case, &ring));
    file.section("reject").iter().for_each(|case| refuses(case, &ring));
    file.section("key_messages").iter().for_each(reads_key_messages);
    file.finish();
}

fn expands(case: &Value) {
    const PARTS: [&str; 5] =
        ["index_key", "value_encryption_key", "value_mac_key", "snapshot_mac_key", "patch_mac_key"];
    known_keys(case, &[&["key_data"][..], &PARTS[..]].concat());
    let data: [u8; 32] = array(case, "key_data");
    let okm: [u8; 160] = palomar::crypto::hkdf_sha256(&data, &[0; 32], b"WhatsApp Mutation Keys");
    assert_eq!(okm.to_vec(), PARTS.map(|part| bytes(case, part)).concat());
    // The two parts that show from outside are where they belong.
    let key = SyncKey::expand(&data);
    let index = palomar::crypto::hmac_sha256(&bytes(case, "index_key"), &[b"[\"a\"]"]);
    assert_eq!(key.index_mac(b"[\"a\"]"), index);
    let zero = LtHash::default();
    let parts: [&[u8]; 3] = [&[0; 128], &[0, 0, 0, 0, 0, 0, 0, 3], b"regular"];
    let snapshot = palomar::crypto::hmac_sha256(&bytes(case, "snapshot_mac_key"), &parts);
    assert_eq!(key.snapshot_mac(&zero, 3, "regular"), snapshot);
}

fn sums(case: &Value) {
    known_keys(case, &["name", "start", "subtract", "add", "expected"]);
    let macs = |key: &str| -> Vec<[u8; 32]> {
        let list = case[key].as_array().unwrap().iter();
        list.map(|mac| hex::decode(mac.as_str().unwrap()).unwrap().try_into().unwrap()).collect()
    };
    let mut hash = LtHash::from_bytes(&array(case, "start"));
    macs("subtract").iter().for_each(|mac| hash.subtract(mac));
    macs("add").iter().for_each(|mac| hash.add(mac));
    assert_eq!(hash.to_bytes().to_vec(), bytes(case, "expected"), "{}", name(case));
}

fn seals(case: &Value, ring: &KeyRing) {
    const KEYS: [&str; 11] = [
        "collection",
        "operation",
        "key_id",
        "index_json",
        "action_version",
        "value_proto",
        "iv",
        "sync_action_data_proto",
        "value_blob",
        "value_mac",
        "index_mac",
    ];
    known_keys(case, &KEYS);
    let data = action(case);
    assert_eq!(hex::encode(&data), text(case, "sync_action_data_proto"));
    let id = bytes(case, "key_id");
    let sealed =
        seal_record(ring.get(&id).unwrap(), &id, operation(case), &data, &array(case, "iv")).unwrap();
    let record = sealed.mutation.record.as_ref().unwrap();
    assert_eq!(record.value.as_ref().unwrap().blob(), bytes(case, "value_blob"));
    assert_eq!(sealed.value_mac, array(case, "value_mac"));
    assert_eq!(sealed.index_mac, array(case, "index_mac"));
}

fn builds(case: &Value, ring: &KeyRing) {
    known_keys(case, &["collection", "key_id", "base", "mutations", "expect"]);
    let expect = &case["expect"];
    known_keys(expect, &["patch", "snapshot_mac", "patch_mac", "state"]);
    let mutations = case["mutations"].as_array().unwrap();
    let key_id = bytes(case, "key_id");
    let data: Vec<_> = mutations.iter().map(action).collect();
    let changes = mutations.iter().zip(&data).map(|(mutation, data)| {
        known_keys(mutation, &["operation", "index_json", "value_proto", "action_version", "iv"]);
        Change { operation: operation(mutation), data, key_id: &key_id, iv: array(mutation, "iv") }
    });
    let changes: Vec<_> = changes.collect();
    let mut local = state(case, "base");
    let built =
        build_patch(&local, text(case, "collection"), &changes, &key_id, ring, Extras::default()).unwrap();
    assert_eq!(hex::encode(built.patch.encode_to_vec()), text(expect, "patch"));
    assert_eq!(built.patch.snapshot_mac(), bytes(expect, "snapshot_mac"));
    assert_eq!(built.patch.patch_mac(), bytes(expect, "patch_mac"));
    assert_eq!(built.patch.version, None);
    local.take(&built.patched);
    assert_eq!(local, state(expect, "state"));
}

fn refuses(case: &Value, ring: &KeyRing) {
    const KEYS: [&str; 9] = [
        "kind",
        "name",
        "collection",
        "start",
        "patches",
        "snapshot",
        "expect_error",
        "also_accept",
        "state_must_stay",
    ];
    known_keys(case, &KEYS);
    let mut local = state(case, "start");
    let error = match text(case, "kind") {
        "patch" => apply_all(&mut local, case, ring).unwrap_err(),
        "snapshot" => {
            apply_snapshot(&local, text(case, "collection"), &bytes(case, "snapshot"), ring).unwrap_err()
        }
        other => panic!("unknown kind {other}"),
    };
    let also = case.get("also_accept").and_then(Value::as_array).into_iter().flatten();
    let accepted: Vec<_> =
        also.map(|name| name.as_str().unwrap()).chain([text(case, "expect_error")]).collect();
    assert!(accepted.contains(&error_name(&error)), "{}: {error:?}, not {accepted:?}", name(case));
    assert_eq!(local, state(case, "state_must_stay"), "{}", name(case));
}

fn reads_key_messages(case: &Value) {
    known_keys(case, &["share_message_proto", "request_message_proto"]);
    let message = |key: &str| ChatMessage::decode(&*bytes(case, key)).unwrap().protocol_message.unwrap();
    let share = message("share_message_proto").app_state_sync_key_share.unwrap();
    let with_data = share.keys.iter().filter(|key| key.key_data.is_some()).count();
    assert_eq!((share.keys.len(), with_data), (2, 1), "an entry without key data stores nothing");
    let request = message("request_message_proto").app_state_sync_key_request.unwrap();
    assert!(request.key_ids.iter().all(|id| id.key_id().len() == 6));
    assert_eq!(request.key_ids.len(), 2);
}
