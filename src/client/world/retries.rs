//! Lost sessions: asking again, answering, and who may not ask (protocol 05b §9, §10).

use super::{Device, World};
use crate::client::devices::address;
use crate::client::event::Event;
use crate::signal::SessionRecord;
use crate::wire::{Jid, Node};

/// Makes a device forget its session with another one.
async fn forget(device: &Device, other: &Jid) {
    let key = address::key(other);
    device.edit(move |tx| tx.delete_session(&key).map(drop)).await;
}

fn retries(world: &World, device: &Device) -> Vec<Node> {
    let receipts = world.router.sent(device, "receipt").into_iter();
    receipts.filter(|receipt| receipt.str("type").as_deref() == Some("retry")).collect()
}

/// Two phones that have talked both ways.
async fn talking(world: &World) -> (Device, Device) {
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b0.lid, "first", "first").await.unwrap();
    world.settle().await;
    b0.messaging.send_text(&a0.lid, "answer", "answer").await.unwrap();
    world.settle().await;
    (a0, b0)
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_asked_for_and_the_message_comes_again_once() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    forget(&b0, &a0.lid).await;
    a0.messaging.send_text(&b0.lid, "lost", "lost").await.unwrap();
    world.settle().await;
    let asked = retries(&world, &b0);
    assert!(!asked.is_empty());
    let retry = asked[0].find("retry").unwrap();
    assert_eq!((retry.str("count").unwrap(), retry.str("error").unwrap()), ("1".into(), "1".into()));
    assert!(asked[0].find("keys").is_none(), "keys come from the second request on");
    assert!(asked.iter().skip(1).all(|again| again.find("keys").is_some()));
    assert_eq!(b0.texts().await, ["first", "lost"]);
    assert_eq!(world.router.unanswered(&b0), 0);
    let resends: Vec<Node> =
        world.router.sent(&a0, "message").into_iter().filter(|m| m.find("enc").is_some()).collect();
    assert!(resends.iter().all(|m| m.jid("to").unwrap() == b0.lid && m.find("participants").is_none()));
    assert!(b0.events().await.iter().any(|event| matches!(event, Event::Undecryptable(_))));
    // And the two go on.
    b0.messaging.send_text(&a0.lid, "thanks", "thanks").await.unwrap();
    world.settle().await;
    assert_eq!(a0.texts().await, ["answer", "thanks"]);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_lost_its_session_sends_in_a_new_one() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    forget(&a0, &b0.lid).await;
    let left = world.router.prekeys_left(&b0);
    a0.messaging.send_text(&b0.lid, "new session", "new").await.unwrap();
    world.settle().await;
    assert_eq!(b0.texts().await, ["first", "new session"]);
    assert_eq!(world.router.prekeys_left(&b0), left - 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_row_that_is_damaged_is_set_aside_and_rebuilt() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    let key = address::key(&a0.lid);
    b0.edit(move |tx| tx.put_session(&key, &[1, 2, 3])).await;
    a0.messaging.send_text(&b0.lid, "lost", "lost").await.unwrap();
    world.settle().await;
    assert_eq!(b0.texts().await, ["first", "lost"]);
    assert_eq!(b0.store.read(|tx| tx.quarantine_count()).await.unwrap(), 1);
}

/// A retry receipt of `by`, as if it had sent one.
async fn request(world: &World, by: &Device, to: &Device, id: &str, count: u32) {
    let receipt = Node::new("receipt")
        .attr("from", by.lid.in_device_form())
        .attr("id", id.to_owned())
        .attr("type", "retry")
        .attr("t", "1")
        .child(
            Node::new("retry").attr("v", "1").attr("count", count).attr("id", id.to_owned()).attr("t", "1"),
        )
        .child(Node::new("registration").bytes(vec![0, 0, 0, 9]));
    to.messaging.stanza(receipt).await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_device_that_confirmed_or_was_no_target_or_asks_too_often_gets_nothing() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    let b = world.account(2);
    let id = a0.store.read(|tx| tx.outgoing("first")).await.unwrap().unwrap().message_id;
    let before = world.router.sent(&a0, "message").len();
    // It has sent a delivery receipt.
    request(&world, &b0, &a0, &id, 1).await;
    assert_eq!(world.router.sent(&a0, "message").len(), before);
    // A device of the same user that was no target.
    let b9 = world.device(&b, 9).await;
    a0.messaging.devices.lists(&[b0.lid.to_user()], true).await.unwrap();
    request(&world, &b9, &a0, &id, 1).await;
    assert_eq!(world.router.sent(&a0, "message").len(), before);
    // A fifth request.
    request(&world, &b0, &a0, &id, 5).await;
    assert_eq!(world.router.sent(&a0, "message").len(), before);
    // Every request is acked all the same.
    let acks = world.router.sent(&a0, "ack").into_iter();
    assert_eq!(acks.filter(|ack| ack.str("type").as_deref() == Some("retry")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_changed_is_told_and_the_old_session_is_retired() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (_b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    b1.messaging.send_text(&a0.lid, "hello", "hello").await.unwrap();
    world.settle().await;
    let old = b1.identity().await;
    // The companion is linked anew under the same number.
    let b1 = world.device(&b, 1).await;
    assert_ne!(b1.identity().await, old);
    b1.messaging.prekeys.upload().await.unwrap();
    b1.messaging.send_text(&a0.lid, "again", "again").await.unwrap();
    world.settle().await;
    assert_eq!(a0.texts().await, ["hello", "again"]);
    let told = |event: &Event| matches!(event, Event::IdentityChanged { implicit: true, .. });
    assert!(a0.events().await.iter().any(told));
    let key = address::key(&b1.lid);
    let record = a0.store.read(move |tx| tx.session(&key)).await.unwrap().unwrap();
    let record = SessionRecord::deserialize(record.expose()).unwrap();
    assert_eq!(record.remote_identity().unwrap().0, b1.identity().await);
}
