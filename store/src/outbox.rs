//! The outbox: durable sends, from the caller's order to the last receipt, and the plaintext kept for retries.
//!
//! A row exists before anything is asked of the network. The stanza's bytes are written in the transaction that moved
//! the ratchets (04 S1) and go out again as they are (04 S3, 05a §12) until the server has answered.

use crate::UnixMillis;
use crate::codec::{numbered, record};
use crate::error::{Result, StoreError};
use crate::housekeeping::Limits;
use crate::rows::{Key, KeyParts, Order, Range, Table, number_of};
use crate::secret::SecretBytes;
use crate::store::{IfCorrupt, Tx};

/// How far a send is. The order is the order of progress: it never goes back, except through an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutgoingState {
    /// Refused by the server or given up; `error` and `detail` say why.
    Failed,
    /// It is not known whether the server has it, and it is no longer sent by itself.
    Unknown,
    /// Accepted from the caller, nothing encrypted.
    Queued,
    /// Encrypted and durable; it may have left.
    Encrypted,
    /// The server took it.
    Sent,
    /// A recipient's device has it.
    Delivered,
    /// Read.
    Read,
    /// Played.
    Played,
}
numbered! {
    OutgoingState {
        Failed = 1, Unknown = 2, Queued = 3, Encrypted = 4, Sent = 5, Delivered = 6, Read = 7, Played = 8,
    }
}

impl OutgoingState {
    /// Whether it still has to be worked on: queued or encrypted.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Encrypted)
    }
}

record! {
    /// A send.
    #[derive(Debug, Clone)]
    pub struct Outgoing {
        /// Its place in the account's order.
        pub seq: u64,
        /// The caller's idempotency key: the same key never sends twice.
        pub key: String,
        /// The message id, fixed at the start.
        pub message_id: String,
        /// The chat, as addressed.
        pub chat: String,
        /// What kind of content: the caller's word.
        pub kind: String,
        /// The serialized message, unpadded; empty once it is no longer kept.
        pub plaintext: SecretBytes,
        /// The edit attribute, where it has one.
        pub edit: Option<String>,
        /// The whole stanza as encrypted; kept until the server answered.
        pub stanza: Option<SecretBytes>,
        /// How far it is.
        pub state: OutgoingState,
        /// How often it went out.
        pub attempts: u32,
        /// The server's error code, for `Failed`.
        pub error: Option<u32>,
        /// What a person should know about the failure.
        pub detail: Option<String>,
        /// When the caller gave it.
        pub created_at: UnixMillis,
        /// When it was encrypted.
        pub encrypted_at: Option<UnixMillis>,
        /// When it last went out.
        pub last_attempt_at: Option<UnixMillis>,
        /// Don't send before (throttling).
        pub not_before: Option<UnixMillis>,
        /// The server's time of the ack, Unix seconds.
        pub server_time: Option<i64>,
        /// Devices that the ack's hash says we missed are reached until then (05a §12).
        pub reach_missed_until: Option<UnixMillis>,
        /// The stable name of our own reason why it waits or failed.
        pub why: Option<String>,
        /// When that reason ends, where it does.
        pub until: Option<UnixMillis>,
        /// It went out without the recipient's phone, which could not be encrypted for (05a §7 rule 2).
        pub phone_missed: bool,
        /// It is one of many that nobody ordered one by one: where a limit refuses a single send, it waits.
        pub campaign: bool,
    }
}

record! {
    /// Devices that a sent message missed are still to be reached (05a §12).
    #[derive(Debug, Clone)]
    pub struct Missed {
        /// The send's idempotency key.
        pub key: String,
        /// The server's hash over all devices.
        pub hash: String,
        /// Not begun after this time.
        pub until: UnixMillis,
        /// The second stanza as encrypted; kept until the server answered.
        pub stanza: Option<SecretBytes>,
    }
}

