//! Signal sessions and remote identities, by device address.

use crate::UnixMillis;
use crate::codec::record;
use crate::error::Result;
use crate::rows::{Key, KeyParts, Order, Range, Table};
use crate::secret::SecretBytes;
use crate::store::{IfCorrupt, Tx};

record! {
    /// A remote device's identity key.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Identity {
        /// The key as received.
        pub key: Vec<u8>,
        /// When it, or its first predecessor, was first seen.
        pub first_seen: UnixMillis,
        /// When it last replaced another.
        pub changed_at: Option<UnixMillis>,
    }
}

/// What storing an identity meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityChange {
    /// First of this address.
    New,
    /// As stored.
    Same,
    /// It replaced this key.
    Changed(Vec<u8>),
}

/// Devices of one user that are looked at at most.
const DEVICES: usize = 4096;

fn key(address: &str) -> Vec<u8> {
    Key::new().text(address).bytes()
}

impl Tx<'_> {
    /// The session record of a device. A damaged one is set aside and counts as absent.
    ///
    /// # Errors
    /// The engine's.
    pub fn session(&self, address: &str) -> Result<Option<SecretBytes>> {
        Ok(self.body(Table::Sessions, &key(address), IfCorrupt::Quarantine)?.map(SecretBytes::new))
    }

    /// Whether there is one, without reading it.
    ///
    /// # Errors
    /// The engine's.
    pub fn has_session(&self, address: &str) -> Result<bool> {
        self.has(Table::Sessions, &key(address))
    }

    /// Stores a session record.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_session(&mut self, address: &str, record: &[u8]) -> Result<()> {
        self.store_body(Table::Sessions, &key(address), record)
    }

    /// Deletes one.
    ///
    /// # Errors
    /// The engine's.
    pub fn delete_session(&mut self, address: &str) -> Result<bool> {
        self.remove(Table::Sessions, &key(address))
    }

    /// Addresses with a session that start with `start` (a user's devices: everything up to the device number).
    ///
    /// # Errors
    /// The engine's.
    pub fn session_addresses(&self, start: &str) -> Result<Vec<String>> {
        self.addresses(Table::Sessions, start)
    }

    /// The identity of a device.
    ///
    /// # Errors
    /// The engine's.
    pub fn identity(&self, address: &str) -> Result<Option<Identity>> {
        self.load(Table::Identities, &key(address), IfCorrupt::Quarantine)
    }

    /// Stores the identity key of a device and says what it replaced.
    ///
    /// # Errors
    /// The engine's.
    pub fn save_identity(
        &mut self,
        address: &str,
        identity: &[u8],
        now: UnixMillis,
    ) -> Result<IdentityChange> {
        let (record, change) = match self.identity(address)? {
            Some(old) if old.key == identity => return Ok(IdentityChange::Same),
            Some(old) => (
                Identity { key: identity.to_vec(), first_seen: old.first_seen, changed_at: Some(now) },
                IdentityChange::Changed(old.key),
            ),
            None => {
                (Identity { key: identity.to_vec(), first_seen: now, changed_at: None }, IdentityChange::New)
            }
        };
        self.store(Table::Identities, &key(address), &record)?;
        Ok(change)
    }

    /// Deletes the identity of a device.
    ///
    /// # Errors
    /// The engine's.
    pub fn delete_identity(&mut self, address: &str) -> Result<bool> {
        self.remove(Table::Identities, &key(address))
    }

    /// Addresses with an identity that start with `start`.
    ///
    /// # Errors
    /// The engine's.
    pub fn identity_addresses(&self, start: &str) -> Result<Vec<String>> {
        self.addresses(Table::Identities, start)
    }

    fn addresses(&self, table: Table, start: &str) -> Result<Vec<String>> {
        let range = Range::prefix(Key::new().text_start(start).bytes());
        let rows = self.scan(table, &range, Order::Ascending, DEVICES)?;
        Ok(rows.iter().filter_map(|(key, _)| KeyParts::new(key).text()).collect())
    }
}
