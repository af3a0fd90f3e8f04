//! The root key (protocol 04 §5, §6): each Diffie-Hellman turn mixes into it and gives a chain.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::chain_key::ChainKey;
use crate::crypto::{SharedSecret, hkdf_sha256};

/// A root key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct RootKey(pub(crate) [u8; 32]);

impl RootKey {
    /// The first root key, of X3DH's master secret.
    pub(crate) fn from_master(master: &[u8]) -> Self {
        // The chain key in the other half belongs to no message: the responder ratchets before it sends.
        Self(halves(master, &[0; 32], b"WhisperText").0)
    }

    /// One step of the root chain.
    pub(crate) fn step(&self, shared: &SharedSecret) -> (Self, ChainKey) {
        let (root, chain) = halves(shared.as_bytes(), &self.0, b"WhisperRatchet");
        (Self(root), ChainKey::new(chain))
    }
}

fn halves(ikm: &[u8], salt: &[u8], info: &[u8]) -> ([u8; 32], [u8; 32]) {
    let okm = Zeroizing::new(hkdf_sha256::<64>(ikm, salt, info));
    let (mut first, mut second) = ([0; 32], [0; 32]);
    let (left, right) = okm.split_at(32);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    (first, second)
}
