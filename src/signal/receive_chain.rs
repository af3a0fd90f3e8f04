//! A receiving chain: one remote ratchet key, and the seeds of messages that were skipped (protocol 04 §5, §8).

use std::collections::VecDeque;

use super::SignalError;
use super::chain_key::ChainKey;
use super::message_key::Seed;
use crate::crypto::PublicKey;

/// The most seeds of skipped messages that a chain keeps; the oldest go first.
pub(crate) const MAX_SKIPPED: usize = 2000;

/// How far a counter may be ahead of a chain (04 §8.1).
pub(crate) const MAX_JUMP: u32 = 2000;

/// The same for sessions with other devices of our own account.
pub(crate) const MAX_JUMP_OWN: u32 = 25_000;

/// A receiving chain.
#[derive(Clone)]
pub(crate) struct ReceiveChain {
    pub(crate) ratchet_key: PublicKey,
    pub(crate) chain: ChainKey,
    /// Ascending by counter, which is the order in which they were inserted.
    pub(crate) skipped: VecDeque<(u32, Seed)>,
}

/// How a message's seed was found. Nothing of the chain has changed yet: [`ReceiveChain::take`] does that
/// once the message has opened.
pub(crate) enum Found {
    /// Among the skipped seeds, at this position.
    Skipped { at: usize, seed: Seed },
    /// Ahead: the chain after the message, and the seeds of what lies between.
    Ahead { next: ChainKey, between: VecDeque<(u32, Seed)>, seed: Seed },
}

impl Found {
    pub(crate) fn seed(&self) -> &Seed {
        match self {
            Self::Skipped { seed, .. } | Self::Ahead { seed, .. } => seed,
        }
    }
}

impl ReceiveChain {
    pub(crate) fn new(ratchet_key: PublicKey, chain: ChainKey) -> Self {
        Self { ratchet_key, chain, skipped: VecDeque::new() }
    }

    /// Checks the jump, before anything is derived.
    pub(crate) fn check_jump(next: u32, counter: u32, limit: u32) -> Result<(), SignalError> {
        // The last counter is never sent, and the index after it would overflow.
        if counter == u32::MAX || counter.saturating_sub(next) > limit {
            return Err(SignalError::TooFar);
        }
        Ok(())
    }

    /// The number of chain steps to a message.
    pub(crate) fn steps(&self, counter: u32) -> u32 {
        counter.saturating_sub(self.chain.index).saturating_add(1)
    }

    /// Finds the seed of a message.
    pub(crate) fn find(&self, counter: u32, limit: u32) -> Result<Found, SignalError> {
        if counter < self.chain.index {
            let at = self.skipped.binary_search_by_key(&counter, |(index, _)| *index);
            let at = at.map_err(|_| SignalError::Duplicate)?;
            let (_, seed) = self.skipped.get(at).ok_or(SignalError::Duplicate)?;
            return Ok(Found::Skipped { at, seed: seed.clone() });
        }
        Self::check_jump(self.chain.index, counter, limit)?;
        let mut chain = self.chain.clone();
        let mut between = VecDeque::new();
        // Seeds that would be dropped at once are not derived.
        let first_kept = counter.saturating_sub(MAX_SKIPPED as u32);
        while chain.index < counter {
            if chain.index >= first_kept {
                between.push_back((chain.index, chain.seed()));
            }
            chain = chain.next()?;
        }
        let seed = chain.seed();
        Ok(Found::Ahead { next: chain.next()?, between, seed })
    }

    /// Uses up a message's seed.
    pub(crate) fn take(&mut self, found: Found) {
        match found {
            Found::Skipped { at, .. } => drop(self.skipped.remove(at)),
            Found::Ahead { next, mut between, .. } => {
                self.chain = next;
                self.skipped.append(&mut between);
                let over = self.skipped.len().saturating_sub(MAX_SKIPPED);
                self.skipped.drain(..over);
            }
        }
    }
}
