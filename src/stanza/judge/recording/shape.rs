//! A stanza without its values: tags, attribute names, nesting, and for each value its kind. A value itself is kept only
//! where it is a word that the table of shapes has for that attribute: a word of the protocol, nobody's.

use serde::{Deserialize, Serialize};

use crate::stanza::Element;
use crate::stanza::judge::drift::shown_name;
use crate::wire::{Jid, Node, Server, Value};

/// `attribute word word ...`, from the table; a test compares the two.
const WORDS: &str = include_str!("words.txt");
/// Deeper elements are left out.
const MAX_DEPTH: usize = 32;
/// Elements of one stanza, at most; those that are alike and stand behind each other count once.
const MAX_ELEMENTS: usize = 2000;
/// Of elements that are alike a sample has so many at most.
const MAX_COPIES: u32 = 1000;

/// An element without its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The tag.
    #[serde(rename = "t")]
    pub tag: String,
    /// Attributes: name, and the kind of the value, or `=word`.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub attrs: Vec<(String, String)>,
    /// The kind of the content, where it is a value.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The children.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Shape>,
    /// How many of these stand behind each other.
    #[serde(rename = "n", default = "one", skip_serializing_if = "is_one")]
    pub times: u32,
}

fn one() -> u32 {
    1
}

fn is_one(times: &u32) -> bool {
    *times == 1
}

impl Shape {
    /// Of a stanza.
    #[must_use]
    pub fn of<'n>(stanza: impl Element<'n>) -> Self {
        element(stanza, 0, &mut 0)
    }

    /// Whether both are alike, but for how many there are.
    fn is_like(&self, other: &Self) -> bool {
        self.tag == other.tag
            && self.attrs == other.attrs
            && self.content == other.content
            && self.children == other.children
    }

    /// A stanza of this shape, with a placeholder of the right kind for every value.
    #[must_use]
    pub fn sample(&self) -> Node {
        let mut node = Node::new(self.tag.clone());
        for (name, kind) in &self.attrs {
            node = node.attr(name.clone(), sample(kind));
        }
        match self.content.as_deref() {
            Some("int") => node.text_bytes("1"),
            Some(_) => node.text_bytes("x"),
            None => {
                let copies =
                    |child: &Self| std::iter::repeat_n(child.sample(), child.times.min(MAX_COPIES) as usize);
                node.children(self.children.iter().flat_map(copies).take(MAX_ELEMENTS))
            }
        }
    }
}

fn element<'n, E: Element<'n>>(node: E, depth: usize, elements: &mut usize) -> Shape {
    *elements += 1;
    let attrs = node.keys().map(|name| (shown_name(name), kind(node, name))).collect();
    let mut children: Vec<Shape> = Vec::new();
    for child in node.each() {
        if depth + 1 >= MAX_DEPTH || *elements >= MAX_ELEMENTS {
            break;
        }
        let before = *elements;
        let child = element(child, depth + 1, elements);
        match children.last_mut() {
            Some(last) if last.is_like(&child) => {
                last.times = last.times.saturating_add(1);
                *elements = before;
            }
            _ => children.push(child),
        }
    }
    let content = if children.is_empty() { node.content().map(|bytes| of_content(&bytes)) } else { None };
    Shape { tag: shown_name(node.name()), attrs, content, children, times: 1 }
}

fn of_content(bytes: &[u8]) -> String {
    let number = !bytes.is_empty() && bytes.len() <= 20 && bytes.iter().all(u8::is_ascii_digit);
    if number { "int" } else { "bytes" }.to_owned()
}

/// The kind of an attribute's value.
fn kind<'n>(node: impl Element<'n>, name: &str) -> String {
    let text = node.text(name).unwrap_or_default();
    if is_word(name, &text) || is_code(node.name(), name, &text) {
        return format!("={text}");
    }
    if text.is_empty() {
        return "empty".to_owned();
    }
    if text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return "int".to_owned();
    }
    if text == "true" || text == "false" {
        return "bool".to_owned();
    }
    let address = node.address(name).and_then(|jid| address(&jid));
    address.unwrap_or("text").to_owned()
}

fn is_word(name: &str, text: &str) -> bool {
    let of_name = |line: &&str| line.split(' ').next() == Some(name);
    WORDS.lines().find(of_name).is_some_and(|line| line.split(' ').skip(1).any(|word| word == text))
}

/// A number that says why the server refuses or ends something: a word of the protocol as well.
fn is_code(tag: &str, name: &str, text: &str) -> bool {
    let of_protocol = [("failure", "reason"), ("stream:error", "code"), ("ack", "error"), ("error", "code")];
    of_protocol.contains(&(tag, name)) && text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The kind of an address; `None` for what is no address of the service.
fn address(jid: &Jid) -> Option<&'static str> {
    if jid.user().is_empty() {
        return match jid.server() {
            Server::Pn => Some("domain"),
            Server::Group => Some("g.us"),
            _ => None,
        };
    }
    Some(match (jid.server(), jid.device()) {
        (Server::Pn, 0) => "pn-user",
        (Server::Pn, _) => "pn-device",
        (Server::Lid, 0) => "lid-user",
        (Server::Lid, _) => "lid-device",
        (Server::Group, _) => "group",
        (Server::Broadcast, _) if jid.user() == "status" => "status",
        (Server::Broadcast, _) => "broadcast",
        (Server::Newsletter, _) => "newsletter",
        (Server::Bot, _) => "bot",
        (Server::Call, _) => "call",
        _ => return None,
    })
}

