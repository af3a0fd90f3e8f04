//! Encrypting a file in one pass with constant memory (protocol 08 §2, §13).

use base64::Engine;

use super::{MAC_LENGTH, MediaKeys, PIECE, Sidecar, cut};
use crate::crypto::{CbcSeal, HmacStream, Sha256Stream, cbc_length};

/// What a message says about a file that was encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// SHA-256 of the plaintext (`fileSha256`).
    pub file_sha256: [u8; 32],
    /// SHA-256 of the file, its MAC included (`fileEncSha256`).
    pub file_enc_sha256: [u8; 32],
    /// Length of the plaintext in bytes (`fileLength`).
    pub length: u64,
    /// Ten bytes for every 64 KiB of the file (`streamingSidecar`), where one was asked for.
    pub sidecar: Option<Vec<u8>>,
}

/// The length in bytes of the file that a plaintext of `length` bytes becomes.
#[must_use]
pub fn file_length(length: u64) -> u64 {
    (length / 16 + 1) * 16 + MAC_LENGTH as u64
}

/// The token of an upload or download path: the file's hash as base64url without padding (the wire adds it, protocol 08 §5).
#[must_use]
pub fn upload_token(hash: &[u8; 32]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash)
}

/// Encrypts a file that comes in pieces. Holds less than a block of plaintext between calls.
pub struct Sealer {
    cipher: CbcSeal,
    mac: HmacStream,
    plain_hash: Sha256Stream,
    file_hash: Sha256Stream,
    sidecar: Option<Sidecar>,
    /// The plaintext that doesn't fill a block yet: the first `held` bytes.
    tail: [u8; 16],
    held: usize,
    length: u64,
}

impl Sealer {
    /// Starts a file; `sidecar` asks for the streaming sidecar ([`super::MediaKind::has_sidecar`]).
    #[must_use]
    pub fn new(keys: &MediaKeys, sidecar: bool) -> Self {
        let mut mac = HmacStream::new(&keys.mac);
        let sidecar = sidecar.then(|| Sidecar::new(keys));
        mac.update(&keys.iv);
        Self {
            cipher: CbcSeal::new(&keys.cipher, &keys.iv),
            mac,
            plain_hash: Sha256Stream::default(),
            file_hash: Sha256Stream::default(),
            sidecar,
            tail: [0; 16],
            held: 0,
            length: 0,
        }
    }

    /// Takes more plaintext and appends the ciphertext that is ready to `out`.
    pub fn update(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        for piece in plain.chunks(PIECE) {
            self.piece(piece, out);
        }
    }

    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        self.plain_hash.update(piece);
        self.length += piece.len() as u64;
        let whole = (self.held + piece.len()) / 16 * 16;
        let Some((now, later)) = whole.checked_sub(self.held).and_then(|at| piece.split_at_checked(at))
        else {
            self.hold(piece);
            return;
        };
        let from = out.len();
        out.extend_from_slice(self.tail.get(..self.held).unwrap_or_default());
        out.extend_from_slice(now);
        self.held = 0;
        self.hold(later);
        self.blocks(out, from);
    }

    /// Keeps what doesn't fill a block.
    fn hold(&mut self, bytes: &[u8]) {
        self.tail.iter_mut().skip(self.held).zip(bytes).for_each(|(to, from)| *to = *from);
        self.held += bytes.len();
    }

    /// Encrypts the whole blocks behind `from`.
    fn blocks(&mut self, out: &mut [u8], from: usize) {
        let Some(text) = out.get_mut(from..) else { return };
        // Whole blocks by construction.
        let _ = self.cipher.blocks(text);
        self.mac.update(text);
        self.file(text);
    }

    fn file(&mut self, bytes: &[u8]) {
        self.file_hash.update(bytes);
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.update(bytes);
        }
    }

    /// Appends the last block and the MAC to `out` and says what the message must say.
    #[must_use]
    pub fn finish(mut self, out: &mut Vec<u8>) -> Sealed {
        let pad = 16 - self.held;
        let padding = u8::try_from(pad).unwrap_or(16);
        let mut last = self.tail;
        last.iter_mut().skip(self.held).for_each(|byte| *byte = padding);
        let from = out.len();
        out.extend_from_slice(&last);
        zeroize::Zeroize::zeroize(&mut last);
        self.blocks(out, from);
        let mac = cut(self.mac.clone().finish());
        out.extend_from_slice(&mac);
        self.file(&mac);
        Sealed {
            file_sha256: self.plain_hash.clone().finish(),
            file_enc_sha256: self.file_hash.clone().finish(),
            length: self.length,
            sidecar: self.sidecar.take().map(Sidecar::finish),
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.tail);
    }
}

/// Encrypts a file that is in memory: the file, and what the message must say.
#[must_use]
pub fn seal(keys: &MediaKeys, plain: &[u8], sidecar: bool) -> (Vec<u8>, Sealed) {
    let mut out = Vec::with_capacity(cbc_length(plain.len()) + MAC_LENGTH);
    let mut sealer = Sealer::new(keys, sidecar);
    sealer.update(plain, &mut out);
    let sealed = sealer.finish(&mut out);
    (out, sealed)
}
