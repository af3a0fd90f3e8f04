//! The Noise handshakes of the chat connection (protocol 01 §4 to §9): XX, IK and XXfallback for both roles, the
//! server's certificate chain, and the two ciphers of the transport phase.
//!
//! Pure: bytes, keys and the time are arguments. The names are those of the Noise specification. Sockets,
//! timeouts, and the choice between XX and IK live in `client::net`; how the byte stream is cut into frames lives
//! in `wire`.
//!
//! | file | subject |
//! |---|---|
//! | `cipher` | `CipherState`: a key and its counter; sealing whole frames |
//! | `symmetric` | `SymmetricState`: transcript hash and chaining key |
//! | `handshake` | `HandshakeState`: the patterns, token by token |
//! | `initiator`, `responder` | who sends what when, as types |
//! | `certificate` | the chain: verifying and issuing |

mod certificate;
mod cipher;
mod handshake;
mod initiator;
mod responder;
mod symmetric;
#[cfg(test)]
mod tests;

pub use certificate::{CertChain, Certificate, CertificateError, Link, PRODUCTION_ROOT, issue_chain};
pub use cipher::{CipherError, CipherState, Transport};
pub use handshake::{HandshakeError, HandshakeFault, PROLOGUE, Pattern};
pub use initiator::{Established, Initiator, ServerAnswer, Trust, Verified};
pub use responder::{Accepted, Answer, AwaitFinish, Responder};
pub use symmetric::SymmetricState;
