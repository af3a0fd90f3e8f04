//! `--state`: a world as a JSON tree and back (09 §2). Connections, timers, the traffic log, the counters that messages
//! used and the rules are not part of it. Not: the files, which are `state`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::account::{AcceptedMessage, Account, Ban, Device, OutboxItem, Pairing, SignedList};
use super::groups::Group;
use super::iq::Picture;
use super::keys::KeySet;
use super::queue::{Entry, Kind};
use super::receipts::Retries;
use super::restrict::Restricted;
use super::tracked::Tracked;
use super::{Namespace, World};
use crate::clock::UnixMillis;
use crate::sim::config::{PhoneMode, Profile, SimConfig};
use crate::sim::phone;
use crate::sim::seam::{InboxItem, Phone, PhoneSetup};
use crate::sim::seed;
use crate::sim::state::Mirror;
use crate::sim::stub::StubPhone;
use crate::sim::violations::Violations;
use crate::wire::{Jid, JidError, Node, json};

const FORMAT: u32 = 2;

/// A snapshot that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Not the JSON of a snapshot.
    #[error("the snapshot is damaged: {0}")]
    Damaged(String),
    /// Another version of the format, or another seed.
    #[error("the snapshot is of format {format} and seed {seed}; start with the same seed or another folder")]
    Other {
        /// The format's number.
        format: u32,
        /// The seed.
        seed: u64,
    },
}

