//! `CipherState`: one AES-256-GCM key with its counter (protocol 01 §4, §9).

use crate::crypto::gcm;
use crate::wire::{MAX_FRAME, frame_header};

/// Bytes of a GCM tag.
const TAG: usize = 16;

/// Why nothing was sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// The tag did not verify: the stream is lost, close and reconnect.
    #[error("authentication failed")]
    Authentication,
    /// The plaintext does not fit into a frame (2^24 - 1 bytes with its tag). Nothing was written.
    #[error("the plaintext is too long for a frame")]
    TooLong,
    /// The counter is used up: close and reconnect.
    #[error("the cipher's counter is used up")]
    Exhausted,
}

/// A key with its counter. Not `Clone`: two holders of one counter would repeat an IV.
#[derive(Debug)]
pub struct CipherState {
    key: gcm::Key,
    n: u32,
}

impl CipherState {
    /// Noise `InitializeKey`: the counter starts at 0.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: gcm::Key::new(key), n: 0 }
    }

    /// Noise `SetNonce`: the next counter. For tests of the end of the range.
    #[must_use]
    pub fn with_nonce(mut self, n: u32) -> Self {
        self.n = n;
        self
    }

    /// The counter that the next message will take.
    #[must_use]
    pub fn nonce(&self) -> u32 {
        self.n
    }

    /// Noise `EncryptWithAd` over `buffer[from..]`, in place; the tag is appended.
    ///
    /// # Errors
    /// [`CipherError::Exhausted`] or [`CipherError::TooLong`]; the counter has not moved.
    pub(super) fn encrypt_with_ad(
        &mut self,
        ad: &[u8],
        buffer: &mut Vec<u8>,
        from: usize,
    ) -> Result<(), CipherError> {
        let (iv, next) = self.step()?;
        self.key.seal_from(&iv, ad, buffer, from).map_err(|_| CipherError::TooLong)?;
        self.n = next;
        Ok(())
    }

    /// Noise `DecryptWithAd`, in place; the plaintext borrows from `buffer`.
    ///
    /// # Errors
    /// [`CipherError::Exhausted`] or [`CipherError::Authentication`]; the counter has not moved.
    pub(super) fn decrypt_with_ad<'a>(
        &mut self,
        ad: &[u8],
        buffer: &'a mut [u8],
    ) -> Result<&'a mut [u8], CipherError> {
        let (iv, next) = self.step()?;
        let plaintext = self.key.open(&iv, ad, buffer).map_err(|_| CipherError::Authentication)?;
        self.n = next;
        Ok(plaintext)
    }

    /// Whether a frame can hold this plaintext (protocol 01 §3).
    #[must_use]
    pub fn fits(plaintext: &[u8]) -> bool {
        plaintext.len() <= MAX_FRAME - TAG
    }

    /// Appends one whole frame to `out`: 3 bytes of length, then the sealed `plaintext` (flag byte first). Frames
    /// of several calls may share one buffer; the order of calls must be the order on the wire.
    ///
    /// # Errors
    /// [`CipherError::TooLong`] or [`CipherError::Exhausted`]; `out` and the counter are as before.
    pub fn seal_into(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), CipherError> {
        if !Self::fits(plaintext) {
            return Err(CipherError::TooLong);
        }
        let length = plaintext.len() + TAG;
        let header = frame_header(length).map_err(|_| CipherError::TooLong)?;
        let (iv, next) = self.step()?;
        let start = out.len();
        out.reserve(header.len() + length);
        out.extend_from_slice(&header);
        let from = out.len();
        out.extend_from_slice(plaintext);
        if self.key.seal_from(&iv, &[], out, from).is_err() {
            out.truncate(start);
            return Err(CipherError::TooLong);
        }
        self.n = next;
        Ok(())
    }

    /// Opens a frame's body (without the 3 bytes of length) in place. The plaintext is the body without its last 16
    /// bytes.
    ///
    /// # Errors
    /// [`CipherError::Authentication`] (also for a body shorter than a tag), [`CipherError::Exhausted`].
    pub fn open<'a>(&mut self, body: &'a mut [u8]) -> Result<&'a mut [u8], CipherError> {
        self.decrypt_with_ad(&[], body)
    }

    /// The IV of this message and the counter after it. The last counter is never used, so none can wrap.
    fn step(&self) -> Result<([u8; 12], u32), CipherError> {
        let next = self.n.checked_add(1).ok_or(CipherError::Exhausted)?;
        let mut iv = [0; 12];
        let (_, counter) = iv.split_at_mut(8);
        counter.copy_from_slice(&self.n.to_be_bytes());
        Ok((iv, next))
    }
}

/// The two directions after `split()`, as one side sees them. Take the halves apart where reader and writer have
/// different owners.
#[derive(Debug)]
pub struct Transport {
    /// Seals what this side sends.
    pub seal: CipherState,
    /// Opens what this side receives.
    pub open: CipherState,
}
