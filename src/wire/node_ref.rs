//! Reading a decoded frame: nodes that borrow from the frame and the arena.

use std::borrow::Cow;
use std::collections::HashMap;

use super::arena::{AttrRecord, Name, NodeRecord, Tree};
use super::jid::Jid;
use super::node::{Content, Node, Value};
use super::token::{Key, Token, text_of};
use super::value::{Item, JidParts, Text, ValueRef};

/// A node of a decoded frame. Copy it freely; it lives as long as the frame and the arena.
///
/// A key or tag may be given as a [`Token`] (then only numbers are compared) or as a text. Where a JID is expected a
/// plain text that parses is taken too, and where text is expected a JID gives its text (03 §8).
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    bytes: &'a [u8],
    tree: &'a Tree,
    index: u32,
}

impl<'a> NodeRef<'a> {
    pub(super) fn root(bytes: &'a [u8], tree: &'a Tree) -> Self {
        Self { bytes, tree, index: 0 }
    }

    fn record(self) -> NodeRecord {
        // The decoder made at least one record, and indices come from records only.
        const NONE: Name = Name::none();
        let none = NodeRecord { tag: NONE, attr_count: 0, first_attr: 0, content: 0, next: 0 };
        self.tree.nodes.get(self.index as usize).copied().unwrap_or(none)
    }

