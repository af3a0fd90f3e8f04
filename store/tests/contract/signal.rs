//! Prekeys, sessions, identities, sender keys, device lists, mappings.

use palomar_store::prekeys::LAST_ID;
use palomar_store::{
    Device, DeviceList, Flag, IdentityChange, KeyPairBytes, MappingChange, Prekey, PrekeyUse, Result,
    SignedPrekey, StoreError, Tx, Watermarks,
};

use crate::{Bench, NOW, contract};

contract! {
    prekeys_are_offered_until_the_server_has_them
    prekeys_for_retry_receipts_are_never_offered
    prekey_ids_wrap_and_skip_those_in_use
    ids_of_consumed_prekeys_are_not_used_again_after_a_restart
    a_consumed_prekey_is_gone
    signed_prekeys_are_staged_promoted_and_the_old_kept
    a_discarded_signed_prekey_never_gives_its_id_again
    sessions_of_a_user_are_found_by_prefix
    a_changed_identity_is_reported_with_the_old_key
    sender_keys_are_found_by_group_and_by_device
    distribution_marks_are_forgotten_by_group_and_by_device
    a_device_list_is_one_record_under_both_addresses
    learning_a_mapping_joins_device_lists
    a_replaced_mapping_leaves_no_stale_partner
    a_mapping_that_is_taken_back_is_unknown_both_ways
    sender_keys_of_a_former_identity_are_marked_until_they_are_replaced
    device_lists_are_walked_by_cursor
    a_restored_store_gives_no_id_out_again_and_forgets_its_own_sender_keys
    every_session_is_found_behind_a_cursor
}

fn pair(byte: u8) -> KeyPairBytes {
    KeyPairBytes { public: [byte; 32], private: [byte ^ 0xff; 32].into() }
}

fn make(tx: &mut Tx<'_>, count: usize, made_for: PrekeyUse) -> Result<Vec<u32>> {
    let ids = tx.take_prekey_ids(count)?;
    let keys: Vec<Prekey> = ids
        .iter()
        .map(|&id| Prekey { id, keys: pair(u8::try_from(id % 251).unwrap()), made_for, uploaded: false })
        .collect();
    tx.put_prekeys(&keys)?;
    Ok(ids)
}

fn offered(tx: &Tx<'_>) -> Result<Vec<u32>> {
    Ok(tx.prekeys_to_upload(5000)?.iter().map(|prekey| prekey.id).collect())
}

