//! The `type` attribute of `<message>`.

use std::fmt;

use palomar_proto::{Message, message::secret_encrypted_message::SecretEncType};

use super::MediaType;

/// What kind of stanza a message goes out in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Text and most control messages.
    Text,
    /// Anything with a media type.
    Media,
    /// A reaction, plain or encrypted.
    Reaction,
    /// A poll, or a vote in one.
    Poll,
    /// An event, or an answer to one.
    Event,
}

impl Kind {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Media => "media",
            Self::Reaction => "reaction",
            Self::Poll => "poll",
            Self::Event => "event",
        }
    }

    /// The first row of 05a §6 that matches the unwrapped message.
    pub(super) fn of(message: &Message, media: Option<MediaType>) -> Self {
        let m = message;
        let secret = secret_type(m);
        if m.reaction_message.is_some() || m.enc_reaction_message.is_some() {
            Self::Reaction
        } else if m.event_message.is_some()
            || m.enc_event_response_message.is_some()
            || secret == Some(SecretEncType::EventEdit)
        {
            Self::Event
        } else if secret == Some(SecretEncType::MessageEdit) {
            Self::Text
        } else if is_poll(m) || matches!(secret, Some(SecretEncType::PollEdit | SecretEncType::PollAddOption))
        {
            Self::Poll
        } else if is_text(m) || media.is_none() {
            Self::Text
        } else {
            Self::Media
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a `secretEncryptedMessage` holds; an unknown number is none of ours.
pub(super) fn secret_type(message: &Message) -> Option<SecretEncType> {
    SecretEncType::try_from(message.secret_encrypted_message.as_ref()?.secret_enc_type?).ok()
}

/// A poll's creation in the versions that are sent.
pub(super) fn is_poll_creation(message: &Message) -> bool {
    let m = message;
    m.poll_creation_message.is_some()
        || m.poll_creation_message_v2.is_some()
        || m.poll_creation_message_v3.is_some()
        || m.poll_creation_message_v5.is_some()
}

fn is_poll(message: &Message) -> bool {
    is_poll_creation(message) || message.poll_update_message.is_some()
}

/// Row 5: text although a later row might say otherwise.
fn is_text(message: &Message) -> bool {
    let m = message;
    m.conversation.is_some()
        || m.protocol_message.is_some()
        || m.keep_in_chat_message.is_some()
        || m.edited_message.is_some()
        || m.pin_in_chat_message.is_some()
        || m.interactive_message.is_some()
        || m.template_button_reply_message.is_some()
        || m.request_phone_number_message.is_some()
        || m.enc_comment_message.is_some()
        || m.newsletter_admin_invite_message.is_some()
        || m.newsletter_follower_invite_message_v2.is_some()
        || m.message_history_notice.is_some()
        || m.album_message.is_some()
        || m.poll_result_snapshot_message.is_some()
        || m.poll_result_snapshot_message_v3.is_some()
        || is_payment(m)
}

fn is_payment(message: &Message) -> bool {
    let m = message;
    m.send_payment_message.is_some()
        || m.request_payment_message.is_some()
        || m.decline_payment_request_message.is_some()
        || m.cancel_payment_request_message.is_some()
        || m.payment_invite_message.is_some()
        || m.payment_reminder_message.is_some()
        || m.split_payment_message.is_some()
        || m.split_payment_update_message.is_some()
}
