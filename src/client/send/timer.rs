//! Disappearing messages in 1:1 chats (protocol 05a §7): what is written into a chat with a timer says so.

use prost::Message as _;

use crate::client::devices::address;
use crate::proto::message::ExtendedTextMessage;
use crate::proto::message::protocol_message::Type;
use crate::proto::{ContextInfo, Message};
use crate::store::{ChatTimer, Outgoing, SecretBytes, StoreError, Tx};
use crate::wire::Jid;

fn name(tx: &Tx<'_>, chat: &Jid) -> Result<String, StoreError> {
    Ok(address::canonical(tx, &chat.to_user())?.to_user().to_string())
}

/// The timer that a message sets; `None`: it is no such message. `sent_s` stands for a time that it does not name.
fn set_by(message: &Message, sent_s: i64) -> Option<ChatTimer> {
    let protocol = message.protocol_message.as_ref()?;
    (protocol.r#type == Some(Type::EphemeralSetting as i32)).then(|| ChatTimer {
        seconds: protocol.ephemeral_expiration.unwrap_or(0),
        set_at: protocol.ephemeral_setting_timestamp.unwrap_or(sent_s),
    })
}

/// Takes over the timer that a message (of ours or of the other side) sets for its 1:1 chat.
pub(crate) fn notice(tx: &mut Tx<'_>, chat: &Jid, message: &Message, sent_s: i64) -> Result<(), StoreError> {
    if let Some(timer) = set_by(message, sent_s) {
        let name = name(tx, chat)?;
        tx.set_chat_timer(&name, timer)?;
    }
    Ok(())
}

/// Writes the chat's timer into a message that is about to be encrypted and names none.
pub(crate) fn apply(tx: &Tx<'_>, chat: &Jid, row: &mut Outgoing) -> Result<(), StoreError> {
    let Some(timer) = tx.chat_timer(&name(tx, chat)?)?.filter(|timer| timer.seconds > 0) else {
        return Ok(());
    };
    if let Ok(mut message) = Message::decode(row.plaintext.expose()) {
        write(&mut message, timer);
        row.plaintext = SecretBytes::new(message.encode_to_vec());
    }
    Ok(())
}

fn write(message: &mut Message, timer: ChatTimer) {
    // A bare text has no context: it becomes an extended one.
    if let Some(text) = message.conversation.take() {
        let extended = ExtendedTextMessage { text: Some(text), ..ExtendedTextMessage::default() };
        message.extended_text_message = Some(extended.into());
    }
    let Some(context) = context(message) else { return };
    let context = context.get_or_insert_default();
    if context.expiration.is_none() {
        context.expiration = Some(timer.seconds);
        context.ephemeral_setting_timestamp = Some(timer.set_at);
    }
}

/// The context of a message's content, where that kind has one.
fn context(message: &mut Message) -> Option<&mut Option<Box<ContextInfo>>> {
    macro_rules! of {
        ($($content:ident),*) => {
            $(if let Some(content) = &mut message.$content { return Some(&mut content.context_info); })*
        };
    }
    of!(
        extended_text_message,
        image_message,
        video_message,
        audio_message,
        document_message,
        sticker_message,
        contact_message,
        contacts_array_message,
        location_message,
        live_location_message,
        group_invite_message
    );
    None
}

/// A chat's number and hidden id are one: so is its timer. The younger one counts.
pub(crate) fn join(tx: &mut Tx<'_>, pn: &Jid, lid: &Jid) -> Result<(), StoreError> {
    if let Some(timer) = tx.forget_chat_timer(&pn.to_string())? {
        tx.set_chat_timer(&lid.to_string(), timer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: ChatTimer = ChatTimer { seconds: 86_400, set_at: 5 };

    #[test]
    fn a_text_in_a_chat_with_a_timer_is_an_extended_one_that_names_it() {
        let mut message = Message { conversation: Some("hello".to_owned()), ..Message::default() };
        write(&mut message, DAY);
        let text = message.extended_text_message.as_ref().unwrap();
        let context = text.context_info.as_ref().unwrap();
        assert_eq!((text.text.as_deref(), message.conversation.as_deref()), (Some("hello"), None));
        assert_eq!((context.expiration, context.ephemeral_setting_timestamp), (Some(86_400), Some(5)));
        // What the caller has said stays.
        write(&mut message, ChatTimer { seconds: 604_800, set_at: 6 });
        let text = message.extended_text_message.as_ref().unwrap();
        assert_eq!(text.context_info.as_ref().unwrap().expiration, Some(86_400));
    }

    #[test]
    fn only_the_setting_sets_a_timer() {
        let mut message = Message { conversation: Some("hello".to_owned()), ..Message::default() };
        assert_eq!(set_by(&message, 1), None);
        let setting = crate::proto::message::ProtocolMessage {
            r#type: Some(Type::EphemeralSetting as i32),
            ephemeral_expiration: Some(604_800),
            ..Default::default()
        };
        message.protocol_message = Some(setting.into());
        assert_eq!(set_by(&message, 1), Some(ChatTimer { seconds: 604_800, set_at: 1 }));
    }
}
