//! The inbox: events of value until the application has them, and what recognises a message that comes again.
//!
//! An event is written in the transaction that decrypted it (04 R1). Its payload is erased when the application
//! acknowledges it; the row's id, and the hash of every opened ciphertext, stay for 30 days (04 R5).

use crate::UnixMillis;
use crate::codec::{numbered, record};
use crate::error::Result;
use crate::rows::{Key, Order, Range, Table, number_of};
use crate::secret::{Secret, SecretBytes};
use crate::store::{IfCorrupt, Tx};

record! {
    /// What names a message: chat, bare sender, id (05b §7 no. 6).
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    pub struct MessageKey {
        /// The chat.
        pub chat: String,
        /// The bare sender.
        pub sender: String,
        /// The message id.
        pub id: String,
    }
}

impl MessageKey {
    /// From its parts.
    #[must_use]
    pub fn new(chat: impl Into<String>, sender: impl Into<String>, id: impl Into<String>) -> Self {
        Self { chat: chat.into(), sender: sender.into(), id: id.into() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        Key::new().text(&self.chat).text(&self.sender).text(&self.id).bytes()
    }
}

/// How far an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventState {
    /// Never handed out.
    Pending,
    /// Handed out, not acknowledged: it comes again after a restart.
    Delivered,
    /// The application has it; the payload is erased.
    Acknowledged,
}
numbered! { EventState { Pending = 1, Delivered = 2, Acknowledged = 3, } }

record! {
    /// An event in the inbox.
    #[derive(Debug, Clone)]
    pub struct Event {
        /// Its place in the account's order; numbers are never used twice.
        pub seq: u64,
        /// Stable id, for consumers to drop what they have seen.
        pub event_id: String,
        /// What kind it is.
        pub kind: String,
        /// The message it is about.
        pub message: Option<MessageKey>,
        /// Its content; empty once acknowledged.
        pub payload: SecretBytes,
        /// How far it is.
        pub state: EventState,
        /// When it was written.
        pub received_at: UnixMillis,
        /// When it was acknowledged.
        pub acknowledged_at: Option<UnixMillis>,
    }
}

/// An event to be written.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Stable id; an id that is in the inbox already is not written again.
    pub event_id: String,
    /// What kind it is.
    pub kind: String,
    /// The message it is about.
    pub message: Option<MessageKey>,
    /// Its content.
    pub payload: SecretBytes,
}

record! {
    /// A ciphertext that was opened, or a message whose content was obtained.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Seen {
        /// The message.
        pub message: MessageKey,
        /// When.
        pub at: UnixMillis,
        /// The row stays as long as this signed prekey is held: the ciphertext could be replayed until then.
        pub signed_prekey: Option<u32>,
        /// The server's time of the message, Unix seconds, where it is one whose content was obtained.
        pub sent: Option<i64>,
    }
}

/// What kind of message a secret belongs to; says how long it is kept (04 §12.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOf {
    /// An ordinary message.
    Message,
    /// A poll or an event, which is answered for longer.
    PollOrEvent,
}
numbered! { SecretOf { Message = 1, PollOrEvent = 2, } }

record! {
    /// A message secret (04 §12).
    #[derive(Debug, Clone)]
    pub struct MessageSecret {
        /// The secret.
        pub secret: Secret<32>,
        /// When it was stored.
        pub at: UnixMillis,
        /// What it belongs to.
        pub of: SecretOf,
    }
}

fn seq_key(seq: u64) -> Vec<u8> {
    Key::new().number(seq).bytes()
}

