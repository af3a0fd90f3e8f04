//! The comparison of a stanza with the table: every candidate operation is tried, the one with the fewest findings
//! speaks.

use std::fmt;

use crate::wire::{Content, Node, Value};

use super::deviations::Deviations;
use super::kind::{JidKind, Kind};
use super::table::{AttrRule, Direction, ElementRule, Operation, Table};

/// What is unlike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// No operation has this root tag and `xmlns`.
    NoOperation,
    /// Only other clients send this.
    PeersOnly,
    /// An element that the operation does not have there.
    UnknownElement,
    /// An attribute that the element does not have.
    UnknownAttribute,
    /// An element that must be there is not.
    MissingElement,
    /// An attribute that must be there is not.
    MissingAttribute,
    /// Too few or too many of an element.
    Count,
    /// Content of another kind, or none where some must be.
    Content,
    /// Content of another length.
    Length,
    /// Another value, or one out of range.
    Value,
    /// Parts of two alternatives that exclude each other.
    Alternatives,
    /// An address that is not one, or in another form than on the official client's wire.
    JidForm,
    /// Text content as token or packed text instead of bytes.
    ContentForm,
    /// A payload that is no protobuf, or a text in it that is not UTF-8.
    Undecodable,
    /// A field of a payload in another wire type than the schema's.
    WireType,
    /// A list that is packed where the schema's is not, or the reverse.
    Packing,
    /// A `bool` other than 0 or 1, or a 32-bit value out of range.
    Range,
    /// A required field of a payload is missing.
    Required,
    /// Not exactly one content in a message.
    Contents,
    /// A default that the official writer always writes is missing.
    Default,
    /// An own copy without its wrapper, a wrapper where none belongs, or one for another chat.
    Wrapper,
    /// A sender key for another chat, for none, or in a 1:1 chat.
    KeyGroup,
    /// The stanza says other things of the message than the message itself.
    Attributes,
    /// No padding, or too much of it.
    Padding,
}

impl What {
    /// The name in reports and in the list of deviations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoOperation => "no-operation",
            Self::PeersOnly => "peers-only",
            Self::UnknownElement => "unknown-element",
            Self::UnknownAttribute => "unknown-attribute",
            Self::MissingElement => "missing-element",
            Self::MissingAttribute => "missing-attribute",
            Self::Count => "count",
            Self::Content => "content",
            Self::Length => "length",
            Self::Value => "value",
            Self::Alternatives => "alternatives",
            Self::JidForm => "jid-form",
            Self::ContentForm => "content-form",
            Self::Undecodable => "undecodable",
            Self::WireType => "wire-type",
            Self::Packing => "packing",
            Self::Range => "range",
            Self::Required => "required",
            Self::Contents => "contents",
            Self::Default => "default",
            Self::Wrapper => "wrapper",
            Self::KeyGroup => "key-group",
            Self::Attributes => "attributes",
            Self::Padding => "padding",
        }
    }
}

/// One way in which a stanza, or a payload in it, is unlike the official client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The operation, `-` without candidate; of a payload `payload.` and the message's name.
    pub op: String,
    /// The element, from the stanza's root; of a payload the names of fields, empty for the payload itself.
    pub path: String,
    /// The attribute, empty where the finding is about the element or the field.
    pub attr: String,
    /// What is unlike.
    pub what: What,
    /// What the table asks for there.
    pub want: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op, self.path)?;
        if !self.attr.is_empty() {
            write!(f, "@{}", self.attr)?;
        }
        write!(f, ": {}", self.what.name())?;
        if !self.want.is_empty() {
            write!(f, ", want {}", self.want)?;
        }
        Ok(())
    }
}

/// The verdict over one stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As the official client writes it.
    Like,
    /// Unlike only in ways that stand in the list of deliberate deviations.
    Listed,
    /// Unlike.
    Unlike,
}

impl Verdict {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Like => "like",
            Self::Listed => "listed",
            Self::Unlike => "unlike",
        }
    }
}

/// What the judge says of one stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The best candidate, `None` where there is none.
    pub op: Option<String>,
    /// All findings, listed ones included.
    pub findings: Vec<Finding>,
    /// How many of the findings stand in the list of deviations.
    pub listed: usize,
}

