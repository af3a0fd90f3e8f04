//! Stanzas: what they say and how they are built, one file a kind; and `judge`, the table of shapes. No IO, no clock.
//!
//! Builders give nodes; queries (`iq`) are built without id, which the connection adds. Parsers read anything that is
//! an [`Element`]: a stanza of a decoded frame, or an owned node. Hashes come from `crypto`; signatures and ciphertext
//! are opaque here.

pub mod ack;
pub mod blocklist;
pub mod contact_token;
pub mod content;
pub mod devices;
pub mod element;
pub mod failure;
pub mod group;
pub mod ib;
pub mod iq;
pub mod judge;
pub mod keys;
pub mod message;
pub mod message_id;
pub mod mex;
pub mod notification;
pub mod outgoing;
pub mod pair;
pub mod phash;
pub mod prekeys;
pub mod presence;
pub mod privacy;
pub mod props;
pub mod receipt;
pub mod restrictions;
pub mod retry;
pub mod stream_error;
pub mod success;
pub mod usync;

pub use element::{Element, ErrorInfo, Malformed};

use crate::wire::NodeRef;

/// All attributes as texts, for reports.
fn attributes(node: NodeRef<'_>) -> Vec<(String, String)> {
    node.attrs().map(|(key, value)| (key.to_owned(), value.text().into_owned())).collect()
}
