//! The keys of a device: identity key, registration id, signed prekey, one-time prekeys, and the bundle in
//! which a peer's keys come (protocol 04 §2).

use rand_core::CryptoRng;

use super::SignalError;
use super::wire::checked;
use crate::crypto::{KeyPair, PublicKey, random_bytes, xeddsa};

/// The largest prekey id (24 bits on the wire).
pub const MAX_PREKEY_ID: u32 = 0x00ff_ffff;

/// The number of one-time prekeys of the first upload and of every refill.
pub const PREKEY_BATCH: usize = 812;

/// The largest registration id that we generate.
pub const MAX_REGISTRATION_ID: u32 = 16_380;

/// The public identity key of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityKey(pub PublicKey);

impl IdentityKey {
    /// The 33-byte form.
    #[must_use]
    pub fn serialize(&self) -> [u8; 33] {
        self.0.serialize()
    }

    /// The bare 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

impl From<PublicKey> for IdentityKey {
    fn from(key: PublicKey) -> Self {
        Self(key)
    }
}

/// What a session needs to know about our own device.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a> {
    /// Our identity key pair.
    pub identity: &'a KeyPair,
    /// Our registration id.
    pub registration_id: u32,
}

impl Local<'_> {
    /// Our public identity key.
    #[must_use]
    pub fn identity_key(&self) -> IdentityKey {
        IdentityKey(*self.identity.public())
    }
}

/// A registration id, uniform in 1..=16380.
#[must_use]
pub fn generate_registration_id<R: CryptoRng + ?Sized>(rng: &mut R) -> u32 {
    loop {
        // 14 bits, drawn again outside of the range, so that every value is equally likely.
        let id = u32::from(u16::from_le_bytes(random_bytes(rng)) & 0x3fff);
        if (1..=MAX_REGISTRATION_ID).contains(&id) {
            return id;
        }
    }
}

/// The prekey id after `id`: 16777215 is followed by 1, and 0 never occurs.
#[must_use]
pub fn next_prekey_id(id: u32) -> u32 {
    if id >= MAX_PREKEY_ID { 1 } else { id + 1 }
}

/// The next `count` prekey ids from `next` on, without those that are still stored, and the id that follows.
/// Fewer than `count` come back only when nearly all ids are stored.
#[must_use]
pub fn allocate_prekey_ids(next: u32, count: usize, stored: impl Fn(u32) -> bool) -> (Vec<u32>, u32) {
    let mut ids = Vec::with_capacity(count.min(PREKEY_BATCH));
    let mut id = if (1..=MAX_PREKEY_ID).contains(&next) { next } else { 1 };
    for _ in 0..MAX_PREKEY_ID {
        if ids.len() == count {
            break;
        }
        if !stored(id) {
            ids.push(id);
        }
        id = next_prekey_id(id);
    }
    (ids, id)
}

/// One of our signed prekeys.
#[derive(Debug, Clone)]
pub struct SignedPreKey {
    /// Its id, 1..=[`MAX_PREKEY_ID`].
    pub id: u32,
    /// The pair.
    pub pair: KeyPair,
    /// The signature of our identity key over the 33-byte public key.
    pub signature: [u8; 64],
}

impl SignedPreKey {
    /// A fresh one.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(id: u32, identity: &KeyPair, rng: &mut R) -> Self {
        let pair = KeyPair::generate(rng);
        let signature = xeddsa::sign(identity, &[&pair.public().serialize()], &random_bytes(rng));
        Self { id, pair, signature }
    }
}

/// The keys of a peer device, from which a session is made. Only what has passed the checks of the keys can
/// be written; the signature is checked by [`Self::new`] too.
#[derive(Debug, Clone)]
pub struct PreKeyBundle {
    pub(crate) registration_id: u32,
    pub(crate) identity: IdentityKey,
    pub(crate) signed_prekey_id: u32,
    pub(crate) signed_prekey: PublicKey,
    pub(crate) one_time: Option<(u32, PublicKey)>,
}

impl PreKeyBundle {
    /// Checks the keys, then the signature of the signed prekey, which is mandatory (04 §6.1).
    ///
    /// # Errors
    /// `InvalidKey` for a key of low order, `BadSignature`.
    pub fn new(
        registration_id: u32,
        identity: PublicKey,
        (signed_prekey_id, signed_prekey, signature): (u32, PublicKey, &[u8]),
        one_time: Option<(u32, PublicKey)>,
    ) -> Result<Self, SignalError> {
        checked(Some(identity))?;
        checked(Some(signed_prekey))?;
        if let Some((_, key)) = one_time {
            checked(Some(key))?;
        }
        if !xeddsa::verify(&identity, &[&signed_prekey.serialize()], signature) {
            return Err(SignalError::BadSignature);
        }
        let identity = IdentityKey(identity);
        Ok(Self { registration_id, identity, signed_prekey_id, signed_prekey, one_time })
    }

    /// The peer's identity key.
    #[must_use]
    pub fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    /// The peer's registration id; 0 if it said none.
    #[must_use]
    pub fn registration_id(&self) -> u32 {
        self.registration_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::os_rng;

    #[test]
    fn prekey_ids_wrap_from_16777215_to_1_and_skip_stored_ids() {
        assert_eq!(next_prekey_id(MAX_PREKEY_ID), 1);
        let (ids, next) = allocate_prekey_ids(MAX_PREKEY_ID - 1, 4, |id| id == 2);
        assert_eq!((ids, next), (vec![MAX_PREKEY_ID - 1, MAX_PREKEY_ID, 1, 3], 4));
        assert_eq!(allocate_prekey_ids(0, 1, |_| false).0, [1]);
    }

    #[test]
    fn registration_ids_are_in_the_classic_range() {
        let rng = &mut os_rng();
        assert!((0..2000).all(|_| (1..=MAX_REGISTRATION_ID).contains(&generate_registration_id(rng))));
    }

    #[test]
    fn a_bundle_with_a_wrong_signature_is_refused_and_leaves_no_session() {
        let rng = &mut os_rng();
        let identity = KeyPair::generate(rng);
        let mut signed = SignedPreKey::generate(1, &identity, rng);
        let make = |signed: &SignedPreKey| {
            PreKeyBundle::new(1, *identity.public(), (1, *signed.pair.public(), &signed.signature), None)
        };
        assert!(make(&signed).is_ok());
        signed.signature[3] ^= 1;
        // Without a bundle there is nothing that a session could be made of.
        assert_eq!(make(&signed).unwrap_err(), SignalError::BadSignature);
    }

    #[test]
    fn a_bundle_with_a_low_order_key_is_refused() {
        let rng = &mut os_rng();
        let identity = KeyPair::generate(rng);
        let signed = SignedPreKey::generate(1, &identity, rng);
        let low = PublicKey([0; 32]);
        let signed_key = *signed.pair.public();
        let cases = [
            PreKeyBundle::new(1, low, (1, signed_key, &signed.signature), None),
            PreKeyBundle::new(1, *identity.public(), (1, low, &signed.signature), None),
            PreKeyBundle::new(1, *identity.public(), (1, signed_key, &signed.signature), Some((1, low))),
        ];
        assert!(cases.into_iter().all(|case| case.is_err_and(|error| error == SignalError::InvalidKey)));
    }
}
