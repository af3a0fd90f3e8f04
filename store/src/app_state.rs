//! App state: keys, collections, and the value MAC of every index; all opaque here.

use crate::error::Result;
use crate::rows::{Key, Order, Range, Table};
use crate::secret::SecretBytes;
use crate::store::{IfCorrupt, Tx};

impl Tx<'_> {
    /// An app-state key record by key id.
    ///
    /// # Errors
    /// The engine's.
    pub fn app_state_key(&self, id: &[u8]) -> Result<Option<SecretBytes>> {
        let key = Key::new().text(id).bytes();
        Ok(self.body(Table::AppStateKeys, &key, IfCorrupt::Quarantine)?.map(SecretBytes::new))
    }

    /// Stores one.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_app_state_key(&mut self, id: &[u8], record: &[u8]) -> Result<()> {
        self.store_body(Table::AppStateKeys, &Key::new().text(id).bytes(), record)
    }

    /// How many app-state keys there are.
    ///
    /// # Errors
    /// The engine's.
    pub fn app_state_key_count(&self) -> Result<u64> {
        self.count(Table::AppStateKeys, &Range::all())
    }

    /// The record of a collection (version, hash).
    ///
    /// # Errors
    /// The engine's.
    pub fn collection(&self, name: &str) -> Result<Option<SecretBytes>> {
        let key = Key::new().text(name).bytes();
        Ok(self.body(Table::AppStateCollections, &key, IfCorrupt::Quarantine)?.map(SecretBytes::new))
    }

    /// Stores it.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_collection(&mut self, name: &str, record: &[u8]) -> Result<()> {
        self.store_body(Table::AppStateCollections, &Key::new().text(name).bytes(), record)
    }

    /// Drops a collection with all its entries.
    ///
    /// # Errors
    /// The engine's.
    pub fn delete_collection(&mut self, name: &str) -> Result<()> {
        let range = Range::prefix(Key::new().text(name).bytes());
        loop {
            let rows = self.scan(Table::AppStateEntries, &range, Order::Ascending, 1024)?;
            if rows.is_empty() {
                break;
            }
            for (key, _) in rows {
                self.remove(Table::AppStateEntries, &key)?;
            }
        }
        self.remove(Table::AppStateCollections, &Key::new().text(name).bytes()).map(drop)
    }

    /// The record of one index of a collection.
    ///
    /// # Errors
    /// The engine's.
    pub fn collection_entry(&self, name: &str, index: &[u8]) -> Result<Option<SecretBytes>> {
        let key = Key::new().text(name).text(index).bytes();
        Ok(self.body(Table::AppStateEntries, &key, IfCorrupt::Quarantine)?.map(SecretBytes::new))
    }

    /// Stores or removes it.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_collection_entry(&mut self, name: &str, index: &[u8], record: Option<&[u8]>) -> Result<()> {
        let key = Key::new().text(name).text(index).bytes();
        match record {
            Some(record) => self.store_body(Table::AppStateEntries, &key, record),
            None => self.remove(Table::AppStateEntries, &key).map(drop),
        }
    }
}
