//! Device lists (05a §3): what an answer or a notification makes of the record of a user's devices. Pure: the record
//! goes in, the new record and what follows from the change come out. Signatures are checked by the caller's closure.

use palomar_proto::{AdvKeyIndexList, AdvSignedKeyIndexList};
use prost::Message as _;

use super::element::{Element, Malformed};
use super::phash;
use super::usync::{self, Device, Devices, KeyIndexes};
use crate::wire::{Jid, Server};

/// The stored record of a user's devices: one, reachable by PN and by LID.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Device 0 and the companions.
    pub devices: Vec<Device>,
    /// The list's time, Unix seconds.
    pub ts: Option<u64>,
    /// The newest time heard of, if above `ts`.
    pub expected_ts: Option<u64>,
    /// `rawId` of the signed list: another one means that the account was registered anew.
    pub raw_id: Option<u32>,
}

impl Record {
    /// The hash over the whole list, in the namespace of `user`.
    #[must_use]
    pub fn hash(&self, user: &Jid) -> String {
        let devices: Vec<Jid> = self.devices.iter().map(|device| address(user, device)).collect();
        phash::phash(&devices)
    }
}

/// The address of a user's device: hosted ones have a server of their own.
#[must_use]
pub fn address(user: &Jid, device: &Device) -> Jid {
    let server = match (device.hosted, user.is_pn(), user.is_lid()) {
        (true, true, _) => Server::Hosted,
        (true, _, true) => Server::HostedLid,
        _ => user.server().clone(),
    };
    let bare = user.without_device();
    Jid::from_parts(bare.user(), server, device.id, bare.integrator())
        .unwrap_or_else(|_| bare.with_device(device.id))
}

/// A signed list of key indexes, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIndexes {
    /// `rawId`.
    pub raw_id: u32,
    /// Its time, Unix seconds.
    pub timestamp: u64,
    /// `currentIndex`.
    pub current_index: u32,
    /// `validIndexes`.
    pub valid_indexes: Vec<u32>,
    /// What is signed, without the prefix `06 02`.
    pub details: Vec<u8>,
    /// By the primary identity.
    pub signature: Vec<u8>,
    /// The account's key, if it is inside; it proves nothing by itself.
    pub account_key: Option<Vec<u8>>,
}

impl SignedIndexes {
    /// Reads `ADVSignedKeyIndexList`.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        const BAD: Malformed = Malformed("key-index-list");
        let signed = AdvSignedKeyIndexList::decode(bytes).map_err(|_| BAD)?;
        let details = signed.details.ok_or(BAD)?;
        let list = AdvKeyIndexList::decode(&*details).map_err(|_| BAD)?;
        Ok(Self {
            raw_id: list.raw_id.unwrap_or(0),
            timestamp: list.timestamp.unwrap_or(0),
            current_index: list.current_index.unwrap_or(0),
            valid_indexes: list.valid_indexes,
            details,
            signature: signed.account_signature.unwrap_or_default(),
            account_key: signed.account_signature_key,
        })
    }

    /// Whether a companion with this key index is good.
    #[must_use]
    pub fn is_valid(&self, key_index: u32) -> bool {
        key_index > self.current_index || self.valid_indexes.contains(&key_index)
    }
}

/// What the caller knows of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// It verifies under the identity of device 0 (for a list with a hosted device: the key inside).
    Good,
    /// It does not.
    Bad,
    /// The identity is not known yet: to be verified once it is.
    Unknown,
}

/// Why an answer changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It holds no list, or an empty one: learn the LID and ask under it.
    #[error("no device list")]
    NoAnswer,
    /// Older than the record.
    #[error("older than the record")]
    Older,
    /// The signed time is not the one beside it.
    #[error("two different times")]
    TimesDiffer,
    /// The signature is wrong: this user's answer failed.
    #[error("wrong signature")]
    BadSignature,
}

/// Why a companion is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It has no key index.
    NoKeyIndex,
    /// Its key index is neither valid nor above the current one.
    NotValid,
}

/// A record after a change, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The new record.
    pub record: Record,
    /// The account was registered anew: delete all sessions and identities of its companions, forget sender-key
    /// deliveries to them, before anything else.
    pub registered_anew: bool,
    /// Devices of the old record that are gone: delete their sessions; rotate sender keys that they had.
    pub gone: Vec<u16>,
    /// Companions that the answer named and that are not kept.
    pub dropped: Vec<(u16, Dropped)>,
    /// The signature is to be verified once the identity of device 0 is known.
    pub unverified: bool,
    /// The signed list could not be read; the list is kept as delivered. Log it.
    pub unreadable: bool,
    /// There were more devices than a user can have; the rest was left out. Log it.
    pub cut: bool,
}

/// Devices of one user that are looked at (05a §16).
pub const MAX_DEVICES: usize = 1000;

