//! Words of the dictionary as numbers: text of a number, number of a text, compile-time constants.
//!
//! The reverse lookup is a hash table built at compile time: one hash over the first and last bytes, one
//! comparison in the usual case.

use super::tokens::TEXTS;

/// The version of the token tables, announced as the fourth byte of the connection intro (03 §4).
pub const DICTIONARY_VERSION: u8 = 3;

/// A word of the dictionary. The number is the wire form: 1 to 235 a single token, else
/// `256 + 256 * table + index` of a double token.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u16);

impl Token {
    /// The token with this number, if there is one.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        TEXTS.get(usize::from(number)).filter(|text| !text.is_empty()).map(|_| Self(number))
    }

    /// The token of a text, if it is a word of the dictionary.
    #[must_use]
    #[inline]
    pub fn find(text: &str) -> Option<Self> {
        find(text.as_bytes()).map(Self)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The word.
    #[must_use]
    pub fn text(self) -> &'static str {
        text_of(self.0)
    }

    /// All tokens, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..1280).filter_map(Self::new)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({:?})", self.text())
    }
}

/// The token of a word, for constants to match on: `const IQ: Token = token("iq");`. A word that is not in the
/// dictionary does not compile in a constant.
#[must_use]
#[allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "evaluated in constants: a failure is a compile error"
)]
pub const fn token(text: &str) -> Token {
    let mut number = 1;
    while number < TEXTS.len() {
        if same(TEXTS[number].as_bytes(), text.as_bytes()) {
            return Token(number as u16);
        }
        number += 1;
    }
    panic!("not a word of the dictionary")
}

/// What an attribute or child is asked for by: a token (no text is compared) or any text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'k> {
    /// A word of the dictionary.
    Token(Token),
    /// A word that is not in the dictionary.
    Text(&'k str),
}

impl<'k> From<&'k str> for Key<'k> {
    #[inline]
    fn from(text: &'k str) -> Self {
        Token::find(text).map_or(Self::Text(text), Self::Token)
    }
}

impl From<Token> for Key<'_> {
    #[inline]
    fn from(token: Token) -> Self {
        Self::Token(token)
    }
}

/// The word of a number; empty for a number without one.
#[inline]
pub(super) fn text_of(number: u16) -> &'static str {
    TEXTS.get(usize::from(number)).copied().unwrap_or("")
}

/// Slots of the reverse table: token numbers, 0 = free. About a third is used.
const SLOTS: usize = 4096;

static REVERSE: [u16; SLOTS] = reverse();

/// The longest token.
const MAX_LEN: usize = 48;

#[allow(clippy::indexing_slicing, reason = "evaluated at compile time only")]
const fn reverse() -> [u16; SLOTS] {
    let mut slots = [0u16; SLOTS];
    let mut number = 1;
    while number < TEXTS.len() {
        let text = TEXTS[number].as_bytes();
        if !text.is_empty() {
            let mut slot = hash(text);
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = number as u16;
        }
        number += 1;
    }
    slots
}

/// The number of a text.
#[inline]
pub(super) fn find(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > MAX_LEN {
        return None;
    }
    let mut slot = hash(text);
    loop {
        match REVERSE.get(slot) {
            None | Some(0) => return None,
            Some(&number) if text_of(number).as_bytes() == text => return Some(number),
            Some(_) => slot = (slot + 1) % SLOTS,
        }
    }
}

/// A slot from the length and the first and last bytes.
#[inline]
const fn hash(text: &[u8]) -> usize {
    let (first, last) = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first) as u64, (u32::from_le_bytes(*last) as u64) << 32)
            }
            _ => match text {
                [a] => (*a as u64, 0),
                [a, b] => (*a as u64, (*b as u64) << 8),
                [a, b, c] => (*a as u64, ((*b as u64) << 8) | ((*c as u64) << 16)),
                _ => (0, 0),
            },
        },
    };
    let mixed = first.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ last.rotate_left(29) ^ text.len() as u64;
    (mixed.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 52) as usize
}

#[allow(clippy::indexing_slicing, reason = "the index is below both lengths")]
const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_map_has_1259_entries_and_every_token_is_found() {
        assert_eq!(Token::all().count(), 1259);
        assert_eq!(REVERSE.iter().filter(|&&number| number != 0).count(), 1259);
        for token in Token::all() {
            assert_eq!(Token::find(token.text()), Some(token));
            assert!(token.text().len() <= MAX_LEN && token.text().is_ascii());
        }
    }

    #[test]
    fn words_outside_the_dictionary_are_not_found() {
        for text in ["", "newsletter", "hosted", "bot", "ib", "IQ", "iqq", &"x".repeat(49)] {
            assert_eq!(Token::find(text), None, "{text}");
        }
    }

    #[test]
    fn constants_are_the_wire_bytes() {
        const IQ: Token = token("iq");
        assert_eq!(IQ.number(), 0x19);
        assert_eq!(token("404").number(), 256 + 0x35);
    }
}
