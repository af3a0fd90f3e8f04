//! App-state keys: expansion (protocol 06 §2.4) and the MACs that only they can make (§4.2, §4.4).

use std::collections::HashMap;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{IndexMac, LtHash, ValueMac};
use crate::crypto::{HmacStream, hkdf_sha256, hmac_sha256};

/// An app-state key, expanded.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SyncKey {
    index: [u8; 32],
    pub(super) value_cipher: [u8; 32],
    pub(super) value_mac: [u8; 32],
    snapshot_mac: [u8; 32],
    patch_mac: [u8; 32],
}

impl SyncKey {
    /// Expands the 32 bytes of a key share's `keyData`.
    #[must_use]
    pub fn expand(key_data: &[u8; 32]) -> Self {
        let mut okm: [u8; 160] = hkdf_sha256(key_data, &[0; 32], b"WhatsApp Mutation Keys");
        let mut key = Self {
            index: [0; 32],
            value_cipher: [0; 32],
            value_mac: [0; 32],
            snapshot_mac: [0; 32],
            patch_mac: [0; 32],
        };
        key.bytes_mut().zip(okm).for_each(|(to, from)| *to = from);
        okm.zeroize();
        key
    }

    fn bytes_mut(&mut self) -> impl Iterator<Item = &mut u8> {
        self.index
            .iter_mut()
            .chain(&mut self.value_cipher)
            .chain(&mut self.value_mac)
            .chain(&mut self.snapshot_mac)
            .chain(&mut self.patch_mac)
    }

    /// The MAC of an index: of the bytes of its JSON text.
    #[must_use]
    pub fn index_mac(&self, index_json: &[u8]) -> IndexMac {
        hmac_sha256(&self.index, &[index_json])
    }

    /// The MAC of a collection at a version (`snapshotMac` of a patch, `mac` of a snapshot).
    #[must_use]
    pub fn snapshot_mac(&self, lthash: &LtHash, version: u64, collection: &str) -> [u8; 32] {
        hmac_sha256(&self.snapshot_mac, &[&lthash.to_bytes(), &version.to_be_bytes(), collection.as_bytes()])
    }

    /// The MAC of a patch: over its `snapshotMac` and its value MACs in order.
    pub(super) fn patch_mac<'a>(
        &self,
        snapshot_mac: &[u8],
        value_macs: impl Iterator<Item = &'a ValueMac>,
        version: u64,
        collection: &str,
    ) -> [u8; 32] {
        let mut mac = HmacStream::new(&self.patch_mac);
        mac.update(snapshot_mac);
        value_macs.for_each(|value_mac| mac.update(value_mac));
        mac.update(&version.to_be_bytes());
        mac.update(collection.as_bytes());
        mac.finish()
    }
}

impl std::fmt::Debug for SyncKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SyncKey(..)")
    }
}

/// The keys that are stored, by id, expanded once each.
#[derive(Debug, Default)]
pub struct KeyRing(HashMap<Vec<u8>, SyncKey>);

impl KeyRing {
    /// Adds a key. The first data of an id stays (protocol 06 §2.1).
    pub fn add(&mut self, id: &[u8], key_data: &[u8; 32]) {
        self.0.entry(id.to_vec()).or_insert_with(|| SyncKey::expand(key_data));
    }

    /// The key of an id.
    #[must_use]
    pub fn get(&self, id: &[u8]) -> Option<&SyncKey> {
        self.0.get(id)
    }
}
