//! Sender keys by (group, device), and which device was given which key id of ours.
//!
//! Both have an index by device, because a device's migration or change of identity touches all its groups.

use crate::UnixMillis;
use crate::codec::record;
use crate::error::Result;
use crate::rows::{Key, KeyParts, Order, Range, Table};
use crate::secret::SecretBytes;
use crate::store::{IfCorrupt, Tx};

record! {
    /// A device holds this key id of ours: recorded after the server took the stanza that brought it (04 S6).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Distribution {
        /// The device's address.
        pub device: String,
        /// The key id.
        pub key_id: u32,
        /// Since when.
        pub at: UnixMillis,
    }
}

/// In the index by device: the sender key is of a former identity.
const STALE: [u8; 1] = [1];

/// Rows of one group or device that are looked at at most.
const MANY: usize = 65_536;

fn pair(first: &str, second: &str) -> Vec<u8> {
    Key::new().text(first).text(second).bytes()
}

fn one(first: &str) -> Range {
    Range::prefix(Key::new().text(first).bytes())
}

impl Tx<'_> {
    /// The sender-key record of (group, device).
    ///
    /// # Errors
    /// The engine's.
    pub fn sender_key(&self, group: &str, device: &str) -> Result<Option<SecretBytes>> {
        Ok(self.body(Table::SenderKeys, &pair(group, device), IfCorrupt::Quarantine)?.map(SecretBytes::new))
    }

    /// Stores one.
    ///
    /// # Errors
    /// The engine's.
    pub fn put_sender_key(&mut self, group: &str, device: &str, record: &[u8]) -> Result<()> {
        self.store_body(Table::SenderKeys, &pair(group, device), record)?;
        let index = pair(device, group);
        if self.has(Table::SenderKeysByDevice, &index)? {
            return Ok(());
        }
        self.store_body(Table::SenderKeysByDevice, &index, &[])
    }

    /// Deletes one.
    ///
    /// # Errors
    /// The engine's.
    pub fn delete_sender_key(&mut self, group: &str, device: &str) -> Result<bool> {
        self.remove(Table::SenderKeysByDevice, &pair(device, group))?;
        self.remove(Table::SenderKeys, &pair(group, device))
    }

    /// Notes that the stored sender keys of `device` are of an identity that it has no more: they open what is on its
    /// way, until the first distribution under the new identity for that group takes their place.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_sender_keys_stale(&mut self, device: &str) -> Result<()> {
        for group in self.sender_key_groups(device)? {
            self.mark_sender_key_stale(&group, device)?;
        }
        Ok(())
    }

    /// As [`Tx::mark_sender_keys_stale`], in one group.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_sender_key_stale(&mut self, group: &str, device: &str) -> Result<()> {
        let index = pair(device, group);
        let known = self.has(Table::SenderKeysByDevice, &index)?;
        if known { self.store_body(Table::SenderKeysByDevice, &index, &STALE) } else { Ok(()) }
    }

    /// Whether the sender key of (group, device) is of a former identity.
    ///
    /// # Errors
    /// The engine's.
    pub fn sender_key_is_stale(&self, group: &str, device: &str) -> Result<bool> {
        let mark = self.body(Table::SenderKeysByDevice, &pair(device, group), IfCorrupt::Delete)?;
        Ok(mark.as_deref() == Some(&STALE[..]))
    }

    /// Groups in which a sender key of `device` is stored.
    ///
    /// # Errors
    /// The engine's.
    pub fn sender_key_groups(&self, device: &str) -> Result<Vec<String>> {
        self.second_parts(Table::SenderKeysByDevice, device)
    }

    /// Notes that devices hold key id `key_id` of ours for `group`.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_distributed(
        &mut self,
        group: &str,
        devices: &[String],
        key_id: u32,
        now: UnixMillis,
    ) -> Result<()> {
        for device in devices {
            let record = Distribution { device: device.clone(), key_id, at: now };
            self.store(Table::Distributions, &pair(group, device), &record)?;
            self.store_body(Table::DistributionsByDevice, &pair(device, group), &[])?;
        }
        Ok(())
    }

    /// Who holds which key id of ours for `group`.
    ///
    /// # Errors
    /// The engine's.
    pub fn distributions(&self, group: &str) -> Result<Vec<Distribution>> {
        let rows = self.scan_records(Table::Distributions, &one(group), MANY, IfCorrupt::Delete)?;
        Ok(rows.into_iter().map(|(_, record)| record).collect())
    }

    /// The mark of one device in `group`.
    ///
    /// # Errors
    /// The engine's.
    pub fn distribution(&self, group: &str, device: &str) -> Result<Option<Distribution>> {
        self.load(Table::Distributions, &pair(group, device), IfCorrupt::Delete)
    }

    /// Forgets one device in one group: it gets the key again with the next message.
    ///
    /// # Errors
    /// The engine's.
    pub fn forget_distribution(&mut self, group: &str, device: &str) -> Result<bool> {
        self.remove(Table::DistributionsByDevice, &pair(device, group))?;
        self.remove(Table::Distributions, &pair(group, device))
    }

    /// Forgets every device of a group (rotation).
    ///
    /// # Errors
    /// The engine's.
    pub fn forget_distributions_of_group(&mut self, group: &str) -> Result<()> {
        for device in self.second_parts(Table::Distributions, group)? {
            self.forget_distribution(group, &device)?;
        }
        Ok(())
    }

    /// Forgets a device in every group; returns the groups.
    ///
    /// # Errors
    /// The engine's.
    pub fn forget_distributions_to(&mut self, device: &str) -> Result<Vec<String>> {
        let groups = self.second_parts(Table::DistributionsByDevice, device)?;
        for group in &groups {
            self.forget_distribution(group, device)?;
        }
        Ok(groups)
    }

    /// Groups in which `device` holds a key of ours.
    ///
    /// # Errors
    /// The engine's.
    pub fn distribution_groups(&self, device: &str) -> Result<Vec<String>> {
        self.second_parts(Table::DistributionsByDevice, device)
    }

    fn second_parts(&self, table: Table, first: &str) -> Result<Vec<String>> {
        let rows = self.scan(table, &one(first), Order::Ascending, MANY)?;
        let second = |key: &[u8]| {
            let mut parts = KeyParts::new(key);
            parts.text()?;
            parts.text()
        };
        Ok(rows.iter().filter_map(|(key, _)| second(key)).collect())
    }
}
