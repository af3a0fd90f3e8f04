//! The signed device identities and key index lists of an account's devices, "ADV" (protocol 02 §2, §5, §6).
//!
//! [`primary`] is the phone's side, [`companion`] the side that is linked, [`verify`] what a server or a contact
//! checks, [`key_index`] the phone's signed list of valid devices. `details` are always the bytes as received, never
//! encoded anew. What is stored and when lives in `client` and `sim`.

pub mod companion;
pub mod key_index;
pub mod primary;
pub mod verify;

#[cfg(test)]
mod tests;

use prost::Message;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{PublicKey, hmac_sha256};
use crate::proto::{AdvDeviceIdentity, AdvEncryptionType};

/// The secret of a QR code or a code pairing, known to the phone and the companion only.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AdvSecret([u8; 32]);

secret_equality!(AdvSecret);

impl AdvSecret {
    /// From 32 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A fresh secret.
    #[must_use]
    pub fn generate<R: rand_core::CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(crate::crypto::random_bytes(rng))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for AdvSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdvSecret(..)")
    }
}

/// Why an identity or a list is refused; [`Self::code`] and [`Self::text`] are what a companion answers (02 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdvError {
    /// It does not parse, or a part is missing.
    #[error("malformed device identity")]
    Malformed,
    /// The container is not from who scanned the code.
    #[error("the HMAC of the device identity does not match")]
    Hmac,
    /// A signature is wrong, or the account key is another one than expected.
    #[error("a signature of the device identity does not match")]
    Signature,
}

impl AdvError {
    /// The error code of the reply.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Malformed => 500,
            Self::Hmac | Self::Signature => 401,
        }
    }

    /// The error text of the reply.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed => "internal-error",
            Self::Hmac => "hmac-mismatch",
            Self::Signature => "signature-mismatch",
        }
    }
}

/// Whether a device or an account is hosted; selects what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hosting {
    /// An ordinary device; every value but HOSTED means this.
    #[default]
    Plain,
    /// A device hosted by the business platform.
    Hosted,
}

impl Hosting {
    fn of(value: Option<i32>) -> Self {
        if value == Some(AdvEncryptionType::Hosted as i32) { Self::Hosted } else { Self::Plain }
    }

    fn proto(self) -> Option<i32> {
        match self {
            Self::Plain => None,
            Self::Hosted => Some(AdvEncryptionType::Hosted as i32),
        }
    }

    /// Prefix of the account signature.
    fn account_prefix(self) -> [u8; 2] {
        match self {
            Self::Plain => [6, 0],
            Self::Hosted => [6, 5],
        }
    }

    /// Prefix of the device signature of a contact's device. We ourselves always sign with the plain one.
    fn device_prefix(self) -> [u8; 2] {
        match self {
            Self::Plain => [6, 1],
            Self::Hosted => [6, 6],
        }
    }
}

/// The details of one device, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceDetails {
    /// Random number of the account's installation; another one means that the phone was set up anew.
    pub raw_id: Option<u32>,
    /// Unix seconds.
    pub timestamp: Option<u64>,
    /// The number of the device in the key index list.
    pub key_index: u32,
    /// Whether the device is hosted.
    pub device: Hosting,
}

impl DeviceDetails {
    fn parse(details: &[u8]) -> Result<Self, AdvError> {
        let parsed = AdvDeviceIdentity::decode(details).map_err(|_| AdvError::Malformed)?;
        Ok(Self {
            raw_id: parsed.raw_id,
            timestamp: parsed.timestamp,
            key_index: parsed.key_index.ok_or(AdvError::Malformed)?,
            device: Hosting::of(parsed.device_type),
        })
    }
}

/// The HMAC of a container.
fn container_hmac(secret: &AdvSecret, outer: Hosting, details: &[u8]) -> [u8; 32] {
    match outer {
        Hosting::Plain => hmac_sha256(secret.as_bytes(), &[details]),
        Hosting::Hosted => hmac_sha256(secret.as_bytes(), &[&[6, 5], details]),
    }
}

/// What the account signs for a device.
fn account_message<'a>(prefix: &'a [u8; 2], details: &'a [u8], identity: &'a PublicKey) -> [&'a [u8]; 3] {
    [prefix, details, identity.as_bytes()]
}

/// What a device signs.
fn device_message<'a>(
    prefix: &'a [u8; 2],
    details: &'a [u8],
    identity: &'a PublicKey,
    account: &'a PublicKey,
) -> [&'a [u8]; 4] {
    [prefix, details, identity.as_bytes(), account.as_bytes()]
}