impl Table {
    /// Judges a stanza that a client sent, as decoded from its frame with the forms of its addresses kept
    /// ([`decode_node_as_written`](crate::wire::decode_node_as_written)).
    #[must_use]
    pub fn judge(&self, stanza: &Node, deviations: &Deviations) -> Judgement {
        self.verdict(stanza, deviations, Forms::Judged)
    }

    /// Judges a stanza that was given as a tree, where an address may be written as text.
    #[must_use]
    pub fn judge_tree(&self, stanza: &Node, deviations: &Deviations) -> Judgement {
        self.verdict(stanza, deviations, Forms::Open)
    }

    /// Judges a stanza whose values are placeholders of the right kind: what they say, and how long contents are, does
    /// not count.
    #[must_use]
    pub(super) fn judge_shape(&self, stanza: &Node, deviations: &Deviations) -> Judgement {
        self.verdict(stanza, deviations, Forms::Shape)
    }

    fn verdict(&self, stanza: &Node, deviations: &Deviations, forms: Forms) -> Judgement {
        let (op, findings) = self.compare(Direction::Out, stanza, forms);
        let listed = findings.iter().filter(|finding| deviations.lists(finding)).count();
        let verdict = match findings.len() {
            0 => Verdict::Like,
            all if all == listed => Verdict::Listed,
            _ => Verdict::Unlike,
        };
        Judgement { verdict, op, findings, listed }
    }

    /// Compares a stanza with every candidate of a direction; the one with the fewest findings speaks, ties by the order
    /// of the table.
    fn compare(&self, direction: Direction, stanza: &Node, forms: Forms) -> (Option<String>, Vec<Finding>) {
        let best = self
            .operations
            .iter()
            .filter(|operation| operation.direction == direction && is_candidate(operation, stanza))
            .map(|operation| (operation, findings(operation, stanza, forms)))
            .min_by_key(|(_, findings)| findings.len());
        match best {
            Some((operation, findings)) => (Some(operation.name.clone()), findings),
            None => {
                let path = stanza.tag.to_string();
                let finding = Finding {
                    op: "-".into(),
                    path,
                    attr: String::new(),
                    what: What::NoOperation,
                    want: String::new(),
                };
                (None, vec![finding])
            }
        }
    }
}

/// The same root tag, and the same `xmlns` where the operation has a literal one.
fn is_candidate(operation: &Operation, stanza: &Node) -> bool {
    let literal = operation.root.attrs.iter().find(|rule| rule.name == "xmlns").map(|rule| &rule.kind);
    let xmlns = text_attr(stanza, "xmlns");
    operation.root.tag == stanza.tag
        && match literal {
            Some(Kind::Enum(values)) => {
                xmlns.as_deref().is_some_and(|xmlns| values.iter().any(|value| value == xmlns))
            }
            _ => xmlns.is_none(),
        }
}

fn text_attr(node: &Node, key: &str) -> Option<String> {
    node.attrs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| text_of(value))
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Jid(jid) => jid.to_string(),
    }
}

/// Whether a literal of the table is an address, which goes out in a JID form and never as text.
fn is_address(text: &str) -> bool {
    text.contains('@') || text == "s.whatsapp.net" || text == "g.us"
}

fn findings(operation: &Operation, stanza: &Node, forms: Forms) -> Vec<Finding> {
    let mut judge = Judge { op: &operation.name, forms, findings: Vec::new(), taken: Vec::new() };
    if operation.peers_only {
        judge.find(&operation.root.path, "", What::PeersOnly, String::new());
    }
    judge.element(&operation.root, stanza);
    judge.alternatives();
    judge.findings
}

/// Whether the wire form of a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forms {
    /// An address that came as text, or device 0 in another form than the official client's, and text that came as a
    /// token or packed are findings.
    Judged,
    /// The value came from a tree that doesn't tell the forms apart.
    Open,
    /// The values are placeholders.
    Shape,
}

struct Judge<'a> {
    op: &'a str,
    forms: Forms,
    findings: Vec<Finding>,
    /// The alternatives of each part that is there and belongs to some.
    taken: Vec<Taken<'a>>,
}

