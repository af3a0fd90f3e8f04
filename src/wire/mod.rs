//! Bytes and stanzas: frames, binary XML, tokens, JIDs (specification, chapter 03 and 01 §3). Pure.
//!
//! What a stanza *means* is not here (`stanza`), nor how a frame is encrypted (`noise`).
//!
//! - [`FrameDecoder`], [`frame_header`], [`intro`]: the byte stream of a connection and its frames.
//! - [`decode`] reads a frame plaintext into an [`Arena`] and gives a [`NodeRef`] that borrows from both;
//!   [`decode_node`] is the convenience that gives an owned [`Node`].
//! - [`encode`] and [`encode_into`] write a [`Node`]; [`Writer`] writes values one by one, for the hot paths that
//!   build no tree.
//! - [`Jid`] is an address; [`Token`] a word of the dictionary, as a number that code can match on.

mod arena;
mod decode;
mod display;
mod encode;
mod error;
mod frame;
mod inflate;
mod jid;
mod jid_parse;
pub mod json;
mod node;
mod node_ref;
mod owned;
mod packed;
mod server;
mod token;
mod tokens;
mod value;

pub use arena::Arena;
pub use decode::{
    Decoded, MAX_DEPTH, MAX_NODES, decode, decode_lenient, decode_node, decode_node_as_written,
};
pub use encode::{Dialect, Writer, encode, encode_in, encode_into};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, FrameError, JidError};
pub use frame::{FrameDecoder, INTRO, Intro, MAX_FRAME, frame_header, intro, parse_intro};
pub use inflate::MAX_INFLATED;
pub use jid::Jid;
pub use node::{Content, Node, Value};
pub use node_ref::NodeRef;
pub use owned::{BadFrame, OwnedFrame};
pub use server::Server;
pub use token::{DICTIONARY_VERSION, Key, Token, token};
pub use value::ValueRef;
