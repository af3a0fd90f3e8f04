//! The notifications that concern Signal state (protocol 05c §2, §3): prekeys, identities, device lists, contact
//! tokens; and restrictions. The others are the dispatcher's.

use crate::client::devices::{address, identity, mapping, notification};
use crate::client::limits;
use crate::client::prekeys::LOW;
use crate::client::receive::env::{Effect, Env};
use crate::stanza::ack::{Answerable, Nack};
use crate::store::{Flag, StoreError, Tx};
use crate::wire::{Jid, NodeRef};

/// Whether a notification is one of this room.
pub(crate) fn is_ours(kind: &str, has_devices: bool) -> bool {
    matches!(kind, "encrypt" | "devices" | "privacy_token" | "mex") || kind == "account_sync" && has_devices
}

/// Handles one.
pub(crate) fn handle(tx: &mut Tx<'_>, env: &mut Env, node: NodeRef<'_>) -> Result<(), StoreError> {
    let Ok(Some(answerable)) = Answerable::of(node) else {
        tracing::warn!("a notification without id or sender can't be answered");
        return Ok(());
    };
    if node.str("type").as_deref() == Some("mex") {
        let nack = limits::mex(tx, &node.to_node(), env.times())?;
        env.effects.push(Effect::Limits);
        env.send(nack.map_or_else(|| answerable.ack(None), |nack| answerable.nack(None, nack)));
        return Ok(());
    }
    let own = env.own.clone();
    let fine = match node.str("type").as_deref() {
        Some("encrypt") => encrypt(tx, env, node)?,
        Some("devices") => {
            notification::devices(tx, &own, &env.epochs, node, env.now)? == notification::Taken::Yes
        }
        Some("account_sync") => {
            notification::own_devices(tx, &own, &env.epochs, node, env.now)?;
            true
        }
        Some("privacy_token") => token(tx, env, node)?,
        _ => true,
    };
    env.send(if fine { answerable.ack(None) } else { answerable.nack(None, Nack::Parsing) });
    Ok(())
}

fn encrypt(tx: &mut Tx<'_>, env: &mut Env, node: NodeRef<'_>) -> Result<bool, StoreError> {
    let Some(from) = node.jid("from") else { return Ok(true) };
    if node.find("identity").is_some() {
        if from.device() != 0 {
            return Ok(true);
        }
        if env.own.is_own(&from) {
            env.effects.push(Effect::OwnPhoneChanged);
            return Ok(true);
        }
        if let Some(lid) = node.jid("lid") {
            mapping::learn(tx, &from, &lid, env.now)?;
        }
        let forms = address::both(tx, &from)?;
        env.epochs.changed(forms.iter().map(Jid::to_string));
        if identity::server_says_changed(tx, &from, env.now)? {
            env.effects.push(Effect::Reissue(from.to_user()));
        }
        return Ok(true);
    }
    if let Some(count) = node.find("count") {
        let Some(left) = count.u64("value") else { return Ok(false) };
        if left < LOW {
            // Owed from now on, also across a crash: the ack does not wait for the upload.
            tx.set_flag(Flag::ServerHasNoPrekeys, true)?;
            env.effects.push(Effect::PrekeysLow);
        }
        return Ok(true);
    }
    if node.find("digest").is_some() {
        env.effects.push(Effect::Digest);
    }
    Ok(true)
}

/// A contact gives us a token (05d §6).
fn token(tx: &mut Tx<'_>, env: &mut Env, node: NodeRef<'_>) -> Result<bool, StoreError> {
    let (Some(from), Some(tokens)) = (node.jid("from"), node.find("tokens")) else { return Ok(false) };
    let lid = node.jid("sender_lid");
    if let Some(lid) = &lid {
        mapping::learn(tx, &from, lid, env.now)?;
    }
    let contact = address::canonical(tx, &from.to_user())?.to_user();
    for token in tokens.find_all("token") {
        let trusted = token.str("type").is_some_and(|kind| kind == "trusted_contact");
        let bytes = token.content_bytes().map(|bytes| bytes.into_owned()).filter(|bytes| !bytes.is_empty());
        let t = token.u64("t").and_then(|t| i64::try_from(t).ok());
        if let (true, Some(bytes), Some(t)) = (trusted, bytes, t) {
            keep_token(tx, &contact, bytes, t)?;
            limits::token_came(tx, &contact)?;
            env.effects.push(Effect::Limits);
        }
    }
    Ok(true)
}

/// Stores a token unless a newer one is there.
pub(crate) fn keep_token(tx: &mut Tx<'_>, contact: &Jid, bytes: Vec<u8>, t: i64) -> Result<(), StoreError> {
    let name = contact.to_string();
    let mut held = tx.contact_token(&name)?;
    if held.t.is_none_or(|stored| t >= stored) {
        (held.token, held.t) = (Some(bytes), Some(t));
        tx.put_contact_token(&name, &held)?;
    }
    Ok(())
}
