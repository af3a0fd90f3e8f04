//! Devices that a message missed, and when they are left alone (protocol 05a §12).

use super::{Device, World, targets};
use crate::client::devices::address;
use crate::proto::message::ProtocolMessage;
use crate::proto::message::protocol_message::Type;
use crate::proto::{Message, MessageKey as Key};
use crate::wire::Node;

/// A text that missed `hidden`, as the ack has said.
async fn misses(world: &World, from: &Device, to: &Device, hidden: &Device) -> String {
    world.router.hide(hidden, true);
    let id = from.messaging.send_text(&to.lid, "text", "text").await.unwrap().message_id;
    world.settle().await;
    world.router.hide(hidden, false);
    let until = from.messaging.ctx.clock.wall_ms() + 240_000;
    from.edit(move |tx| {
        let mut row = tx.outgoing("text")?.unwrap();
        row.reach_missed_until = Some(until);
        tx.put_outgoing(&row)
    })
    .await;
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
        a0.messaging.reach_missed("text".to_owned()).await.unwrap();
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
    a0.messaging.reach_missed("text".to_owned()).await.unwrap();
    world.settle().await;
    assert!(second(&world, &a0).is_empty());
    assert_eq!(b1.texts().await, ["other"]);
}
