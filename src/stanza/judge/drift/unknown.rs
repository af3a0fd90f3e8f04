//! A stanza compared with what is known: the operation that knows most of it speaks.

use serde::{Deserialize, Serialize};

use super::fingerprint::MAX_DEPTH;
use super::names::{Element, Names, Operation};
use crate::stanza::Element as Stanza;

/// Longest value that may name an unknown operation.
const MAX_VALUE: usize = 32;
/// Longest tag or attribute name.
const MAX_NAME: usize = 64;
/// A name with more digits could be a number of somebody.
const MAX_DIGITS: usize = 3;
/// What a name is replaced by that is none.
const HIDDEN: &str = "?";
/// From one stanza at most so many are taken.
pub(super) const MAX_OF_ONE: usize = 64;

/// Roots whose operations are told apart by their child.
const BY_CHILD: [&str; 4] = ["ib", "stream:error", "call", "chatstate"];

/// `<failure reason>` (01 §17 and the table).
const FAILURES: [&str; 21] = [
    "400", "401", "402", "403", "405", "406", "409", "411", "412", "413", "414", "415", "416", "417", "418",
    "419", "429", "500", "501", "503", "440",
];
/// `<stream:error code>` besides 5xx (01 §18).
const STREAM_ERRORS: [&str; 3] = ["401", "409", "429"];
/// `<ack error>` (05a §12).
const ACK_ERRORS: [&str; 13] =
    ["400", "403", "404", "405", "406", "421", "429", "463", "473", "475", "479", "500", "503"];

/// What is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A stanza that no operation is like.
    Operation,
    /// An attribute of a known element.
    Attribute,
    /// A child of a known element.
    Child,
    /// A field number of a message.
    Field,
    /// A number with a meaning: the reason of a failure, the error of an ack, a message's protocol type.
    Code,
}

impl Kind {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Attribute => "attribute",
            Self::Child => "child",
            Self::Field => "field",
            Self::Code => "code",
        }
    }
}

/// One unknown shape. It holds names of the protocol, never a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unknown {
    /// What is unknown.
    pub kind: Kind,
    /// Where: operation and path of the table, or a message of the schema.
    pub place: String,
    /// The tag, attribute name, field number or code; of an operation also its `type=` or `xmlns=`.
    pub name: String,
}

impl Unknown {
    pub(super) fn new(kind: Kind, place: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, place: place.into(), name: name.into() }
    }

    /// A code; one that is no short number is hidden.
    pub(super) fn code(place: &str, code: &str) -> Self {
        let number = !code.is_empty() && code.len() <= 4 && code.bytes().all(|byte| byte.is_ascii_digit());
        Self::new(Kind::Code, place, if number { code } else { HIDDEN })
    }
}

impl Names {
    /// What in a stanza of the server is unknown. What is missing is not judged.
    #[must_use]
    pub fn unknown<'n>(&self, stanza: impl Stanza<'n>) -> Vec<Unknown> {
        let mut found = self.of_operations(stanza);
        found.extend(code(stanza));
        found.truncate(MAX_OF_ONE);
        found
    }

    fn of_operations<'n>(&self, stanza: impl Stanza<'n>) -> Vec<Unknown> {
        let same_root: Vec<&Operation> =
            self.operations.iter().filter(|op| op.root.tag == stanza.name()).collect();
        if same_root.is_empty() {
            return vec![Unknown::new(Kind::Operation, "-", shown_name(stanza.name()))];
        }
        let (kind, xmlns) = (stanza.text("type"), stanza.text("xmlns"));
        let of_kind = |op: &&Operation| match &kind {
            Some(kind) => op.types.is_empty() || op.types.iter().any(|known| known == kind),
            None => true,
        };
        let of_type: Vec<&Operation> = same_root.into_iter().filter(of_kind).collect();
        if of_type.is_empty() {
            return vec![operation(stanza.name(), "type", kind.as_deref())];
        }
        // Where operations of this kind are told apart by their `xmlns`, one without is not meant by a stanza with one.
        let tells = of_type.iter().any(|op| !op.xmlns.is_empty()) && xmlns.is_some();
        let meant =
            |op: &&Operation| !tells || op.xmlns.iter().any(|known| Some(known.as_str()) == xmlns.as_deref());
        let candidates: Vec<&Operation> = of_type.into_iter().filter(meant).collect();
        if candidates.is_empty() {
            return vec![operation(stanza.name(), "xmlns", xmlns.as_deref())];
        }
        let best = candidates
            .into_iter()
            .map(|op| {
                let mut found = Vec::new();
                element(&op.name, &op.root.tag, &op.root, stanza, 0, &mut found);
                // Of those with equally much unknown the one speaks that knows what the stanza holds.
                let holds =
                    stanza.each().all(|child| op.root.children.iter().any(|known| known.tag == child.name()));
                (found.len(), !holds, found)
            })
            .min_by_key(|(unknown, elsewhere, _)| (*unknown, *elsewhere));
        let (.., best) = best.unwrap_or_default();
        best.into_iter().map(|unknown| by_child(stanza.name(), unknown)).collect()
    }
}

