//! A device's queue of undelivered and unanswered stanzas (09 §12): what leaves it, and when. Not: the pace of
//! offline delivery, which is `login`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::connection::ConnectionId;
use crate::clock::UnixMillis;
use crate::wire::Node;

/// How long an entry stays.
const AGE_MS: i64 = 30 * 86_400_000;
/// How many entries a device may have.
const CAPACITY: usize = 20_000;

/// What an entry is, which decides how it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Leaves by an ack or a receipt of any type but `retry`.
    Message,
    /// A message with `recipient`: in `strict` only `receipt type=sender` ends it.
    OwnCopy,
    /// Leaves by `<ack class=receipt>`.
    Receipt,
    /// Leaves by `<ack class=notification>`, matched by id alone.
    Notification,
    /// Leaves by `<ack class=call>` or a receipt.
    Call,
}

/// One stanza that waits.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Position, growing.
    pub sequence: u64,
    pub kind: Kind,
    pub id: String,
    /// The account (its number) or the group that an answer must name; none for notifications.
    pub peer: Option<String>,
    pub node: Node,
    pub queued_ms: UnixMillis,
    /// The connection it was written to last.
    pub sent_on: Option<ConnectionId>,
}

/// An answer of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer<'a> {
    /// `<ack class>`.
    Ack { class: &'a str },
    /// `<receipt type>`; none is a delivery.
    Receipt { kind: Option<&'a str> },
}

/// The ordered queue of one device.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    next: u64,
}

impl Queue {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Appends a stanza; returns its position, and whether the oldest had to go for it.
    pub fn push(
        &mut self,
        now: UnixMillis,
        kind: Kind,
        id: &str,
        peer: Option<String>,
        node: Node,
    ) -> (u64, bool) {
        while self.entries.front().is_some_and(|entry| now - entry.queued_ms >= AGE_MS) {
            self.entries.pop_front();
        }
        let overflow = self.entries.len() >= CAPACITY;
        if overflow {
            self.entries.pop_front();
        }
        self.next += 1;
        let entry =
            Entry { sequence: self.next, kind, id: id.to_owned(), peer, node, queued_ms: now, sent_on: None };
        self.entries.push_back(entry);
        (self.next, overflow)
    }

    /// An entry of a written state, in order.
    pub fn put_back(&mut self, entry: Entry) {
        self.next = self.next.max(entry.sequence);
        self.entries.push_back(entry);
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn get_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let at = self.entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?;
        self.entries.get_mut(at)
    }

    pub fn get(&self, sequence: u64) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok()?;
        self.entries.get(at)
    }

    /// Empties it, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.drain(..)
    }

    /// Takes out what `answer` ends; `peer` is the account or group that the answer named. `strict` keeps own
    /// copies until their `sender` receipt.
    pub fn answer(&mut self, id: &str, peer: Option<&str>, answer: Answer<'_>, strict: bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| {
            let named = entry.id == id
                && (entry.kind == Kind::Notification || peer.is_none() || entry.peer.as_deref() == peer);
            !(named && ends(entry.kind, answer, strict))
        });
        before - self.entries.len()
    }
}

fn ends(kind: Kind, answer: Answer<'_>, strict: bool) -> bool {
    match (kind, answer) {
        (Kind::Message, Answer::Ack { class: "message" }) => true,
        (Kind::Message, Answer::Receipt { kind }) => kind != Some("retry"),
        (Kind::OwnCopy, Answer::Ack { class: "message" }) => !strict,
        (Kind::OwnCopy, Answer::Receipt { kind }) => {
            if strict {
                kind == Some("sender")
            } else {
                kind != Some("retry")
            }
        }
        (Kind::Receipt, Answer::Ack { class }) => class == "receipt",
        (Kind::Notification, Answer::Ack { class }) => class == "notification",
        (Kind::Call, Answer::Ack { class }) => class == "call",
        (Kind::Call, Answer::Receipt { .. }) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(kind: Kind) -> Queue {
        let mut queue = Queue::default();
        queue.push(0, kind, "A", Some("1".into()), Node::new("message"));
        queue
    }

    #[test]
    fn entries_leave_by_the_answers_of_the_table() {
        let ack = |class| Answer::Ack { class };
        let receipt = |kind| Answer::Receipt { kind };
        let cases = [
            (Kind::Message, ack("message"), true, true),
            (Kind::Message, receipt(None), true, true),
            (Kind::Message, receipt(Some("peer_msg")), true, true),
            (Kind::Message, receipt(Some("retry")), true, false),
            (Kind::OwnCopy, ack("message"), true, false),
            (Kind::OwnCopy, ack("message"), false, true),
            (Kind::OwnCopy, receipt(Some("sender")), true, true),
            (Kind::OwnCopy, receipt(None), true, false),
            (Kind::Receipt, ack("receipt"), true, true),
            (Kind::Receipt, ack("message"), true, false),
            (Kind::Notification, ack("notification"), true, true),
            (Kind::Call, ack("call"), true, true),
        ];
        for (kind, answer, strict, leaves) in cases {
            let left = queue(kind).answer("A", Some("1"), answer, strict);
            assert_eq!(left, usize::from(leaves), "{kind:?} {answer:?} strict={strict}");
        }
    }

    #[test]
    fn an_answer_names_id_and_account_but_notifications_go_by_id_alone() {
        assert_eq!(queue(Kind::Message).answer("B", Some("1"), Answer::Receipt { kind: None }, true), 0);
        assert_eq!(queue(Kind::Message).answer("A", Some("2"), Answer::Receipt { kind: None }, true), 0);
        assert_eq!(
            queue(Kind::Notification).answer("A", None, Answer::Ack { class: "notification" }, true),
            1
        );
    }
}