    /// The tag.
    #[must_use]
    pub fn tag(self) -> &'a str {
        self.tree.text(self.bytes, self.record().tag)
    }

    /// The tag as a word of the dictionary, to match on.
    #[must_use]
    #[inline]
    pub fn tag_token(self) -> Option<Token> {
        let tag = self.record().tag;
        if tag.is_token() { Token::new(tag.token) } else { None }
    }

    /// Whether this is the tag.
    #[must_use]
    #[inline]
    pub fn is<'k>(self, tag: impl Into<Key<'k>>) -> bool {
        self.name_is(self.record().tag, tag.into())
    }

    #[inline]
    fn name_is(self, name: Name, key: Key<'_>) -> bool {
        match key {
            Key::Token(token) => name.token == token.number(),
            Key::Text(text) => !name.is_token() && self.tree.text(self.bytes, name) == text,
        }
    }

    fn attr_records(self) -> &'a [AttrRecord] {
        let record = self.record();
        let rest = self.tree.attrs.get(record.first_attr as usize..).unwrap_or_default();
        rest.get(..usize::from(record.attr_count)).unwrap_or_default()
    }

    /// The attributes in the order of the wire, a repeated key as often as it is there.
    pub fn attrs(self) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> {
        self.attr_records()
            .iter()
            .map(move |attr| (self.tree.text(self.bytes, attr.key), ValueRef::at(self.bytes, attr.value)))
    }

    /// The value of an attribute; the last one if the key is repeated.
    #[must_use]
    #[inline]
    pub fn get<'k>(self, key: impl Into<Key<'k>>) -> Option<ValueRef<'a>> {
        let key = key.into();
        let attr = self.attr_records().iter().rev().find(|attr| self.name_is(attr.key, key))?;
        Some(ValueRef::at(self.bytes, attr.value))
    }

    /// An attribute as text.
    #[must_use]
    pub fn str<'k>(self, key: impl Into<Key<'k>>) -> Option<Cow<'a, str>> {
        self.get(key).map(ValueRef::text)
    }

    /// An attribute as an address; `None` also if it is there but is none.
    #[must_use]
    pub fn jid<'k>(self, key: impl Into<Key<'k>>) -> Option<Jid> {
        self.get(key).and_then(ValueRef::jid)
    }

    /// An attribute as a decimal number; `None` also if it is there but is none.
    #[must_use]
    pub fn u64<'k>(self, key: impl Into<Key<'k>>) -> Option<u64> {
        self.get(key).and_then(ValueRef::u64)
    }

    /// The children.
    #[must_use]
    pub fn nodes(self) -> Children<'a> {
        Children { bytes: self.bytes, tree: self.tree, at: self.index + 1, end: self.record().next }
    }

    /// The first child with this tag.
    #[must_use]
    pub fn find<'k>(self, tag: impl Into<Key<'k>>) -> Option<Self> {
        let tag = tag.into();
        self.nodes().find(|child| child.name_is(child.record().tag, tag))
    }

    /// All children with this tag.
    pub fn find_all<'k>(self, tag: impl Into<Key<'k>>) -> impl Iterator<Item = Self> {
        let tag = tag.into();
        self.nodes().filter(move |child| child.name_is(child.record().tag, tag))
    }

    /// The content, if it is a value.
    #[must_use]
    pub fn content(self) -> Option<ValueRef<'a>> {
        let at = self.record().content;
        (at != 0).then(|| ValueRef::at(self.bytes, at))
    }

    /// The content as bytes, in whatever form it came; `None` if it is absent or a list of nodes.
    #[must_use]
    pub fn content_bytes(self) -> Option<Cow<'a, [u8]>> {
        self.content().map(ValueRef::bytes)
    }

    /// The content as text, in whatever form it came; `None` if it is absent, a list of nodes, or not UTF-8.
    #[must_use]
    pub fn content_text(self) -> Option<Cow<'a, str>> {
        match self.content_bytes()? {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        }
    }

    /// A copy that owns everything. Repeated keys are gone: the last value stays, at the first one's place.
    #[must_use]
    pub fn to_node(self) -> Node {
        self.copied(JidParts::to_jid)
    }

    /// As [`Self::to_node`], and addresses keep the form in which device 0 was written ([`Jid::is_device_form`]): for
    /// judging what a peer writes, never for answering it.
    #[must_use]
    pub fn to_node_as_written(self) -> Node {
        self.copied(JidParts::to_jid_as_written)
    }

    fn copied(self, jid: fn(JidParts<'a>) -> Jid) -> Node {
        let record = self.record();
        let content = match self.content().map(ValueRef::item) {
            Some(Item::Jid(parts)) => Content::Jid(jid(parts)),
            Some(Item::Text(Text::Raw(bytes))) => Content::Bytes(bytes.to_vec()),
            Some(Item::Text(text)) => Content::Text(owned(text)),
            None if record.next > self.index + 1 => {
                Content::Nodes(self.nodes().map(|child| child.copied(jid)).collect())
            }
            None => Content::None,
        };
        Node { tag: self.owned_name(record.tag), attrs: self.owned_attrs(jid), content }
    }

    fn owned_name(self, name: Name) -> Cow<'static, str> {
        if name.is_token() {
            Cow::Borrowed(text_of(name.token))
        } else {
            Cow::Owned(self.tree.text(self.bytes, name).to_owned())
        }
    }

    fn owned_attrs(self, jid: fn(JidParts<'a>) -> Jid) -> Vec<(Cow<'static, str>, Value)> {
        /// Up to here comparing all keys is quicker than a map.
        const FEW: usize = 16;
        let records = self.attr_records();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut attrs: Vec<(Cow<'static, str>, Value)> = Vec::with_capacity(records.len().min(FEW));
        for record in records {
            let key = self.tree.text(self.bytes, record.key);
            let value = match ValueRef::at(self.bytes, record.value).item() {
                Item::Text(text) => Value::Text(owned(text)),
                Item::Jid(parts) => Value::Jid(jid(parts)),
            };
            let place = if records.len() <= FEW {
                attrs.iter().position(|(known, _)| known == key)
            } else {
                Some(*places.entry(key).or_insert(attrs.len()))
            };
            match place.and_then(|place| attrs.get_mut(place)) {
                Some((_, known)) => *known = value,
                None => attrs.push((self.owned_name(record.key), value)),
            }
        }
        attrs
    }
}

fn owned(text: Text<'_>) -> Cow<'static, str> {
    match text {
        Text::Token(number) => Cow::Borrowed(text_of(number)),
        Text::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.lossy().into_owned()),
    }
}

impl std::fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.to_node(), f)
    }
}

/// The children of a node.
#[derive(Debug, Clone)]
pub struct Children<'a> {
    bytes: &'a [u8],
    tree: &'a Tree,
    at: u32,
    end: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = NodeRef<'a>;

    fn next(&mut self) -> Option<NodeRef<'a>> {
        if self.at >= self.end {
            return None;
        }
        let node = NodeRef { bytes: self.bytes, tree: self.tree, index: self.at };
        self.at = node.record().next.max(self.at + 1);
        Some(node)
    }
}
