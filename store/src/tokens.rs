//! Trusted-contact tokens (05d §6), by the contact's address.

use crate::codec::record;
use crate::error::Result;
use crate::rows::{Key, KeyParts, Order, Range, Table};
use crate::secret::SecretBytes;
use crate::store::{IfCorrupt, Tx};

const NCT_SALT: &str = "nct_salt";

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
        /// Its identity has changed: the one that we issued is owed to it again.
        pub reissue: bool,
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

    /// Contacts that have any, at most `limit`, behind `after`.
    ///
    /// # Errors
    /// The engine's.
    pub fn contacts_with_tokens(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let range = after.map_or_else(Range::all, |name| Range::after(Key::new().text(name).bytes()));
        let rows = self.scan(Table::ContactTokens, &range, Order::Ascending, limit)?;
        Ok(rows.iter().filter_map(|(key, _)| KeyParts::new(key).text()).collect())
    }

    /// The salt from which tokens are computed for contacts of whom we hold none (05d §6).
    ///
    /// # Errors
    /// The engine's.
    pub fn nct_salt(&self) -> Result<Option<SecretBytes>> {
        self.setting(NCT_SALT)
    }

    /// Replaces or removes it.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_nct_salt(&mut self, salt: Option<&[u8]>) -> Result<()> {
        self.set_setting(NCT_SALT, salt)
    }
}
