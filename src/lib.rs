//! Palomar: a WhatsApp multi-device (linked device) client in pure Rust.
//!
//! Unofficial. See the README for what it is and is not.

#![forbid(unsafe_code)]

// Helpers of tests that both sides use name this crate as the others do.
#[cfg(test)]
extern crate self as palomar;

pub mod clock;
pub mod crypto;
pub mod media;
pub mod noise;
pub mod signal;
pub mod stanza;
pub mod wire;

pub mod client;
pub mod fleet;

#[cfg(feature = "sim")]
pub mod sim;

pub use palomar_proto as proto;
pub use palomar_store as store;
