//! The identity policy: trust on first use, trust on change, never block, always tell (protocol 04 §11.4).

use crate::client::devices::address;
use crate::client::devices::own::Own;
use crate::client::devices::{record, session};
use crate::client::event::Event;
use crate::client::send::token;
use crate::crypto::PublicKey;
use crate::signal::IdentityKey;
use crate::store::{IdentityChange, StoreError, Tx, UnixMillis};
use crate::wire::Jid;

/// The stored identity of a device.
pub(crate) fn stored(tx: &Tx<'_>, canonical: &Jid) -> Result<Option<PublicKey>, StoreError> {
    let identity = tx.identity(&address::key(canonical))?;
    Ok(identity.and_then(|identity| PublicKey::from_slice(&identity.key)))
}

/// What a seen identity meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// As known, or new.
    Fine,
    /// It replaced another one.
    Changed,
    /// The own phone has a new identity: stop the account (02 §11).
    OwnPhoneChanged,
}

/// A device (canonical address) has shown this identity in a `pkmsg` that opened or in a bundle that verified.
pub(crate) fn saw(
    tx: &mut Tx<'_>,
    own: &Own,
    canonical: &Jid,
    identity: &IdentityKey,
    registration_id: u32,
    now: UnixMillis,
) -> Result<Seen, StoreError> {
    let key = address::key(canonical);
    if own.is_own(canonical) && canonical.device() == 0 {
        let known = stored(tx, canonical)?;
        if known.is_some_and(|known| known != identity.0) {
            return Ok(Seen::OwnPhoneChanged);
        }
    }
    let change = tx.save_identity(&key, identity.as_bytes(), now)?;
    if canonical.device() == 0 {
        record::verify_late(tx, canonical, &identity.0)?;
    }
    if !matches!(change, IdentityChange::Changed(_)) {
        return Ok(Seen::Fine);
    }
    let mut record = session::load(tx, &key)?;
    if record.peer_is(identity, registration_id, now) {
        session::save(tx, &key, &record)?;
    }
    tx.forget_distributions_to(&key)?;
    tx.mark_sender_keys_stale(&key)?;
    if canonical.device() == 0 && !own.is_own(canonical) {
        forget_companions(tx, canonical)?;
        token::owe_again(tx, canonical)?;
    }
    let user = canonical.to_user().to_string();
    tx.push_event(&Event::IdentityChanged { user, implicit: true }.row(now), now)?;
    Ok(Seen::Changed)
}

/// The primary is another one: its companions' keys say nothing any more.
fn forget_companions(tx: &mut Tx<'_>, user: &Jid) -> Result<(), StoreError> {
    for form in address::both(tx, user)? {
        tx.delete_device_list(&form.to_string())?;
        forget_devices(tx, &form, |device| device != 0)?;
    }
    Ok(())
}

/// Deletes sessions, identities and sender-key marks of the devices of a user (one namespace).
pub(crate) fn forget_devices(
    tx: &mut Tx<'_>,
    user: &Jid,
    which: impl Fn(u16) -> bool,
) -> Result<(), StoreError> {
    let start = address::prefix(user);
    let mut keys = tx.session_addresses(&start)?;
    keys.extend(tx.identity_addresses(&start)?);
    keys.sort();
    keys.dedup();
    for key in keys.into_iter().filter(|key| address::device_of(key).is_some_and(&which)) {
        tx.delete_session(&key)?;
        tx.delete_identity(&key)?;
        tx.forget_distributions_to(&key)?;
        tx.mark_sender_keys_stale(&key)?;
    }
    Ok(())
}

/// The server says that a user's primary has a new identity (05c §3).
pub(crate) fn server_says_changed(tx: &mut Tx<'_>, user: &Jid, now: UnixMillis) -> Result<bool, StoreError> {
    let mut known = false;
    let forms = address::both(tx, user)?;
    for form in &forms {
        tx.delete_device_list(&form.to_string())?;
        known |= tx.identity(&address::key(form))?.is_some();
    }
    if !known {
        return Ok(false);
    }
    for form in &forms {
        forget_devices(tx, form, |_| true)?;
    }
    token::owe_again(tx, user)?;
    note_new(tx, user, true)?;
    let own_status = crate::wire::Jid::status().to_string();
    tx.forget_distributions_of_group(&own_status)?;
    let user = user.to_user().to_string();
    tx.push_event(&Event::IdentityChanged { user, implicit: false }.row(now), now)?;
    Ok(true)
}

fn new_name(tx: &Tx<'_>, user: &Jid) -> Result<String, StoreError> {
    Ok(format!("identity.new/{}", address::canonical(tx, &user.to_user())?))
}

/// Notes that the server has announced a new identity and no session was made since, or that one was.
pub(crate) fn note_new(tx: &mut Tx<'_>, user: &Jid, is_new: bool) -> Result<(), StoreError> {
    let name = new_name(tx, user)?;
    tx.set_setting(&name, is_new.then_some(&[1]))
}

/// Whether the next session with a user is made because of an announced identity: the key fetch then says so (05a §5).
pub(crate) fn is_new(tx: &Tx<'_>, user: &Jid) -> Result<bool, StoreError> {
    Ok(tx.setting(&new_name(tx, user)?)?.is_some())
}
