//! The record of one address: the current session and the archived ones (protocol 04 §8.2, §8.3, §9). Every
//! operation changes all that it must or, on an error, nothing; the caller stores the record in the same
//! transaction as whatever else the result demands.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::guard::Guard;
use super::session::{MONTH, Session};
use super::x3dh::{self, PreKeys};
use super::{
    IdentityKey, Local, PreKeyBundle, PreKeySignalMessage, SignalError, SignalMessage, receive_chain,
};
use crate::clock::UnixMillis;
use crate::crypto::PublicKey;

/// The most archived sessions of a record; the oldest go first.
pub(crate) const MAX_ARCHIVED: usize = 40;

/// The longest serialized record.
pub(crate) const MAX_RECORD: usize = 2 * 1024 * 1024;

/// Which of the two messages of a session a ciphertext is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CiphertextType {
    /// `PreKeySignalMessage`, stanza type `pkmsg`.
    PreKey,
    /// `SignalMessage`, stanza type `msg`.
    Message,
}

impl CiphertextType {
    /// The name in stanzas.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreKey => "pkmsg",
            Self::Message => "msg",
        }
    }
}

/// An encrypted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ciphertext {
    /// What it is.
    pub kind: CiphertextType,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// What a receiving operation needs to know besides the message.
#[derive(Debug, Clone, Copy)]
pub struct Receive {
    /// Now.
    pub now: UnixMillis,
    /// Whether the sender is another device of our own account, which may jump further ahead.
    pub own_account: bool,
}

impl Receive {
    fn max_jump(self) -> u32 {
        if self.own_account { receive_chain::MAX_JUMP_OWN } else { receive_chain::MAX_JUMP }
    }
}

/// Which session opened a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenedBy {
    /// The current session.
    Current,
    /// An archived session, which is the current one now.
    Promoted,
    /// A session that is out of use: the message counts, but says nothing about who the peer is now.
    Retired,
    /// A session that this message made: the peer's identity key is to be compared with the stored one
    /// (04 §11.4), and this one-time prekey is to be deleted in the same transaction.
    New {
        /// The one-time prekey that was used up, if any.
        consumed_prekey: Option<u32>,
    },
}

/// An opened message. It still has the padding of 04 §11.1.
pub struct Decrypted {
    /// The padded text.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Which session opened it.
    pub by: OpenedBy,
    /// The identity key of the peer in that session.
    pub identity: IdentityKey,
}

impl std::fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decrypted")
            .field("by", &self.by)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// The sessions with one address.
#[derive(Clone, Default)]
pub struct SessionRecord {
    pub(crate) current: Option<Session>,
    /// Newest first.
    pub(crate) archived: Vec<Session>,
}

impl SessionRecord {
    /// A record with the session of a bundle.
    ///
    /// # Errors
    /// As [`Self::process_bundle`].
    pub fn from_bundle<R: CryptoRng + ?Sized>(
        local: Local<'_>,
        bundle: &PreKeyBundle,
        now: UnixMillis,
        rng: &mut R,
    ) -> Result<Self, SignalError> {
        let mut record = Self::default();
        record.process_bundle(local, bundle, now, rng)?;
        Ok(record)
    }

    /// Makes a new session of a bundle, which becomes the current one. Sessions with another identity or
    /// registration id are retired. The caller stores the bundle's identity key (04 §11.4).
    ///
    /// # Errors
    /// `InvalidKey` if the bundle has our own identity key.
    pub fn process_bundle<R: CryptoRng + ?Sized>(
        &mut self,
        local: Local<'_>,
        bundle: &PreKeyBundle,
        now: UnixMillis,
        rng: &mut R,
    ) -> Result<(), SignalError> {
        let session = x3dh::initiate(local, bundle, now, rng)?;
        self.install(session, now);
        Ok(())
    }

