//! The profile `crude`: a server that is not ours and behaves worse than the real one. What differs stands here as
//! questions; the places that differ ask them.
//!
//! | Where | The real service | Here |
//! |---|---|---|
//! | registration | `pair-device` first | `<success>` before it |
//! | after pair-success | stream error 515, then the close | nothing, and the connection stays |
//! | queries | answered | only those that a text needs ([`answers`]), and pings |
//! | device lists | key indexes, and the phone's signed list | neither |
//! | offline | a queue, its preview, its end marker | what comes for a device that is away is lost; no marker |
//! | TLS | a chain to a root | a self-signed certificate ([`crate::sim::Profile::Crude`] of the run) |

use super::{Origin, World};
use crate::sim::config::Profile;
use crate::wire::Node;

/// Whether a crude server answers a query: pings, keys for others and of one's own, device lists. It carries the others
/// out all the same.
fn answers(iq: &Node) -> bool {
    let child = iq.nodes().next().map(|child| &*child.tag);
    match iq.str("xmlns").as_deref() {
        Some("w:p" | "urn:xmpp:ping" | "usync") => true,
        Some("encrypt") => {
            matches!(child, Some("key" | "registration" | "type" | "identity" | "list" | "skey"))
        }
        _ => false,
    }
}

impl World {
    /// Whether an account lives on a crude server.
    pub(crate) fn is_crude(&self, number: &str) -> bool {
        self.profile(number) == Profile::Crude
    }

    /// Whether those who register meet a crude server.
    pub(crate) fn registers_crudely(&self) -> bool {
        self.config.profile == Profile::Crude
    }

    /// Whether a client's query gets no answer.
    pub(crate) fn keeps_silent(&self, origin: &Origin, iq: &Node) -> bool {
        self.is_crudely_served(origin) && !answers(iq)
    }

    /// Whether a client, not a phone, lives on a crude server.
    pub(crate) fn is_crudely_served(&self, origin: &Origin) -> bool {
        origin.connection.is_some() && self.is_crude(&origin.device.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_text_needs_is_answered() {
        let iq = |xmlns: &'static str, child: &'static str| {
            answers(&Node::new("iq").attr("xmlns", xmlns).child(Node::new(child)))
        };
        for (xmlns, child) in [("usync", "usync"), ("encrypt", "key"), ("encrypt", "registration")] {
            assert!(iq(xmlns, child), "{xmlns} {child}");
        }
        for (xmlns, child) in [
            ("passive", "active"),
            ("abt", "props"),
            ("privacy", "privacy"),
            ("encrypt", "digest"),
            ("encrypt", "count"),
            ("encrypt", "rotate"),
            ("md", "remove-companion-device"),
        ] {
            assert!(!iq(xmlns, child), "{xmlns} {child}");
        }
        assert!(answers(&Node::new("iq").attr("xmlns", "w:p")));
    }
}
