//! The symmetric ratchet (protocol 04 §5): a chain key gives the seed of one message and the next chain key.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::SignalError;
use super::message_key::Seed;
use crate::crypto::hmac_sha256;

/// A chain key and the number of the next message of the chain.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct ChainKey {
    pub(crate) key: [u8; 32],
    pub(crate) index: u32,
}

impl ChainKey {
    /// A chain at its beginning.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key, index: 0 }
    }

    /// The seed of the next message.
    pub(crate) fn seed(&self) -> Seed {
        Seed(hmac_sha256(&self.key, &[&[1]]))
    }

    /// The chain after that message. The last index is never used, so that the number can't wrap.
    pub(crate) fn next(&self) -> Result<Self, SignalError> {
        let index = self.index.checked_add(1).ok_or(SignalError::CounterExhausted)?;
        Ok(Self { key: hmac_sha256(&self.key, &[&[2]]), index })
    }
}
