//! The two messages of a session: `SignalMessage` and `PreKeySignalMessage` (protocol 04 §4.2, §4.3).
//! Parsing does every check that needs no state; writing goes into the caller's buffer.

use super::wire::{self, Fields, KEY_LENGTH};
use super::{IdentityKey, SignalError};
use crate::crypto::{PublicKey, hmac_sha256};

/// The length of the authentication code at the end of a message.
pub(crate) const MAC_LENGTH: usize = 8;

/// Version byte, ratchet key field, the shortest ciphertext field, authentication code.
const MIN_LENGTH: usize = 1 + 2 + KEY_LENGTH + 2 + 16 + MAC_LENGTH;

/// A message of a session, as received; it borrows from the bytes.
#[derive(Debug, Clone, Copy)]
pub struct SignalMessage<'a> {
    pub(crate) ratchet_key: PublicKey,
    pub(crate) counter: u32,
    pub(crate) ciphertext: &'a [u8],
    /// Everything before the authentication code.
    authenticated: &'a [u8],
    mac: &'a [u8],
}

impl<'a> SignalMessage<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// `Malformed`, `Version` or `InvalidKey`, by the order of 04 §4.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignalError> {
        wire::versioned(bytes, MIN_LENGTH)?;
        let at = bytes.len().checked_sub(MAC_LENGTH).ok_or(SignalError::Malformed)?;
        let (authenticated, mac) = bytes.split_at_checked(at).ok_or(SignalError::Malformed)?;
        let (mut key, mut counter, mut ciphertext) = (None, 0, None);
        for field in Fields::new(authenticated.get(1..).unwrap_or_default()) {
            match field? {
                (1, value) => key = Some(value.bytes()?),
                (2, value) => counter = value.uint32()?,
                // The number of messages of the previous chain: receivers keep old chains instead (04 §7).
                (3, value) => value.uint32().map(drop)?,
                (4, value) => ciphertext = Some(value.bytes()?),
                _ => {}
            }
        }
        let key = key.ok_or(SignalError::Malformed)?;
        let ciphertext = ciphertext.ok_or(SignalError::Malformed)?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(16) {
            return Err(SignalError::Malformed);
        }
        let ratchet_key = wire::key33(key)?;
        Ok(Self { ratchet_key, counter, ciphertext, authenticated, mac })
    }

    /// Compares the authentication code in constant time.
    pub(crate) fn verify(&self, key: &[u8; 32], sender: &IdentityKey, receiver: &IdentityKey) -> bool {
        let full = mac(key, sender, receiver, self.authenticated);
        crate::crypto::ct_eq(&full, self.mac)
    }

    /// The number of the message in its chain.
    #[must_use]
    pub fn counter(&self) -> u32 {
        self.counter
    }

    /// The ratchet key, which names the chain.
    #[must_use]
    pub fn ratchet_key(&self) -> &PublicKey {
        &self.ratchet_key
    }
}

/// The authentication code of everything before it (04 §4.2).
pub(crate) fn mac(
    key: &[u8; 32],
    sender: &IdentityKey,
    receiver: &IdentityKey,
    text: &[u8],
) -> [u8; MAC_LENGTH] {
    let full = hmac_sha256(key, &[&sender.serialize(), &receiver.serialize(), text]);
    let mut short = [0; MAC_LENGTH];
    short.iter_mut().zip(full).for_each(|(to, from)| *to = from);
    short
}

/// The head of a message to be written: what stands before the ciphertext.
pub(crate) struct SignalHeader<'a> {
    pub(crate) ratchet_key: &'a PublicKey,
    pub(crate) counter: u32,
    pub(crate) previous_counter: u32,
}

impl SignalHeader<'_> {
    /// The length of the whole message.
    pub(crate) fn message_length(&self, ciphertext: usize) -> usize {
        1 + 2
            + KEY_LENGTH
            + 1
            + wire::varint_length(self.counter as usize)
            + 1
            + wire::varint_length(self.previous_counter as usize)
            + 1
            + wire::varint_length(ciphertext)
            + ciphertext
            + MAC_LENGTH
    }

    /// Writes everything before the ciphertext.
    pub(crate) fn write(&self, out: &mut Vec<u8>, ciphertext: usize) {
        out.push(wire::VERSION);
        wire::put_bytes(out, 1, &self.ratchet_key.serialize());
        wire::put_uint32(out, 2, self.counter);
        wire::put_uint32(out, 3, self.previous_counter);
        wire::put_length(out, 4, ciphertext);
    }
}

