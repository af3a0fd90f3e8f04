//! Peer messages: what this device asks its own phone (protocol 05a §11). They are rows of the outbox like every send,
//! but the application hears nothing of them.

use rand_chacha::ChaCha20Rng;

use crate::client::devices::own::Own;
use crate::client::devices::{address, session};
use crate::client::send::encrypt::{self, NotEncrypted};
use crate::signal::{CiphertextType, padding};
use crate::stanza::content::Kind;
use crate::stanza::outgoing::{Body, Cipher, Enc, Outgoing as Stanza, Peer, PushPriority};
use crate::store::{Outgoing, OutgoingState, SecretBytes, Tx, UnixMillis};
use crate::wire::Jid;

/// The kind of such a row; its chat is the own number.
pub(crate) const KIND: &str = "peer";

/// Whether a row is a peer message.
pub(crate) fn is_peer(row: &Outgoing) -> bool {
    row.kind == KIND
}

/// The own phone.
pub(crate) fn phone(own: &Own) -> Jid {
    own.pn.to_user()
}

/// Encrypts a row for the own phone and writes what has to be durable before it leaves. `None`: it is not wanted any
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
    let phone = phone(&own);
    let device = address::key(&address::canonical(tx, &phone)?);
    let padded = padding::pad(row.plaintext.expose(), rng);
    let (sent, _) = session::encrypt(tx, &device, &padded, now)?.ok_or(NotEncrypted::Nobody)?;
    let cipher = match sent.kind {
        CiphertextType::PreKey => Cipher::PreKeyMessage,
        CiphertextType::Message => Cipher::Message,
    };
    let body = Body::One(Enc::new(cipher, sent.bytes));
    let mut stanza = Stanza::new(row.message_id.clone(), phone, Kind::Text, body);
    // That the phone can be woken for it is told by app state only.
    stanza.peer = Some(Peer { priority: PushPriority::High, privacy_sensitive: false });
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
