//! Trusted-contact tokens (05d §6), by the contact's address.

use crate::codec::record;
use crate::error::Result;
use crate::rows::{Key, KeyParts, Order, Range, Table};
use crate::store::{IfCorrupt, Tx};

record! {
    /// What is between us and a contact. Times are Unix seconds.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ContactToken {
        /// The token we hold from it.
        pub token: Option<Vec<u8>>,
        /// Its time.
        pub t: Option<i64>,
        /// When we last issued one to it.
        pub issued_t: Option<i64>,
    }
}

impl Tx<'_> {
    /// The tokens of a contact.
    ///
    /// # Errors
    /// The engine's.
    pub fn contact_token(&self, contact: &str) -> Result<ContactToken> {
        let row = self.load(Table::ContactTokens, &Key::new().text(contact).bytes(), IfCorrupt::Delete)?;
        Ok(row.unwrap_or_default())
    }

    /// Stores them; an empty record is deleted.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_contact_token(&mut self, contact: &str, token: &ContactToken) -> Result<()> {
        let key = Key::new().text(contact).bytes();
        if *token == ContactToken::default() {
            return self.remove(Table::ContactTokens, &key).map(drop);
        }
        self.store(Table::ContactTokens, &key, token)
    }

    /// Contacts that have any, at most `limit`.
    ///
    /// # Errors
    /// The engine's.
    pub fn contacts_with_tokens(&self, limit: usize) -> Result<Vec<String>> {
        let rows = self.scan(Table::ContactTokens, &Range::all(), Order::Ascending, limit)?;
        Ok(rows.iter().filter_map(|(key, _)| KeyParts::new(key).text()).collect())
    }
}
