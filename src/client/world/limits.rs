//! Limits that a client keeps by itself (protocol 05d §10, 05a §12).

use std::time::Duration;

use super::{Device, Fault, IqFault, World};
use crate::client::line::{IqError, Line};
use crate::client::send::{Pacing, Refusal, SendOutcome};
use crate::stanza::prekeys;
use crate::wire::Node;

async fn refused(device: &Device, key: &str) -> (Refusal, Option<i64>) {
    match device.messaging.outcome(key).await.unwrap().unwrap() {
        SendOutcome::Failed { why, until, .. } => (why, until),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn after_three_stanzas_that_the_server_found_wrong_nothing_goes_to_that_chat_for_a_day() {
    let world = World::new();
    let (a, b, c) = (world.account(1), world.account(2), world.account(3));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let c0 = world.device(&c, 0).await;
    for (key, code, why) in
        [("1", 479, Refusal::Schema), ("2", 400, Refusal::Malformed), ("3", 479, Refusal::Schema)]
    {
        world.router.fault(Fault::Refuse(code));
        a0.messaging.send_text(&b.lid, "text", key).await.unwrap();
        assert_eq!(refused(&a0, key).await.0, why);
    }
    let sent = world.router.sent(&a0, "message").len();
    assert_eq!(sent, 3, "none is sent again by itself");
    // Under either address, and after a restart.
    let (store, pn, lid) = a0.stop();
    let a0 = world.start(store, pn, lid).await;
    a0.messaging.send_text(&b.pn, "text", "4").await.unwrap();
    let (why, until) = refused(&a0, "4").await;
    assert_eq!(why, Refusal::ChatStopped);
    a0.messaging.send_text(&c.lid, "other chats go on", "other").await.unwrap();
    world.settle().await;
    assert_eq!(c0.texts().await.len(), 1);
    assert_eq!(world.router.sent(&a0, "message").len(), sent + 1);
    let left = until.unwrap() - a0.messaging.ctx.clock.wall_ms();
    tokio::time::sleep(Duration::from_millis(left.unsigned_abs() + 1)).await;
    a0.messaging.send_text(&b.lid, "text", "5").await.unwrap();
    assert!(matches!(a0.messaging.outcome("5").await.unwrap(), Some(SendOutcome::Sent { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_pace_holds_across_a_restart() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let pacing = Pacing { gap: Duration::from_secs(2), jitter: Duration::ZERO, per_minute: 3 };
    let (store, pn, lid) = a0.stop();
    let mut a0 = world.start_paced(store, pn, lid, pacing).await;
    let clock = a0.messaging.ctx.clock;
    let start = clock.wall_ms();
    let mut times = Vec::new();
    for at in 0..5 {
        let key = at.to_string();
        a0.messaging.send_text(&b.lid, "text", &key).await.unwrap();
        assert!(matches!(a0.messaging.outcome(&key).await.unwrap(), Some(SendOutcome::Sent { .. })));
        times.push((clock.wall_ms() - start) / 1000);
        // Another process after every message.
        let (store, pn, lid) = a0.stop();
        a0 = world.start_paced(store, pn, lid, pacing).await;
    }
    assert_eq!(times, [0, 2, 4, 60, 62]);
}

#[tokio::test(start_paused = true)]
async fn a_pause_after_429_holds_across_a_restart() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.fault(Fault::Throttle(600));
    let start = a0.messaging.ctx.clock.wall_ms();
    a0.messaging.send_text(&b.lid, "text", "text").await.unwrap();
    world.settle().await;
    let (store, pn, lid) = a0.stop();
    let a0 = world.start(store, pn, lid).await;
    assert!(matches!(a0.messaging.outcome("text").await.unwrap(), Some(SendOutcome::Sent { .. })));
    let waited = a0.messaging.ctx.clock.wall_ms() - start;
    assert!((600_000..602_000).contains(&waited), "{waited}");
    let sent = world.router.sent(&a0, "message");
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]));
    world.settle().await;
    assert_eq!(b0.texts().await, ["text"]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_queued_sends_keep_the_rate_and_taking_them_back_empties_the_queue() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let (store, pn, lid) = a0.stop();
    let a0 = world.start_paced(store, pn, lid, Pacing::default()).await;
    a0.disconnect();
    for at in 0..10_000 {
        a0.messaging.send_text(&b.lid, "text", &at.to_string()).await.unwrap();
    }
    world.connect(&a0).await;
    let clock = a0.messaging.ctx.clock;
    let (mut times, mut seen) = (Vec::new(), 0);
    for _ in 0..600 {
        clock.sleep(Duration::from_secs(1)).await;
        let sent = world.router.sent(&a0, "message").len();
        times.extend(std::iter::repeat_n(clock.wall_ms(), sent - seen));
        seen = sent;
    }
    // Ten minutes at a gap of two to three seconds.
    assert!((190..=300).contains(&seen), "{seen}");
    assert!(times.windows(32).all(|part| part[31] - part[0] >= 59_000), "30 in a minute, seen to the second");
    let left = a0.messaging.cancel_all().await.unwrap();
    assert!(left >= 10_000 - 2 - u64::try_from(seen).unwrap(), "{left}");
    world.settle().await;
    assert_eq!(a0.store.read(|tx| tx.open_outgoing_count()).await.unwrap(), 0);
    assert!(world.router.sent(&a0, "message").len() <= seen + 1);
}

#[tokio::test(start_paused = true)]
async fn in_a_chat_one_message_is_under_way_at_a_time_and_other_chats_do_not_wait() {
    let world = World::new();
    let (a, b, c) = (world.account(1), world.account(2), world.account(3));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let c0 = world.device(&c, 0).await;
    b0.disconnect();
    world.router.fault(Fault::LoseAck);
    a0.messaging.send_text(&b.lid, "first", "first").await.unwrap();
    a0.messaging.send_text(&b.lid, "second", "second").await.unwrap();
    a0.messaging.send_text(&c.lid, "other", "other").await.unwrap();
    world.settle().await;
    assert_eq!(c0.texts().await, ["other"]);
    assert_eq!(world.router.sent(&a0, "message").len(), 2, "the second waits for the first one's ack");
    // After 75 s the identical bytes go again; then the chat goes on.
    tokio::time::sleep(Duration::from_secs(80)).await;
    let sent = world.router.sent(&a0, "message");
    assert_eq!((sent.len(), &sent[0]), (4, &sent[2]));
    world.connect(&b0).await;
    world.settle().await;
    assert_eq!(b0.texts().await, ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn without_any_ack_newer_messages_of_the_chat_wait_two_timeouts_and_no_longer() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    // A known chat: in a new one the first message's ack is waited for (05d §9.2).
    let known = b.lid.clone();
    a0.edit(move |tx| crate::client::limits::wrote(tx, &known, 1)).await;
    b0.disconnect();
    (0..2).for_each(|_| world.router.fault(Fault::LoseAck));
    a0.messaging.send_text(&b.lid, "first", "first").await.unwrap();
    a0.messaging.send_text(&b.lid, "second", "second").await.unwrap();
    tokio::time::sleep(Duration::from_secs(149)).await;
    assert_eq!(world.router.sent(&a0, "message").len(), 2);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.router.sent(&a0, "message").len(), 3);
    // The next connection asks for the first one's ack again.
    a0.disconnect();
    world.connect(&a0).await;
    assert!(matches!(a0.messaging.outcome("first").await.unwrap(), Some(SendOutcome::Sent { .. })));
}

#[tokio::test(start_paused = true)]
async fn after_429_with_30_seconds_no_such_question_is_asked_and_the_message_waits_and_goes() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    world.router.iq_fault("usync", IqFault::Refuse { code: 429, backoff: Some(30) });
    let start = a0.messaging.ctx.clock.wall_ms();
    a0.messaging.send_text(&b.lid, "text", "text").await.unwrap();
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(world.router.asked(&a0, "usync").len(), 1);
    // Others continue.
    assert!(Line::ask(&*a0.messaging.ctx, prekeys::fetch([(&b.lid, false)])).await.is_ok());
    assert!(matches!(a0.messaging.outcome("text").await.unwrap(), Some(SendOutcome::Sent { .. })));
    let waited = a0.messaging.ctx.clock.wall_ms() - start;
    assert!((30_000..32_000).contains(&waited), "{waited}");
    world.settle().await;
    assert_eq!(b0.texts().await, ["text"]);
}

#[tokio::test(start_paused = true)]
async fn a_question_for_a_message_is_tried_three_times_on_a_connection_and_goes_on_with_the_next() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    for _ in 0..5 {
        world.router.iq_fault("usync", IqFault::Refuse { code: 503, backoff: None });
    }
    a0.messaging.send_text(&b.lid, "text", "text").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.router.asked(&a0, "usync").len(), 3);
    a0.disconnect();
    world.connect(&a0).await;
    assert!(matches!(a0.messaging.outcome("text").await.unwrap(), Some(SendOutcome::Sent { .. })));
    assert_eq!(world.router.asked(&a0, "usync").len(), 6);
}

