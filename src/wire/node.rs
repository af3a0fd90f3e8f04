//! Nodes that own everything: building stanzas, tests, the simulator.

use std::borrow::Cow;

use super::jid::Jid;
use super::value::number;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A text, never written as a JID form whatever it looks like.
    Text(Cow<'static, str>),
    /// An address, written in one of the JID forms.
    Jid(Jid),
}

impl Value {
    /// The text; a JID gives its canonical text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Jid(jid) => Cow::Owned(jid.to_string()),
        }
    }

    /// The address: a JID that is one, or a text that parses as one.
    #[must_use]
    pub fn jid(&self) -> Option<Jid> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Jid(jid) => Some(jid.clone()).filter(Jid::is_address),
        }
    }
}

macro_rules! value_from_text {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Value {
            fn from(text: $kind) -> Self {
                Self::Text(text.into())
            }
        }
    )*};
}
value_from_text!(&'static str, String, Cow<'static, str>);

macro_rules! value_from_display {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::Text(value.to_string().into())
            }
        }
    )*};
}
value_from_display!(u8, u16, u32, u64, usize, i32, i64);

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Text(if value { "true" } else { "false" }.into())
    }
}

impl From<Jid> for Value {
    fn from(jid: Jid) -> Self {
        Self::Jid(jid)
    }
}

impl From<&Jid> for Value {
    fn from(jid: &Jid) -> Self {
        Self::Jid(jid.clone())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone().into())
    }
}

/// What is inside a node. `Debug` shows kind and length only, as it does for nodes.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// Nothing.
    #[default]
    None,
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A text, written as token, packed or raw. Our stanzas give text as bytes (03 §9): [`Node::text_bytes`].
    Text(Cow<'static, str>),
    /// An address.
    Jid(Jid),
    /// Children; an empty list is the same as nothing.
    Nodes(Vec<Node>),
}

impl Content {
    /// The bytes of a value; `None` for nothing and for children.
    #[must_use]
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Self::Text(text) => Some(Cow::Borrowed(text.as_bytes())),
            Self::Jid(jid) => Some(Cow::Owned(jid.to_string().into_bytes())),
            Self::None | Self::Nodes(_) => None,
        }
    }
}

/// A node: tag, attributes in the order of the wire, content. Equality is exact; [`Node::same_as`] is the meaning's.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    /// Never empty on the wire.
    pub tag: Cow<'static, str>,
    /// No key twice on the wire.
    pub attrs: Vec<(Cow<'static, str>, Value)>,
    /// What is inside.
    pub content: Content,
}

impl Node {
    /// A node without attributes and content.
    #[must_use]
    pub fn new(tag: impl Into<Cow<'static, str>>) -> Self {
        Self { tag: tag.into(), attrs: Vec::new(), content: Content::None }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attr(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.attrs.push((key.into(), value.into()));
        self
    }

    /// Adds an attribute if there is a value.
    #[must_use]
    pub fn opt_attr(self, key: impl Into<Cow<'static, str>>, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.attr(key, value),
            None => self,
        }
    }

    /// Adds a child.
    #[must_use]
    pub fn child(self, child: Self) -> Self {
        self.children([child])
    }

    /// Adds children. A node that held a value holds the children instead.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        match &mut self.content {
            Content::Nodes(nodes) => nodes.extend(children),
            content => *content = Content::Nodes(children.into_iter().collect()),
        }
        self
    }

    /// Sets bytes as content.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.content = Content::Bytes(bytes.into());
        self
    }

    /// Sets a text as content, as its UTF-8 bytes: what our stanzas do.
    #[must_use]
    pub fn text_bytes(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.attrs.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// An attribute as text.
    #[must_use]
    pub fn str(&self, key: &str) -> Option<Cow<'_, str>> {
        self.get(key).map(Value::text)
    }

    /// An attribute as an address; `None` also if it is there but is none.
    #[must_use]
    pub fn jid(&self, key: &str) -> Option<Jid> {
        self.get(key).and_then(Value::jid)
    }

    /// An attribute as a decimal number; `None` also if it is there but is none.
    #[must_use]
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.str(key).and_then(|text| number(&text))
    }

    /// The first child with this tag.
    #[must_use]
    pub fn find(&self, tag: &str) -> Option<&Self> {
        self.nodes().find(|child| child.tag == tag)
    }

    /// All children with this tag.
    pub fn find_all<'n>(&'n self, tag: &str) -> impl Iterator<Item = &'n Self> {
        self.nodes().filter(move |child| child.tag == tag)
    }

    /// The children.
    pub fn nodes(&self) -> std::slice::Iter<'_, Self> {
        match &self.content {
            Content::Nodes(nodes) => nodes.iter(),
            _ => [].iter(),
        }
    }

    /// The content as bytes; `None` if it is absent or a list of nodes.
    #[must_use]
    pub fn content_bytes(&self) -> Option<Cow<'_, [u8]>> {
        self.content.bytes()
    }

    /// The content as text; `None` if it is absent, a list of nodes, or not UTF-8.
    #[must_use]
    pub fn content_text(&self) -> Option<Cow<'_, str>> {
        match self.content_bytes()? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
    }

    /// Whether two nodes mean the same: attributes in any order and by their text, values of content by their
    /// bytes, an empty list as nothing.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.tag == other.tag
            && self.attrs.len() == other.attrs.len()
            && self.attrs.iter().all(|(key, value)| other.str(key).as_deref() == Some(&*value.text()))
            && self.content_bytes() == other.content_bytes()
            && self.nodes().len() == other.nodes().len()
            && self.nodes().zip(other.nodes()).all(|(a, b)| a.same_as(b))
    }
}
