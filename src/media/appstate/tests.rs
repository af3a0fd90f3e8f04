//! What the vectors don't show: lists of patches, drift, both readings of a doubtful pair, own patches read back, index texts
//! (protocol 06 §15 nos. 5, 8, 12).

use palomar_proto::{
    SyncActionData, SyncActionValue, SyncdPatch, SyncdVersion, syncd_mutation::SyncdOperation,
};
use prost::Message;

use super::*;

const NAME: &str = "regular_low";
const ID: &[u8] = &[0, 0, 0, 0, 0, 1];

fn keys() -> KeyRing {
    let mut keys = KeyRing::default();
    keys.add(ID, &[5; 32]);
    keys
}

fn action(index: &[&str], timestamp: i64) -> Vec<u8> {
    SyncActionData {
        index: Some(index_json(index).into_bytes()),
        value: Some(SyncActionValue { timestamp: Some(timestamp), ..SyncActionValue::default() }),
        padding: Some(Vec::new()),
        version: Some(5),
    }
    .encode_to_vec()
}

fn change(operation: Operation, data: &[u8]) -> Change<'_> {
    Change { operation, data, key_id: ID, iv: [8; 16] }
}

fn built(local: &Collection, changes: &[Change<'_>]) -> Built {
    build_patch(local, NAME, changes, ID, &keys(), Extras::default()).unwrap()
}

/// Three patches on one another, each with the collection before it.
fn three() -> [(Collection, SyncdPatch); 3] {
    let mut local = Collection::default();
    [1, 2, 3].map(|n| {
        let before = local.clone();
        let data = action(&["pin_v1", "1@s.whatsapp.net"], n);
        let built = built(&local, &[change(Operation::Set, &data)]);
        local.take(&built.patched);
        (before, built.patch)
    })
}

#[test]
fn an_own_patch_is_read_back_and_leads_to_the_same_collection() {
    for (before, patch) in three() {
        assert_eq!(patch.version, None, "the server gives the version");
        let operations = patch.mutations.iter().map(|mutation| mutation.operation);
        assert!(operations.eq([Some(SyncdOperation::Set as i32)]), "always written");
        let read = apply_patch(&before, NAME, &patch, None, &keys()).unwrap();
        let mut after = before.clone();
        after.take(&read);
        assert_eq!(after.version, before.version + 1);
        assert_eq!(index_parts(read.records[0].data.index()).unwrap(), ["pin_v1", "1@s.whatsapp.net"]);
    }
}

#[test]
fn proves_06_15_5_a_list_whose_third_patch_is_bad_commits_exactly_two() {
    let mut local = Collection::default();
    let mut patches = three().map(|(_, patch)| patch);
    patches[2].patch_mac = Some(vec![0; 32]);
    let mut taken = 0;
    let error = patches.iter().find_map(|patch| match apply_patch(&local, NAME, patch, None, &keys()) {
        Ok(patched) => {
            local.take(&patched);
            taken += 1;
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!((taken, local.version, error), (2, 2, Some(AppStateError::PatchMacMismatch)));
}

#[test]
fn proves_06_15_8_a_diverged_collection_takes_a_right_patch_and_no_forged_one() {
    let [_, (mut before, patch), _] = three();
    before.lthash.add(&[9; 32]);
    assert_eq!(apply_patch(&before, NAME, &patch, None, &keys()), Err(AppStateError::LtHashMismatch));
    before.diverged = true;
    assert!(apply_patch(&before, NAME, &patch, None, &keys()).is_ok());
    let forged = SyncdPatch { patch_mac: Some(vec![1; 32]), ..patch };
    assert_eq!(apply_patch(&before, NAME, &forged, None, &keys()), Err(AppStateError::PatchMacMismatch));
}

/// A patch with a SET and then a REMOVE of one index, its hash by the given reading.
fn set_then_remove(local: &Collection, in_order: bool) -> SyncdPatch {
    let data = action(&["pin_v1", "1@s.whatsapp.net"], 7);
    let ring = keys();
    let key = ring.get(ID).unwrap();
    let seal = |operation| seal_record(key, ID, operation, &data, &[8; 16]).unwrap();
    let (set, remove) = (seal(Operation::Set), seal(Operation::Remove));
    let mut lthash = local.lthash;
    if let Some(stored) = local.value_macs.get(&set.index_mac) {
        lthash.subtract(stored);
    }
    if !in_order {
        lthash.add(&set.value_mac);
    }
    let version = local.version + 1;
    let snapshot_mac = key.snapshot_mac(&lthash, version, NAME);
    let patch_mac = key.patch_mac(&snapshot_mac, [set.value_mac, remove.value_mac].iter(), version, NAME);
    SyncdPatch {
        version: Some(SyncdVersion { version: Some(version) }),
        mutations: vec![set.mutation, remove.mutation],
        snapshot_mac: Some(snapshot_mac.to_vec()),
        patch_mac: Some(patch_mac.to_vec()),
        key_id: Some(palomar_proto::KeyId { id: Some(ID.to_vec()) }),
        ..SyncdPatch::default()
    }
}

#[test]
fn a_set_and_a_later_remove_are_read_as_the_hash_says() {
    let [_, (local, _), _] = three();
    for in_order in [false, true] {
        let patch = set_then_remove(&local, in_order);
        let mut after = local.clone();
        after.take(&apply_patch(&local, NAME, &patch, None, &keys()).unwrap());
        assert_eq!(after.value_macs.is_empty(), in_order);
    }
}

#[test]
fn a_patch_at_the_end_of_the_history_and_one_with_two_lists_are_refused() {
    let [(before, patch), ..] = three();
    let code = palomar_proto::ExitCode { code: Some(101), text: None };
    let last = SyncdPatch { exit_code: Some(code), ..patch.clone() };
    assert_eq!(apply_patch(&before, NAME, &last, None, &keys()), Err(AppStateError::TerminalPatch(101)));
    let external = patch.mutations.clone();
    let both = SyncdPatch { external_mutations: Some(Default::default()), ..patch.clone() };
    let refused = apply_patch(&before, NAME, &both, Some(&external), &keys());
    assert_eq!(refused, Err(AppStateError::Malformed));
    let moved = SyncdPatch { mutations: Vec::new(), ..both };
    assert!(apply_patch(&before, NAME, &moved, Some(&external), &keys()).is_ok());
    assert_eq!(apply_patch(&before, NAME, &moved, None, &keys()), Err(AppStateError::Malformed));
    assert_eq!(apply_patch(&before, NAME, &moved, Some(&[]), &keys()), Err(AppStateError::Malformed));
}

#[test]
fn what_the_official_reader_refuses_is_not_built() {
    let data = action(&["pin_v1", "1@s.whatsapp.net"], 1);
    let build = |changes: &[Change<'_>], id: &[u8]| {
        build_patch(&Collection::default(), NAME, changes, id, &keys(), Extras::default()).map(|_| ())
    };
    let twice = [change(Operation::Set, &data), change(Operation::Set, &data)];
    assert_eq!(build(&twice, ID), Err(AppStateError::DuplicateIndex));
    let undone = [change(Operation::Set, &data), change(Operation::Remove, &data)];
    assert_eq!(build(&undone, ID), Err(AppStateError::DuplicateIndex));
    assert_eq!(
        build(&[change(Operation::Set, &data)], b"other"),
        Err(AppStateError::KeyMissing(vec![b"other".to_vec()]))
    );
    assert_eq!(build(&[change(Operation::Set, &[0xff])], ID), Err(AppStateError::DecodeFailed));
}

#[test]
fn proves_06_15_12_index_texts_are_the_bytes_of_every_device() {
    assert_eq!(index_json(&["contact", "a\"b\\c"]), r#"["contact","a\"b\\c"]"#);
    assert_eq!(index_json(&["x", "<&/>é😀\u{2028}"]), "[\"x\",\"<&/>é😀\u{2028}\"]");
    assert_eq!(index_json(&["x", "\n\t\u{1}\u{7f}"]), "[\"x\",\"\\n\\t\\u0001\u{7f}\"]");
    assert_eq!(index_parts(br#"["a","b"]"#).unwrap(), ["a", "b"]);
    for bad in [&b"[]"[..], b"{}", b"[1]", b"[\"a\"", b"\xff"] {
        assert_eq!(index_parts(bad), None);
    }
    assert_eq!(index_parts(format!("[\"{}\"]", "x".repeat(16 * 1024)).as_bytes()), None, "too long");
}

#[test]
fn keys_are_not_shown_and_the_first_data_of_an_id_stays() {
    let mut ring = keys();
    ring.add(ID, &[6; 32]);
    let mac = |ring: &KeyRing| ring.get(ID).unwrap().index_mac(b"[]");
    assert_eq!(mac(&ring), mac(&keys()));
    assert!(!format!("{ring:?}").contains("0x"), "{ring:?}");
    assert!(format!("{:?}", ring.get(ID)).contains("SyncKey(..)"));
}
