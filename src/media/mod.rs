//! Media cryptography, streaming, and (below `appstate`) the cryptography of app state: protocol 08 §1 to §3 and §7, 06 §2.4,
//! §4, §7 and §9.1.
//!
//! Pure: bytes in, bytes out. Uploading, downloading, files, hosts and the state of a collection's sync live in `client`.

pub mod appstate;
mod key;
mod kind;
mod open;
mod range;
pub mod retry;
mod seal;
mod sidecar;

pub use key::{MediaKey, MediaKeys};
pub use kind::MediaKind;
pub use open::{OpenError, Opener, Sums, open, open_plain};
pub use range::Range;
pub use seal::{Sealed, Sealer, file_length, seal, upload_token};
pub use sidecar::{SIDECAR_WINDOW, Sidecar, window_of, window_verifies};

/// Bytes of the MAC at the end of a file and of each entry of a sidecar.
pub const MAC_LENGTH: usize = 10;

/// The most that is worked on in one go, so that a piece stays in the cache between hash, MAC and cipher.
const PIECE: usize = 16 * 1024;

/// A MAC cut to the length that files and sidecars carry.
fn cut(mac: [u8; 32]) -> [u8; MAC_LENGTH] {
    let mut cut = [0; MAC_LENGTH];
    cut.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
    cut
}

#[cfg(test)]
mod tests;
