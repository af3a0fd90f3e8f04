//! The edit window (protocol 05a §1): an own edit goes out within 1200 s of its original, measured between their server
//! times; asked when it is accepted and again when its row is due.

use prost::Message as _;

use crate::client::devices::address;
use crate::client::devices::own::Own;
use crate::client::receive::receipts::forms;
use crate::client::send::outcome::Refusal;
use crate::client::send::release::Refused;
use crate::proto::Message;
use crate::proto::message::protocol_message::Type;
use crate::proto::message::secret_encrypted_message::SecretEncType;
use crate::store::inbox::MessageKey;
use crate::store::{Outgoing, OutgoingState, StoreError, Tx};
use crate::wire::Jid;

/// Seconds from the original to the last moment of an edit.
const WINDOW: i64 = 1200;

/// The id of the message that this one edits.
pub(crate) fn edited(message: &Message) -> Option<&str> {
    if let Some(secret) = &message.secret_encrypted_message {
        let is_edit = secret.secret_enc_type == Some(SecretEncType::MessageEdit as i32);
        return secret.target_message_key.as_ref().filter(|_| is_edit)?.id.as_deref();
    }
    let wrapped = message.edited_message.as_ref().and_then(|edited| edited.message.as_deref());
    let protocol = wrapped.unwrap_or(message).protocol_message.as_ref()?;
    let is_edit = protocol.r#type == Some(Type::MessageEdit as i32);
    protocol.key.as_ref().filter(|_| is_edit)?.id.as_deref()
}

/// Whether a message of ours in `chat` may still be edited. One that has not left yet may; one that is not known may
/// not, because nothing can be measured.
pub(crate) fn is_open(
    tx: &Tx<'_>,
    own: &Own,
    chat: &Jid,
    id: &str,
    server_s: i64,
) -> Result<bool, StoreError> {
    for form in forms(tx, chat)? {
        if let Some(row) = tx.outgoing_message(&form, id)? {
            return Ok(match row.state {
                OutgoingState::Failed => false,
                state if state.is_open() => true,
                _ => within(row.server_time.unwrap_or(row.created_at / 1000), server_s),
            });
        }
    }
    // Sent by another own device.
    for form in forms(tx, chat)? {
        for author in address::both(tx, &own.pn)? {
            if let Some(seen) = tx.seen_message(&MessageKey::new(&form, author.to_string(), id))? {
                return Ok(within(seen.at / 1000, server_s));
            }
        }
    }
    Ok(false)
}

fn within(original_s: i64, server_s: i64) -> bool {
    server_s.saturating_sub(original_s) <= WINDOW
}

/// The same question about a row that is due.
pub(crate) fn too_late(
    tx: &Tx<'_>,
    own: &Own,
    row: &Outgoing,
    server_s: i64,
) -> Result<Option<Refused>, StoreError> {
    if row.edit.is_none() {
        return Ok(None);
    }
    let (Ok(message), Ok(chat)) = (Message::decode(row.plaintext.expose()), row.chat.parse::<Jid>()) else {
        return Ok(None);
    };
    let Some(id) = edited(&message) else { return Ok(None) };
    if is_open(tx, own, &chat, id, server_s)? {
        return Ok(None);
    }
    Ok(Some(Refused {
        why: Refusal::TooLateToEdit,
        detail: "the edited message is too old, or was not sent".to_owned(),
        until: None,
    }))
}
