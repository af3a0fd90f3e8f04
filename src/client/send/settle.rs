//! The server's ack of a message, and what follows (protocol 05a §12). Inside a transaction.

use std::time::Duration;

use crate::client::devices::own::{Own, is_lid_family};
use crate::client::event::{Event, Progress, SendState};
use crate::client::limits;
use crate::client::receive::receipts::forms;
use crate::client::send::release::Refused;
use crate::client::send::{peer, plan, wrong};
use crate::stanza::ack::ServerAck;
use crate::store::{Missed, Outgoing, OutgoingState, StoreError, Tx, UnixMillis};
use crate::wire::Jid;

/// How long the devices that were missed are reached, in milliseconds.
pub(crate) const REACH: UnixMillis = 5 * 60 * 1000;

/// What is to be done after an ack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    /// The device set was stale: reach those that were missed.
    ReachMissed,
    /// Send the same bytes again after this time.
    Again(Duration),
    /// Encrypt anew: the address has changed.
    Anew,
    /// No message of the account before so many seconds have passed.
    Pause(Option<u64>),
    /// Give the contact a token of ours, and ask what restricts the account.
    IssueToken,
    /// Ask how the cap on new chats stands.
    AskCap,
}

/// Takes an ack into a row.
pub(crate) fn settle(
    tx: &mut Tx<'_>,
    own: &Own,
    key: &str,
    ack: &ServerAck,
    now: UnixMillis,
) -> Result<After, StoreError> {
    let Some(mut row) = tx.outgoing(key)? else { return Ok(After::Nothing) };
    let Some(code) = ack.error.map(u32::from) else {
        return sent(tx, &mut row, ack, now);
    };
    let lid_addressed = ack.from.as_ref().is_some_and(is_lid_family);
    match code {
        400 if lid_addressed && !plan::is_migrated(tx, own)? && row.attempts <= 1 => {
            plan::mark_unmigrated(tx, true)?;
            requeue(tx, &mut row)?;
            Ok(After::Anew)
        }
        429 => {
            // The row stays as it is and goes again with the same bytes.
            Ok(After::Pause(ack.backoff))
        }
        500 | 503 if row.attempts <= 1 => {
            let wait = ack.backoff.map_or(0, |s| s.min(86_400)).max(5);
            Ok(After::Again(Duration::from_secs(wait)))
        }
        code => {
            let to_phone = peer::is_peer(&row);
            if matches!(code, 400 | 479) && !to_phone {
                wrong::note(tx, &row.chat, now)?;
            }
            if code == 463 && !lid_addressed && !to_phone {
                // A migrated account's chats by number are refused like that.
                plan::mark_unmigrated(tx, false)?;
            }
            if let (false, Some(chat)) = (to_phone, chat_of(&row)) {
                match code {
                    463 => limits::refused_463(tx, &chat, lid_addressed, now)?,
                    475 => limits::refused_475(tx, now)?,
                    _ => {}
                }
            }
            fail(tx, &mut row, Some(code), meaning(code), now)?;
            Ok(match code {
                463 if !to_phone => After::IssueToken,
                475 if !to_phone => After::AskCap,
                _ => After::Nothing,
            })
        }
    }
}

fn meaning(code: u32) -> &'static str {
    match code {
        400 => "the server found the stanza malformed",
        403 | 405 => "not allowed in this chat",
        404 => "the recipient does not exist",
        421 => "the chat's addressing has changed",
        463 => "this account may not begin this chat now",
        473 => "business content is refused",
        475 => "the cap on new chats is reached",
        479 => "the server found the stanza invalid",
        500 | 503 => "the server is in trouble",
        _ => "the server refused it",
    }
}

