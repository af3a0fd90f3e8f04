//! What can go wrong in this room. Errors name kinds and places, never content.

use thiserror::Error;

/// Why a frame plaintext is no node: the kind (03 §10) and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The byte it was noticed at: in the plaintext, or in the inflated body if it was compressed.
    pub offset: usize,
}

/// The kinds of 03 §10; `Display` gives the names used there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum DecodeErrorKind {
    /// Zero bytes of plaintext.
    #[error("empty")]
    Empty,
    /// The input ends inside a value, list or length.
    #[error("truncated")]
    Truncated,
    /// A node position starts with a byte other than a list tag.
    #[error("bad_list")]
    BadList,
    /// A node of size 0, or its tag is null, empty or a JID.
    #[error("bad_node")]
    BadNode,
    /// An attribute key is null, empty or a JID.
    #[error("bad_key")]
    BadKey,
    /// A reserved tag byte, or a list where a value is expected.
    #[error("bad_token")]
    BadToken,
    /// A packed string with an impossible half-byte or header.
    #[error("bad_packed")]
    BadPacked,
    /// A JID form that breaks the rules of 03 §8.
    #[error("bad_jid")]
    BadJid,
    /// A tag, key or JID part is not UTF-8.
    #[error("bad_utf8")]
    BadUtf8,
    /// More than 128 nested nodes.
    #[error("too_deep")]
    TooDeep,
    /// More than 16 MiB after inflation, or more than 1,048,576 nodes.
    #[error("too_large")]
    TooLarge,
    /// Not one whole zlib stream.
    #[error("bad_compression")]
    BadCompression,
    /// Bytes after the root node or after the zlib stream.
    #[error("trailing_bytes")]
    TrailingBytes,
}

impl DecodeErrorKind {
    /// The error of this kind at `offset`.
    pub(super) fn at(self, offset: usize) -> DecodeError {
        DecodeError { kind: self, offset }
    }
}

/// Why a node can't be written: always a mistake of the builder, never of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A node without a tag.
    #[error("empty tag")]
    EmptyTag,
    /// An attribute without a key.
    #[error("empty attribute key")]
    EmptyKey,
    /// The same key twice in one node.
    #[error("repeated attribute key")]
    RepeatedKey,
    /// More than 32,767 attributes (32,766 with content).
    #[error("too many attributes")]
    TooManyAttributes,
    /// More than 65,535 children, or 1,048,576 nodes in all.
    #[error("too many nodes")]
    TooManyNodes,
    /// More than 128 nested nodes.
    #[error("too deep")]
    TooDeep,
    /// A string or byte content of 4 GiB or more.
    #[error("value too long")]
    TooLong,
    /// A JID without server, or with `@` or `:` in a part.
    #[error("bad_jid")]
    BadJid,
    /// A JID whose device has no binary form on its server.
    #[error("bad_device")]
    BadDevice,
}

/// Why a text is no JID (03 §12); `Display` gives the names used there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum JidError {
    /// Empty server, forbidden characters, or no `@` and not a known server.
    #[error("bad_server")]
    BadServer,
    /// Empty user, forbidden character, or more than one `@`.
    #[error("bad_user")]
    BadUser,
    /// Not a device number in range, or a device on a server without devices.
    #[error("bad_device")]
    BadDevice,
    /// An agent other than 0.
    #[error("bad_agent")]
    BadAgent,
    /// An integrator that is not a number in range.
    #[error("bad_integrator")]
    BadIntegrator,
    /// More than 255 bytes.
    #[error("too_long")]
    TooLong,
}

/// What ends a byte stream of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A frame over the limit: a local error when sending, fatal for the connection when receiving.
    #[error("frame of {len} bytes, limit {limit}")]
    TooLong {
        /// Announced or given length of the body in bytes.
        len: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The connection does not begin with an intro of a version we speak.
    #[error("bad connection intro")]
    BadIntro,
}
