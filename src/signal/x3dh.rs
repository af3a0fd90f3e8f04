//! X3DH: how a session begins, from a peer's bundle or from a peer's first message (protocol 04 §6).

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::root_key::RootKey;
use super::session::{Pending, Session};
use super::{Local, PreKeyBundle, PreKeySignalMessage, SignalError};
use crate::clock::UnixMillis;
use crate::crypto::{KeyPair, LowOrderPoint, PublicKey};

/// Our prekeys, as the store has them. A storage failure is the implementation's to remember: it answers
/// `None` here and the caller throws the result away.
pub trait PreKeys {
    /// The signed prekey pair with this id.
    fn signed_prekey(&mut self, id: u32) -> Option<KeyPair>;
    /// The one-time prekey pair with this id.
    fn one_time_prekey(&mut self, id: u32) -> Option<KeyPair>;
}

/// The master secret, grown agreement by agreement.
struct Master(Zeroizing<Vec<u8>>);

impl Master {
    fn new() -> Self {
        let mut secret = Zeroizing::new(Vec::with_capacity(5 * 32));
        secret.extend_from_slice(&[0xff; 32]);
        Self(secret)
    }

    fn mix(&mut self, ours: &KeyPair, theirs: &PublicKey) -> Result<(), LowOrderPoint> {
        self.0.extend_from_slice(ours.agree(theirs)?.as_bytes());
        Ok(())
    }

    fn root_key(&self) -> RootKey {
        RootKey::from_master(&self.0)
    }
}

/// The session of a bundle. Draws the base key, then the ratchet key.
pub(crate) fn initiate<R: CryptoRng + ?Sized>(
    local: Local<'_>,
    bundle: &PreKeyBundle,
    now: UnixMillis,
    rng: &mut R,
) -> Result<Session, SignalError> {
    if bundle.identity == local.identity_key() {
        return Err(SignalError::InvalidKey);
    }
    let base = KeyPair::generate(rng);
    let ratchet_pair = KeyPair::generate(rng);
    let mut master = Master::new();
    master.mix(local.identity, &bundle.signed_prekey)?;
    master.mix(&base, &bundle.identity.0)?;
    master.mix(&base, &bundle.signed_prekey)?;
    if let Some((_, one_time)) = &bundle.one_time {
        master.mix(&base, one_time)?;
    }
    let (root_key, send_chain) = master.root_key().step(&ratchet_pair.agree(&bundle.signed_prekey)?);
    Ok(Session {
        base_key: *base.public(),
        local_identity: local.identity_key(),
        remote_identity: bundle.identity,
        local_registration_id: local.registration_id,
        remote_registration_id: bundle.registration_id,
        root_key,
        ratchet_pair,
        send_chain: Some(send_chain),
        previous_counter: 0,
        receive_chains: Vec::new(),
        pending: Some(Pending {
            prekey_id: bundle.one_time.map(|(id, _)| id),
            signed_prekey_id: bundle.signed_prekey_id,
            created_at: now,
        }),
        retired_at: None,
    })
}

/// The tentative session of a peer's first message, which that message must now open.
pub(crate) fn respond(
    local: Local<'_>,
    message: &PreKeySignalMessage<'_>,
    prekeys: &mut (impl PreKeys + ?Sized),
) -> Result<Session, SignalError> {
    if message.identity == local.identity_key() {
        return Err(SignalError::InvalidKey);
    }
    let signed = prekeys.signed_prekey(message.signed_prekey_id).ok_or(SignalError::UnknownSignedPreKey)?;
    let one_time = match message.prekey_id {
        Some(id) => Some(prekeys.one_time_prekey(id).ok_or(SignalError::UnknownPreKey)?),
        None => None,
    };
    let mut master = Master::new();
    master.mix(&signed, &message.identity.0)?;
    master.mix(local.identity, &message.base_key)?;
    master.mix(&signed, &message.base_key)?;
    if let Some(one_time) = &one_time {
        master.mix(one_time, &message.base_key)?;
    }
    Ok(Session {
        base_key: message.base_key,
        local_identity: local.identity_key(),
        remote_identity: message.identity,
        local_registration_id: local.registration_id,
        remote_registration_id: message.registration_id,
        root_key: master.root_key(),
        ratchet_pair: signed,
        send_chain: None,
        previous_counter: 0,
        receive_chains: Vec::new(),
        pending: None,
        retired_at: None,
    })
}