/// A send to be accepted.
#[derive(Debug, Clone)]
pub struct NewOutgoing {
    /// The caller's idempotency key.
    pub key: String,
    /// The message id to use if the key is new.
    pub message_id: String,
    /// The chat.
    pub chat: String,
    /// What kind of content.
    pub kind: String,
    /// The serialized message, unpadded.
    pub plaintext: SecretBytes,
    /// The edit attribute.
    pub edit: Option<String>,
    /// Whether it belongs to a campaign.
    pub campaign: bool,
}

/// What accepting a send meant.
#[derive(Debug, Clone)]
pub enum Enqueued {
    /// A new row.
    New(Outgoing),
    /// The key is known: this is its row, nothing was changed.
    Known(Outgoing),
}

impl Enqueued {
    /// The row, new or known.
    #[must_use]
    pub fn row(&self) -> &Outgoing {
        match self {
            Self::New(row) | Self::Known(row) => row,
        }
    }
}

record! {
    /// A device that a message was encrypted for (05b §10).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Target {
        /// Its address.
        pub device: String,
        /// Fingerprint of the identity key it had.
        pub identity: Vec<u8>,
        /// It has confirmed with a receipt: no resend any more.
        pub confirmed: bool,
        /// It only got the sender-key ciphertext.
        pub group_only: bool,
    }
}

/// Targets of one message that are looked at at most.
const TARGETS: usize = 8192;

fn seq_key(seq: u64) -> Vec<u8> {
    Key::new().number(seq).bytes()
}

fn message_key(chat: &str, id: &str) -> Vec<u8> {
    Key::new().text(chat).text(id).bytes()
}

