//! Encrypted add-ons (votes, edits, reactions, …) under the secret of the message they belong to (protocol 04
//! §12.1 to §12.3). Their protobuf containers and who may send what are the callers' business.

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{aes_gcm_open, aes_gcm_seal, hkdf_sha256, random_bytes, sha256};

/// The 32-byte secret of a message (`messageContextInfo.messageSecret`).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MessageSecret([u8; 32]);

secret_equality!(MessageSecret);

impl MessageSecret {
    /// A fresh secret.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(random_bytes(rng))
    }

    /// From what a message carries; `None` at another length than 32, which is to be ignored.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for MessageSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MessageSecret(..)")
    }
}

/// What a key is derived for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Use {
    /// A vote in a poll.
    PollVote,
    /// An answer to an event.
    EventResponse,
    /// A reaction.
    Reaction,
    /// A comment.
    Comment,
    /// The edit of an event.
    EventEdit,
    /// The edit of a message.
    MessageEdit,
    /// The edit of a poll.
    PollEdit,
    /// A new option for a poll.
    PollAddOption,
    /// The reporting token (§13), which encrypts nothing.
    ReportToken,
}

impl Use {
    /// Every use.
    pub const ALL: [Self; 9] = [
        Self::PollVote,
        Self::EventResponse,
        Self::Reaction,
        Self::Comment,
        Self::EventEdit,
        Self::MessageEdit,
        Self::PollEdit,
        Self::PollAddOption,
        Self::ReportToken,
    ];

    /// The string that goes into the derivation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PollVote => "Poll Vote",
            Self::EventResponse => "Event Response",
            Self::Reaction => "Enc Reaction",
            Self::Comment => "Enc Comment",
            Self::EventEdit => "Event Edit",
            Self::MessageEdit => "Message Edit",
            Self::PollEdit => "Poll Edit",
            Self::PollAddOption => "Poll Add Option",
            Self::ReportToken => "Report Token",
        }
    }

    /// What to try on receiving, in order: other clients use `Poll Edit` for a new option too.
    #[must_use]
    pub fn on_receive(self) -> &'static [Self] {
        match self {
            Self::PollVote => &[Self::PollVote],
            Self::EventResponse => &[Self::EventResponse],
            Self::Reaction => &[Self::Reaction],
            Self::Comment => &[Self::Comment],
            Self::EventEdit => &[Self::EventEdit],
            Self::MessageEdit => &[Self::MessageEdit],
            Self::PollEdit => &[Self::PollEdit],
            Self::PollAddOption => &[Self::PollAddOption, Self::PollEdit],
            Self::ReportToken => &[Self::ReportToken],
        }
    }

    fn has_aad(self) -> bool {
        matches!(self, Self::PollVote | Self::EventResponse)
    }
}

/// What ties an add-on to its message. JIDs are `user@server` without device.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The id of the message that holds the secret.
    pub message_id: &'a str,
    /// The author of that message.
    pub original_sender: &'a str,
    /// Who votes, reacts or edits: the authenticated sender of the stanza.
    pub modification_sender: &'a str,
}

impl Context<'_> {
    /// The `info` of the derivation.
    #[must_use]
    pub fn info(&self, usage: Use) -> Vec<u8> {
        [self.message_id, self.original_sender, self.modification_sender, usage.as_str()]
            .concat()
            .into_bytes()
    }

    /// The key of 32 bytes.
    #[must_use]
    pub fn key(&self, secret: &MessageSecret, usage: Use) -> [u8; 32] {
        hkdf_sha256(&secret.0, &[0; 32], &self.info(usage))
    }

    /// The associated data; empty for most uses.
    #[must_use]
    pub fn aad(&self, usage: Use) -> Vec<u8> {
        if usage.has_aad() {
            [self.message_id.as_bytes(), &[0], self.modification_sender.as_bytes()].concat()
        } else {
            Vec::new()
        }
    }
}

/// A ciphertext with its 12-byte iv; the tag stands at the end of the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// `encIv`.
    pub iv: [u8; 12],
    /// `encPayload`.
    pub payload: Vec<u8>,
}

/// Why an add-on can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddonError {
    /// The iv has not 12 bytes, or the payload is shorter than its tag.
    #[error("malformed add-on")]
    Malformed,
    /// The tag is wrong: another secret, other JIDs (try the other namespace), or a forgery.
    #[error("the add-on does not open with this secret and these names")]
    BadTag,
}

/// Encrypts the plaintext protobuf of an add-on.
///
/// # Errors
/// [`AddonError::Malformed`] if the plaintext is longer than GCM allows.
pub fn seal<R: CryptoRng + ?Sized>(
    secret: &MessageSecret,
    usage: Use,
    context: &Context<'_>,
    plaintext: &[u8],
    rng: &mut R,
) -> Result<Sealed, AddonError> {
    seal_with(secret, usage, context, plaintext, random_bytes(rng))
}

/// [`seal`] with a given iv.
///
/// # Errors
/// As [`seal`].
pub fn seal_with(
    secret: &MessageSecret,
    usage: Use,
    context: &Context<'_>,
    plaintext: &[u8],
    iv: [u8; 12],
) -> Result<Sealed, AddonError> {
    let mut key = context.key(secret, usage);
    let payload = aes_gcm_seal(&key, &iv, &context.aad(usage), plaintext);
    key.zeroize();
    Ok(Sealed { iv, payload: payload.map_err(|_| AddonError::Malformed)? })
}

