//! Ciphers: AES-256-GCM (in place, with a reusable key schedule), AES-256-CBC with PKCS#7, AES-256-CTR.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, StreamCipher, block_padding::Pkcs7};

/// The tag did not verify, or the input is shorter than a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct AeadError;

/// The padding is wrong, or the length is no positive multiple of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bad block padding")]
pub struct BlockError;

/// AES-256-GCM with the key schedule kept, for keys that are used many times.
pub mod gcm {
    use super::{AeadError, AeadInOut, Aes256Gcm, KeyInit, Nonce};

    /// A key, ready to use. Zeroized when dropped.
    #[derive(Clone)]
    pub struct Key(Aes256Gcm);

    impl Key {
        /// Expands the 32-byte key.
        #[must_use]
        pub fn new(key: &[u8; 32]) -> Self {
            Self(Aes256Gcm::new(key.into()))
        }

        /// Encrypts `buffer[from..]` in place and appends the 16-byte tag.
        ///
        /// # Errors
        /// [`AeadError`] if `from` lies behind the end or the text is longer than GCM allows.
        pub fn seal_from(
            &self,
            nonce: &[u8; 12],
            aad: &[u8],
            buffer: &mut Vec<u8>,
            from: usize,
        ) -> Result<(), AeadError> {
            let text = buffer.get_mut(from..).ok_or(AeadError)?;
            let tag = self
                .0
                .encrypt_inout_detached(&Nonce::from(*nonce), aad, text.into())
                .map_err(|_| AeadError)?;
            buffer.extend_from_slice(&tag);
            Ok(())
        }

        /// Opens `buffer` (ciphertext, then 16 bytes of tag) in place and yields the plaintext, which
        /// borrows from it. On an error the buffer's content is unspecified but holds no plaintext.
        ///
        /// # Errors
        /// [`AeadError`] if the tag does not verify.
        pub fn open<'a>(
            &self,
            nonce: &[u8; 12],
            aad: &[u8],
            buffer: &'a mut [u8],
        ) -> Result<&'a mut [u8], AeadError> {
            let at = buffer.len().checked_sub(16).ok_or(AeadError)?;
            let (text, tag) = buffer.split_at_mut(at);
            let tag: [u8; 16] = (&*tag).try_into().map_err(|_| AeadError)?;
            self.0
                .decrypt_inout_detached(&Nonce::from(*nonce), aad, (&mut *text).into(), &tag.into())
                .map_err(|_| AeadError)?;
            Ok(text)
        }
    }

    impl std::fmt::Debug for Key {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("gcm::Key(..)")
        }
    }
}

/// AES-256-GCM, one shot: ciphertext, then 16 bytes of tag.
///
/// # Errors
/// [`AeadError`] if the text is longer than GCM allows (64 GiB).
pub fn aes_gcm_seal(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, AeadError> {
    let mut out = Vec::with_capacity(plaintext.len() + 16);
    out.extend_from_slice(plaintext);
    gcm::Key::new(key).seal_from(nonce, aad, &mut out, 0)?;
    Ok(out)
}

/// AES-256-GCM, one shot: opens ciphertext and tag.
///
/// # Errors
/// [`AeadError`] if the tag does not verify.
pub fn aes_gcm_open(
    key: &[u8; 32],
    nonce: &[u8; 12],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, AeadError> {
    let mut out = sealed.to_vec();
    let length = gcm::Key::new(key).open(nonce, aad, &mut out)?.len();
    out.truncate(length);
    Ok(out)
}

/// AES-256-CBC with PKCS#7 padding.
#[must_use]
pub fn aes_cbc_encrypt(key: &[u8; 32], iv: &[u8; 16], plaintext: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<aes::Aes256>::new(key.into(), iv.into()).encrypt_padded_vec::<Pkcs7>(plaintext)
}

/// AES-256-CBC with PKCS#7 padding, appended to `out`.
pub fn aes_cbc_encrypt_into(key: &[u8; 32], iv: &[u8; 16], plaintext: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let padded = cbc_length(plaintext.len());
    out.extend_from_slice(plaintext);
    out.resize(start + padded, 0);
    // The buffer has room for the padding, which is the only thing that could be wrong.
    if let Some(text) = out.get_mut(start..) {
        let _ = cbc::Encryptor::<aes::Aes256>::new(key.into(), iv.into())
            .encrypt_padded::<Pkcs7>(text, plaintext.len());
    }
}

/// The length of a text of `length` bytes after AES-CBC with PKCS#7 padding.
#[must_use]
pub fn cbc_length(length: usize) -> usize {
    (length / 16 + 1) * 16
}

/// AES-256-CBC with PKCS#7 padding. Authenticate before you call this: its error is a padding oracle.
///
/// # Errors
/// [`BlockError`] if length or padding are wrong.
pub fn aes_cbc_decrypt(key: &[u8; 32], iv: &[u8; 16], ciphertext: &[u8]) -> Result<Vec<u8>, BlockError> {
    cbc::Decryptor::<aes::Aes256>::new(key.into(), iv.into())
        .decrypt_padded_vec::<Pkcs7>(ciphertext)
        .map_err(|_| BlockError)
}

/// AES-256-CTR with a 128-bit big-endian counter block, in place; the same call opens and seals.
pub fn aes_ctr(key: &[u8; 32], iv: &[u8; 16], data: &mut [u8]) {
    ctr::Ctr128BE::<aes::Aes256>::new(key.into(), iv.into()).apply_keystream(data);
}
