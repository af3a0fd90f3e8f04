//! Receipts that are owed: durable with the message they answer, gone once the server has them.

use crate::UnixMillis;
use crate::codec::record;
use crate::error::Result;
use crate::rows::{Key, Range, Table, number_of};
use crate::store::{IfCorrupt, Tx};

record! {
    /// A receipt (or ack) to be sent (05b §7, §8). Empty `kind` is the delivery receipt.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct OwedReceipt {
        /// Its type: ``, `sender`, `read`, `retry`, ... or `ack`.
        pub kind: String,
        /// Whom it goes to.
        pub to: String,
        /// The message ids, first one first.
        pub ids: Vec<String>,
        /// The sender device, in groups and status.
        pub participant: Option<String>,
        /// The chat, for own copies.
        pub recipient: Option<String>,
        /// `t` as it must be written.
        pub t: Option<i64>,
        /// When it became owed.
        pub since: UnixMillis,
    }
}

impl Tx<'_> {
    /// Notes a receipt as owed; returns its number.
    ///
    /// # Errors
    /// The engine's.
    pub fn owe_receipt(&mut self, receipt: &OwedReceipt) -> Result<u64> {
        let seq = self.next_number("owed")?;
        self.store(Table::OwedReceipts, &Key::new().number(seq).bytes(), receipt)?;
        Ok(seq)
    }

    /// Receipts owed, oldest first, with their numbers.
    ///
    /// # Errors
    /// The engine's.
    pub fn owed_receipts(&self, limit: usize) -> Result<Vec<(u64, OwedReceipt)>> {
        let rows = self.scan_records(Table::OwedReceipts, &Range::all(), limit, IfCorrupt::Delete)?;
        Ok(rows.into_iter().filter_map(|(key, row)| Some((number_of(&key)?, row))).collect())
    }

    /// How many are owed.
    ///
    /// # Errors
    /// The engine's.
    pub fn owed_receipt_count(&self) -> Result<u64> {
        self.count(Table::OwedReceipts, &Range::all())
    }

    /// The receipt is done.
    ///
    /// # Errors
    /// The engine's.
    pub fn settle_receipt(&mut self, seq: u64) -> Result<bool> {
        self.remove(Table::OwedReceipts, &Key::new().number(seq).bytes())
    }
}
