//! `SymmetricState`: the transcript hash `h`, the chaining key `ck`, and the current cipher (protocol 01 §4).

use zeroize::{Zeroize, Zeroizing};

use super::cipher::{CipherError, CipherState};
use crate::crypto::{hkdf_sha256, sha256, sha256_parts};

/// The symmetric state of Noise.
pub struct SymmetricState {
    h: [u8; 32],
    ck: Zeroizing<[u8; 32]>,
    cipher: Option<CipherState>,
}

impl SymmetricState {
    /// Noise `InitializeSymmetric`: `h` is the name, zero-padded up to 32 bytes, hashed if it is longer.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut h = [0; 32];
        match h.get_mut(..name.len()) {
            Some(start) => start.copy_from_slice(name.as_bytes()),
            None => h = sha256(name.as_bytes()),
        }
        Self { h, ck: Zeroizing::new(h), cipher: None }
    }

    /// Noise `MixHash`.
    pub fn mix_hash(&mut self, data: &[u8]) {
        self.h = sha256_parts(&[&self.h, data]);
    }

    /// Noise `MixKey`: a new chaining key and a new cipher with counter 0.
    pub fn mix_key(&mut self, ikm: &[u8]) {
        let (ck, k) = self.derive(ikm);
        self.ck = ck;
        self.cipher = Some(CipherState::new(&k));
    }

    /// Noise `EncryptAndHash`: ciphertext and tag, or the plaintext itself while there is no key.
    ///
    /// # Errors
    /// [`CipherError`] if the text is too long.
    pub fn encrypt_and_hash(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, CipherError> {
        let mut text = plaintext.to_vec();
        if let Some(cipher) = &mut self.cipher {
            cipher.encrypt_with_ad(&self.h, &mut text, 0)?;
        }
        self.mix_hash(&text);
        Ok(text)
    }

    /// Noise `DecryptAndHash`. On an error the state is unchanged.
    ///
    /// # Errors
    /// [`CipherError::Authentication`] if the tag does not verify.
    pub fn decrypt_and_hash(&mut self, ciphertext: &[u8]) -> Result<Vec<u8>, CipherError> {
        let mut text = ciphertext.to_vec();
        if let Some(cipher) = &mut self.cipher {
            let length = cipher.decrypt_with_ad(&self.h, &mut text)?.len();
            text.truncate(length);
        }
        self.mix_hash(ciphertext);
        Ok(text)
    }

    /// Noise `GetHandshakeHash`.
    #[must_use]
    pub fn handshake_hash(&self) -> &[u8; 32] {
        &self.h
    }

    /// Noise `Split`: the ciphers client to server and server to client.
    #[must_use]
    pub fn split(self) -> (CipherState, CipherState) {
        let (to_server, to_client) = self.derive(&[]);
        (CipherState::new(&to_server), CipherState::new(&to_client))
    }

    fn derive(&self, ikm: &[u8]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
        let mut okm = hkdf_sha256::<64>(ikm, &*self.ck, &[]);
        let mut halves = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        let (first, second) = okm.split_at(32);
        halves.0.copy_from_slice(first);
        halves.1.copy_from_slice(second);
        okm.zeroize();
        halves
    }
}

impl std::fmt::Debug for SymmetricState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricState(..)")
    }
}
