//! A chain of message keys (protocol 04 §10.1).

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::{BlockError, aes_cbc_decrypt, aes_cbc_encrypt, hkdf_sha256, hmac_sha256};

/// The chain key and the number of the message that it makes the key of.
#[derive(Clone)]
pub(super) struct Chain {
    pub(super) key: Zeroizing<[u8; 32]>,
    pub(super) iteration: u32,
}

impl Chain {
    /// What the keys of the next message are made of.
    pub(super) fn seed(&self) -> Seed {
        Seed(Zeroizing::new(hmac_sha256(&*self.key, &[&[1]])))
    }

    /// One message on. The iteration saturates; callers stop before.
    pub(super) fn advance(&mut self) {
        self.key = Zeroizing::new(hmac_sha256(&*self.key, &[&[2]]));
        self.iteration = self.iteration.saturating_add(1);
    }
}

/// What the keys of one message are made of; kept for messages that were skipped.
#[derive(Clone)]
pub(super) struct Seed(pub(super) Zeroizing<[u8; 32]>);

impl Seed {
    pub(super) fn encrypt(&self, plaintext: &[u8]) -> Vec<u8> {
        self.with_keys(|key, iv| aes_cbc_encrypt(key, iv, plaintext))
    }

    pub(super) fn decrypt(&self, ciphertext: &[u8]) -> Result<Vec<u8>, BlockError> {
        self.with_keys(|key, iv| aes_cbc_decrypt(key, iv, ciphertext))
    }

    /// The iv comes first here, other than in a session.
    fn with_keys<T>(&self, work: impl FnOnce(&[u8; 32], &[u8; 16]) -> T) -> T {
        let mut keys: [u8; 48] = hkdf_sha256(&*self.0, &[0; 32], b"WhisperGroup");
        let (mut key, mut iv) = ([0; 32], [0; 16]);
        iv.copy_from_slice(keys.get(..16).unwrap_or_default());
        key.copy_from_slice(keys.get(16..).unwrap_or_default());
        let done = work(&key, &iv);
        keys.zeroize();
        key.zeroize();
        iv.zeroize();
        done
    }
}
