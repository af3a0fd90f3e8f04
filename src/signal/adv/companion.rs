//! The companion's side: checks what the phone signed and signs back (protocol 02 §5, steps 1 to 6).

use prost::Message;

use super::{AdvError, AdvSecret, DeviceDetails, Hosting, account_message, container_hmac, device_message};
use crate::crypto::{KeyPair, PublicKey, ct_eq, xeddsa};
use crate::proto::{AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};

/// A container that passed every check and can be signed.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The account's identity key: the identity of device 0.
    pub account_key: PublicKey,
    /// What the phone said about this device.
    pub details: DeviceDetails,
    signed: AdvSignedDeviceIdentity,
    bytes: Vec<u8>,
}

/// What is stored and sent once both have signed.
#[derive(Debug, Clone)]
pub struct Linked {
    /// Serialized `ADVSignedDeviceIdentity` with all four fields, for the store and for `device-identity` nodes.
    pub account: Vec<u8>,
    /// The same without the account's key, for the reply `pair-device-sign`.
    pub reply: Vec<u8>,
}

/// Checks a container against the secret of the code that was shown, and the account's signature over our
/// identity.
///
/// `expected` is the account key where it is already known (from a code pairing).
///
/// # Errors
/// [`AdvError`], in the order of 02 §5.
pub fn verify(
    container: &[u8],
    secret: &AdvSecret,
    identity: &PublicKey,
    expected: Option<&PublicKey>,
) -> Result<Verified, AdvError> {
    let container = AdvSignedDeviceIdentityHmac::decode(container).map_err(|_| AdvError::Malformed)?;
    let (Some(details), Some(hmac)) = (container.details, container.hmac) else {
        return Err(AdvError::Malformed);
    };
    if !ct_eq(&container_hmac(secret, Hosting::of(container.account_type), &details), &hmac) {
        return Err(AdvError::Hmac);
    }
    let signed = AdvSignedDeviceIdentity::decode(&*details).map_err(|_| AdvError::Malformed)?;
    let bytes = signed.details.clone().ok_or(AdvError::Malformed)?;
    let details = DeviceDetails::parse(&bytes)?;
    let account_key = signed.account_signature_key.as_deref().and_then(PublicKey::from_slice);
    let (Some(account_key), Some(signature)) = (account_key, &signed.account_signature) else {
        return Err(AdvError::Signature);
    };
    let message = details.device.account_prefix();
    if expected.is_some_and(|expected| *expected != account_key)
        || !xeddsa::verify(&account_key, &account_message(&message, &bytes, identity), signature)
    {
        return Err(AdvError::Signature);
    }
    Ok(Verified { account_key, details, signed, bytes })
}

impl Verified {
    /// What our device signs: `06 01 ‖ details ‖ identity ‖ account key`.
    #[must_use]
    pub fn device_signature_message(&self, identity: &PublicKey) -> Vec<u8> {
        device_message(&Hosting::Plain.device_prefix(), &self.bytes, identity, &self.account_key).concat()
    }

    /// Signs with our identity key. `random64` must be fresh.
    #[must_use]
    pub fn sign(&self, identity: &KeyPair, random64: &[u8; 64]) -> Linked {
        let prefix = Hosting::Plain.device_prefix();
        let message = device_message(&prefix, &self.bytes, identity.public(), &self.account_key);
        let signature = xeddsa::sign(identity, &message, random64);
        let account =
            AdvSignedDeviceIdentity { device_signature: Some(signature.to_vec()), ..self.signed.clone() };
        let reply = AdvSignedDeviceIdentity { account_signature_key: None, ..account.clone() };
        Linked { account: account.encode_to_vec(), reply: reply.encode_to_vec() }
    }
}
