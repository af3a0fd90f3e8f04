//! What was promised and what arrived, on both sides. Lost: accepted from one side and never seen by the other's
//! application. Duplicated: one text under two event ids, or twice in a phone's inbox. The same event id twice is
//! at-least-once, not a duplicate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// One text that the client was asked to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Written to the client, which has not answered: it may be lost, and is offered again.
    Offered,
    /// The client has answered for it.
    Accepted,
    /// The client says that the server has it.
    Sent,
}

/// The books of one run. Keys and texts are the same strings.
#[derive(Debug, Default)]
pub struct Books {
    /// Texts of the contact that the server took, and the event ids under which the application saw them.
    towards: BTreeMap<String, BTreeSet<String>>,
    /// Which text an event id stood for.
    events: BTreeMap<String, String>,
    /// Texts of the client.
    from: BTreeMap<String, Progress>,
    /// How often each text reached the contact's phone, and the own phone as a copy.
    at_contact: BTreeMap<String, usize>,
    at_own_phone: BTreeMap<String, usize>,
    /// Events that came again under their id.
    pub repeated: usize,
    faults: Vec<String>,
}

impl Books {
    /// The contact's message was taken by the server.
    pub fn contact_sent(&mut self, text: &str) {
        self.towards.entry(text.to_owned()).or_default();
    }

    /// The application got a message of the contact.
    pub fn application_got(&mut self, event_id: &str, text: &str) {
        match self.events.insert(event_id.to_owned(), text.to_owned()) {
            Some(before) if before != text => {
                self.faults.push(format!("event {event_id} was {before:?} and is {text:?}"));
            }
            Some(_) => self.repeated += 1,
            None => {}
        }
        self.towards.entry(text.to_owned()).or_default().insert(event_id.to_owned());
    }

    /// The client is asked to send this.
    pub fn offer(&mut self, text: &str) {
        self.raise(text, Progress::Offered);
    }

    /// The client has made a send durable.
    pub fn accepted(&mut self, text: &str) {
        self.raise(text, Progress::Accepted);
    }

    /// The client knows that the server has it.
    pub fn sent(&mut self, text: &str) {
        self.raise(text, Progress::Sent);
    }

    fn raise(&mut self, text: &str, to: Progress) {
        let progress = self.from.entry(text.to_owned()).or_insert(to);
        *progress = (*progress).max(to);
    }

    /// The contact's phone got a message.
    pub fn contact_got(&mut self, text: &str) {
        *self.at_contact.entry(text.to_owned()).or_default() += 1;
    }

    /// The own phone got the copy of a message of the client.
    pub fn own_phone_got(&mut self, text: &str) {
        *self.at_own_phone.entry(text.to_owned()).or_default() += 1;
    }

    /// Texts of the contact that the application has not seen.
    pub fn underway_in(&self) -> usize {
        self.towards.values().filter(|ids| ids.is_empty()).count()
    }

    /// Texts of the client for which it has not said that the server has them.
    pub fn underway_out(&self) -> usize {
        self.from.values().filter(|progress| **progress != Progress::Sent).count()
    }

    /// Texts to offer again after a restart.
    pub fn unanswered(&self) -> Vec<String> {
        let offered = self.from.iter().filter(|(_, progress)| **progress == Progress::Offered);
        offered.map(|(text, _)| text.clone()).collect()
    }

    /// Texts that the client has answered for and that have not reached both phones.
    pub fn missing_at_phones(&self) -> usize {
        let promised = self.from.iter().filter(|(_, progress)| **progress != Progress::Offered);
        let there = |text| self.at_contact.contains_key(text) && self.at_own_phone.contains_key(text);
        promised.filter(|(text, _)| !there(*text)).count()
    }

    /// What has not arrived or is not confirmed yet.
    pub fn open(&self) -> Vec<String> {
        let towards = self.towards.iter().filter(|(_, ids)| ids.is_empty());
        let from = self.from.iter().filter(|(_, progress)| **progress != Progress::Sent);
        let towards = towards.map(|(text, _)| text.clone());
        towards.chain(from.map(|(text, progress)| format!("{text} {progress:?}"))).collect()
    }

    /// How many messages went each way: to the application, to the contact.
    pub fn totals(&self) -> (usize, usize) {
        (self.towards.len(), self.from.len())
    }

    /// Everything lost, duplicated or mixed up; empty if the books balance.
    pub fn verdict(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        for (text, ids) in &self.towards {
            match ids.len() {
                0 => faults.push(format!("lost on the way in: {text}")),
                1 => {}
                _ => faults.push(format!("duplicated on the way in: {text} as {ids:?}")),
            }
        }
        for (place, inbox) in [("contact", &self.at_contact), ("own phone", &self.at_own_phone)] {
            for (text, progress) in &self.from {
                match inbox.get(text) {
                    None if *progress != Progress::Offered => {
                        faults.push(format!("lost at the {place}: {text}"))
                    }
                    Some(times) if *times > 1 => {
                        faults.push(format!("duplicated at the {place}: {text}, {times} times"));
                    }
                    _ => {}
                }
            }
            for text in inbox.keys().filter(|text| !self.from.contains_key(*text)) {
                faults.push(format!("never offered, but at the {place}: {text}"));
            }
        }
        faults
    }
}

/// At most this many lines of a long list.
pub fn shortened(faults: &[String]) -> String {
    let mut text = String::new();
    for fault in faults.iter().take(20) {
        let _ = writeln!(text, "  {fault}");
    }
    if faults.len() > 20 {
        let _ = writeln!(text, "  and {} more", faults.len() - 20);
    }
    text
}

#[test]
fn the_books_see_what_is_lost_and_what_is_duplicated() {
    let mut books = Books::default();
    for text in ["in-1", "in-2", "in-3"] {
        books.contact_sent(text);
    }
    books.application_got("e1", "in-1");
    books.application_got("e1", "in-1");
    books.application_got("e2", "in-2");
    books.application_got("e3", "in-2");
    for text in ["out-1", "out-2", "out-3", "out-4"] {
        books.offer(text);
    }
    books.accepted("out-1");
    books.sent("out-2");
    for text in ["out-2", "out-3", "out-3"] {
        books.contact_got(text);
        books.own_phone_got(text);
    }
    assert_eq!((books.underway_in(), books.underway_out(), books.missing_at_phones()), (1, 3, 1));
    assert_eq!(books.unanswered(), ["out-3", "out-4"]);
    assert_eq!(
        books.verdict(),
        [
            "duplicated on the way in: in-2 as {\"e2\", \"e3\"}",
            "lost on the way in: in-3",
            "lost at the contact: out-1",
            "duplicated at the contact: out-3, 2 times",
            "lost at the own phone: out-1",
            "duplicated at the own phone: out-3, 2 times",
        ]
    );
    assert_eq!(books.repeated, 1);
}
