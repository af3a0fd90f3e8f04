//! How a session record is stored: our own compact form with a version and a checksum (protocol 04 §15.5).
//!
//! ```text
//! record   = 01, has current u8 (0 or 1), [session], archived count u8, session*, CRC-32 of all before
//! session  = base key 32, our identity 32, their identity 32, our registration id u32, theirs u32,
//!            root key 32, ratchet private 32, ratchet public 32, previous counter u32,
//!            flags u8 (1 send chain, 2 pending, 4 pending with one-time prekey, 8 retired),
//!            [send chain key 32, next index u32], [signed prekey id u32, created i64, [prekey id u32]],
//!            [retired i64], chain count u8, chain*
//! chain    = their ratchet key 32, chain key 32, next index u32, skipped count u16, (index u32, seed 32)*
//! ```
//! Numbers are little-endian; keys have no type byte.

use zeroize::Zeroizing;

use super::IdentityKey;
use super::chain_key::ChainKey;
use super::message_key::Seed;
use super::receive_chain::{MAX_SKIPPED, ReceiveChain};
use super::record::{MAX_ARCHIVED, MAX_RECORD, SessionRecord};
use super::root_key::RootKey;
use super::session::{MAX_RECEIVE_CHAINS, Pending, Session};
use crate::crypto::{KeyPair, PublicKey};

const VERSION: u8 = 1;
const SEND_CHAIN: u8 = 1;
const PENDING: u8 = 2;
const PENDING_PREKEY: u8 = 4;
const RETIRED: u8 = 8;

/// A stored record can't be used: put its bytes into quarantine and go on without a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It was written by a newer version.
    #[error("the session record has an unknown version")]
    Version,
    /// The checksum is wrong.
    #[error("the session record is damaged")]
    Checksum,
    /// It ends early, has something behind its end, or is over a limit.
    #[error("the session record violates a bound")]
    Bounds,
}

impl SessionRecord {
    /// The stored form.
    #[must_use]
    pub fn serialize(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.serialized_length()));
        out.push(VERSION);
        out.push(u8::from(self.current.is_some()));
        self.current.iter().for_each(|session| put_session(&mut out, session));
        out.push(u8::try_from(self.archived.len()).unwrap_or(u8::MAX));
        self.archived.iter().for_each(|session| put_session(&mut out, session));
        let checksum = checksum(&out);
        out.extend_from_slice(&checksum);
        out
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn deserialize(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD {
            return Err(RecordError::Bounds);
        }
        if bytes.first() != Some(&VERSION) {
            return Err(if bytes.is_empty() { RecordError::Bounds } else { RecordError::Version });
        }
        let (body, sum) = bytes.split_last_chunk::<4>().ok_or(RecordError::Bounds)?;
        if checksum(body) != *sum {
            return Err(RecordError::Checksum);
        }
        let mut reader = Reader(body.get(1..).unwrap_or_default());
        let current = match reader.u8()? {
            0 => None,
            1 => Some(session(&mut reader)?),
            _ => return Err(RecordError::Bounds),
        };
        let count = usize::from(reader.u8()?);
        if count > MAX_ARCHIVED {
            return Err(RecordError::Bounds);
        }
        let archived = (0..count).map(|_| session(&mut reader)).collect::<Result<_, _>>()?;
        if !reader.0.is_empty() || current.as_ref().is_some_and(|session| session.retired_at.is_some()) {
            return Err(RecordError::Bounds);
        }
        Ok(Self { current, archived })
    }

    /// The length of the stored form.
    pub(crate) fn serialized_length(&self) -> usize {
        let sessions = self.current.iter().chain(&self.archived).map(session_length);
        sessions.sum::<usize>() + 3 + 4
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn session_length(session: &Session) -> usize {
    let chains = session.receive_chains.iter().map(|chain| 70 + 36 * chain.skipped.len());
    let pending = session.pending.map_or(0, |pending| 12 + 4 * usize::from(pending.prekey_id.is_some()));
    6 * 32
        + 3 * 4
        + 1
        + 36 * usize::from(session.send_chain.is_some())
        + pending
        + 8 * usize::from(session.retired_at.is_some())
        + 1
        + chains.sum::<usize>()
}

fn put_session(out: &mut Vec<u8>, session: &Session) {
    for key in [&session.base_key, &session.local_identity.0, &session.remote_identity.0] {
        out.extend_from_slice(key.as_bytes());
    }
    out.extend_from_slice(&session.local_registration_id.to_le_bytes());
    out.extend_from_slice(&session.remote_registration_id.to_le_bytes());
    out.extend_from_slice(&session.root_key.0);
    out.extend_from_slice(session.ratchet_pair.private_bytes());
    out.extend_from_slice(session.ratchet_pair.public().as_bytes());
    out.extend_from_slice(&session.previous_counter.to_le_bytes());
    let prekey_id = session.pending.and_then(|pending| pending.prekey_id);
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.push(
        flag(session.send_chain.is_some(), SEND_CHAIN)
            | flag(session.pending.is_some(), PENDING)
            | flag(prekey_id.is_some(), PENDING_PREKEY)
            | flag(session.retired_at.is_some(), RETIRED),
    );
    session.send_chain.iter().for_each(|chain| put_chain_key(out, chain));
    if let Some(pending) = &session.pending {
        out.extend_from_slice(&pending.signed_prekey_id.to_le_bytes());
        out.extend_from_slice(&pending.created_at.to_le_bytes());
        prekey_id.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    }
    session.retired_at.iter().for_each(|at| out.extend_from_slice(&at.to_le_bytes()));
    out.push(u8::try_from(session.receive_chains.len()).unwrap_or(u8::MAX));
    for chain in &session.receive_chains {
        out.extend_from_slice(chain.ratchet_key.as_bytes());
        put_chain_key(out, &chain.chain);
        out.extend_from_slice(&u16::try_from(chain.skipped.len()).unwrap_or(u16::MAX).to_le_bytes());
        for (index, seed) in &chain.skipped {
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&seed.0);
        }
    }
}

