//! Nodes in logs: XML-like, attributes in full (secrets never travel in attributes), content as kind and length only.

use std::fmt;

use super::node::{Content, Node, Value};
use super::value::ValueRef;

/// More children than this are counted, not shown.
const SHOWN: usize = 32;

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.tag)?;
        for (key, value) in &self.attrs {
            match value {
                Value::Text(text) => write!(f, " {key}={text:?}")?,
                Value::Jid(jid) => write!(f, " {key}={jid}")?,
            }
        }
        match &self.content {
            Content::None => return f.write_str("/>"),
            Content::Nodes(nodes) if nodes.is_empty() => return f.write_str("/>"),
            Content::Bytes(bytes) => write!(f, ">[{} bytes]", bytes.len())?,
            Content::Text(text) => write!(f, ">[text, {} bytes]", text.len())?,
            Content::Jid(_) => f.write_str(">[jid]")?,
            Content::Nodes(nodes) => {
                f.write_str(">")?;
                for node in nodes.iter().take(SHOWN) {
                    fmt::Display::fmt(node, f)?;
                }
                if nodes.len() > SHOWN {
                    write!(f, "[{} more]", nodes.len() - SHOWN)?;
                }
            }
        }
        write!(f, "</{}>", self.tag)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Jid(_) => f.write_str("Jid"),
            Self::Nodes(nodes) => f.debug_tuple("Nodes").field(nodes).finish(),
        }
    }
}

/// What kind it is, and how long: it may be content.
impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_jid_form() { "jid" } else { "text" };
        write!(f, "ValueRef({kind}, {} bytes)", self.bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::{Arena, Jid, Node, decode, encode};

    #[test]
    fn a_node_shows_attributes_and_never_content() {
        let node = Node::new("iq")
            .attr("to", Jid::service())
            .attr("id", "a\"b")
            .child(Node::new("enc").bytes(*b"secret"))
            .child(Node::new("ping"));
        let shown = r#"<iq to=s.whatsapp.net id="a\"b"><enc>[6 bytes]</enc><ping/></iq>"#;
        assert_eq!(node.to_string(), shown);
        assert_eq!(format!("{node:?}"), shown);
    }

    #[test]
    fn logs_contain_no_content_bytes_whichever_part_of_a_stanza_is_printed() {
        for node in [Node::new("enc").bytes(*b"secret"), Node::new("enc").text_bytes("secret")] {
            let frame = encode(&node).unwrap();
            let mut arena = Arena::new();
            let read = decode(&frame, &mut arena).unwrap();
            let prints = [
                format!("{node:?}"),
                format!("{:?}", node.content),
                format!("{read:?}"),
                format!("{:?}", read.content()),
                format!("{:?}", decode(&frame[..frame.len() - 1], &mut Arena::new()).unwrap_err()),
            ];
            for print in prints {
                assert!(!print.contains("secret") && !print.contains("115, 101"), "{print}");
            }
        }
    }
}
