//! Contact tokens: the one we hold goes beside our messages, and one of ours lets the contact reach us (protocol
//! 05a §13, 05d §6).

use crate::client::devices::address;
use crate::stanza::contact_token::Buckets;
use crate::stanza::outgoing::ContactToken;
use crate::store::{StoreError, Tx, UnixMillis};
use crate::wire::Jid;

fn seconds(now: UnixMillis) -> u64 {
    u64::try_from(now / 1000).unwrap_or(0)
}

/// The name under which a contact's tokens stand: the LID where it is known.
pub(crate) fn name(tx: &Tx<'_>, contact: &Jid) -> Result<String, StoreError> {
    Ok(address::canonical(tx, &contact.to_user())?.to_user().to_string())
}

/// The token that we hold from a contact, while it is good.
pub(crate) fn held(tx: &Tx<'_>, contact: &Jid, now: UnixMillis) -> Result<Option<ContactToken>, StoreError> {
    let stored = tx.contact_token(&name(tx, contact)?)?;
    let t = stored.t.and_then(|t| u64::try_from(t).ok());
    let good = !Buckets::default().is_expired(seconds(now), t);
    Ok(stored.token.filter(|_| good).map(ContactToken::Trusted))
}

/// The phone number to which a token is to be issued now; `None`: not due, or the number is not known.
pub(crate) fn due(tx: &Tx<'_>, contact: &Jid, now: UnixMillis) -> Result<Option<Jid>, StoreError> {
    let stored = tx.contact_token(&name(tx, contact)?)?;
    let issued = stored.issued_t.and_then(|t| u64::try_from(t).ok());
    if !Buckets::default().is_due(seconds(now), issued) {
        return Ok(None);
    }
    number(tx, contact)
}

/// The phone number of a contact.
pub(crate) fn number(tx: &Tx<'_>, contact: &Jid) -> Result<Option<Jid>, StoreError> {
    let contact = contact.to_user();
    if contact.is_pn() {
        return Ok(Some(contact));
    }
    address::other_form(tx, &contact)
}

/// A token was issued.
pub(crate) fn issued(tx: &mut Tx<'_>, contact: &Jid, t: i64) -> Result<(), StoreError> {
    let name = name(tx, contact)?;
    let mut stored = tx.contact_token(&name)?;
    stored.issued_t = Some(t);
    tx.put_contact_token(&name, &stored)
}
