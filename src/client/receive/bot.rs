//! What a bot answers (`enc` of type `msmsg`): opened with the secret of the message that it answers (protocol 05b §4,
//! 04 §12.4).

use crate::client::devices::address;
use crate::client::receive::env::Env;
use crate::signal::addon::MessageSecret;
use crate::signal::bot::{self, Reply};
use crate::stanza::message::{Enc, Incoming, Source};
use crate::store::inbox::MessageKey;
use crate::store::{StoreError, Tx};

/// What opening a reply gave.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The serialized message, which is not padded.
    Text(Vec<u8>),
    /// The secret of the message that it answers is not known.
    NoSecret,
    /// It is not what it should be.
    Bad,
}

/// Opens a reply. Names are tried in both namespaces.
pub(crate) fn open(
    tx: &Tx<'_>,
    env: &Env,
    message: &Incoming<'_>,
    source: &Source,
    enc: &Enc<'_>,
) -> Result<Opened, StoreError> {
    let meta = &message.meta;
    let Some(target) = meta.target_id.as_deref() else { return Ok(Opened::NoSecret) };
    let asker = match &meta.target_sender {
        Some(sender) => sender.to_user(),
        None => env.own.in_namespace_of(&source.chat).to_user(),
    };
    let askers = address::both(tx, &asker)?;
    let Some(secret) = secret(tx, source, &askers, target)? else { return Ok(Opened::NoSecret) };
    let bot = source.device.to_user().to_string();
    // A streamed reply is sealed under the id of the one that it goes on with.
    let streamed = message
        .bot_edit
        .as_ref()
        .and_then(|(edit, of)| of.as_deref().filter(|_| matches!(edit.as_deref(), Some("inner" | "last"))));
    for reply_id in streamed.into_iter().chain([message.id.as_str()]) {
        for asker in &askers {
            let target_sender = asker.to_string();
            let reply = Reply { reply_id, target_sender: &target_sender, bot: &bot };
            if let Ok(text) = bot::open(&secret, &reply, &enc.ciphertext) {
                return Ok(Opened::Text(text));
            }
        }
    }
    Ok(Opened::Bad)
}

fn secret(
    tx: &Tx<'_>,
    source: &Source,
    askers: &[crate::wire::Jid],
    target: &str,
) -> Result<Option<MessageSecret>, StoreError> {
    for chat in address::both(tx, &source.chat)? {
        for asker in askers {
            let key = MessageKey::new(chat.to_string(), asker.to_string(), target);
            if let Some(secret) = tx.message_secret(&key)? {
                return Ok(MessageSecret::from_slice(secret.expose()));
            }
        }
    }
    Ok(None)
}
