//! Decrypting a file in one pass with constant memory, every check before the release (protocol 08 §6, §13, §10).

use super::{MAC_LENGTH, MediaKeys, PIECE, cut};
use crate::crypto::{CbcOpen, HmacStream, Sha256Stream, ct_eq, pkcs7_length, sha256};

/// What is held back: the last block, for its padding, and the MAC.
const HELD: usize = 16 + MAC_LENGTH;

/// Why a file was not released, in the order of the checks. To the other side all are one failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No more than a MAC. A broken copy: try the next host.
    #[error("the file is too short")]
    TooShort,
    /// The ciphertext is not made of whole blocks. A broken copy: try the next host.
    #[error("the file's length is no whole number of blocks")]
    BadLength,
    /// Not the file that the message names. A broken copy: try the next host.
    #[error("the file is not the one that the message names")]
    EncHashMismatch,
    /// The MAC is wrong: the key does not belong to the file. Try the next host, then ask for a new upload.
    #[error("the file's MAC is wrong")]
    MacMismatch,
    /// The padding is wrong under a right MAC: the sender's fault, final.
    #[error("the file's padding is wrong")]
    BadPadding,
    /// The content is not what the message names, under a right MAC: the sender's fault, final.
    #[error("the content is not the one that the message names")]
    PlainHashMismatch,
}

impl OpenError {
    /// Whether another host may have a good copy.
    #[must_use]
    pub fn is_copy(self) -> bool {
        !matches!(self, Self::BadPadding | Self::PlainHashMismatch)
    }
}

/// The two hashes of a message's reference; both are required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    /// SHA-256 of the file (`fileEncSha256`).
    pub file: [u8; 32],
    /// SHA-256 of the plaintext (`fileSha256`).
    pub plain: [u8; 32],
}

/// Decrypts a file that comes in pieces.
///
/// What [`Opener::update`] appends is **not verified**: it belongs into a private temporary file, and is released only when
/// [`Opener::finish`] has answered `Ok`, else destroyed.
pub struct Opener {
    cipher: CbcOpen,
    mac: HmacStream,
    file_hash: Sha256Stream,
    plain_hash: Sha256Stream,
    sums: Sums,
    held: Vec<u8>,
    /// Bytes of ciphertext decrypted so far.
    done: u64,
}

impl Opener {
    /// Starts a file.
    #[must_use]
    pub fn new(keys: &MediaKeys, sums: Sums) -> Self {
        let mut mac = HmacStream::new(&keys.mac);
        mac.update(&keys.iv);
        Self {
            cipher: CbcOpen::new(&keys.cipher, &keys.iv),
            mac,
            file_hash: Sha256Stream::default(),
            plain_hash: Sha256Stream::default(),
            sums,
            held: Vec::with_capacity(HELD + 16),
            done: 0,
        }
    }

    /// Takes more of the file and appends unverified plaintext to `out`.
    pub fn update(&mut self, file: &[u8], out: &mut Vec<u8>) {
        for piece in file.chunks(PIECE) {
            self.piece(piece, out);
        }
    }

    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.file_hash.update(piece);
        let ready = (self.held.len() + piece.len()).saturating_sub(HELD) / 16 * 16;
        let from = out.len();
        let old = ready.min(self.held.len());
        out.extend(self.held.drain(..old));
        let (now, later) = piece.split_at_checked(ready - old).unwrap_or((&[], piece));
        out.extend_from_slice(now);
        self.held.extend_from_slice(later);
        let Some(text) = out.get_mut(from..) else { return };
        self.mac.update(text);
        // Whole blocks by construction.
        let _ = self.cipher.blocks(text);
        self.plain_hash.update(text);
        self.done += text.len() as u64;
    }

    /// Makes every check and appends the rest of the plaintext to `out`; its whole length in bytes.
    ///
    /// # Errors
    /// The first failed check; nothing of what was appended may be released then.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<u64, OpenError> {
        let total = self.done + self.held.len() as u64;
        let ciphertext = total.saturating_sub(MAC_LENGTH as u64);
        if ciphertext == 0 {
            return Err(OpenError::TooShort);
        }
        let last_and_mac = self.held.split_first_chunk::<16>();
        let Some((last, mac)) = last_and_mac.filter(|(_, mac)| mac.len() == MAC_LENGTH) else {
            return Err(OpenError::BadLength);
        };
        if !ct_eq(&self.file_hash.finish(), &self.sums.file) {
            return Err(OpenError::EncHashMismatch);
        }
        self.mac.update(last);
        if !ct_eq(&cut(self.mac.finish()), mac) {
            return Err(OpenError::MacMismatch);
        }
        let mut block = *last;
        let _ = self.cipher.blocks(&mut block);
        let rest = pkcs7_length(&block).ok().and_then(|length| block.get(..length));
        let rest = rest.ok_or(OpenError::BadPadding)?;
        self.plain_hash.update(rest);
        if !ct_eq(&self.plain_hash.finish(), &self.sums.plain) {
            return Err(OpenError::PlainHashMismatch);
        }
        out.extend_from_slice(rest);
        Ok(self.done + rest.len() as u64)
    }
}

#[cfg(test)]
impl Opener {
    /// What is held between calls, in bytes of memory.
    pub(super) fn held_capacity(&self) -> usize {
        self.held.capacity()
    }
}

/// Decrypts a file that is in memory.
///
/// # Errors
/// The first failed check; the plaintext is destroyed.
pub fn open(keys: &MediaKeys, sums: Sums, file: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut out = Vec::with_capacity(file.len());
    let mut opener = Opener::new(keys, sums);
    opener.update(file, &mut out);
    match opener.finish(&mut out) {
        Ok(_) => Ok(out),
        Err(error) => {
            zeroize::Zeroize::zeroize(&mut out);
            Err(error)
        }
    }
}

/// Checks a file that is not encrypted (channels, catalogue, profile pictures: protocol 08 §10).
///
/// # Errors
/// [`OpenError::PlainHashMismatch`].
pub fn open_plain(body: &[u8], plain: &[u8; 32]) -> Result<(), OpenError> {
    if ct_eq(&sha256(body), plain) { Ok(()) } else { Err(OpenError::PlainHashMismatch) }
}
