//! The phone's side: makes the container that a new companion verifies (protocol 02 §6, steps 2 to 4).

use prost::Message;

use super::{AdvSecret, Hosting, account_message, container_hmac};
use crate::crypto::{KeyPair, PublicKey, xeddsa};
use crate::proto::{AdvDeviceIdentity, AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};

/// What the phone says about a new device.
#[derive(Debug, Clone, Copy)]
pub struct NewDevice {
    /// Random number of the account's installation.
    pub raw_id: u32,
    /// Unix seconds.
    pub timestamp: u64,
    /// The number of the device in the key index list.
    pub key_index: u32,
    /// Whether the account is hosted: selects the input of the HMAC.
    pub account: Hosting,
    /// Whether the device is hosted: selects what the account signs.
    pub device: Hosting,
}

/// Signs for a device and seals the result under the secret of its code: the serialized
/// `ADVSignedDeviceIdentityHMAC`. `random64` must be fresh.
#[must_use]
pub fn issue(
    device: &NewDevice,
    companion: &PublicKey,
    secret: &AdvSecret,
    account: &KeyPair,
    random64: &[u8; 64],
) -> Vec<u8> {
    let details = AdvDeviceIdentity {
        raw_id: Some(device.raw_id),
        timestamp: Some(device.timestamp),
        key_index: Some(device.key_index),
        account_type: device.account.proto(),
        device_type: device.device.proto(),
    }
    .encode_to_vec();
    let signature = xeddsa::sign(
        account,
        &account_message(&device.device.account_prefix(), &details, companion),
        random64,
    );
    let signed = AdvSignedDeviceIdentity {
        details: Some(details),
        account_signature_key: Some(account.public().as_bytes().to_vec()),
        account_signature: Some(signature.to_vec()),
        device_signature: None,
    }
    .encode_to_vec();
    let hmac = container_hmac(secret, device.account, &signed);
    AdvSignedDeviceIdentityHmac {
        details: Some(signed),
        hmac: Some(hmac.to_vec()),
        account_type: device.account.proto(),
    }
    .encode_to_vec()
}
