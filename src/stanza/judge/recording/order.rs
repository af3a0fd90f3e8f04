//! The first minute of each recorded connection, held against the expected order (protocol 01 §14).

use super::compare::{Difference, Side};
use super::line::{Entry, Purpose, Recording, Way};
use crate::stanza::judge::order::{self, Fault, LINK, LOGIN, Mark, Row, Step};

/// What is looked at of a login, from its first stanza on.
const MINUTE_MS: i64 = 60_000;
/// What the service sends.
const OF_SERVICE: [Mark; 6] = [
    Mark::PairDevice,
    Mark::PairSuccess,
    Mark::Restart,
    Mark::Success,
    Mark::OfflinePreview,
    Mark::OfflineEnd,
];

/// What follows from a message that comes or goes.
const OF_TALK: [Mark; 5] =
    [Mark::DeviceQuery, Mark::KeyFetch, Mark::ContactToken, Mark::MediaHosts, Mark::Message];

/// One connection of a recording.
struct Connection {
    conn: u32,
    purpose: Purpose,
    opened: i64,
    last: i64,
    marks: Vec<(i64, Mark)>,
    /// When the first message came or went.
    talk: Option<i64>,
}

/// How the first minutes differ. A login with work to do is compared only behind its registration: what is due otherwise
/// a recording does not tell.
pub(super) fn differences(recording: &Recording) -> Vec<Difference> {
    let connections = connections(recording);
    let mut found = Vec::new();
    for (at, connection) in connections.iter().enumerate() {
        let after = at.checked_sub(1).and_then(|before| connections.get(before));
        match (connection.purpose, after) {
            (Purpose::Active, _) => found.extend(minute(LOGIN, &[connection])),
            (Purpose::Passive, Some(link)) if link.purpose == Purpose::Registration => {
                found.extend(minute(LINK, &[link, connection]));
            }
            _ => {}
        }
    }
    found
}

fn connections(recording: &Recording) -> Vec<Connection> {
    let mut connections: Vec<Connection> = Vec::new();
    for entry in &recording.entries {
        match entry {
            Entry::Open { conn, ms, purpose, .. } => connections.push(Connection {
                conn: *conn,
                purpose: *purpose,
                opened: *ms,
                last: *ms,
                marks: Vec::new(),
                talk: None,
            }),
            Entry::Stanza { conn, ms, way, shape } => {
                let Some(of) = connections.iter_mut().rev().find(|of| of.conn == *conn) else { continue };
                of.last = *ms;
                if shape.tag == "message" {
                    of.talk.get_or_insert(*ms);
                }
                let stanza = shape.sample();
                if let Some(mark) = order::Shape::of(*way == Way::Out, &stanza).mark() {
                    of.marks.push((*ms, mark));
                }
            }
            Entry::End { conn, ms } => {
                if let Some(of) = connections.iter_mut().rev().find(|of| of.conn == *conn) {
                    of.last = *ms;
                }
            }
            Entry::Full => {}
        }
    }
    connections
}

fn minute(steps: &[Step], connections: &[&Connection]) -> Vec<Difference> {
    let Some(login) = connections.last() else { return Vec::new() };
    let until = login.opened + MINUTE_MS;
    let whole = login.last >= until;
    let marks = connections.iter().flat_map(|connection| &connection.marks);
    let marks: Vec<Mark> = marks.filter(|(ms, _)| *ms < until).map(|(_, mark)| *mark).collect();
    let talks = connections.iter().any(|connection| connection.talk.is_some_and(|ms| ms < until));
    let rows = order::compare(steps, &marks);
    let quiet = rows.iter().filter(|row| !(talks && OF_TALK.contains(&row.mark)));
    quiet.filter_map(|row| difference(row, whole, login)).collect()
}

fn difference(row: &Row, whole: bool, login: &Connection) -> Option<Difference> {
    let fault = row.fault?;
    // A minute that was cut short lacks what would have come; other queries are an application's.
    if fault == Fault::Missing && !whole || row.mark == Mark::OtherQuery {
        return None;
    }
    let side = if OF_SERVICE.contains(&row.mark) { Side::Service } else { Side::Palomar };
    let chapter = row.expected.map(|step| format!(" ({})", step.place)).unwrap_or_default();
    let (name, seen) = (row.mark.name(), row.seen.count());
    let what = format!("in the first minute: {name} {}, seen {seen} times{chapter}", fault.name());
    Some(Difference { side, what, conn: login.conn, ms: login.opened, count: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::judge::recording::{Header, Shape};
    use crate::wire::{Jid, Node};

    fn login(stanzas: &[(Way, Node)], lived: i64) -> Vec<String> {
        let mut entries = vec![Entry::Open {
            conn: 1,
            ms: 0,
            purpose: Purpose::Active,
            client_version: "2.3000.1".to_owned(),
        }];
        for (at, (way, stanza)) in (1..).zip(stanzas) {
            entries.push(Entry::Stanza { conn: 1, ms: at, way: *way, shape: Shape::of(stanza) });
        }
        entries.push(Entry::End { conn: 1, ms: lived });
        let recording = Recording { header: Header::new("0.1.0", 0), entries, cut: None };
        differences(&recording).iter().map(Difference::to_string).collect()
    }

    fn query(xmlns: &'static str, child: &'static str) -> Node {
        let iq = Node::new("iq").attr("id", "1.2-3").attr("to", Jid::service()).attr("type", "get");
        iq.attr("xmlns", xmlns).child(Node::new(child))
    }

    #[test]
    fn recorder_the_first_minute_of_a_login_is_held_against_the_order() {
        let success = (Way::In, Node::new("success").attr("t", "1"));
        let short = login(std::slice::from_ref(&success), 5_000);
        assert_eq!(short, [""; 0], "what is missing counts only after a whole minute");
        let whole = login(std::slice::from_ref(&success), 61_000);
        assert!(
            whole.iter().any(|line| line.starts_with("palomar") && line.contains("missing")),
            "{whole:?}"
        );
        assert!(
            whole.iter().any(|line| line.starts_with("the service") && line.contains("missing")),
            "{whole:?}"
        );
        let count = login(&[success, (Way::Out, query("encrypt", "count"))], 5_000);
        assert!(count.len() == 1 && count[0].contains("too often"), "no count at login: {count:?}");
    }
}
