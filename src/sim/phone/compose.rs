//! What the phone says: content into a `Message`, and the plaintext forms of it (protocol 05a §6, §7, §9).

use prost::Message as _;

use crate::crypto::random_bytes;
use crate::proto::edit::{self, Value};
use crate::proto::message as schema;
use crate::proto::{ContextInfo, Message, MessageContextInfo, MessageKey};
use crate::sim::seam::{PhoneContent, PhoneContext, PhoneError};
use crate::wire::Jid;

use super::Primary;

/// Numbers of fields of `Message` and of what lies in it, for the forms that keep every byte.
mod field {
    pub const DEVICE_SENT: u32 = 31;
    pub const DESTINATION: u32 = 1;
    pub const MESSAGE: u32 = 2;
    pub const CONTEXT: u32 = 35;
}

impl Primary {
    /// The serialized `Message` of what a person wants to say.
    pub(super) fn compose(
        &self,
        context: &mut PhoneContext<'_>,
        to: &Jid,
        content: PhoneContent,
    ) -> Result<Vec<u8>, PhoneError> {
        let message = match content {
            PhoneContent::Message(bytes) => {
                return Message::decode(&*bytes)
                    .map(|_| bytes)
                    .map_err(|_| PhoneError::Unknown("not a Message".to_owned()));
            }
            PhoneContent::Text(text) => Message {
                conversation: Some(text),
                message_context_info: Some(Box::new(MessageContextInfo {
                    message_secret: Some(random_bytes::<32, _>(context.rng).to_vec()),
                    ..Default::default()
                })),
                ..Default::default()
            },
            PhoneContent::React { id, emoji } => Message {
                reaction_message: Some(Box::new(schema::ReactionMessage {
                    key: Some(self.target(to, id)?),
                    text: Some(emoji),
                    sender_timestamp_ms: Some(context.now_ms),
                    ..Default::default()
                })),
                ..Default::default()
            },
            PhoneContent::Edit { id, text } => protocol(schema::ProtocolMessage {
                key: Some(Box::new(self.own_target(to, id)?)),
                r#type: Some(schema::protocol_message::Type::MessageEdit as i32),
                edited_message: Some(Box::new(Message { conversation: Some(text), ..Default::default() })),
                timestamp_ms: Some(context.now_ms),
                ..Default::default()
            }),
            PhoneContent::Quote { text, id } => self.quoting(to, text, &id)?,
            PhoneContent::Poll { name, options, selectable } => poll(context, name, options, selectable),
            PhoneContent::Revoke { id, author } => protocol(schema::ProtocolMessage {
                key: Some(Box::new(self.target_of(to, id, author.as_ref())?)),
                r#type: Some(schema::protocol_message::Type::Revoke as i32),
                ..Default::default()
            }),
        };
        Ok(message.encode_to_vec())
    }

    /// A text beside the message that it answers (05a §6).
    fn quoting(&self, to: &Jid, text: String, id: &str) -> Result<Message, PhoneError> {
        let known = self.log.find(id).ok_or_else(|| PhoneError::Unknown(format!("no message {id}")))?;
        let mut quoted = Message::decode(&*known.message).unwrap_or_default();
        // What a quote shows is the content, not what was said to the reader's app.
        quoted.message_context_info = None;
        let context = ContextInfo {
            stanza_id: Some(id.to_owned()),
            participant: Some(known.author.without_device().to_string()),
            quoted_message: Some(Box::new(quoted)),
            remote_jid: (known.chat != *to).then(|| known.chat.to_string()),
            ..Default::default()
        };
        Ok(Message {
            extended_text_message: Some(Box::new(schema::ExtendedTextMessage {
                text: Some(text),
                context_info: Some(Box::new(context)),
                ..Default::default()
            })),
            ..Default::default()
        })
    }

    fn own_target(&self, to: &Jid, id: String) -> Result<MessageKey, PhoneError> {
        let key = self.target(to, id)?;
        if key.from_me == Some(true) {
            Ok(key)
        } else {
            Err(PhoneError::Unknown("somebody else's message".to_owned()))
        }
    }

    fn target_of(&self, to: &Jid, id: String, author: Option<&Jid>) -> Result<MessageKey, PhoneError> {
        let known = self.log.find(&id).map(|known| known.author.clone());
        match (author, known) {
            (Some(author), Some(known)) if !self.book.same_user(author, &known) => {
                Err(PhoneError::Unknown(format!("{id} is not of {author}")))
            }
            _ => self.target(to, id),
        }
    }

