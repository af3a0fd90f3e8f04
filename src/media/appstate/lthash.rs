//! LTHash: the sum over the value MACs of a collection, in which order does not matter (protocol 06 §4.3).

use super::ValueMac;
use crate::crypto::hkdf_sha256;

/// 64 lanes of 16 bits, each summed without carry into the next; all zero for an empty collection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LtHash([u16; 64]);

impl Default for LtHash {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl std::fmt::Debug for LtHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LtHash(..)")
    }
}

impl LtHash {
    /// From its 128 stored bytes, lanes little-endian.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 128]) -> Self {
        let mut lanes = [0; 64];
        let (pairs, _) = bytes.as_chunks::<2>();
        lanes.iter_mut().zip(pairs).for_each(|(lane, pair)| *lane = u16::from_le_bytes(*pair));
        Self(lanes)
    }

    /// Its 128 bytes, lanes little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        let (pairs, _) = bytes.as_chunks_mut::<2>();
        pairs.iter_mut().zip(self.0).for_each(|(pair, lane)| *pair = lane.to_le_bytes());
        bytes
    }

    /// Adds a value MAC.
    pub fn add(&mut self, mac: &ValueMac) {
        self.each(mac, u16::wrapping_add);
    }

    /// Takes a value MAC out.
    pub fn subtract(&mut self, mac: &ValueMac) {
        self.each(mac, u16::wrapping_sub);
    }

    fn each(&mut self, mac: &ValueMac, change: impl Fn(u16, u16) -> u16) {
        let expanded = Self::from_bytes(&hkdf_sha256(mac, &[0; 32], b"WhatsApp Patch Integrity"));
        self.0.iter_mut().zip(expanded.0).for_each(|(lane, other)| *lane = change(*lane, other));
    }
}
