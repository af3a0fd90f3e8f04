//! `<stream:error>` (protocol 01 §18). What it means for the account is decided in `client`.

use crate::wire::NodeRef;

/// The server's reason for ending a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamError {
    /// `code`.
    pub code: Option<u32>,
    /// `<conflict>`.
    pub conflict: Option<Conflict>,
    /// Id in `<ack>`: the offline stanza for which the server still lacks an ack.
    pub unacked: Option<String>,
    /// `<xml-not-well-formed/>`: we sent a bad frame.
    pub not_well_formed: bool,
    /// `backoff`: seconds before the next dial.
    pub backoff: Option<u64>,
}

/// `<conflict type>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The same credentials are connected elsewhere.
    Replaced,
    /// Unlinked.
    DeviceRemoved,
    /// Another type, or none.
    Other,
}

impl StreamError {
    /// Reads the stanza; nothing in it is mandatory.
    #[must_use]
    pub fn parse(node: NodeRef<'_>) -> Self {
        let conflict = node.find("conflict").map(|conflict| match conflict.str("type").as_deref() {
            Some("replaced") => Conflict::Replaced,
            Some("device_removed") => Conflict::DeviceRemoved,
            _ => Conflict::Other,
        });
        Self {
            code: node.u64("code").and_then(|code| u32::try_from(code).ok()),
            conflict,
            unacked: node.find("ack").map(|ack| ack.str("id").unwrap_or_default().into_owned()),
            not_well_formed: node.find("xml-not-well-formed").is_some(),
            backoff: node.u64("backoff"),
        }
    }
}
