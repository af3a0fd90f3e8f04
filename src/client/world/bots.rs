//! Replies of bots (protocol 05b §4).

use prost::Message as _;

use super::{Device, World};
use crate::crypto::aes_gcm_seal;
use crate::proto::{Message, MessageSecretMessage};
use crate::signal::addon::MessageSecret;
use crate::signal::bot::Reply;
use crate::store::inbox::MessageKey;
use crate::store::{Secret, SecretOf};
use crate::wire::{Jid, Node};

/// A bot's reply to "ASKED" of this device.
async fn reply(world: &World, to: &Device, bot: &Jid, id: &str, content: Vec<u8>) {
    let stanza = Node::new("message")
        .attr("from", bot)
        .attr("id", id.to_owned())
        .attr("t", 1_760_000_000_u64)
        .attr("type", "text")
        .child(Node::new("enc").attr("v", "2").attr("type", "msmsg").bytes(content))
        .child(Node::new("meta").attr("target_id", "ASKED").attr("target_sender_jid", to.lid.to_user()));
    to.messaging.stanza(stanza).await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_bots_reply_is_read_by_the_secret_of_its_question_and_without_it_refused_with_495() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    let bot: Jid = "867051314767696@bot".parse().unwrap();
    let secret = MessageSecret::from_slice(&[8; 32]).unwrap();
    let (asker, name) = (a0.lid.to_user().to_string(), bot.to_string());
    let sealed = |id: &str| {
        let reply = Reply { reply_id: id, target_sender: &asker, bot: &name };
        let text = Message { conversation: Some("of course".to_owned()), ..Message::default() };
        let iv = [3; 12];
        let payload = aes_gcm_seal(&reply.key(&secret), &iv, &reply.aad(), &text.encode_to_vec()).unwrap();
        let message = MessageSecretMessage {
            enc_iv: Some(iv.to_vec()),
            enc_payload: Some(payload),
            ..MessageSecretMessage::default()
        };
        message.encode_to_vec()
    };
    reply(&world, &a0, &bot, "EARLY", sealed("EARLY")).await;
    let acks = world.router.sent(&a0, "ack");
    assert_eq!(acks.len(), 1);
    assert_eq!(acks[0].str("error").unwrap(), "495");

    let key = MessageKey::new(bot.to_string(), a0.lid.to_user().to_string(), "ASKED");
    a0.edit(move |tx| tx.put_message_secret(&key, &Secret::new([8; 32]), SecretOf::Message, 0)).await;
    reply(&world, &a0, &bot, "REPLY", sealed("REPLY")).await;
    // Under another id it does not open.
    reply(&world, &a0, &bot, "MOVED", sealed("OTHER")).await;
    assert_eq!(a0.texts().await, ["of course"]);
    let acks = world.router.sent(&a0, "ack");
    assert!(acks.iter().skip(1).all(|ack| ack.get("error").is_none()), "{acks:?}");
}
