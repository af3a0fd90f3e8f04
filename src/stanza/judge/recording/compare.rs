//! A recording held against what we know: our stanzas against the table of shapes, the server's against the known names,
//! both against the expected order. What differs is said in words.

use std::fmt;

use super::line::{Entry, Recording, Way};
use super::order;
use crate::stanza::judge::deviations::Deviations;
use crate::stanza::judge::drift::{Names, Unknown};
use crate::stanza::judge::recording::Shape;
use crate::stanza::judge::table::Table;

/// Who is otherwise than expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The service: what it sends is not in our specification.
    Service,
    /// Our client: what it sends is not what the official one does.
    Palomar,
}

impl Side {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "the service",
            Self::Palomar => "palomar",
        }
    }
}

/// One way in which a recording is otherwise than expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Who.
    pub side: Side,
    /// What, in words.
    pub what: String,
    /// The connection on which it was first seen.
    pub conn: u32,
    /// When it was first seen, milliseconds since the recording's begin.
    pub ms: i64,
    /// How often.
    pub count: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, what, conn, ms, count } = self;
        let times = if *count == 1 { String::new() } else { format!(", {count} times") };
        write!(f, "{} {what} (connection {conn}, first after {ms} ms{times})", side.name())
    }
}

/// Compares a recording.
#[must_use]
pub fn compare(
    recording: &Recording,
    table: &Table,
    deviations: &Deviations,
    names: &Names,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for entry in &recording.entries {
        let Entry::Stanza { conn, ms, way, shape } = entry else { continue };
        let said: Vec<(Side, String)> = match way {
            Way::Out => sent(shape, table, deviations),
            Way::In => names.unknown(&shape.sample()).iter().map(received).collect(),
        };
        for (side, what) in said {
            add(&mut differences, Difference { side, what, conn: *conn, ms: *ms, count: 1 });
        }
    }
    for difference in order::differences(recording) {
        add(&mut differences, difference);
    }
    differences
}

fn add(differences: &mut Vec<Difference>, new: Difference) {
    match differences.iter_mut().find(|known| known.side == new.side && known.what == new.what) {
        Some(known) => known.count += new.count,
        None => differences.push(new),
    }
}

/// What the judge says of a stanza of ours, as far as its shape tells.
fn sent(shape: &Shape, table: &Table, deviations: &Deviations) -> Vec<(Side, String)> {
    let judgement = table.judge_shape(&shape.sample(), deviations);
    let findings = judgement.findings.iter().filter(|finding| !deviations.lists(finding));
    findings
        .map(|finding| (Side::Palomar, format!("sends otherwise than the official client: {finding}")))
        .collect()
}

fn received(unknown: &Unknown) -> (Side, String) {
    let Unknown { kind, place, name } = unknown;
    (Side::Service, format!("sends what this build does not know: {} {name} in {place}", kind.name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::judge::recording::Header;
    use crate::wire::{Jid, Node};

    fn said(way: Way, stanzas: &[Node]) -> Vec<String> {
        let entry = |stanza: &Node| Entry::Stanza { conn: 1, ms: 7, way, shape: Shape::of(stanza) };
        let recording = Recording {
            header: Header::new("0.1.0", 0),
            entries: stanzas.iter().map(entry).collect(),
            cut: None,
        };
        let (table, deviations) = (Table::built_in().unwrap(), Deviations::built_in().unwrap());
        let found = compare(&recording, &table, &deviations, &Names::built_in());
        found.iter().map(Difference::to_string).collect()
    }

    fn active() -> Node {
        let iq = Node::new("iq").attr("id", "1.2-3").attr("to", Jid::service()).attr("type", "set");
        iq.attr("xmlns", "passive").child(Node::new("active"))
    }

    #[test]
    fn recorder_a_good_stanza_is_no_difference_and_a_bad_one_is_named_with_its_count() {
        assert_eq!(said(Way::Out, &[active()]), [""; 0]);
        let bad = active().attr("shade", "x");
        let found = said(Way::Out, &[bad.clone(), bad]);
        assert_eq!(found.len(), 1);
        let line = &found[0];
        assert!(
            line.starts_with("palomar sends otherwise") && line.contains("shade") && line.contains("2 times"),
            "{line}"
        );
    }

    #[test]
    fn recorder_what_the_service_sends_anew_is_named() {
        let known = Node::new("success").attr("t", "1").attr("lid", Jid::lid("7").unwrap());
        assert_eq!(said(Way::In, &[known]), [""; 0]);
        let found = said(Way::In, &[Node::new("ib").child(Node::new("beam"))]);
        assert!(
            found.len() == 1 && found[0].starts_with("the service") && found[0].contains("beam"),
            "{found:?}"
        );
    }
}
