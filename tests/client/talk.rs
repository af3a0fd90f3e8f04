//! Texts both ways, through the whole client.

use std::time::Duration;

use palomar::client::Event;
use palomar::client::send::SendOutcome;
use palomar::wire::Jid;

use crate::world::{ANNA, BERT, World, within};

#[tokio::test(start_paused = true)]
async fn a_text_reaches_a_phone_and_one_from_a_phone_reaches_the_application() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let bert = Jid::pn(BERT).unwrap();
    device.client.send_text(&bert, "hello", "key1").await.unwrap();
    let outcome = within(device.client.outcome("key1")).await.unwrap();
    assert!(matches!(outcome, Some(SendOutcome::Sent { .. })), "{outcome:?}");
    world.sim.admin().wait_text(BERT, "hello", Duration::from_secs(30)).await.unwrap();
    world.sim.admin().send_text(BERT, ANNA, "hello back").await.unwrap();
    let text = device
        .event(|delivery| match &delivery.event {
            Event::Message(message) => message.text.clone(),
            _ => None,
        })
        .await;
    assert_eq!(text, "hello back");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn what_came_while_offline_is_delivered_after_the_next_login() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    device.client.disconnect().await.unwrap();
    for n in 0..30 {
        world.sim.admin().send_text(BERT, ANNA, &format!("text {n}")).await.unwrap();
    }
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    let mut seen = 0;
    while seen < 30 {
        device.event(|delivery| matches!(delivery.event, Event::Message(_)).then_some(())).await;
        seen += 1;
    }
    world.assert_no_violations().await;
}

/// What a client sends from the scan to the second login, and while it talks.
const SENT: [&str; 13] = [
    "ab_props.get_experiment_config",
    "ack.notification",
    "ack.receipt",
    "iq.pair_device_sign",
    "iq.ping_result",
    "message.user",
    "offline.batch",
    "passive_mode.active_iq",
    "pings.client",
    "pre_keys.fetch_key_bundles",
    "prekeys.upload",
    "receipt.delivery",
    "usync",
];

#[tokio::test(start_paused = true)]
async fn judge_everything_a_client_sends_is_like_operation_by_operation() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let admin = world.sim.admin();
    device.client.send_text(&Jid::pn(BERT).unwrap(), "hello", "key1").await.unwrap();
    admin.wait_text(BERT, "hello", Duration::from_secs(30)).await.unwrap();
    device.client.disconnect().await.unwrap();
    for n in 0..30 {
        admin.send_text(BERT, ANNA, &format!("text {n}")).await.unwrap();
    }
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    for _ in 0..30 {
        device.event(|delivery| matches!(delivery.event, Event::Message(_)).then_some(())).await;
    }
    let _second = world.linked(ANNA, 2).await;
    admin.send_text(BERT, ANNA, "said live").await.unwrap();
    device.event(|delivery| matches!(delivery.event, Event::Message(_)).then_some(())).await;
    // Two minutes of pings.
    tokio::time::sleep(Duration::from_secs(120)).await;

    let totals = admin.judge_totals().await;
    let rows = totals["accounts"].as_array().unwrap();
    let count = |verdict: &str| rows.iter().filter_map(|row| row[verdict].as_u64()).sum::<u64>();
    println!("{} like, {} listed, {} unlike", count("like"), count("listed"), count("unlike"));
    let seen = |op: &&str| rows.iter().any(|row| row["operations"].get(*op).is_some());
    let unseen: Vec<&str> = SENT.into_iter().filter(|op| !seen(op)).collect();
    assert!(unseen.is_empty(), "never judged: {unseen:?} in {totals:#}");
    assert_eq!((count("listed"), count("unlike")), (0, 0), "{totals:#}");
    world.assert_no_violations().await;
}
