//! `--state`: a world as JSON and back (09 §2). Connections, timers and the traffic log are not part of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::{Account, Ban, Device, OutboxItem, Pairing, SignedList};
use super::groups::Group;
use super::keys::KeySet;
use super::queue::Kind;
use super::{Namespace, World};
use crate::clock::UnixMillis;
use crate::sim::config::{PhoneMode, Profile, SimConfig};
use crate::sim::phone;
use crate::sim::seam::{InboxItem, Phone, PhoneSetup};
use crate::sim::seed;
use crate::sim::stub::StubPhone;
use crate::sim::violations::Violations;
use crate::wire::{Jid, JidError, Node, json};

const FORMAT: u32 = 1;

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

#[derive(Serialize, Deserialize)]
struct WorldSnapshot {
    format: u32,
    seed: u64,
    now_ms: UnixMillis,
    next_connection: u64,
    next_stanza: u64,
    next_number: u64,
    accounts: Vec<AccountSnapshot>,
    groups: Vec<Group>,
    violations: Violations,
}

#[derive(Serialize, Deserialize)]
struct AccountSnapshot {
    number: String,
    lid: String,
    push_name: String,
    about: String,
    profile: Option<Profile>,
    companions_max: usize,
    business: bool,
    restricted: bool,
    platform: String,
    abprops: BTreeMap<String, String>,
    privacy: BTreeMap<String, String>,
    blocked: Vec<String>,
    ban: Option<Ban>,
    phone: serde_json::Value,
    phone_online: bool,
    devices: Vec<DeviceSnapshot>,
    next_device: u16,
    key_index_list: Option<SignedList>,
    contacts: BTreeMap<String, Namespace>,
    inbox: Vec<InboxItem>,
    outbox: Vec<OutboxItem>,
    collections: BTreeMap<String, u64>,
    tokens: BTreeMap<String, (Vec<u8>, UnixMillis)>,
}

#[derive(Serialize, Deserialize)]
struct DeviceSnapshot {
    id: u16,
    pairing: Option<Pairing>,
    keys: Option<KeySet>,
    welcomed: bool,
    #[serde(default)]
    driven: bool,
    dirty: BTreeMap<String, i64>,
    queue: Vec<EntrySnapshot>,
}

#[derive(Serialize, Deserialize)]
struct EntrySnapshot {
    kind: Kind,
    id: String,
    peer: Option<String>,
    node: serde_json::Value,
    queued_ms: UnixMillis,
}

impl World {
    /// The state that survives a restart.
    pub(crate) fn snapshot(&self) -> Result<Vec<u8>, SnapshotError> {
        let snapshot = WorldSnapshot {
            format: FORMAT,
            seed: self.config.seed,
            now_ms: self.now_ms,
            next_connection: self.next_connection,
            next_stanza: self.next_stanza,
            next_number: self.next_number,
            accounts: self.accounts.values().map(account_snapshot).collect(),
            groups: self.groups.values().cloned().collect(),
            violations: self.violations.clone(),
        };
        Ok(serde_json::to_vec(&snapshot)?)
    }

    /// The world of a snapshot. A real clock goes on from now, a virtual one from the snapshot's time.
    pub(crate) fn restore(
        config: SimConfig,
        now_ms: UnixMillis,
        bytes: &[u8],
    ) -> Result<Self, SnapshotError> {
        let snapshot: WorldSnapshot = serde_json::from_slice(bytes)?;
        if snapshot.format != FORMAT || snapshot.seed != config.seed {
            return Err(SnapshotError::Other { format: snapshot.format, seed: snapshot.seed });
        }
        let mut world = Self::new(config, now_ms.max(snapshot.now_ms));
        world.next_connection = snapshot.next_connection;
        world.next_stanza = snapshot.next_stanza;
        world.next_number = snapshot.next_number;
        world.violations = snapshot.violations;
        world.groups = snapshot.groups.into_iter().map(|group| (group.id.clone(), group)).collect();
        for account in snapshot.accounts {
            let account = restore_account(&world.config, account, snapshot.next_stanza)?;
            world.lids.insert(account.lid.user().to_owned(), account.number.clone());
            world.accounts.insert(account.number.clone(), account);
        }
        Ok(world)
    }
}

