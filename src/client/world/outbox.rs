//! The server's word on our messages, and what survives a lost connection (protocol 05a §12).

use super::{Fault, World, targets};
use crate::client::send::{Refusal, SendOutcome};

#[tokio::test(start_paused = true)]
async fn a_refusal_is_typed_and_463_is_never_sent_again() {
    let world = World::new();
    let (a, b, c) = (world.account(1), world.account(2), world.account(3));
    let a0 = world.device(&a, 0).await;
    let (b0, c0) = (world.device(&b, 0).await, world.device(&c, 0).await);
    for (n, to) in [&b, &c].into_iter().enumerate() {
        // Known chats, so that no refusal costs a new one.
        a0.messaging.send_text(&to.lid, "hello", &format!("hello {n}")).await.unwrap();
        world.settle().await;
    }
    // 463 closes its chat, 475 every chat: they come last.
    let table = [
        (479, Refusal::Schema, &b),
        (473, Refusal::BusinessContent, &b),
        (404, Refusal::NotFound, &b),
        (403, Refusal::NotAllowed, &b),
        (499, Refusal::Other(499), &b),
        (463, Refusal::NotTrusted, &b),
        (475, Refusal::ChatCap, &c),
    ];
    for (code, meaning, to) in table {
        world.router.fault(Fault::Refuse(code));
        let key = format!("key {code}");
        let before = world.router.sent(&a0, "message").len();
        a0.messaging.send_text(&to.lid, "text", &key).await.unwrap();
        match a0.messaging.outcome(&key).await.unwrap().unwrap() {
            SendOutcome::Failed { why, .. } => assert_eq!(why, meaning),
            other => panic!("{other:?}"),
        }
        world.settle().await;
        assert_eq!(world.router.sent(&a0, "message").len(), before + 1, "{code} is not sent again");
    }
    assert_eq!((b0.texts().await, c0.texts().await), (vec!["hello".to_owned()], vec!["hello".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn server_trouble_and_throttling_send_the_same_bytes_again() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    for code in [503, 429] {
        let before = world.router.sent(&a0, "message").len();
        world.router.fault(Fault::Refuse(code));
        a0.messaging.send_text(&b.lid, "text", &format!("key {code}")).await.unwrap();
        let outcome = a0.messaging.outcome(&format!("key {code}")).await.unwrap().unwrap();
        assert!(matches!(outcome, SendOutcome::Sent { .. }), "{outcome:?}");
        let sent = world.router.sent(&a0, "message").split_off(before);
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], sent[1]);
    }
    world.settle().await;
    assert_eq!(b0.texts().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_429_with_a_backoff_holds_every_send_back_for_exactly_so_long() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.fault(Fault::Throttle(600));
    let start = a0.messaging.ctx.clock.wall_ms();
    a0.messaging.send_text(&b.lid, "first", "first").await.unwrap();
    world.settle().await;
    a0.messaging.send_text(&b.lid, "second", "second").await.unwrap();
    for key in ["first", "second"] {
        let outcome = a0.messaging.outcome(key).await.unwrap().unwrap();
        assert!(matches!(outcome, SendOutcome::Sent { .. }), "{outcome:?}");
        let waited = a0.messaging.ctx.clock.wall_ms() - start;
        assert!((600_000..602_000).contains(&waited), "{waited}");
    }
    assert_eq!(world.router.sent(&a0, "message").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_an_ack_the_identical_bytes_go_again_after_a_reconnect_and_arrive_once() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    // Away, so that no receipt says that the server has it.
    b0.disconnect();
    world.router.fault(Fault::LoseAck);
    a0.messaging.send_text(&b.lid, "text", "key").await.unwrap();
    world.settle().await;
    a0.disconnect();
    world.settle().await;
    world.connect(&a0).await;
    let outcome = a0.messaging.outcome("key").await.unwrap().unwrap();
    assert!(matches!(outcome, SendOutcome::Sent { .. }));
    let sent = world.router.sent(&a0, "message");
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]));
    world.connect(&b0).await;
    world.settle().await;
    assert_eq!(b0.texts().await, ["text"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_identical_bytes_go_again() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    world.router.fault(Fault::LoseAck);
    a0.messaging.send_text(&b.lid, "text", "key").await.unwrap();
    world.settle().await;
    let (store, pn, lid) = (a0.store.clone(), a0.pn.clone(), a0.lid.clone());
    a0.disconnect();
    drop(a0);
    let again = world.start(store, pn, lid).await;
    assert!(matches!(again.messaging.outcome("key").await.unwrap(), Some(SendOutcome::Sent { .. })));
    let sent = world.router.sent(&again, "message");
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]));
    world.connect(&b0).await;
    world.settle().await;
    assert_eq!(b0.texts().await, ["text"]);
}