/// A value of a kind.
fn sample(kind: &str) -> Value {
    let jid = |text: &str| text.parse::<Jid>().map_or_else(|_| Value::from(text.to_owned()), Value::from);
    if let Some(word) = kind.strip_prefix('=') {
        return Value::from(word.to_owned());
    }
    match kind {
        "int" => Value::from("1"),
        "bool" => Value::from("true"),
        "empty" => Value::from(""),
        "domain" => Value::from(Jid::service()),
        "g.us" => jid("g.us"),
        "pn-user" => jid("15550000000@s.whatsapp.net"),
        "pn-device" => jid("15550000000:1@s.whatsapp.net"),
        "lid-user" => jid("200000000000001@lid"),
        "lid-device" => jid("200000000000001:1@lid"),
        "group" => jid("120363000000000001@g.us"),
        "status" => jid("status@broadcast"),
        "broadcast" => jid("1700000000@broadcast"),
        "newsletter" => jid("120363000000000002@newsletter"),
        "bot" => jid("13135550002@bot"),
        "call" => jid("AAAAAAAAAAAAAAAAAAAA@call"),
        _ => Value::from("x"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::judge::kind::Kind;
    use crate::stanza::judge::table::{ElementRule, Table};
    use std::collections::{BTreeMap, BTreeSet};

    const CANARY: &str = "Canary7";

    fn collect(element: &ElementRule, words: &mut BTreeMap<String, BTreeSet<String>>) {
        for attr in &element.attrs {
            if let Kind::Enum(values) = &attr.kind {
                let plain = |value: &&String| !value.is_empty() && !value.contains([' ', '@', '.']);
                let of_name = words.entry(attr.name.clone()).or_default();
                of_name.extend(values.iter().filter(plain).cloned());
            }
        }
        element.children.iter().for_each(|child| collect(child, words));
    }

    #[test]
    fn recorder_the_words_are_those_of_the_table() {
        let mut words = BTreeMap::new();
        for operation in &Table::built_in().unwrap().operations {
            collect(&operation.root, &mut words);
        }
        let line = |(name, words): (&String, &BTreeSet<String>)| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            format!("{name} {}\n", words.join(" "))
        };
        let expected: String = words.iter().filter(|(_, words)| !words.is_empty()).map(line).collect();
        if expected != WORDS {
            let place = std::env::temp_dir().join("words.txt");
            std::fs::write(&place, &expected).unwrap();
            panic!("words.txt is not what the table says: take {}", place.display());
        }
    }

    #[test]
    fn recorder_no_value_is_in_a_shape() {
        let inner = Node::new("enc").attr("v", "2").attr("type", CANARY).bytes(CANARY.as_bytes());
        let attrs =
            ["id", "to", "from", "t", "notify", "type", "xmlns", "participant", CANARY, "15551234567"];
        let mut node = Node::new("message");
        for name in attrs {
            node = node.attr(name, CANARY);
        }
        let node = node
            .attr("recipient", Jid::pn("15551234567").unwrap().with_device(7))
            .attr("count", "4711")
            .child(inner)
            .child(Node::new("Canary7").text_bytes(CANARY));
        let text = serde_json::to_string(&Shape::of(&node)).unwrap();
        for value in [CANARY, "15551234567", "4711", ":7"] {
            assert!(!text.contains(value), "{text}");
        }
        assert!(
            text.contains(r#"["recipient","pn-device"]"#) && text.contains(r#"["count","int"]"#),
            "{text}"
        );
    }

    #[test]
    fn recorder_a_sample_has_the_shape_that_it_was_made_of() {
        let node = Node::new("iq")
            .attr("id", "7.8-9")
            .attr("type", "get")
            .attr("xmlns", "usync")
            .attr("to", Jid::service())
            .child(Node::new("list").child(Node::new("user").attr("jid", Jid::lid("77").unwrap())))
            .child(Node::new("x").bytes(vec![1, 2]));
        let shape = Shape::of(&node);
        assert_eq!(Shape::of(&shape.sample()), shape);
        assert_eq!(shape.attrs[1], ("type".to_owned(), "=get".to_owned()));
    }

    #[test]
    fn recorder_elements_that_are_alike_are_counted_and_what_follows_them_is_there() {
        let key = |at: u8| Node::new("key").child(Node::new("id").bytes(vec![0x80, at]));
        let node = Node::new("iq").children((0..200).map(key)).child(Node::new("skey"));
        let shape = Shape::of(&node);
        assert_eq!((shape.children.len(), shape.children[0].times), (2, 200));
        assert_eq!(shape.sample().nodes().count(), 201);
        assert!(serde_json::to_string(&shape).unwrap().len() < 120);
    }
}
