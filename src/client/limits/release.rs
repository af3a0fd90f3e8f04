//! The outbox asks: may this message leave now? The answer from what the store knows (protocol 05d §9.2), and what it
//! costs, taken in the transaction that encrypts it.

use prost::Message as _;

use super::chat;
use super::decide::{CapProps, Cost, Message, NewChats, Verdict, decide};
use super::record::{Restrictions, Text, Unit};
use crate::client::devices::own::Own;
use crate::client::properties::{Properties, Property};
use crate::client::send::release::Times;
use crate::crypto::sha256;
use crate::proto;
use crate::store::{Outgoing, OutgoingState, StoreError, Tx};
use crate::wire::Jid;

/// How long an answer counts if the server says nothing, in seconds.
const LIFETIME: u64 = 3600;

/// What the server's properties say of the cap.
pub(super) fn props(tx: &Tx<'_>) -> Result<CapProps, StoreError> {
    let said = Properties::load(tx)?;
    let number = |property| said.number(property).filter(|number| *number > 0);
    let quota = [Property::NewChats, Property::NewThreads].into_iter().filter_map(number).min();
    let quota = quota.filter(|_| number(Property::NewChatsOff).is_none()).unwrap_or(0);
    let lifetime = number(Property::NewChatsLifetime).unwrap_or(LIFETIME);
    Ok(CapProps {
        quota: u32::try_from(quota).unwrap_or(u32::MAX),
        lifetime: i64::try_from(lifetime).unwrap_or(i64::MAX).saturating_mul(1000),
    })
}

/// Looks, and changes nothing.
pub(super) fn check(
    tx: &Tx<'_>,
    own: &Own,
    row: &Outgoing,
    budget: &NewChats,
    times: Times,
) -> Result<Verdict, StoreError> {
    let Ok(user) = row.chat.parse::<Jid>() else { return Ok(Verdict::Go(Cost::default())) };
    if !user.is_user() {
        return Ok(Verdict::Go(Cost::default()));
    }
    let kept = Restrictions::load(tx)?;
    let name = chat::name(tx, &user)?;
    let message = Message {
        chat: chat::of(tx, own, &user, row, times)?,
        name: &name,
        campaign: row.campaign,
        created_at: row.created_at,
        paid: row.state == OutgoingState::Encrypted,
        text: text(row),
    };
    Ok(decide(&kept, budget, props(tx)?, &message, times.now))
}

/// Looks again, in the transaction that encrypts; what the message costs is taken.
pub(super) fn take(
    tx: &mut Tx<'_>,
    own: &Own,
    row: &Outgoing,
    budget: &NewChats,
    times: Times,
) -> Result<Verdict, StoreError> {
    let verdict = check(tx, own, row, budget, times)?;
    let (Verdict::Go(cost), Ok(user)) = (verdict, row.chat.parse::<Jid>()) else { return Ok(verdict) };
    if cost == Cost::default() {
        return Ok(verdict);
    }
    let now = times.now;
    let mut kept = Restrictions::load(tx)?;
    kept.units.push(Unit { at: now, new: cost.new_chat });
    if let (true, Some(hash)) = (cost.new_chat, text(row)) {
        kept.texts.push(Text { hash, chat: chat::name(tx, &user)?, at: now });
    }
    kept.save(tx, now)?;
    chat::change(tx, &user, |facts| facts.counted_at = Some(now))?;
    Ok(verdict)
}

/// What stands for the content of a message when texts are compared: its text, or all of it but the secrets.
fn text(row: &Outgoing) -> Option<u64> {
    let mut message = proto::Message::decode(row.plaintext.expose()).ok()?;
    let extended = message.extended_text_message.as_ref().and_then(|text| text.text.as_deref());
    let bytes = match message.conversation.as_deref().or(extended) {
        Some(text) => text.trim().as_bytes().to_vec(),
        None => {
            message.message_context_info = None;
            message.encode_to_vec()
        }
    };
    let first: [u8; 8] = sha256(&bytes).first_chunk().copied()?;
    (!bytes.is_empty()).then(|| u64::from_be_bytes(first))
}
