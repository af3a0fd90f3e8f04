//! The cryptography of a media retry: asking our own phone to upload its copy again (protocol 08 §7). The stanzas live in
//! `stanza`, limits and waiting in `client`.

use palomar_proto::{MediaRetryNotification, ServerErrorReceipt, media_retry_notification::ResultType};
use prost::Message;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::MediaKey;
use crate::crypto::{aes_gcm_open, aes_gcm_seal, hkdf_sha256, random_bytes};

/// Why an answer is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetryError {
    /// Not under this file's key, or for another message.
    #[error("the answer can't be decrypted")]
    DecryptFailed,
    /// It names another message than the one it was sent for.
    #[error("the answer names another message")]
    StanzaMismatch,
    /// Not a notification, or a success that says no path.
    #[error("the answer is malformed")]
    Malformed,
}

/// What the phone answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The file is there again, under this path; key and hashes stay.
    Uploaded {
        /// The new `directPath`.
        direct_path: String,
    },
    /// The phone doesn't have it.
    NotFound,
    /// The phone could not read the request.
    NotDecrypted,
    /// Something else went wrong.
    General,
}

/// A request: what `<enc_p>` and `<enc_iv>` hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Content of `<enc_p>`: ciphertext, then 16 bytes of tag.
    pub enc_p: Vec<u8>,
    /// Content of `<enc_iv>`.
    pub enc_iv: [u8; 12],
}

fn key(media: &MediaKey) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(hkdf_sha256(media.as_bytes(), &[0; 32], b"WhatsApp Media Retry Notification"))
}

/// A request for the file of a message, under a fresh IV.
///
/// # Errors
/// [`RetryError::Malformed`] for an id of more than the 64 GiB that the cipher takes.
pub fn request<R: CryptoRng + ?Sized>(
    media: &MediaKey,
    message_id: &str,
    rng: &mut R,
) -> Result<Sealed, RetryError> {
    request_under(media, message_id, random_bytes(rng))
}

/// A request under a given IV, which must never be used twice with one key.
///
/// # Errors
/// As [`request`].
pub fn request_under(media: &MediaKey, message_id: &str, enc_iv: [u8; 12]) -> Result<Sealed, RetryError> {
    let plain = ServerErrorReceipt { stanza_id: Some(message_id.to_owned()) };
    sealed(media, message_id, enc_iv, &plain.encode_to_vec())
}

fn sealed(media: &MediaKey, id: &str, enc_iv: [u8; 12], plain: &[u8]) -> Result<Sealed, RetryError> {
    let enc_p =
        aes_gcm_seal(&key(media), &enc_iv, id.as_bytes(), plain).map_err(|_| RetryError::Malformed)?;
    Ok(Sealed { enc_p, enc_iv })
}

/// Reads a request, as a phone does; the id inside.
///
/// # Errors
/// [`RetryError`].
pub fn open_request(media: &MediaKey, message_id: &str, sealed: &Sealed) -> Result<(), RetryError> {
    let plain = opened(media, message_id, &sealed.enc_iv, &sealed.enc_p)?;
    let receipt = ServerErrorReceipt::decode(&*plain).map_err(|_| RetryError::Malformed)?;
    same(receipt.stanza_id.as_deref(), message_id)
}

/// An answer under a given IV, as a phone makes it.
///
/// # Errors
/// As [`request`].
pub fn answer_under(
    media: &MediaKey,
    message_id: &str,
    answer: &Answer,
    enc_iv: [u8; 12],
) -> Result<Sealed, RetryError> {
    let (result, direct_path) = match answer {
        Answer::Uploaded { direct_path } => (ResultType::Success, Some(direct_path.clone())),
        Answer::NotFound => (ResultType::NotFound, None),
        Answer::NotDecrypted => (ResultType::DecryptionError, None),
        Answer::General => (ResultType::GeneralError, None),
    };
    let plain = MediaRetryNotification {
        stanza_id: Some(message_id.to_owned()),
        direct_path,
        result: Some(result as i32),
        message_secret: None,
    };
    sealed(media, message_id, enc_iv, &plain.encode_to_vec())
}

/// Reads an answer.
///
/// # Errors
/// [`RetryError`].
pub fn open_answer(media: &MediaKey, message_id: &str, sealed: &Sealed) -> Result<Answer, RetryError> {
    let plain = opened(media, message_id, &sealed.enc_iv, &sealed.enc_p)?;
    let answer = MediaRetryNotification::decode(&*plain).map_err(|_| RetryError::Malformed)?;
    same(answer.stanza_id.as_deref(), message_id)?;
    Ok(match answer.result() {
        ResultType::Success => Answer::Uploaded {
            direct_path: answer.direct_path.filter(|path| !path.is_empty()).ok_or(RetryError::Malformed)?,
        },
        ResultType::NotFound => Answer::NotFound,
        ResultType::DecryptionError => Answer::NotDecrypted,
        ResultType::GeneralError => Answer::General,
    })
}

fn opened(media: &MediaKey, id: &str, iv: &[u8; 12], sealed: &[u8]) -> Result<Vec<u8>, RetryError> {
    aes_gcm_open(&key(media), iv, id.as_bytes(), sealed).map_err(|_| RetryError::DecryptFailed)
}

/// An id that is there must be the right one; the official client also refuses an absent one, we don't.
fn same(inside: Option<&str>, message_id: &str) -> Result<(), RetryError> {
    if inside.is_none_or(|id| id == message_id) { Ok(()) } else { Err(RetryError::StanzaMismatch) }
}
