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

/// The registration id of a device, as it stands in its requests.
async fn registration(device: &Device) -> u32 {
    device.store.read(|tx| tx.keys()).await.unwrap().unwrap().registration_id
}

/// A request of a device with its true registration id.
async fn honest_request(by: &Device, id: &str, count: u32, recipient: Option<&Jid>) -> Node {
    let registration = registration(by).await.to_be_bytes().to_vec();
    Node::new("receipt")
        .attr("from", by.lid.in_device_form())
        .attr("id", id.to_owned())
        .attr("type", "retry")
        .attr("t", "1")
        .opt_attr("recipient", recipient)
        .child(
            Node::new("retry").attr("v", "1").attr("count", count).attr("id", id.to_owned()).attr("t", "1"),
        )
        .child(Node::new("registration").bytes(registration))
}

/// The resends of a device: to one device each.
fn resends(world: &World, device: &Device) -> Vec<Node> {
    world.router.sent(device, "message").into_iter().filter(|message| message.find("enc").is_some()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_own_device_gets_the_resend_as_a_copy_for_own_devices_that_names_the_chat() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    let _b0 = world.device(&b, 0).await;
    // The copy is not confirmed: it never came.
    a1.disconnect();
    let id = a0.messaging.send_text(&b.lid, "hello", "hello").await.unwrap().message_id;
    world.settle().await;
    let asked = honest_request(&a1, &id, 1, Some(&b.lid)).await;
    a0.messaging.stanza(asked).await;
    world.settle().await;
    let again = resends(&world, &a0);
    assert_eq!(again.len(), 1);
    assert_eq!(
        (again[0].jid("to").unwrap(), again[0].jid("recipient").unwrap()),
        (a1.lid.clone(), b.lid.clone())
    );
    assert!(again[0].find("reporting").is_none() && again[0].find("tctoken").is_none());
    assert_eq!(again[0].find("enc").unwrap().str("count").unwrap(), "1");
    world.connect(&a1).await;
    world.settle().await;
    let copies = a1.messages().await;
    assert_eq!((copies.len(), copies[0].from_me, copies[0].chat.clone()), (1, true, b.lid.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_companion_with_another_identity_gets_nothing_and_a_phone_only_what_nobody_has_confirmed() {
    for confirmed in [false, true] {
        let world = World::new();
        let (a, b) = (world.account(1), world.account(2));
        let a0 = world.device(&a, 0).await;
        let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
        b0.disconnect();
        if !confirmed {
            b1.disconnect();
        }
        let id = a0.messaging.send_text(&b.lid, "hello", "hello").await.unwrap().message_id;
        world.settle().await;
        for device in [&b0, &b1] {
            let key = address::key(&device.lid);
            a0.edit(move |tx| tx.save_identity(&key, &[9; 32], 1).map(drop)).await;
        }
        request(&world, &b1, &a0, &id, 1).await;
        assert!(resends(&world, &a0).is_empty());
        request(&world, &b0, &a0, &id, 1).await;
        assert_eq!(resends(&world, &a0).len(), usize::from(!confirmed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_messages_that_are_asked_for_in_one_second_are_twenty_resends_and_the_rest_wait_in_order() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    let mut ids = Vec::new();
    for at in 0..100 {
        let accepted = a0.messaging.send_text(&b.lid, "text", &at.to_string()).await.unwrap();
        ids.push(accepted.message_id);
    }
    world.settle().await;
    for id in &ids {
        let asked = honest_request(&b0, id, 1, None).await;
        a0.messaging.stanza(asked).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    assert_eq!(resends(&world, &a0).len(), 20);
    // Nothing else is held up by those that wait.
    a0.messaging.send_text(&b.lid, "text", "meanwhile").await.unwrap();
    assert!(a0.messaging.outcome("meanwhile").await.unwrap().is_some());
    tokio::time::sleep(std::time::Duration::from_secs(500)).await;
    let again = resends(&world, &a0);
    let order: Vec<String> = again.iter().map(|m| m.str("id").unwrap().into_owned()).collect();
    assert_eq!(order, ids);
}

#[tokio::test(start_paused = true)]
async fn the_tenth_request_of_a_device_for_a_message_is_ignored() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    let id = a0.messaging.send_text(&b.lid, "text", "text").await.unwrap().message_id;
    world.settle().await;
    for _ in 0..20 {
        let asked = honest_request(&b0, &id, 1, None).await;
        a0.messaging.stanza(asked).await;
        world.settle().await;
    }
    assert_eq!(resends(&world, &a0).len(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_made_anew_for_a_device_that_keeps_asking_without_keys_once_an_hour() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    let mut ids = Vec::new();
    for at in 0..3 {
        let accepted = a0.messaging.send_text(&b.lid, "text", &at.to_string()).await.unwrap();
        ids.push(accepted.message_id);
    }
    world.settle().await;
    let fetches = || world.router.asked(&a0, "key").len();
    let before = fetches();
    for (id, count, more) in [(&ids[0], 1, 0), (&ids[0], 2, 1), (&ids[1], 2, 1), (&ids[2], 2, 2)] {
        if more == 2 {
            tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        }
        let asked = honest_request(&b0, id, count, None).await;
        a0.messaging.stanza(asked).await;
        world.settle().await;
        assert_eq!(fetches() - before, more, "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_waited_in_the_queue_are_not_taken_where_no_session_has_their_registration_id() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    let id = a0.messaging.send_text(&b.lid, "text", "text").await.unwrap().message_id;
    world.settle().await;
    forget(&a0, &b0.lid).await;
    let own = b0.store.read(|tx| tx.keys()).await.unwrap().unwrap();
    let key = |tag: &'static str| {
        Node::new(tag)
            .child(Node::new("id").bytes(vec![0, 0, 1]))
            .child(Node::new("value").bytes(vec![9; 32]))
    };
    let keys = Node::new("keys")
        .child(Node::new("type").bytes(vec![5]))
        .child(Node::new("identity").bytes(own.identity.public.to_vec()))
        .child(key("key"))
        .child(key("skey").child(Node::new("signature").bytes(vec![1; 64])));
    let asked = honest_request(&b0, &id, 2, None).await.attr("offline", "1").child(keys);
    a0.messaging.stanza(asked).await;
    world.settle().await;
    // Nothing of them was used: the keys came from the server.
    assert_eq!(world.router.asked(&a0, "key").len(), 1, "none for this request, which brought keys");
    assert!(resends(&world, &a0).is_empty());
    let key = address::key(&b0.lid);
    assert!(!a0.store.read(move |tx| tx.has_session(&key)).await.unwrap());
}
