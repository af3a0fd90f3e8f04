//! The strict reader of messages (protocol 03b §4 rules 2 and 6): every message kind of the vectors that goes to a chat is sent
//! by the client, and what its peers open, own copies among them, would be taken by the official reader.

use std::collections::BTreeSet;
use std::time::Duration;

use palomar::client::send::SendOutcome;
use palomar::proto::message::{ProtocolMessage, protocol_message::Type};
use palomar::proto::{Message, MessageKey};
use palomar::stanza::judge::What;
use palomar::stanza::judge::payload::Schema;
use palomar::wire::Jid;
use prost::Message as _;

use crate::vectors::{File, bytes, text};
use crate::world::{ANNA, BERT, Device, World, within};

/// Not for a chat: own copies, keys, what a device asks its phone, what is for groups. Edits are made by hand below, because
/// they need a message that was sent.
const ELSEWHERE: [&str; 8] = [
    "device_sent_text",
    "sender_key_distribution",
    "pdo_placeholder_resend",
    "pdo_history_on_demand",
    "app_state_key_request",
    "member_label",
    "edit",
    "edited_wrapper",
];

async fn send(device: &Device, message: Message, key: &str) -> String {
    let to = Jid::pn(BERT).unwrap();
    let accepted =
        device.client.send(&to, message, key).await.unwrap_or_else(|error| panic!("{key}: {error}"));
    let outcome = within(device.client.outcome(key)).await.unwrap();
    assert!(matches!(outcome, Some(SendOutcome::Sent { .. })), "{key}: {outcome:?}");
    accepted.message_id
}

fn edit_of(id: String, now_ms: i64) -> Message {
    let key = MessageKey {
        remote_jid: Some(format!("{BERT}@s.whatsapp.net")),
        from_me: Some(true),
        id: Some(id),
        participant: None,
    };
    let edited = Message { conversation: Some("said better".to_owned()), ..Message::default() };
    let protocol = ProtocolMessage {
        key: Some(Box::new(key)),
        r#type: Some(Type::MessageEdit as i32),
        edited_message: Some(Box::new(edited)),
        timestamp_ms: Some(now_ms),
        ..ProtocolMessage::default()
    };
    Message { protocol_message: Some(Box::new(protocol)), ..Message::default() }
}

/// What a phone opened of a message, judged.
async fn read_strictly(world: &World, number: &str, ids: &BTreeSet<String>) -> usize {
    let schema = Schema::built_in().unwrap();
    let items = world.sim.admin().inbox(number, 0).await.unwrap();
    let ours: Vec<_> = items.iter().filter(|item| ids.contains(&item.id)).collect();
    for item in &ours {
        assert!(item.decrypt_ok, "{}: {}", item.id, item.kind);
        let mut found = schema.message(&item.message);
        // A default that is not written is what the vectors have, not what a reader refuses.
        found.retain(|finding| finding.what != What::Default);
        let words: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(words.is_empty(), "{number} {}: {words:?}", item.kind);
    }
    ours.iter().map(|item| &item.id).collect::<BTreeSet<_>>().len()
}

#[tokio::test(start_paused = true)]
async fn judge_strict_reader_takes_every_message_kind_that_we_send() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let mut kinds = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for case in File::open("messaging").section("messages") {
        let kind = text(&case, "kind").to_owned();
        if ELSEWHERE.contains(&kind.as_str()) || !kinds.insert(kind.clone()) {
            continue;
        }
        let message = Message::decode(&*bytes(&case, "protobuf_hex")).unwrap();
        ids.insert(send(&device, message, &kind).await);
    }
    let plain = Message { conversation: Some("said".to_owned()), ..Message::default() };
    let said = send(&device, plain, "said").await;
    ids.insert(said.clone());
    ids.insert(send(&device, edit_of(said, world.clock.wall_ms()), "edit by hand").await);
    world.clock.sleep(Duration::from_secs(30)).await;

    let (theirs, own) = (read_strictly(&world, BERT, &ids).await, read_strictly(&world, ANNA, &ids).await);
    println!("{} kinds sent; opened and read strictly: {theirs} by the peer, {own} own copies", ids.len());
    assert_eq!((theirs, own), (ids.len(), ids.len()));
    assert!(ids.len() > 40 || kinds.is_empty(), "{} kinds", ids.len());
}
