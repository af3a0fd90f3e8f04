//! The account's signed devices (protocol 02 §6): raw id, key indexes, containers and the signed list; and the keys of
//! the app state, whose fingerprints name them (06 §2).

use std::collections::BTreeMap;

use prost::Message;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::crypto::{KeyPair, PublicKey, random_bytes};
use crate::proto::{
    AdvDeviceIdentity, AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac, message as schema,
};
use crate::signal::adv::key_index::KeyIndexList;
use crate::signal::adv::primary::{self, NewDevice};
use crate::signal::adv::{AdvSecret, Hosting};
use crate::sim::seam::Corrupt;
use crate::sim::seed::SimRng;
use crate::wire::Node;

/// The account's devices as the phone signs them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Adv {
    pub raw_id: u32,
    /// The highest key index ever used.
    pub current_index: u32,
    /// Linked companions and their key indexes.
    pub valid: BTreeMap<u16, u32>,
    /// Key indexes of pairings that are under way.
    #[serde(skip)]
    pub pending: Vec<u32>,
    /// Counts the changes of `valid`.
    pub revision: u64,
    /// Keys of the app state, oldest first.
    pub app_keys: Vec<AppKey>,
}

/// One key of the app state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AppKey {
    pub id: [u8; 6],
    data: [u8; 32],
    raw_id: u32,
    current_index: u32,
    device_indexes: Vec<u32>,
    timestamp_ms: UnixMillis,
}

impl Adv {
    pub fn generate(now: UnixMillis, rng: &mut SimRng) -> Self {
        let raw_id = u32::from_le_bytes(random_bytes(rng));
        let mut adv = Self {
            raw_id,
            current_index: 0,
            valid: BTreeMap::new(),
            pending: Vec::new(),
            revision: 0,
            app_keys: Vec::new(),
        };
        adv.new_app_key(now, rng);
        adv
    }

    /// The next key index, kept until the pairing has succeeded or failed.
    pub fn reserve(&mut self) -> u32 {
        let last = self.pending.iter().copied().fold(self.current_index, u32::max);
        let next = last.saturating_add(1);
        self.pending.push(next);
        next
    }

    /// A companion is linked.
    pub fn link(&mut self, device: u16, key_index: u32) {
        self.current_index = self.current_index.max(key_index);
        self.valid.insert(device, key_index);
        self.revision += 1;
    }

    /// A companion is gone. Whether it was linked.
    pub fn unlink(&mut self, device: u16) -> bool {
        self.revision += 1;
        self.valid.remove(&device).is_some()
    }

    /// The container for a companion (02 §6 steps 2 to 4), with a planted fault if one is asked for.
    pub fn container(
        &self,
        account: &KeyPair,
        companion: &PublicKey,
        secret: &AdvSecret,
        (key_index, now_s): (u32, i64),
        corrupt: Option<Corrupt>,
        rng: &mut SimRng,
    ) -> Vec<u8> {
        let device = NewDevice {
            raw_id: self.raw_id,
            timestamp: now_s.unsigned_abs(),
            key_index,
            account: Hosting::Plain,
            device: Hosting::Plain,
        };
        let stranger = *KeyPair::generate(rng).public();
        let companion = if corrupt == Some(Corrupt::Identity) { &stranger } else { companion };
        let container = primary::issue(&device, companion, secret, account, &random_bytes(rng));
        match corrupt {
            Some(fault @ (Corrupt::Hmac | Corrupt::AccountSig | Corrupt::KeyIndex)) => {
                spoil(&container, fault, secret).unwrap_or(container)
            }
            Some(Corrupt::Identity) | None => container,
        }
    }

