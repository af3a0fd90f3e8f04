//! Session records in the store: read, change, write, inside the caller's transaction. A record that can't be read
//! is set aside and counts as none (protocol 04 §15.5).

use rand_core::CryptoRng;

use crate::client::devices::own::{Own, pair};
use crate::crypto::KeyPair;
use crate::signal::{Ciphertext, IdentityKey, PreKeyBundle, PreKeys, SessionRecord, SignalError};
use crate::store::{StoreError, Tx, UnixMillis};

/// The record of an address.
pub(crate) fn load(tx: &mut Tx<'_>, address: &str) -> Result<SessionRecord, StoreError> {
    let Some(bytes) = tx.session(address)? else { return Ok(SessionRecord::default()) };
    match SessionRecord::deserialize(bytes.expose()) {
        Ok(record) => Ok(record),
        Err(error) => {
            tx.quarantine_session(address, &error.to_string())?;
            Ok(SessionRecord::default())
        }
    }
}

/// Writes a record; an empty one is deleted.
pub(crate) fn save(tx: &mut Tx<'_>, address: &str, record: &SessionRecord) -> Result<(), StoreError> {
    if record.is_empty() {
        return tx.delete_session(address).map(drop);
    }
    tx.put_session(address, &record.serialize())
}

/// Whether a message could be sent to an address without a new session.
pub(crate) fn can_send(tx: &mut Tx<'_>, address: &str, now: UnixMillis) -> Result<bool, StoreError> {
    Ok(load(tx, address)?.can_send(now))
}

/// Encrypts for an address and writes the advanced record; `None` without a session.
pub(crate) fn encrypt(
    tx: &mut Tx<'_>,
    address: &str,
    padded: &[u8],
    now: UnixMillis,
) -> Result<Option<(Ciphertext, IdentityKey)>, StoreError> {
    let mut record = load(tx, address)?;
    let Some(identity) = record.remote_identity().copied() else { return Ok(None) };
    match record.encrypt(padded, now) {
        Ok(sent) => {
            save(tx, address, &record)?;
            Ok(Some((sent, identity)))
        }
        Err(_) => Ok(None),
    }
}

/// Makes a session of a bundle. The identity policy is the caller's.
pub(crate) fn install<R: CryptoRng + ?Sized>(
    tx: &mut Tx<'_>,
    own: &Own,
    address: &str,
    bundle: &PreKeyBundle,
    now: UnixMillis,
    rng: &mut R,
) -> Result<Result<(), SignalError>, StoreError> {
    let mut record = load(tx, address)?;
    if let Err(error) = record.process_bundle(own.local(), bundle, now, rng) {
        return Ok(Err(error));
    }
    save(tx, address, &record)?;
    Ok(Ok(()))
}

/// The store's prekeys for the Signal layer. A storage failure is kept and must be looked at.
pub(crate) struct StoredPreKeys<'a, 'tx> {
    tx: &'a Tx<'tx>,
    failure: Option<StoreError>,
}

impl<'a, 'tx> StoredPreKeys<'a, 'tx> {
    pub(crate) fn new(tx: &'a Tx<'tx>) -> Self {
        Self { tx, failure: None }
    }

    /// The storage failure, if there was one: then nothing of the result counts.
    pub(crate) fn check(self) -> Result<(), StoreError> {
        self.failure.map_or(Ok(()), Err)
    }

    fn keep(&mut self, found: Result<Option<KeyPair>, StoreError>) -> Option<KeyPair> {
        found.unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        })
    }
}

impl PreKeys for StoredPreKeys<'_, '_> {
    fn signed_prekey(&mut self, id: u32) -> Option<KeyPair> {
        let found = self.tx.signed_prekey(id).map(|key| key.map(|key| pair(&key.keys)));
        self.keep(found)
    }

    fn one_time_prekey(&mut self, id: u32) -> Option<KeyPair> {
        let found = self.tx.prekey(id).map(|key| key.map(|key| pair(&key.keys)));
        self.keep(found)
    }
}
