//! Replies of bots, `enc` type `msmsg` (protocol 04 §12.4). Not padded.

use prost::Message;
use zeroize::Zeroize;

use super::addon::{AddonError, MessageSecret};
use crate::crypto::{aes_gcm_open, hkdf_sha256};
use crate::proto;

/// The key from which those of all replies to one message are derived: from the secret of the message that we
/// sent to the bot.
#[must_use]
pub fn base_key(secret: &MessageSecret) -> [u8; 32] {
    hkdf_sha256(secret.as_bytes(), &[0; 32], b"Bot Message")
}

/// What names a reply. JIDs are `user@server` without device.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The stanza id; of a streamed edit the id of the edited reply (the other one is tried when it fails).
    pub reply_id: &'a str,
    /// The user whom the bot answers.
    pub target_sender: &'a str,
    /// The bot.
    pub bot: &'a str,
}

impl Reply<'_> {
    /// The `info` of the second derivation.
    #[must_use]
    pub fn info(&self) -> Vec<u8> {
        [self.reply_id, self.target_sender, self.bot].concat().into_bytes()
    }

    /// The key of the reply.
    #[must_use]
    pub fn key(&self, secret: &MessageSecret) -> [u8; 32] {
        let mut base = base_key(secret);
        let key = hkdf_sha256(&base, &[0; 32], &self.info());
        base.zeroize();
        key
    }

    /// The associated data.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        [self.reply_id.as_bytes(), &[0], self.bot.as_bytes()].concat()
    }
}

/// Opens the content of an `msmsg` node (a serialized `MessageSecretMessage`): the serialized `Message`.
///
/// # Errors
/// [`AddonError::Malformed`] if the content does not parse or a length is wrong, [`AddonError::BadTag`] if secret
/// or names are others.
pub fn open(secret: &MessageSecret, reply: &Reply<'_>, content: &[u8]) -> Result<Vec<u8>, AddonError> {
    let message = proto::MessageSecretMessage::decode(content).map_err(|_| AddonError::Malformed)?;
    let iv = message.enc_iv.as_deref().and_then(|iv| <[u8; 12]>::try_from(iv).ok());
    let (Some(iv), Some(payload)) = (iv, message.enc_payload.filter(|payload| payload.len() >= 16)) else {
        return Err(AddonError::Malformed);
    };
    let mut key = reply.key(secret);
    let plaintext = aes_gcm_open(&key, &iv, &reply.aad(), &payload);
    key.zeroize();
    plaintext.map_err(|_| AddonError::BadTag)
}
