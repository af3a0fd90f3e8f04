//! End-to-end encryption between devices (protocol 04): sessions (X3DH and Double Ratchet, version 3), sender
//! keys, and what WhatsApp puts on top of them.
//!
//! Pure: bytes, times and randomness are arguments. Stanzas, and what is stored where, live elsewhere.

mod address;
mod error;
mod keys;
mod message;
mod sender_message;
pub mod wire;

pub use address::Address;
pub use error::{Answer, RetryReason, SignalError};
pub use keys::{
    IdentityKey, Local, MAX_PREKEY_ID, MAX_REGISTRATION_ID, PREKEY_BATCH, PreKeyBundle, SignedPreKey,
    allocate_prekey_ids, generate_registration_id, next_prekey_id,
};
pub use message::{PreKeySignalMessage, SignalMessage};
pub use sender_message::{SenderKeyDistribution, SenderKeyMessage};
pub use wire::{key32, key33};