#[tokio::test(start_paused = true)]
async fn a_row_of_more_than_a_day_ends_as_unknown() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    world.router.fault(Fault::LoseAck);
    world.router.fault(Fault::LoseAck);
    a0.messaging.send_text(&b.lid, "text", "key").await.unwrap();
    world.settle().await;
    a0.disconnect();
    tokio::time::sleep(std::time::Duration::from_secs(25 * 60 * 60)).await;
    world.connect(&a0).await;
    assert_eq!(a0.messaging.outcome("key").await.unwrap(), Some(SendOutcome::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_outcome_is_unknown_is_sent_again_if_the_caller_wants_it_with_its_id_and_anew() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.fault(Fault::Refuse(429));
    a0.messaging.send_text(&b.lid, "text", "key").await.unwrap();
    world.settle().await;
    assert!(!a0.messaging.send_unknown_again("key").await.unwrap());
    a0.disconnect();
    tokio::time::sleep(std::time::Duration::from_secs(25 * 60 * 60)).await;
    world.connect(&a0).await;
    assert_eq!(a0.messaging.outcome("key").await.unwrap(), Some(SendOutcome::Unknown));
    assert!(a0.messaging.send_unknown_again("key").await.unwrap());
    assert!(matches!(a0.messaging.outcome("key").await.unwrap(), Some(SendOutcome::Sent { .. })));
    let sent = world.router.sent(&a0, "message");
    assert_eq!((sent.len(), sent[0].str("id")), (2, sent[1].str("id")));
    assert_ne!(sent[0].find("participants"), sent[1].find("participants"));
    world.settle().await;
    assert_eq!(b0.texts().await, ["text"]);
}

#[tokio::test(start_paused = true)]
async fn a_restored_store_sends_nothing_as_it_was_stored() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    world.router.fault(Fault::LoseAck);
    a0.messaging.send_text(&b.lid, "text", "key").await.unwrap();
    world.settle().await;
    let (store, pn, lid) = a0.stop();
    store.write(|tx| tx.set_flag(crate::store::Flag::Restored, true)).await.unwrap();
    let a0 = world.start(store, pn, lid).await;
    assert!(matches!(a0.messaging.outcome("key").await.unwrap(), Some(SendOutcome::Sent { .. })));
    let sent = world.router.sent(&a0, "message");
    assert_eq!((sent.len(), sent[0].str("id")), (2, sent[1].str("id")));
    assert_ne!(sent[0].find("participants"), sent[1].find("participants"));
}

#[tokio::test(start_paused = true)]
async fn an_ack_that_comes_after_its_time_is_the_servers_word_all_the_same() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    (0..2).for_each(|_| world.router.fault(Fault::LoseAck));
    let id = a0.messaging.send_text(&b.lid, "text", "key").await.unwrap().message_id;
    tokio::time::sleep(std::time::Duration::from_secs(200)).await;
    let node = crate::wire::Node::new("ack")
        .attr("class", "message")
        .attr("id", id)
        .attr("from", &b.lid)
        .attr("t", "1760000001");
    a0.messaging.ack(crate::stanza::ack::ServerAck::parse(&node).unwrap());
    let outcome = a0.messaging.outcome("key").await.unwrap();
    assert_eq!(outcome, Some(SendOutcome::Sent { server_time: Some(1_760_000_001), phone_missed: false }));
}

#[tokio::test(start_paused = true)]
async fn a_stanza_that_the_server_could_not_read_counts_for_the_chat_that_is_under_way() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    b0.disconnect();
    world.router.fault(Fault::LoseAck);
    a0.messaging.send_text(&b.lid, "text", "key").await.unwrap();
    world.settle().await;
    for _ in 0..3 {
        a0.messaging.unreadable().await.unwrap();
    }
    a0.messaging.send_text(&b.lid, "text", "next").await.unwrap();
    match a0.messaging.outcome("next").await.unwrap().unwrap() {
        SendOutcome::Failed { why, .. } => assert_eq!(why, Refusal::ChatStopped),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_hash_in_the_ack_reaches_exactly_the_missed_devices_once_under_the_same_id() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let (b0, b1) = (world.device(&b, 0).await, world.device(&b, 1).await);
    world.router.hide(&b1, true);
    a0.messaging.send_text(&b.lid, "first", "first").await.unwrap();
    world.settle().await;
    world.router.hide(&b1, false);
    world.router.fault(Fault::Phash);
    world.router.fault(Fault::Phash);
    a0.messaging.send_text(&b.lid, "second", "second").await.unwrap();
    world.settle().await;
    let sent = world.router.sent(&a0, "message").split_off(1);
    assert_eq!(sent.len(), 2, "and no third");
    assert_eq!(targets(&sent[0]), [b0.lid.to_string()]);
    assert_eq!(targets(&sent[1]), [b1.lid.to_string()]);
    assert_eq!(sent[1].str("device_fanout").unwrap(), "false");
    assert_eq!(sent[0].str("id"), sent[1].str("id"));
    assert_eq!(b1.texts().await, ["second"]);
    assert_eq!(b0.texts().await, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_gone_is_left_out_and_the_others_get_the_message() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let a0 = world.device(&a, 0).await;
    let b0 = world.device(&b, 0).await;
    // Listed, but without keys at the server: 406.
    world.router.register(&b, 7, Vec::new());
    a0.messaging.send_text(&b.lid, "text", "key").await.unwrap();
    assert!(matches!(a0.messaging.outcome("key").await.unwrap(), Some(SendOutcome::Sent { .. })));
    world.settle().await;
    assert_eq!(b0.texts().await, ["text"]);
    let asked = world.router.sent(&a0, "iq");
    let usync = asked.iter().filter(|iq| iq.str("xmlns").unwrap() == "usync").count();
    assert_eq!(usync, 2, "the list is refreshed once");
}
