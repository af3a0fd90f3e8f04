//! Making prekeys: durable before anybody hears of them (protocol 04 S7).

use rand_core::CryptoRng;

use crate::client::devices::own::Own;
use crate::crypto::KeyPair;
use crate::signal::{PREKEY_BATCH, SignedPreKey};
use crate::store::account::KeyPairBytes;
use crate::store::{Prekey, PrekeyUse, Secret, SignedPrekey, StoreError, Tx, UnixMillis};

pub(crate) fn stored(pair: &KeyPair) -> KeyPairBytes {
    KeyPairBytes { public: pair.public().0, private: Secret::new(*pair.private_bytes()) }
}

/// The keys of the next upload: those that were never confirmed, else a fresh batch.
pub(crate) fn batch<R: CryptoRng + ?Sized>(tx: &mut Tx<'_>, rng: &mut R) -> Result<Vec<Prekey>, StoreError> {
    let waiting = tx.prekeys_to_upload(PREKEY_BATCH)?;
    if !waiting.is_empty() {
        return Ok(waiting);
    }
    let ids = tx.take_prekey_ids(PREKEY_BATCH)?;
    let fresh: Vec<Prekey> = ids.into_iter().map(|id| prekey(id, PrekeyUse::Upload, rng)).collect();
    tx.put_prekeys(&fresh)?;
    tx.prekeys_to_upload(PREKEY_BATCH)
}

/// One prekey for a retry receipt, which no upload will ever offer (04 §11.5).
pub(crate) fn for_retry<R: CryptoRng + ?Sized>(tx: &mut Tx<'_>, rng: &mut R) -> Result<Prekey, StoreError> {
    let id = tx.take_prekey_ids(1)?.first().copied();
    let id = id.ok_or(StoreError::Refused("no prekey id is free"))?;
    let fresh = prekey(id, PrekeyUse::RetryReceipt, rng);
    tx.put_prekeys(std::slice::from_ref(&fresh))?;
    Ok(fresh)
}

fn prekey<R: CryptoRng + ?Sized>(id: u32, made_for: PrekeyUse, rng: &mut R) -> Prekey {
    Prekey { id, keys: stored(&KeyPair::generate(rng)), made_for, uploaded: false }
}

/// A fresh signed prekey with the next id. Storing it is the caller's.
pub(crate) fn signed<R: CryptoRng + ?Sized>(
    tx: &Tx<'_>,
    own: &Own,
    now: UnixMillis,
    rng: &mut R,
) -> Result<SignedPrekey, StoreError> {
    let key = SignedPreKey::generate(tx.next_signed_prekey_id()?, &own.identity, rng);
    Ok(SignedPrekey { id: key.id, keys: stored(&key.pair), signature: key.signature, created_at: now })
}

/// The current signed prekey; the first one is made here.
pub(crate) fn current<R: CryptoRng + ?Sized>(
    tx: &mut Tx<'_>,
    own: &Own,
    now: UnixMillis,
    rng: &mut R,
) -> Result<SignedPrekey, StoreError> {
    if let Some(current) = tx.current_signed_prekey()? {
        return Ok(current);
    }
    let first = signed(tx, own, now, rng)?;
    tx.set_signed_prekey(&first)?;
    Ok(first)
}
