//! X25519: key pairs, public keys, shared secrets.

use std::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::random_bytes;

/// An X25519 public key, 32 bytes without the type byte 05.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 33-byte form of Signal: 05, then the key.
    #[must_use]
    pub fn serialize(&self) -> [u8; 33] {
        let mut out = [5; 33];
        out[1..].copy_from_slice(&self.0);
        out
    }

    /// From 32 bytes; `None` at any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// From the 33-byte form of Signal; `None` at another length or type byte.
    #[must_use]
    pub fn deserialize(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [5, key @ ..] => Self::from_slice(key),
            _ => None,
        }
    }

    /// Whether the key, its top bit masked, is one with which every agreement is zero (04 §3.4). Such a key
    /// is refused wherever a public key enters.
    #[must_use]
    pub fn is_low_order(&self) -> bool {
        let mut masked = self.0;
        masked[31] &= 0x7f;
        LOW_ORDER.contains(&masked)
    }
}

/// The low-order coordinates, little-endian: 0, 1, p-1, p, p+1 and the two of order 8 (04 §3.4).
const LOW_ORDER: [[u8; 32]; 7] = [
    small(0x00, 0x00, 0x00),
    small(0x01, 0x00, 0x00),
    small(0xec, 0xff, 0x7f),
    small(0xed, 0xff, 0x7f),
    small(0xee, 0xff, 0x7f),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
];

const fn small(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.0))
    }
}

/// The other side's key is of low order: the shared secret would be all zeros (RFC 7748 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the public key is of low order")]
pub struct LowOrderPoint;

/// The result of a Diffie-Hellman exchange, never all zeros.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

/// An X25519 key pair. The private key is clamped when made, zeroized when dropped, and never printed.
#[derive(Clone)]
pub struct KeyPair {
    private: StaticSecret,
    public: PublicKey,
}

impl KeyPair {
    /// A fresh pair.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut private = random_bytes(rng);
        let pair = Self::from_private(private);
        private.zeroize();
        pair
    }

    /// The pair of a private key of 32 bytes (RFC 7748 §5), which is clamped here if it is not yet.
    #[must_use]
    pub fn from_private(mut private: [u8; 32]) -> Self {
        #[cfg(test)]
        super::count::add(|count| count.key_pairs += 1);
        private[0] &= 248;
        private[31] = (private[31] & 127) | 64;
        let secret = StaticSecret::from(private);
        private.zeroize();
        let public = PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { private: secret, public }
    }

    /// A pair whose halves were stored together, so that reading many costs no multiplication. The halves must
    /// belong together: only for what [`Self::private_bytes`] and [`Self::public`] gave, under a checksum.
    #[must_use]
    pub fn from_stored(private: &[u8; 32], public: PublicKey) -> Self {
        Self { private: StaticSecret::from(*private), public }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The private half, 32 bytes, clamped. Only for the store and for signatures.
    #[must_use]
    pub fn private_bytes(&self) -> &[u8; 32] {
        self.private.as_bytes()
    }

    /// X25519 with another side's public key.
    ///
    /// # Errors
    /// [`LowOrderPoint`] if the result would be all zeros.
    pub fn agree(&self, theirs: &PublicKey) -> Result<SharedSecret, LowOrderPoint> {
        #[cfg(test)]
        super::count::add(|count| count.dh += 1);
        let shared = self.private.diffie_hellman(&x25519_dalek::PublicKey::from(theirs.0));
        let zero: bool = shared.as_bytes().ct_eq(&[0; 32]).into();
        if zero { Err(LowOrderPoint) } else { Ok(SharedSecret(*shared.as_bytes())) }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::gcm;

    #[test]
    fn debug_of_keys_and_shared_secrets_shows_no_byte_of_them() {
        let pair = KeyPair::from_private([0xab; 32]);
        let shared = pair.agree(KeyPair::from_private([1; 32]).public()).unwrap();
        assert_eq!(format!("{pair:?}"), format!("KeyPair {{ public: {:?}, .. }}", pair.public()));
        assert_eq!(format!("{shared:?}"), "SharedSecret(..)");
        assert_eq!(format!("{:?}", gcm::Key::new(&[0xab; 32])), "gcm::Key(..)");
    }
}
