//! The heads of the last stanzas that went out: what is logged when the server could not read one of them (protocol 05d
//! §10). Names and kinds only; of addresses the server, of everything else nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::wire::Node;

/// So many are kept.
const KEPT: usize = 20;

/// Attributes whose value says what a stanza is, and not about whom.
const SHOWN: [&str; 9] =
    ["id", "type", "xmlns", "class", "edit", "category", "push_priority", "addressing_mode", "device_fanout"];

/// See the module. Clones share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heads(Arc<Mutex<VecDeque<String>>>);

impl Heads {
    /// A stanza goes out.
    pub(crate) fn note(&self, stanza: &Node) {
        let mut heads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.len() == KEPT {
            heads.pop_front();
        }
        heads.push_back(head(stanza));
    }

    /// The last ones, oldest first.
    pub(crate) fn last(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn head(stanza: &Node) -> String {
    let mut head = format!("<{}", stanza.tag);
    for (name, _) in &stanza.attrs {
        let jid = stanza.jid(name).map(|jid| format!("@{}", jid.server()));
        let shown = SHOWN.contains(&name.as_ref()).then(|| stanza.str(name)).flatten();
        head += &match (shown, jid) {
            (Some(value), _) => format!(" {name}={value}"),
            (None, Some(server)) => format!(" {name}={server}"),
            (None, None) => format!(" {name}"),
        };
    }
    head + ">"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Jid;

    #[test]
    fn the_last_twenty_heads_are_kept_and_name_nobody() {
        let heads = Heads::default();
        for id in 0..30 {
            let to = Jid::lid("123456789").unwrap();
            heads.note(&Node::new("message").attr("id", id.to_string()).attr("to", to).attr("t", "17"));
        }
        let last = heads.last();
        assert_eq!(last.len(), 20);
        assert_eq!(last[0], "<message id=10 to=@lid t>");
    }
}