fn sent(tx: &mut Tx<'_>, row: &mut Outgoing, ack: &ServerAck, now: UnixMillis) -> Result<After, StoreError> {
    row.server_time = ack.t.and_then(|t| i64::try_from(t).ok());
    row.stanza = None;
    if let Some(chat) = chat_of(row).filter(|_| !peer::is_peer(row)) {
        limits::wrote(tx, &chat, now)?;
    }
    let hash = ack.phash.clone().filter(|_| row.reach_missed_until.is_none() && !peer::is_peer(row));
    let missed = hash.is_some();
    if let Some(hash) = hash {
        let until = now.saturating_add(REACH);
        row.reach_missed_until = Some(until);
        tx.put_missed(row.seq, &Missed { key: row.key.clone(), hash, until, stanza: None })?;
    }
    // A receipt may have come before the ack.
    row.state = row.state.max(OutgoingState::Sent);
    tx.put_outgoing(row)?;
    let timestamp = row.server_time.unwrap_or(now / 1000);
    tell(tx, row, SendState::Sent { timestamp, phone_missed: row.phone_missed }, now)?;
    Ok(if missed { After::ReachMissed } else { After::Nothing })
}

/// A message of ours is revoked: devices that missed it are not reached any more.
pub(crate) fn revoked(tx: &mut Tx<'_>, chat: &Jid, message_id: &str) -> Result<(), StoreError> {
    for form in forms(tx, chat)? {
        if let Some(mut row) = tx.outgoing_message(&form, message_id)? {
            row.reach_missed_until = Some(0);
            tx.put_outgoing(&row)?;
            tx.settle_missed(row.seq)?;
        }
    }
    Ok(())
}

/// Takes a device's receipt into a row. One that overtakes the server's ack is the server's word as well: after a crash
/// the ack may never be heard, because a delivered message does not go out again.
pub(crate) fn confirmed(
    tx: &mut Tx<'_>,
    chat: &str,
    message_id: &str,
    state: OutgoingState,
    timestamp: i64,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let before = tx.outgoing_message(chat, message_id)?.map(|row| row.state);
    let Some(row) = tx.raise_outgoing(chat, message_id, state)? else { return Ok(()) };
    if before.is_some_and(|before| before.is_open() || before == OutgoingState::Unknown) {
        tell(tx, &row, SendState::Sent { timestamp, phone_missed: row.phone_missed }, now)?;
    }
    Ok(())
}

/// The row is encrypted anew, under its old id.
pub(crate) fn requeue(tx: &mut Tx<'_>, row: &mut Outgoing) -> Result<(), StoreError> {
    row.state = OutgoingState::Queued;
    row.stanza = None;
    tx.put_outgoing(row)
}

/// Ends a row as failed.
pub(crate) fn fail(
    tx: &mut Tx<'_>,
    row: &mut Outgoing,
    code: Option<u32>,
    detail: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    row.error = code;
    row.detail = Some(detail.to_owned());
    failed(tx, row, now)
}

/// Ends a row for a reason of our own.
pub(crate) fn refuse(
    tx: &mut Tx<'_>,
    row: &mut Outgoing,
    refused: &Refused,
    now: UnixMillis,
) -> Result<(), StoreError> {
    row.why = refused.why.name().map(str::to_owned);
    row.detail = Some(refused.detail.clone());
    row.until = refused.until;
    failed(tx, row, now)
}

fn failed(tx: &mut Tx<'_>, row: &mut Outgoing, now: UnixMillis) -> Result<(), StoreError> {
    row.state = OutgoingState::Failed;
    row.stanza = None;
    tx.put_outgoing(row)?;
    SendState::of(row).map_or(Ok(()), |state| tell(tx, row, state, now))
}

/// Ends a row whose outcome is not known.
pub(crate) fn give_up(tx: &mut Tx<'_>, row: &mut Outgoing, now: UnixMillis) -> Result<(), StoreError> {
    row.state = OutgoingState::Unknown;
    row.stanza = None;
    tx.put_outgoing(row)?;
    tell(tx, row, SendState::Unknown, now)
}

/// Tells the application how a row stands.
pub(crate) fn tell(
    tx: &mut Tx<'_>,
    row: &Outgoing,
    state: SendState,
    now: UnixMillis,
) -> Result<(), StoreError> {
    if peer::is_peer(row) {
        // Our own business with the phone.
        return Ok(());
    }
    let event = Event::Outgoing(Progress {
        key: row.key.clone(),
        chat: row.chat.clone(),
        id: row.message_id.clone(),
        state,
    });
    tx.push_event(&event.row(now), now).map(drop)
}

/// The chat of a row.
pub(crate) fn chat_of(row: &Outgoing) -> Option<Jid> {
    row.chat.parse().ok()
}
