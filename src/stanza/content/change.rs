//! The `edit` attribute of `<message>`: this message changes another one.

use std::fmt;

use palomar_proto::{
    KeepType, Message, MessageKey, message::protocol_message,
    message::secret_encrypted_message::SecretEncType,
};

use super::kind::secret_type;

/// How a message changes another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edit {
    /// 1: the sender edits a message or an event.
    Message,
    /// 2: a message is pinned or unpinned.
    Pin,
    /// 3: an admin edits a newsletter's post. Never follows from the content.
    Admin,
    /// 7: the sender takes back a message, a reaction or a kept message.
    SenderRevoke,
    /// 8: an admin deletes another member's message.
    AdminRevoke,
}

impl Edit {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "1",
            Self::Pin => "2",
            Self::Admin => "3",
            Self::SenderRevoke => "7",
            Self::AdminRevoke => "8",
        }
    }

    /// Whether it deletes: such stanzas must not be hidden, the server would drop them.
    pub fn is_revoke(self) -> bool {
        matches!(self, Self::SenderRevoke | Self::AdminRevoke)
    }

    /// Of an unwrapped message.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let m = message;
        let from_me = |key: Option<&MessageKey>| key.is_some_and(MessageKey::from_me);
        if m.edited_message.is_some()
            || protocol_type(m) == Some(protocol_message::Type::MessageEdit)
            || matches!(secret_type(m), Some(SecretEncType::MessageEdit | SecretEncType::EventEdit))
        {
            return Some(Self::Message);
        }
        if m.pin_in_chat_message.is_some() {
            return Some(Self::Pin);
        }
        if let (Some(protocol), Some(protocol_message::Type::Revoke)) =
            (&m.protocol_message, protocol_type(m))
        {
            return Some(if from_me(protocol.key.as_deref()) {
                Self::SenderRevoke
            } else {
                Self::AdminRevoke
            });
        }
        let reaction_removed =
            m.reaction_message.as_ref().is_some_and(|reaction| reaction.text.as_deref() == Some(""));
        let keep_undone = m.keep_in_chat_message.as_ref().is_some_and(|keep| {
            keep.keep_type == Some(KeepType::UndoKeepForAll as i32) && from_me(keep.key.as_ref())
        });
        (reaction_removed || keep_undone).then_some(Self::SenderRevoke)
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The type of a `protocolMessage`. Absent is no type: a revoke's 0 is written out.
pub(super) fn protocol_type(message: &Message) -> Option<protocol_message::Type> {
    protocol_message::Type::try_from(message.protocol_message.as_ref()?.r#type?).ok()
}
