//! Frame plaintext to records: the strict decoder of 03 §7 and §10. One pass, no recursion, nothing reserved by what
//! the input claims.

use super::arena::{Arena, AttrRecord, NodeRecord, Tree};
use super::error::{DecodeError, DecodeErrorKind as Kind};
use super::inflate::inflate;
use super::node::Node;
use super::node_ref::NodeRef;
use super::value::{Cursor, tag};

/// The deepest nesting; the root counts 1.
pub const MAX_DEPTH: usize = 128;

/// The most nodes in a frame.
pub const MAX_NODES: usize = 1_048_576;

/// The bit of the flag byte that says "compressed".
pub(super) const COMPRESSED: u8 = 0x02;

/// A frame that holds a node, and what was odd about it.
#[derive(Debug, Clone, Copy)]
pub struct Decoded<'a> {
    /// The node.
    pub root: NodeRef<'a>,
    /// Bytes behind the root node: to be counted (03 §15).
    pub trailing: usize,
    /// Bits of the flag byte without known meaning: to be counted (03 §2).
    pub unknown_flags: u8,
}

/// Decodes a frame plaintext, flag byte first; bytes behind the root node are an error.
///
/// # Errors
/// One of the kinds of 03 §10, with the offset at which it was noticed.
pub fn decode<'a>(plaintext: &'a [u8], arena: &'a mut Arena) -> Result<NodeRef<'a>, DecodeError> {
    let (decoded, end) = read(plaintext, arena)?;
    if decoded.trailing > 0 { Err(Kind::TrailingBytes.at(end)) } else { Ok(decoded.root) }
}

/// As [`decode`], but a root node followed by extra bytes is delivered, and their number told: what a client's
/// connection does (03 §10).
///
/// # Errors
/// As [`decode`].
pub fn decode_lenient<'a>(plaintext: &'a [u8], arena: &'a mut Arena) -> Result<Decoded<'a>, DecodeError> {
    read(plaintext, arena).map(|(decoded, _)| decoded)
}

/// [`decode`] into a node that owns everything: for tests, the simulator, and wherever speed does not matter.
///
/// # Errors
/// As [`decode`].
pub fn decode_node(plaintext: &[u8]) -> Result<Node, DecodeError> {
    decode(plaintext, &mut Arena::new()).map(NodeRef::to_node)
}

/// As [`decode_node`], and addresses keep the form in which device 0 was written: see [`NodeRef::to_node_as_written`].
///
/// # Errors
/// As [`decode`].
pub fn decode_node_as_written(plaintext: &[u8]) -> Result<Node, DecodeError> {
    decode(plaintext, &mut Arena::new()).map(NodeRef::to_node_as_written)
}

/// The frame, and where its root node ends.
fn read<'a>(plaintext: &'a [u8], arena: &'a mut Arena) -> Result<(Decoded<'a>, usize), DecodeError> {
    let (&flag, body) = plaintext.split_first().ok_or(Kind::Empty.at(0))?;
    arena.reset();
    let Arena { tree, inflated, open } = arena;
    let mut cursor = if flag & COMPRESSED == 0 {
        Cursor { bytes: plaintext, at: 1 }
    } else {
        inflate(body, inflated)?;
        Cursor { bytes: inflated, at: 0 }
    };
    if u32::try_from(cursor.bytes.len()).is_err() {
        return Err(Kind::TooLarge.at(0));
    }
    tree.nodes.reserve(16);
    read_tree(&mut cursor, tree, open)?;
    let root = NodeRef::root(cursor.bytes, tree);
    Ok((Decoded { root, trailing: cursor.left(), unknown_flags: flag & !COMPRESSED }, cursor.at))
}

/// Reads one node with all that is in it.
fn read_tree(
    cursor: &mut Cursor<'_>,
    tree: &mut Tree,
    open: &mut Vec<(u32, u16)>,
) -> Result<(), DecodeError> {
    loop {
        if open.len() >= MAX_DEPTH {
            return Err(Kind::TooDeep.at(cursor.at));
        }
        if tree.nodes.len() >= MAX_NODES {
            return Err(Kind::TooLarge.at(cursor.at));
        }
        let index = tree.nodes.len();
        let children = read_node(cursor, tree)?;
        if children > 0 {
            open.push((index as u32, children));
            continue;
        }
        // This node is complete, and so is every ancestor whose last child it was.
        loop {
            let end = tree.nodes.len() as u32;
            let Some((parent, left)) = open.last_mut() else { return Ok(()) };
            *left -= 1;
            if *left > 0 {
                break;
            }
            if let Some(record) = tree.nodes.get_mut(*parent as usize) {
                record.next = end;
            }
            open.pop();
        }
    }
}

/// Reads a node up to its children; gives how many of them follow.
fn read_node(cursor: &mut Cursor<'_>, tree: &mut Tree) -> Result<u16, DecodeError> {
    let start = cursor.at;
    let size = match cursor.u8()? {
        tag::NULL => 0,
        tag::LIST_8 => u16::from(cursor.u8()?),
        tag::LIST_16 => cursor.u16()?,
        _ => return Err(Kind::BadList.at(start)),
    };
    if size == 0 {
        return Err(Kind::BadNode.at(start));
    }
    let tag = read_name(cursor, tree, Kind::BadNode)?;
    let attr_count = (size - 1) / 2;
    let first_attr = tree.attrs.len() as u32;
    tree.attrs.reserve(usize::from(attr_count).min(cursor.left() / 2));
    for _ in 0..attr_count {
        let key = read_name(cursor, tree, Kind::BadKey)?;
        let value = cursor.at as u32;
        cursor.item()?;
        tree.attrs.push(AttrRecord { key, value });
    }
    let (content, children) = if size % 2 == 0 { read_content(cursor)? } else { (0, 0) };
    let next = tree.nodes.len() as u32 + 1;
    tree.nodes.push(NodeRecord { tag, attr_count, first_attr, content, next });
    Ok(children)
}

/// Reads content up to the children: where its value is (0: none) and how many children follow.
fn read_content(cursor: &mut Cursor<'_>) -> Result<(u32, u16), DecodeError> {
    let start = cursor.at;
    match cursor.bytes.get(start) {
        Some(&tag::NULL) => {
            cursor.at += 1;
            Ok((0, 0))
        }
        Some(&tag::LIST_8) => {
            cursor.at += 1;
            Ok((0, u16::from(cursor.u8()?)))
        }
        Some(&tag::LIST_16) => {
            cursor.at += 1;
            Ok((0, cursor.u16()?))
        }
        _ => {
            cursor.item()?;
            Ok((start as u32, 0))
        }
    }
}

/// Reads a tag or key; null, empty or a JID form is the error `bad`.
#[inline]
fn read_name(cursor: &mut Cursor<'_>, tree: &mut Tree, bad: Kind) -> Result<super::arena::Name, DecodeError> {
    let start = cursor.at;
    let text = cursor.text(bad)?;
    if text.is_empty() {
        return Err(bad.at(start));
    }
    tree.name(text, start).ok_or(Kind::BadUtf8.at(start))
}
