//! Key fetches for sends and our own keys at the server (protocol 05a §5, §5.1, §8).

use std::time::Duration;

use super::{Device, Fault, IqFault, World};
use crate::client::devices::address;
use crate::client::send::SendOutcome;
use crate::store::OutgoingState;
use crate::wire::Node;

/// The users of the key fetches of a device, with their reasons.
fn fetched(world: &World, device: &Device) -> Vec<(String, Option<String>)> {
    let users = |iq: Node| {
        let key = iq.find("key").unwrap().clone();
        let user = |user: &Node| {
            (user.jid("jid").unwrap().to_string(), user.str("reason").map(|reason| reason.into_owned()))
        };
        key.find_all("user").map(user).collect::<Vec<_>>()
    };
    world.router.asked(device, "key").into_iter().flat_map(users).collect()
}

#[tokio::test(start_paused = true)]
async fn a_fetch_names_the_reason_identity_only_after_the_server_announced_a_new_one() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b.lid, "first", "first").await.unwrap();
    world.settle().await;
    let notice = Node::new("notification")
        .attr("from", &b.lid)
        .attr("id", "identity")
        .attr("type", "encrypt")
        .attr("t", "1")
        .child(Node::new("identity"));
    a0.messaging.stanza(notice).await;
    world.settle().await;
    a0.messaging.send_text(&b.lid, "second", "second").await.unwrap();
    world.settle().await;
    // Lost by us: no reason.
    let key = address::key(&b0.lid);
    a0.edit(move |tx| tx.delete_session(&key).map(drop)).await;
    a0.messaging.send_text(&b.lid, "third", "third").await.unwrap();
    world.settle().await;
    let reasons: Vec<_> = fetched(&world, &a0).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, [None, Some("identity".to_owned()), None]);
    assert_eq!(b0.texts().await, ["first", "second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn sends_at_once_that_need_the_same_device_share_one_fetch() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    for force in [false, true] {
        let before = fetched(&world, &a0).len();
        let wishes = (0..20).map(|_| {
            let (messaging, to) = (std::sync::Arc::clone(&a0.messaging), b0.lid.clone());
            tokio::spawn(async move {
                let devices = &messaging.devices;
                if force { devices.new_sessions(&[to]).await } else { devices.sessions(&[to]).await }
            })
        });
        for wish in wishes.collect::<Vec<_>>() {
            wish.await.unwrap().unwrap();
        }
        let fetches = fetched(&world, &a0).len() - before;
        assert!((1..=2).contains(&fetches), "{fetches}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_the_recipients_phone_goes_to_the_others_and_says_so() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let b1 = {
        // The phone is listed, but the server has no keys of it.
        world.router.register(&b, 0, Vec::new());
        world.device(&b, 1).await
    };
    let phone = b.phone.public().0.to_vec();
    let name = address::key(&b.lid);
    a0.edit(move |tx| tx.save_identity(&name, &phone, 1).map(drop)).await;
    a0.messaging.send_text(&b.lid, "text", "text").await.unwrap();
    match a0.messaging.outcome("text").await.unwrap().unwrap() {
        SendOutcome::Sent { phone_missed, .. } => assert!(phone_missed),
        other => panic!("{other:?}"),
    }
    world.settle().await;
    assert_eq!(b1.texts().await, ["text"]);
    let usync = world.router.asked(&a0, "usync").len();
    assert_eq!(usync, 2, "its list was refreshed once before");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_device_of_the_recipient_can_get_is_not_sent_although_own_devices_could() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    world.router.register(&b, 0, Vec::new());
    a0.messaging.send_text(&b.lid, "text", "text").await.unwrap();
    assert!(matches!(a0.messaging.outcome("text").await.unwrap(), Some(SendOutcome::Failed { .. })));
    world.settle().await;
    assert!(world.router.sent(&a0, "message").is_empty() && a1.texts().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_refused_as_a_whole_with_406_is_made_once_more_after_a_fresh_list() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.iq_fault("key", IqFault::Refuse { code: 406, backoff: None });
    a0.messaging.send_text(&b.lid, "text", "text").await.unwrap();
    world.settle().await;
    assert_eq!(b0.texts().await, ["text"]);
    assert_eq!((world.router.asked(&a0, "usync").len(), world.router.asked(&a0, "key").len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_answer_is_lost_offers_the_same_keys_again() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    let before = world.router.asked(&a0, "list").len();
    world.router.iq_fault("list", IqFault::Lose);
    a0.messaging.prekeys.upload().await.unwrap();
    let uploads = world.router.asked(&a0, "list").split_off(before);
    assert_eq!(uploads.len(), 2);
    assert_eq!(uploads[0].find("list"), uploads[1].find("list"));
    assert_eq!(uploads[0].find("skey"), uploads[1].find("skey"));
}

#[tokio::test(start_paused = true)]
async fn uploads_that_are_wanted_at_once_are_one() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    let before = world.router.asked(&a0, "list").len();
    let wishes = (0..8).map(|_| {
        let messaging = std::sync::Arc::clone(&a0.messaging);
        tokio::spawn(async move { messaging.prekeys.upload().await })
    });
    for wish in wishes.collect::<Vec<_>>() {
        wish.await.unwrap().unwrap();
    }
    assert_eq!(world.router.asked(&a0, "list").len() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn an_upload_waits_as_long_as_a_429_says() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    world.router.iq_fault("list", IqFault::Refuse { code: 429, backoff: Some(300) });
    let start = a0.messaging.ctx.clock.wall_ms();
    a0.messaging.prekeys.upload().await.unwrap();
    let waited = a0.messaging.ctx.clock.wall_ms() - start;
    assert!((300_000..305_000).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_400_to_a_lid_of_an_account_without_evidence_is_sent_once_to_the_number_and_evidence_ends_that() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.edit(|tx| {
        let mut link = tx.link()?.unwrap();
        link.lid_migrated = false;
        tx.set_link(Some(&link))
    })
    .await;
    world.router.fault(Fault::Refuse(400));
    a0.messaging.send_text(&b.pn, "text", "text").await.unwrap();
    assert!(matches!(a0.messaging.outcome("text").await.unwrap(), Some(SendOutcome::Sent { .. })));
    world.settle().await;
    let sent = world.router.sent(&a0, "message");
    assert_eq!(sent.iter().map(|m| m.jid("to").unwrap()).collect::<Vec<_>>(), [b.lid.clone(), b.pn.clone()]);
    assert_eq!(sent[0].str("id"), sent[1].str("id"));
    let to = |message: &Node| message.find("participants").unwrap().find("to").unwrap().jid("jid").unwrap();
    assert!(to(&sent[0]).is_lid() && to(&sent[1]).is_pn());
    assert_eq!(b0.texts().await, ["text"]);
    // The server's property is evidence; so would be the phone's word.
    a0.edit(|tx| {
        let values = vec![(9435, "1".to_owned())];
        tx.set_props(&crate::store::Props { values, ..Default::default() })
    })
    .await;
    a0.messaging.send_text(&b.pn, "by lid", "by lid").await.unwrap();
    world.settle().await;
    assert_eq!(world.router.sent(&a0, "message").pop().unwrap().jid("to").unwrap(), b.lid);
    // And with evidence a 400 is what it is.
    world.router.fault(Fault::Refuse(400));
    a0.messaging.send_text(&b.lid, "wrong", "wrong").await.unwrap();
    assert!(matches!(a0.messaging.outcome("wrong").await.unwrap(), Some(SendOutcome::Failed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_463_fails_at_once_is_not_sent_again_within_a_day_and_issues_one_token() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.fault(Fault::Refuse(463));
    a0.messaging.send_text(&b.pn, "text", "text").await.unwrap();
    assert!(matches!(a0.messaging.outcome("text").await.unwrap(), Some(SendOutcome::Failed { .. })));
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(world.router.sent(&a0, "message").len(), 1);
    assert_eq!(world.router.asked(&a0, "tokens").len(), 1);
    let row = a0.store.read(|tx| tx.outgoing("text")).await.unwrap().unwrap();
    assert_eq!((row.state, row.error), (OutgoingState::Failed, Some(463)));
}

#[tokio::test(start_paused = true)]
async fn an_ack_that_calls_a_lid_stale_asks_for_it_at_most_once_a_minute() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let lid_queries = |world: &World| {
        let asked = world.router.asked(&a0, "usync").into_iter();
        asked.filter(|iq| iq.find("usync").unwrap().str("context").unwrap() == "background").count()
    };
    for (key, expected) in [("1", 1), ("2", 1), ("3", 2)] {
        world.router.fault(Fault::StaleLid);
        a0.messaging.send_text(&b.lid, "text", key).await.unwrap();
        world.settle().await;
        assert_eq!(lid_queries(&world), expected, "{key}");
        if key == "2" {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
}
