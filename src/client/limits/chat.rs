//! What decides about one chat: whether the service lets it through, whether anybody has written in it, whether its user
//! is blocked (protocol 05d §9.2). From the store.

use super::decide;
use super::record::DAY;
use crate::client::devices::own::Own;
use crate::client::devices::{address, devices_of};
use crate::client::send::release::Times;
use crate::client::send::token;
use crate::store::{ChatFacts, Outgoing, OutgoingState, StoreError, Tx, UnixMillis};
use crate::wire::Jid;

/// Messages of one chat that are looked at for one under way.
const LOOKED_AT: usize = 64;

/// The device number that only hosted devices have.
const HOSTED: u16 = 99;

/// A time that moved by less is not written again.
const COARSE: UnixMillis = 60_000;

/// The name under which a user's chat stands: the LID where it is known.
pub(super) fn name(tx: &Tx<'_>, user: &Jid) -> Result<String, StoreError> {
    Ok(address::canonical(tx, &user.to_user())?.to_user().to_string())
}

/// What is known of a chat under either address.
pub(super) fn facts(tx: &Tx<'_>, user: &Jid) -> Result<ChatFacts, StoreError> {
    let mut all = ChatFacts::default();
    for form in address::both(tx, user)? {
        let one = tx.chat_facts(&form.to_string())?;
        all.heard_at = all.heard_at.max(one.heard_at);
        all.written_at = all.written_at.max(one.written_at);
        all.blocked |= one.blocked;
        all.large_business |= one.large_business;
        all.refused_until = all.refused_until.max(one.refused_until);
        all.refused_at = all.refused_at.max(one.refused_at);
        all.counted_at = all.counted_at.max(one.counted_at);
    }
    Ok(all)
}

/// Changes what is known of a chat; written under the name that it has now, and only there.
pub(super) fn change(
    tx: &mut Tx<'_>,
    user: &Jid,
    change: impl FnOnce(&mut ChatFacts),
) -> Result<(), StoreError> {
    let before = facts(tx, user)?;
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        return Ok(());
    }
    let name = name(tx, user)?;
    for form in address::both(tx, user)? {
        let form = form.to_string();
        if form != name {
            tx.put_chat_facts(&form, &ChatFacts::default())?;
        }
    }
    tx.put_chat_facts(&name, &after)
}

fn later(at: &mut Option<UnixMillis>, now: UnixMillis) {
    if at.is_none_or(|at| now >= at + COARSE) {
        *at = Some(now);
    }
}

/// A user has written to us at that time. Whether that may free the chat: nobody had written there for a day.
pub(crate) fn heard(
    tx: &mut Tx<'_>,
    user: &Jid,
    large_business: bool,
    at: UnixMillis,
) -> Result<bool, StoreError> {
    let mut news = false;
    change(tx, user, |facts| {
        news = facts.heard_at.is_none_or(|heard| at >= heard + DAY);
        later(&mut facts.heard_at, at);
        facts.large_business |= large_business;
    })?;
    Ok(news)
}

/// The server took a message of the own account in a chat with a user.
pub(crate) fn wrote(tx: &mut Tx<'_>, user: &Jid, at: UnixMillis) -> Result<(), StoreError> {
    change(tx, user, |facts| later(&mut facts.written_at, at))
}

/// A user's token came: its chat is free again.
pub(crate) fn token_came(tx: &mut Tx<'_>, user: &Jid) -> Result<(), StoreError> {
    change(tx, user, |facts| (facts.refused_until, facts.refused_at) = (None, None))
}

/// These users are blocked, and nobody else.
pub(crate) fn blocked(tx: &mut Tx<'_>, users: &[Vec<Jid>]) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let page = tx.users_with_facts(&after, 256)?;
        let Some(last) = page.last() else { break };
        after.clone_from(last);
        for user in page {
            let mut facts = tx.chat_facts(&user)?;
            if std::mem::take(&mut facts.blocked) {
                tx.put_chat_facts(&user, &facts)?;
            }
        }
    }
    for user in users.iter().flatten() {
        change(tx, user, |facts| facts.blocked = true)?;
    }
    Ok(())
}

/// What is known of the chat of a message.
pub(super) fn of(
    tx: &Tx<'_>,
    own: &Own,
    user: &Jid,
    row: &Outgoing,
    times: Times,
) -> Result<decide::Chat, StoreError> {
    let facts = facts(tx, user)?;
    // `0` speaks for the service itself.
    let always = own.is_own(user) || user.is_bot() || user.user() == "0" || facts.large_business;
    let exempt = always || token::is_held(tx, user, times.server_s)?;
    let known = facts.heard_at.is_some() || facts.written_at.is_some();
    Ok(decide::Chat {
        exempt,
        exempt_from_cap: exempt || is_hosted(tx, user)?,
        known,
        heard_at: facts.heard_at,
        counted_at: facts.counted_at,
        blocked: facts.blocked,
        refused_until: facts.refused_until,
        under_way: !exempt && !known && is_under_way(tx, row)?,
    })
}

/// A business whose messages the service's own servers handle.
fn is_hosted(tx: &Tx<'_>, user: &Jid) -> Result<bool, StoreError> {
    let devices = devices_of(tx, user)?.unwrap_or_default();
    Ok(devices.iter().any(|device| device.is_hosted() || device.device() == HOSTED))
}

/// Whether another message to the chat is encrypted and not answered.
fn is_under_way(tx: &Tx<'_>, row: &Outgoing) -> Result<bool, StoreError> {
    for id in tx.outgoing_ids(&row.chat, LOOKED_AT)? {
        let other = tx.outgoing_message(&row.chat, &id)?;
        if other.is_some_and(|other| other.seq != row.seq && other.state == OutgoingState::Encrypted) {
            return Ok(true);
        }
    }
    Ok(false)
}