impl Tx<'_> {
    /// Accepts a send, once per idempotency key.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the message id is in use in that chat by another key.
    pub fn enqueue(&mut self, new: &NewOutgoing, now: UnixMillis) -> Result<Enqueued> {
        if let Some(known) = self.outgoing(&new.key)? {
            return Ok(Enqueued::Known(known));
        }
        if self.index(Table::OutboxMessages, &message_key(&new.chat, &new.message_id))?.is_some() {
            return Err(StoreError::Refused("this message id is in use in this chat"));
        }
        let seq = self.next_number("outbox")?;
        let row = Outgoing {
            seq,
            key: new.key.clone(),
            message_id: new.message_id.clone(),
            chat: new.chat.clone(),
            kind: new.kind.clone(),
            plaintext: new.plaintext.clone(),
            edit: new.edit.clone(),
            stanza: None,
            state: OutgoingState::Queued,
            attempts: 0,
            error: None,
            detail: None,
            created_at: now,
            encrypted_at: None,
            last_attempt_at: None,
            not_before: None,
            server_time: None,
            reach_missed_until: None,
            why: None,
            until: None,
            phone_missed: false,
            campaign: new.campaign,
        };
        self.store(Table::OutboxKeys, &Key::new().text(&new.key).bytes(), &seq)?;
        self.store(Table::OutboxMessages, &message_key(&new.chat, &new.message_id), &seq)?;
        self.put_outgoing(&row)?;
        Ok(Enqueued::New(row))
    }

    /// A send by its idempotency key.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`]: a key whose row is damaged must not send again.
    pub fn outgoing(&self, key: &str) -> Result<Option<Outgoing>> {
        match self.index(Table::OutboxKeys, &Key::new().text(key).bytes())? {
            Some(seq) => self.load(Table::Outbox, &seq_key(seq), IfCorrupt::Stop),
            None => Ok(None),
        }
    }

    /// A send by chat (as it was addressed) and message id.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`].
    pub fn outgoing_message(&self, chat: &str, message_id: &str) -> Result<Option<Outgoing>> {
        match self.index(Table::OutboxMessages, &message_key(chat, message_id))? {
            Some(seq) => self.load(Table::Outbox, &seq_key(seq), IfCorrupt::Stop),
            None => Ok(None),
        }
    }

    /// Sends that are not finished (queued or encrypted), oldest first, behind number `after` (0: from the first).
    ///
    /// # Errors
    /// The engine's.
    pub fn open_outgoing(&self, after: u64, limit: usize) -> Result<Vec<Outgoing>> {
        let range = Range::after(seq_key(after));
        let mut rows = Vec::new();
        for (key, _) in self.scan(Table::OutboxOpen, &range, Order::Ascending, limit)? {
            rows.extend(self.load::<Outgoing>(Table::Outbox, &key, IfCorrupt::Quarantine)?);
        }
        Ok(rows)
    }

    /// How many sends are not finished.
    ///
    /// # Errors
    /// The engine's.
    pub fn open_outgoing_count(&self) -> Result<u64> {
        self.count(Table::OutboxOpen, &Range::all())
    }

    /// Replaces a row that was read in this transaction: state, stanza, attempts, times.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_outgoing(&mut self, row: &Outgoing) -> Result<()> {
        if row.state.is_open() {
            self.store_body(Table::OutboxOpen, &seq_key(row.seq), &[])?;
        } else {
            self.remove(Table::OutboxOpen, &seq_key(row.seq))?;
        }
        self.store(Table::Outbox, &seq_key(row.seq), row)
    }

    /// Raises the state of a sent message by a receipt; never lowers it. Returns the row if that changed something.
    ///
    /// # Errors
    /// The engine's.
    pub fn raise_outgoing(
        &mut self,
        chat: &str,
        message_id: &str,
        to: OutgoingState,
    ) -> Result<Option<Outgoing>> {
        let Some(mut row) = self.outgoing_message(chat, message_id)? else { return Ok(None) };
        if to <= row.state {
            return Ok(None);
        }
        row.state = to;
        // A receipt proves that the server has it: the stanza need not go out again.
        row.stanza = None;
        self.put_outgoing(&row)?;
        Ok(Some(row))
    }

    /// Notes or replaces what is owed to the devices that a message missed.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_missed(&mut self, seq: u64, missed: &Missed) -> Result<()> {
        self.store(Table::Missed, &seq_key(seq), missed)
    }

    /// What is owed to the devices that a message missed.
    ///
    /// # Errors
    /// The engine's.
    pub fn missed(&self, seq: u64) -> Result<Option<Missed>> {
        self.load(Table::Missed, &seq_key(seq), IfCorrupt::Delete)
    }

    /// All of it, oldest message first, with the numbers of the sends.
    ///
    /// # Errors
    /// The engine's.
    pub fn all_missed(&self, limit: usize) -> Result<Vec<(u64, Missed)>> {
        let rows = self.scan_records(Table::Missed, &Range::all(), limit, IfCorrupt::Delete)?;
        Ok(rows.into_iter().filter_map(|(key, row)| Some((number_of(&key)?, row))).collect())
    }

    /// Nothing is owed any more. Whether there was something.
    ///
    /// # Errors
    /// The engine's.
    pub fn settle_missed(&mut self, seq: u64) -> Result<bool> {
        self.remove(Table::Missed, &seq_key(seq))
    }

    /// Adds devices that a message was encrypted for; a device named again is replaced.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_targets(&mut self, chat: &str, message_id: &str, targets: &[Target]) -> Result<()> {
        for target in targets {
            let key = Key::new().text(chat).text(message_id).text(&target.device).bytes();
            self.store(Table::Targets, &key, target)?;
        }
        Ok(())
    }

    /// The devices a message was encrypted for.
    ///
    /// # Errors
    /// The engine's.
    pub fn targets(&self, chat: &str, message_id: &str) -> Result<Vec<Target>> {
        let range = Range::prefix(message_key(chat, message_id));
        let rows = self.scan_records(Table::Targets, &range, TARGETS, IfCorrupt::Delete)?;
        Ok(rows.into_iter().map(|(_, target)| target).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// The engine's.
    pub fn target(&self, chat: &str, message_id: &str, device: &str) -> Result<Option<Target>> {
        let key = Key::new().text(chat).text(message_id).text(device).bytes();
        self.load(Table::Targets, &key, IfCorrupt::Delete)
    }

    /// A device confirmed with a receipt: it gets no resend any more. `false` if it was no target.
    ///
    /// # Errors
    /// The engine's.
    pub fn confirm_target(&mut self, chat: &str, message_id: &str, device: &str) -> Result<bool> {
        let Some(mut target) = self.target(chat, message_id, device)? else { return Ok(false) };
        if !target.confirmed {
            target.confirmed = true;
            self.put_targets(chat, message_id, &[target])?;
        }
        Ok(true)
    }

    /// Finished rows of a page lose their plaintext and targets when they are older than the limits say, or more newer
    /// ones exist than are kept; the newest are always kept. Their keys and ids stay longer. `newer`: how many rows are
    /// newer than `after`. Oldest first and in steps, so that a large table is never in memory as a whole.
    pub(crate) fn prune_outbox(
        &mut self,
        after: &mut Option<Vec<u8>>,
        newer: &mut Option<usize>,
        now: UnixMillis,
        limits: &Limits,
    ) -> Result<u64> {
        let before = now.saturating_sub(limits.plaintext);
        let forget_before = now.saturating_sub(limits.outgoing);
        let mut left = match *newer {
            Some(left) => left,
            None => usize::try_from(self.count(Table::Outbox, &Range::all())?).unwrap_or(usize::MAX),
        };
        let range = after.take().map_or_else(Range::all, Range::after);
        let rows = self.scan_records::<Outgoing>(Table::Outbox, &range, 256, IfCorrupt::Quarantine)?;
        let mut changed = 0;
        for (key, row) in rows {
            left = left.saturating_sub(1);
            if left < limits.plaintexts_least {
                *after = None;
                return Ok(changed);
            }
            *after = Some(key.clone());
            let old = row.created_at < before || left >= limits.plaintexts_most;
            if !row.state.is_open() && old {
                changed += u64::from(self.forget_outgoing(&key, row, forget_before)?);
            }
        }
        *newer = Some(left);
        Ok(changed)
    }

    fn forget_outgoing(&mut self, key: &[u8], mut row: Outgoing, forget_before: UnixMillis) -> Result<bool> {
        if row.created_at < forget_before {
            self.remove(Table::OutboxKeys, &Key::new().text(&row.key).bytes())?;
            self.remove(Table::OutboxMessages, &message_key(&row.chat, &row.message_id))?;
            self.forget_targets(&row)?;
            self.remove(Table::Outbox, key)?;
            return Ok(true);
        }
        if row.plaintext.is_empty() && row.stanza.is_none() {
            return Ok(false);
        }
        row.plaintext = SecretBytes::default();
        row.stanza = None;
        self.forget_targets(&row)?;
        self.put_outgoing(&row)?;
        Ok(true)
    }

    fn forget_targets(&mut self, row: &Outgoing) -> Result<()> {
        let range = Range::prefix(message_key(&row.chat, &row.message_id));
        for (key, _) in self.scan(Table::Targets, &range, Order::Ascending, TARGETS)? {
            self.remove(Table::Targets, &key)?;
        }
        Ok(())
    }

    /// Chats that have unfinished sends, in the order of their oldest one.
    ///
    /// # Errors
    /// The engine's.
    pub fn outgoing_chats(&self, limit: usize) -> Result<Vec<String>> {
        let mut chats: Vec<String> = Vec::new();
        for row in self.open_outgoing(0, limit)? {
            if !chats.contains(&row.chat) {
                chats.push(row.chat);
            }
        }
        Ok(chats)
    }

    /// Message ids of kept sends to `chat`, for a chat that changed its address.
    ///
    /// # Errors
    /// The engine's.
    pub fn outgoing_ids(&self, chat: &str, limit: usize) -> Result<Vec<String>> {
        let range = Range::prefix(Key::new().text(chat).bytes());
        let rows = self.scan(Table::OutboxMessages, &range, Order::Ascending, limit)?;
        let id = |key: &[u8]| {
            let mut parts = KeyParts::new(key);
            parts.text()?;
            parts.text()
        };
        Ok(rows.iter().filter_map(|(key, _)| id(key)).collect())
    }
}
