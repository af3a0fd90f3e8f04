//! `decrypt-fail="hide"`: the receiver shows nothing if it cannot decrypt.

use palomar_proto::{
    Message,
    message::{protocol_message, secret_encrypted_message::SecretEncType},
};

use super::{Edit, change::protocol_type, kind::secret_type};

/// Of an unwrapped message and its `edit`. Never for revokes, and not for an encrypted message edit, which the official
/// client shows.
pub(super) fn is_hidden(message: &Message, edit: Option<Edit>) -> bool {
    let m = message;
    if let Some(secret) = secret_type(m) {
        return matches!(
            secret,
            SecretEncType::EventEdit | SecretEncType::PollEdit | SecretEncType::PollAddOption
        );
    }
    edit.is_some_and(|edit| !edit.is_revoke())
        || m.reaction_message.is_some()
        || m.enc_reaction_message.is_some()
        || m.pin_in_chat_message.is_some()
        || m.edited_message.is_some()
        || m.keep_in_chat_message.is_some()
        || m.enc_event_response_message.is_some()
        || m.poll_update_message.as_ref().is_some_and(|update| update.vote.is_some())
        || m.message_history_notice.is_some()
        || m.conditional_reveal_message.is_some()
        || is_hidden_protocol(m)
}

fn is_hidden_protocol(message: &Message) -> bool {
    use protocol_message::Type;
    match protocol_type(message) {
        Some(Type::Revoke) => false,
        Some(Type::EphemeralSyncResponse | Type::RequestWelcomeMessage | Type::GroupMemberLabelChange) => {
            true
        }
        _ => message.protocol_message.as_ref().is_some_and(|protocol| protocol.edited_message.is_some()),
    }
}
