//! How sender keys are stored: version, kind, content, checksum. Everything is bounded when read (protocol 04
//! §15.5).

use std::collections::{BTreeMap, VecDeque};

use zeroize::Zeroizing;

use super::chain::{Chain, Seed};
use super::own::SenderKey;
use super::record::{SenderKeyRecord, State};
use super::{LAST_ITERATION, MAX_SKIPPED, MAX_STATES};
use crate::crypto::{KeyPair, PublicKey, sha256};

const VERSION: u8 = 1;
const OWN: u8 = b'S';
const RECEIVED: u8 = b'R';
const CHECKSUM: usize = 8;

/// A stored sender key is damaged: quarantine it and treat it as absent; our own is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored sender key is damaged")]
pub struct RecordError;

impl SenderKey {
    /// The bytes to store. Secret.
    #[must_use]
    pub fn serialize(&self) -> Zeroizing<Vec<u8>> {
        let mut out = begin(OWN, 72);
        put_chain(&mut out, self.id, &self.chain);
        out.extend_from_slice(self.signing.private_bytes());
        finish(out)
    }

    /// Reads what [`Self::serialize`] wrote.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn deserialize(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(OWN, bytes)?;
        let (id, chain) = reader.chain()?;
        let private = Zeroizing::new(reader.array()?);
        reader.end()?;
        if id == 0 || id > LAST_ITERATION || chain.iteration > LAST_ITERATION {
            return Err(RecordError);
        }
        Ok(Self { id, chain, signing: KeyPair::from_private(*private) })
    }
}

impl SenderKeyRecord {
    /// The bytes to store. Secret.
    #[must_use]
    pub fn serialize(&self) -> Zeroizing<Vec<u8>> {
        let size = self.states.iter().map(|state| 74 + 36 * state.skipped.len()).sum();
        let mut out = begin(RECEIVED, size);
        for state in &self.states {
            put_chain(&mut out, state.id, &state.chain);
            out.extend_from_slice(state.signing.as_bytes());
            // At most 2000.
            out.extend_from_slice(&(state.skipped.len() as u16).to_be_bytes());
            for (iteration, seed) in &state.skipped {
                out.extend_from_slice(&iteration.to_be_bytes());
                out.extend_from_slice(&*seed.0);
            }
        }
        finish(out)
    }

    /// Reads what [`Self::serialize`] wrote.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn deserialize(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::open(RECEIVED, bytes)?;
        let mut states = VecDeque::new();
        while !reader.0.is_empty() {
            if states.len() == MAX_STATES {
                return Err(RecordError);
            }
            states.push_back(reader.state()?);
        }
        Ok(Self { states })
    }
}

fn begin(kind: u8, size: usize) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(2 + size + CHECKSUM));
    out.extend_from_slice(&[VERSION, kind]);
    out
}

fn put_chain(out: &mut Vec<u8>, id: u32, chain: &Chain) {
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&chain.iteration.to_be_bytes());
    out.extend_from_slice(&*chain.key);
}

fn finish(mut out: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    let sum = sha256(&out);
    out.extend(sum.iter().take(CHECKSUM));
    out
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Checks checksum, version and kind.
    fn open(kind: u8, bytes: &'a [u8]) -> Result<Self, RecordError> {
        let at = bytes.len().checked_sub(CHECKSUM).ok_or(RecordError)?;
        let (content, sum) = bytes.split_at_checked(at).ok_or(RecordError)?;
        if sha256(content).get(..CHECKSUM) != Some(sum) {
            return Err(RecordError);
        }
        match content {
            [VERSION, found, rest @ ..] if *found == kind => Ok(Self(rest)),
            _ => Err(RecordError),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RecordError)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    fn chain(&mut self) -> Result<(u32, Chain), RecordError> {
        let (id, iteration) = (self.u32()?, self.u32()?);
        Ok((id, Chain { key: Zeroizing::new(self.array()?), iteration }))
    }

    fn state(&mut self) -> Result<State, RecordError> {
        let (id, chain) = self.chain()?;
        let signing = PublicKey(self.array()?);
        let count = u16::from_be_bytes(self.array()?);
        if usize::from(count) > MAX_SKIPPED || signing.is_low_order() {
            return Err(RecordError);
        }
        let mut skipped = BTreeMap::new();
        for _ in 0..count {
            let iteration = self.u32()?;
            let seed = Seed(Zeroizing::new(self.array()?));
            let ascending = skipped.last_key_value().is_none_or(|(last, _)| *last < iteration);
            if !ascending || iteration >= chain.iteration {
                return Err(RecordError);
            }
            skipped.insert(iteration, seed);
        }
        Ok(State { id, chain, signing, skipped })
    }

    fn end(&self) -> Result<(), RecordError> {
        if self.0.is_empty() { Ok(()) } else { Err(RecordError) }
    }
}