fn put_chain_key(out: &mut Vec<u8>, chain: &ChainKey) {
    out.extend_from_slice(&chain.key);
    out.extend_from_slice(&chain.index.to_le_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(RecordError::Bounds)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        self.array().map(i64::from_le_bytes)
    }

    fn key(&mut self) -> Result<PublicKey, RecordError> {
        self.array().map(PublicKey)
    }

    fn chain_key(&mut self) -> Result<ChainKey, RecordError> {
        Ok(ChainKey { key: self.array()?, index: self.u32()? })
    }
}

fn session(reader: &mut Reader<'_>) -> Result<Session, RecordError> {
    let base_key = reader.key()?;
    let local_identity = IdentityKey(reader.key()?);
    let remote_identity = IdentityKey(reader.key()?);
    let (local_registration_id, remote_registration_id) = (reader.u32()?, reader.u32()?);
    let root_key = RootKey(reader.array()?);
    let private = Zeroizing::new(reader.array()?);
    let ratchet_pair = KeyPair::from_stored(&private, reader.key()?);
    let previous_counter = reader.u32()?;
    let flags = reader.u8()?;
    let has = |flag: u8| flags & flag != 0;
    if flags > 15 || (has(PENDING_PREKEY) && !has(PENDING)) {
        return Err(RecordError::Bounds);
    }
    let send_chain = has(SEND_CHAIN).then(|| reader.chain_key()).transpose()?;
    let pending = has(PENDING).then(|| pending(reader, has(PENDING_PREKEY))).transpose()?;
    let retired_at = has(RETIRED).then(|| reader.i64()).transpose()?;
    let count = usize::from(reader.u8()?);
    if count > MAX_RECEIVE_CHAINS {
        return Err(RecordError::Bounds);
    }
    let receive_chains = (0..count).map(|_| receive_chain(reader)).collect::<Result<_, _>>()?;
    Ok(Session {
        base_key,
        local_identity,
        remote_identity,
        local_registration_id,
        remote_registration_id,
        root_key,
        ratchet_pair,
        send_chain,
        previous_counter,
        receive_chains,
        pending,
        retired_at,
    })
}

fn pending(reader: &mut Reader<'_>, with_prekey: bool) -> Result<Pending, RecordError> {
    let (signed_prekey_id, created_at) = (reader.u32()?, reader.i64()?);
    let prekey_id = with_prekey.then(|| reader.u32()).transpose()?;
    Ok(Pending { prekey_id, signed_prekey_id, created_at })
}

fn receive_chain(reader: &mut Reader<'_>) -> Result<ReceiveChain, RecordError> {
    let mut chain = ReceiveChain::new(reader.key()?, reader.chain_key()?);
    let count = usize::from(reader.array().map(u16::from_le_bytes)?);
    if count > MAX_SKIPPED || reader.0.len() < count * 36 {
        return Err(RecordError::Bounds);
    }
    chain.skipped.reserve_exact(count);
    for _ in 0..count {
        let (index, seed) = (reader.u32()?, Seed(reader.array()?));
        // Ascending and behind the chain: what look-ups rely on.
        let after = chain.skipped.back().is_none_or(|(last, _)| *last < index);
        if !after || index >= chain.chain.index {
            return Err(RecordError::Bounds);
        }
        chain.skipped.push_back((index, seed));
    }
    Ok(chain)
}
