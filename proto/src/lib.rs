//! The wire schema: our own `.proto` files by domain (protocol 03b), compiled at build time.
//!
//! Here live message types, flat as in the schema with nested types in modules (`message::ImageMessage`), and nothing
//! of what they mean: that is said where they are used. Every singular field is an `Option`, because absent is not
//! zero. Debug output shows a message's name only. Decoding drops unknown fields: what is passed on is passed on as
//! bytes.

#![forbid(unsafe_code)]

pub mod edit;
mod error;
#[cfg(feature = "json")]
pub mod json;

pub use error::{DecodeError, decode};

#[allow(missing_docs, clippy::all)]
mod schema {
    include!(concat!(env!("OUT_DIR"), "/palomar.rs"));
    include!(concat!(env!("OUT_DIR"), "/debug.rs"));
}

pub use schema::*;

/// The Noise handshake and the server's certificate chain under short names (protocol 01 §7, §8).
pub mod noise {
    pub use crate::{
        CertChain, HandshakeMessage,
        cert_chain::{NoiseCertificate, noise_certificate::Details as CertificateDetails},
        handshake_message::{ClientFinish, ClientHello, ServerHello},
    };
}
