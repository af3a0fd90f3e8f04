//! `<ib>`, information bulletins in both directions (protocol 01 §15).

use crate::wire::{Jid, Node, NodeRef};

/// One child of an incoming `<ib>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bulletin {
    /// So many stanzas wait.
    OfflinePreview {
        /// Of all kinds.
        count: u64,
    },
    /// The queue is empty.
    Offline {
        /// As the server counted.
        count: u64,
    },
    /// To be shown to the server's front at the next connection.
    EdgeRouting(Vec<u8>),
    /// A domain has to be synchronised again.
    Dirty(Dirty),
    /// The phone that scanned has no multi-device.
    DowngradeWebclient,
    /// From this Unix time on the client version will be refused; `None` withdraws it.
    ClientExpiration(Option<i64>),
    /// Anything else, by its tag: to be ignored.
    Other(String),
}

/// `<dirty>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirty {
    /// `account_sync`, `groups`, `syncd_app_state`, `newsletter_metadata`, or unknown.
    pub kind: String,
    /// Echoed in the `clean`.
    pub timestamp: Option<String>,
    /// Tags of its children: the parts that are dirty.
    pub parts: Vec<String>,
}

/// Every bulletin of the stanza that can be read. An expiry date that is no date is left out (01 §13).
#[must_use]
pub fn parse(node: NodeRef<'_>) -> Vec<Bulletin> {
    node.nodes().filter_map(bulletin).collect()
}

fn bulletin(child: NodeRef<'_>) -> Option<Bulletin> {
    let count = child.u64("count").unwrap_or(0);
    Some(match child.tag() {
        "offline_preview" => Bulletin::OfflinePreview { count },
        "offline" => Bulletin::Offline { count },
        "edge_routing" => {
            let info = child.find("routing_info")?.content_bytes()?;
            Bulletin::EdgeRouting(Some(info.into_owned()).filter(|info| !info.is_empty())?)
        }
        "dirty" => Bulletin::Dirty(Dirty {
            kind: child.str("type")?.into_owned(),
            timestamp: child.str("timestamp").map(Into::into),
            parts: child.nodes().map(|part| part.tag().to_owned()).collect(),
        }),
        "downgrade_webclient" => Bulletin::DowngradeWebclient,
        "client_expiration" => match child.str("t") {
            None => Bulletin::ClientExpiration(None),
            Some(t) => Bulletin::ClientExpiration(Some(t.parse().ok().filter(|t| *t >= 0)?)),
        },
        other => Bulletin::Other(other.to_owned()),
    })
}

/// Asks for the next part of the offline queue.
#[must_use]
pub fn offline_batch(count: u32) -> Node {
    Node::new("ib").child(Node::new("offline_batch").attr("count", count.to_string()))
}

/// Names the span of use that this run belongs to.
#[must_use]
pub fn unified_session(id: u64) -> Node {
    Node::new("ib").child(Node::new("unified_session").attr("id", id.to_string()))
}

/// Tells the server, after the work, that these domains are clean again. Without `id`.
#[must_use]
pub fn clean(dirty: &[Dirty]) -> Node {
    let children = dirty.iter().map(|dirty| {
        Node::new("clean").attr("type", dirty.kind.clone()).opt_attr("timestamp", dirty.timestamp.clone())
    });
    super::iq::set("urn:xmpp:whatsapp:dirty", Jid::service()).children(children)
}
