//! Nodes and values to bytes: the canonical encoder (03 §9). Everything goes into the caller's one buffer.

use std::collections::HashSet;

use super::decode::{MAX_DEPTH, MAX_NODES};
use super::error::EncodeError;
use super::jid::{Jid, max_device};
use super::node::{Content, Node, Value};
use super::packed::{self, Alphabet};
use super::server::Server;
use super::token::{self, Token};
use super::value::tag;

/// Whose way of writing: they differ in one place (03 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// The client leaves out the server value of interop JIDs.
    #[default]
    Client,
    /// The server writes it.
    Server,
}

/// Encodes a frame plaintext: flag byte `00` and the node, as a client writes it.
///
/// # Errors
/// If the node breaks a rule of 03 §7 or §8; the decoder reads everything that this writes.
pub fn encode(node: &Node) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(256);
    encode_into(node, &mut out).map(|()| out)
}

/// As [`encode`], appending to a buffer; it is as before after an error.
///
/// # Errors
/// As [`encode`].
pub fn encode_into(node: &Node, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_in(Dialect::Client, node, out)
}

/// As [`encode_into`], in either dialect.
///
/// # Errors
/// As [`encode`].
pub fn encode_in(dialect: Dialect, node: &Node, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let before = out.len();
    out.push(0);
    Writer::new(out, dialect).node(node).inspect_err(|_| out.truncate(before))
}

/// Writes values one by one, for hot paths that build no tree. It keeps the forms canonical; that sizes and counts
/// agree is the caller's part.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
    dialect: Dialect,
    nodes: usize,
}

impl<'b> Writer<'b> {
    /// A writer that appends to `out`.
    #[must_use]
    pub fn new(out: &'b mut Vec<u8>, dialect: Dialect) -> Self {
        Self { out, dialect, nodes: 0 }
    }

    /// A list header: what begins a node (1 + 2 × attributes + content) or a list of children.
    pub fn list(&mut self, len: u16) {
        match (len, u8::try_from(len)) {
            (0, _) => self.out.push(tag::NULL),
            (_, Ok(short)) => self.out.extend_from_slice(&[tag::LIST_8, short]),
            (_, Err(_)) => {
                self.out.push(tag::LIST_16);
                self.out.extend_from_slice(&len.to_be_bytes());
            }
        }
    }

    /// A word of the dictionary.
    pub fn token(&mut self, token: Token) {
        self.number(token.number());
    }

    #[inline]
    fn number(&mut self, number: u16) {
        match number.to_be_bytes() {
            [0, single] => self.out.push(single),
            [table, index] => self.out.extend_from_slice(&[tag::DICTIONARY_0 - 1 + table, index]),
        }
    }

