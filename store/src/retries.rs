//! Retries, both ways: messages of others that we could not read, and messages of ours that others ask for again.

use crate::UnixMillis;
use crate::codec::record;
use crate::error::Result;
use crate::inbox::MessageKey;
use crate::rows::{Key, Range, Table};
use crate::secret::SecretBytes;
use crate::store::{IfCorrupt, Tx};

record! {
    /// A message that could not be read (05b §9). Kept beside the Signal state: a failed decrypt leaves that alone.
    #[derive(Debug, Clone)]
    pub struct Placeholder {
        /// The message.
        pub message: MessageKey,
        /// The count of the last retry receipt; 0: none was sent.
        pub count: u32,
        /// SHA-256 of the ciphertext that failed.
        pub hash: Option<[u8; 32]>,
        /// The server acknowledged the last retry receipt: the message itself may be acknowledged.
        pub receipt_acked: bool,
        /// The own phone was asked for it.
        pub asked_phone: bool,
        /// The stanza without its ciphertexts, for the answer.
        pub envelope: SecretBytes,
        /// When it first failed.
        pub created_at: UnixMillis,
    }
}

record! {
    /// What a device asked of us for one message (05b §10).
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct AskedRetry {
        /// How many requests came.
        pub requests: u32,
        /// The base key of the session at the second one.
        pub base_key: Option<Vec<u8>>,
        /// When the last came.
        pub at: UnixMillis,
    }
}

fn asked_key(device: &str, message_id: &str) -> Vec<u8> {
    Key::new().text(device).text(message_id).bytes()
}

impl Tx<'_> {
    /// The placeholder of a message.
    ///
    /// # Errors
    /// The engine's.
    pub fn placeholder(&self, message: &MessageKey) -> Result<Option<Placeholder>> {
        self.load(Table::Placeholders, &message.bytes(), IfCorrupt::Quarantine)
    }

    /// Stores one.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_placeholder(&mut self, placeholder: &Placeholder) -> Result<()> {
        self.store(Table::Placeholders, &placeholder.message.bytes(), placeholder)
    }

    /// Deletes one: the content has come.
    ///
    /// # Errors
    /// The engine's.
    pub fn delete_placeholder(&mut self, message: &MessageKey) -> Result<bool> {
        self.remove(Table::Placeholders, &message.bytes())
    }

    /// Placeholders, at most `limit`.
    ///
    /// # Errors
    /// The engine's.
    pub fn placeholders(&self, limit: usize) -> Result<Vec<Placeholder>> {
        let rows = self.scan_records(Table::Placeholders, &Range::all(), limit, IfCorrupt::Quarantine)?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// What `device` asked for `message_id` so far.
    ///
    /// # Errors
    /// The engine's.
    pub fn asked_retry(&self, device: &str, message_id: &str) -> Result<AskedRetry> {
        let row = self.load(Table::AskedRetries, &asked_key(device, message_id), IfCorrupt::Delete)?;
        Ok(row.unwrap_or_default())
    }

    /// Stores it.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_asked_retry(&mut self, device: &str, message_id: &str, asked: &AskedRetry) -> Result<()> {
        self.store(Table::AskedRetries, &asked_key(device, message_id), asked)
    }

    /// When a device's session was last made anew because of a retry (at most once an hour).
    ///
    /// # Errors
    /// The engine's.
    pub fn session_recreated_at(&self, device: &str) -> Result<Option<UnixMillis>> {
        self.load(Table::Recreations, &Key::new().text(device).bytes(), IfCorrupt::Delete)
    }

    /// Notes it.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_session_recreated(&mut self, device: &str, now: UnixMillis) -> Result<()> {
        self.store(Table::Recreations, &Key::new().text(device).bytes(), &now)
    }

    /// Removes old placeholders of a page.
    pub(crate) fn prune_placeholders(
        &mut self,
        after: &mut Option<Vec<u8>>,
        before: UnixMillis,
    ) -> Result<u64> {
        let old = |row: &Placeholder| row.created_at < before;
        self.prune_page(Table::Placeholders, IfCorrupt::Quarantine, after, old)
    }

    /// Removes old requests of a page.
    pub(crate) fn prune_asked(&mut self, after: &mut Option<Vec<u8>>, before: UnixMillis) -> Result<u64> {
        let old = |row: &AskedRetry| row.at < before;
        self.prune_page(Table::AskedRetries, IfCorrupt::Delete, after, old)
    }

    /// Removes old times of sessions made anew, of a page.
    pub(crate) fn prune_recreations(
        &mut self,
        after: &mut Option<Vec<u8>>,
        before: UnixMillis,
    ) -> Result<u64> {
        self.prune_page(Table::Recreations, IfCorrupt::Delete, after, |at: &UnixMillis| *at < before)
    }
}
