//! Our own keys at the server: upload and refill, rotation of the signed prekey, the digest check (protocol 05a §5.1,
//! 04 §2). One lock for all of it.

pub(crate) mod mint;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::client::chance::Chance;
use crate::client::devices::own::Own;
use crate::client::line::{IqError, Line};
use crate::clock::{Clock, UnixMillis};
use crate::stanza::keys::{PreKey, SignedPreKey};
use crate::stanza::prekeys as stanza;
use crate::store::{Flag, Prekey, SignedPrekey, Store, StoreError};

/// Fewer one-time prekeys than this at the server, and a batch goes up.
pub const LOW: u64 = 5;

/// The age at which a signed prekey is replaced.
const ROTATION: UnixMillis = 27 * 24 * 60 * 60 * 1000;

/// A second low count this soon after an upload is checked by a count.
const RECENT: UnixMillis = 10 * 60 * 1000;

/// Tries of an upload on one connection.
const TRIES: u32 = 10;

/// The longest wait between them.
const LONGEST: Duration = Duration::from_secs(610);

/// Why our keys could not be brought to the server.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PrekeyError {
    /// The account is not linked.
    #[error("the account is not linked")]
    NotLinked,
    /// The question failed; what was to be offered is offered again.
    #[error(transparent)]
    Iq(#[from] IqError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the digest said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestCheck {
    /// The server has what we have.
    Same,
    /// The server had nothing: uploaded.
    Uploaded,
    /// A difference, which the next rotation or upload repairs where it can be repaired.
    Different,
    /// It was not answered.
    Unknown,
}

/// Our keys at the server.
pub(crate) struct Prekeys {
    store: Store,
    line: Arc<dyn Line>,
    clock: Clock,
    chance: Chance,
    /// Upload, rotation and digest never run beside each other. Holds when the last upload was.
    lock: tokio::sync::Mutex<Option<UnixMillis>>,
    /// How many uploads have succeeded.
    uploads: AtomicU64,
}

impl Prekeys {
    pub(crate) fn new(store: Store, line: Arc<dyn Line>, clock: Clock, chance: Chance) -> Self {
        Self { store, line, clock, chance, lock: tokio::sync::Mutex::new(None), uploads: AtomicU64::new(0) }
    }

    /// Uploads what waits, else a batch, trying again with growing pauses. Who waited for an upload that was under way
    /// is served by it.
    pub(crate) async fn upload(&self) -> Result<(), PrekeyError> {
        let before = self.uploads.load(Ordering::Relaxed);
        let mut last = self.lock.lock().await;
        if self.uploads.load(Ordering::Relaxed) != before {
            return Ok(());
        }
        self.upload_locked(&mut last).await
    }

    /// The server says that few are left: upload, but count first if the last upload was a moment ago.
    pub(crate) async fn low(&self) -> Result<(), PrekeyError> {
        let mut last = self.lock.lock().await;
        let now = self.clock.wall_ms();
        if last.is_some_and(|at| now.saturating_sub(at) < RECENT) {
            let left = stanza::parse_count(&self.line.ask(stanza::count()).await?);
            if left.is_ok_and(|left| left >= LOW) {
                self.store.write(|tx| tx.set_flag(Flag::ServerHasNoPrekeys, false)).await?;
                return Ok(());
            }
        }
        self.upload_locked(&mut last).await
    }

