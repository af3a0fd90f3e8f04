//! Stanzas of ours that the server found wrong (400, 479): counted for each chat; after three within ten minutes nothing
//! more is sent there for a day (protocol 05d §10). Durable, so that a restart does not begin anew.

use crate::client::devices::address;
use crate::client::send::outcome::Refusal;
use crate::client::send::release::Refused;
use crate::store::{Outgoing, StoreError, Tx, UnixMillis};
use crate::wire::Jid;

const SETTING: &str = "send.wrong";

/// So many within this time stop a chat, for this long. The specification leaves the last number open.
const MANY: usize = 3;
const WITHIN: UnixMillis = 10 * 60 * 1000;
const STOP: UnixMillis = 24 * 60 * 60 * 1000;

/// Entries that are kept; the oldest go first.
const KEPT: usize = 256;

type Entry = (UnixMillis, String);

fn load(tx: &Tx<'_>) -> Result<Vec<Entry>, StoreError> {
    let kept = tx.setting(SETTING)?;
    Ok(kept.and_then(|kept| serde_json::from_slice(kept.expose()).ok()).unwrap_or_default())
}

/// The name of a chat that does not change with its address.
fn name(tx: &Tx<'_>, chat: &str) -> Result<String, StoreError> {
    match chat.parse::<Jid>() {
        Ok(jid) => Ok(address::canonical(tx, &jid.to_user())?.to_string()),
        Err(_) => Ok(chat.to_owned()),
    }
}

/// The server found a stanza for this chat wrong.
pub(crate) fn note(tx: &mut Tx<'_>, chat: &str, now: UnixMillis) -> Result<(), StoreError> {
    let mut entries = load(tx)?;
    entries.retain(|(at, _)| now.saturating_sub(*at) < STOP + WITHIN);
    entries.push((now, name(tx, chat)?));
    let old = entries.len().saturating_sub(KEPT);
    entries.drain(..old);
    // Plain data: writing it can't fail.
    tx.set_setting(SETTING, Some(&serde_json::to_vec(&entries).unwrap_or_default()))
}

/// Whether a row's chat is stopped.
pub(crate) fn stopped(tx: &Tx<'_>, row: &Outgoing, now: UnixMillis) -> Result<Option<Refused>, StoreError> {
    let entries = load(tx)?;
    if entries.is_empty() {
        return Ok(None);
    }
    let chat = name(tx, &row.chat)?;
    let times: Vec<UnixMillis> =
        entries.into_iter().filter(|(_, of)| *of == chat).map(|(at, _)| at).collect();
    Ok(until(&times).filter(|until| now < *until).map(|until| Refused {
        why: Refusal::ChatStopped,
        detail:
            "the server found several of our stanzas for this chat wrong; nothing is sent there for a day"
                .to_owned(),
        until: Some(until),
    }))
}

/// When the stop of the last three in a row that came close together ends.
fn until(times: &[UnixMillis]) -> Option<UnixMillis> {
    let close = |few: &&[UnixMillis]| few.first().zip(few.last()).is_some_and(|(a, b)| b - a <= WITHIN);
    let last = times.windows(MANY).rfind(close)?.last()?;
    Some(last.saturating_add(STOP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_within_ten_minutes_stop_a_chat_for_a_day_and_three_over_a_longer_time_do_not() {
        assert_eq!(until(&[0, WITHIN]), None);
        assert_eq!(until(&[0, 1, WITHIN + 1]), None);
        assert_eq!(until(&[0, 1, WITHIN]), Some(WITHIN + STOP));
        assert_eq!(until(&[0, 1, 2, 5 * WITHIN]), Some(2 + STOP));
    }
}