    /// Whether [`Self::encrypt`] would find a session that may be sent on; if not, a bundle is needed.
    #[must_use]
    pub fn can_send(&self, now: UnixMillis) -> bool {
        self.current.as_ref().is_some_and(|session| session.is_live(now) && session.has_counter())
    }

    /// Encrypts in the current session.
    ///
    /// # Errors
    /// As [`Self::encrypt_into`].
    pub fn encrypt(&mut self, padded: &[u8], now: UnixMillis) -> Result<Ciphertext, SignalError> {
        let mut bytes = Vec::new();
        let kind = self.encrypt_into(padded, now, &mut bytes)?;
        Ok(Ciphertext { kind, bytes })
    }

    /// Encrypts in the current session and appends the message to `out`. The bytes may leave only once this
    /// record is durable (04 §15 S1).
    ///
    /// # Errors
    /// `NoSession` without a session that may be sent on; `CounterExhausted` at the end of its chain.
    pub fn encrypt_into(
        &mut self,
        padded: &[u8],
        now: UnixMillis,
        out: &mut Vec<u8>,
    ) -> Result<CiphertextType, SignalError> {
        let session = self.current.as_mut().filter(|session| session.is_live(now));
        session.ok_or(SignalError::NoSession)?.encrypt(padded, out)
    }

    /// Opens a `msg` (04 §8.2).
    ///
    /// # Errors
    /// `NoSession`, `Duplicate`, `TooFar`, `BadMac`, `Malformed`; the record is as before.
    pub fn decrypt_message<R: CryptoRng + ?Sized>(
        &mut self,
        message: &SignalMessage<'_>,
        receive: Receive,
        guard: &mut Guard,
        rng: &mut R,
    ) -> Result<Decrypted, SignalError> {
        if self.is_empty() {
            return Err(SignalError::NoSession);
        }
        let holder = self
            .positions()
            .find(|at| self.at(*at).is_some_and(|session| session.chain_of(&message.ratchet_key).is_some()));
        let result = match holder {
            Some(at) => self.decrypt_with(at, message, receive, rng),
            None => self.decrypt_with_any(message, receive, guard, rng),
        };
        match &result {
            Ok(_) => guard.opened(),
            Err(SignalError::BadMac) => guard.failed(),
            Err(_) => {}
        }
        result
    }

    /// Opens a `pkmsg` (04 §8.3).
    ///
    /// # Errors
    /// `UnknownPreKey`, `UnknownSignedPreKey`, `InvalidKey`, `Duplicate`, `TooFar`, `BadMac`, `Malformed`; the
    /// record is as before.
    pub fn decrypt_prekey_message<R: CryptoRng + ?Sized>(
        &mut self,
        local: Local<'_>,
        message: &PreKeySignalMessage<'_>,
        prekeys: &mut (impl PreKeys + ?Sized),
        receive: Receive,
        guard: &mut Guard,
        rng: &mut R,
    ) -> Result<Decrypted, SignalError> {
        let known = self
            .positions()
            .find(|at| self.at(*at).is_some_and(|session| session.is(&message.base_key, &message.identity)));
        if let Some(at) = known {
            return self.decrypt_with(at, &message.message, receive, rng).inspect(|_| guard.opened());
        }
        if !guard.admits_base_key(receive.now) {
            return Err(SignalError::BadMac);
        }
        let result = self.decrypt_first(local, message, prekeys, receive, rng);
        match &result {
            Ok(_) => guard.opened(),
            // These two cost no more than a look-up.
            Err(SignalError::UnknownPreKey | SignalError::UnknownSignedPreKey) => {}
            Err(_) => guard.failed_base_key(receive.now),
        }
        result
    }

