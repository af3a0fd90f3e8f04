//! Edits within their window, timers, and what the caller takes back (protocol 05a §1, §7).

use super::World;
use crate::client::event::Change;
use crate::client::send::{Refusal, SendError, SendOutcome};
use crate::proto::message::ProtocolMessage;
use crate::proto::message::protocol_message::Type;
use crate::proto::{Message, MessageKey as Key};
use crate::wire::Jid;
use prost::Message as _;
use std::time::Duration;

fn edit(chat: &Jid, id: &str, text: &str) -> Message {
    let key = Key {
        remote_jid: Some(chat.to_string()),
        from_me: Some(true),
        id: Some(id.to_owned()),
        participant: None,
    };
    Message {
        protocol_message: Some(Box::new(ProtocolMessage {
            key: Some(key.into()),
            r#type: Some(Type::MessageEdit as i32),
            edited_message: Some(Box::new(Message {
                conversation: Some(text.to_owned()),
                ..Message::default()
            })),
            timestamp_ms: Some(1),
            ..Default::default()
        })),
        ..Message::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_goes_out_within_1200_seconds_of_its_original_and_not_after_them() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let id = a0.messaging.send_text(&b.lid, "hello", "text").await.unwrap().message_id;
    world.settle().await;
    tokio::time::sleep(Duration::from_secs(1100)).await;
    a0.messaging.send(&b.lid, edit(&b.lid, &id, "in time"), "in time").await.unwrap();
    assert!(matches!(a0.messaging.outcome("in time").await.unwrap(), Some(SendOutcome::Sent { .. })));
    world.settle().await;
    let got = b0.messages().await;
    assert!(matches!(&got[1].change, Some(Change::Edit(target)) if target.id == id));
    let sent = world.router.sent(&a0, "message").pop().unwrap();
    assert_eq!(sent.str("edit").unwrap(), "1");
    assert_ne!(sent.str("id").unwrap(), id, "an edit is a message of its own");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let late = a0.messaging.send(&b.lid, edit(&b.lid, &id, "late"), "late").await;
    assert!(matches!(late, Err(SendError::TooLateToEdit)));
    let unknown = a0.messaging.send(&b.lid, edit(&b.lid, "3EB0", "unknown"), "unknown").await;
    assert!(matches!(unknown, Err(SendError::TooLateToEdit)));
}

#[tokio::test(start_paused = true)]
async fn an_edit_whose_window_closes_before_its_row_is_due_ends_with_that_reason() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let id = a0.messaging.send_text(&b.lid, "hello", "text").await.unwrap().message_id;
    world.settle().await;
    a0.disconnect();
    a0.messaging.send(&b.lid, edit(&b.lid, &id, "changed"), "edit").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1300)).await;
    world.connect(&a0).await;
    match a0.messaging.outcome("edit").await.unwrap().unwrap() {
        SendOutcome::Failed { why, .. } => assert_eq!(why, Refusal::TooLateToEdit),
        other => panic!("{other:?}"),
    }
    world.settle().await;
    assert_eq!(b0.texts().await, ["hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_chat_with_a_timer_gets_it_with_every_text_whoever_has_set_it() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let timer = Message {
        protocol_message: Some(Box::new(ProtocolMessage {
            r#type: Some(Type::EphemeralSetting as i32),
            ephemeral_expiration: Some(86_400),
            ephemeral_setting_timestamp: Some(1_760_000_000),
            ..Default::default()
        })),
        ..Message::default()
    };
    a0.messaging.send(&b.lid, timer, "timer").await.unwrap();
    world.settle().await;
    a0.messaging.send_text(&b.pn, "ours", "ours").await.unwrap();
    b0.messaging.send_text(&a.lid, "theirs", "theirs").await.unwrap();
    world.settle().await;
    for (device, text) in [(&b0, "ours"), (&a0, "theirs")] {
        let got = device.messages().await.into_iter().find(|m| m.text.as_deref() == Some(text)).unwrap();
        let message = Message::decode(&*got.message).unwrap();
        let context = message.extended_text_message.unwrap().context_info.unwrap();
        assert_eq!(context.expiration, Some(86_400), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_before_it_left_is_never_sent() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.disconnect();
    for at in 0..600 {
        a0.messaging.send_text(&b.lid, "text", &at.to_string()).await.unwrap();
    }
    assert!(a0.messaging.cancel("5").await.unwrap());
    assert!(!a0.messaging.cancel("5").await.unwrap() && !a0.messaging.cancel("none").await.unwrap());
    assert_eq!(a0.messaging.cancel_all().await.unwrap(), 599);
    assert_eq!(a0.store.read(|tx| tx.open_outgoing_count()).await.unwrap(), 0);
    match a0.messaging.outcome("7").await.unwrap().unwrap() {
        SendOutcome::Failed { why, .. } => assert_eq!(why, Refusal::Cancelled),
        other => panic!("{other:?}"),
    }
    world.connect(&a0).await;
    world.settle().await;
    assert!(b0.texts().await.is_empty() && world.router.sent(&a0, "message").is_empty());
}