    /// The key of a message that the phone knows, from its own point of view (05a §6).
    fn target(&self, to: &Jid, id: String) -> Result<MessageKey, PhoneError> {
        let known = self.log.find(&id).ok_or_else(|| PhoneError::Unknown(format!("no message {id}")))?;
        let participant =
            (to.is_group() && !known.from_me).then(|| known.author.without_device().to_string());
        Ok(MessageKey {
            remote_jid: Some(to.to_string()),
            from_me: Some(known.from_me),
            id: Some(id),
            participant,
        })
    }
}

/// A poll, in the form that says how many answers may be chosen (05a §6).
fn poll(context: &mut PhoneContext<'_>, name: String, options: Vec<String>, selectable: u32) -> Message {
    let option =
        |name| schema::poll_creation_message::Option { option_name: Some(name), ..Default::default() };
    let poll = Box::new(schema::PollCreationMessage {
        name: Some(name),
        options: options.into_iter().map(option).collect(),
        selectable_options_count: Some(selectable),
        ..Default::default()
    });
    let secret = random_bytes::<32, _>(context.rng).to_vec();
    let info = MessageContextInfo { message_secret: Some(secret), ..Default::default() };
    let message = Message { message_context_info: Some(Box::new(info)), ..Default::default() };
    if selectable == 1 {
        Message { poll_creation_message_v3: Some(poll), ..message }
    } else {
        Message { poll_creation_message: Some(poll), ..message }
    }
}

/// A message with nothing but a protocol message.
pub(super) fn protocol(message: schema::ProtocolMessage) -> Message {
    Message { protocol_message: Some(Box::new(message)), ..Default::default() }
}

/// The form for own devices: the message inside `deviceSentMessage`, its context info outside as well.
pub(super) fn device_sent(message: &[u8], destination: &Jid) -> Vec<u8> {
    let destination = destination.to_string();
    let wrapped =
        edit::set(&[], &[field::DEVICE_SENT, field::DESTINATION], Value::Bytes(destination.as_bytes()))
            .and_then(|out| edit::set(&out, &[field::DEVICE_SENT, field::MESSAGE], Value::Bytes(message)));
    let context = edit::sub_message(message, &[field::CONTEXT]).ok().flatten();
    match (wrapped, context) {
        (Ok(wrapped), Some(context)) => {
            edit::set(&wrapped, &[field::CONTEXT], Value::Bytes(&context)).unwrap_or(wrapped)
        }
        (Ok(wrapped), None) => wrapped,
        // `message` was decoded before, so this does not happen; an empty message harms nobody.
        (Err(_), _) => Vec::new(),
    }
}

/// The inner message and its destination, if this is the form for own devices.
pub(super) fn open_device_sent(message: &[u8]) -> Option<(Vec<u8>, String)> {
    let inner = edit::sub_message(message, &[field::DEVICE_SENT, field::MESSAGE]).ok()??;
    let wrapper = edit::sub_message(message, &[field::DEVICE_SENT]).ok()??;
    let destination = match edit::last(&wrapper, field::DESTINATION).ok()? {
        Some(Value::Bytes(text)) => String::from_utf8(text.to_vec()).ok()?,
        _ => String::new(),
    };
    Some((inner.into_owned(), destination))
}

/// The plaintext that hands a sender key to a device (04 §10.4).
pub(super) fn distribution(group: &Jid, bytes: &[u8]) -> Vec<u8> {
    Message {
        sender_key_distribution_message: Some(Box::new(schema::SenderKeyDistributionMessage {
            group_id: Some(group.to_string()),
            axolotl_sender_key_distribution_message: Some(bytes.to_vec()),
        })),
        ..Default::default()
    }
    .encode_to_vec()
}

/// The name of the content field, and the text where there is one.
pub(super) fn describe(message: &[u8]) -> (String, Option<String>) {
    let shown = crate::proto::json::to_json("Message", message).unwrap_or_default();
    let fields = shown.as_object();
    let kind = fields
        .and_then(|fields| fields.keys().find(|key| *key != "messageContextInfo"))
        .map_or_else(|| "empty".to_owned(), Clone::clone);
    let decoded = Message::decode(message).unwrap_or_default();
    (kind, text_of(&decoded))
}

fn text_of(message: &Message) -> Option<String> {
    if let Some(text) = &message.conversation {
        return Some(text.clone());
    }
    if let Some(text) = message.extended_text_message.as_ref().and_then(|extended| extended.text.clone()) {
        return Some(text);
    }
    if let Some(text) = message.reaction_message.as_ref().and_then(|reaction| reaction.text.clone()) {
        return Some(text);
    }
    let edited = message.protocol_message.as_ref().and_then(|protocol| protocol.edited_message.as_ref());
    edited.and_then(|edited| text_of(edited))
}
