//! A decoded frame that owns its bytes and its records: it can move to another task without a copy of its nodes.

use super::DecodeError;
use super::arena::Arena;
use super::decode::{COMPRESSED, decode_lenient};
use super::node_ref::NodeRef;

/// A decoded frame.
#[derive(Debug)]
pub struct OwnedFrame {
    plaintext: Vec<u8>,
    arena: Arena,
    trailing: usize,
}

impl OwnedFrame {
    /// Decodes a frame plaintext (flag byte first) once, as [`decode_lenient`] does. `arena` is memory to work in: any
    /// will do.
    ///
    /// # Errors
    /// As [`decode_lenient`]; bytes and arena come back with the error.
    pub fn decode(plaintext: Vec<u8>, mut arena: Arena) -> Result<Self, Box<BadFrame>> {
        match decode_lenient(&plaintext, &mut arena).map(|decoded| decoded.trailing) {
            Ok(trailing) => Ok(Self { plaintext, arena, trailing }),
            Err(error) => Err(Box::new(BadFrame { error, length: plaintext.len(), arena })),
        }
    }

    /// The stanza.
    #[must_use]
    pub fn root(&self) -> NodeRef<'_> {
        let compressed = self.plaintext.first().is_some_and(|flag| flag & COMPRESSED != 0);
        let bytes = if compressed { &self.arena.inflated } else { &self.plaintext };
        NodeRef::root(bytes, &self.arena.tree)
    }

    /// Bytes behind the stanza.
    #[must_use]
    pub fn trailing(&self) -> usize {
        self.trailing
    }

    /// Bytes that the stanza has on the wire or, where it came compressed, inflated.
    #[must_use]
    pub fn size(&self) -> usize {
        self.plaintext.len().max(self.arena.inflated.len())
    }

    /// Gives back the memory for the next frame.
    #[must_use]
    pub fn into_arena(self) -> Arena {
        self.arena
    }
}

/// A frame that could not be decoded.
#[derive(Debug)]
pub struct BadFrame {
    /// Why.
    pub error: DecodeError,
    /// The length of its plaintext.
    pub length: usize,
    /// The memory that was given.
    pub arena: Arena,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Node, encode};

    #[test]
    fn an_owned_frame_reads_like_the_node_it_was_and_outlives_its_task() {
        let node = Node::new("message").attr("id", "A").child(Node::new("enc").bytes(vec![7; 300]));
        let frame = OwnedFrame::decode(encode(&node).unwrap(), Arena::new()).unwrap();
        let moved = std::thread::spawn(move || frame.root().to_node()).join().unwrap();
        assert_eq!(moved, node);
    }

    #[test]
    fn a_compressed_frame_is_read_from_its_inflated_bytes() {
        use std::io::Write as _;
        let node = Node::new("receipt").attr("id", "B").bytes(vec![7; 300]);
        let plain = encode(&node).unwrap();
        let mut deflate = flate2::write::ZlibEncoder::new(vec![COMPRESSED], flate2::Compression::default());
        deflate.write_all(&plain[1..]).unwrap();
        let frame = OwnedFrame::decode(deflate.finish().unwrap(), Arena::new()).unwrap();
        assert_eq!(frame.root().to_node(), node);
        assert_eq!(frame.size(), plain.len() - 1);
    }

    #[test]
    fn a_bad_frame_gives_its_memory_back() {
        let bad = OwnedFrame::decode(vec![0, 0xf4], Arena::new()).unwrap_err();
        assert_eq!(bad.length, 2);
    }
}