/// A part that belongs to alternatives: these, its path, its attribute.
type Taken<'a> = (&'a [(u16, u16)], &'a str, &'a str);

impl<'a> Judge<'a> {
    fn find(&mut self, path: &str, attr: &str, what: What, want: String) {
        self.findings.push(Finding {
            op: self.op.to_owned(),
            path: path.to_owned(),
            attr: attr.to_owned(),
            what,
            want,
        });
    }

    fn element(&mut self, rule: &'a ElementRule, node: &Node) {
        if !rule.alternatives.is_empty() {
            self.taken.push((&rule.alternatives, &rule.path, ""));
        }
        self.attributes(rule, node);
        self.content(rule, node);
    }

    fn attributes(&mut self, rule: &'a ElementRule, node: &Node) {
        for (name, value) in &node.attrs {
            match rule.attrs.iter().find(|attr| attr.name == *name) {
                None => self.find(&rule.path, name, What::UnknownAttribute, String::new()),
                Some(attr) => self.attribute(rule, attr, (node, value)),
            }
        }
        for attr in rule.attrs.iter().filter(|attr| attr.required) {
            if !node.attrs.iter().any(|(name, _)| *name == attr.name) {
                self.find(&rule.path, &attr.name, What::MissingAttribute, attr.kind.describe());
            }
        }
    }

    fn attribute(&mut self, rule: &'a ElementRule, attr: &'a AttrRule, (node, value): (&Node, &Value)) {
        if !attr.alternatives.is_empty() {
            self.taken.push((&attr.alternatives, &rule.path, &attr.name));
        }
        let text = text_of(value);
        let good = match &attr.kind {
            Kind::Jid(kind) => return self.address(rule, attr, *kind, (node, value)),
            Kind::Enum(values) => {
                if self.forms == Forms::Judged && matches!(value, Value::Text(_)) && is_address(&text) {
                    return self.find(&rule.path, &attr.name, What::JidForm, attr.kind.describe());
                }
                values.contains(&text)
            }
            Kind::Int if self.forms == Forms::Shape => text.parse::<i64>().is_ok(),
            Kind::Int => match (text.parse::<i64>(), attr.range) {
                (Ok(number), Some(range)) => range.holds(number),
                (Ok(_), None) => true,
                // A counter of 64 bits without sign is a number as well.
                (Err(_), range) => range.is_none() && text.parse::<u64>().is_ok(),
            },
            Kind::Bool => text == "true" || text == "false",
            Kind::Id => !text.is_empty(),
            Kind::Text | Kind::Bytes | Kind::Node | Kind::LiteralBytes(_) => true,
        };
        if !good {
            let want = attr.range.map_or_else(|| attr.kind.describe(), |range| range.to_string());
            self.find(&rule.path, &attr.name, What::Value, want);
        }
    }

    fn address(
        &mut self,
        rule: &'a ElementRule,
        attr: &'a AttrRule,
        kind: JidKind,
        (node, value): (&Node, &Value),
    ) {
        let good = match value {
            Value::Text(_) if self.forms == Forms::Judged => {
                return self.find(&rule.path, &attr.name, What::JidForm, attr.kind.describe());
            }
            Value::Text(text) => text.parse().is_ok_and(|jid| kind.holds(&jid)),
            Value::Jid(jid) => kind.holds(jid),
        };
        if !good {
            return self.find(&rule.path, &attr.name, What::Value, attr.kind.describe());
        }
        if let (Value::Jid(jid), Forms::Judged) = (value, self.forms)
            && let Some(want) = attr.form.objection(jid, node)
        {
            self.find(&rule.path, &attr.name, What::JidForm, want.to_owned());
        }
    }