impl Tx<'_> {
    /// Writes an event. Returns its number; an event id that is there already keeps its number and is not written.
    ///
    /// # Errors
    /// The engine's.
    pub fn push_event(&mut self, event: &NewEvent, now: UnixMillis) -> Result<u64> {
        let id = Key::new().text(&event.event_id).bytes();
        if let Some(seq) = self.index(Table::InboxIds, &id)? {
            return Ok(seq);
        }
        let seq = self.next_number("inbox")?;
        let row = Event {
            seq,
            event_id: event.event_id.clone(),
            kind: event.kind.clone(),
            message: event.message.clone(),
            payload: event.payload.clone(),
            state: EventState::Pending,
            received_at: now,
            acknowledged_at: None,
        };
        self.store(Table::Inbox, &seq_key(seq), &row)?;
        self.store(Table::InboxIds, &id, &seq)?;
        self.store_body(Table::InboxOpen, &seq_key(seq), &[])?;
        Ok(seq)
    }

    /// An event by its id.
    ///
    /// # Errors
    /// The engine's.
    pub fn event(&self, event_id: &str) -> Result<Option<Event>> {
        match self.index(Table::InboxIds, &Key::new().text(event_id).bytes())? {
            Some(seq) => self.load(Table::Inbox, &seq_key(seq), IfCorrupt::Quarantine),
            None => Ok(None),
        }
    }

    /// Events that are not acknowledged, in order, behind number `after` (0: from the first).
    ///
    /// # Errors
    /// The engine's.
    pub fn open_events(&self, after: u64, limit: usize) -> Result<Vec<Event>> {
        let range = Range::after(seq_key(after));
        let mut events = Vec::new();
        for (key, _) in self.scan(Table::InboxOpen, &range, Order::Ascending, limit)? {
            events.extend(self.load::<Event>(Table::Inbox, &key, IfCorrupt::Quarantine)?);
        }
        Ok(events)
    }

    /// How many events are not acknowledged.
    ///
    /// # Errors
    /// The engine's.
    pub fn open_event_count(&self) -> Result<u64> {
        self.count(Table::InboxOpen, &Range::all())
    }

    /// The event was handed to the application.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_delivered(&mut self, event_id: &str) -> Result<()> {
        match self.event(event_id)? {
            Some(mut event) if event.state == EventState::Pending => {
                event.state = EventState::Delivered;
                self.store(Table::Inbox, &seq_key(event.seq), &event)
            }
            _ => Ok(()),
        }
    }

    /// The application has the event: its payload is erased. `false` if there is no such event, or it was before.
    ///
    /// # Errors
    /// The engine's.
    pub fn acknowledge(&mut self, event_id: &str, now: UnixMillis) -> Result<bool> {
        let Some(mut event) = self.event(event_id)? else { return Ok(false) };
        if event.state == EventState::Acknowledged {
            return Ok(false);
        }
        event.state = EventState::Acknowledged;
        event.acknowledged_at = Some(now);
        event.payload = SecretBytes::default();
        self.store(Table::Inbox, &seq_key(event.seq), &event)?;
        self.remove(Table::InboxOpen, &seq_key(event.seq))?;
        Ok(true)
    }

    /// Notes that the content of a message was obtained: another delivery of it is a duplicate. `sent`: the server's
    /// time of it, Unix seconds.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_message_seen(
        &mut self,
        message: &MessageKey,
        sent: Option<i64>,
        now: UnixMillis,
    ) -> Result<()> {
        let seen = Seen { message: message.clone(), at: now, signed_prekey: None, sent };
        self.store(Table::SeenMessages, &message.bytes(), &seen)
    }

    /// Whether, and when, the content of a message was obtained.
    ///
    /// # Errors
    /// The engine's.
    pub fn seen_message(&self, message: &MessageKey) -> Result<Option<Seen>> {
        self.load(Table::SeenMessages, &message.bytes(), IfCorrupt::Delete)
    }

    /// Notes that a ciphertext (by its SHA-256) was opened.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_hash_seen(&mut self, hash: &[u8; 32], message: &MessageKey, now: UnixMillis) -> Result<()> {
        let seen = Seen { message: message.clone(), at: now, signed_prekey: None, sent: None };
        self.store(Table::SeenHashes, hash, &seen)
    }

    /// As [`Tx::mark_hash_seen`], for a `pkmsg` without one-time prekey: once its session is gone only this row keeps
    /// it from opening again, so the row stays until the signed prekey is erased (04 §8.3).
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_replayable_hash_seen(
        &mut self,
        hash: &[u8; 32],
        message: &MessageKey,
        signed_prekey: u32,
        now: UnixMillis,
    ) -> Result<()> {
        let seen = Seen { message: message.clone(), at: now, signed_prekey: Some(signed_prekey), sent: None };
        self.store(Table::SeenHashes, hash, &seen)
    }

    /// Whether a ciphertext was opened, and for which message: look here before decrypting (04 R3).
    ///
    /// # Errors
    /// The engine's.
    pub fn seen_hash(&self, hash: &[u8; 32]) -> Result<Option<Seen>> {
        self.load(Table::SeenHashes, hash, IfCorrupt::Delete)
    }

    /// The secret of a message.
    ///
    /// # Errors
    /// The engine's.
    pub fn message_secret(&self, message: &MessageKey) -> Result<Option<Secret<32>>> {
        let row =
            self.load::<MessageSecret>(Table::MessageSecrets, &message.bytes(), IfCorrupt::Quarantine)?;
        Ok(row.map(|row| row.secret))
    }

    /// Stores the secret of a message.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_message_secret(
        &mut self,
        message: &MessageKey,
        secret: &Secret<32>,
        of: SecretOf,
        now: UnixMillis,
    ) -> Result<()> {
        let row = MessageSecret { secret: secret.clone(), at: now, of };
        self.store(Table::MessageSecrets, &message.bytes(), &row)
    }

    /// Takes an event back that nobody was told of: what it says did not come about. `false` if there is no such event.
    ///
    /// # Errors
    /// The engine's.
    pub fn withdraw_event(&mut self, event_id: &str) -> Result<bool> {
        let id = Key::new().text(event_id).bytes();
        let Some(seq) = self.index(Table::InboxIds, &id)? else { return Ok(false) };
        self.remove(Table::InboxIds, &id)?;
        self.remove(Table::InboxOpen, &seq_key(seq))?;
        self.remove(Table::Inbox, &seq_key(seq))
    }

    /// Deletes events of a page that were acknowledged before `before`; their ids are forgotten.
    pub(crate) fn prune_inbox(&mut self, after: &mut Option<Vec<u8>>, before: UnixMillis) -> Result<u64> {
        let old = |event: &Event| event.acknowledged_at.is_some_and(|at| at < before);
        let mut ids = Vec::new();
        let gone = self.prune_page::<Event>(Table::Inbox, IfCorrupt::Quarantine, after, |event| {
            let old = old(event);
            if old {
                ids.push(event.event_id.clone());
            }
            old
        })?;
        for id in ids {
            self.remove(Table::InboxIds, &Key::new().text(id).bytes())?;
        }
        Ok(gone)
    }

    /// The number of the newest event; 0 if there was none.
    ///
    /// # Errors
    /// The engine's.
    pub fn last_event(&self) -> Result<u64> {
        let last = self.scan(Table::Inbox, &Range::all(), Order::Descending, 1)?;
        Ok(last.first().and_then(|(key, _)| number_of(key)).unwrap_or(0))
    }
}