async fn prekeys_are_offered_until_the_server_has_them(bench: Bench) {
    let store = bench.store();
    store.write(|tx| make(tx, 812, PrekeyUse::Upload)).await.unwrap();
    let store = bench.restart(store).await;
    store
        .write(|tx| {
            let all: Vec<u32> = (1..=812).collect();
            assert_eq!(offered(tx)?, all, "not confirmed: the same ones again");
            tx.mark_prekeys_uploaded(&all[..100])?;
            assert_eq!(offered(tx)?, all[100..]);
            tx.mark_prekeys_uploaded(&all[100..])?;
            assert!(offered(tx)?.is_empty());
            tx.mark_prekeys_uploaded(&all)?;
            assert_eq!(tx.prekey_watermarks()?, Watermarks { next: 813, first_not_uploaded: 813 });
            assert_eq!(make(tx, 2, PrekeyUse::Upload)?, [813, 814]);
            assert_eq!(offered(tx)?, [813, 814]);
            assert_eq!(tx.prekey_count()?, 814);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn prekeys_for_retry_receipts_are_never_offered(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            make(tx, 2, PrekeyUse::Upload)?;
            assert_eq!(make(tx, 1, PrekeyUse::RetryReceipt)?, [3]);
            make(tx, 1, PrekeyUse::Upload)?;
            assert_eq!(offered(tx)?, [1, 2, 4]);
            tx.mark_prekeys_uploaded(&[1, 2, 4])?;
            make(tx, 1, PrekeyUse::RetryReceipt)?;
            assert!(offered(tx)?.is_empty());
            assert!(tx.prekey(3)?.is_some());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn prekey_ids_wrap_and_skip_those_in_use(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            make(tx, 2, PrekeyUse::Upload)?;
            tx.mark_prekeys_uploaded(&[1, 2])?;
            tx.delete_prekey(2)?;
            tx.skip_prekey_ids(LAST_ID - 4)?;
            assert_eq!(make(tx, 4, PrekeyUse::Upload)?, [LAST_ID - 1, LAST_ID, 2, 3]);
            assert_eq!(offered(tx)?, [2, 3, LAST_ID - 1, LAST_ID], "ascending for the server");
            tx.mark_prekeys_uploaded(&[LAST_ID - 1, LAST_ID])?;
            assert_eq!(offered(tx)?, [2, 3]);
            tx.mark_prekeys_uploaded(&[2, 3])?;
            assert!(offered(tx)?.is_empty());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn ids_of_consumed_prekeys_are_not_used_again_after_a_restart(bench: Bench) {
    let store = bench.store();
    let consume = |tx: &mut Tx<'_>| {
        let ids = make(tx, 3, PrekeyUse::Upload)?;
        for id in ids {
            assert!(tx.delete_prekey(id)?);
        }
        Ok::<_, StoreError>(())
    };
    store.write(consume).await.unwrap();
    let store = bench.restart(store).await;
    let ids = store.write(|tx| make(tx, 2, PrekeyUse::RetryReceipt)).await.unwrap();
    assert_eq!(ids, [4, 5], "not derived from the ids that are stored");
}

async fn a_consumed_prekey_is_gone(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            make(tx, 3, PrekeyUse::Upload)?;
            let prekey = tx.prekey(2)?.unwrap();
            assert_eq!((prekey.keys.public, *prekey.keys.private.expose()), ([2; 32], [0xfd; 32]));
            assert!(tx.delete_prekey(2)?);
            assert!(!tx.delete_prekey(2)?);
            assert!(tx.prekey(2)?.is_none());
            assert_eq!(offered(tx)?, [1, 3]);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

fn signed(id: u32) -> SignedPrekey {
    SignedPrekey { id, keys: pair(u8::try_from(id).unwrap()), signature: [9; 64], created_at: NOW }
}

async fn signed_prekeys_are_staged_promoted_and_the_old_kept(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            assert_eq!(tx.next_signed_prekey_id()?, 1);
            tx.set_signed_prekey(&signed(1))?;
            for id in 2..=5 {
                assert_eq!(tx.next_signed_prekey_id()?, id);
                tx.stage_signed_prekey(&signed(id))?;
                assert_eq!(tx.current_signed_prekey()?.unwrap().id, id - 1);
                assert_eq!(tx.signed_prekey(id)?.unwrap().id, id, "a staged one is found by id");
                assert!(tx.promote_signed_prekey()?);
            }
            assert!(!tx.promote_signed_prekey()?);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    let held =
        store.read(|tx| (1..=5).map(|id| Ok(tx.signed_prekey(id)?.is_some())).collect::<Result<Vec<_>>>());
    assert_eq!(held.await.unwrap(), [false, false, true, true, true], "current and two previous");
}

async fn a_discarded_signed_prekey_never_gives_its_id_again(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.set_signed_prekey(&signed(1))?;
            tx.stage_signed_prekey(&signed(2))?;
            assert!(tx.discard_staged_signed_prekey()?);
            assert!(tx.staged_signed_prekey()?.is_none() && tx.signed_prekey(2)?.is_none());
            assert_eq!(tx.next_signed_prekey_id()?, 3);
            assert!(matches!(tx.stage_signed_prekey(&signed(1)), Err(StoreError::Refused(_))));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn sessions_of_a_user_are_found_by_prefix(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            for address in ["12@lid:0", "12@lid:7", "12@s.whatsapp.net:0", "123@lid:0"] {
                tx.put_session(address, address.as_bytes())?;
            }
            assert_eq!(tx.session_addresses("12@lid:")?, ["12@lid:0", "12@lid:7"]);
            assert!(tx.has_session("12@lid:7")? && tx.delete_session("12@lid:7")?);
            assert_eq!(tx.session_addresses("12@lid:")?, ["12@lid:0"]);
            assert_eq!(tx.session("12@lid:0")?.unwrap().expose(), b"12@lid:0");
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn a_changed_identity_is_reported_with_the_old_key(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            assert_eq!(tx.save_identity("a", &[1; 33], NOW)?, IdentityChange::New);
            assert_eq!(tx.save_identity("a", &[1; 33], NOW + 5)?, IdentityChange::Same);
            assert_eq!(tx.save_identity("a", &[2; 33], NOW + 9)?, IdentityChange::Changed(vec![1; 33]));
            let stored = tx.identity("a")?.unwrap();
            assert_eq!((stored.key, stored.first_seen, stored.changed_at), (vec![2; 33], NOW, Some(NOW + 9)));
            assert_eq!(tx.identity_addresses("")?, ["a"]);
            assert!(tx.delete_identity("a")? && tx.identity("a")?.is_none());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn sender_keys_are_found_by_group_and_by_device(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.put_sender_key("g1", "d1", b"11")?;
            tx.put_sender_key("g2", "d1", b"21")?;
            tx.put_sender_key("g1", "d2", b"12")?;
            tx.put_sender_key("g1", "d1", b"again")?;
            assert_eq!(tx.sender_key("g1", "d1")?.unwrap().expose(), b"again");
            assert_eq!(tx.sender_key_groups("d1")?, ["g1", "g2"]);
            assert!(tx.delete_sender_key("g1", "d1")?);
            assert_eq!(tx.sender_key_groups("d1")?, ["g2"]);
            assert!(tx.sender_key("g1", "d2")?.is_some());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn distribution_marks_are_forgotten_by_group_and_by_device(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            let devices = ["d1".to_owned(), "d2".to_owned()];
            tx.mark_distributed("g1", &devices, 7, NOW)?;
            tx.mark_distributed("g2", &devices[..1], 8, NOW)?;
            assert_eq!(tx.distribution("g1", "d2")?.unwrap().key_id, 7);
            assert_eq!(tx.forget_distributions_to("d1")?, ["g1", "g2"]);
            let left: Vec<String> = tx.distributions("g1")?.into_iter().map(|mark| mark.device).collect();
            assert_eq!(left, ["d2"]);
            tx.forget_distributions_of_group("g1")?;
            assert!(tx.distributions("g1")?.is_empty() && tx.distribution_groups("d2")?.is_empty());
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

fn list(pn: Option<&str>, lid: Option<&str>, ts: i64) -> DeviceList {
    DeviceList {
        pn: pn.map(str::to_owned),
        lid: lid.map(str::to_owned),
        devices: vec![Device { id: 0, key_index: None, hosted: false }],
        ts: Some(ts),
        ..DeviceList::default()
    }
}

async fn a_device_list_is_one_record_under_both_addresses(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.put_device_list(&list(Some("p"), Some("l"), 1))?;
            assert_eq!(tx.device_list("p")?, tx.device_list("l")?);
            tx.put_device_list(&list(Some("p"), Some("l"), 2))?;
            assert_eq!(tx.device_list("p")?.unwrap().ts, Some(2));
            assert_eq!(tx.device_lists(None, 10)?.len(), 1);
            assert!(tx.delete_device_list("p")?);
            assert!(tx.device_list("l")?.is_none() && !tx.delete_device_list("l")?);
            assert!(matches!(tx.put_device_list(&list(None, None, 1)), Err(StoreError::Refused(_))));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn learning_a_mapping_joins_device_lists(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.put_device_list(&list(Some("p"), None, 1))?;
            tx.put_device_list(&list(None, Some("l"), 2))?;
            assert_eq!(tx.put_mapping("p", "l")?, MappingChange::New);
            assert_eq!(tx.put_mapping("p", "l")?, MappingChange::Same);
            assert_eq!(tx.device_list("p")?, Some(list(Some("p"), Some("l"), 2)), "the LID's list wins");
            assert_eq!(tx.device_lists(None, 10)?.len(), 1);
            assert_eq!(tx.lid_of("p")?.as_deref(), Some("l"));
            assert_eq!(tx.pn_of("l")?.as_deref(), Some("p"));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn a_replaced_mapping_leaves_no_stale_partner(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.put_mapping("p", "l1")?;
            let change = tx.put_mapping("p", "l2")?;
            assert_eq!(change, MappingChange::Replaced { old_lid: Some("l1".into()), old_pn: None });
            assert_eq!(tx.pn_of("l1")?, None);
            let change = tx.put_mapping("p9", "l2")?;
            assert_eq!(change, MappingChange::Replaced { old_lid: None, old_pn: Some("p".into()) });
            assert_eq!((tx.lid_of("p")?, tx.lid_of("p9")?.as_deref()), (None, Some("l2")));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn device_lists_are_walked_by_cursor(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            for number in 0..7 {
                tx.put_device_list(&list(Some(&format!("p{number}")), None, number))?;
            }
            let (mut cursor, mut seen) = (None, Vec::new());
            loop {
                let page = tx.device_lists(cursor, 3)?;
                let Some((last, _)) = page.last() else { break };
                cursor = Some(*last);
                seen.extend(page.into_iter().filter_map(|(_, list)| list.ts));
            }
            assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn a_mapping_that_is_taken_back_is_unknown_both_ways(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            tx.put_mapping("p", "l")?;
            assert!(!tx.delete_mapping("p", "other")?);
            assert_eq!(tx.lid_of("p")?.as_deref(), Some("l"));
            assert!(tx.delete_mapping("p", "l")?);
            assert_eq!((tx.lid_of("p")?, tx.pn_of("l")?), (None, None));
            assert!(!tx.delete_mapping("p", "l")?);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn sender_keys_of_a_former_identity_are_marked_until_they_are_replaced(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            for (group, device) in [("g1", "d1"), ("g2", "d1"), ("g1", "d2")] {
                tx.put_sender_key(group, device, b"old")?;
            }
            tx.mark_sender_keys_stale("d1")?;
            tx.mark_sender_keys_stale("nobody")?;
            tx.mark_sender_key_stale("g9", "d1")?;
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    store
        .write(|tx| {
            assert!(tx.sender_key_is_stale("g1", "d1")? && tx.sender_key_is_stale("g2", "d1")?);
            assert!(!tx.sender_key_is_stale("g1", "d2")? && !tx.sender_key_is_stale("g9", "d1")?);
            assert_eq!(tx.sender_key_groups("d1")?, ["g1", "g2"]);
            // What opens with it may go on; only what replaces it takes the mark away.
            tx.put_sender_key("g1", "d1", b"moved on")?;
            assert!(tx.sender_key_is_stale("g1", "d1")?);
            tx.delete_sender_key("g1", "d1")?;
            tx.put_sender_key("g1", "d1", b"new")?;
            assert!(!tx.sender_key_is_stale("g1", "d1")? && tx.sender_key_is_stale("g2", "d1")?);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn a_restored_store_gives_no_id_out_again_and_forgets_its_own_sender_keys(bench: Bench) {
    let store = bench.store();
    let signed = |id| SignedPrekey { id, keys: pair(1), signature: [2; 64], created_at: NOW };
    store
        .write(move |tx| {
            make(tx, 812, PrekeyUse::Upload)?;
            tx.set_signed_prekey(&signed(1))?;
            tx.stage_signed_prekey(&signed(2))?;
            tx.put_sender_key("group", "own", b"ours")?;
            tx.put_sender_key("group", "other", b"theirs")?;
            tx.mark_distributed("group", &["other".to_owned()], 7, NOW)?;
            tx.mark_restored()
        })
        .await
        .unwrap();
    let store = bench.restart(store).await;
    store
        .write(|tx| {
            assert!(tx.flag(Flag::Restored)?, "the mark is durable");
            tx.settle_restored(&["own".to_owned(), "own by number".to_owned()])?;
            assert!(offered(tx)?.is_empty(), "what waited is not offered: other keys may have had these ids");
            assert_eq!(tx.take_prekey_ids(1)?, [100_813]);
            assert!(tx.prekey(5)?.is_some(), "what the server may hold still opens");
            assert_eq!(tx.next_signed_prekey_id()?, 103);
            assert!(tx.staged_signed_prekey()?.is_none());
            assert!(tx.signed_prekey(1)?.is_some());
            assert!(tx.sender_key("group", "own")?.is_none());
            assert!(tx.sender_key("group", "other")?.is_some());
            assert!(tx.distributions("group")?.is_empty());
            assert!(tx.distribution_groups("other")?.is_empty());
            assert!(tx.flag(Flag::ServerHasNoPrekeys)? && tx.flag(Flag::KeysUnchecked)?);
            assert!(!tx.flag(Flag::Restored)?);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}

async fn every_session_is_found_behind_a_cursor(bench: Bench) {
    let store = bench.store();
    store
        .write(|tx| {
            for n in 0..700 {
                tx.put_session(&format!("user{n:04}.0"), b"x")?;
            }
            let (mut after, mut found) = (None, 0);
            loop {
                let page = tx.sessions_after(after.as_deref(), 256)?;
                found += page.len();
                match page.last() {
                    Some(last) => after = Some(last.clone()),
                    None => break,
                }
            }
            assert_eq!(found, 700);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
}
