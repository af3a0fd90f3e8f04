//! Devices that a message missed, and when they are left alone (protocol 05a §12).

use super::{Device, World, targets};
use crate::client::devices::address;
use crate::proto::message::ProtocolMessage;
use crate::proto::message::protocol_message::Type;
use crate::proto::{Message, MessageKey as Key};
use crate::store::Missed;
use crate::wire::Node;

/// As if the ack of this send had brought a hash, with so much time left.
async fn owe(device: &Device, key: &'static str, left: i64) {
    let until = device.messaging.ctx.clock.wall_ms() + left;
    device
        .edit(move |tx| {
            let mut row = tx.outgoing(key)?.unwrap();
            row.reach_missed_until = Some(until);
            tx.put_outgoing(&row)?;
            let (hash, key) = ("2:AAAAAAAA".to_owned(), key.to_owned());
            tx.put_missed(row.seq, &Missed { key, hash, until, stanza: None })
        })
        .await;
}

/// What is owed to devices that messages missed.
async fn owed(device: &Device) -> usize {
    device.store.read(|tx| tx.all_missed(10)).await.unwrap().len()
}

async fn reach(device: &Device, key: &'static str) {
    let row = device.store.read(move |tx| tx.outgoing(key)).await.unwrap().unwrap();
    device.messaging.reach_missed(row.seq).await.unwrap();
}

/// A text that missed `hidden`, as the ack has said.
async fn misses(world: &World, from: &Device, to: &Device, hidden: &Device) -> String {
    world.router.hide(hidden, true);
    let id = from.messaging.send_text(&to.lid, "text", "text").await.unwrap().message_id;
    world.settle().await;
    world.router.hide(hidden, false);
    owe(from, "text", 240_000).await;
    id
}

/// The second stanzas of messages.
fn second(world: &World, device: &Device) -> Vec<Node> {
    let sent = world.router.sent(device, "message").into_iter();
    sent.filter(|message| message.get("device_fanout").is_some()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_revoked_message_does_not_reach_the_devices_that_missed_it() {
    for revokes in [false, true] {
        let world = World::new();
        let (a, b) = (world.account(1), world.account(2));
        let a0 = world.device(&a, 0).await;
        let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
        let id = misses(&world, &a0, &b0, &b1).await;
        if revokes {
            let key = Key {
                remote_jid: Some(b0.lid.to_string()),
                from_me: Some(true),
                id: Some(id.clone()),
                participant: None,
            };
            let revoke = Message {
                protocol_message: Some(Box::new(ProtocolMessage {
                    key: Some(key.into()),
                    r#type: Some(Type::Revoke as i32),
                    ..Default::default()
                })),
                ..Message::default()
            };
            a0.messaging.send(&b0.lid, revoke, "revoke").await.unwrap();
            world.settle().await;
        }
        reach(&a0, "text").await;
        world.settle().await;
        let second = second(&world, &a0);
        assert_eq!(second.len(), usize::from(!revokes));
        assert!(second.iter().all(|stanza| targets(stanza) == [b1.lid.to_string()]));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_of_a_user_with_a_new_phone_identity_gets_an_older_message() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    misses(&world, &a0, &b0, &b1).await;
    // The other device is known by now and has a session: nothing but the identity keeps the message from it.
    a0.messaging.devices.lists(&[b0.lid.to_user()], true).await.unwrap();
    a0.messaging.send_text(&b0.lid, "other", "other").await.unwrap();
    world.settle().await;
    assert_eq!(b1.texts().await, ["other"]);
    let (key, now) = (address::key(&b0.lid), a0.messaging.ctx.clock.wall_ms());
    a0.edit(move |tx| tx.save_identity(&key, &[9; 32], now).map(drop)).await;
    reach(&a0, "text").await;
    world.settle().await;
    assert!(second(&world, &a0).is_empty());
    assert_eq!(b1.texts().await, ["other"]);
}

#[tokio::test(start_paused = true)]
async fn missed_devices_are_reached_after_a_restart_within_five_minutes_and_not_after_them() {
    for (left, second_stanzas) in [(240_000, 1), (-1, 0)] {
        let world = World::new();
        let (a, b) = (world.account(1), world.account(2));
        let a0 = world.device(&a, 0).await;
        let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
        misses(&world, &a0, &b0, &b1).await;
        owe(&a0, "text", left).await;
        let (store, pn, lid) = (a0.store.clone(), a0.pn.clone(), a0.lid.clone());
        a0.disconnect();
        drop(a0);
        let again = world.start(store, pn, lid).await;
        world.settle().await;
        let second = second(&world, &again);
        assert_eq!(second.len(), second_stanzas, "{left}");
        assert!(second.iter().all(|stanza| targets(stanza) == [b1.lid.to_string()]));
        assert_eq!(b1.texts().await.len(), second_stanzas);
        assert_eq!(owed(&again).await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_stanza_whose_ack_is_lost_goes_again_with_the_same_bytes_and_arrives_once() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    misses(&world, &a0, &b0, &b1).await;
    world.router.fault(super::Fault::LoseAck);
    let messaging = std::sync::Arc::clone(&a0.messaging);
    let seq = a0.store.read(|tx| tx.outgoing("text")).await.unwrap().unwrap().seq;
    let reaching = tokio::spawn(async move { messaging.reach_missed(seq).await });
    world.settle().await;
    a0.disconnect();
    reaching.await.unwrap().unwrap();
    assert_eq!(owed(&a0).await, 1);
    world.connect(&a0).await;
    world.settle().await;
    let second = second(&world, &a0);
    assert_eq!((second.len(), &second[0]), (2, &second[1]));
    assert_eq!(b1.texts().await, ["text"]);
    assert_eq!(owed(&a0).await, 0);
}

#[tokio::test(start_paused = true)]
async fn no_list_is_asked_for_where_ours_has_the_servers_hash_already() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    misses(&world, &a0, &b0, &b1).await;
    a0.messaging.devices.lists(&[b0.lid.to_user()], true).await.unwrap();
    let all = [&a0.lid, &b0.lid, &b1.lid].map(Clone::clone);
    let hash = crate::stanza::phash::phash(&all);
    a0.edit(move |tx| {
        let (seq, missed) = tx.all_missed(1)?.remove(0);
        tx.put_missed(seq, &Missed { hash, ..missed })
    })
    .await;
    let asked = world.router.sent(&a0, "iq").len();
    reach(&a0, "text").await;
    world.settle().await;
    let asked = world.router.sent(&a0, "iq").split_off(asked);
    assert!(asked.iter().all(|iq| iq.str("xmlns").unwrap() != "usync"), "{asked:?}");
    assert_eq!(second(&world, &a0).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_where_nothing_was_missed() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.fault(super::Fault::Phash);
    a0.messaging.send_text(&b0.lid, "text", "text").await.unwrap();
    world.settle().await;
    assert!(second(&world, &a0).is_empty());
    assert_eq!((owed(&a0).await, world.router.sent(&a0, "message").len()), (0, 1));
}
