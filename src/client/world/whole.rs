//! What we pass on, we pass on whole: fields that no schema knows reach the application, and so do the bytes that are no
//! message (protocol 03b §6, §7).

use prost::Message as _;

use super::{Device, World};
use crate::client::event::Event;
use crate::proto::Message;
use crate::proto::edit::{self, Value};

/// Field 32767, three bytes: no schema has it.
const UNKNOWN: [u8; 7] = [0xfa, 0xff, 0x0f, 3, 1, 2, 3];

async fn talking(world: &World) -> (Device, Device) {
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b0.lid, "first", "first").await.unwrap();
    world.settle().await;
    (a0, b0)
}

#[tokio::test(start_paused = true)]
async fn proves_03b_6_fields_that_nobody_knows_reach_the_application_through_every_wrapper() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    let mut inner = Message { conversation: Some("new".to_owned()), ..Message::default() }.encode_to_vec();
    inner.extend(UNKNOWN);
    let wrapped = edit::set(&[], &[40, 1], Value::Bytes(&inner)).unwrap();
    for (id, bytes) in [("BARE", &inner), ("WRAPPED", &wrapped)] {
        let enc = a0.seal_bytes(&b0, bytes).await;
        a0.says(&b0, id, enc).await;
        world.settle().await;
        let messages = b0.messages().await;
        let last = messages.last().unwrap();
        assert_eq!((last.id.as_str(), last.text.as_deref()), (id, Some("new")));
        assert_eq!(last.message, inner, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn proves_03b_7_bytes_that_are_no_message_stay_in_the_inbox_and_are_refused_with_491() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    let broken = [0x0a, 0xff, 1, 2];
    let enc = a0.seal_bytes(&b0, &broken).await;
    a0.says(&b0, "BROKEN", enc).await;
    world.settle().await;
    let kept = b0.events().await.into_iter().find_map(|event| match event {
        Event::Undecryptable(message) if message.id == "BROKEN" => Some(message.content),
        _ => None,
    });
    assert_eq!(kept, Some(broken.to_vec()));
    let acks = world.router.sent(&b0, "ack");
    assert_eq!(acks.last().unwrap().str("error").unwrap(), "491");
    // The ratchet has moved on all the same.
    let good = a0.seal(&b0, &Message { conversation: Some("next".to_owned()), ..Message::default() }).await;
    a0.says(&b0, "NEXT", good).await;
    world.settle().await;
    assert_eq!(b0.texts().await, ["first", "next"]);
}