/// Applies the answer about a user to the record.
///
/// `check` is asked about the signature of the signed list; the second argument says whether the list has a hosted
/// device.
///
/// # Errors
/// [`Ignored`]: the old record stays.
pub fn apply(
    stored: Option<&Record>,
    answer: &Devices,
    check: impl FnOnce(&SignedIndexes, bool) -> Signature,
) -> Result<Update, Ignored> {
    if answer.list.as_ref().is_some_and(Vec::is_empty) {
        return Err(Ignored::NoAnswer);
    }
    let indexes = answer.key_indexes.as_ref();
    let stored_ts = stored.and_then(|record| record.ts);
    if indexes.is_some_and(|indexes| stored_ts.is_some_and(|stored| indexes.ts < stored)) {
        return Err(Ignored::Older);
    }
    let signed_bytes = indexes.and_then(|indexes| indexes.signed.as_deref());
    let parsed = signed_bytes.map(SignedIndexes::parse);
    let unreadable = matches!(parsed, Some(Err(_)));
    let signed = parsed.and_then(Result::ok);
    let only_primary = answer.list.as_deref().is_none_or(|list| list.iter().all(|device| device.id == 0));
    let named = match &answer.list {
        // A time without signed bytes: no companions any more.
        _ if only_primary && indexes.is_some() && signed_bytes.is_none() => Vec::new(),
        Some(list) => list.clone(),
        // The same devices, filtered anew.
        None if signed.is_some() => stored.ok_or(Ignored::NoAnswer)?.devices.clone(),
        None => return Err(Ignored::NoAnswer),
    };
    let mut unverified = false;
    if let (Some(signed), Some(indexes)) = (&signed, indexes) {
        if signed.timestamp != indexes.ts {
            return Err(Ignored::TimesDiffer);
        }
        match check(signed, named.iter().any(|device| device.hosted)) {
            Signature::Good => {}
            Signature::Bad => return Err(Ignored::BadSignature),
            Signature::Unknown => unverified = true,
        }
    }
    let cut = named.len() > MAX_DEVICES;
    let named = named.into_iter().take(MAX_DEVICES);
    let (devices, dropped) = filter(named, signed.as_ref(), unreadable);
    let mut update = finish(stored, devices, signed.as_ref(), indexes);
    (update.dropped, update.unverified, update.unreadable) = (dropped, unverified, unreadable);
    update.cut = cut;
    Ok(update)
}

/// Keeps device 0 and the good companions.
fn filter(
    named: impl Iterator<Item = Device>,
    signed: Option<&SignedIndexes>,
    as_delivered: bool,
) -> (Vec<Device>, Vec<(u16, Dropped)>) {
    let mut devices = vec![Device { id: 0, key_index: None, hosted: false }];
    let mut dropped = Vec::new();
    for device in named {
        if devices.iter().any(|known| known.id == device.id) {
            continue;
        }
        let verdict = match (device.key_index, signed) {
            _ if as_delivered => None,
            (None, _) => Some(Dropped::NoKeyIndex),
            (Some(index), Some(signed)) if !signed.is_valid(index) => Some(Dropped::NotValid),
            _ => None,
        };
        match verdict {
            Some(why) => dropped.push((device.id, why)),
            None => devices.push(device),
        }
    }
    (devices, dropped)
}

fn finish(
    stored: Option<&Record>,
    devices: Vec<Device>,
    signed: Option<&SignedIndexes>,
    indexes: Option<&KeyIndexes>,
) -> Update {
    let stored_raw_id = stored.and_then(|record| record.raw_id);
    let raw_id = signed.map(|signed| signed.raw_id);
    let registered_anew = matches!((stored_raw_id, raw_id), (Some(old), Some(new)) if old != new);
    let old = stored.map(|record| &*record.devices).unwrap_or_default();
    let stays = |id: u16| !registered_anew && devices.iter().any(|device| device.id == id);
    let gone = old.iter().map(|device| device.id).filter(|&id| id != 0 && !stays(id)).collect();
    let ts = indexes.map(|indexes| indexes.ts).or(stored.and_then(|record| record.ts));
    let heard = [indexes.and_then(|i| i.expected_ts), stored.and_then(|r| r.expected_ts)];
    let expected_ts = heard.into_iter().flatten().max().filter(|expected| ts.is_none_or(|ts| *expected > ts));
    let record = Record { devices, ts, expected_ts, raw_id: raw_id.or(stored_raw_id) };
    Update {
        record,
        registered_anew,
        gone,
        dropped: Vec::new(),
        unverified: false,
        unreadable: false,
        cut: false,
    }
}

/// A change of a list, from a `devices` notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Devices were linked.
    Add(Delta),
    /// Devices were unlinked.
    Remove(Delta),
    /// Some contact changed: forget the records of contacts with this hash ([`phash::contact_hash`]), never those of
    /// `from`.
    Contact(String),
}

