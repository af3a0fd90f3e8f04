//! What an engine must offer: ordered byte keys in named tables, and savepoints. No rule of the store lives here.
//!
//! Also here: how text and numbers become keys.

use crate::error::Result;

/// The tables. Numbers and names are part of the stored format: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it; the files that use them describe the rows")]
pub enum Table {
    Account = 1,
    Prekeys = 2,
    SignedPrekeys = 3,
    Sessions = 4,
    Identities = 5,
    SenderKeys = 6,
    SenderKeysByDevice = 7,
    Distributions = 8,
    DistributionsByDevice = 9,
    DeviceLists = 10,
    DeviceListNames = 11,
    LidByPn = 12,
    PnByLid = 13,
    MessageSecrets = 14,
    AppStateKeys = 15,
    AppStateCollections = 16,
    AppStateEntries = 17,
    Inbox = 18,
    InboxIds = 19,
    InboxOpen = 20,
    SeenMessages = 21,
    SeenHashes = 22,
    Outbox = 23,
    OutboxKeys = 24,
    OutboxMessages = 25,
    OutboxOpen = 26,
    Targets = 27,
    Placeholders = 28,
    AskedRetries = 29,
    Recreations = 30,
    ContactTokens = 31,
    OwedReceipts = 32,
    Quarantine = 33,
    Missed = 34,
    ChatTimers = 35,
    Chats = 36,
    Held = 37,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 37] = [
        Self::Account,
        Self::Prekeys,
        Self::SignedPrekeys,
        Self::Sessions,
        Self::Identities,
        Self::SenderKeys,
        Self::SenderKeysByDevice,
        Self::Distributions,
        Self::DistributionsByDevice,
        Self::DeviceLists,
        Self::DeviceListNames,
        Self::LidByPn,
        Self::PnByLid,
        Self::MessageSecrets,
        Self::AppStateKeys,
        Self::AppStateCollections,
        Self::AppStateEntries,
        Self::Inbox,
        Self::InboxIds,
        Self::InboxOpen,
        Self::SeenMessages,
        Self::SeenHashes,
        Self::Outbox,
        Self::OutboxKeys,
        Self::OutboxMessages,
        Self::OutboxOpen,
        Self::Targets,
        Self::Placeholders,
        Self::AskedRetries,
        Self::Recreations,
        Self::ContactTokens,
        Self::OwedReceipts,
        Self::Quarantine,
        Self::Missed,
        Self::ChatTimers,
        Self::Chats,
        Self::Held,
    ];

    /// Its name in an engine that names tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Prekeys => "prekeys",
            Self::SignedPrekeys => "signed_prekeys",
            Self::Sessions => "sessions",
            Self::Identities => "identities",
            Self::SenderKeys => "sender_keys",
            Self::SenderKeysByDevice => "sender_keys_by_device",
            Self::Distributions => "distributions",
            Self::DistributionsByDevice => "distributions_by_device",
            Self::DeviceLists => "device_lists",
            Self::DeviceListNames => "device_list_names",
            Self::LidByPn => "lid_by_pn",
            Self::PnByLid => "pn_by_lid",
            Self::MessageSecrets => "message_secrets",
            Self::AppStateKeys => "app_state_keys",
            Self::AppStateCollections => "app_state_collections",
            Self::AppStateEntries => "app_state_entries",
            Self::Inbox => "inbox",
            Self::InboxIds => "inbox_ids",
            Self::InboxOpen => "inbox_open",
            Self::SeenMessages => "seen_messages",
            Self::SeenHashes => "seen_hashes",
            Self::Outbox => "outbox",
            Self::OutboxKeys => "outbox_keys",
            Self::OutboxMessages => "outbox_messages",
            Self::OutboxOpen => "outbox_open",
            Self::Targets => "targets",
            Self::Placeholders => "placeholders",
            Self::AskedRetries => "asked_retries",
            Self::Recreations => "recreations",
            Self::ContactTokens => "contact_tokens",
            Self::OwedReceipts => "owed_receipts",
            Self::Quarantine => "quarantine",
            Self::Missed => "missed",
            Self::ChatTimers => "chat_timers",
            Self::Chats => "chats",
            Self::Held => "held",
        }
    }
}

/// A row: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Which end a scan starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest key first.
    Ascending,
    /// Largest key first.
    Descending,
}

/// Keys from `from` (included) up to `to` (excluded; `None`: to the end).
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// First key.
    pub from: Vec<u8>,
    /// The key to stop before.
    pub to: Option<Vec<u8>>,
}

impl Range {
    /// The whole table.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Every key that starts with `prefix`.
    #[must_use]
    pub fn prefix(prefix: Vec<u8>) -> Self {
        let mut end = prefix.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return Self { from: prefix, to: Some(end) };
            }
        }
        Self { from: prefix, to: None }
    }

    /// Every key behind `key`.
    #[must_use]
    pub fn after(mut key: Vec<u8>) -> Self {
        key.push(0);
        Self { from: key, to: None }
    }
}

/// The rows of one account inside one transaction.
pub trait Rows {
    /// The value under `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Inserts or replaces.
    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<()>;
    /// Removes; says whether it was there.
    fn delete(&self, table: Table, key: &[u8]) -> Result<bool>;
    /// At most `limit` rows of `range`, in order.
    fn scan(&self, table: Table, range: &Range, order: Order, limit: usize) -> Result<Vec<Row>>;
    /// How many rows `range` has.
    fn count(&self, table: Table, range: &Range) -> Result<u64>;
    /// Starts a nested savepoint.
    fn savepoint(&self) -> Result<()>;
    /// Ends the innermost savepoint and keeps its changes.
    fn release(&self) -> Result<()>;
    /// Ends the innermost savepoint and undoes its changes.
    fn roll_back(&self) -> Result<()>;
}

/// A key of several parts that sorts part by part; a prefix of parts is a prefix of bytes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Text or bytes of any content: zero bytes are escaped, the part ends with `00 01`.
    pub(crate) fn text(mut self, part: impl AsRef<[u8]>) -> Self {
        for &byte in part.as_ref() {
            self.0.push(byte);
            if byte == 0 {
                self.0.push(u8::MAX);
            }
        }
        self.0.extend_from_slice(&[0, 1]);
        self
    }

    /// A number.
    pub(crate) fn number(mut self, part: u64) -> Self {
        self.0.extend_from_slice(&part.to_be_bytes());
        self
    }

    /// The start of a text part: with [`Range::prefix`] it finds every key whose part starts so.
    pub(crate) fn text_start(mut self, start: &str) -> Self {
        for &byte in start.as_bytes() {
            self.0.push(byte);
            if byte == 0 {
                self.0.push(u8::MAX);
            }
        }
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Takes the parts of a [`Key`] apart again.
pub(crate) struct KeyParts<'a>(&'a [u8]);

impl<'a> KeyParts<'a> {
    pub(crate) fn new(key: &'a [u8]) -> Self {
        Self(key)
    }

    /// The next part, which must be text.
    pub(crate) fn text(&mut self) -> Option<String> {
        let mut out = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            if byte != 0 {
                out.push(byte);
                continue;
            }
            let (&mark, rest) = self.0.split_first()?;
            self.0 = rest;
            if mark == 1 {
                return String::from_utf8(out).ok();
            }
            out.push(0);
        }
    }
}

/// The big-endian number a key or value consists of.
pub(crate) fn number_of(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
