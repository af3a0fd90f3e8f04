//! The strict reader of app-state patches that go out (protocol 06 §9.1, 03b §4): what our builder makes of the vectors is
//! taken, each single fault is refused with its place. Messages are read in `client/strict_reader.rs`.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, array, bytes, text};
use palomar::media::appstate::{Change, Collection, Extras, KeyRing, LtHash, Operation, build_patch};
use palomar::proto::{ExternalBlobReference, SyncActionData, SyncActionValue, SyncdPatch};
use palomar::stanza::judge::payload::Schema;
use palomar::stanza::judge::{Finding, What};
use prost::Message;
use serde_json::Value;

/// `PatchDebugData {senderPlatform WEB, isSenderPrimary false}`.
const DEBUG_DATA: [u8; 4] = [0x50, 0x04, 0x58, 0x00];

fn schema() -> Schema {
    Schema::built_in().unwrap()
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    for case in File::open("appstate").section("keys") {
        ring.add(&bytes(&case, "key_id"), &array(&case, "key_data"));
    }
    ring
}

/// An action of the vectors: whether it sets, and its bytes as we build them.
fn action(case: &Value) -> (Operation, Vec<u8>) {
    let operation = if text(case, "operation") == "SET" { Operation::Set } else { Operation::Remove };
    let data = SyncActionData {
        index: Some(text(case, "index_json").as_bytes().to_vec()),
        value: Some(SyncActionValue::decode(&*bytes(case, "value_proto")).unwrap()),
        padding: Some(Vec::new()),
        version: Some(i32::try_from(case["action_version"].as_i64().unwrap()).unwrap()),
    };
    (operation, data.encode_to_vec())
}

/// The patch of a case, with the two fields that palomar always writes.
fn built(case: &Value, ring: &KeyRing) -> SyncdPatch {
    let base = &case["base"];
    let macs = base["index_value_macs"].as_object().unwrap();
    let mac = |hex: &str| <[u8; 32]>::try_from(hex::decode(hex).unwrap()).unwrap();
    let local = Collection {
        version: text(base, "version").parse().unwrap(),
        lthash: LtHash::from_bytes(&array(base, "lthash")),
        value_macs: macs.iter().map(|(index, value)| (mac(index), mac(value.as_str().unwrap()))).collect(),
        diverged: false,
    };
    let mutations = case["mutations"].as_array().unwrap();
    let actions: Vec<_> = mutations.iter().map(action).collect();
    let key_id = bytes(case, "key_id");
    let changes = mutations.iter().zip(&actions).map(|(mutation, (operation, data))| Change {
        operation: *operation,
        data,
        key_id: &key_id,
        iv: array(mutation, "iv"),
    });
    let changes: Vec<_> = changes.collect();
    let extras = Extras { device_index: Some(1), client_debug_data: Some(DEBUG_DATA.to_vec()) };
    build_patch(&local, text(case, "collection"), &changes, &key_id, ring, extras).unwrap().patch
}

fn patches() -> Vec<SyncdPatch> {
    let ring = ring();
    File::open("appstate").section("patch_encode").iter().map(|case| built(case, &ring)).collect()
}

