//! Device lists that are old, overtaken, forged or expected to be younger (protocol 05a §2, §3).

use std::time::Duration;

use super::{Account, Device, IqFault, World, targets};
use crate::client::devices::{address, devices_of};
use crate::crypto::{KeyPair, os_rng, random_bytes};
use crate::proto::{DeviceListMetadata, Message, MessageContextInfo};
use crate::signal::adv::Hosting;
use crate::signal::adv::key_index::KeyIndexList;
use crate::store::DeviceList;
use crate::wire::{Jid, Node};

const DAY: u64 = 86_400;
const TS: u64 = 1_760_000_000;

/// A `devices` notification: `operation` names these companions, in a list that the phone signs.
fn notification(account: &Account, operation: &'static str, ids: &[u16], valid: &[u16], ts: u64) -> Node {
    let signed = KeyIndexList {
        raw_id: 5,
        timestamp: ts,
        current_index: 50,
        valid_indexes: valid.iter().map(|id| u32::from(*id)).collect(),
        account: Hosting::Plain,
    };
    let signed = signed.sign(&account.phone, false, &random_bytes(&mut os_rng()));
    let device =
        |id: &u16| Node::new("device").attr("jid", account.lid.with_device(*id)).attr("key-index", *id);
    let change = Node::new(operation)
        .children(ids.iter().map(device))
        .child(Node::new("key-index-list").attr("ts", ts).bytes(signed));
    Node::new("notification")
        .attr("from", &account.lid)
        .attr("id", format!("{operation}{ts}"))
        .attr("type", "devices")
        .attr("t", ts)
        .child(change)
}

async fn list(device: &Device, user: &Jid) -> Option<DeviceList> {
    let name = user.to_user().to_string();
    device.store.read(move |tx| tx.device_list(&name)).await.unwrap()
}

