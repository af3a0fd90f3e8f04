//! `<iq>`: the envelope of queries, their answers and the server's pings (protocol 01 §14.3, §16). The queries
//! themselves are in the files of their subjects.

use crate::wire::{Jid, Node, NodeRef};

/// A query for data, without id.
#[must_use]
pub fn get(xmlns: &'static str, to: Jid) -> Node {
    Node::new("iq").attr("xmlns", xmlns).attr("type", "get").attr("to", to)
}

/// A query that changes something, without id.
#[must_use]
pub fn set(xmlns: &'static str, to: Jid) -> Node {
    Node::new("iq").attr("xmlns", xmlns).attr("type", "set").attr("to", to)
}

/// An empty positive answer.
#[must_use]
pub fn result(to: Jid, id: Option<&str>) -> Node {
    Node::new("iq").attr("type", "result").attr("to", to).opt_attr("id", id.map(str::to_owned))
}

/// A negative answer.
#[must_use]
pub fn error(to: Jid, id: &str, code: u32, text: &str) -> Node {
    let error = Node::new("error").attr("code", code.to_string()).attr("text", text.to_owned());
    Node::new("iq").attr("to", to).attr("type", "error").attr("id", id.to_owned()).child(error)
}

/// Our ping, without id.
#[must_use]
pub fn ping() -> Node {
    get("w:p", Jid::service())
}

/// `<active/>`: the server may deliver.
#[must_use]
pub fn active() -> Node {
    set("passive", Jid::service()).child(Node::new("active"))
}

/// `<error>` in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IqError {
    /// `code`; 0 if absent.
    pub code: u32,
    /// `text`.
    pub text: String,
    /// `backoff`, seconds.
    pub backoff: Option<u64>,
}

impl IqError {
    /// The error of an answer of `type="error"`.
    #[must_use]
    pub fn parse(node: NodeRef<'_>) -> Self {
        let error = node.find("error");
        let code = error.and_then(|error| error.u64("code")).and_then(|code| u32::try_from(code).ok());
        Self {
            code: code.unwrap_or(0),
            text: error.and_then(|error| error.str("text")).unwrap_or_default().into_owned(),
            backoff: error.and_then(|error| error.u64("backoff")),
        }
    }
}

/// Whether an incoming stanza is a server ping in any of its forms: `type="get"` or none, and a `<ping/>` child or
/// the namespace.
#[must_use]
pub fn is_ping(node: NodeRef<'_>) -> bool {
    let asks = matches!(node.str("type").as_deref(), None | Some("get"));
    asks && (node.find("ping").is_some() || node.str("xmlns").as_deref() == Some("urn:xmpp:ping"))
}
