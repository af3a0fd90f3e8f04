//! The receiving worker: stanzas on which we fail ourselves, what a lost connection leaves, the bounds of a batch, and
//! the keys that own devices ask for.

use prost::Message as _;

use super::{Device, World};
use crate::client::receive::{self, Env};
use crate::proto::Message;
use crate::proto::message::protocol_message::Type;
use crate::proto::message::{
    AppStateSyncKeyData, AppStateSyncKeyId, AppStateSyncKeyRequest, ProtocolMessage,
};
use crate::store::{StoreError, Tx};
use crate::wire::{Node, NodeRef};

/// Handles everything but what is marked.
fn fails_on_poison(tx: &mut Tx<'_>, env: &mut Env, stanza: NodeRef<'_>) -> Result<(), StoreError> {
    let poison = stanza.get("poison").is_some();
    receive::handle(tx, env, stanza)?;
    assert!(!poison, "a fault of our own");
    Ok(())
}

fn receipt(id: &str, device: &Device) -> Node {
    Node::new("receipt").attr("from", device.lid.in_device_form()).attr("id", id.to_owned()).attr("t", "1")
}

fn acks(world: &World, device: &Device) -> Vec<(String, Option<String>)> {
    let text = |ack: &Node, key: &str| ack.str(key).map(|text| text.into_owned());
    let sent = world.router.sent(device, "ack").into_iter();
    sent.map(|ack| (text(&ack, "id").unwrap(), text(&ack, "error"))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stanza_on_which_we_fail_is_refused_with_500_and_its_batch_is_kept() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let (store, pn, lid) = (a0.store.clone(), a0.pn.clone(), a0.lid.clone());
    drop(a0);
    let a0 = world.start_handled(store, pn, lid, fails_on_poison).await;
    for stanza in [receipt("R1", &b0), receipt("R2", &b0).attr("poison", "1"), receipt("R3", &b0)] {
        a0.messaging.stanza(stanza).await;
    }
    world.settle().await;
    let expected = [("R1", None), ("R2", Some("500")), ("R3", None)];
    let expected: Vec<_> =
        expected.iter().map(|(id, error)| ((*id).to_owned(), error.map(str::to_owned))).collect();
    assert_eq!(acks(&world, &a0), expected);
    assert_eq!(a0.events().await.len(), 2, "nothing of the refused one stays");
    assert_eq!(a0.messaging.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_the_connection_ends_is_dropped_unread_and_unanswered() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    // Handed in without a chance for the worker to run.
    a0.messaging.stanza(receipt("OLD", &b0)).await;
    a0.disconnect();
    world.connect(&a0).await;
    a0.messaging.stanza(receipt("NEW", &b0)).await;
    world.settle().await;
    assert_eq!(acks(&world, &a0), [("NEW".to_owned(), None)]);
    assert_eq!(a0.messaging.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_more_than_4_mib_is_two_transactions_and_loses_nothing() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    for n in 0..6 {
        let large = Node::new("filler").bytes(vec![7; 1024 * 1024]);
        a0.messaging.stanza(receipt(&format!("R{n}"), &b0).child(large)).await;
    }
    world.settle().await;
    assert_eq!(acks(&world, &a0).len(), 6);
}

fn asks(ids: &[&[u8]]) -> Message {
    let key_ids = ids.iter().map(|id| AppStateSyncKeyId { key_id: Some(id.to_vec()) }).collect();
    Message {
        protocol_message: Some(Box::new(ProtocolMessage {
            r#type: Some(Type::AppStateSyncKeyRequest as i32),
            app_state_sync_key_request: Some(AppStateSyncKeyRequest { key_ids }.into()),
            ..Default::default()
        })),
        ..Message::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_device_that_asks_for_app_state_keys_gets_them_alone_and_nobody_else_does() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (_a0, a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    let (a2, b0) = (world.device(&a, 2).await, world.device(&b, 0).await);
    let data = AppStateSyncKeyData { key_data: Some(vec![5; 32]), fingerprint: None, timestamp: Some(9) };
    let held = data.encode_to_vec();
    let kept = held.clone();
    a1.edit(move |tx| tx.put_app_state_key(b"known!", &kept)).await;

    b0.messaging.send(&a.lid, asks(&[b"known!"]), "forged").await.unwrap();
    world.settle().await;
    let peers = |device: &Device| {
        let sent = world.router.sent(device, "message").into_iter();
        sent.filter(|m| m.str("category").as_deref() == Some("peer")).collect::<Vec<_>>()
    };
    assert!(peers(&a1).is_empty(), "nothing for a stranger");

    a2.messaging.send(&a.lid, asks(&[b"known!", b"other!"]), "asks").await.unwrap();
    world.settle().await;
    let answers = peers(&a1);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].jid("to").unwrap(), a2.pn, "the asking device, by number");
    assert!(answers[0].find("participants").is_none());
    let key = |id: &'static [u8]| a2.store.read(move |tx| tx.app_state_key(id));
    assert_eq!(key(b"known!").await.unwrap().unwrap().expose(), held);
    assert!(key(b"other!").await.unwrap().is_none(), "an entry without data is no key");
    assert!(!a1.events().await.iter().any(|event| event.kind() == "message"), "nothing for the application");
}
