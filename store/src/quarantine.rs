//! Damaged or unusable records, kept for a person to look at, never used again.

use crate::codec::{self, Field, record};
use crate::error::{Result, StoreError};
use crate::rows::{Key, Order, Range, Rows, Table, number_of};
use crate::secret::SecretBytes;
use crate::store::{IfCorrupt, Tx};

record! {
    /// A record that was set aside.
    #[derive(Debug, Clone)]
    pub struct Quarantined {
        /// The table it came from.
        pub table: String,
        /// Its key there.
        pub key: SecretBytes,
        /// Its bytes there.
        pub bytes: SecretBytes,
        /// Why.
        pub reason: String,
    }
}

/// At most so many are kept; the oldest go first.
const MAX: u64 = 256;

pub(crate) fn set_aside(rows: &dyn Rows, table: Table, key: &[u8], bytes: &[u8], reason: &str) -> Result<()> {
    let last = rows.scan(Table::Quarantine, &Range::all(), Order::Descending, 1)?;
    let next = last.first().and_then(|(key, _)| number_of(key)).unwrap_or(0).saturating_add(1);
    let record = Quarantined {
        table: table.name().to_owned(),
        key: key.into(),
        bytes: bytes.into(),
        reason: reason.to_owned(),
    };
    let at = Key::new().number(next).bytes();
    let mut body = Vec::new();
    record.put(&mut body);
    rows.put(Table::Quarantine, &at, &codec::seal(Table::Quarantine as u8, &at, &body))?;
    if rows.count(Table::Quarantine, &Range::all())? > MAX {
        for (oldest, _) in rows.scan(Table::Quarantine, &Range::all(), Order::Ascending, 1)? {
            rows.delete(Table::Quarantine, &oldest)?;
        }
    }
    Ok(())
}

impl Tx<'_> {
    /// Sets a session record aside that its reader refused: it counts as absent from now on (04 §15.5).
    ///
    /// # Errors
    /// The engine's.
    pub fn quarantine_session(&mut self, address: &str, reason: &str) -> Result<()> {
        let key = Key::new().text(address).bytes();
        self.quarantine_row(Table::Sessions, &key, reason)
    }

    /// Sets a sender-key record aside that its reader refused.
    ///
    /// # Errors
    /// The engine's.
    pub fn quarantine_sender_key(&mut self, group: &str, device: &str, reason: &str) -> Result<()> {
        let key = Key::new().text(group).text(device).bytes();
        self.quarantine_row(Table::SenderKeys, &key, reason)?;
        self.delete_sender_key(group, device).map(drop)
    }

    fn quarantine_row(&mut self, table: Table, key: &[u8], reason: &str) -> Result<()> {
        let Some(value) = self.rows().get(table, key)? else {
            return Err(StoreError::Refused("there is no such record to set aside"));
        };
        set_aside(self.rows(), table, key, &value, reason)?;
        self.remove(table, key).map(drop)
    }

    /// How many records are set aside.
    ///
    /// # Errors
    /// The engine's.
    pub fn quarantine_count(&self) -> Result<u64> {
        self.count(Table::Quarantine, &Range::all())
    }

    /// The records set aside, oldest first.
    ///
    /// # Errors
    /// The engine's.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>> {
        let limit = usize::try_from(MAX).unwrap_or(usize::MAX);
        let rows = self.scan_records(Table::Quarantine, &Range::all(), limit, IfCorrupt::Delete)?;
        Ok(rows.into_iter().map(|(_, record)| record).collect())
    }
}