impl From<serde_json::Error> for SnapshotError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<JidError> for SnapshotError {
    fn from(error: JidError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// The tree that is written, read back.
#[derive(Deserialize)]
struct Saved {
    meta: Meta,
    #[serde(default)]
    groups: BTreeMap<String, Group>,
    #[serde(default)]
    restricted: BTreeMap<String, Restricted>,
    #[serde(default)]
    violations: Violations,
    #[serde(default)]
    retries: Retries,
    #[serde(default)]
    accounts: BTreeMap<String, SavedAccount>,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    format: u32,
    seed: u64,
    /// How often this world was begun anew from its state.
    starts: u64,
    now_ms: UnixMillis,
    next_connection: u64,
    next_stanza: u64,
    next_number: u64,
}

#[derive(Deserialize)]
struct SavedAccount {
    record: AccountRecord,
    #[serde(default)]
    phone: serde_json::Value,
    #[serde(default)]
    inbox: BTreeMap<usize, InboxItem>,
    #[serde(default)]
    outbox: BTreeMap<usize, OutboxItem>,
    #[serde(default)]
    devices: BTreeMap<u16, SavedDevice>,
}

/// An account without what grows.
#[derive(Serialize, Deserialize)]
struct AccountRecord {
    number: String,
    lid: String,
    push_name: String,
    about: String,
    picture: Option<Picture>,
    default_timer: (u64, i64),
    profile: Option<Profile>,
    companions_max: usize,
    business: bool,
    restricted: bool,
    platform: String,
    abprops: BTreeMap<String, String>,
    privacy: BTreeMap<String, String>,
    blocked: Vec<String>,
    ban: Option<Ban>,
    ban_until: Option<UnixMillis>,
    phone_online: bool,
    phone_clock_offset_s: i64,
    next_device: u16,
    key_index_list: Option<SignedList>,
    contacts: BTreeMap<String, Namespace>,
    collections: BTreeMap<String, u64>,
    tokens: BTreeMap<String, (Vec<u8>, UnixMillis)>,
}

#[derive(Deserialize)]
struct SavedDevice {
    record: DeviceRecord,
    #[serde(default)]
    keys: Option<KeySet>,
    #[serde(default)]
    queue: BTreeMap<u64, SavedEntry>,
    #[serde(default)]
    accepted: BTreeMap<String, AcceptedMessage>,
}

#[derive(Serialize, Deserialize)]
struct DeviceRecord {
    pairing: Option<Pairing>,
    welcomed: bool,
    driven: bool,
    dirty: BTreeMap<String, i64>,
}

#[derive(Serialize, Deserialize)]
struct SavedEntry {
    kind: Kind,
    id: String,
    peer: Option<String>,
    node: serde_json::Value,
    queued_ms: UnixMillis,
}

impl World {
    /// Puts everything that was touched since the last call into the tree.
    pub(crate) fn collect(&mut self, mirror: &mut Mirror) -> Result<(), SnapshotError> {
        self.collect_meta(mirror)?;
        if self.groups.take_touched() {
            mirror.put(&["groups"], to_value(&*self.groups)?);
        }
        if self.restricted.take_touched() {
            mirror.put(&["restricted"], to_value(&*self.restricted)?);
        }
        if self.violations.take_touched() {
            mirror.put(&["violations"], to_value(&*self.violations)?);
        }
        if self.retries.take_touched() {
            mirror.put(&["retries"], to_value(&*self.retries)?);
        }
        let (removed, touched) = self.accounts.take_touched();
        for number in removed {
            mirror.remove(&["accounts", &number]);
        }
        for account in touched {
            collect_account(account, mirror)?;
        }
        Ok(())
    }

    /// The time alone is no change.
    fn collect_meta(&self, mirror: &mut Mirror) -> Result<(), SnapshotError> {
        let meta = Meta {
            format: FORMAT,
            seed: self.config.seed,
            starts: self.starts,
            now_ms: self.now_ms,
            next_connection: self.next_connection,
            next_stanza: self.next_stanza,
            next_number: self.next_number,
        };
        let mut meta = to_value(meta)?;
        let written = mirror.tree().get("meta").cloned();
        if let (Some(written), Some(time)) = (&written, meta.get_mut("now_ms")) {
            let now = std::mem::replace(time, written.get("now_ms").cloned().unwrap_or_default());
            if meta == *written {
                return Ok(());
            }
            if let Some(time) = meta.get_mut("now_ms") {
                *time = now;
            }
        }
        mirror.put(&["meta"], meta);
        Ok(())
    }

    /// The world of a written tree. A real clock goes on from now, a virtual one from the tree's time.
    pub(crate) fn restore(
        config: SimConfig,
        now_ms: UnixMillis,
        tree: serde_json::Value,
    ) -> Result<Self, SnapshotError> {
        let Saved { meta, groups, restricted, violations, retries, accounts } = serde_json::from_value(tree)?;
        if meta.format != FORMAT || meta.seed != config.seed {
            return Err(SnapshotError::Other { format: meta.format, seed: meta.seed });
        }
        let mut world = Self::new(config, now_ms.max(meta.now_ms));
        world.starts = meta.starts + 1;
        // What was drawn once must not be drawn again.
        world.rng = seed::stream(meta.seed, "world", &world.starts.to_string());
        world.next_connection = meta.next_connection;
        world.next_stanza = meta.next_stanza;
        world.next_number = meta.next_number;
        world.violations = Tracked::new(violations);
        world.retries = Tracked::new(retries);
        world.groups = Tracked::new(groups);
        world.restore_restricted(restricted);
        for account in accounts.into_values() {
            let account = restore_account(&world.config, account, world.starts)?;
            world.lids.insert(account.lid.user().to_owned(), account.number.clone());
            world.accounts.insert(account);
        }
        Ok(world)
    }
}

fn to_value(value: impl Serialize) -> Result<serde_json::Value, SnapshotError> {
    Ok(serde_json::to_value(value)?)
}

fn collect_account(account: &mut Account, mirror: &mut Mirror) -> Result<(), SnapshotError> {
    let number = account.number.clone();
    let at = ["accounts", number.as_str()];
    let below = |part| [at[0], at[1], part];
    mirror.put(&below("record"), to_value(account_record(account))?);
    if account.phone.take_touched() {
        mirror.put(&below("phone"), account.phone.snapshot());
    }
    for (index, item) in account.inbox.take_touched() {
        mirror.put(&[at[0], at[1], "inbox", &index.to_string()], to_value(item)?);
    }
    for (index, item) in account.outbox.take_touched() {
        mirror.put(&[at[0], at[1], "outbox", &index.to_string()], to_value(item)?);
    }
    let gone: Vec<String> = mirror
        .keys(&below("devices"))
        .filter(|id| id.parse().is_ok_and(|id: u16| !account.devices.contains_key(&id)))
        .map(str::to_owned)
        .collect();
    for id in gone {
        mirror.remove(&[at[0], at[1], "devices", &id]);
    }
    for (id, device) in &mut account.devices {
        collect_device(&[at[0], at[1], "devices", &id.to_string()], device, mirror)?;
    }
    Ok(())
}

fn collect_device(at: &[&str; 4], device: &mut Device, mirror: &mut Mirror) -> Result<(), SnapshotError> {
    let below = |part| [at[0], at[1], at[2], at[3], part];
    let record = DeviceRecord {
        pairing: device.pairing.clone(),
        welcomed: device.welcomed,
        driven: device.driven,
        dirty: device.dirty.clone(),
    };
    mirror.put(&below("record"), to_value(record)?);
    if device.keys.take_touched() {
        mirror.put(&below("keys"), to_value(&*device.keys)?);
    }
    let written: BTreeSet<u64> = mirror.keys(&below("queue")).filter_map(|key| key.parse().ok()).collect();
    for sequence in written.iter().filter(|sequence| device.queue.get(**sequence).is_none()) {
        mirror.remove(&[at[0], at[1], at[2], at[3], "queue", &sequence.to_string()]);
    }
    for entry in device.queue.iter().filter(|entry| !written.contains(&entry.sequence)) {
        let saved = SavedEntry {
            kind: entry.kind,
            id: entry.id.clone(),
            peer: entry.peer.clone(),
            node: json::to_json(&entry.node),
            queued_ms: entry.queued_ms,
        };
        mirror.put(&[at[0], at[1], at[2], at[3], "queue", &entry.sequence.to_string()], to_value(saved)?);
    }
    if device.accepted.take_touched() {
        collect_accepted(&below("accepted"), device, mirror)?;
    }
    Ok(())
}

fn collect_accepted(at: &[&str; 5], device: &mut Device, mirror: &mut Mirror) -> Result<(), SnapshotError> {
    let gone: Vec<String> =
        mirror.keys(at).filter(|id| !device.accepted.contains_key(*id)).map(str::to_owned).collect();
    for id in gone {
        mirror.remove(&[at[0], at[1], at[2], at[3], at[4], &id]);
    }
    for (id, message) in device.accepted.iter_mut().filter(|(_, message)| !message.saved) {
        message.saved = true;
        mirror.put(&[at[0], at[1], at[2], at[3], at[4], id], to_value(&*message)?);
    }
    device.accepted.take_touched();
    Ok(())
}

fn account_record(account: &Account) -> AccountRecord {
    AccountRecord {
        number: account.number.clone(),
        lid: account.lid.user().to_owned(),
        push_name: account.push_name.clone(),
        about: account.about.clone(),
        picture: account.picture.clone(),
        default_timer: account.default_timer,
        profile: account.profile,
        companions_max: account.companions_max,
        business: account.business,
        restricted: account.restricted,
        platform: account.platform.clone(),
        abprops: account.abprops.clone(),
        privacy: account.privacy.clone(),
        blocked: account.blocked.iter().cloned().collect(),
        ban: account.ban.clone(),
        ban_until: account.ban_until,
        phone_online: account.phone_online,
        phone_clock_offset_s: account.phone_clock_offset_s,
        next_device: account.next_device,
        key_index_list: account.key_index_list.clone(),
        contacts: account.contacts.clone(),
        collections: account.collections.clone(),
        tokens: account.tokens.clone(),
    }
}

fn restore_account(config: &SimConfig, saved: SavedAccount, starts: u64) -> Result<Account, SnapshotError> {
    let SavedAccount { record: account, phone, inbox, outbox, devices } = saved;
    let (pn, lid) = (Jid::pn(&account.number)?, Jid::lid(&account.lid)?);
    let setup = PhoneSetup {
        number: account.number.clone(),
        pn: pn.clone(),
        lid: lid.clone(),
        push_name: account.push_name.clone(),
        platform: account.platform.clone(),
    };
    let phone: Box<dyn Phone> = match config.phones {
        PhoneMode::Real => phone::restore(setup, phone).map_err(SnapshotError::Damaged)?,
        PhoneMode::Stub => Box::new(StubPhone),
    };
    // Another stream than before the restart: what was drawn once must not be drawn again.
    let phone_rng = seed::stream(config.seed, "phone", &format!("{} {starts}", account.number));
    let devices = devices.into_iter().map(|(id, device)| Ok((id, restore_device(device)?)));
    Ok(Account {
        touched: false,
        number: account.number,
        pn,
        lid,
        push_name: account.push_name,
        about: account.about,
        picture: account.picture,
        default_timer: account.default_timer,
        profile: account.profile,
        companions_max: account.companions_max,
        business: account.business,
        restricted: account.restricted,
        platform: account.platform,
        abprops: account.abprops,
        privacy: account.privacy,
        blocked: account.blocked.into_iter().collect(),
        ban: account.ban,
        ban_until: account.ban_until,
        phone: Tracked::new(phone),
        phone_rng,
        phone_online: account.phone_online,
        phone_clock_offset_s: account.phone_clock_offset_s,
        devices: devices.collect::<Result<_, SnapshotError>>()?,
        next_device: account.next_device,
        key_index_list: account.key_index_list,
        contacts: account.contacts,
        inbox: inbox.into_values().collect(),
        outbox: outbox.into_values().collect(),
        code_hellos: Vec::new(),
        available: false,
        last_seen: 0,
        collections: account.collections,
        tokens: account.tokens,
    })
}

fn restore_device(saved: SavedDevice) -> Result<Device, SnapshotError> {
    let mut restored = Device {
        pairing: saved.record.pairing,
        keys: Tracked::new(saved.keys),
        welcomed: saved.record.welcomed,
        driven: saved.record.driven,
        dirty: saved.record.dirty,
        accepted: Tracked::new(saved.accepted),
        ..Device::default()
    };
    for (sequence, entry) in saved.queue {
        let node: Node =
            json::from_json(&entry.node).map_err(|error| SnapshotError::Damaged(error.to_string()))?;
        restored.queue.put_back(Entry {
            sequence,
            kind: entry.kind,
            id: entry.id,
            peer: entry.peer,
            node,
            queued_ms: entry.queued_ms,
            sent_on: None,
        });
    }
    Ok(restored)
}

/// 64 bytes as hexadecimal text.
pub(crate) mod bytes64 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let bytes = hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("not 64 bytes"))
    }
}

/// A public key as hexadecimal text.
pub(crate) mod public_key {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::crypto::PublicKey;

    pub fn serialize<S: Serializer>(key: &PublicKey, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(key.as_bytes()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PublicKey, D::Error> {
        let bytes = hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)?;
        PublicKey::from_slice(&bytes).ok_or_else(|| D::Error::custom("not 32 bytes"))
    }
}
