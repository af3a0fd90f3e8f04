//! Learning that a PN and a LID are one user, and moving the Signal state of the PN to the LID (protocol 04 §11.3,
//! 05a §8). One transaction, idempotent.

use crate::client::devices::own::{is_lid_family, is_pn_family};
use crate::client::devices::{address, session};
use crate::client::event::Event;
use crate::client::send::{timer, token};
use crate::crypto::PublicKey;
use crate::signal::{IdentityKey, SenderKeyRecord, SessionRecord};
use crate::store::{MappingChange, StoreError, Tx, UnixMillis};
use crate::wire::Jid;

/// Learns a pair in either order; anything that is not one PN and one LID of users is ignored.
pub(crate) fn learn(tx: &mut Tx<'_>, one: &Jid, other: &Jid, now: UnixMillis) -> Result<(), StoreError> {
    let (pn, lid) = match (is_pn_family(one), is_lid_family(other)) {
        (true, true) => (one.to_user(), other.to_user()),
        _ if is_lid_family(one) && is_pn_family(other) => (other.to_user(), one.to_user()),
        _ => return Ok(()),
    };
    if pn.user().is_empty() || lid.user().is_empty() {
        return Ok(());
    }
    if tx.put_mapping(&pn.to_string(), &lid.to_string())? != MappingChange::Same {
        migrate(tx, &pn, &lid, now)?;
        token::join(tx, &pn, &lid)?;
        timer::join(tx, &pn, &lid)?;
    }
    Ok(())
}

/// Moves what is stored under the PN to the LID, if a mapping is known. Whether there was anything.
pub(crate) fn migrate_known(tx: &mut Tx<'_>, jid: &Jid, now: UnixMillis) -> Result<bool, StoreError> {
    let user = jid.to_user();
    let pair = if is_lid_family(&user) {
        tx.pn_of(&user.to_string())?.map(|pn| (pn, user.to_string()))
    } else {
        tx.lid_of(&user.to_string())?.map(|lid| (user.to_string(), lid))
    };
    match pair.map(|(pn, lid)| (pn.parse::<Jid>(), lid.parse::<Jid>())) {
        Some((Ok(pn), Ok(lid))) => migrate(tx, &pn, &lid, now),
        _ => Ok(false),
    }
}

fn migrate(tx: &mut Tx<'_>, pn: &Jid, lid: &Jid, now: UnixMillis) -> Result<bool, StoreError> {
    let start = address::prefix(pn);
    let mut keys = tx.session_addresses(&start)?;
    keys.extend(tx.identity_addresses(&start)?);
    keys.sort();
    keys.dedup();
    let any = !keys.is_empty();
    for from in keys {
        if let Some(device) = address::device_of(&from) {
            migrate_device(tx, &from, &lid.with_device(device), now)?;
        }
    }
    Ok(any)
}

fn migrate_device(tx: &mut Tx<'_>, from: &str, lid: &Jid, now: UnixMillis) -> Result<(), StoreError> {
    let to = address::key(lid);
    let kept = migrate_identity(tx, from, &to, lid, now)?;
    migrate_session(tx, from, &to, kept, now)?;
    for group in tx.sender_key_groups(from)? {
        migrate_sender_key(tx, &group, from, &to)?;
    }
    for group in tx.distribution_groups(from)? {
        if let Some(mark) = tx.distribution(&group, from)? {
            if tx.distribution(&group, &to)?.is_none() {
                tx.mark_distributed(&group, &[to.to_owned()], mark.key_id, mark.at)?;
            }
            tx.forget_distribution(&group, from)?;
        }
    }
    Ok(())
}

/// The LID value wins; where the two differ the application is told, because a mapping is the server's word.
fn migrate_identity(
    tx: &mut Tx<'_>,
    from: &str,
    to: &str,
    lid: &Jid,
    now: UnixMillis,
) -> Result<Option<PublicKey>, StoreError> {
    let old = tx.identity(from)?;
    let new = tx.identity(to)?;
    let kept = match (&old, &new) {
        (Some(old), None) => {
            tx.save_identity(to, &old.key, now)?;
            old.key.clone()
        }
        (Some(old), Some(new)) => {
            if old.key != new.key {
                let event = Event::IdentityChanged { user: lid.to_user().to_string(), implicit: true };
                tx.push_event(&event.row(now), now)?;
            }
            new.key.clone()
        }
        (None, Some(new)) => new.key.clone(),
        (None, None) => return Ok(None),
    };
    tx.delete_identity(from)?;
    Ok(PublicKey::from_slice(&kept))
}

fn migrate_session(
    tx: &mut Tx<'_>,
    from: &str,
    to: &str,
    kept: Option<PublicKey>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    if !tx.has_session(from)? {
        return Ok(());
    }
    let (pn, lid) = (session::load(tx, from)?, session::load(tx, to)?);
    // Without an identity row the sessions themselves say who the peer is.
    let identity = kept.map(IdentityKey).or_else(|| lid.remote_identity().or(pn.remote_identity()).copied());
    let merged = match identity {
        Some(identity) => SessionRecord::merge(lid, pn, &identity, now),
        None => pn,
    };
    session::save(tx, to, &merged)?;
    tx.delete_session(from).map(drop)
}

fn migrate_sender_key(tx: &mut Tx<'_>, group: &str, from: &str, to: &str) -> Result<(), StoreError> {
    let mut record = sender_key(tx, group, to)?;
    // States of a former identity don't make those of the present one stale.
    let stale = tx.sender_key_is_stale(group, from)? && record.is_empty();
    record.merge(sender_key(tx, group, from)?);
    if !record.is_empty() {
        tx.put_sender_key(group, to, &record.serialize())?;
    }
    if stale {
        tx.mark_sender_key_stale(group, to)?;
    }
    tx.delete_sender_key(group, from).map(drop)
}

/// The sender-key record of a device in a group; one that can't be read is set aside.
pub(crate) fn sender_key(tx: &mut Tx<'_>, group: &str, device: &str) -> Result<SenderKeyRecord, StoreError> {
    let Some(bytes) = tx.sender_key(group, device)? else { return Ok(SenderKeyRecord::new()) };
    match SenderKeyRecord::deserialize(bytes.expose()) {
        Ok(record) => Ok(record),
        Err(error) => {
            tx.quarantine_sender_key(group, device, &error.to_string())?;
            Ok(SenderKeyRecord::new())
        }
    }
}