#[tokio::test(start_paused = true)]
async fn at_most_five_questions_are_open_and_the_next_waits_for_an_answer() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, _b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    (0..5).for_each(|_| world.router.iq_fault("key", IqFault::Lose));
    let asks = (0..6).map(|_| {
        let (ctx, to) = (a0.messaging.ctx.clone(), b.lid.clone());
        tokio::spawn(async move { Line::ask(&*ctx, prekeys::fetch([(&to, false)])).await })
    });
    let asks: Vec<_> = asks.collect();
    let before = world.router.asked(&a0, "key").len();
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(world.router.asked(&a0, "key").len() - before, 5);
    let mut answers = Vec::new();
    for ask in asks {
        answers.push(ask.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| **answer == Err(IqError::Timeout)).count(), 5);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn device_queries_go_once_a_second_and_one_query_asks_for_many_users() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    let users: Vec<_> = (0..1200).map(|n| crate::wire::Jid::lid(&format!("9{n}")).unwrap()).collect();
    let start = a0.messaging.ctx.clock.wall_ms();
    // The world knows none of them.
    assert!(a0.messaging.devices.lists(&users, false).await.is_err());
    let asked = world.router.asked(&a0, "usync");
    let sizes: Vec<usize> = asked
        .iter()
        .map(|iq: &Node| iq.find("usync").unwrap().find("list").unwrap().find_all("user").count())
        .collect();
    assert_eq!(sizes, [500, 500, 200]);
    assert!(a0.messaging.ctx.clock.wall_ms() - start >= 2000);
}
