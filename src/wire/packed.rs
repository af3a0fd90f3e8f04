//! Packed strings: two symbols a byte (03 §5).

use super::error::DecodeErrorKind;

/// The longest string that is written packed.
const MAX_CHARS: usize = 127;

/// The two alphabets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// `0-9 - .`
    Nibble,
    /// `0-9 A-F`
    Hex,
}

const NIBBLES: &[u8; 16] = b"0123456789-.\0\0\0\0";
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The packed form a text may take: 1 to 127 characters of one alphabet.
#[inline]
pub(super) fn alphabet_of(text: &[u8]) -> Option<Alphabet> {
    if text.is_empty() || text.len() > MAX_CHARS {
        return None;
    }
    if text.iter().all(|b| matches!(b, b'0'..=b'9' | b'-' | b'.')) {
        Some(Alphabet::Nibble)
    } else if text.iter().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')) {
        Some(Alphabet::Hex)
    } else {
        None
    }
}

/// Appends header and packed bytes of a text for which [`alphabet_of`] gave an alphabet.
pub(super) fn pack(text: &[u8], out: &mut Vec<u8>) {
    let odd = text.len() % 2;
    out.push((text.len().div_ceil(2) | (odd << 7)) as u8);
    let half = |b: u8| match b {
        b'-' => 10,
        b'.' => 11,
        b'A'..=b'F' => b - b'A' + 10,
        _ => b & 0x0f,
    };
    let (pairs, rest) = text.as_chunks::<2>();
    out.extend(pairs.iter().map(|&[high, low]| (half(high) << 4) | half(low)));
    out.extend(rest.iter().map(|&last| (half(last) << 4) | 0x0f));
}

/// Checks header and bytes of a packed string.
pub(super) fn check(alphabet: Alphabet, odd: bool, packed: &[u8]) -> Result<(), DecodeErrorKind> {
    let (inner, last) = match (odd, packed.split_last()) {
        (true, None) => return Err(DecodeErrorKind::BadPacked),
        (true, Some((last, inner))) => (inner, Some(*last)),
        (false, _) => (packed, None),
    };
    if alphabet == Alphabet::Hex {
        return Ok(());
    }
    let symbol = |half: u8| half < 12;
    let inner_good = inner.iter().all(|b| symbol(b >> 4) && symbol(b & 0x0f));
    let last_good = last.is_none_or(|b| symbol(b >> 4) && (symbol(b & 0x0f) || b & 0x0f == 0x0f));
    if inner_good && last_good { Ok(()) } else { Err(DecodeErrorKind::BadPacked) }
}

/// The text of a packed string that [`check`] accepted.
pub(super) fn unpack(alphabet: Alphabet, odd: bool, packed: &[u8]) -> String {
    let symbols = if alphabet == Alphabet::Hex { HEX } else { NIBBLES };
    let symbol = |half: u8| symbols.get(usize::from(half)).copied().map_or('\0', char::from);
    let mut text = String::with_capacity(packed.len() * 2);
    for &byte in packed {
        text.push(symbol(byte >> 4));
        text.push(symbol(byte & 0x0f));
    }
    if odd {
        text.pop();
    }
    text
}