/// The first messages of a session, as received; it borrows from the bytes.
#[derive(Debug, Clone, Copy)]
pub struct PreKeySignalMessage<'a> {
    pub(crate) prekey_id: Option<u32>,
    pub(crate) base_key: PublicKey,
    pub(crate) identity: IdentityKey,
    pub(crate) registration_id: u32,
    pub(crate) signed_prekey_id: u32,
    pub(crate) message: SignalMessage<'a>,
    inner: &'a [u8],
}

impl<'a> PreKeySignalMessage<'a> {
    /// Reads a message, the inner one included.
    ///
    /// # Errors
    /// `Malformed`, `Version` or `InvalidKey`, by the order of 04 §4.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignalError> {
        let (mut prekey_id, mut base_key, mut identity) = (None, None, None);
        let (mut inner, mut registration_id, mut signed_prekey_id) = (None, 0, None);
        for field in Fields::new(wire::versioned(bytes, 1)?) {
            match field? {
                (1, value) => prekey_id = Some(value.uint32()?),
                (2, value) => base_key = Some(value.bytes()?),
                (3, value) => identity = Some(value.bytes()?),
                (4, value) => inner = Some(value.bytes()?),
                (5, value) => registration_id = value.uint32()?,
                (6, value) => signed_prekey_id = Some(value.uint32()?),
                _ => {}
            }
        }
        let base_key = base_key.ok_or(SignalError::Malformed)?;
        let identity = identity.ok_or(SignalError::Malformed)?;
        let inner = inner.ok_or(SignalError::Malformed)?;
        let signed_prekey_id = signed_prekey_id.ok_or(SignalError::Malformed)?;
        Ok(Self {
            prekey_id,
            base_key: wire::key33(base_key)?,
            identity: IdentityKey(wire::key33(identity)?),
            registration_id,
            signed_prekey_id,
            message: SignalMessage::parse(inner)?,
            inner,
        })
    }

    /// The sender's identity key.
    #[must_use]
    pub fn identity(&self) -> &IdentityKey {
        &self.identity
    }

    /// The sender's registration id; 0 if it said none.
    #[must_use]
    pub fn registration_id(&self) -> u32 {
        self.registration_id
    }

    /// The bytes of the inner message: what a redelivery is recognised by (04 §15.1), because anybody on the
    /// way can change the outer bytes.
    #[must_use]
    pub fn inner(&self) -> &'a [u8] {
        self.inner
    }

    /// The one-time prekey that it used, if any.
    #[must_use]
    pub fn prekey_id(&self) -> Option<u32> {
        self.prekey_id
    }

    /// The signed prekey that it used.
    #[must_use]
    pub fn signed_prekey_id(&self) -> u32 {
        self.signed_prekey_id
    }
}

/// The wrapping of a message of an unconfirmed session (04 §4.3).
pub(crate) struct PreKeyHeader<'a> {
    pub(crate) prekey_id: Option<u32>,
    pub(crate) signed_prekey_id: u32,
    pub(crate) base_key: &'a PublicKey,
    pub(crate) identity: &'a PublicKey,
    pub(crate) registration_id: u32,
}

impl PreKeyHeader<'_> {
    /// Writes everything before the inner message.
    pub(crate) fn write(&self, out: &mut Vec<u8>, inner: usize) {
        out.push(wire::VERSION);
        if let Some(id) = self.prekey_id {
            wire::put_uint32(out, 1, id);
        }
        wire::put_bytes(out, 2, &self.base_key.serialize());
        wire::put_bytes(out, 3, &self.identity.serialize());
        wire::put_length(out, 4, inner);
    }

    /// Writes everything after the inner message.
    pub(crate) fn finish(&self, out: &mut Vec<u8>) {
        wire::put_uint32(out, 5, self.registration_id);
        wire::put_uint32(out, 6, self.signed_prekey_id);
    }
}
