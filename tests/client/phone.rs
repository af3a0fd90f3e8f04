//! Messages that could not be read come from the own phone (protocol 05b §9, §11).

use std::time::Duration;

use palomar::client::Event;
use palomar::sim::TrafficItem;
use palomar::store::{StoreError, Tx};
use palomar::wire::{Jid, Node};

use crate::world::{ANNA, BERT, Device, World, within};

/// The requests to the phone that a number's clients sent.
async fn requests(world: &World) -> Vec<TrafficItem> {
    let sent = world.sent(ANNA, "message").await.into_iter();
    sent.filter(|item| item.node.str("category").as_deref() == Some("peer")).collect()
}

async fn texts(device: &Device) -> Vec<String> {
    let rows = device.store.read(|tx| tx.open_events(0, 1000)).await.unwrap();
    let events = rows.iter().filter_map(|row| Event::read(row.payload.expose()));
    events.filter_map(|event| if let Event::Message(message) = event { message.text } else { None }).collect()
}

async fn hears(device: &Device, text: &str) {
    within(async {
        while !texts(device).await.iter().any(|heard| heard == text) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Loses every session.
fn lose(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    for address in tx.session_addresses("")? {
        tx.delete_session(&address)?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_its_sender_can_not_send_again_comes_from_the_own_phone_once() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let admin = world.sim.admin();
    admin.send_text(BERT, ANNA, "first").await.unwrap();
    hears(&device, "first").await;
    let to = Jid::pn(BERT).unwrap();
    device.client.send_text(&to, "answer", "answer").await.unwrap();
    admin.wait_text(BERT, "answer", Duration::from_secs(60)).await.unwrap();
    world.clock.sleep(Duration::from_secs(30)).await;

    device.client.disconnect().await.unwrap();
    device.store.write(lose).await.unwrap();
    let sent = admin.send_text(BERT, ANNA, "lost").await.unwrap();
    world.clock.sleep(Duration::from_secs(5)).await;
    admin.power(BERT, false).await.unwrap();
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    hears(&device, "lost").await;
    let asked = requests(&world).await;
    assert_eq!(asked.len(), 1);
    let retries = world.sent(ANNA, "receipt").await.into_iter();
    let retry = retries.filter(|item| item.node.find("retry").is_some()).count();
    assert_eq!(retry, 1, "the sender was asked first");

    // The sender comes back and sends again: nobody hears it twice.
    admin.power(BERT, true).await.unwrap();
    world.clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(texts(&device).await.iter().filter(|text| *text == "lost").count(), 1);
    let row = device.store.read(|tx| tx.open_events(0, 1000)).await.unwrap();
    let mut events = row.iter().filter_map(|row| Event::read(row.payload.expose()));
    assert!(events.any(|event| matches!(event, Event::Message(message) if message.id == sent.id)));
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn after_the_last_retry_the_own_phone_is_asked_and_the_message_is_acked() {
    let world = World::new().await;
    let admin = world.sim.admin();
    // Older than the link: the phone has it, the device never saw it.
    let sent = admin.send_text(BERT, ANNA, "from the phone").await.unwrap();
    let device = world.linked(ANNA, 1).await;
    let t = device.store.read(|tx| tx.link()).await.unwrap().unwrap().linked_at / 1000;
    let stanza = Node::new("message")
        .attr("from", Jid::pn(BERT).unwrap().in_device_form())
        .attr("id", sent.id.clone())
        .attr("t", t)
        .attr("type", "text")
        .child(Node::new("enc").attr("v", "2").attr("type", "msg").attr("count", "4").bytes(vec![0x33; 60]));
    admin.inject(world.connection().await, stanza).await;
    hears(&device, "from the phone").await;
    assert_eq!(requests(&world).await.len(), 1);
    let retries = world.sent(ANNA, "receipt").await;
    assert!(retries.iter().all(|item| item.node.find("retry").is_none()), "a fifth is never sent");
    let acks = world.sent(ANNA, "ack").await;
    assert!(acks.iter().any(|item| item.node.str("id").as_deref() == Some(&sent.id)));
}
