//! Our own `<presence>` (protocol 05d §1): whether we are there, and the name that others see.

use crate::wire::Node;

/// Whether we are there, with our name.
#[must_use]
pub fn own(available: bool, name: &str) -> Node {
    let kind = if available { "available" } else { "unavailable" };
    Node::new("presence").attr("type", kind).attr("name", clean(name))
}

/// Another name; whether we are there stays.
#[must_use]
pub fn renamed(name: &str) -> Node {
    Node::new("presence").attr("name", clean(name))
}

/// An `@` in a name is left out.
fn clean(name: &str) -> String {
    name.replace('@', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_carries_type_and_name_and_no_at_sign() {
        let node = own(false, "An@na");
        assert_eq!(node.str("type").as_deref(), Some("unavailable"));
        assert_eq!(node.str("name").as_deref(), Some("Anna"));
        assert_eq!(renamed("B").str("type"), None);
    }
}