    fn content(&mut self, rule: &'a ElementRule, node: &Node) {
        let bytes = match &node.content {
            Content::Nodes(children) if !children.is_empty() => {
                if rule.kind == Kind::Node {
                    return self.children(rule, children);
                }
                return self.find(&rule.path, "", What::Content, rule.kind.describe());
            }
            Content::None | Content::Nodes(_) => None,
            Content::Bytes(bytes) => Some(bytes.clone()),
            Content::Text(text) => Some(text.as_bytes().to_vec()),
            Content::Jid(jid) => Some(jid.to_string().into_bytes()),
        };
        match (&rule.kind, bytes) {
            (Kind::Node, None) => self.children(rule, &[]),
            (Kind::Node, Some(_)) => self.find(&rule.path, "", What::Content, rule.kind.describe()),
            (_, None) if rule.content_optional => {}
            (_, None) => self.find(&rule.path, "", What::Content, rule.kind.describe()),
            (kind, Some(bytes)) => {
                // Text is bytes on the official client's wire, never a token and never packed (03 §9).
                if self.forms == Forms::Judged && !matches!(node.content, Content::Bytes(_)) {
                    self.find(&rule.path, "", What::ContentForm, "bytes".to_owned());
                }
                self.leaf(rule, kind, &bytes);
            }
        }
    }

    fn leaf(&mut self, rule: &'a ElementRule, kind: &Kind, bytes: &[u8]) {
        if self.forms == Forms::Shape {
            return;
        }
        let good = match kind {
            Kind::LiteralBytes(literal) => bytes == literal,
            Kind::Enum(values) => values.iter().any(|value| value.as_bytes() == bytes),
            Kind::Int => std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<i64>().is_ok()),
            Kind::Text => std::str::from_utf8(bytes).is_ok(),
            _ => true,
        };
        if !good {
            self.find(&rule.path, "", What::Value, kind.describe());
        }
        if let Some(range) = rule.length
            && !range.holds(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
        {
            self.find(&rule.path, "", What::Length, range.to_string());
        }
    }

    fn children(&mut self, rule: &'a ElementRule, children: &[Node]) {
        let mut counts = vec![0i64; rule.children.len()];
        for child in children {
            // Several rows may share a tag as alternatives: the one with the fewest findings is meant.
            let best = rule
                .children
                .iter()
                .enumerate()
                .filter(|(_, candidate)| candidate.tag == child.tag || candidate.tag == "*")
                .map(|(at, candidate)| {
                    let mut trial =
                        Judge { op: self.op, forms: self.forms, findings: Vec::new(), taken: Vec::new() };
                    trial.element(candidate, child);
                    (at, trial)
                })
                .min_by_key(|(_, trial)| trial.findings.len());
            match best {
                None => self.find(
                    &format!("{}/{}", rule.path, child.tag),
                    "",
                    What::UnknownElement,
                    String::new(),
                ),
                Some((at, trial)) => {
                    if let Some(count) = counts.get_mut(at) {
                        *count += 1;
                    }
                    self.findings.extend(trial.findings);
                    self.taken.extend(trial.taken);
                }
            }
        }
        for (child, count) in rule.children.iter().zip(counts) {
            if !child.count.holds(count) {
                let what = if count == 0 { What::MissingElement } else { What::Count };
                self.find(&child.path, "", what, child.count.to_string());
            }
        }
    }

    /// At most one alternative of a group is there.
    fn alternatives(&mut self) {
        let mut groups: Vec<u16> =
            self.taken.iter().flat_map(|(members, ..)| members.iter().map(|(group, _)| *group)).collect();
        groups.sort_unstable();
        groups.dedup();
        for group in groups {
            let parts: Vec<_> = self
                .taken
                .iter()
                .filter(|(members, ..)| members.iter().any(|(of, _)| *of == group))
                .map(|(members, path, attr)| {
                    let of_group: Vec<u16> = members
                        .iter()
                        .filter(|(of, _)| *of == group)
                        .map(|(_, alternative)| *alternative)
                        .collect();
                    (of_group, *path, *attr)
                })
                .collect();
            let Some((first, ..)) = parts.first() else { continue };
            let common =
                first.iter().any(|alternative| parts.iter().all(|(of, ..)| of.contains(alternative)));
            if !common && let Some((_, path, attr)) = parts.last() {
                let (path, attr) = ((*path).to_owned(), (*attr).to_owned());
                self.find(&path, &attr, What::Alternatives, format!("one alternative of group {group}"));
            }
        }
    }
}
