//! PN state moves to the LID when the mapping is learned (protocol 04 §11.3).

use super::World;
use crate::client::devices::{address, mapping};

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