    fn decrypt_first<R: CryptoRng + ?Sized>(
        &mut self,
        local: Local<'_>,
        message: &PreKeySignalMessage<'_>,
        prekeys: &mut (impl PreKeys + ?Sized),
        receive: Receive,
        rng: &mut R,
    ) -> Result<Decrypted, SignalError> {
        let mut session = x3dh::respond(local, message, prekeys)?;
        let opened = session.open(&message.message, receive.max_jump())?;
        let plaintext = session.accept(opened, rng)?;
        self.install(session, receive.now);
        let by = OpenedBy::New { consumed_prekey: message.prekey_id };
        Ok(Decrypted { plaintext, by, identity: message.identity })
    }

    fn decrypt_with_any<R: CryptoRng + ?Sized>(
        &mut self,
        message: &SignalMessage<'_>,
        receive: Receive,
        guard: &Guard,
        rng: &mut R,
    ) -> Result<Decrypted, SignalError> {
        let mut budget = Guard::budget(receive.own_account);
        let mut worst = SignalError::BadMac;
        for at in self.positions() {
            if guard.is_strict() && at != Position::Current {
                break;
            }
            let Some(session) = self.at(at) else { continue };
            match session.open(message, receive.max_jump()) {
                Ok(opened) => return self.accept(at, opened, receive.now, rng),
                Err(error @ SignalError::Malformed) => return Err(error),
                Err(SignalError::TooFar) if at == Position::Current => worst = SignalError::TooFar,
                Err(_) => {}
            }
            match budget.checked_sub(session.cost(message)) {
                Some(left) if left >= session.cost(message) => budget = left,
                _ => break,
            }
        }
        Err(worst)
    }

    fn decrypt_with<R: CryptoRng + ?Sized>(
        &mut self,
        at: Position,
        message: &SignalMessage<'_>,
        receive: Receive,
        rng: &mut R,
    ) -> Result<Decrypted, SignalError> {
        let session = self.at(at).ok_or(SignalError::NoSession)?;
        let opened = session.open(message, receive.max_jump())?;
        self.accept(at, opened, receive.now, rng)
    }

    fn accept<R: CryptoRng + ?Sized>(
        &mut self,
        at: Position,
        opened: super::session::Opened,
        now: UnixMillis,
        rng: &mut R,
    ) -> Result<Decrypted, SignalError> {
        let session = match at {
            Position::Current => self.current.as_mut(),
            Position::Archived(at) => self.archived.get_mut(at),
        };
        let session = session.ok_or(SignalError::NoSession)?;
        let plaintext = session.accept(opened, rng)?;
        let (identity, retired) = (session.remote_identity, session.retired_at.is_some());
        let by = match at {
            Position::Current => OpenedBy::Current,
            Position::Archived(_) if retired => OpenedBy::Retired,
            Position::Archived(at) => {
                let promoted = self.archived.remove(at);
                self.replace_current(promoted);
                OpenedBy::Promoted
            }
        };
        self.prune(now);
        Ok(Decrypted { plaintext, by, identity })
    }

    /// Puts a new session in front, and retires those of another installation of the peer.
    fn install(&mut self, session: Session, now: UnixMillis) {
        let (identity, registration_id) = (session.remote_identity, session.remote_registration_id);
        self.replace_current(session);
        self.peer_is(&identity, registration_id, now);
        self.prune(now);
    }

    fn replace_current(&mut self, session: Session) {
        if let Some(old) = self.current.replace(session) {
            self.archived.insert(0, old);
        }
    }

    /// Archives the current session, because a retry receipt demands a new one. Whether there was one.
    pub fn archive_current(&mut self) -> bool {
        let current = self.current.take();
        let was = current.is_some();
        self.archived.splice(0..0, current);
        self.trim();
        was
    }

    /// Says who the peer is now: sessions with another identity key, or with another registration id (0 says
    /// nothing), are archived and retired. Whether there were any.
    pub fn peer_is(&mut self, identity: &IdentityKey, registration_id: u32, now: UnixMillis) -> bool {
        self.retire_where(now, |session| {
            let known = registration_id != 0 && session.remote_registration_id != 0;
            session.remote_identity != *identity
                || (known && session.remote_registration_id != registration_id)
        })
    }

