//! `<notification type="devices">` and the own account's list in `account_sync` (protocol 05a §3).

use crate::client::devices::list::{Delivered, KeyIndexAnswer, Outcome, judge};
use crate::client::devices::own::Own;
use crate::client::devices::{address, devices_of, identity, mapping};
use crate::clock::UnixMillis;
use crate::stanza::phash::{contact_hash, phash};
use crate::stanza::usync::KeyIndexes;
use crate::store::{Device, DeviceList, StoreError, Tx};
use crate::wire::{Jid, Node};

/// Whether a notification could be used; if not it is answered with nack 487.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    Yes,
    Unreadable,
}

/// A user's devices have changed.
pub(crate) fn devices(tx: &mut Tx<'_>, own: &Own, node: &Node, now: UnixMillis) -> Result<Taken, StoreError> {
    let Some(from) = node.jid("from").filter(Jid::is_user) else { return Ok(Taken::Unreadable) };
    if let Some(lid) = node.jid("lid") {
        mapping::learn(tx, &from, &lid, now)?;
    }
    if let Some(remove) = node.find("remove") {
        return change(tx, own, &from, remove, Change::Remove, now);
    }
    if let Some(add) = node.find("add") {
        return change(tx, own, &from, add, Change::Add, now);
    }
    if let Some(update) = node.find("update") {
        if let Some(hash) = update.str("hash") {
            drop_by_hash(tx, &hash)?;
        }
        return Ok(Taken::Yes);
    }
    Ok(Taken::Yes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Remove,
}

fn change(
    tx: &mut Tx<'_>,
    own: &Own,
    from: &Jid,
    node: &Node,
    change: Change,
    now: UnixMillis,
) -> Result<Taken, StoreError> {
    let name = from.to_user().to_string();
    let key_index = node.find("key-index-list").and_then(key_index);
    let usable = key_index.filter(|list| change == Change::Add || list.ts != 0);
    let Some(key_index) = usable else {
        tx.delete_device_list(&name)?;
        return Ok(Taken::Unreadable);
    };
    let named: Option<Vec<Device>> = node.find_all("device").map(device).collect();
    let Some(named) = named else {
        tx.delete_device_list(&name)?;
        return Ok(Taken::Yes);
    };
    for device in node.find_all("device") {
        if let (Some(jid), Some(lid)) = (device.jid("jid"), device.jid("lid")) {
            mapping::learn(tx, &jid, &lid, now)?;
        }
    }
    // A change without something to change must not become a list.
    let Some(old) = tx.device_list(&name)? else { return Ok(Taken::Yes) };
    let devices = match change {
        Change::Add => old.devices.iter().chain(&named).cloned().collect(),
        Change::Remove => {
            let kept = |device: &&Device| named.iter().all(|gone| gone.id != device.id || gone.id == 0);
            old.devices.iter().filter(kept).cloned().collect()
        }
    };
    let outcome = match change {
        Change::Add => {
            let new = Delivered { devices: Some(devices), hash: None, key_index: Some(key_index) };
            let phone = address::canonical(tx, &from.to_user())?;
            judge(Some(&old), &new, identity::stored(tx, &phone)?.as_ref())
        }
        // The removal itself carries no signature worth checking: it can only take away.
        Change::Remove if old.ts.is_some_and(|ts| key_index.ts < ts) => Outcome::Keep,
        Change::Remove => {
            let list = DeviceList { devices, ts: Some(key_index.ts), ..old.clone() };
            Outcome::Store { list, reset: false }
        }
    };
    match outcome {
        Outcome::Store { list: new, reset } => {
            let list = DeviceList {
                pn: old.pn,
                lid: old.lid,
                fetched_at: old.fetched_at,
                refresh_at: old.refresh_at,
                ..new
            };
            if reset {
                super::refresh::forget_companions(tx, own, from)?;
            }
            tx.put_device_list(&list)?;
            if change == Change::Remove {
                let gone = |id: u16| id != 0 && named.iter().any(|device| device.id == id);
                for form in address::both(tx, from)? {
                    identity::forget_devices(tx, &form, gone)?;
                }
            }
            check_hash(tx, from, node)?;
        }
        Outcome::Failed(_) | Outcome::Empty => {
            tx.delete_device_list(&name)?;
        }
        Outcome::Keep => {}
    }
    Ok(Taken::Yes)
}

/// `device_hash` names the resulting list; a difference means that ours is not the server's.
fn check_hash(tx: &mut Tx<'_>, from: &Jid, node: &Node) -> Result<(), StoreError> {
    let Some(expected) = node.str("device_hash") else { return Ok(()) };
    if let Some(devices) = devices_of(tx, from)?
        && phash(&devices) != expected
    {
        tx.delete_device_list(&from.to_user().to_string())?;
    }
    Ok(())
}

fn key_index(list: &Node) -> Option<KeyIndexAnswer> {
    KeyIndexes::parse(list).ok().as_ref().map(KeyIndexAnswer::from)
}

/// A `<device jid key-index lid>`; `None` if its two addresses name different devices or a number is out of range.
fn device(node: &Node) -> Option<Device> {
    let jid = node.jid("jid").or_else(|| node.jid("lid"))?;
    if node.jid("lid").is_some_and(|lid| lid.device() != jid.device()) {
        return None;
    }
    let key_index = match node.get("key-index") {
        Some(_) => Some(u32::try_from(node.u64("key-index")?).ok()?),
        None => None,
    };
    Some(Device { id: jid.device(), key_index, hosted: jid.is_hosted() })
}

/// The contacts whose hash this is lose their lists.
fn drop_by_hash(tx: &mut Tx<'_>, hash: &str) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = tx.device_lists(after, 256)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (_, list) in page {
            for name in [&list.lid, &list.pn].into_iter().flatten() {
                let Ok(jid) = name.parse::<Jid>() else { continue };
                if contact_hash(&jid) == hash {
                    tx.delete_device_list(name)?;
                }
            }
        }
    }
}

