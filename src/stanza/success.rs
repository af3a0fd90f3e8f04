//! `<success>`, the answer to a login (protocol 01 §14).

use crate::wire::{Jid, NodeRef};

/// A login that the server took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Success {
    /// Server time, Unix seconds.
    pub server_time: Option<i64>,
    /// Own LID with device.
    pub lid: Option<Jid>,
    /// Version of the server properties.
    pub abprops: Option<u64>,
}

impl Success {
    /// Reads the stanza; nothing in it is mandatory.
    #[must_use]
    pub fn parse(node: NodeRef<'_>) -> Self {
        Self {
            server_time: node.u64("t").and_then(|t| i64::try_from(t).ok()),
            lid: node.jid("lid").filter(Jid::is_lid),
            abprops: node.u64("abprops"),
        }
    }
}
