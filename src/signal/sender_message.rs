//! The two messages of sender keys: `SenderKeyMessage` and `SenderKeyDistributionMessage` (protocol 04 §4.4,
//! §4.5). What a sender chain does with them lives elsewhere in this folder.

use zeroize::Zeroizing;

use super::SignalError;
use super::wire::{self, Fields};
use crate::crypto::PublicKey;
use crate::crypto::xeddsa::SIGNATURE_LENGTH;

/// A group message, as received; it borrows from the bytes.
#[derive(Debug, Clone, Copy)]
pub struct SenderKeyMessage<'a> {
    pub(crate) id: u32,
    pub(crate) iteration: u32,
    pub(crate) ciphertext: &'a [u8],
    /// Everything before the signature.
    pub(crate) signed: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> SenderKeyMessage<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// `Malformed` or `Version`, by the order of 04 §4.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, SignalError> {
        wire::versioned(bytes, 1 + SIGNATURE_LENGTH + 1)?;
        let at = bytes.len().checked_sub(SIGNATURE_LENGTH).ok_or(SignalError::Malformed)?;
        let (signed, signature) = bytes.split_at_checked(at).ok_or(SignalError::Malformed)?;
        let (mut id, mut iteration, mut ciphertext) = (0, 0, None);
        for field in Fields::new(signed.get(1..).unwrap_or_default()) {
            match field? {
                (1, value) => id = value.uint32()?,
                (2, value) => iteration = value.uint32()?,
                (3, value) => ciphertext = Some(value.bytes()?),
                _ => {}
            }
        }
        let ciphertext = ciphertext.ok_or(SignalError::Malformed)?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(16) {
            return Err(SignalError::Malformed);
        }
        Ok(Self { id, iteration, ciphertext, signed, signature })
    }

    /// The id of the chain.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The number of the message in its chain.
    #[must_use]
    pub fn iteration(&self) -> u32 {
        self.iteration
    }

    /// Writes everything before the ciphertext of a message that is to be signed.
    pub(crate) fn write_head(out: &mut Vec<u8>, id: u32, iteration: u32, ciphertext: usize) {
        out.push(wire::VERSION);
        wire::put_uint32(out, 1, id);
        wire::put_uint32(out, 2, iteration);
        wire::put_length(out, 3, ciphertext);
    }
}

/// What lets its receiver open the messages of a sender chain from `iteration` on.
#[derive(Clone)]
pub struct SenderKeyDistribution {
    pub(crate) id: u32,
    pub(crate) iteration: u32,
    pub(crate) chain_key: Zeroizing<[u8; 32]>,
    pub(crate) signing_key: PublicKey,
}

impl SenderKeyDistribution {
    /// Reads a distribution message.
    ///
    /// # Errors
    /// `Malformed`, `Version` or `InvalidKey`, by the order of 04 §4.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignalError> {
        let (mut id, mut iteration, mut chain_key, mut signing_key) = (0, 0, None, None);
        for field in Fields::new(wire::versioned(bytes, 1)?) {
            match field? {
                (1, value) => id = value.uint32()?,
                (2, value) => iteration = value.uint32()?,
                (3, value) => chain_key = Some(value.bytes()?),
                (4, value) => signing_key = Some(value.bytes()?),
                _ => {}
            }
        }
        let signing_key = signing_key.ok_or(SignalError::Malformed)?;
        let chain_key = chain_key.and_then(|key| key.try_into().ok()).ok_or(SignalError::Malformed)?;
        Ok(Self {
            id,
            iteration,
            chain_key: Zeroizing::new(chain_key),
            signing_key: wire::key33(signing_key)?,
        })
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn serialize(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(96));
        out.push(wire::VERSION);
        wire::put_uint32(&mut out, 1, self.id);
        wire::put_uint32(&mut out, 2, self.iteration);
        wire::put_bytes(&mut out, 3, &*self.chain_key);
        wire::put_bytes(&mut out, 4, &self.signing_key.serialize());
        out
    }
}

impl std::fmt::Debug for SenderKeyDistribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SenderKeyDistribution")
            .field("id", &self.id)
            .field("iteration", &self.iteration)
            .field("signing_key", &self.signing_key)
            .finish_non_exhaustive()
    }
}
