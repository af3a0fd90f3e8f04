//! The error classes of the Signal layer (protocol 04 §16).

use crate::crypto::LowOrderPoint;

/// Why a Signal operation failed. After any of these nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SignalError {
    /// The key of this message has been used already, or is no longer kept.
    #[error("the message key was already used")]
    Duplicate,
    /// There is no session that could open or send the message.
    #[error("no session")]
    NoSession,
    /// There is no sender-key state with the id of the message.
    #[error("no sender key")]
    NoSenderKey,
    /// A key has a wrong type byte, length or order, or is our own.
    #[error("invalid key")]
    InvalidKey,
    /// The one-time prekey that the message names is not held.
    #[error("unknown one-time prekey")]
    UnknownPreKey,
    /// The signed prekey that the message names is not held.
    #[error("unknown signed prekey")]
    UnknownSignedPreKey,
    /// The bytes are not a message of this kind, or their padding is wrong.
    #[error("malformed")]
    Malformed,
    /// The version byte is not one of protocol version 3.
    #[error("unsupported version")]
    Version,
    /// The counter is further ahead than the limit allows.
    #[error("the counter is too far ahead")]
    TooFar,
    /// A signature does not verify.
    #[error("bad signature")]
    BadSignature,
    /// No session matched the authentication code.
    #[error("no session matches the message")]
    BadMac,
    /// The sending chain is at its end: a new session or chain is needed.
    #[error("the sending chain is exhausted")]
    CounterExhausted,
}

impl SignalError {
    /// The name of the class in the specification.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::NoSession => "no_session",
            Self::NoSenderKey => "no_sender_key",
            Self::InvalidKey => "invalid_key",
            Self::UnknownPreKey => "unknown_prekey",
            Self::UnknownSignedPreKey => "unknown_signed_prekey",
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::TooFar => "too_far",
            Self::BadSignature => "bad_signature",
            Self::BadMac => "bad_mac",
            Self::CounterExhausted => "counter_exhausted",
        }
    }

    /// What a stanza is answered with whose `enc` failed with this class.
    #[must_use]
    pub fn answer(self) -> Answer {
        match self {
            Self::Duplicate => Answer::AsSeen,
            Self::NoSession | Self::NoSenderKey => Answer::Retry(Some(RetryReason::NoSession)),
            Self::InvalidKey | Self::BadSignature => Answer::Retry(Some(RetryReason::InvalidKey)),
            Self::TooFar => Answer::Retry(Some(RetryReason::FutureMessage)),
            Self::BadMac => Answer::Retry(Some(RetryReason::BadMac)),
            Self::UnknownPreKey | Self::UnknownSignedPreKey | Self::Malformed | Self::Version => {
                Answer::Retry(None)
            }
            Self::CounterExhausted => Answer::Renew,
        }
    }
}

impl From<LowOrderPoint> for SignalError {
    fn from(_: LowOrderPoint) -> Self {
        Self::InvalidKey
    }
}

/// What to do about a failure (04 §16). A bundle with a bad signature is dropped and answers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// As after a success if the inbox knows the message, else nack 496; never a retry receipt.
    AsSeen,
    /// A retry receipt, with this reason or without one.
    Retry(Option<RetryReason>),
    /// Sending: make a new session or a new chain.
    Renew,
}

/// The reasons that we write into retry receipts (04 §16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetryReason {
    /// No usable session or sender key.
    NoSession = 1,
    /// A bad key or signature.
    InvalidKey = 2,
    /// The counter is too far ahead.
    FutureMessage = 6,
    /// No session matched.
    BadMac = 7,
    /// The signed device identity beside the message is missing or wrong (04 §11.2).
    Identity = 12,
}

impl RetryReason {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}