    async fn upload_locked(&self, last: &mut Option<UnixMillis>) -> Result<(), PrekeyError> {
        // 1, 2, 3, 5, 8, 13 … seconds.
        let (mut pause, mut next) = (Duration::from_secs(1), Duration::from_secs(2));
        for attempt in 1..=TRIES {
            match self.upload_once().await {
                Ok(()) => {
                    *last = Some(self.clock.wall_ms());
                    self.uploads.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(PrekeyError::Iq(
                    error @ (IqError::Refused { .. } | IqError::Held(_) | IqError::Timeout),
                )) if attempt < TRIES => {
                    let backoff = error.wait().unwrap_or_default();
                    tracing::warn!(%error, attempt, "prekey upload failed");
                    self.clock.sleep(pause.max(backoff)).await;
                    (pause, next) = (next, (pause + next).min(LONGEST));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn upload_once(&self) -> Result<(), PrekeyError> {
        let (mut rng, now) = (self.chance.fork(), self.clock.wall_ms());
        let (own, prekeys, signed) = self
            .store
            .write(move |tx| {
                let own = Own::load(tx)?.ok_or(PrekeyError::NotLinked)?;
                let signed = mint::current(tx, &own, now, &mut rng)?;
                Ok::<_, PrekeyError>((own, mint::batch(tx, &mut rng)?, signed))
            })
            .await?;
        let offered: Vec<PreKey> = prekeys.iter().map(one_time).collect();
        let signed = signed_prekey(&signed);
        let own = stanza::Own {
            registration_id: own.registration_id,
            identity: own.identity.public().as_bytes(),
            signed_prekey: &signed,
        };
        self.line.ask(stanza::upload(own, &offered)).await?;
        let ids: Vec<u32> = prekeys.iter().map(|prekey| prekey.id).collect();
        self.store
            .write(move |tx| {
                tx.mark_prekeys_uploaded(&ids)?;
                tx.set_flag(Flag::ServerHasNoPrekeys, false)
            })
            .await?;
        Ok(())
    }

    /// Replaces the signed prekey if it is old enough, or sends the staged one again.
    pub(crate) async fn rotate_if_due(&self) -> Result<bool, PrekeyError> {
        let mut last = self.lock.lock().await;
        let (mut rng, now) = (self.chance.fork(), self.clock.wall_ms());
        let staged = self
            .store
            .write(move |tx| {
                let own = Own::load(tx)?.ok_or(PrekeyError::NotLinked)?;
                if let Some(staged) = tx.staged_signed_prekey()? {
                    return Ok(Some(staged));
                }
                let current = tx.current_signed_prekey()?;
                if current.is_some_and(|key| now.saturating_sub(key.created_at) < ROTATION) {
                    return Ok::<_, PrekeyError>(None);
                }
                let fresh = mint::signed(tx, &own, now, &mut rng)?;
                tx.stage_signed_prekey(&fresh)?;
                Ok(Some(fresh))
            })
            .await?;
        let Some(staged) = staged else { return Ok(false) };
        match self.line.ask(stanza::rotate(&signed_prekey(&staged))).await {
            Ok(_) => {
                self.store.write(|tx| tx.promote_signed_prekey()).await?;
                Ok(true)
            }
            Err(IqError::Refused { code: code @ (406 | 409), .. }) => {
                self.store.write(|tx| tx.discard_staged_signed_prekey()).await?;
                if code == 409 {
                    self.digest_locked(&mut last).await?;
                }
                Ok(false)
            }
            Err(error) => {
                // The server may have taken it: the very same key is offered again.
                if error.code().is_some_and(|code| code < 500) {
                    self.digest_locked(&mut last).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Compares our keys with the server's.
    pub(crate) async fn check_digest(&self) -> Result<DigestCheck, PrekeyError> {
        let mut last = self.lock.lock().await;
        self.digest_locked(&mut last).await
    }

    async fn digest_locked(&self, last: &mut Option<UnixMillis>) -> Result<DigestCheck, PrekeyError> {
        let answer = match self.line.ask(stanza::digest()).await {
            Ok(answer) => stanza::Digest::parse(&answer).unwrap_or_default(),
            Err(IqError::Refused { code: 404, .. }) => None,
            Err(_) => return Ok(DigestCheck::Unknown),
        };
        let Some(digest) = answer else {
            self.upload_locked(last).await?;
            return Ok(DigestCheck::Uploaded);
        };
        self.store
            .read(move |tx| {
                let own = Own::load(tx)?.ok_or(PrekeyError::NotLinked)?;
                let Some(signed) = tx.current_signed_prekey()? else { return Ok(DigestCheck::Different) };
                let held = digest.prekey_ids.iter().map(|id| tx.prekey(*id));
                let held: Vec<Option<Prekey>> = held.collect::<Result<_, _>>()?;
                // A listed key that we no longer hold makes a difference by itself.
                let all = held.iter().all(Option::is_some);
                let (identity, signed) = (own.identity.public().as_bytes(), signed_prekey(&signed));
                let keys = held.iter().flatten().map(|key| &key.keys.public);
                let same = all
                    && digest.registration_id == own.registration_id
                    && digest.identity == *identity
                    && digest.signed_prekey == signed
                    && digest.hash == stanza::digest_hash(identity, &signed, keys);
                Ok(if same { DigestCheck::Same } else { DigestCheck::Different })
            })
            .await
    }
}

/// A one-time prekey as stanzas have it.
pub(crate) fn one_time(prekey: &Prekey) -> PreKey {
    PreKey { id: prekey.id, public: prekey.keys.public }
}

/// A signed prekey as stanzas have it.
pub(crate) fn signed_prekey(prekey: &SignedPrekey) -> SignedPreKey {
    SignedPreKey { id: prekey.id, public: prekey.keys.public, signature: prekey.signature }
}
