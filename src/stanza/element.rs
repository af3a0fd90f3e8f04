//! Reading elements, borrowed or owned: one parser serves a decoded frame ([`NodeRef`]) and a built or kept node
//! ([`Node`]). And the errors that parsing gives.

use std::borrow::Cow;

use crate::wire::{Jid, Node, NodeRef};

/// A required part is missing or can't be read: the stanza is answered with nack 487 where its chapter says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is missing or malformed")]
pub struct Malformed(pub &'static str);

/// An `<error>`: of an `iq`, or of a part of an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused by the server: {code} {text}")]
pub struct ErrorInfo {
    /// The code.
    pub code: u16,
    /// What it says.
    pub text: String,
    /// Seconds to wait before the same question is asked again.
    pub backoff: Option<u64>,
}

impl ErrorInfo {
    /// Reads the `<error>` child of an element; `None` without one, or if its code is no number up to 65,535.
    #[must_use]
    pub fn of<'n>(parent: impl Element<'n>) -> Option<Self> {
        let error = parent.child("error")?;
        Some(Self {
            code: u16::try_from(error.number("code")?).ok()?,
            text: error.text("text").unwrap_or_default().into_owned(),
            backoff: error.number("backoff"),
        })
    }
}

/// An element that can be read: attributes and content in whatever form they came (03 §6, §8).
pub trait Element<'n>: Copy {
    /// The tag.
    fn name(self) -> &'n str;
    /// The names of the attributes.
    fn keys(self) -> impl Iterator<Item = &'n str>;
    /// An attribute as text.
    fn text(self, key: &str) -> Option<Cow<'n, str>>;
    /// An attribute as an address; `None` also if it is none.
    fn address(self, key: &str) -> Option<Jid>;
    /// The first child with this tag.
    fn child(self, tag: &str) -> Option<Self>;
    /// The children.
    fn each(self) -> impl Iterator<Item = Self>;
    /// The content as bytes.
    fn content(self) -> Option<Cow<'n, [u8]>>;

    /// An attribute as a decimal number; `None` also if it is none.
    fn number(self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        if text.starts_with('+') { None } else { text.parse().ok() }
    }

    /// Whether the attribute is there.
    fn has(self, key: &str) -> bool {
        self.text(key).is_some()
    }

    /// The attribute is there and has this text.
    fn says(self, key: &str, value: &str) -> bool {
        self.text(key).is_some_and(|text| text == value)
    }

    /// A text attribute that must be there and not be empty.
    fn need(self, key: &'static str) -> Result<Cow<'n, str>, Malformed> {
        self.text(key).filter(|text| !text.is_empty()).ok_or(Malformed(key))
    }

    /// An address that must be there.
    fn need_address(self, key: &'static str) -> Result<Jid, Malformed> {
        self.address(key).ok_or(Malformed(key))
    }

    /// An address that may be absent but must be one if it is there.
    fn maybe_address(self, key: &'static str) -> Result<Option<Jid>, Malformed> {
        if self.has(key) { self.need_address(key).map(Some) } else { Ok(None) }
    }

    /// A child that must be there.
    fn need_child(self, tag: &'static str) -> Result<Self, Malformed> {
        self.child(tag).ok_or(Malformed(tag))
    }

    /// The children with this tag.
    fn each_of(self, tag: &str) -> impl Iterator<Item = Self> {
        self.each().filter(move |child| child.name() == tag)
    }

    /// The content as text; `None` also if it is not UTF-8.
    fn content_str(self) -> Option<String> {
        String::from_utf8(self.content()?.into_owned()).ok()
    }

    /// The content of a child, of exactly this length.
    fn child_array<const N: usize>(self, tag: &'static str) -> Result<[u8; N], Malformed> {
        let content = self.need_child(tag)?.content().ok_or(Malformed(tag))?;
        <[u8; N]>::try_from(&*content).map_err(|_| Malformed(tag))
    }
}

impl<'n> Element<'n> for NodeRef<'n> {
    fn name(self) -> &'n str {
        self.tag()
    }

    fn keys(self) -> impl Iterator<Item = &'n str> {
        self.attrs().map(|(key, _)| key)
    }

    fn text(self, key: &str) -> Option<Cow<'n, str>> {
        self.str(key)
    }

    fn address(self, key: &str) -> Option<Jid> {
        self.jid(key)
    }

    fn child(self, tag: &str) -> Option<Self> {
        self.find(tag)
    }

    fn each(self) -> impl Iterator<Item = Self> {
        self.nodes()
    }

    fn content(self) -> Option<Cow<'n, [u8]>> {
        self.content_bytes()
    }
}

impl<'n> Element<'n> for &'n Node {
    fn name(self) -> &'n str {
        &self.tag
    }

    fn keys(self) -> impl Iterator<Item = &'n str> {
        self.attrs.iter().map(|(key, _)| key.as_ref())
    }

    fn text(self, key: &str) -> Option<Cow<'n, str>> {
        self.str(key)
    }

    fn address(self, key: &str) -> Option<Jid> {
        self.jid(key)
    }

    fn child(self, tag: &str) -> Option<Self> {
        self.find(tag)
    }

    fn each(self) -> impl Iterator<Item = Self> {
        self.nodes()
    }

    fn content(self) -> Option<Cow<'n, [u8]>> {
        self.content_bytes()
    }
}
