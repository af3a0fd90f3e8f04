//! The records of one decoded frame: flat, in the order of the bytes, reused from frame to frame.

use std::borrow::Cow;

use super::packed;
use super::value::{Cursor, Text};
use super::{DecodeErrorKind, token};

/// Memory for decoding, kept between frames so that the steady state allocates nothing. What a large frame needed is
/// given back at the next one.
#[derive(Debug, Default)]
pub struct Arena {
    pub(super) tree: Tree,
    /// The inflated body of a compressed frame.
    pub(super) inflated: Vec<u8>,
    /// Nodes whose children are being read: record and children still to come.
    pub(super) open: Vec<(u32, u16)>,
}

/// Records and bytes kept between frames.
const KEEP_RECORDS: usize = 4096;
const KEEP_BYTES: usize = 128 * 1024;

impl Arena {
    /// An empty arena.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.tree.nodes.capacity() * size_of::<NodeRecord>()
            + self.tree.attrs.capacity() * size_of::<AttrRecord>()
            + self.tree.names.capacity()
            + self.inflated.capacity()
            + self.open.capacity() * size_of::<(u32, u16)>()
    }

    pub(super) fn reset(&mut self) {
        self.tree.nodes.clear();
        self.tree.nodes.shrink_to(KEEP_RECORDS);
        self.tree.attrs.clear();
        self.tree.attrs.shrink_to(KEEP_RECORDS);
        self.tree.names.clear();
        self.tree.names.shrink_to(KEEP_BYTES);
        self.inflated.clear();
        self.inflated.shrink_to(KEEP_BYTES);
        self.open.clear();
    }
}

/// Nodes in pre-order, attributes beside them.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub nodes: Vec<NodeRecord>,
    pub attrs: Vec<AttrRecord>,
    /// Unpacked tags and keys (rare): a length byte and the text, each.
    pub names: Vec<u8>,
}

/// One node: its children are the records behind it up to `next`.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeRecord {
    pub tag: Name,
    pub attr_count: u16,
    pub first_attr: u32,
    /// Where the content value is; 0 if there is none or it is a list of nodes.
    pub content: u32,
    /// The record behind this node's last descendant.
    pub next: u32,
}

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttrRecord {
    pub key: Name,
    /// Where the value is.
    pub value: u32,
}

/// A tag or key: a token, or where its text is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    /// Number of the token; [`Name::IN_FRAME`] and [`Name::UNPACKED`] say that `at` is a place.
    pub token: u16,
    at_low: u16,
    at_high: u16,
}

impl Name {
    /// The text is a raw string in the frame.
    const IN_FRAME: u16 = 0;
    /// The text is in [`Tree::names`].
    const UNPACKED: u16 = u16::MAX;

    fn new(token: u16, at: usize) -> Self {
        // Frames are under 4 GiB: checked before decoding begins.
        Self { token, at_low: at as u16, at_high: (at >> 16) as u16 }
    }

    /// No name: the empty text.
    pub const fn none() -> Self {
        Self { token: Self::UNPACKED, at_low: u16::MAX, at_high: u16::MAX }
    }

    fn at(self) -> usize {
        usize::from(self.at_high) << 16 | usize::from(self.at_low)
    }

    /// Whether this is a word of the dictionary.
    pub fn is_token(self) -> bool {
        self.token != Self::IN_FRAME && self.token != Self::UNPACKED
    }
}

impl Tree {
    /// Makes a name of a string value at `at`: words of the dictionary become tokens in whatever form they came.
    /// `None` if it is not UTF-8.
    #[inline]
    pub fn name(&mut self, text: Text<'_>, at: usize) -> Option<Name> {
        match text {
            Text::Token(number) => Some(Name::new(number, 0)),
            Text::Raw(bytes) => {
                std::str::from_utf8(bytes).ok()?;
                let number = token::find(bytes).unwrap_or(Name::IN_FRAME);
                Some(Name::new(number, at))
            }
            Text::Packed { alphabet, odd, packed } => {
                let text = packed::unpack(alphabet, odd, packed);
                if let Some(number) = token::find(text.as_bytes()) {
                    return Some(Name::new(number, 0));
                }
                let at = self.names.len();
                // At most 254 characters: a packed string has up to 127 bytes.
                self.names.push(text.len() as u8);
                self.names.extend_from_slice(text.as_bytes());
                Some(Name::new(Name::UNPACKED, at))
            }
            Text::Null => None,
        }
    }

    /// The text of a name.
    pub fn text<'a>(&'a self, bytes: &'a [u8], name: Name) -> &'a str {
        let raw = match name.token {
            Name::IN_FRAME => {
                let mut cursor = Cursor { bytes, at: name.at() };
                match cursor.text(DecodeErrorKind::BadKey).map(Text::lossy) {
                    Ok(Cow::Borrowed(text)) => return text,
                    _ => &[],
                }
            }
            Name::UNPACKED => {
                let rest = self.names.get(name.at()..).unwrap_or_default();
                rest.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len))).unwrap_or_default()
            }
            number => return token::text_of(number),
        };
        std::str::from_utf8(raw).unwrap_or_default()
    }
}
