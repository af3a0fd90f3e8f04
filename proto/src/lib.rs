//! The wire schema: our own `.proto` files by domain (protocol 03b), compiled at build time.
//!
//! Here live message types and nothing else; what they mean is said where they are used.

#![forbid(unsafe_code)]

/// The Noise handshake and the server's certificate chain (protocol 01 §7, §8).
#[allow(missing_docs)]
pub mod noise {
    include!(concat!(env!("OUT_DIR"), "/palomar.noise.rs"));
}
