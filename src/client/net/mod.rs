//! How one account's bytes get out: from an egress to decrypted frames (protocol 01 §2 to §9). Not here: when to dial
//! and what follows an end (`life`), what a frame says.
//!
//! In the order of use:
//!
//! 1. [`Egress::dialer`]: the account's way out (direct, or through a proxy) as a [`Dialer`]. Every byte of the account
//!    goes through it, media included. Virtual runs put [`memory::network`] below it.
//! 2. [`open`]: dial, TLS where the URL is `wss`, WebSocket upgrade: a [`Socket`].
//! 3. [`Memory::choose`] and [`handshake`]: intro, XX or IK: [`Established`], with a [`FrameReader`] and a
//!    [`FrameWriter`] that may live in different tasks. [`Memory::note`] says what becomes of the cached chain.
//! 4. Dropping both halves aborts the connection; [`FrameWriter::close`] says goodbye first.
//!
//! Every failure is a [`NetError`], whose [`NetError::advice`] says what the caller can do.

mod choice;
mod dial;
mod egress;
mod endpoint;
mod error;
mod handshake;
pub mod memory;
mod meter;
mod open;
mod proxy;
mod reader;
#[cfg(test)]
mod tests;
mod tls;
mod writer;

pub use choice::{CachedChain, Memory};
pub use dial::{ByteStream, DialError, Dialer, Dialling, Tcp};
pub use egress::{Credentials, Egress, EgressError};
pub use endpoint::{Address, Addresses, Endpoint, PRODUCTION_SECOND_URL, PRODUCTION_URL, UrlError};
pub use error::{Advice, NetError, Phase};
pub use handshake::{Established, Handshake, handshake};
pub use open::{Socket, open};
pub use reader::{Arrival, FrameReader};
pub use tls::{Tls, TlsError};
pub use writer::FrameWriter;
