//! What others check of a signed device identity: a server of the companion's reply (protocol 02 §7), and everybody
//! who gets a contact's `device-identity` (04 §11.2, 05a §5).

use prost::Message;

use super::{AdvError, DeviceDetails, Hosting, account_message, device_message};
use crate::crypto::{PublicKey, xeddsa};
use crate::proto::{AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};

/// A device identity whose signatures are right.
#[derive(Debug, Clone)]
pub struct DeviceIdentity {
    /// The key that signed for the account: the identity of device 0.
    pub account_key: PublicKey,
    /// What was signed.
    pub details: DeviceDetails,
    /// The signed identity with all four fields, serialized.
    pub signed: Vec<u8>,
}

/// Checks both signatures of a serialized `ADVSignedDeviceIdentity` for the device with this identity key.
///
/// `stored` is the account's key as known (the identity of the user's device 0); it counts only where the bytes
/// carry no key of their own, so compare the result's `account_key` with it.
///
/// # Errors
/// [`AdvError::Malformed`], or [`AdvError::Signature`], also when there is no account key at all.
pub fn device(
    bytes: &[u8],
    identity: &PublicKey,
    stored: Option<&PublicKey>,
) -> Result<DeviceIdentity, AdvError> {
    let signed = AdvSignedDeviceIdentity::decode(bytes).map_err(|_| AdvError::Malformed)?;
    let details_bytes = signed.details.as_deref().ok_or(AdvError::Malformed)?;
    let details = DeviceDetails::parse(details_bytes)?;
    let account_key = match signed.account_signature_key.as_deref() {
        None | Some([]) => *stored.ok_or(AdvError::Signature)?,
        Some(key) => PublicKey::from_slice(key).ok_or(AdvError::Malformed)?,
    };
    let (Some(account_signature), Some(device_signature)) =
        (signed.account_signature.as_deref(), signed.device_signature.as_deref())
    else {
        return Err(AdvError::Malformed);
    };
    let (by_account, by_device) = (details.device.account_prefix(), details.device.device_prefix());
    let account_message = account_message(&by_account, details_bytes, identity);
    let device_message = device_message(&by_device, details_bytes, identity, &account_key);
    if !xeddsa::verify(&account_key, &account_message, account_signature)
        || !xeddsa::verify(identity, &device_message, device_signature)
    {
        return Err(AdvError::Signature);
    }
    let complete =
        AdvSignedDeviceIdentity { account_signature_key: Some(account_key.as_bytes().to_vec()), ..signed };
    Ok(DeviceIdentity { account_key, details, signed: complete.encode_to_vec() })
}

/// What a server keeps of the phone's container until the companion has answered. It can't check the HMAC.
#[derive(Debug, Clone)]
pub struct Offer {
    signed: AdvSignedDeviceIdentity,
    account_key: PublicKey,
    details: DeviceDetails,
}

impl Offer {
    /// Reads the phone's container.
    ///
    /// # Errors
    /// [`AdvError::Malformed`].
    pub fn parse(container: &[u8]) -> Result<Self, AdvError> {
        let container = AdvSignedDeviceIdentityHmac::decode(container).map_err(|_| AdvError::Malformed)?;
        let signed = container.details.ok_or(AdvError::Malformed)?;
        let signed = AdvSignedDeviceIdentity::decode(&*signed).map_err(|_| AdvError::Malformed)?;
        let details = DeviceDetails::parse(signed.details.as_deref().ok_or(AdvError::Malformed)?)?;
        let account_key = signed.account_signature_key.as_deref().and_then(PublicKey::from_slice);
        Ok(Self { account_key: account_key.ok_or(AdvError::Malformed)?, signed, details })
    }

    /// The details that the phone signed.
    #[must_use]
    pub fn details(&self) -> &DeviceDetails {
        &self.details
    }

    /// The account's key in the container.
    #[must_use]
    pub fn account_key(&self) -> &PublicKey {
        &self.account_key
    }

    /// Checks the companion's reply (content of `device-identity` in `pair-device-sign`) against the offer.
    ///
    /// The device signature has the plain form even if the device is hosted, because a linked companion always signs
    /// like that.
    ///
    /// # Errors
    /// [`AdvError::Malformed`] if details or account signature are not the phone's, [`AdvError::Signature`].
    pub fn accept(&self, reply: &[u8], identity: &PublicKey) -> Result<DeviceIdentity, AdvError> {
        let reply = AdvSignedDeviceIdentity::decode(reply).map_err(|_| AdvError::Malformed)?;
        if reply.details != self.signed.details || reply.account_signature != self.signed.account_signature {
            return Err(AdvError::Malformed);
        }
        let (Some(details), Some(signature)) = (&self.signed.details, reply.device_signature) else {
            return Err(AdvError::Malformed);
        };
        let prefix = Hosting::Plain.device_prefix();
        let message = device_message(&prefix, details, identity, &self.account_key);
        if !xeddsa::verify(identity, &message, &signature) {
            return Err(AdvError::Signature);
        }
        let signed = AdvSignedDeviceIdentity { device_signature: Some(signature), ..self.signed.clone() };
        Ok(DeviceIdentity {
            account_key: self.account_key,
            details: self.details,
            signed: signed.encode_to_vec(),
        })
    }
}