    /// A string in its canonical form.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] from 4 GiB on.
    #[inline]
    pub fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        let bytes = text.as_bytes();
        if let Some(number) = token::find(bytes) {
            self.number(number);
            return Ok(());
        }
        match packed::alphabet_of(bytes) {
            Some(alphabet) => {
                self.out.push(if alphabet == Alphabet::Hex { tag::HEX_8 } else { tag::NIBBLE_8 });
                packed::pack(bytes, self.out);
                Ok(())
            }
            None => self.bytes(bytes),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] from 4 GiB on.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.bytes_header(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// The header of `len` bytes, which the caller appends.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] from 4 GiB on.
    pub fn bytes_header(&mut self, len: usize) -> Result<(), EncodeError> {
        let len = u32::try_from(len).map_err(|_| EncodeError::TooLong)?;
        let [a, b, c, d] = len.to_be_bytes();
        match len {
            0..0x100 => self.out.extend_from_slice(&[tag::BINARY_8, d]),
            0x100..0x10_0000 => self.out.extend_from_slice(&[tag::BINARY_20, b, c, d]),
            _ => self.out.extend_from_slice(&[tag::BINARY_32, a, b, c, d]),
        }
        Ok(())
    }

    /// An address in its form.
    ///
    /// # Errors
    /// [`EncodeError::BadJid`], [`EncodeError::BadDevice`] for a JID that has no form.
    pub fn jid(&mut self, jid: &Jid) -> Result<(), EncodeError> {
        let (user, server, device) = (jid.user(), jid.server(), jid.device());
        if server.as_str().is_empty() || user.contains(['@', ':']) || server.as_str().contains(['@', ':']) {
            return Err(EncodeError::BadJid);
        }
        // A `c.us` JID has no form with a device.
        let has_devices = *server != Server::CUs && !user.is_empty();
        if device > if has_devices { max_device(server).unwrap_or(0) } else { 0 } {
            return Err(EncodeError::BadDevice);
        }
        match (server, server.domain()) {
            (_, _) if user.is_empty() => self.pair(None, server),
            (_, Some(domain)) if device != 0 || jid.is_device_form() => {
                self.out.extend_from_slice(&[tag::AD_JID, domain, device as u8]);
                self.string(user)
            }
            (Server::Msgr, _) => {
                self.out.push(tag::FB_JID);
                self.string(user)?;
                self.out.extend_from_slice(&device.to_be_bytes());
                self.string(server.as_str())
            }
            (Server::Interop, _) => {
                self.out.push(tag::INTEROP_JID);
                self.string(user)?;
                self.out.extend_from_slice(&device.to_be_bytes());
                self.out.extend_from_slice(&jid.integrator().to_be_bytes());
                if self.dialect == Dialect::Server { self.string(server.as_str()) } else { Ok(()) }
            }
            _ => self.pair(Some(user), server),
        }
    }

    fn pair(&mut self, user: Option<&str>, server: &Server) -> Result<(), EncodeError> {
        self.out.push(tag::JID_PAIR);
        match user {
            None => self.out.push(tag::NULL),
            Some(user) => self.string(user)?,
        }
        self.string(server.as_str())
    }

    /// The list header and tag of a node with so many attributes.
    ///
    /// # Errors
    /// [`EncodeError::EmptyTag`], [`EncodeError::TooManyAttributes`].
    pub fn start(&mut self, tag: &str, attrs: usize, content: bool) -> Result<(), EncodeError> {
        if tag.is_empty() {
            return Err(EncodeError::EmptyTag);
        }
        let size = attrs.saturating_mul(2).saturating_add(1 + usize::from(content));
        self.list(u16::try_from(size).map_err(|_| EncodeError::TooManyAttributes)?);
        self.string(tag)
    }

    /// A whole node, without the flag byte.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn node(&mut self, node: &Node) -> Result<(), EncodeError> {
        self.nested(node, 1)
    }

    fn nested(&mut self, node: &Node, depth: usize) -> Result<(), EncodeError> {
        if depth > MAX_DEPTH {
            return Err(EncodeError::TooDeep);
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(EncodeError::TooManyNodes);
        }
        check_keys(&node.attrs)?;
        let empty = match &node.content {
            Content::None => true,
            Content::Nodes(nodes) => nodes.is_empty(),
            _ => false,
        };
        self.start(&node.tag, node.attrs.len(), !empty)?;
        for (key, value) in &node.attrs {
            self.string(key)?;
            match value {
                Value::Text(text) if text.is_empty() => self.bytes(&[])?,
                Value::Text(text) => self.string(text)?,
                Value::Jid(jid) => self.jid(jid)?,
            }
        }
        match &node.content {
            Content::None => Ok(()),
            Content::Bytes(bytes) => self.bytes(bytes),
            Content::Text(text) => self.string(text),
            Content::Jid(jid) => self.jid(jid),
            Content::Nodes(nodes) if nodes.is_empty() => Ok(()),
            Content::Nodes(nodes) => {
                self.list(u16::try_from(nodes.len()).map_err(|_| EncodeError::TooManyNodes)?);
                nodes.iter().try_for_each(|child| self.nested(child, depth + 1))
            }
        }
    }
}

/// No key is empty and none repeats.
fn check_keys(attrs: &[(std::borrow::Cow<'static, str>, Value)]) -> Result<(), EncodeError> {
    /// Up to here comparing all keys is quicker than a set.
    const FEW: usize = 16;
    if attrs.iter().any(|(key, _)| key.is_empty()) {
        return Err(EncodeError::EmptyKey);
    }
    let repeated = if attrs.len() <= FEW {
        attrs.iter().enumerate().any(|(n, (key, _))| attrs.iter().take(n).any(|(known, _)| known == key))
    } else {
        let mut seen = HashSet::with_capacity(attrs.len());
        !attrs.iter().all(|(key, _)| seen.insert(key.as_ref()))
    };
    if repeated { Err(EncodeError::RepeatedKey) } else { Ok(()) }
}
