//! Receipts for messages of ours (protocol 05b §8): the state of the outbox, who has confirmed, events. Every one is
//! acked.

use crate::client::devices::address;
use crate::client::event::{Event, Receipt as Told, ReceiptKind};
use crate::client::receive::env::{Effect, Env};
use crate::client::send::settle;
use crate::stanza::ack::{Answerable, Nack};
use crate::stanza::receipt::{self, Incoming, Part, Received};
use crate::stanza::retry;
use crate::store::{Flag, OutgoingState, StoreError, Tx};
use crate::wire::{Jid, NodeRef};

/// Handles a receipt.
pub(crate) fn handle(tx: &mut Tx<'_>, env: &mut Env, node: NodeRef<'_>) -> Result<(), StoreError> {
    let Ok(Some(answerable)) = Answerable::of(node) else {
        tracing::warn!("a receipt without id or sender can't be answered");
        return Ok(());
    };
    let Ok(received) = Received::parse(node) else {
        env.send(answerable.nack(None, Nack::Parsing));
        return Ok(());
    };
    for part in &received.parts {
        match &part.kind {
            Incoming::Retry => match retry::Received::parse(node) {
                Ok(retry) => env.effects.push(Effect::Resend(Box::new(retry))),
                Err(error) => {
                    tracing::warn!(%error, "a retry receipt could not be read");
                    env.send(answerable.nack(None, Nack::Parsing));
                    return Ok(());
                }
            },
            Incoming::Told { what, own } => told(tx, env, &received, part, *what, *own)?,
            _ => {}
        }
    }
    env.send(answerable.ack(None));
    Ok(())
}

fn told(
    tx: &mut Tx<'_>,
    env: &mut Env,
    received: &Received,
    part: &Part,
    what: receipt::Told,
    own: bool,
) -> Result<(), StoreError> {
    let by_own = env.own.is_own(&part.reader);
    let is_user = received.from.is_user() || received.from.is_hosted();
    let chat = match &received.recipient {
        Some(recipient) if by_own => recipient.to_user(),
        _ if is_user && by_own => return Ok(()),
        _ if is_user => received.from.to_user(),
        _ => received.from.clone(),
    };
    let timestamp = part.t.and_then(|t| i64::try_from(t).ok()).unwrap_or(env.server_s);
    if own || by_own {
        // Our own other device read the chat; its delivery says nothing about ours.
        if matches!(what, receipt::Told::Read | receipt::Told::Played) {
            push(tx, env, &chat, part, ReceiptKind::ReadElsewhere, timestamp)?;
        }
        return Ok(());
    }
    // Who shows nobody that he reads is not shown it either.
    let what = match what {
        receipt::Told::Read | receipt::Told::Played if is_user && tx.flag(Flag::ReadReceiptsOff)? => {
            receipt::Told::Delivered
        }
        other => other,
    };
    let (kind, state) = match what {
        receipt::Told::Inactive => (ReceiptKind::Inactive, None),
        receipt::Told::Delivered if received.incapable => return Ok(()),
        receipt::Told::Delivered => (ReceiptKind::Delivered, Some(OutgoingState::Delivered)),
        receipt::Told::Read => (ReceiptKind::Read, Some(OutgoingState::Read)),
        receipt::Told::Played => (ReceiptKind::Played, Some(OutgoingState::Played)),
    };
    let device = address::key(&address::canonical(tx, &part.reader)?);
    for id in &part.ids {
        for form in forms(tx, &chat)? {
            tx.confirm_target(&form, id, &device)?;
            if let Some(state) = state {
                settle::confirmed(tx, &form, id, state, timestamp, env.now)?;
            }
        }
    }
    push(tx, env, &chat, part, kind, timestamp)
}

/// A chat under both of its addresses.
pub(crate) fn forms(tx: &Tx<'_>, chat: &Jid) -> Result<Vec<String>, StoreError> {
    let mut forms = vec![chat.to_string()];
    if chat.is_user() {
        forms.extend(address::other_form(tx, chat)?.map(|other| other.to_string()));
    }
    Ok(forms)
}

fn push(
    tx: &mut Tx<'_>,
    env: &Env,
    chat: &Jid,
    part: &Part,
    kind: ReceiptKind,
    timestamp: i64,
) -> Result<(), StoreError> {
    let event = Event::Receipt(Told {
        chat: chat.to_string(),
        device: part.reader.to_string(),
        ids: part.ids.clone(),
        kind,
        timestamp,
    });
    tx.push_event(&event.row(env.now), env.now).map(drop)
}
