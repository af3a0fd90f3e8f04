//! What was withheld is asked of the own phone, and only the own phone may answer (protocol 05b §6, §11).

use prost::Message as _;

use super::{Device, World};
use crate::client::event::Event;
use crate::proto::message::peer_data_operation_request_response_message::PeerDataOperationResult;
use crate::proto::message::peer_data_operation_request_response_message::peer_data_operation_result::PlaceholderMessageResendResponse;
use crate::proto::message::protocol_message::Type;
use crate::proto::message::{PeerDataOperationRequestResponseMessage, ProtocolMessage};
use crate::proto::{Message, MessageKey as Key, WebMessageInfo};
use crate::wire::{Jid, Node};

/// Something of `from` whose content the server keeps back.
fn withheld(from: &Jid, id: &str, t: i64, unavailable: Node) -> Node {
    Node::new("message")
        .attr("from", from.in_device_form())
        .attr("id", id.to_owned())
        .attr("t", t)
        .attr("type", "text")
        .child(unavailable)
}

/// The requests that a device sent to its phone.
fn requests(world: &World, device: &Device) -> Vec<Node> {
    let sent = world.router.sent(device, "message").into_iter();
    sent.filter(|message| message.str("category").as_deref() == Some("peer")).collect()
}

/// What a phone says to a request.
fn answer(request: &str, chat: &Jid, id: &str, text: &str) -> Message {
    let key = Key {
        remote_jid: Some(chat.to_string()),
        from_me: Some(false),
        id: Some(id.to_owned()),
        participant: None,
    };
    let found = WebMessageInfo {
        key: Some(Box::new(key)),
        message: Some(Box::new(Message { conversation: Some(text.to_owned()), ..Message::default() })),
        ..Default::default()
    };
    let found = PlaceholderMessageResendResponse { web_message_info_bytes: Some(found.encode_to_vec()) };
    let result =
        PeerDataOperationResult { placeholder_message_resend_response: Some(found), ..Default::default() };
    Message {
        protocol_message: Some(Box::new(ProtocolMessage {
            r#type: Some(Type::PeerDataOperationRequestResponseMessage as i32),
            peer_data_operation_request_response_message: Some(Box::new(
                PeerDataOperationRequestResponseMessage {
                    peer_data_operation_request_type: Some(4),
                    stanza_id: Some(request.to_owned()),
                    peer_data_operation_result: vec![result],
                },
            )),
            ..Default::default()
        })),
        ..Message::default()
    }
}

#[tokio::test(start_paused = true)]
async fn withheld_content_is_asked_for_once_and_taken_from_the_own_phone_alone() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    let (a2, b0) = (world.device(&a, 2).await, world.device(&b, 0).await);
    let now = a1.messaging.ctx.clock.wall_s();
    let stanza = withheld(&b0.lid, "WITHHELD", now, Node::new("unavailable")).attr("notify", "Bert");
    a1.messaging.stanza(stanza.clone()).await;
    world.settle().await;
    // It comes again: nothing new is asked or told.
    a1.messaging.stanza(stanza).await;
    world.settle().await;
    let asked = requests(&world, &a1);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].jid("to").unwrap(), a1.pn.to_user());
    assert_eq!(asked[0].str("push_priority").unwrap(), "high");
    assert_eq!(asked[0].find("meta").unwrap().str("appdata").unwrap(), "default");
    assert!(asked[0].find("participants").is_none() && asked[0].find("tctoken").is_none());
    let told = a1.events().await;
    assert_eq!(told.iter().filter(|event| matches!(event, Event::Undecryptable(_))).count(), 1);
    assert!(!told.iter().any(|event| matches!(event, Event::Outgoing(_))), "{told:?}");
    let acks = world.router.sent(&a1, "ack").into_iter();
    assert_eq!(acks.filter(|ack| ack.str("id").as_deref() == Some("WITHHELD")).count(), 2);
    assert_eq!(world.router.sent(&a1, "receipt").len(), 0, "no retry receipt and no tick");

    let request = asked[0].str("id").unwrap().into_owned();
    let said = |text| answer(&request, &b0.lid.to_user(), "WITHHELD", text);
    // Another companion has no say, nor has the contact.
    a2.messaging.send(&a.lid, said("forged"), "forged").await.unwrap();
    b0.messaging.send(&a.lid, said("forged"), "forged").await.unwrap();
    world.settle().await;
    assert!(a1.texts().await.is_empty());
    a0.messaging.send(&a.lid, said("withheld"), "answer").await.unwrap();
    a0.messaging.send(&a.lid, said("withheld"), "again").await.unwrap();
    world.settle().await;
    let got = a1.messages().await;
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!((got[0].text.as_deref(), got[0].id.as_str()), (Some("withheld"), "WITHHELD"));
    assert_eq!((got[0].chat.clone(), got[0].from_me), (b0.lid.to_user().to_string(), false));
    assert_eq!(got[0].push_name.as_deref(), Some("Bert"));
}

#[tokio::test(start_paused = true)]
async fn what_no_companion_may_see_and_what_is_old_is_not_asked_for() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (_a0, a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    let b0 = world.device(&b, 0).await;
    let now = a1.messaging.ctx.clock.wall_s();
    let kept_back = [
        Node::new("unavailable").attr("type", "view_once"),
        Node::new("unavailable").attr("type", "hosted_unavailable_fanout"),
        Node::new("unavailable").attr("hosted", "true"),
        Node::new("bot"),
    ];
    for (at, child) in kept_back.into_iter().enumerate() {
        a1.messaging.stanza(withheld(&b0.lid, &format!("KEPT{at}"), now, child)).await;
    }
    let old = now - 15 * 24 * 60 * 60;
    a1.messaging.stanza(withheld(&b0.lid, "OLD", old, Node::new("unavailable"))).await;
    world.settle().await;
    assert!(requests(&world, &a1).is_empty());
    let told = a1.events().await;
    assert_eq!(told.iter().filter(|event| matches!(event, Event::Undecryptable(_))).count(), 5);
    let acks = world.router.sent(&a1, "ack").into_iter();
    assert_eq!(acks.filter(|ack| ack.get("error").is_none()).count(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_phone_is_not_asked_where_the_sender_was_faster() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (_a0, a1) = (world.device(&a, 0).await, world.device(&a, 1).await);
    let b0 = world.device(&b, 0).await;
    b0.messaging.send_text(&a.lid, "first", "first").await.unwrap();
    world.settle().await;
    a1.messaging.send_text(&b.lid, "answer", "answer").await.unwrap();
    world.settle().await;
    let key = crate::client::devices::address::key(&b0.lid);
    a1.edit(move |tx| tx.delete_session(&key).map(drop)).await;
    b0.messaging.send_text(&a.lid, "lost", "lost").await.unwrap();
    world.settle().await;
    assert_eq!(a1.texts().await, ["first", "lost"]);
    assert!(requests(&world, &a1).is_empty());
}
