//! Stanzas: what they say and how they are built, one file a kind; and `judge`, the table of shapes. No IO, no clock.

pub mod content;
pub mod failure;
pub mod ib;
pub mod iq;
pub mod judge;
pub mod pair;
pub mod stream_error;
pub mod success;

use crate::wire::NodeRef;

/// All attributes as texts, for reports.
fn attributes(node: NodeRef<'_>) -> Vec<(String, String)> {
    node.attrs().map(|(key, value)| (key.to_owned(), value.text().into_owned())).collect()
}
