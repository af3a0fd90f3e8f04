//! Another device's chains in one group: take distributions, decrypt (protocol 04 §10.3, §10.4).

use std::collections::{BTreeMap, VecDeque};

use super::chain::{Chain, Seed};
use super::{MAX_JUMP, MAX_SKIPPED, MAX_STATES};
use crate::crypto::{PublicKey, xeddsa};
use crate::signal::{SenderKeyDistribution, SenderKeyMessage, SignalError};

/// What is kept of one sender device in one group: at most [`MAX_STATES`] states, the newest first.
#[derive(Clone, Default)]
pub struct SenderKeyRecord {
    pub(super) states: VecDeque<State>,
}

/// One chain of the sender.
#[derive(Clone)]
pub(super) struct State {
    pub(super) id: u32,
    pub(super) chain: Chain,
    pub(super) signing: PublicKey,
    /// Seeds of messages that have not come yet, at most [`MAX_SKIPPED`].
    pub(super) skipped: BTreeMap<u32, Seed>,
}

impl SenderKeyRecord {
    /// A record without states.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Whether a chain with this id is known.
    #[must_use]
    pub fn knows(&self, id: u32) -> bool {
        self.states.iter().any(|state| state.id == id)
    }

    /// Takes a distribution message that came through a pairwise session of the sender, for this group.
    ///
    /// A known chain is never rewound; it moves forward only if the distribution is more than [`MAX_JUMP`] ahead.
    pub fn process(&mut self, distribution: &SenderKeyDistribution) {
        let known = self.states.iter().position(|state| state.id == distribution.id);
        let state = known
            .and_then(|at| self.states.remove(at))
            .filter(|state| state.signing == distribution.signing_key)
            .map(|mut state| {
                if distribution.iteration.saturating_sub(state.chain.iteration) > MAX_JUMP {
                    state.chain = Chain::of(distribution);
                }
                state
            });
        self.states.push_front(state.unwrap_or_else(|| State::of(distribution)));
        self.states.truncate(MAX_STATES);
    }

    /// Decrypts the bytes of an `enc` of type `skmsg`: the padded plaintext. After an error nothing has changed.
    ///
    /// # Errors
    /// The classes of 04 §10.3.
    pub fn decrypt(&mut self, bytes: &[u8]) -> Result<Vec<u8>, SignalError> {
        self.open(&SenderKeyMessage::parse(bytes)?)
    }

    /// [`Self::decrypt`] of a message that is parsed already.
    ///
    /// # Errors
    /// As [`Self::decrypt`].
    pub fn open(&mut self, message: &SenderKeyMessage<'_>) -> Result<Vec<u8>, SignalError> {
        let state =
            self.states.iter_mut().find(|state| state.id == message.id).ok_or(SignalError::NoSenderKey)?;
        if !xeddsa::verify(&state.signing, &[message.signed], message.signature) {
            return Err(SignalError::BadSignature);
        }
        if message.iteration < state.chain.iteration {
            state.open_skipped(message)
        } else {
            state.open_ahead(message)
        }
    }

    /// Adds the states of a record for the same device under its other address (04 §11.3): ours first, by key id,
    /// cut to [`MAX_STATES`].
    pub fn merge(&mut self, other: Self) {
        for state in other.states {
            if !self.knows(state.id) {
                self.states.push_back(state);
            }
        }
        self.states.truncate(MAX_STATES);
    }
}

impl Chain {
    fn of(distribution: &SenderKeyDistribution) -> Self {
        Self { key: distribution.chain_key.clone(), iteration: distribution.iteration }
    }
}

impl State {
    fn of(distribution: &SenderKeyDistribution) -> Self {
        Self {
            id: distribution.id,
            chain: Chain::of(distribution),
            signing: distribution.signing_key,
            skipped: BTreeMap::new(),
        }
    }

    fn open_skipped(&mut self, message: &SenderKeyMessage<'_>) -> Result<Vec<u8>, SignalError> {
        let seed = self.skipped.get(&message.iteration).ok_or(SignalError::Duplicate)?;
        let plaintext = seed.decrypt(message.ciphertext).map_err(|_| SignalError::Malformed)?;
        self.skipped.remove(&message.iteration);
        Ok(plaintext)
    }

    fn open_ahead(&mut self, message: &SenderKeyMessage<'_>) -> Result<Vec<u8>, SignalError> {
        if message.iteration - self.chain.iteration > MAX_JUMP || message.iteration == u32::MAX {
            return Err(SignalError::TooFar);
        }
        let mut chain = self.chain.clone();
        let mut passed = Vec::with_capacity((message.iteration - chain.iteration) as usize);
        while chain.iteration < message.iteration {
            passed.push((chain.iteration, chain.seed()));
            chain.advance();
        }
        let plaintext = chain.seed().decrypt(message.ciphertext).map_err(|_| SignalError::Malformed)?;
        chain.advance();
        self.chain = chain;
        self.skipped.extend(passed);
        while self.skipped.len() > MAX_SKIPPED {
            self.skipped.pop_first();
        }
        Ok(plaintext)
    }
}

impl std::fmt::Debug for SenderKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<u32> = self.states.iter().map(|state| state.id).collect();
        f.debug_struct("SenderKeyRecord").field("ids", &ids).finish_non_exhaustive()
    }
}
