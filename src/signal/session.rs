//! One session: the state of a Double Ratchet (protocol 04 §5, §7, §8.1). A failed step changes nothing:
//! everything is computed beside the state and moved in at the end.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::chain_key::ChainKey;
use super::message::{PreKeyHeader, SignalHeader, SignalMessage};
use super::message_key::Direction;
use super::receive_chain::{Found, ReceiveChain};
use super::root_key::RootKey;
use super::{CiphertextType, IdentityKey, SignalError};
use crate::clock::UnixMillis;
use crate::crypto::{KeyPair, PublicKey};

/// The most receiving chains that a session keeps; the oldest go first, with their skipped seeds.
pub(crate) const MAX_RECEIVE_CHAINS: usize = 5;

/// How long a retired session is kept, and how long an unconfirmed one is sent on (04 §5, §6.3).
pub(crate) const MONTH: UnixMillis = 30 * 24 * 60 * 60 * 1000;

/// What goes out with every message until the peer has answered (04 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) prekey_id: Option<u32>,
    pub(crate) signed_prekey_id: u32,
    pub(crate) created_at: UnixMillis,
}

/// The state of one session.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) base_key: PublicKey,
    pub(crate) local_identity: IdentityKey,
    pub(crate) remote_identity: IdentityKey,
    pub(crate) local_registration_id: u32,
    pub(crate) remote_registration_id: u32,
    pub(crate) root_key: RootKey,
    pub(crate) ratchet_pair: KeyPair,
    pub(crate) send_chain: Option<ChainKey>,
    pub(crate) previous_counter: u32,
    /// Newest last.
    pub(crate) receive_chains: Vec<ReceiveChain>,
    pub(crate) pending: Option<Pending>,
    /// Since when nothing may be sent on it any more.
    pub(crate) retired_at: Option<UnixMillis>,
}

/// A message that has opened, and what the session must do about it.
pub(crate) struct Opened {
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    step: Step,
}

enum Step {
    /// In the chain at this position.
    Chain { at: usize, found: Found },
    /// A new chain; the root key after its first half.
    Turn { root_key: RootKey, chain: ReceiveChain, found: Found },
}

impl Session {
    /// Whether two copies are of the same agreement.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.is(&other.base_key, &other.remote_identity)
    }

    /// Whether it is the session of this base key with this peer.
    pub(crate) fn is(&self, base_key: &PublicKey, identity: &IdentityKey) -> bool {
        self.base_key == *base_key && self.remote_identity == *identity
    }

    /// Whether it may still be sent on: not retired, and confirmed by the peer within a month.
    pub(crate) fn is_live(&self, now: UnixMillis) -> bool {
        let expired = self.pending.is_some_and(|pending| now.saturating_sub(pending.created_at) > MONTH);
        self.retired_at.is_none() && !expired
    }

    /// Whether the send chain has a counter left.
    pub(crate) fn has_counter(&self) -> bool {
        self.send_chain.as_ref().is_some_and(|chain| chain.index < u32::MAX)
    }

    /// Takes it out of use for sending; it still opens messages.
    pub(crate) fn retire(&mut self, now: UnixMillis) {
        self.retired_at.get_or_insert(now);
    }

    /// The chain of a ratchet key.
    pub(crate) fn chain_of(&self, ratchet_key: &PublicKey) -> Option<usize> {
        self.receive_chains.iter().position(|chain| chain.ratchet_key == *ratchet_key)
    }

    /// Encrypts, appending the whole message to `out`.
    pub(crate) fn encrypt(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<CiphertextType, SignalError> {
        let chain = self.send_chain.as_ref().ok_or(SignalError::NoSession)?;
        let next = chain.next()?;
        let key = chain.seed().message_key();
        let header = SignalHeader {
            ratchet_key: self.ratchet_pair.public(),
            counter: chain.index,
            previous_counter: self.previous_counter,
        };
        let way = Direction { sender: &self.local_identity, receiver: &self.remote_identity };
        let kind = if let Some(pending) = &self.pending {
            let outer = PreKeyHeader {
                prekey_id: pending.prekey_id,
                signed_prekey_id: pending.signed_prekey_id,
                base_key: &self.base_key,
                identity: &self.local_identity.0,
                registration_id: self.local_registration_id,
            };
            outer.write(out, header.message_length(crate::crypto::cbc_length(text.len())));
            key.seal(&header, text, way, out);
            outer.finish(out);
            CiphertextType::PreKey
        } else {
            key.seal(&header, text, way, out);
            CiphertextType::Message
        };
        self.send_chain = Some(next);
        Ok(kind)
    }

    /// The number of chain steps that an attempt costs.
    pub(crate) fn cost(&self, message: &SignalMessage<'_>) -> u32 {
        match self.chain_of(&message.ratchet_key).and_then(|at| self.receive_chains.get(at)) {
            Some(chain) => chain.steps(message.counter),
            None => message.counter.saturating_add(1),
        }
    }

    /// Tries to open a message; nothing changes.
    pub(crate) fn open(&self, message: &SignalMessage<'_>, max_jump: u32) -> Result<Opened, SignalError> {
        let known = self.chain_of(&message.ratchet_key);
        let step = match known.and_then(|at| Some((at, self.receive_chains.get(at)?))) {
            Some((at, chain)) => Step::Chain { at, found: chain.find(message.counter, max_jump)? },
            None => {
                ReceiveChain::check_jump(0, message.counter, max_jump)?;
                let shared = self.ratchet_pair.agree(&message.ratchet_key)?;
                let (root_key, chain) = self.root_key.step(&shared);
                let chain = ReceiveChain::new(message.ratchet_key, chain);
                let found = chain.find(message.counter, max_jump)?;
                Step::Turn { root_key, chain, found }
            }
        };
        let (Step::Chain { found, .. } | Step::Turn { found, .. }) = &step;
        let way = Direction { sender: &self.remote_identity, receiver: &self.local_identity };
        let plaintext = found.seed().message_key().open(message, way)?;
        Ok(Opened { plaintext, step })
    }

    /// Does what an opened message demands, and yields its text. Our side of a turn is drawn only now.
    pub(crate) fn accept<R: CryptoRng + ?Sized>(
        &mut self,
        opened: Opened,
        rng: &mut R,
    ) -> Result<Zeroizing<Vec<u8>>, SignalError> {
        match opened.step {
            Step::Chain { at, found } => {
                if let Some(chain) = self.receive_chains.get_mut(at) {
                    chain.take(found);
                }
            }
            Step::Turn { root_key, mut chain, found } => {
                let pair = KeyPair::generate(rng);
                let (root_key, send_chain) = root_key.step(&pair.agree(&chain.ratchet_key)?);
                chain.take(found);
                let sent = self.send_chain.as_ref().map_or(0, |chain| chain.index);
                self.previous_counter = sent.saturating_sub(1);
                self.root_key = root_key;
                self.ratchet_pair = pair;
                self.send_chain = Some(send_chain);
                self.receive_chains.push(chain);
                let over = self.receive_chains.len().saturating_sub(MAX_RECEIVE_CHAINS);
                self.receive_chains.drain(..over);
            }
        }
        self.pending = None;
        Ok(opened.plaintext)
    }
}
