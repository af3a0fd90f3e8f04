//! Reading a part of a file (protocol 08 §3.2). What comes out is unauthenticated unless the sidecar's windows over it
//! verified before; nothing here releases it to an application.

use super::MediaKeys;
use crate::crypto::{CbcOpen, pkcs7_length};

/// Which bytes of the ciphertext a range of the plaintext needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First wanted byte of the plaintext.
    from: u64,
    /// Byte behind the last wanted one.
    to: u64,
    /// First byte of the first cipher block.
    first: u64,
    /// Byte behind the last cipher block.
    end: u64,
    /// Whether the last cipher block is the file's last, which has padding.
    padded: bool,
}

impl Range {
    /// For the plain bytes `[from, to)` of a file with `ciphertext` bytes (without its MAC); `None` if the range is empty or
    /// begins behind the end.
    #[must_use]
    pub fn of(from: u64, to: u64, ciphertext: u64) -> Option<Self> {
        let first = from / 16 * 16;
        let end = to.div_ceil(16).saturating_mul(16).min(ciphertext);
        let sound = from < to && first < end && ciphertext.is_multiple_of(16);
        sound.then_some(Self { from, to, first, end, padded: end == ciphertext })
    }

    /// The bytes to ask for: the cipher blocks, and the block before them as IV where there is one.
    #[must_use]
    pub fn fetch(&self) -> std::ops::Range<u64> {
        self.first.saturating_sub(16)..self.end
    }

    /// Decrypts what [`Range::fetch`] named; `None` if it is not that long or its padding is wrong.
    #[must_use]
    pub fn open(&self, keys: &MediaKeys, fetched: &[u8]) -> Option<Vec<u8>> {
        let whole = usize::try_from(self.fetch().end - self.fetch().start).ok()?;
        if fetched.len() != whole {
            return None;
        }
        let (iv, blocks) =
            if self.first == 0 { (&keys.iv, fetched) } else { fetched.split_first_chunk::<16>()? };
        let mut text = blocks.to_vec();
        CbcOpen::new(&keys.cipher, iv).blocks(&mut text).ok()?;
        if self.padded {
            let length = pkcs7_length(text.last_chunk::<16>()?).ok()?;
            text.truncate(text.len() - 16 + length);
        }
        let skip = usize::try_from(self.from - self.first).ok()?;
        let take = usize::try_from(self.to - self.from).ok()?;
        text.drain(..skip.min(text.len()));
        text.truncate(take);
        Some(text)
    }
}
