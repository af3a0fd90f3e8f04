//! Peer messages: what this device asks its own phone, or answers another own device (protocol 05a §11). They are rows
//! of the outbox like every send, but the application hears nothing of them.

use prost::Message as _;
use rand_chacha::ChaCha20Rng;

use crate::client::devices::own::Own;
use crate::client::devices::{address, session};
use crate::client::send::encrypt::{self, NotEncrypted};
use crate::proto::Message;
use crate::proto::message::PeerDataOperationRequestType;
use crate::signal::{CiphertextType, padding};
use crate::stanza::content::Kind;
use crate::stanza::outgoing::{Body, Cipher, Enc, Outgoing as Stanza, Peer, PushPriority};
use crate::store::{Outgoing, OutgoingState, SecretBytes, Tx, UnixMillis};
use crate::wire::Jid;

/// The kind of such a row; its chat is the own number, with the device unless that is the phone.
pub(crate) const KIND: &str = "peer";

/// Whether a row is a peer message.
pub(crate) fn is_peer(row: &Outgoing) -> bool {
    row.kind == KIND
}

/// The own device that a row is for: by number, the phone unless the row names another one.
pub(crate) fn device(row: &Outgoing, own: &Own) -> Jid {
    let named = row.chat.parse::<Jid>().map_or(0, |chat| chat.device());
    if named == 0 { own.pn.to_user() } else { own.pn.with_device(named) }
}

/// How urgently a request wakes the phone (05a §11). For a placeholder or a link preview a phone is woken only if it has
/// announced that it can be, which is told by app state; so far as we know it has not.
fn importance(message: &Message) -> Peer {
    use PeerDataOperationRequestType as Asked;
    let request = message.protocol_message.as_ref().and_then(|protocol| {
        let request = protocol.peer_data_operation_request_message.as_ref()?;
        Asked::try_from(request.peer_data_operation_request_type?).ok()
    });
    let (priority, privacy_sensitive) = match request {
        Some(Asked::HistorySyncOnDemand | Asked::FullHistorySyncOnDemand) => (PushPriority::HighForce, true),
        Some(
            Asked::WaffleLinkingNonceFetch
            | Asked::CompanionMetaNonceFetch
            | Asked::CompanionCanonicalUserNonceFetch,
        ) => (PushPriority::HighForce, false),
        _ => (PushPriority::High, false),
    };
    Peer { priority, privacy_sensitive }
}

/// Encrypts a row for its device and writes what has to be durable before it leaves. `None`: it is not wanted any
/// more.
pub(crate) fn seal(
    tx: &mut Tx<'_>,
    key: &str,
    now: UnixMillis,
    rng: &mut ChaCha20Rng,
) -> Result<Option<Vec<u8>>, NotEncrypted> {
    let own = Own::load(tx)?.ok_or(NotEncrypted::BadMessage)?;
    let Some(mut row) = tx.outgoing(key)?.filter(|row| row.state == OutgoingState::Queued) else {
        return Ok(None);
    };
    let to = device(&row, &own);
    let device = address::key(&address::canonical(tx, &to)?);
    let padded = padding::pad(row.plaintext.expose(), rng);
    let (sent, _) = session::encrypt(tx, &device, &padded, now)?.ok_or(NotEncrypted::Nobody)?;
    let cipher = match sent.kind {
        CiphertextType::PreKey => Cipher::PreKeyMessage,
        CiphertextType::Message => Cipher::Message,
    };
    let body = Body::One(Enc::new(cipher, sent.bytes));
    let mut stanza = Stanza::new(row.message_id.clone(), to, Kind::Text, body);
    stanza.peer = Some(importance(&Message::decode(row.plaintext.expose()).unwrap_or_default()));
    stanza.meta = vec![("appdata", "default".into())];
    if stanza.needs_device_identity() {
        if own.account.is_empty() {
            return Err(NotEncrypted::NoIdentity);
        }
        stanza.device_identity = Some(own.account);
    }
    let bytes = encrypt::encode(&stanza.build())?;
    row.stanza = Some(SecretBytes::new(bytes.clone()));
    row.state = OutgoingState::Encrypted;
    row.encrypted_at = Some(now);
    row.last_attempt_at = Some(now);
    row.attempts = row.attempts.saturating_add(1);
    tx.put_outgoing(&row)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::message::protocol_message::Type;
    use crate::proto::message::{PeerDataOperationRequestMessage, ProtocolMessage};

    fn request(asked: PeerDataOperationRequestType) -> Message {
        Message {
            protocol_message: Some(Box::new(ProtocolMessage {
                r#type: Some(Type::PeerDataOperationRequestMessage as i32),
                peer_data_operation_request_message: Some(Box::new(PeerDataOperationRequestMessage {
                    peer_data_operation_request_type: Some(asked as i32),
                    ..Default::default()
                })),
                ..Default::default()
            })),
            ..Message::default()
        }
    }

    #[test]
    fn the_urgency_of_a_request_is_that_of_its_kind() {
        use PeerDataOperationRequestType as Asked;
        let table = [
            (Asked::PlaceholderMessageResend, PushPriority::High, false),
            (Asked::GenerateLinkPreview, PushPriority::High, false),
            (Asked::CompanionMetaNonceFetch, PushPriority::HighForce, false),
            (Asked::HistorySyncOnDemand, PushPriority::HighForce, true),
        ];
        for (asked, priority, privacy_sensitive) in table {
            assert_eq!(importance(&request(asked)), Peer { priority, privacy_sensitive }, "{asked:?}");
        }
        let high = Peer { priority: PushPriority::High, privacy_sensitive: false };
        assert_eq!(importance(&Message::default()), high);
    }
}
