//! What a pairing tells whoever shows it.

use std::time::Duration;

use crate::wire::Jid;

/// Something happened in a pairing. Its `Debug` leaves out what links a device: QR text and codes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairEvent {
    /// Show this QR code (error correction L or M). It replaces the one before.
    QrCode {
        /// The text. It holds a secret: show it, never log it.
        text: String,
        /// How long a scan counts.
        valid_for: Duration,
    },
    /// The refs of this connection are used up; new codes need a new pairing.
    QrExhausted,
    /// Type this on the phone.
    PairingCode {
        /// `XXXX-XXXX`.
        code: String,
        /// How long it counts.
        valid_for: Duration,
    },
    /// The code is void; ask for another one if it is still wanted.
    PairingCodeVoid {
        /// Why, in words.
        reason: String,
    },
    /// The phone that scanned has no multi-device; the code stays valid.
    PhoneWithoutMultiDevice,
    /// The account wants a proof of a passkey that is registered with it.
    PasskeyRequired {
        /// `PublicKeyCredentialRequestOptions` as JSON.
        options: String,
        /// Answer within this time.
        within: Duration,
    },
    /// Compare with what the phone shows and confirm. Does not come where there is nothing to compare.
    PasskeyConfirm {
        /// `XXXX-XXXX`.
        code: String,
        /// Answer within this time.
        within: Duration,
    },
    /// A pairing was refused, by us or by the server. The store stays unpaired.
    PairError {
        /// The code that was answered or came; 0 where there is none.
        code: u32,
        /// What went wrong.
        text: String,
    },
    /// Linked. The account logs in next, by itself.
    PairSuccess {
        /// Own address with device.
        jid: Jid,
        /// The hidden one.
        lid: Option<Jid>,
        /// The phone's platform.
        platform: String,
        /// The business's name.
        business: Option<String>,
    },
    /// The registration connection is over without a link. Nothing follows.
    Closed {
        /// Why, in words.
        reason: String,
    },
}

impl std::fmt::Debug for PairEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::QrCode { valid_for, .. } => write!(f, "QrCode({valid_for:?})"),
            Self::QrExhausted => f.write_str("QrExhausted"),
            Self::PairingCode { valid_for, .. } => write!(f, "PairingCode({valid_for:?})"),
            Self::PairingCodeVoid { reason } => write!(f, "PairingCodeVoid({reason:?})"),
            Self::PhoneWithoutMultiDevice => f.write_str("PhoneWithoutMultiDevice"),
            Self::PasskeyRequired { within, .. } => write!(f, "PasskeyRequired({within:?})"),
            Self::PasskeyConfirm { within, .. } => write!(f, "PasskeyConfirm({within:?})"),
            Self::PairError { code, text } => write!(f, "PairError({code}, {text:?})"),
            Self::PairSuccess { platform, .. } => write!(f, "PairSuccess({platform:?})"),
            Self::Closed { reason } => write!(f, "Closed({reason:?})"),
        }
    }
}