fn account_snapshot(account: &Account) -> AccountSnapshot {
    AccountSnapshot {
        number: account.number.clone(),
        lid: account.lid.user().to_owned(),
        push_name: account.push_name.clone(),
        about: account.about.clone(),
        profile: account.profile,
        companions_max: account.companions_max,
        business: account.business,
        restricted: account.restricted,
        platform: account.platform.clone(),
        abprops: account.abprops.clone(),
        privacy: account.privacy.clone(),
        blocked: account.blocked.iter().cloned().collect(),
        ban: account.ban.clone(),
        phone: account.phone.snapshot(),
        phone_online: account.phone_online,
        devices: account.devices.iter().map(|(id, device)| device_snapshot(*id, device)).collect(),
        next_device: account.next_device,
        key_index_list: account.key_index_list.clone(),
        contacts: account.contacts.clone(),
        inbox: account.inbox.clone(),
        outbox: account.outbox.clone(),
        collections: account.collections.clone(),
        tokens: account.tokens.clone(),
    }
}

fn device_snapshot(id: u16, device: &Device) -> DeviceSnapshot {
    let queue = device.queue.iter().map(|entry| EntrySnapshot {
        kind: entry.kind,
        id: entry.id.clone(),
        peer: entry.peer.clone(),
        node: json::to_json(&entry.node),
        queued_ms: entry.queued_ms,
    });
    DeviceSnapshot {
        id,
        pairing: device.pairing.clone(),
        keys: device.keys.clone(),
        welcomed: device.welcomed,
        driven: device.driven,
        dirty: device.dirty.clone(),
        queue: queue.collect(),
    }
}

fn restore_account(
    config: &SimConfig,
    account: AccountSnapshot,
    generation: u64,
) -> Result<Account, SnapshotError> {
    let (pn, lid) = (Jid::pn(&account.number)?, Jid::lid(&account.lid)?);
    let setup = PhoneSetup {
        number: account.number.clone(),
        pn: pn.clone(),
        lid: lid.clone(),
        push_name: account.push_name.clone(),
        platform: account.platform.clone(),
    };
    let phone: Box<dyn Phone> = match config.phones {
        PhoneMode::Real => phone::restore(setup, account.phone).map_err(SnapshotError::Damaged)?,
        PhoneMode::Stub => Box::new(StubPhone),
    };
    // Another stream than before the restart: what was drawn once must not be drawn again.
    let phone_rng = seed::stream(config.seed, "phone", &format!("{} {generation}", account.number));
    let mut devices = BTreeMap::new();
    for device in account.devices {
        devices.insert(device.id, restore_device(device)?);
    }
    Ok(Account {
        number: account.number,
        pn,
        lid,
        push_name: account.push_name,
        about: account.about,
        profile: account.profile,
        companions_max: account.companions_max,
        business: account.business,
        restricted: account.restricted,
        platform: account.platform,
        abprops: account.abprops,
        privacy: account.privacy,
        blocked: account.blocked.into_iter().collect(),
        ban: account.ban,
        phone,
        phone_rng,
        phone_online: account.phone_online,
        devices,
        next_device: account.next_device,
        key_index_list: account.key_index_list,
        contacts: account.contacts,
        inbox: account.inbox,
        outbox: account.outbox,
        code_hellos: Vec::new(),
        available: false,
        last_seen: 0,
        collections: account.collections,
        tokens: account.tokens,
    })
}

fn restore_device(device: DeviceSnapshot) -> Result<Device, SnapshotError> {
    let mut restored = Device {
        pairing: device.pairing,
        keys: device.keys,
        welcomed: device.welcomed,
        driven: device.driven,
        dirty: device.dirty,
        ..Device::default()
    };
    for entry in device.queue {
        let node: Node =
            json::from_json(&entry.node).map_err(|error| SnapshotError::Damaged(error.to_string()))?;
        restored.queue.push(entry.queued_ms, entry.kind, &entry.id, entry.peer, node);
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
