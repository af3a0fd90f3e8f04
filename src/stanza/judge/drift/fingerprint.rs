//! The fingerprint of a stanza's shape: by it a shape that was compared before is recognised.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::stanza::Element;

/// Deeper elements don't count, as in the comparison.
pub(super) const MAX_DEPTH: usize = 24;
/// Values of the root that are part of its shape.
const TELLING: [&str; 5] = ["type", "xmlns", "reason", "code", "error"];

/// 64 bits over tags, attribute names, nesting, and what tells operations apart. Stanzas with the same fingerprint have
/// the same unknown parts, but for a chance that costs no more than a line of the report.
#[must_use]
pub fn fingerprint<'n>(stanza: impl Element<'n>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for key in TELLING {
        stanza.text(key).hash(&mut hasher);
    }
    element(stanza, 0, &mut hasher);
    hasher.finish()
}

fn element<'n, E: Element<'n>>(node: E, depth: usize, hasher: &mut DefaultHasher) {
    node.name().hash(hasher);
    for key in node.keys() {
        key.hash(hasher);
    }
    if depth < MAX_DEPTH {
        for child in node.each() {
            hasher.write_u8(1);
            element(child, depth + 1, hasher);
        }
    }
    hasher.write_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Node;

    #[test]
    fn drift_values_are_no_part_of_a_shape_but_for_what_tells_operations_apart() {
        let shape = |kind: &str, id: &str, child: &str| {
            let node = Node::new("notification").attr("type", kind.to_owned()).attr("id", id.to_owned());
            fingerprint(&node.child(Node::new(child.to_owned()).attr("jid", id.to_owned())))
        };
        assert_eq!(shape("devices", "1", "add"), shape("devices", "2", "add"));
        assert_ne!(shape("devices", "1", "add"), shape("picture", "1", "add"));
        assert_ne!(shape("devices", "1", "add"), shape("devices", "1", "remove"));
        let flat = Node::new("a").child(Node::new("b")).child(Node::new("c"));
        let deep = Node::new("a").child(Node::new("b").child(Node::new("c")));
        assert_ne!(fingerprint(&flat), fingerprint(&deep));
    }
}
