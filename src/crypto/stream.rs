//! Hashes, MACs and AES-256-CBC that are fed in pieces, for data that is too large to hold.

use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::BlockError;

/// SHA-256, piece by piece.
#[derive(Clone, Default)]
pub struct Sha256Stream(Sha256);

impl Sha256Stream {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of everything that was added.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// HMAC-SHA-256, piece by piece. The key's two first blocks are hashed once: a clone of a fresh stream starts anew under the
/// same key for the price of a copy. Zeroized when dropped.
#[derive(Clone)]
pub struct HmacStream(Hmac<Sha256>);

impl HmacStream {
    /// A stream under a 32-byte key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let stream = Self(Hmac::new(&block));
        zeroize::Zeroize::zeroize(block.as_mut_slice());
        stream
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The MAC of everything that was added.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

/// HMAC-SHA-512 over the concatenation of `parts`, cut to its first 32 bytes (protocol 06 §4.1).
#[must_use]
pub fn hmac_sha512_32(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = hmac::digest::Key::<Hmac<Sha512>>::default();
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha512>::new(&block);
    zeroize::Zeroize::zeroize(block.as_mut_slice());
    parts.iter().for_each(|part| mac.update(part));
    let full = mac.finalize().into_bytes();
    let mut cut = [0; 32];
    cut.iter_mut().zip(full).for_each(|(to, from)| *to = from);
    cut
}

/// AES-256-CBC over whole blocks, the chaining value kept between calls. Padding is the caller's. Zeroized when dropped.
pub struct CbcSeal(cbc::Encryptor<aes::Aes256>);

impl CbcSeal {
    /// Starts with the given IV.
    #[must_use]
    pub fn new(key: &[u8; 32], iv: &[u8; 16]) -> Self {
        Self(cbc::Encryptor::new(key.into(), iv.into()))
    }

    /// Encrypts whole blocks in place.
    ///
    /// # Errors
    /// [`BlockError`] if the length is no multiple of 16; nothing was changed then.
    pub fn blocks(&mut self, text: &mut [u8]) -> Result<(), BlockError> {
        let (blocks, []) = aes::Block::slice_as_chunks_mut(text) else { return Err(BlockError) };
        self.0.encrypt_blocks(blocks);
        Ok(())
    }
}

/// The opposite of [`CbcSeal`]. What it yields is unauthenticated and still has its padding.
pub struct CbcOpen(cbc::Decryptor<aes::Aes256>);

impl CbcOpen {
    /// Starts with the given IV.
    #[must_use]
    pub fn new(key: &[u8; 32], iv: &[u8; 16]) -> Self {
        Self(cbc::Decryptor::new(key.into(), iv.into()))
    }

    /// Decrypts whole blocks in place.
    ///
    /// # Errors
    /// [`BlockError`] if the length is no multiple of 16; nothing was changed then.
    pub fn blocks(&mut self, text: &mut [u8]) -> Result<(), BlockError> {
        let (blocks, []) = aes::Block::slice_as_chunks_mut(text) else { return Err(BlockError) };
        self.0.decrypt_blocks(blocks);
        Ok(())
    }
}

/// The plaintext length of the last decrypted block by its PKCS#7 padding (1 to 16 equal bytes).
///
/// # Errors
/// [`BlockError`] if the padding is wrong.
pub fn pkcs7_length(block: &[u8; 16]) -> Result<usize, BlockError> {
    let pad = block[15];
    let length = 16usize.checked_sub(usize::from(pad)).ok_or(BlockError)?;
    let padding = block.get(length..).filter(|padding| !padding.is_empty()).ok_or(BlockError)?;
    if padding.iter().fold(0, |wrong, byte| wrong | (byte ^ pad)) == 0 { Ok(length) } else { Err(BlockError) }
}
