//! The payloads that stand readable in a client's stanza: signed identities, patches of the app state, and what goes to
//! a newsletter. What is encrypted is judged by whoever can open it.

use crate::stanza::judge::Finding;
use crate::wire::Node;

use super::envelope::Labels;
use super::{Payload, Schema};

impl Schema {
    /// Everything readable in a stanza: for each payload its findings.
    #[must_use]
    pub fn in_stanza(&self, stanza: &Node) -> Vec<Vec<Finding>> {
        let mut all = Vec::new();
        self.below(stanza, stanza, &mut all);
        all
    }

    fn below(&self, stanza: &Node, node: &Node, all: &mut Vec<Vec<Finding>>) {
        if let Some(bytes) = node.content_bytes() {
            match &*node.tag {
                "device-identity" => all.push(self.walk(Payload::SignedDeviceIdentity, &bytes)),
                "patch" => all.push(self.patch(&bytes)),
                "plaintext" => all.push(self.plain(&bytes, &Labels::of(stanza, node))),
                _ => {}
            }
        }
        node.nodes().for_each(|child| self.below(stanza, child, all));
    }
}
