//! Edits, revokes and reactions: which message they mean, and when it has not come yet (protocol 05b §5).

use std::time::Duration;

use super::{Device, World};
use crate::client::event::{Change, Received, Target};
use crate::proto::message::protocol_message::Type;
use crate::proto::message::{ProtocolMessage, ReactionMessage};
use crate::proto::{Message, MessageKey as Key};
use crate::store::inbox::MessageKey;
use crate::wire::Jid;

fn key(chat: &Jid, from_me: bool, id: &str) -> Key {
    Key {
        remote_jid: Some(chat.to_string()),
        from_me: Some(from_me),
        id: Some(id.to_owned()),
        participant: None,
    }
}

fn reaction(chat: &Jid, from_me: bool, id: &str) -> Message {
    let reaction = ReactionMessage {
        key: Some(key(chat, from_me, id)),
        text: Some("+".to_owned()),
        ..Default::default()
    };
    Message { reaction_message: Some(reaction.into()), ..Message::default() }
}

fn protocol(kind: Type, chat: &Jid, id: &str) -> Message {
    let edited = Message { conversation: Some("edited".to_owned()), ..Message::default() };
    Message {
        protocol_message: Some(Box::new(ProtocolMessage {
            key: Some(key(chat, true, id).into()),
            r#type: Some(kind as i32),
            edited_message: (kind == Type::MessageEdit).then(|| Box::new(edited)),
            ..Default::default()
        })),
        ..Message::default()
    }
}

/// Two phones that have talked both ways.
async fn talking(world: &World) -> (Device, Device) {
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    a0.messaging.send_text(&b0.lid, "first", "first").await.unwrap();
    world.settle().await;
    b0.messaging.send_text(&a0.lid, "answer", "answer").await.unwrap();
    world.settle().await;
    (a0, b0)
}

fn changes(messages: &[Received]) -> Vec<&Change> {
    messages.iter().filter_map(|message| message.change.as_ref()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reaction_and_a_revoke_with_the_senders_view_in_the_key_hit_the_right_target_both_ways() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    let first = a0.store.read(|tx| tx.outgoing("first")).await.unwrap().unwrap().message_id;
    let answer = b0.store.read(|tx| tx.outgoing("answer")).await.unwrap().unwrap().message_id;
    // He reacts to ours, and takes his own back.
    b0.messaging.send(&a0.lid, reaction(&a0.lid, false, &first), "r1").await.unwrap();
    b0.messaging.send(&a0.lid, protocol(Type::Revoke, &a0.lid, &answer), "r2").await.unwrap();
    // We react to his.
    a0.messaging.send(&b0.lid, reaction(&b0.lid, false, &answer), "r3").await.unwrap();
    world.settle().await;
    let of = |author: &Device, id: &str| Target { author: author.lid.to_string(), id: id.to_owned() };
    let ours = Change::Reaction { target: of(&a0, &first), text: "+".to_owned() };
    assert_eq!(changes(&a0.messages().await), [&ours, &Change::Revoke(of(&b0, &answer))]);
    let his = Change::Reaction { target: of(&b0, &answer), text: "+".to_owned() };
    assert_eq!(changes(&b0.messages().await), [&his]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_comes_before_its_message_follows_it() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    a0.disconnect();
    let later = b0.messaging.send_text(&a0.lid, "later", "later").await.unwrap().message_id;
    world.settle().await;
    b0.messaging.send(&a0.lid, protocol(Type::MessageEdit, &a0.lid, &later), "edit").await.unwrap();
    world.settle().await;
    world.router.connect(&a0);
    world.router.flush_backwards(&a0).await;
    world.settle().await;
    let got = a0.messages().await;
    let told: Vec<_> = got.iter().map(|m| (m.text.as_deref(), m.change.is_some())).collect();
    assert_eq!(told, [(Some("answer"), false), (Some("later"), false), (None, true)]);
    assert_eq!(world.router.unanswered(&a0), 0, "what waits is answered: it is durable");
    assert_eq!(a0.store.read(|tx| tx.held_count()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_message_that_never_comes_is_told_after_a_minute_also_over_a_restart() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    b0.messaging.send(&a0.lid, reaction(&a0.lid, false, "NOWHERE"), "r").await.unwrap();
    world.settle().await;
    assert!(changes(&a0.messages().await).is_empty());
    assert_eq!(world.router.unanswered(&a0), 0);
    let (store, pn, lid) = (a0.store.clone(), a0.pn.clone(), a0.lid.clone());
    drop(a0);
    let a0 = world.start(store, pn, lid).await;
    a0.messaging.ctx.clock.sleep(Duration::from_secs(61)).await;
    world.settle().await;
    assert_eq!(changes(&a0.messages().await).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_edit_by_somebody_else_outside_the_window_is_shown_and_changes_nothing() {
    let world = World::new();
    let (a0, b0) = talking(&world).await;
    let answer = b0.store.read(|tx| tx.outgoing("answer")).await.unwrap().unwrap().message_id;
    let name = MessageKey::new(b0.lid.to_string(), b0.lid.to_string(), &answer);
    for (before, changes_it) in [(1200, true), (1300, false)] {
        let now = a0.messaging.ctx.clock.wall_s();
        let name = name.clone();
        a0.edit(move |tx| tx.mark_message_seen(&name, Some(now - before), 0)).await;
        let edit = protocol(Type::MessageEdit, &a0.lid, &answer);
        b0.messaging.send(&a0.lid, edit, &format!("edit {before}")).await.unwrap();
        world.settle().await;
        let got = a0.messages().await;
        assert_eq!(got.last().unwrap().change.is_some(), changes_it, "{before} s");
    }
    // Nobody edits what is not his.
    let first = a0.store.read(|tx| tx.outgoing("first")).await.unwrap().unwrap().message_id;
    let mut forged = protocol(Type::MessageEdit, &a0.lid, &first);
    let key = forged.protocol_message.as_mut().unwrap().key.as_mut().unwrap();
    key.from_me = Some(false);
    let before = a0.messages().await.len();
    b0.messaging.send(&a0.lid, forged, "forged").await.ok();
    world.settle().await;
    assert_eq!(a0.messages().await.len(), before);
}