/// An unknown child at the root of a stanza that is told by its child is an unknown operation.
fn by_child(root: &str, unknown: Unknown) -> Unknown {
    let at_root = unknown.place.rsplit(' ').next() == Some(root);
    if unknown.kind == Kind::Child && at_root && BY_CHILD.contains(&root) {
        return Unknown::new(Kind::Operation, root, unknown.name);
    }
    unknown
}

fn operation(root: &str, key: &str, value: Option<&str>) -> Unknown {
    let value = value.unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || "_:-".contains(c);
    let good = !value.is_empty() && value.len() <= MAX_VALUE && value.chars().all(plain);
    let value = if good { value } else { HIDDEN };
    Unknown::new(Kind::Operation, root, format!("{key}={value}"))
}

fn element<'n>(
    op: &str,
    path: &str,
    known: &Element,
    node: impl Stanza<'n>,
    depth: usize,
    found: &mut Vec<Unknown>,
) {
    for name in node.keys() {
        if !known.attrs.iter().any(|attr| attr == name) {
            found.push(Unknown::new(Kind::Attribute, format!("{op} {path}"), shown_name(name)));
        }
    }
    for child in node.each() {
        if found.len() >= MAX_OF_ONE || depth >= MAX_DEPTH {
            return;
        }
        let candidates = known.children.iter().filter(|candidate| candidate.tag == child.name());
        let best = candidates
            .map(|candidate| {
                let mut trial = Vec::new();
                let path = format!("{path}/{}", candidate.tag);
                element(op, &path, candidate, child, depth + 1, &mut trial);
                trial
            })
            .min_by_key(Vec::len);
        match best {
            Some(trial) => found.extend(trial),
            None => found.push(Unknown::new(Kind::Child, format!("{op} {path}"), shown_name(child.name()))),
        }
    }
}

/// The numbers with a meaning in a stanza.
fn code<'n>(stanza: impl Stanza<'n>) -> Option<Unknown> {
    let root = stanza.name();
    let (key, known): (&str, &[&str]) = match root {
        "failure" => ("reason", &FAILURES),
        "stream:error" => ("code", &STREAM_ERRORS),
        "ack" => ("error", &ACK_ERRORS),
        _ => return None,
    };
    let code = stanza.text(key)?;
    let of_server = root == "stream:error" && code.len() == 3 && code.starts_with('5');
    if known.contains(&code.as_ref()) || of_server {
        return None;
    }
    Some(Unknown::code(&format!("{root}@{key}"), &code))
}

/// A tag or attribute name, unless it could be something else.
pub(in crate::stanza::judge) fn shown_name(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:-.".contains(c);
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    let good = !name.is_empty() && name.len() <= MAX_NAME && digits <= MAX_DIGITS && name.chars().all(plain);
    if good { name } else { HIDDEN }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Node;

    fn unknown(stanza: &Node) -> Vec<String> {
        let found = Names::built_in().unknown(stanza);
        found.iter().map(|u| format!("{} {} {}", u.kind.name(), u.place, u.name)).collect()
    }

    fn devices() -> Node {
        Node::new("notification").attr("type", "devices").attr("id", "1").attr("from", "1@lid").attr("t", "1")
    }

    #[test]
    fn drift_a_known_stanza_has_nothing_unknown() {
        assert_eq!(unknown(&devices()), [""; 0]);
        let ping =
            Node::new("iq").attr("from", "s.whatsapp.net").attr("type", "get").attr("xmlns", "urn:xmpp:ping");
        assert_eq!(unknown(&ping.child(Node::new("ping"))), [""; 0]);
    }

    #[test]
    fn drift_every_kind_of_unknown_shape_is_named_without_its_values() {
        let cases = [
            (Node::new("hologram").attr("a", "b"), "operation - hologram"),
            (Node::new("notification").attr("type", "tele_port"), "operation notification type=tele_port"),
            (Node::new("notification").attr("type", "Anna17"), "operation notification type=?"),
            (Node::new("iq").attr("type", "get").attr("xmlns", "urn:new"), "operation iq xmlns=urn:new"),
            (Node::new("ib").child(Node::new("beam")), "operation ib beam"),
            (devices().attr("shade", "Anna17"), "attribute notification.devices notification shade"),
            (devices().attr("15551234567", "x"), "attribute notification.devices notification ?"),
            (devices().child(Node::new("twist")), "child notification.devices notification twist"),
            (Node::new("failure").attr("reason", "477").attr("location", "x"), "code failure@reason 477"),
            (Node::new("failure").attr("reason", "Anna17").attr("location", "x"), "code failure@reason ?"),
            (Node::new("stream:error").attr("code", "611"), "code stream:error@code 611"),
        ];
        for (stanza, expected) in cases {
            assert_eq!(unknown(&stanza), [expected], "{stanza:?}");
        }
    }

    #[test]
    fn drift_a_stanza_full_of_unknown_names_gives_a_bounded_number() {
        let mut stanza = devices();
        for at in 0..10_000 {
            stanza = stanza.child(Node::new(format!("x{at}")));
        }
        assert!(unknown(&stanza).len() <= MAX_OF_ONE);
    }
}