/// Opens an add-on under one pair of names, with each string that [`Use::on_receive`] allows.
///
/// # Errors
/// [`AddonError`].
pub fn open(
    secret: &MessageSecret,
    usage: Use,
    context: &Context<'_>,
    iv: &[u8],
    payload: &[u8],
) -> Result<Vec<u8>, AddonError> {
    let iv: [u8; 12] = iv.try_into().map_err(|_| AddonError::Malformed)?;
    if payload.len() < 16 {
        return Err(AddonError::Malformed);
    }
    for &usage in usage.on_receive() {
        let mut key = context.key(secret, usage);
        let plaintext = aes_gcm_open(&key, &iv, &context.aad(usage), payload);
        key.zeroize();
        if let Ok(plaintext) = plaintext {
            return Ok(plaintext);
        }
    }
    Err(AddonError::BadTag)
}

/// A person's address in both namespaces, as far as known; at least the first.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The address in the namespace to try first.
    pub first: &'a str,
    /// The address in the other namespace.
    pub other: Option<&'a str>,
}

/// [`open`] with the PN/LID fallback of §12.3: both in the first namespace, both in the other, then the two
/// mixed pairs. At most four attempts, fewer where a mapping is not known.
///
/// # Errors
/// [`AddonError`] of the first attempt.
pub fn open_with_fallback(
    secret: &MessageSecret,
    usage: Use,
    message_id: &str,
    original_sender: Names<'_>,
    modification_sender: Names<'_>,
    iv: &[u8],
    payload: &[u8],
) -> Result<Vec<u8>, AddonError> {
    let attempt = |original_sender: Option<&str>, modification_sender: Option<&str>| {
        let (Some(original_sender), Some(modification_sender)) = (original_sender, modification_sender)
        else {
            return Err(AddonError::BadTag);
        };
        open(secret, usage, &Context { message_id, original_sender, modification_sender }, iv, payload)
    };
    let (author, author_other) = (Some(original_sender.first), original_sender.other);
    let (by, by_other) = (Some(modification_sender.first), modification_sender.other);
    match attempt(author, by) {
        Err(AddonError::BadTag) => {}
        done => return done,
    }
    attempt(author_other, by_other)
        .or_else(|_| attempt(author, by_other))
        .or_else(|_| attempt(author_other, by))
}

/// How a vote names an option: the SHA-256 of its text.
#[must_use]
pub fn poll_option_hash(name: &str) -> [u8; 32] {
    sha256(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IV: [u8; 12] = [7; 12];

    fn secret() -> MessageSecret {
        MessageSecret([3; 32])
    }

    #[test]
    fn pn_and_lid_fallback_opens_all_four_pairs() {
        for original in ["1@lid", "1@s.whatsapp.net"] {
            for by in ["2@lid", "2@s.whatsapp.net"] {
                let context =
                    Context { message_id: "ID", original_sender: original, modification_sender: by };
                let sealed = seal_with(&secret(), Use::PollVote, &context, b"vote", IV).unwrap();
                let author = Names { first: "1@lid", other: Some("1@s.whatsapp.net") };
                let voter = Names { first: "2@lid", other: Some("2@s.whatsapp.net") };
                let open = |author, voter| {
                    open_with_fallback(
                        &secret(),
                        Use::PollVote,
                        "ID",
                        author,
                        voter,
                        &sealed.iv,
                        &sealed.payload,
                    )
                };
                assert_eq!(open(author, voter).unwrap(), b"vote", "{original} {by}");
                let unmapped = open(Names { other: None, ..author }, Names { other: None, ..voter });
                assert_eq!(unmapped.is_ok(), original == author.first && by == voter.first);
            }
        }
    }

    #[test]
    fn wrong_aad_fails() {
        let context = Context { message_id: "ID", original_sender: "1@lid", modification_sender: "2@lid" };
        let key = context.key(&secret(), Use::PollVote);
        let payload = aes_gcm_seal(&key, &IV, b"", b"vote").unwrap();
        assert_eq!(open(&secret(), Use::PollVote, &context, &IV, &payload), Err(AddonError::BadTag));
    }

    #[test]
    fn a_secret_of_31_bytes_is_ignored() {
        assert_eq!(MessageSecret::from_slice(&[1; 31]), None);
        assert_eq!(MessageSecret::from_slice(&[1; 33]), None);
    }

    #[test]
    fn an_iv_of_another_length_or_a_payload_shorter_than_the_tag_is_malformed() {
        let context = Context { message_id: "ID", original_sender: "1@lid", modification_sender: "2@lid" };
        for (iv, payload) in [(&[0; 11][..], &[0; 20][..]), (&[0; 12], &[0; 15])] {
            assert_eq!(open(&secret(), Use::Reaction, &context, iv, payload), Err(AddonError::Malformed));
        }
    }

    #[test]
    fn a_new_poll_option_may_come_under_the_string_of_a_poll_edit() {
        let context = Context { message_id: "ID", original_sender: "1@lid", modification_sender: "2@lid" };
        let sealed = seal_with(&secret(), Use::PollEdit, &context, b"option", IV).unwrap();
        let opened = open(&secret(), Use::PollAddOption, &context, &sealed.iv, &sealed.payload);
        assert_eq!(opened.unwrap(), b"option");
    }

    #[test]
    fn debug_of_a_message_secret_shows_no_byte_of_it() {
        assert_eq!(format!("{:?}", secret()), "MessageSecret(..)");
    }
}
