//! A store that comes from a backup is older than what it has sent (protocol 04 §15 S8).

use super::{Device, Fault, World};
use crate::client::devices::address;
use crate::client::life::restore;
use crate::crypto::os_rng;
use crate::store::{Flag, OutgoingState, StoreError};
use crate::wire::Node;

fn enc(message: &Node) -> (String, Vec<u8>) {
    let target = message.find("participants").unwrap().find("to").unwrap();
    let enc = target.find("enc").unwrap();
    (enc.str("type").unwrap().into_owned(), enc.content_bytes().unwrap().into_owned())
}

fn with_id(world: &World, device: &Device, id: &str) -> Vec<Node> {
    let sent = world.router.sent(device, "message").into_iter();
    sent.filter(|message| message.str("id").as_deref() == Some(id)).collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_restore_from_backup_no_counter_of_before_is_used_again() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b0.lid, "first", "first").await.unwrap();
    world.settle().await;
    b0.messaging.send_text(&a0.lid, "answer", "answer").await.unwrap();
    world.settle().await;
    // The backup.
    let key = address::key(&b0.lid);
    let at = key.clone();
    let session = a0.store.read(move |tx| tx.session(&at)).await.unwrap().unwrap();
    let own = address::key(&a0.lid);
    a0.edit(move |tx| {
        tx.put_sender_key("group@g.us", &own, b"ours")?;
        tx.mark_distributed("group@g.us", &["other".to_owned()], 1, 1)
    })
    .await;
    // What it does not know of: two messages more, one of which the server never acked.
    a0.messaging.send_text(&b0.lid, "second", "second").await.unwrap();
    world.settle().await;
    world.router.fault(Fault::LoseAck);
    let open = a0.messaging.send_text(&b0.lid, "third", "third").await.unwrap().message_id;
    a0.messaging.ctx.clock.sleep(std::time::Duration::from_secs(1)).await;
    a0.disconnect();
    let row = a0.store.read(|tx| tx.outgoing("third")).await.unwrap().unwrap();
    let before = with_id(&world, &a0, &open);
    let (store, pn, lid) = (a0.store.clone(), a0.pn.clone(), a0.lid.clone());
    drop(a0);

    store
        .write(move |tx| {
            tx.put_session(&key, session.expose())?;
            let mut row = row;
            row.state = OutgoingState::Encrypted;
            tx.put_outgoing(&row)?;
            tx.mark_restored()?;
            restore::settle(tx, 1_760_000_100_000, &mut os_rng())?;
            assert!(!tx.flag(Flag::Restored)?, "settled once");
            assert!(
                tx.sender_key_groups(&address::key(&crate::wire::Jid::lid("100000001").unwrap()))?.is_empty()
            );
            assert!(tx.distributions("group@g.us")?.is_empty());
            let row = tx.outgoing("third")?.unwrap();
            assert!(row.stanza.is_none(), "nothing goes out as it was stored");
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let a0 = world.start(store, pn, lid).await;
    a0.messaging.prekeys.upload().await.unwrap();
    world.settle().await;
    a0.messaging.send_text(&b0.lid, "after", "after").await.unwrap();
    world.settle().await;

    let again = with_id(&world, &a0, &open).split_off(before.len());
    assert_eq!(again.len(), 1, "the open message is encrypted anew, under its id");
    let ((_, old), (kind, new)) = (enc(&before[0]), enc(&again[0]));
    assert_ne!(old, new);
    assert_eq!(kind, "pkmsg", "in a session that did not exist before");
    let texts = b0.texts().await;
    for text in ["first", "second", "third", "after"] {
        assert_eq!(texts.iter().filter(|heard| *heard == text).count(), 1, "{text} in {texts:?}");
    }
    let uploads: Vec<Node> = world.router.sent(&a0, "iq");
    let mut uploads = uploads.iter().filter(|iq| iq.find("list").is_some() && iq.find("skey").is_some());
    let last = uploads.next_back().unwrap();
    let id = |node: &Node| {
        let bytes = node.find("id").unwrap().content_bytes().unwrap().into_owned();
        bytes.iter().fold(0_u32, |id, byte| id << 8 | u32::from(*byte))
    };
    assert!(last.find("list").unwrap().find_all("key").all(|key| id(key) > 100_000));
    assert!(id(last.find("skey").unwrap()) > 100);
    // What a peer says on the old session still opens.
    assert!(a0.texts().await.contains(&"answer".to_owned()));
    b0.messaging.send_text(&a0.lid, "still here", "still").await.unwrap();
    world.settle().await;
    assert!(a0.texts().await.contains(&"still here".to_owned()));
}
