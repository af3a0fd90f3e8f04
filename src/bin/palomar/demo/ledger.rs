//! What was said and what arrived, by the one thing that names a message on every side: its text. Pure but for the
//! waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use palomar::client::event::{Event, ReceiptKind, SendState};
use tokio::sync::watch;

/// One message of the demo.
#[derive(Debug, Default, Clone)]
pub struct Message {
    /// The account that sends it; `None`: a phone does.
    pub from: Option<usize>,
    /// The account that gets it; `None`: only a phone does.
    pub to_account: Option<usize>,
    /// The number whose phone gets it.
    pub to_number: String,
    /// Its id, once known.
    pub id: Option<String>,
    /// The server took it.
    pub accepted: bool,
    /// Event ids under which the account's application got it.
    events: BTreeSet<String>,
    /// How often it came to the phone.
    at_phone: usize,
    /// A device of the recipient confirmed it.
    pub delivered: bool,
    /// The recipient read it.
    pub read: bool,
}

impl Message {
    /// One that is about to be sent.
    pub fn new(from: Option<usize>, to_account: Option<usize>, to_number: &str) -> Self {
        Self { from, to_account, to_number: to_number.to_owned(), ..Self::default() }
    }

    /// Whether it reached everybody it was for.
    pub fn arrived(&self) -> bool {
        self.at_phone > 0 && (self.to_account.is_none() || !self.events.is_empty())
    }

    fn twice(&self) -> u64 {
        let extra = self.events.len().saturating_sub(1) + self.at_phone.saturating_sub(1);
        u64::try_from(extra).unwrap_or(u64::MAX)
    }
}

/// Counts of one account or of all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages the server took.
    pub sent: u64,
    /// Of those, confirmed by a device.
    pub delivered: u64,
    /// Of those, read.
    pub read: u64,
    /// Messages that came.
    pub received: u64,
}

/// All messages.
#[derive(Debug, Default)]
pub struct Book {
    messages: BTreeMap<String, Message>,
    refused: Vec<String>,
    unexpected: u64,
}

impl Book {
    /// A message that is about to be sent.
    pub fn plan(&mut self, text: &str, message: Message) {
        self.messages.insert(text.to_owned(), message);
    }

    /// The server took a message that a phone sent.
    pub fn phone_sent(&mut self, text: &str, id: String) {
        if let Some(message) = self.messages.get_mut(text) {
            message.accepted = true;
            message.id = Some(id);
        }
    }

    /// The client accepted a send under this id.
    pub fn named(&mut self, text: &str, id: String) {
        if let Some(message) = self.messages.get_mut(text) {
            message.id = Some(id);
        }
    }

    /// How often each text is in a phone's inbox.
    pub fn phone_has(&mut self, number: &str, texts: &[String]) {
        for (text, message) in self.messages.iter_mut().filter(|(_, message)| message.to_number == number) {
            message.at_phone = texts.iter().filter(|there| *there == text).count();
        }
    }

    /// An event at an account. Sends use their text as the idempotency key.
    pub fn event(&mut self, account: usize, event_id: &str, event: &Event) {
        match event {
            Event::Message(received) if !received.from_me => {
                let text = received.text.as_deref().unwrap_or_default();
                match self.messages.get_mut(text).filter(|message| message.to_account == Some(account)) {
                    Some(message) => {
                        message.events.insert(event_id.to_owned());
                    }
                    None => self.unexpected += 1,
                }
            }
            Event::Outgoing(progress) => match (&progress.state, self.messages.get_mut(&progress.key)) {
                (SendState::Sent { .. }, Some(message)) => message.accepted = true,
                (SendState::Sent { .. }, None) => self.unexpected += 1,
                // It goes on by itself.
                (SendState::Waiting { .. }, _) => {}
                (state, _) => self.refused.push(format!("{}: {state:?}", progress.key)),
            },
            Event::Receipt(receipt) => {
                let own = |message: &&mut Message| {
                    message.from == Some(account)
                        && message.id.as_ref().is_some_and(|id| receipt.ids.contains(id))
                };
                for message in self.messages.values_mut().filter(own) {
                    message.delivered |= receipt.kind != ReceiptKind::ReadElsewhere;
                    message.read |= matches!(receipt.kind, ReceiptKind::Read | ReceiptKind::Played);
                }
            }
            _ => {}
        }
    }

    /// The counts of one account.
    pub fn counts(&self, account: usize) -> Counts {
        let sent = || self.messages.values().filter(|m| m.from == Some(account) && m.accepted);
        let received =
            self.messages.values().filter(|m| m.to_account == Some(account) && !m.events.is_empty());
        Counts {
            sent: sent().count() as u64,
            delivered: sent().filter(|m| m.delivered).count() as u64,
            read: sent().filter(|m| m.read).count() as u64,
            received: received.count() as u64,
        }
    }

