//! The streaming sidecar: a MAC for every 64 KiB window of a file, so that each can be checked alone (protocol 08 §3.1).

use super::{MAC_LENGTH, MediaKeys, cut};
use crate::crypto::{HmacStream, ct_eq};

/// The step of the windows in bytes; each is 16 bytes longer, since it holds the cipher block before it.
pub const SIDECAR_WINDOW: u64 = 65_536;

/// What the windows overlap by.
const OVERLAP: u64 = 16;

/// Builds a sidecar from a file that comes in pieces. Its input is `iv ‖ ciphertext ‖ mac`; the IV is fed at the start.
pub struct Sidecar {
    fresh: HmacStream,
    now: HmacStream,
    /// The window that began in the last 16 bytes of `now`.
    next: HmacStream,
    /// Bytes of the input so far.
    position: u64,
    /// Where the window of `now` began.
    start: u64,
    entries: Vec<u8>,
}

impl Sidecar {
    /// Starts a file.
    #[must_use]
    pub fn new(keys: &MediaKeys) -> Self {
        let fresh = HmacStream::new(&keys.mac);
        let (now, next) = (fresh.clone(), fresh.clone());
        let mut sidecar = Self { fresh, now, next, position: 0, start: 0, entries: Vec::new() };
        sidecar.update(&keys.iv);
        sidecar
    }

    /// Takes more of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let step = self.start + SIDECAR_WINDOW;
            let both = self.position >= step;
            let end = if both { step + OVERLAP } else { step };
            let take = usize::try_from(end - self.position).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at_checked(take).unwrap_or((bytes, &[]));
            self.now.update(piece);
            if both {
                self.next.update(piece);
            }
            self.position += piece.len() as u64;
            bytes = rest;
            if self.position == step + OVERLAP {
                self.turn();
            }
        }
    }

    /// The window is full: its entry is written, the next one takes its place.
    fn turn(&mut self) {
        let next = std::mem::replace(&mut self.next, self.fresh.clone());
        let full = std::mem::replace(&mut self.now, next);
        self.entries.extend_from_slice(&cut(full.finish()));
        self.start += SIDECAR_WINDOW;
    }

    /// The entries, 10 bytes each: one for every started 64 KiB of the file.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        // A last window that only repeats the 16 bytes before it is not written.
        if self.start < self.position.saturating_sub(OVERLAP) {
            self.entries.extend_from_slice(&cut(self.now.finish()));
        }
        self.entries
    }
}

/// The bytes of the file (`ciphertext ‖ mac`) that window `n` covers, for a file of `length` bytes. The first window has the
/// derived IV before them.
#[must_use]
pub fn window_of(n: u64, length: u64) -> std::ops::Range<u64> {
    let from = n.saturating_mul(SIDECAR_WINDOW);
    from.saturating_sub(OVERLAP).min(length)..from.saturating_add(SIDECAR_WINDOW).min(length)
}

/// Whether the bytes of window `n` ([`window_of`]) are what its entry in the sidecar says. Constant time in the MAC.
#[must_use]
pub fn window_verifies(keys: &MediaKeys, sidecar: &[u8], n: usize, window: &[u8]) -> bool {
    let Some(entry) = sidecar.chunks_exact(MAC_LENGTH).nth(n) else { return false };
    let mut mac = HmacStream::new(&keys.mac);
    if n == 0 {
        mac.update(&keys.iv);
    }
    mac.update(window);
    ct_eq(entry, &cut(mac.finish()))
}
