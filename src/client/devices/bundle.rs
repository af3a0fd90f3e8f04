//! A fetched or sent-along bundle in the Signal layer's terms, and who vouches for it (protocol 05a §5, 04 §11.2).

use crate::crypto::PublicKey;
use crate::signal::adv::verify;
use crate::signal::{PreKeyBundle, SignalError, key32};
use crate::stanza::keys::Bundle;

/// Checks keys and signature.
pub(crate) fn checked(bundle: &Bundle) -> Result<PreKeyBundle, SignalError> {
    let one_time = match &bundle.prekey {
        Some(key) => Some((key.id, key32(&key.public)?)),
        None => None,
    };
    let signed = &bundle.signed_prekey;
    PreKeyBundle::new(
        bundle.registration_id,
        key32(&bundle.identity)?,
        (signed.id, key32(&signed.public)?, &signed.signature),
        one_time,
    )
}

/// Whether a companion's keys are vouched for: both signatures of its device identity are right, by the account key
/// inside, else by the phone's stored identity.
pub(crate) fn is_vouched(bundle: &Bundle, phone: Option<&PublicKey>) -> bool {
    let identity = PublicKey(bundle.identity);
    let device_identity = bundle.device_identity.as_deref();
    device_identity.is_some_and(|bytes| verify::device(bytes, &identity, phone).is_ok())
}