    /// The counts of everybody, phones included.
    pub fn total(&self) -> Counts {
        let all = self.messages.values();
        let accepted = || self.messages.values().filter(|m| m.accepted);
        Counts {
            sent: accepted().count() as u64,
            delivered: accepted().filter(|m| m.delivered).count() as u64,
            read: accepted().filter(|m| m.read).count() as u64,
            received: all.filter(|m| m.arrived()).count() as u64,
        }
    }

    /// Whether everything planned was accepted and has arrived.
    pub fn all_there(&self) -> bool {
        self.messages.values().all(|m| m.accepted && m.arrived())
    }

    /// Messages that were accepted and did not reach everybody.
    pub fn lost(&self) -> Vec<&str> {
        let lost = self.messages.iter().filter(|(_, m)| m.accepted && !m.arrived());
        lost.map(|(text, _)| text.as_str()).collect()
    }

    /// How often a message reached somebody once too often.
    pub fn duplicated(&self) -> u64 {
        self.messages.values().map(Message::twice).sum()
    }

    /// What did not happen as planned, in words.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = self.refused.clone();
        complaints.extend(self.lost().iter().map(|text| format!("lost: {text}")));
        let open = self.messages.iter().filter(|(_, m)| !m.accepted);
        complaints.extend(open.map(|(text, _)| format!("not accepted by the server: {text}")));
        let unread = self.messages.iter().filter(|(_, m)| m.from.is_some() && !(m.delivered && m.read));
        complaints.extend(unread.map(|(text, _)| format!("no delivery or read receipt: {text}")));
        if self.duplicated() > 0 {
            complaints.push(format!("{} duplicates", self.duplicated()));
        }
        if self.unexpected > 0 {
            complaints.push(format!("{} messages that nobody sent", self.unexpected));
        }
        complaints
    }
}

/// The book, shared by everybody who writes in it.
#[derive(Debug)]
pub struct Ledger {
    book: Mutex<Book>,
    changed: watch::Sender<u64>,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self { book: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// Reads or writes.
    pub fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        let result = work(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|changes| *changes += 1);
        result
    }

    /// Waits until `true_now` holds; `false` if it does not within the time.
    pub async fn wait(&self, within: Duration, true_now: impl Fn(&Book) -> bool) -> bool {
        let mut changes = self.changed.subscribe();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if true_now(&self.book.lock().unwrap_or_else(PoisonError::into_inner)) {
                    return true;
                }
                if changes.changed().await.is_err() {
                    return false;
                }
            }
        };
        tokio::time::timeout(within, wait).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use palomar::client::event::{Progress, Receipt, Received};

    use super::*;

    fn received(text: &str) -> Event {
        Event::Message(Box::new(Received {
            chat: "c".into(),
            sender: "s".into(),
            sender_alt: None,
            id: "i".into(),
            from_me: false,
            timestamp: 0,
            push_name: None,
            offline: false,
            text: Some(text.into()),
            change: None,
            message: Vec::new(),
        }))
    }

    fn book() -> Book {
        let mut book = Book::default();
        book.plan("hello", Message::new(Some(0), Some(1), "2"));
        book.named("hello", "ID".into());
        book
    }

    fn accept(book: &mut Book) {
        let state = SendState::Sent { timestamp: 1, phone_missed: false };
        let progress = Progress { key: "hello".into(), chat: "c".into(), id: "ID".into(), state };
        book.event(0, "e0", &Event::Outgoing(progress));
    }

    #[test]
    fn a_message_that_went_all_the_way_leaves_no_complaint() {
        let mut book = book();
        assert!(!book.complaints().is_empty());
        accept(&mut book);
        assert_eq!(book.lost(), ["hello"]);
        book.event(1, "e1", &received("hello"));
        book.event(1, "e1", &received("hello"));
        book.phone_has("2", &["hello".into()]);
        let read = Receipt {
            chat: "c".into(),
            device: "d".into(),
            ids: vec!["ID".into()],
            kind: ReceiptKind::Read,
            timestamp: 1,
        };
        book.event(0, "e2", &Event::Receipt(read));
        assert_eq!(book.complaints(), Vec::<String>::new());
        assert_eq!(book.counts(0), Counts { sent: 1, delivered: 1, read: 1, received: 0 });
        assert_eq!(book.counts(1), Counts { received: 1, ..Counts::default() });
    }

    #[test]
    fn two_event_ids_or_two_at_the_phone_are_duplicates_and_an_unknown_text_is_unexpected() {
        let mut book = book();
        accept(&mut book);
        book.event(1, "e1", &received("hello"));
        book.event(1, "e2", &received("hello"));
        book.phone_has("2", &["hello".into(), "hello".into()]);
        book.event(1, "e3", &received("what"));
        assert_eq!((book.duplicated(), book.unexpected), (2, 1));
    }
}