async fn known(device: &Device, user: &Jid) -> Vec<u16> {
    let user = user.clone();
    let listed = device.store.read(move |tx| devices_of(tx, &user)).await.unwrap();
    listed.unwrap_or_default().iter().map(Jid::device).collect()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_a_notification_has_overtaken_is_not_taken_but_asked_for_again() {
    for has_record in [false, true] {
        let world = World::new();
        let (a, b) = (world.account(1), world.account(2));
        let a0 = world.device(&a, 0).await;
        let (_b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
        if has_record {
            a0.messaging.devices.lists(std::slice::from_ref(&b.lid), false).await.unwrap();
        }
        let asked = world.router.asked(&a0, "usync").len();
        world.router.hold_usync();
        let messaging = std::sync::Arc::clone(&a0.messaging);
        let user = b.lid.clone();
        let fetch = tokio::spawn(async move { messaging.devices.lists(&[user], true).await });
        world.settle().await;
        // The answer is made, with the companion in it; then the companion goes.
        world.router.hide(&b1, true);
        a0.messaging.stanza(notification(&b, "remove", &[1], &[], TS + 10)).await;
        world.router.list_time(&b1, TS + 10);
        world.settle().await;
        world.router.release_usync();
        fetch.await.unwrap().unwrap();
        assert_eq!(world.router.asked(&a0, "usync").len() - asked, 2, "asked again");
        assert_eq!(known(&a0, &b.lid).await, [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_without_a_list_makes_none_and_one_that_contradicts_itself_drops_it() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.stanza(notification(&b, "add", &[1], &[1], TS + 5)).await;
    world.settle().await;
    assert_eq!(list(&a0, &b.lid).await, None);
    a0.messaging.devices.lists(std::slice::from_ref(&b.lid), false).await.unwrap();
    a0.messaging.stanza(notification(&b, "add", &[1], &[1], TS + 6)).await;
    world.settle().await;
    assert_eq!(known(&a0, &b.lid).await, [0, 1]);
    let mut wrong = notification(&b, "add", &[2], &[1, 2], TS + 7);
    let crate::wire::Content::Nodes(operations) = &mut wrong.content else { panic!("no operation") };
    let crate::wire::Content::Nodes(parts) = &mut operations[0].content else { panic!("no device") };
    parts[0] = parts[0].clone().attr("lid", b.lid.with_device(9));
    a0.messaging.stanza(wrong).await;
    world.settle().await;
    assert_eq!(list(&a0, &b.lid).await, None);
    // Without a signed list it is refused, and the list goes as well.
    a0.messaging.devices.lists(std::slice::from_ref(&b.lid), false).await.unwrap();
    let bare = Node::new("notification").attr("from", &b.lid).attr("id", "bare").attr("type", "devices");
    a0.messaging.stanza(bare.attr("t", TS).child(Node::new("add"))).await;
    world.settle().await;
    assert_eq!(list(&a0, &b.lid).await, None);
    let nack = world.router.sent(&a0, "ack").into_iter().find(|ack| ack.str("id").as_deref() == Some("bare"));
    assert_eq!(nack.unwrap().str("error").unwrap(), "487");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_was_taken_before_the_phone_was_known_is_verified_once_it_is() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    a0.messaging.devices.lists(std::slice::from_ref(&b.lid), false).await.unwrap();
    let before = list(&a0, &b.lid).await.unwrap();
    assert!(!before.verified && before.signed.is_some());
    a0.messaging.send_text(&b.lid, "text", "text").await.unwrap();
    world.settle().await;
    let after = list(&a0, &b.lid).await.unwrap();
    assert!(after.verified && after.signed.is_none());
    assert_eq!(targets(&world.router.sent(&a0, "message")[0]), super::sorted(&[&b0, &b1]));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_the_phone_did_not_sign_loses_its_companions_before_anything_is_encrypted_for_them() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (b0, _b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    // The server adds a device of its own, in a list with a time far ahead.
    world.router.forge(&b0, &KeyPair::generate(&mut os_rng()));
    world.router.list_time(&b0, TS + 1_000_000);
    a0.messaging.send_text(&b.lid, "text", "text").await.unwrap();
    world.settle().await;
    let sent = world.router.sent(&a0, "message");
    assert!(sent.iter().all(|message| targets(message) == [b0.lid.to_string()]), "{sent:?}");
    assert_eq!(known(&a0, &b.lid).await, [0]);
    // The right list counts, although its time is older.
    world.router.forge(&b0, &b.phone);
    world.router.list_time(&b0, TS);
    a0.messaging.send_text(&b.lid, "again", "again").await.unwrap();
    world.settle().await;
    assert_eq!(known(&a0, &b.lid).await, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_younger_time_in_a_message_is_expected_and_goes_out_with_the_next_query() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let users = [b.lid.clone(), a.pn.clone()];
    a0.messaging.devices.lists(&users, false).await.unwrap();
    let told = |sender: u64, recipient: u64| Message {
        conversation: Some("text".to_owned()),
        message_context_info: Some(Box::new(MessageContextInfo {
            device_list_metadata: Some(Box::new(DeviceListMetadata {
                sender_timestamp: Some(sender),
                recipient_timestamp: Some(recipient),
                ..Default::default()
            })),
            ..Default::default()
        })),
        ..Message::default()
    };
    // As old as ours: nothing to expect.
    b0.messaging.send(&a.lid, told(TS, TS), "old").await.unwrap();
    world.settle().await;
    assert_eq!(list(&a0, &b.lid).await.unwrap().expected_ts, None);
    b0.messaging.send(&a.lid, told(TS + 9, TS + 7), "new").await.unwrap();
    world.settle().await;
    let expected = |list: Option<DeviceList>| list.unwrap().expected_ts;
    assert_eq!(expected(list(&a0, &b.lid).await), Some(1_760_000_009));
    assert_eq!(expected(list(&a0, &a.lid).await), Some(1_760_000_007));
    world.router.list_time(&b0, TS + 9);
    a0.messaging.devices.lists(std::slice::from_ref(&b.lid), true).await.unwrap();
    let query = world.router.asked(&a0, "usync").pop().unwrap();
    let user = query.find("usync").unwrap().find("list").unwrap().find("user").unwrap().clone();
    let devices = user.find("devices").unwrap();
    assert_eq!((devices.u64("ts"), devices.u64("expected_ts")), (Some(TS), Some(TS + 9)));
    assert!(devices.get("device_hash").is_some());
    assert_eq!(expected(list(&a0, &b.lid).await), None, "the answer has that time");
}

#[tokio::test(start_paused = true)]
async fn the_daily_round_asks_for_old_lists_and_takes_companions_out_of_very_old_ones() {
    let world = World::new();
    let (a, b, c) = (world.account(1), world.account(2), world.account(3));
    let a0 = world.device(&a, 0).await;
    let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    let (c0, _c1) = (world.device(&c, 0).await, world.device(&c, 1).await);
    world.router.list_time(&c0, TS + 20 * DAY);
    for (account, key) in [(&b, "b"), (&c, "c")] {
        a0.messaging.send_text(&account.lid, "text", key).await.unwrap();
    }
    world.settle().await;
    let session = address::key(&b1.lid);
    let has = |name: String| a0.store.read(move |tx| tx.has_session(&name));
    assert!(has(session.clone()).await.unwrap());
    let asked = |since: usize| {
        let asked = world.router.asked(&a0, "usync").split_off(since);
        asked.iter().map(|iq| format!("{iq:?}")).collect::<Vec<_>>()
    };
    // After 28 days one is old, the other is not.
    tokio::time::sleep(Duration::from_secs(28 * DAY)).await;
    let since = world.router.asked(&a0, "usync").len();
    a0.messaging.devices.go_over().await.unwrap();
    let round = asked(since);
    assert_eq!(round.len(), 1);
    assert!(round[0].contains(&b.lid.to_string()) && !round[0].contains(&c.lid.to_string()));
    // The server has nothing newer; after 35 days, and while it does not answer, the companions are gone.
    tokio::time::sleep(Duration::from_secs(8 * DAY)).await;
    world.router.iq_fault("usync", IqFault::Refuse { code: 503, backoff: None });
    assert!(a0.messaging.devices.go_over().await.is_err());
    assert_eq!(known(&a0, &b.lid).await, [0]);
    assert!(!has(session).await.unwrap());
    assert_eq!(known(&a0, &c.lid).await, [0, 1]);
    // A fresh list brings them back.
    world.router.list_time(&b0, TS + 36 * DAY);
    a0.messaging.send_text(&b.lid, "again", "again").await.unwrap();
    world.settle().await;
    assert_eq!(known(&a0, &b.lid).await, [0, 1]);
    assert_eq!(b1.texts().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_wishes_for_one_list_are_one_question() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let wishes = (0..50).map(|_| {
        let (messaging, user) = (std::sync::Arc::clone(&a0.messaging), b.lid.clone());
        tokio::spawn(async move { messaging.devices.lists(&[user], true).await })
    });
    for wish in wishes.collect::<Vec<_>>() {
        wish.await.unwrap().unwrap();
    }
    // One that was under way when the others came, perhaps, and one for all of them.
    assert!(world.router.asked(&a0, "usync").len() <= 2);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_for_the_number_is_no_answer_and_the_lid_is_asked_for() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.empty_by_number(&b0);
    a0.messaging.send_text(&b.pn, "text", "text").await.unwrap();
    world.settle().await;
    assert_eq!(b0.texts().await, ["text"]);
    let sent = world.router.sent(&a0, "message");
    assert_eq!(targets(&sent[0]), [b0.lid.to_string()], "no phone under the number is made of it");
}

#[tokio::test(start_paused = true)]
async fn the_daily_round_is_once_a_day_also_across_restarts() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (b0, _b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    // Old all the time, so that every round asks for it.
    world.router.list_time(&b0, TS - 30 * DAY);
    a0.messaging.devices.lists(std::slice::from_ref(&b.lid), false).await.unwrap();
    let before = world.router.asked(&a0, "usync").len();
    let live = |device: &Device| {
        let messaging = std::sync::Arc::clone(&device.messaging);
        tokio::spawn(async move { messaging.run_daily().await })
    };
    let rounds = |device: &Device| world.router.asked(device, "usync").len() - before;
    let task = live(&a0);
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(rounds(&a0), 1);
    tokio::time::sleep(Duration::from_secs(DAY)).await;
    assert_eq!(rounds(&a0), 2);
    task.abort();
    let (store, pn, lid) = a0.stop();
    let a0 = world.start(store, pn, lid).await;
    let task = live(&a0);
    tokio::time::sleep(Duration::from_secs(DAY - 200)).await;
    assert_eq!(rounds(&a0), 2);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(rounds(&a0), 3);
    task.abort();
}