    /// Retires every session, because the store comes from a backup (04 §15 S8).
    pub fn retire_all(&mut self, now: UnixMillis) -> bool {
        self.retire_where(now, |_| true)
    }

    fn retire_where(&mut self, now: UnixMillis, stale: impl Fn(&Session) -> bool) -> bool {
        if self.current.as_ref().is_some_and(&stale) {
            self.archive_current();
        }
        let mut any = false;
        for session in self.archived.iter_mut().filter(|session| stale(session)) {
            any |= session.retired_at.is_none();
            session.retire(now);
        }
        any
    }

    /// Merges the record of a PN address into that of the LID address of the same device (04 §11.3).
    /// `identity` is the one that the identity table keeps.
    #[must_use]
    pub fn merge(lid: Self, pn: Self, identity: &IdentityKey, now: UnixMillis) -> Self {
        let (lid_current, pn_current) = (lid.current.is_some(), pn.current.is_some());
        let mut all: Vec<Session> = lid.current.into_iter().chain(lid.archived).collect();
        let mut pn_at = None;
        for (at, session) in pn.current.into_iter().chain(pn.archived).enumerate() {
            // Never two copies of one chain: the LID copy stays.
            let position = all.iter().position(|have| have.same_as(&session)).unwrap_or_else(|| {
                all.push(session);
                all.len() - 1
            });
            if at == 0 && pn_current {
                pn_at = Some(position);
            }
        }
        for session in all.iter_mut().filter(|session| session.remote_identity != *identity) {
            session.retire(now);
        }
        let live = |at: &usize| all.get(*at).is_some_and(|session| session.retired_at.is_none());
        let lid_at = lid_current.then_some(0).filter(live);
        let confirmed = lid_at.filter(|at| all.get(*at).is_some_and(|session| session.pending.is_none()));
        let current = confirmed.or(pn_at.filter(live)).or(lid_at).map(|at| all.remove(at));
        let mut merged = Self { current, archived: all };
        merged.prune(now);
        merged
    }

    /// Drops retired sessions after their month, and what is over the limits.
    fn prune(&mut self, now: UnixMillis) {
        self.archived.retain(|session| session.retired_at.is_none_or(|at| now.saturating_sub(at) <= MONTH));
        self.trim();
    }

    fn trim(&mut self) {
        self.archived.truncate(MAX_ARCHIVED);
        while self.serialized_length() > MAX_RECORD && self.archived.pop().is_some() {}
    }

    /// Whether there is no session at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.archived.is_empty()
    }

    /// The peer's identity key in the current session.
    #[must_use]
    pub fn remote_identity(&self) -> Option<&IdentityKey> {
        self.current.as_ref().map(|session| &session.remote_identity)
    }

    /// The peer's registration id in the current session; 0 if it said none.
    #[must_use]
    pub fn remote_registration_id(&self) -> Option<u32> {
        self.current.as_ref().map(|session| session.remote_registration_id)
    }

    /// The base key of the current session, which names it.
    #[must_use]
    pub fn base_key(&self) -> Option<&PublicKey> {
        self.current.as_ref().map(|session| &session.base_key)
    }

    /// Whether the peer has not confirmed the current session yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.current.as_ref().is_some_and(|session| session.pending.is_some())
    }

    fn positions(&self) -> impl Iterator<Item = Position> + use<> {
        let current = self.current.is_some().then_some(Position::Current);
        current.into_iter().chain((0..self.archived.len()).map(Position::Archived))
    }

    fn at(&self, position: Position) -> Option<&Session> {
        match position {
            Position::Current => self.current.as_ref(),
            Position::Archived(at) => self.archived.get(at),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Current,
    Archived(usize),
}

impl std::fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionRecord")
            .field("current", &self.current.is_some())
            .field("archived", &self.archived.len())
            .finish()
    }
}