fn words(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// What and place of the one finding.
fn one(findings: &[Finding]) -> (What, &str) {
    assert_eq!(findings.len(), 1, "{:?}", words(findings));
    (findings[0].what, &findings[0].path)
}

#[test]
fn judge_strict_reader_takes_the_patches_and_actions_that_we_build() {
    let schema = schema();
    for patch in patches() {
        let found = schema.patch(&patch.encode_to_vec());
        assert!(found.is_empty(), "{:?}", words(&found));
    }
    for case in File::open("appstate").section("mutation_encode") {
        let (operation, data) = action(&case);
        let found = schema.action(&data, operation == Operation::Set);
        assert!(found.is_empty(), "{}: {:?}", text(&case, "index_json"), words(&found));
    }
}

type Damage = fn(&mut SyncdPatch);

#[test]
fn judge_strict_reader_refuses_each_fault_of_a_patch_with_its_place() {
    use What::{Alternatives, Count, Length, Required, Value};
    let faults: [(&str, Damage, What); 17] = [
        ("version", |patch| patch.version = Some(Default::default()), Value),
        ("mutations/operation", |patch| patch.mutations[0].operation = None, Required),
        ("mutations/operation", |patch| patch.mutations[0].operation = Some(2), Value),
        ("mutations/record/keyId/id", |patch| record(patch).key_id = None, Required),
        ("mutations/record/index/blob", |patch| record(patch).index = None, Required),
        (
            "mutations/record/index/blob",
            |patch| record(patch).index.as_mut().unwrap().blob.as_mut().unwrap().truncate(31),
            Length,
        ),
        ("mutations/record/value/blob", |patch| record(patch).value = None, Required),
        (
            "mutations/record/value/blob",
            |patch| record(patch).value.as_mut().unwrap().blob.as_mut().unwrap().truncate(48),
            Length,
        ),
        ("snapshotMac", |patch| patch.snapshot_mac = None, Required),
        ("patchMac", |patch| patch.patch_mac.as_mut().unwrap().truncate(16), Length),
        ("keyId/id", |patch| patch.key_id = None, Required),
        ("deviceIndex", |patch| patch.device_index = None, Required),
        ("clientDebugData", |patch| patch.client_debug_data = None, Required),
        ("mutations", |patch| patch.mutations.clear(), Count),
        ("externalMutations", |patch| patch.external_mutations = Some(external()), Alternatives),
        ("mutations/record/index", |patch| patch.mutations.push(patch.mutations[0].clone()), Count),
        ("", |patch| record(patch).value.as_mut().unwrap().blob = Some(vec![7; 10_000]), Length),
    ];
    let schema = schema();
    let good = patches().remove(0);
    for (path, damage, what) in faults {
        let mut patch = good.clone();
        damage(&mut patch);
        assert_eq!(one(&schema.patch(&patch.encode_to_vec())), (what, path), "{path}");
    }
    assert_eq!(one(&schema.patch(&[0x0a, 0x05, 1])), (What::Undecodable, ""));
    let mut patch = good;
    many(&mut patch);
    let found = schema.patch(&patch.encode_to_vec());
    let found: Vec<_> = found.iter().map(|finding| (finding.what, &*finding.path)).collect();
    assert_eq!(found, [(Count, "mutations"), (Length, "")]);
}

fn record(patch: &mut SyncdPatch) -> &mut palomar::proto::SyncdRecord {
    patch.mutations[0].record.as_mut().unwrap()
}

/// 101 mutations of different indexes, as small as they can be: both limits are passed, because one always takes more than 100
/// bytes.
fn many(patch: &mut SyncdPatch) {
    for n in 0..100u8 {
        let mut more = patch.mutations[0].clone();
        let record = more.record.as_mut().unwrap();
        record.index.as_mut().unwrap().blob = Some(vec![n; 32]);
        record.value.as_mut().unwrap().blob = Some(vec![n; 64]);
        patch.mutations.push(more);
    }
}

fn external() -> ExternalBlobReference {
    ExternalBlobReference {
        media_key: Some(vec![1; 32]),
        direct_path: Some("/v/t62".to_owned()),
        handle: Some("h".to_owned()),
        file_size_bytes: Some(20_000),
        file_sha256: Some(vec![2; 32]),
        file_enc_sha256: Some(vec![3; 32]),
    }
}

type Blur = fn(&mut SyncdPatch, &mut ExternalBlobReference);

#[test]
fn judge_strict_reader_takes_an_external_list_and_refuses_each_fault_of_it() {
    use What::{Length, Required, Value};
    let schema = schema();
    let good = {
        let mut patch = patches().remove(0);
        patch.mutations.clear();
        patch.client_debug_data = None;
        patch
    };
    let read = |blur: Blur| {
        let (mut patch, mut list) = (good.clone(), external());
        blur(&mut patch, &mut list);
        patch.external_mutations = Some(list);
        schema.patch(&patch.encode_to_vec())
    };
    assert!(read(|_, _| {}).is_empty());
    let faults: [(&str, Blur, What); 6] = [
        ("externalMutations/mediaKey", |_, list| list.media_key = Some(vec![1; 31]), Length),
        ("externalMutations/directPath", |_, list| list.direct_path = None, Required),
        ("externalMutations/handle", |_, list| list.handle = None, Required),
        ("externalMutations/fileSizeBytes", |_, list| list.file_size_bytes = None, Required),
        ("externalMutations/fileEncSha256", |_, list| list.file_enc_sha256 = None, Required),
        ("clientDebugData", |patch, _| patch.client_debug_data = Some(DEBUG_DATA.to_vec()), Value),
    ];
    for (path, blur, what) in faults {
        assert_eq!(one(&read(blur)), (what, path), "{path}");
    }
}

type Dent = fn(&mut SyncActionData);

#[test]
fn judge_strict_reader_refuses_each_fault_of_an_action_with_its_place() {
    use What::{Required, Value};
    let case = File::open("appstate").section("mutation_encode").remove(0);
    let good = SyncActionData::decode(&*action(&case).1).unwrap();
    let faults: [(&str, Dent, What, bool); 7] = [
        ("index", |data| data.index = None, Required, true),
        ("index", |data| data.index = Some(b"pin_v1".to_vec()), Value, true),
        ("index", |data| data.index = Some(b"[]".to_vec()), Value, true),
        ("index", |data| data.index = Some(b"[1]".to_vec()), Value, true),
        ("version", |data| data.version = None, Required, true),
        ("version", |data| data.version = None, Required, false),
        ("value/timestamp", |data| data.value.as_mut().unwrap().timestamp = None, Required, true),
    ];
    let schema = schema();
    for (path, dent, what, sets) in faults {
        let mut data = good.clone();
        dent(&mut data);
        assert_eq!(one(&schema.action(&data.encode_to_vec(), sets)), (what, path), "{path}");
    }
    let bare = SyncActionData { value: None, ..good };
    assert!(schema.action(&bare.encode_to_vec(), false).is_empty(), "a REMOVE needs no value");
    let found = schema.action(&bare.encode_to_vec(), true);
    assert_eq!(found.iter().map(|finding| &*finding.path).collect::<Vec<_>>(), ["value", "value/timestamp"]);
}
