//! `<notification type="devices">` and the own account's list in `account_sync` (protocol 05a §3): read by
//! `stanza::devices`, applied to the store here.

use crate::client::devices::epochs::Epochs;
use crate::client::devices::own::Own;
use crate::client::devices::{address, mapping, record, setup};
use crate::clock::UnixMillis;
use crate::stanza::devices::{Change, Delta, Notification, apply, apply_change, parse_own};
use crate::stanza::phash::contact_hash;
use crate::stanza::usync::Devices;
use crate::store::{DeviceList, StoreError, Tx};
use crate::wire::{Jid, NodeRef};

/// Whether a notification could be used; if not it is answered with nack 487.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    Unreadable,
}

/// An answer about this user that is under way is not taken any more.
fn overtake(tx: &Tx<'_>, epochs: &Epochs, user: &Jid) -> Result<(), StoreError> {
    let forms = address::both(tx, &user.to_user())?;
    epochs.changed(forms.iter().map(Jid::to_string));
    Ok(())
}

fn drop_list(tx: &mut Tx<'_>, user: &Jid) -> Result<(), StoreError> {
    tx.delete_device_list(&user.to_user().to_string()).map(drop)
}

/// A user's devices have changed.
pub(crate) fn devices(
    tx: &mut Tx<'_>,
    own: &Own,
    epochs: &Epochs,
    node: NodeRef<'_>,
    now: UnixMillis,
) -> Result<Taken, StoreError> {
    let Some(from) = node.jid("from").filter(Jid::is_user) else { return Ok(Taken::Unreadable) };
    if let Some(lid) = node.jid("lid") {
        mapping::learn(tx, &from, &lid, now)?;
    }
    let named = node.nodes().flat_map(|operation| operation.find_all("device"));
    for device in named {
        if let (Some(jid), Some(lid)) = (device.jid("jid"), device.jid("lid")) {
            mapping::learn(tx, &jid, &lid, now)?;
        }
    }
    let Ok(parsed) = Notification::parse(node) else {
        overtake(tx, epochs, &from)?;
        drop_list(tx, &from)?;
        return Ok(Taken::Unreadable);
    };
    match &parsed.change {
        Some(Change::Contact(hash)) => drop_by_hash(tx, own, epochs, hash)?,
        Some(Change::Add(delta)) => change(tx, own, epochs, &from, delta, false)?,
        Some(Change::Remove(delta)) => change(tx, own, epochs, &from, delta, true)?,
        None => {}
    }
    Ok(Taken::Yes)
}

fn change(
    tx: &mut Tx<'_>,
    own: &Own,
    epochs: &Epochs,
    from: &Jid,
    delta: &Delta,
    removes: bool,
) -> Result<(), StoreError> {
    overtake(tx, epochs, from)?;
    let user = from.to_user();
    // A change without something to change must not become a list.
    let Some(old) = tx.device_list(&user.to_string())? else { return Ok(()) };
    let phone = setup::phone_of(tx, &user)?;
    match apply_change(&record::read(&old), &user, removes, delta, record::check(phone)) {
        Ok(Some(update)) => {
            record::forget_gone(tx, own, &user, &update)?;
            let answer = Devices { list: None, hash: None, key_indexes: Some(delta.key_indexes.clone()) };
            let list = record::written(tx, &user, &update, &answer)?;
            let DeviceList { fetched_at, refresh_at, .. } = old;
            tx.put_device_list(&DeviceList { fetched_at, refresh_at, ..list })
        }
        Ok(None) => Ok(()),
        Err(stale) => {
            tracing::info!(%stale, "a device list is dropped");
            drop_list(tx, &user)
        }
    }
}

/// The contacts whose hash this is lose their lists; never ourselves.
fn drop_by_hash(tx: &mut Tx<'_>, own: &Own, epochs: &Epochs, hash: &str) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = tx.device_lists(after, 256)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (_, list) in page {
            for name in [&list.lid, &list.pn].into_iter().flatten() {
                let Ok(jid) = name.parse::<Jid>() else { continue };
                if contact_hash(&jid) == hash && !own.is_own(&jid) {
                    overtake(tx, epochs, &jid)?;
                    drop_list(tx, &jid)?;
                }
            }
        }
    }
}

/// The own account's complete list, which our phone has signed.
pub(crate) fn own_devices(
    tx: &mut Tx<'_>,
    own: &Own,
    epochs: &Epochs,
    node: NodeRef<'_>,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let Some(from) = node.jid("from").filter(|from| own.is_own(from)) else { return Ok(()) };
    let Some(devices) = node.find("devices") else { return Ok(()) };
    let user = from.to_user();
    overtake(tx, epochs, &user)?;
    let Ok(answer) = parse_own(devices) else { return drop_list(tx, &user) };
    let old = tx.device_list(&user.to_string())?;
    let phone = setup::phone_of(tx, &user)?;
    let update = match apply(old.as_ref().map(record::read).as_ref(), &answer, record::check(phone)) {
        Ok(update) => update,
        Err(error) => {
            tracing::warn!(%error, "the own device list was not taken");
            return Ok(());
        }
    };
    if answer.hash.as_ref().is_some_and(|hash| *hash != update.record.hash(&user)) {
        return drop_list(tx, &user);
    }
    record::forget_gone(tx, own, &user, &update)?;
    let list = record::written(tx, &user, &update, &answer)?;
    tx.put_device_list(&DeviceList {
        pn: Some(own.pn.to_user().to_string()),
        lid: own.lid.as_ref().map(|lid| lid.to_user().to_string()),
        fetched_at: Some(now),
        refresh_at: None,
        ..list
    })
}
