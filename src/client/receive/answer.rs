//! How a message is answered after a success, and the request for one that failed (protocol 05b §7 to §9).

use crate::client::prekeys::{mint, one_time, signed_prekey};
use crate::client::receive::env::Env;
use crate::signal::RetryReason;
use crate::stanza::keys::Bundle;
use crate::stanza::message::{Chat, Incoming, Source};
use crate::stanza::receipt::{Kind, Receipt};
use crate::stanza::retry::{Reason, Request};
use crate::store::{StoreError, Tx};

/// The receipt of a message that was obtained; `None`: it is acked. `quiet`: it has no ticks; `silent`: none has.
pub(crate) fn success(message: &Incoming<'_>, source: &Source, quiet: bool, silent: bool) -> Option<Receipt> {
    let receipt = |kind| Receipt::new(kind, message.from.clone(), vec![message.id.clone()]);
    if message.is_peer() {
        return Some(receipt(Kind::PeerMessage));
    }
    let in_group = matches!(source.kind, Chat::Group | Chat::Status | Chat::Broadcast);
    if source.from_me {
        return match (&message.recipient, in_group) {
            (_, true) => {
                let participant = message.participant.clone();
                Some(Receipt { participant, ..receipt(Kind::Sender) })
            }
            (Some(recipient), false) => {
                let recipient = Some(recipient.without_device());
                Some(Receipt { recipient, ..receipt(Kind::Sender) })
            }
            (None, false) => None,
        };
    }
    if is_bot_elsewhere(source) {
        return None;
    }
    let kind = if silent || quiet && message.offline.is_none() { Kind::Inactive } else { Kind::Delivery };
    let participant = message.participant.clone().filter(|_| in_group);
    Some(Receipt { participant, ..receipt(kind) })
}

/// A bot wrote in a chat that is not its own.
pub(crate) fn is_bot_elsewhere(source: &Source) -> bool {
    source.device.is_bot() && !source.chat.is_bot()
}

/// The request to encrypt again; from the second one on it brings our keys.
pub(crate) fn retry(
    tx: &mut Tx<'_>,
    env: &mut Env,
    message: &Incoming<'_>,
    source: &Source,
    count: u32,
    reason: Option<RetryReason>,
) -> Result<Request, StoreError> {
    let forced = source.device.is_hosted();
    let keys = if count >= 2 || forced { keys(tx, env)? } else { None };
    let in_group = matches!(source.kind, Chat::Group | Chat::Status | Chat::Broadcast);
    Ok(Request {
        to: message.from.clone(),
        participant: message.participant.clone().filter(|_| in_group),
        recipient: message.recipient.as_ref().filter(|_| source.from_me).map(|chat| chat.without_device()),
        is_peer: message.is_peer(),
        id: message.id.clone(),
        count,
        t: message.t.unwrap_or(0),
        reason: reason.and_then(|reason| Reason::of(u64::from(reason.code()))),
        registration_id: env.own.registration_id,
        keys,
    })
}

/// Our keys, with a one-time prekey that no upload ever offers. Without our device identity there are none.
fn keys(tx: &mut Tx<'_>, env: &mut Env) -> Result<Option<Bundle>, StoreError> {
    if env.own.account.is_empty() {
        return Ok(None);
    }
    let signed = mint::current(tx, &env.own, env.now, &mut env.rng)?;
    let prekey = mint::for_retry(tx, &mut env.rng)?;
    Ok(Some(Bundle {
        registration_id: env.own.registration_id,
        identity: env.own.identity.public().0,
        signed_prekey: signed_prekey(&signed),
        prekey: Some(one_time(&prekey)),
        device_identity: Some(env.own.account.clone()),
    }))
}
