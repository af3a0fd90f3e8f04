//! What opens and seals one message of a session (protocol 04 §5): cipher key, MAC key and initialisation
//! vector, expanded from a seed. Kept messages are kept as seeds.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::message::{MAC_LENGTH, SignalHeader, SignalMessage, mac};
use super::{IdentityKey, SignalError};
use crate::crypto::{aes_cbc_decrypt, aes_cbc_encrypt_into, cbc_length, hkdf_sha256};

/// The 32 bytes from which the keys of one message are expanded.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Seed(pub(crate) [u8; 32]);

/// The expanded keys of one message.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct MessageKey {
    cipher: [u8; 32],
    mac: [u8; 32],
    iv: [u8; 16],
}

impl Seed {
    /// Expands the seed.
    pub(crate) fn message_key(&self) -> MessageKey {
        let okm = Zeroizing::new(hkdf_sha256::<80>(&self.0, &[0; 32], b"WhisperMessageKeys"));
        let mut key = MessageKey { cipher: [0; 32], mac: [0; 32], iv: [0; 16] };
        let (cipher, rest) = okm.split_at(32);
        let (mac, iv) = rest.split_at(32);
        key.cipher.copy_from_slice(cipher);
        key.mac.copy_from_slice(mac);
        key.iv.copy_from_slice(iv);
        key
    }
}

/// The two identity keys that a message's authentication code binds, in its direction.
#[derive(Clone, Copy)]
pub(crate) struct Direction<'a> {
    pub(crate) sender: &'a IdentityKey,
    pub(crate) receiver: &'a IdentityKey,
}

impl MessageKey {
    /// Appends the whole message to `out`.
    pub(crate) fn seal(&self, header: &SignalHeader<'_>, text: &[u8], way: Direction<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let length = cbc_length(text.len());
        out.reserve(header.message_length(length));
        header.write(out, length);
        aes_cbc_encrypt_into(&self.cipher, &self.iv, text, out);
        let code: [u8; MAC_LENGTH] =
            mac(&self.mac, way.sender, way.receiver, out.get(start..).unwrap_or_default());
        out.extend_from_slice(&code);
    }

    /// Checks the authentication code, then decrypts. Only after the code was right is anything else said.
    pub(crate) fn open(
        &self,
        message: &SignalMessage<'_>,
        way: Direction<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, SignalError> {
        if !message.verify(&self.mac, way.sender, way.receiver) {
            return Err(SignalError::BadMac);
        }
        aes_cbc_decrypt(&self.cipher, &self.iv, message.ciphertext)
            .map(Zeroizing::new)
            .map_err(|_| SignalError::Malformed)
    }
}
