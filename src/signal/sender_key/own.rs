//! A chain of our own: make, distribute, encrypt (protocol 04 §10.2).

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::LAST_ITERATION;
use super::chain::Chain;
use crate::crypto::{KeyPair, random_bytes, xeddsa};
use crate::signal::{SenderKeyDistribution, SenderKeyMessage, SignalError};

/// Our sender key for one group.
#[derive(Clone)]
pub struct SenderKey {
    pub(super) id: u32,
    pub(super) chain: Chain,
    pub(super) signing: KeyPair,
}

impl SenderKey {
    /// A new chain: random id, chain key and signing key, iteration 0.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let id = loop {
            let id = u32::from_le_bytes(random_bytes(rng)) & LAST_ITERATION;
            if id != 0 {
                break id;
            }
        };
        let key = Zeroizing::new(random_bytes(rng));
        Self { id, chain: Chain { key, iteration: 0 }, signing: KeyPair::generate(rng) }
    }

    /// The id of the chain, 1 to 2^31-1.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The number of the next message.
    #[must_use]
    pub fn iteration(&self) -> u32 {
        self.chain.iteration
    }

    /// What a member needs to open messages from the next one on. Make it before the message that it accompanies.
    #[must_use]
    pub fn distribution(&self) -> SenderKeyDistribution {
        SenderKeyDistribution {
            id: self.id,
            iteration: self.chain.iteration,
            chain_key: self.chain.key.clone(),
            signing_key: *self.signing.public(),
        }
    }

    /// Encrypts a padded plaintext: the bytes of an `enc` of type `skmsg`. The advanced chain must be durable before
    /// they leave.
    ///
    /// # Errors
    /// `CounterExhausted`: make a new chain.
    pub fn encrypt<R: CryptoRng + ?Sized>(
        &mut self,
        plaintext: &[u8],
        rng: &mut R,
    ) -> Result<Vec<u8>, SignalError> {
        if self.chain.iteration >= LAST_ITERATION {
            return Err(SignalError::CounterExhausted);
        }
        let ciphertext = self.chain.seed().encrypt(plaintext);
        let mut out = Vec::with_capacity(ciphertext.len() + 96);
        SenderKeyMessage::write_head(&mut out, self.id, self.chain.iteration, ciphertext.len());
        out.extend_from_slice(&ciphertext);
        let signature = xeddsa::sign(&self.signing, &[&out], &random_bytes(rng));
        out.extend_from_slice(&signature);
        self.chain.advance();
        Ok(out)
    }
}

impl std::fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SenderKey")
            .field("id", &self.id)
            .field("iteration", &self.chain.iteration)
            .finish_non_exhaustive()
    }
}