    /// The signed list with these further indexes, and its timestamp.
    pub fn signed_list(&self, account: &KeyPair, also: Option<u32>, now_s: i64, rng: &mut SimRng) -> Node {
        let mut valid_indexes: Vec<u32> = self.valid.values().copied().chain(also).collect();
        valid_indexes.sort_unstable();
        let list = KeyIndexList {
            raw_id: self.raw_id,
            timestamp: now_s.unsigned_abs(),
            current_index: also.unwrap_or(0).max(self.current_index),
            valid_indexes,
            account: Hosting::Plain,
        };
        let bytes = list.sign(account, false, &random_bytes(rng));
        Node::new("key-index-list").attr("ts", now_s).bytes(bytes)
    }

    /// A new key of the app state for the devices that are linked now.
    pub fn new_app_key(&mut self, now: UnixMillis, rng: &mut SimRng) {
        let epoch = self.app_keys.last().map_or(0, AppKey::epoch).saturating_add(1);
        let [a, b, c, d] = epoch.to_be_bytes();
        let key = AppKey {
            id: [0, 0, a, b, c, d],
            data: random_bytes(rng),
            raw_id: self.raw_id,
            current_index: self.current_index,
            device_indexes: std::iter::once(0).chain(self.valid.values().copied()).collect(),
            timestamp_ms: now,
        };
        self.app_keys.push(key);
    }

    /// A share of all keys.
    pub fn share(&self) -> schema::AppStateSyncKeyShare {
        schema::AppStateSyncKeyShare { keys: self.app_keys.iter().map(AppKey::message).collect() }
    }

    /// The answer to a request: one entry for each id, without data where the key is unknown.
    pub fn answer(&self, ids: &[schema::AppStateSyncKeyId]) -> schema::AppStateSyncKeyShare {
        let entry = |id: &schema::AppStateSyncKeyId| {
            let known = self.app_keys.iter().find(|key| id.key_id.as_deref() == Some(&key.id));
            let unknown = || schema::AppStateSyncKey { key_id: Some(id.clone()), key_data: None };
            known.map_or_else(unknown, AppKey::message)
        };
        schema::AppStateSyncKeyShare { keys: ids.iter().map(entry).collect() }
    }
}

impl AppKey {
    fn epoch(&self) -> u32 {
        let [_, _, epoch @ ..] = self.id;
        u32::from_be_bytes(epoch)
    }

    fn message(&self) -> schema::AppStateSyncKey {
        let fingerprint = schema::AppStateSyncKeyFingerprint {
            raw_id: Some(self.raw_id),
            current_index: Some(self.current_index),
            device_indexes: self.device_indexes.clone(),
        };
        schema::AppStateSyncKey {
            key_id: Some(schema::AppStateSyncKeyId { key_id: Some(self.id.to_vec()) }),
            key_data: Some(schema::AppStateSyncKeyData {
                key_data: Some(self.data.to_vec()),
                fingerprint: Some(fingerprint),
                timestamp: Some(self.timestamp_ms),
            }),
        }
    }
}

/// Damages a container. What lies behind the HMAC gets a right HMAC again, so that only the wanted check fails.
fn spoil(container: &[u8], fault: Corrupt, secret: &AdvSecret) -> Option<Vec<u8>> {
    let mut outer = AdvSignedDeviceIdentityHmac::decode(container).ok()?;
    if fault == Corrupt::Hmac {
        *outer.hmac.as_mut()?.first_mut()? ^= 1;
        return Some(outer.encode_to_vec());
    }
    let mut signed = AdvSignedDeviceIdentity::decode(outer.details.as_deref()?).ok()?;
    if fault == Corrupt::AccountSig {
        *signed.account_signature.as_mut()?.first_mut()? ^= 1;
    } else {
        let mut details = AdvDeviceIdentity::decode(signed.details.as_deref()?).ok()?;
        details.key_index = None;
        signed.details = Some(details.encode_to_vec());
    }
    let bytes = signed.encode_to_vec();
    outer.hmac = Some(crate::crypto::hmac_sha256(secret.as_bytes(), &[&bytes]).to_vec());
    outer.details = Some(bytes);
    Some(outer.encode_to_vec())
}