/// The own account's complete list, which our phone has signed.
pub(crate) fn own_devices(
    tx: &mut Tx<'_>,
    own: &Own,
    node: &Node,
    now: UnixMillis,
) -> Result<(), StoreError> {
    let Some(from) = node.jid("from").filter(|from| own.is_own(from)) else { return Ok(()) };
    let Some(devices) = node.find("devices") else { return Ok(()) };
    let named: Option<Vec<Device>> = devices.find_all("device").map(device).collect();
    let key_index = devices.find("key-index-list").and_then(key_index);
    let user = from.to_user();
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        tx.delete_device_list(&user.to_string())?;
        return Ok(());
    };
    let hash = devices.str("dhash").map(|hash| hash.into_owned());
    let delivered = Delivered { devices: Some(named), hash, key_index };
    let old = tx.device_list(&user.to_string())?;
    let phone = address::canonical(tx, &user)?;
    let list = match judge(old.as_ref(), &delivered, identity::stored(tx, &phone)?.as_ref()) {
        Outcome::Store { list, .. } => list,
        Outcome::Failed(why) => {
            tracing::warn!(why, "the own device list was not taken");
            return Ok(());
        }
        Outcome::Keep | Outcome::Empty => return Ok(()),
    };
    let list = DeviceList {
        pn: Some(own.pn.to_user().to_string()),
        lid: own.lid.as_ref().map(|lid| lid.to_user().to_string()),
        fetched_at: Some(now),
        refresh_at: None,
        ..list
    };
    let expected = list.dhash.clone();
    tx.put_device_list(&list)?;
    if let (Some(expected), Some(devices)) = (expected, devices_of(tx, &user)?)
        && phash(&devices) != expected
    {
        tx.delete_device_list(&user.to_string())?;
    }
    Ok(())
}
