//! Keys of app state that another own device asks for (protocol 06 §2.2): it alone gets an answer, with an entry for
//! every id, empty where we hold no key. The answer is a peer message, written in the transaction of the request.

use prost::Message as _;

use crate::client::receive::env::{Effect, Env};
use crate::client::send::peer;
use crate::crypto::random_bytes;
use crate::proto::Message;
use crate::proto::message::protocol_message::Type;
use crate::proto::message::{
    AppStateSyncKey, AppStateSyncKeyData, AppStateSyncKeyId, AppStateSyncKeyRequest, AppStateSyncKeyShare,
    ProtocolMessage,
};
use crate::stanza::message::{Incoming, Source};
use crate::stanza::message_id;
use crate::store::{Enqueued, NewOutgoing, SecretBytes, StoreError, Tx};

/// The most ids of one request that are answered; an account has a handful of keys.
const MAX_IDS: usize = 256;

/// Writes the answer to a request of an own device. The caller has checked whose it is.
pub(crate) fn answer(
    tx: &mut Tx<'_>,
    env: &mut Env,
    stanza: &Incoming<'_>,
    source: &Source,
    asked: &AppStateSyncKeyRequest,
) -> Result<(), StoreError> {
    if env.own.is_this_device(&source.device) || asked.key_ids.is_empty() {
        return Ok(());
    }
    let mut keys = Vec::new();
    for id in asked.key_ids.iter().take(MAX_IDS) {
        let held = tx.app_state_key(id.key_id.as_deref().unwrap_or_default())?;
        let key_data = held.and_then(|held| crate::proto::decode::<AppStateSyncKeyData>(held.expose()).ok());
        keys.push(AppStateSyncKey {
            key_id: Some(AppStateSyncKeyId { key_id: id.key_id.clone() }),
            key_data,
        });
    }
    let seconds = u64::try_from(env.server_s).unwrap_or(0);
    let new = NewOutgoing {
        key: format!("{} keys {} {}", peer::KIND, source.device, stanza.id),
        message_id: message_id::generate(Some(&env.own.pn), seconds, &random_bytes(&mut env.rng)),
        // Own devices are addressed by number.
        chat: env.own.pn.with_device(source.device.device()).to_string(),
        kind: peer::KIND.to_owned(),
        plaintext: SecretBytes::new(share(keys).encode_to_vec()),
        edit: None,
        campaign: false,
    };
    if matches!(tx.enqueue(&new, env.now)?, Enqueued::New(_)) {
        env.effects.push(Effect::Outbox);
    }
    Ok(())
}

fn share(keys: Vec<AppStateSyncKey>) -> Message {
    Message {
        protocol_message: Some(Box::new(ProtocolMessage {
            r#type: Some(Type::AppStateSyncKeyShare as i32),
            app_state_sync_key_share: Some(Box::new(AppStateSyncKeyShare { keys })),
            ..Default::default()
        })),
        ..Message::default()
    }
}
