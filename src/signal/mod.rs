//! End-to-end encryption between devices (protocol 04): sessions (X3DH and Double Ratchet, version 3), sender
//! keys, and what WhatsApp puts on top of them.
//!
//! Pure: bytes, times and randomness are arguments. Stanzas, and what is stored where, live elsewhere.

/// Equality of a secret (a newtype of bytes) in constant time.
macro_rules! secret_equality {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                crate::crypto::ct_eq(&self.0, &other.0)
            }
        }

        impl Eq for $name {}
    };
}

pub mod addon;
mod address;
pub mod adv;
pub mod bot;
mod chain_key;
mod error;
pub mod fingerprint;
mod guard;
mod keys;
pub mod link_code;
mod message;
mod message_key;
pub mod padding;
pub mod passkey;
pub mod qr;
mod receive_chain;
mod record;
mod record_format;
pub mod reporting;
mod root_key;
pub mod sender_key;
mod sender_message;
mod session;
#[cfg(test)]
mod tests;
pub mod wire;
mod x3dh;

pub use address::Address;
pub use error::{Answer, RetryReason, SignalError};
pub use guard::Guard;
pub use keys::{
    IdentityKey, Local, MAX_PREKEY_ID, MAX_REGISTRATION_ID, PREKEY_BATCH, PreKeyBundle, SignedPreKey,
    allocate_prekey_ids, generate_registration_id, next_prekey_id,
};
pub use message::{PreKeySignalMessage, SignalMessage};
pub use record::{Ciphertext, CiphertextType, Decrypted, OpenedBy, Receive, SessionRecord};
pub use record_format::RecordError;
pub use sender_key::{SenderKey, SenderKeyRecord};
pub use sender_message::{SenderKeyDistribution, SenderKeyMessage};
pub use wire::{key32, key33};
pub use x3dh::PreKeys;
