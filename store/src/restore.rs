//! A store that comes from a backup is older than what it has sent (04 §15 S8). Whoever restores one marks it; what the
//! mark demands of sessions and of the outbox is the client's, the rest is here.

use crate::account::Flag;
use crate::error::Result;
use crate::rows::{Key, KeyParts, Order, Range, Table};
use crate::store::Tx;

/// How far the next prekey id moves on: ids given out after the backup must not come back with other keys.
const PREKEY_IDS: u32 = 100_000;
/// The same for signed prekeys.
const SIGNED_PREKEY_IDS: u32 = 100;
/// Rows removed at a time.
const PAGE: usize = 1024;

impl Tx<'_> {
    /// The store was restored from a backup. Nothing may be sent from it before the mark is settled.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_restored(&mut self) -> Result<()> {
        self.set_flag(Flag::Restored, true)
    }

    /// Settles the part of the mark that needs no protocol: prekey ids move on, own sender keys and everything about
    /// who holds them are gone, the server's keys count as missing and unchecked. The mark goes. `own`: the own
    /// device's addresses.
    ///
    /// # Errors
    /// The engine's.
    pub fn settle_restored(&mut self, own: &[String]) -> Result<()> {
        self.skip_prekey_ids(PREKEY_IDS)?;
        self.discard_staged_signed_prekey()?;
        self.skip_signed_prekey_ids(SIGNED_PREKEY_IDS)?;
        for device in own {
            for group in self.sender_key_groups(device)? {
                self.delete_sender_key(&group, device)?;
            }
        }
        self.clear(Table::Distributions)?;
        self.clear(Table::DistributionsByDevice)?;
        self.set_flag(Flag::ServerHasNoPrekeys, true)?;
        self.set_flag(Flag::KeysUnchecked, true)?;
        self.set_flag(Flag::Restored, false)
    }

    /// Addresses with a session behind `after` in the order of the store (`None`: from the first).
    ///
    /// # Errors
    /// The engine's.
    pub fn sessions_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let range = after.map_or_else(Range::all, |after| Range::after(Key::new().text(after).bytes()));
        let rows = self.scan(Table::Sessions, &range, Order::Ascending, limit)?;
        Ok(rows.iter().filter_map(|(key, _)| KeyParts::new(key).text()).collect())
    }

    fn clear(&mut self, table: Table) -> Result<()> {
        loop {
            let rows = self.scan(table, &Range::all(), Order::Ascending, PAGE)?;
            if rows.is_empty() {
                return Ok(());
            }
            for (key, _) in rows {
                self.remove(table, &key)?;
            }
        }
    }
}