/// The devices of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The devices.
    pub devices: Vec<Device>,
    /// The two addresses of some device have different numbers: drop the record.
    pub contradicts: bool,
    /// The signed list, or its time.
    pub key_indexes: KeyIndexes,
    /// The hash of the resulting list.
    pub hash: Option<String>,
}

/// A `devices` notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The user.
    pub from: Jid,
    /// The user's LID, beside a PN: learn it, also without a record.
    pub lid: Option<Jid>,
    /// The change; `None`: a child we don't know.
    pub change: Option<Change>,
    /// Groups whose lists are to be refreshed.
    pub groups: Vec<Jid>,
}

impl Notification {
    /// Reads `<notification type="devices">`. Of several operations one counts: remove, add, update.
    ///
    /// # Errors
    /// A required part is missing: drop the record, nack 487.
    pub fn parse<'n>(notification: impl Element<'n>) -> Result<Self, Malformed> {
        let groups = notification.child("groups");
        let change = if let Some(remove) = notification.child("remove") {
            let delta = parse_delta(remove)?;
            if delta.key_indexes.ts == 0 {
                return Err(Malformed("ts"));
            }
            Some(Change::Remove(delta))
        } else if let Some(add) = notification.child("add") {
            Some(Change::Add(parse_delta(add)?))
        } else {
            let hash = notification.child("update").and_then(|update| update.text("hash"));
            hash.map(|hash| Change::Contact(hash.into_owned()))
        };
        Ok(Self {
            from: notification.need_address("from")?,
            lid: notification.address("lid"),
            change,
            groups: groups
                .map(|groups| groups.each_of("group").filter_map(|group| group.address("jid")).collect())
                .unwrap_or_default(),
        })
    }
}

fn parse_delta<'n>(node: impl Element<'n>) -> Result<Delta, Malformed> {
    let mut contradicts = false;
    let mut devices = Vec::new();
    for device in node.each_of("device") {
        let (parsed, jid) = parse_device(device)?;
        contradicts |= device.address("lid").is_some_and(|lid| lid.device() != jid.device());
        devices.push(parsed);
    }
    Ok(Delta {
        devices,
        contradicts,
        key_indexes: KeyIndexes::parse(node.need_child("key-index-list")?)?,
        hash: node.text("device_hash").map(|hash| hash.into_owned()),
    })
}

fn parse_device<'n>(device: impl Element<'n>) -> Result<(Device, Jid), Malformed> {
    let jid = device.need_address("jid")?;
    let key_index = usync::parse_key_index(device)?;
    Ok((Device { id: jid.device(), key_index, hosted: jid.is_hosted() }, jid))
}

/// The whole own list, from `<devices>` of an `account_sync` notification: to be applied like an answer. Its hash is
/// compared with [`Record::hash`] of the result.
///
/// # Errors
/// A device that can't be read, or a list without time.
pub fn parse_own<'n>(devices: impl Element<'n>) -> Result<Devices, Malformed> {
    let list = devices.each_of("device").map(|device| parse_device(device).map(|(device, _)| device));
    Ok(Devices {
        list: Some(list.collect::<Result<_, _>>()?),
        hash: devices.text("dhash").map(|hash| hash.into_owned()),
        key_indexes: devices.child("key-index-list").map(KeyIndexes::parse).transpose()?,
    })
}

/// Why a change makes the record useless: drop it, so that it is fetched anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// The two addresses of a device contradict each other.
    #[error("a device with two numbers")]
    Contradiction,
    /// The resulting list has another hash than the server says.
    #[error("another hash")]
    Hash,
}

/// Applies a change to the record; `user` is in the namespace of the notification. `None`: the change is ignored.
///
/// # Errors
/// [`Stale`]: drop the record.
pub fn apply_change(
    stored: &Record,
    user: &Jid,
    removes: bool,
    delta: &Delta,
    check: impl FnOnce(&SignedIndexes, bool) -> Signature,
) -> Result<Option<Update>, Stale> {
    if delta.contradicts {
        return Err(Stale::Contradiction);
    }
    let named = |id: u16| delta.devices.iter().any(|device| device.id == id);
    let mut list: Vec<Device> = stored.devices.iter().filter(|device| !named(device.id)).copied().collect();
    if !removes {
        list.extend(&delta.devices);
    }
    if !list.iter().any(|device| device.id == 0) {
        list.push(Device { id: 0, key_index: None, hosted: false });
    }
    let answer = Devices { list: Some(list), hash: None, key_indexes: Some(delta.key_indexes.clone()) };
    let Ok(update) = apply(Some(stored), &answer, check) else { return Ok(None) };
    match &delta.hash {
        Some(hash) if *hash != update.record.hash(user) => Err(Stale::Hash),
        _ => Ok(Some(update)),
    }
}

#[cfg(test)]
mod tests;
