//! PN state moves to the LID when the mapping is learned (protocol 04 §11.3).

#[path = "../../../tests/common/faulty.rs"]
#[allow(dead_code, reason = "the other users of it need more")]
mod faulty;

use std::sync::Arc;

use super::{Device, World};
use crate::client::devices::{address, mapping};
use crate::crypto::os_rng;
use crate::signal::{SenderKey, SenderKeyRecord};
use crate::store::{Store, StoreError};

#[tokio::test(start_paused = true)]
async fn state_under_the_number_moves_to_the_lid_once_and_messages_still_open() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b0.lid, "first", "first").await.unwrap();
    world.settle().await;
    // As if b0 had known a0 by its number only.
    let (pn, lid) = (address::key(&a0.pn), address::key(&a0.lid));
    let (from, to) = (lid.clone(), pn.clone());
    b0.edit(move |tx| {
        let session = tx.session(&from)?.unwrap();
        let identity = tx.identity(&from)?.unwrap();
        tx.put_session(&to, session.expose())?;
        tx.save_identity(&to, &identity.key, 1)?;
        tx.delete_session(&from)?;
        tx.delete_identity(&from).map(drop)
    })
    .await;
    a0.messaging.send_text(&b0.lid, "second", "second").await.unwrap();
    world.settle().await;
    assert_eq!(b0.texts().await, ["first", "second"]);
    let state = |pn: String, lid: String| {
        b0.store
            .read(move |tx| Ok::<_, crate::store::StoreError>((tx.has_session(&pn)?, tx.has_session(&lid)?)))
    };
    // A `pkmsg` of a known session needs no migration; learning the pair again changes nothing.
    let (user, hidden) = (a.pn.clone(), a.lid.clone());
    b0.edit(move |tx| {
        mapping::migrate_known(tx, &hidden, 5)?;
        mapping::learn(tx, &user, &hidden, 5)
    })
    .await;
    assert_eq!(state(pn, lid).await.unwrap(), (false, true));
    a0.messaging.send_text(&b0.lid, "third", "third").await.unwrap();
    world.settle().await;
    assert_eq!(b0.texts().await, ["first", "second", "third"]);
}

const GROUP: &str = "120363000000000001@g.us";

/// Everything that is stored of a user under both addresses of its phone.
async fn state(store: &Store, device: &Device) -> Vec<(bool, String)> {
    let keys = [address::key(&device.pn), address::key(&device.lid)];
    let pn = device.pn.to_user().to_string();
    store
        .read(move |tx| {
            let mut state = Vec::new();
            for key in keys {
                state.push((tx.has_session(&key)?, format!("session {key}")));
                let identity = tx.identity(&key)?.map(|identity| hex::encode(identity.key));
                state.push((identity.is_some(), format!("identity {key} {identity:?}")));
                let sender = tx.sender_key(GROUP, &key)?.map(|record| hex::encode(record.expose()));
                state.push((sender.is_some(), format!("sender key {key} {sender:?}")));
                let mark = tx.distribution(GROUP, &key)?.map(|mark| mark.key_id);
                state.push((mark.is_some(), format!("distribution {key} {mark:?}")));
            }
            let lid = tx.lid_of(&pn)?;
            state.push((lid.is_some(), format!("mapping {lid:?}")));
            Ok::<_, StoreError>(state)
        })
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn proves_04_22_16_killed_between_any_two_statements_of_a_migration_there_is_no_half_state() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b0.lid, "first", "first").await.unwrap();
    world.settle().await;
    // As if b0 knew a0 under both addresses, and not that they are one.
    let (pn, lid) = (address::key(&a0.pn), address::key(&a0.lid));
    let (user, hidden) = (a0.pn.to_user().to_string(), a0.lid.to_user().to_string());
    b0.edit(move |tx| {
        tx.delete_mapping(&user, &hidden)?;
        let (session, identity) = (tx.session(&lid)?.unwrap(), tx.identity(&lid)?.unwrap());
        tx.put_session(&pn, session.expose())?;
        tx.save_identity(&pn, &identity.key, 1)?;
        for key in [&pn, &lid] {
            let mut record = SenderKeyRecord::new();
            record.process(&SenderKey::generate(&mut os_rng()).distribution());
            tx.put_sender_key(GROUP, key, &record.serialize())?;
        }
        tx.mark_distributed(GROUP, &[pn], 7, 1)
    })
    .await;
    let before = state(&b0.store, &a0).await;
    let plan = Arc::new(faulty::Plan::default());
    let store = faulty::faulty(&b0.store, &plan);
    let mut kills = 0;
    for steps in 0..1000 {
        plan.fail_after(steps);
        let (user, hidden) = (a.pn.clone(), a.lid.clone());
        let learned = store.write(move |tx| mapping::learn(tx, &user, &hidden, 5)).await;
        plan.heal();
        let now = state(&store, &a0).await;
        match learned {
            Ok(()) => break,
            // The commit itself was the last thing that worked.
            Err(_) if now != before => {
                assert_eq!(now, after(&now), "step {steps}");
                break;
            }
            Err(_) => kills += 1,
        }
    }
    assert!(kills > 10, "{kills} kills");
    let (user, hidden) = (a.pn.clone(), a.lid.clone());
    b0.edit(move |tx| mapping::learn(tx, &user, &hidden, 6)).await;
    let now = state(&b0.store, &a0).await;
    assert_eq!(now, after(&now));
    a0.messaging.send_text(&b0.lid, "second", "second").await.unwrap();
    world.settle().await;
    assert_eq!(b0.texts().await, ["first", "second"]);
}

/// What must be there after a migration: nothing under the number, everything under the LID, and the mapping.
fn after(state: &[(bool, String)]) -> Vec<(bool, String)> {
    let there = [false, false, false, false, true, true, true, true, true];
    there.into_iter().zip(state).map(|(there, (_, what))| (there, what.clone())).collect()
}
