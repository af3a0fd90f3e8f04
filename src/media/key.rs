//! The media key of a file and what is derived from it (protocol 08 §2).

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::MediaKind;
use crate::crypto::{hkdf_sha256, random_bytes};

/// The 32 random bytes that a file is encrypted under. Fresh for every upload but for the exceptions of protocol 08 §2.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MediaKey([u8; 32]);

impl MediaKey {
    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(random_bytes(rng))
    }

    /// From what a message carries; `None` at another length than 32, which makes the reference a bad one.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes, for the message's field.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The keys of a file of this kind; `None` for a kind that is not encrypted.
    #[must_use]
    pub fn expand(&self, kind: MediaKind) -> Option<MediaKeys> {
        kind.info().map(|info| MediaKeys::derive(self, info))
    }
}

impl std::fmt::Debug for MediaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaKey(..)")
    }
}

/// IV and keys of one file.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MediaKeys {
    pub(super) iv: [u8; 16],
    pub(super) cipher: [u8; 32],
    pub(super) mac: [u8; 32],
}

impl MediaKeys {
    fn derive(key: &MediaKey, info: &str) -> Self {
        let mut okm: [u8; 112] = hkdf_sha256(&key.0, &[0; 32], info.as_bytes());
        let mut keys = Self { iv: [0; 16], cipher: [0; 32], mac: [0; 32] };
        let parts = keys.iter_mut();
        parts.zip(okm).for_each(|(to, from)| *to = from);
        okm.zeroize();
        keys
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut u8> {
        self.iv.iter_mut().chain(&mut self.cipher).chain(&mut self.mac)
    }

    /// The IV, which is derived and so in no file.
    #[must_use]
    pub fn iv(&self) -> &[u8; 16] {
        &self.iv
    }

    /// The key of AES-256-CBC.
    #[must_use]
    pub fn cipher_key(&self) -> &[u8; 32] {
        &self.cipher
    }

    /// The key of HMAC-SHA-256.
    #[must_use]
    pub fn mac_key(&self) -> &[u8; 32] {
        &self.mac
    }
}

impl std::fmt::Debug for MediaKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MediaKeys(..)")
    }
}
