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
