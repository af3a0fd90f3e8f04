//! Messages and receipts both ways.

use super::{World, sorted, targets};
use crate::client::event::{Event, ReceiptKind, SendState};
use crate::client::send::SendOutcome;
use crate::store::{Flag, OutgoingState};

#[tokio::test(start_paused = true)]
async fn a_text_reaches_every_device_of_both_sides_and_receipts_come_back() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    let accepted = a1.messaging.send_text(&b.pn, "hello", "key").await.unwrap();
    let outcome = a1.messaging.outcome("key").await.unwrap().unwrap();
    assert!(matches!(outcome, SendOutcome::Sent { server_time: Some(_), phone_missed: false }));
    world.settle().await;

    for device in [&b0, &b1] {
        assert_eq!(device.texts().await, ["hello"]);
        assert!(!device.messages().await[0].from_me);
    }
    let copies = a0.messages().await;
    assert_eq!((copies.len(), copies[0].from_me), (1, true));
    assert_eq!(copies[0].chat, b.lid.to_string());

    let sent = world.router.sent(&a1, "message");
    assert_eq!(sent.len(), 1);
    // Every device but the sending one, all in the namespace of the chat.
    assert_eq!(targets(&sent[0]), sorted(&[&a0, &b0, &b1]));
    assert!(sent[0].find("device-identity").is_some());
    assert!(sent[0].find("reporting").is_some());

    let id = accepted.message_id;
    let row = a1.store.read(|tx| tx.outgoing("key")).await.unwrap().unwrap();
    assert_eq!((row.state, row.message_id.clone()), (OutgoingState::Delivered, id.clone()));
    let events = a1.events().await;
    let delivered = |event: &&Event| matches!(event, Event::Receipt(r) if r.kind == ReceiptKind::Delivered);
    assert_eq!(events.iter().filter(delivered).count(), 2);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Outgoing(p) if matches!(p.state, SendState::Sent { .. })))
    );
    for device in [&a0, &a1, &b0, &b1] {
        assert_eq!(world.router.unanswered(device), 0);
    }

    // An answer turns the ratchet: no more pkmsg, no device identity.
    b1.messaging.send_text(&a.lid, "hi", "k1").await.unwrap();
    world.settle().await;
    a1.messaging.send_text(&b.lid, "again", "k2").await.unwrap();
    b1.messaging.mark_read(&a.lid, &a.lid, vec![id], false).await.unwrap();
    world.settle().await;
    assert_eq!(b1.texts().await, ["hello", "again"]);
    assert_eq!(a1.texts().await, ["hi"]);
    let row = a1.store.read(|tx| tx.outgoing("key")).await.unwrap().unwrap();
    assert_eq!(row.state, OutgoingState::Read);
    assert_eq!(b1.store.read(|tx| tx.owed_receipt_count()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_key_never_sends_twice() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let first = a0.messaging.send_text(&b.lid, "once", "key").await.unwrap();
    world.settle().await;
    let second = a0.messaging.send_text(&b.lid, "once", "key").await.unwrap();
    world.settle().await;
    assert!(!first.known && second.known && first.message_id == second.message_id);
    assert_eq!(b0.texts().await, ["once"]);
    assert_eq!(world.router.sent(&a0, "message").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_chat_with_ourselves_goes_to_the_own_devices_once() {
    let world = World::new();
    let a = world.account(1);
    let (a0, a1, a2) = (world.device(&a, 0).await, world.device(&a, 1).await, world.device(&a, 2).await);
    a1.messaging.send_text(&a.pn, "note", "key").await.unwrap();
    world.settle().await;
    assert_eq!(targets(&world.router.sent(&a1, "message")[0]), sorted(&[&a0, &a2]));
    for device in [&a0, &a2] {
        let messages = device.messages().await;
        assert_eq!((messages.len(), messages[0].from_me), (1, true));
    }
}

#[tokio::test(start_paused = true)]
async fn what_waited_in_the_queue_is_delivered_once_and_answered() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b1) = (world.device(&a, 0).await, {
        let _phone = world.device(&b, 0).await;
        world.device(&b, 1).await
    });
    a0.messaging.send_text(&b.lid, "first", "first").await.unwrap();
    world.settle().await;
    b1.disconnect();
    for at in 0..300 {
        a0.messaging.send_text(&b.lid, &format!("{at}"), &format!("key {at}")).await.unwrap();
    }
    world.settle().await;
    assert_eq!(b1.texts().await, ["first"]);
    world.connect(&b1).await;
    world.settle().await;
    assert_eq!(b1.texts().await.len(), 301);
    assert_eq!(world.router.unanswered(&b1), 0);
    // Delivered again, as after a lost receipt: known, answered, not shown.
    let receipts = world.router.sent(&b1, "receipt").len();
    assert!(receipts < 250, "{receipts} receipts for 301 messages: aggregated where they came together");
}

#[tokio::test(start_paused = true)]
async fn sixty_four_sends_at_once_use_each_counter_once() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let sends = (0..64).map(|at| {
        let (messaging, to) = (std::sync::Arc::clone(&a0.messaging), b.lid.clone());
        tokio::spawn(async move { messaging.send_text(&to, &at.to_string(), &format!("key {at}")).await })
    });
    for send in sends.collect::<Vec<_>>() {
        send.await.unwrap().unwrap();
    }
    world.settle().await;
    assert_eq!(b0.texts().await.len(), 64);
    let mut counters: Vec<u32> = world
        .router
        .sent(&a0, "message")
        .iter()
        .map(|message| {
            let participants = message.find("participants").unwrap();
            let to = participants.find_all("to").find(|to| to.jid("jid").unwrap() == b0.lid).unwrap();
            let bytes = to.find("enc").unwrap().content_bytes().unwrap().into_owned();
            crate::signal::PreKeySignalMessage::parse(&bytes).unwrap().message.counter()
        })
        .collect();
    counters.sort_unstable();
    assert_eq!(counters, (0..64).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_device_that_the_list_lacks_is_shown_and_the_list_is_asked_for() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b0.lid, "first", "first").await.unwrap();
    world.settle().await;
    let asked = world.router.sent(&a0, "iq").len();
    // A session with the companion is there, but the list lost it.
    let b1 = world.device(&b, 1).await;
    b1.messaging.send_text(&a0.lid, "hello", "hello").await.unwrap();
    world.settle().await;
    let name = b.lid.to_string();
    a0.edit(move |tx| {
        let mut list = tx.device_list(&name)?.unwrap();
        list.devices.retain(|device| device.id == 0);
        tx.put_device_list(&list)
    })
    .await;
    b1.messaging.send_text(&a0.lid, "again", "again").await.unwrap();
    world.settle().await;
    assert_eq!(a0.texts().await, ["hello", "again"]);
    let usync = world.router.sent(&a0, "iq").split_off(asked).into_iter();
    assert!(usync.filter(|iq| iq.str("xmlns").unwrap() == "usync").count() >= 1);
    let name = b.lid.to_string();
    let list = a0.store.read(move |tx| tx.device_list(&name)).await.unwrap().unwrap();
    assert!(list.devices.iter().any(|device| device.id == 1));
}

#[tokio::test(start_paused = true)]
async fn with_own_read_receipts_off_reading_by_others_counts_as_delivered() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.edit(|tx| tx.set_flag(Flag::ReadReceiptsOff, true)).await;
    let id = a0.messaging.send_text(&b.lid, "hello", "key").await.unwrap().message_id;
    world.settle().await;
    for played in [false, true] {
        b0.messaging.mark_read(&a.lid, &a.lid, vec![id.clone()], played).await.unwrap();
    }
    world.settle().await;
    let row = a0.store.read(|tx| tx.outgoing("key")).await.unwrap().unwrap();
    assert_eq!(row.state, OutgoingState::Delivered);
    let kinds: Vec<ReceiptKind> = a0
        .events()
        .await
        .into_iter()
        .filter_map(|event| if let Event::Receipt(receipt) = event { Some(receipt.kind) } else { None })
        .collect();
    assert!(kinds.len() >= 2 && kinds.iter().all(|kind| *kind == ReceiptKind::Delivered), "{kinds:?}");
    assert_eq!(world.router.unanswered(&a0), 0);
}
