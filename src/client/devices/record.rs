//! Stored device lists in the terms of the rules, and back. The rules themselves are `stanza::devices` (protocol 05a §3).

use crate::client::devices::own::Own;
use crate::client::devices::{address, identity};
use crate::crypto::PublicKey;
use crate::signal::adv::key_index::{Signed, is_signed};
use crate::stanza::devices::{Record, Signature, SignedIndexes, Update};
use crate::stanza::usync;
use crate::store::{Device, DeviceList, StoreError, Tx};
use crate::wire::Jid;

fn seconds(t: u64) -> i64 {
    i64::try_from(t).unwrap_or(i64::MAX)
}

/// A stored list as the rules see it.
pub(crate) fn read(list: &DeviceList) -> Record {
    let device =
        |device: &Device| usync::Device { id: device.id, key_index: device.key_index, hosted: device.hosted };
    let unsigned = |t: i64| u64::try_from(t).unwrap_or(0);
    Record {
        devices: list.devices.iter().map(device).collect(),
        ts: list.ts.map(unsigned),
        expected_ts: list.expected_ts.map(unsigned),
        raw_id: list.raw_id,
    }
}

/// The list of a user after a change. When it was fetched and counts is the caller's.
pub(crate) fn written(
    tx: &Tx<'_>,
    user: &Jid,
    update: &Update,
    answer: &usync::Devices,
) -> Result<DeviceList, StoreError> {
    let device =
        |device: &usync::Device| Device { id: device.id, key_index: device.key_index, hosted: device.hosted };
    let forms = address::both(tx, user)?;
    let signed = answer.key_indexes.as_ref().and_then(|indexes| indexes.signed.clone());
    let record = &update.record;
    Ok(DeviceList {
        pn: forms.iter().find(|jid| jid.is_pn()).map(Jid::to_string),
        lid: forms.iter().find(|jid| jid.is_lid()).map(Jid::to_string),
        devices: record.devices.iter().map(device).collect(),
        ts: record.ts.map(seconds),
        raw_id: record.raw_id,
        dhash: answer.hash.clone(),
        expected_ts: record.expected_ts.map(seconds),
        verified: !update.unverified,
        signed: signed.filter(|_| update.unverified),
        ..DeviceList::default()
    })
}

/// Checks the signature of a list by the identity of the user's phone; for a list with a hosted device by the key inside,
/// where there is one.
pub(crate) fn check(phone: Option<PublicKey>) -> impl FnOnce(&SignedIndexes, bool) -> Signature {
    move |list, hosted| {
        let inside = list.account_key.as_deref().and_then(PublicKey::from_slice).filter(|_| hosted);
        match inside.or(phone) {
            None => Signature::Unknown,
            Some(key) if is_signed(&key, &list.details, &list.signature) => Signature::Good,
            Some(_) => Signature::Bad,
        }
    }
}

/// Forgets what belongs to devices that a change took away: their sessions, identities and sender-key marks.
pub(crate) fn forget_gone(tx: &mut Tx<'_>, own: &Own, user: &Jid, update: &Update) -> Result<(), StoreError> {
    let anew = update.registered_anew && !own.is_own(user);
    if !anew && update.gone.is_empty() {
        return Ok(());
    }
    for form in address::both(tx, user)? {
        identity::forget_devices(tx, &form, |id| id != 0 && (anew || update.gone.contains(&id)))?;
    }
    Ok(())
}

/// The identity of a user's phone (canonical address) is known now: a list that could not be verified before is, or
/// loses its companions and is asked for again before the next use (05a §3 rule 8).
pub(crate) fn verify_late(tx: &mut Tx<'_>, phone: &Jid, key: &PublicKey) -> Result<(), StoreError> {
    let Some(mut list) = tx.device_list(&phone.to_user().to_string())? else { return Ok(()) };
    let Some(signed) = list.signed.take() else { return Ok(()) };
    list.verified = Signed::parse(&signed).is_ok_and(|signed| signed.verify(key).is_ok());
    if !list.verified {
        tracing::warn!("a device list was not signed by the user's phone: its companions are dropped");
        let companions: Vec<u16> = list.devices.iter().map(|device| device.id).collect();
        for form in address::both(tx, &phone.to_user())? {
            identity::forget_devices(tx, &form, |id| id != 0 && companions.contains(&id))?;
        }
        list.devices.retain(|device| device.id == 0);
        // What the wrong list said of itself must not outweigh the right one.
        (list.ts, list.raw_id, list.expected_ts) = (None, None, None);
        (list.fetched_at, list.refresh_at) = (None, None);
    }
    tx.put_device_list(&list)
}
