//! Device lists (one record a user, reachable by PN and by LID) and the PN-LID mapping.

use crate::UnixMillis;
use crate::codec::record;
use crate::error::{Result, StoreError};
use crate::rows::{Key, Range, Table};
use crate::store::{IfCorrupt, Tx};

record! {
    /// One device of a user.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Device {
        /// Its number; 0 is the phone.
        pub id: u16,
        /// Its key index; companions have one.
        pub key_index: Option<u32>,
        /// Whether it is hosted.
        pub hosted: bool,
    }
}

record! {
    /// A user's devices (05a §3). `pn` and `lid` are bare user JIDs; at least one is there.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct DeviceList {
        /// The user's phone-number address.
        pub pn: Option<String>,
        /// The user's LID.
        pub lid: Option<String>,
        /// The devices.
        pub devices: Vec<Device>,
        /// The server's or the signed list's time, Unix seconds.
        pub ts: Option<i64>,
        /// `rawId` of the signed list: another one means that the account was registered anew.
        pub raw_id: Option<u32>,
        /// The hash that came with it.
        pub dhash: Option<String>,
        /// When it was fetched; `None`: it must be fetched before use.
        pub fetched_at: Option<UnixMillis>,
        /// When the server wants it to be asked for again.
        pub refresh_at: Option<UnixMillis>,
        /// The newest time that messages mentioned, above `ts`, Unix seconds.
        pub expected_ts: Option<i64>,
        /// The account signature was verified.
        pub verified: bool,
        /// The signed list, kept while it could not be verified yet.
        pub signed: Option<Vec<u8>>,
    }
}

/// What learning a mapping meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingChange {
    /// Neither side was known: migrate the user's PN state now (04 §11.3).
    New,
    /// As stored.
    Same,
    /// It replaced these partners.
    Replaced {
        /// The LID that the PN had.
        old_lid: Option<String>,
        /// The PN that the LID had.
        old_pn: Option<String>,
    },
}

fn key(user: &str) -> Vec<u8> {
    Key::new().text(user).bytes()
}

impl Tx<'_> {
    /// The devices of a user, by either address.
    ///
    /// # Errors
    /// The engine's.
    pub fn device_list(&self, user: &str) -> Result<Option<DeviceList>> {
        match self.index(Table::DeviceListNames, &key(user))? {
            Some(row) => self.load(Table::DeviceLists, &Key::new().number(row).bytes(), IfCorrupt::Delete),
            None => Ok(None),
        }
    }

    /// Stores a user's devices; replaces what either address had.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if it names no user.
    pub fn put_device_list(&mut self, list: &DeviceList) -> Result<()> {
        let mut row = None;
        for user in [&list.lid, &list.pn].into_iter().flatten() {
            let known = self.index(Table::DeviceListNames, &key(user))?;
            // Two records that turn out to be one user: the second is dropped.
            if let (Some(kept), Some(other)) = (row, known)
                && kept != other
            {
                self.delete_device_list(user)?;
            }
            row = row.or(known);
        }
        let row = match row {
            Some(row) => row,
            None if list.pn.is_none() && list.lid.is_none() => {
                return Err(StoreError::Refused("a device list needs an address"));
            }
            None => self.next_number("device_list")?,
        };
        for user in [&list.lid, &list.pn].into_iter().flatten() {
            self.store(Table::DeviceListNames, &key(user), &row)?;
        }
        self.store(Table::DeviceLists, &Key::new().number(row).bytes(), list)
    }

    /// Drops a user's devices: they are asked for before the next send.
    ///
    /// # Errors
    /// The engine's.
    pub fn delete_device_list(&mut self, user: &str) -> Result<bool> {
        let Some(row) = self.index(Table::DeviceListNames, &key(user))? else { return Ok(false) };
        if let Some(list) = self.device_list(user)? {
            for name in [list.pn, list.lid].into_iter().flatten() {
                if self.index(Table::DeviceListNames, &key(&name))? == Some(row) {
                    self.remove(Table::DeviceListNames, &key(&name))?;
                }
            }
        }
        self.remove(Table::DeviceListNames, &key(user))?;
        self.remove(Table::DeviceLists, &Key::new().number(row).bytes())
    }

    /// Device lists one after another (the daily round, 05a §3): up to `limit` behind the cursor `after`, and the
    /// cursor of each.
    ///
    /// # Errors
    /// The engine's.
    pub fn device_lists(&self, after: Option<u64>, limit: usize) -> Result<Vec<(u64, DeviceList)>> {
        let range = after.map_or_else(Range::all, |row| Range::after(Key::new().number(row).bytes()));
        let rows = self.scan_records(Table::DeviceLists, &range, limit, IfCorrupt::Delete)?;
        Ok(rows.into_iter().filter_map(|(key, list)| Some((crate::rows::number_of(&key)?, list))).collect())
    }

    /// The LID of a phone-number address (bare users both).
    ///
    /// # Errors
    /// The engine's.
    pub fn lid_of(&self, pn: &str) -> Result<Option<String>> {
        self.load(Table::LidByPn, &key(pn), IfCorrupt::Delete)
    }

    /// The phone-number address of a LID.
    ///
    /// # Errors
    /// The engine's.
    pub fn pn_of(&self, lid: &str) -> Result<Option<String>> {
        self.load(Table::PnByLid, &key(lid), IfCorrupt::Delete)
    }

    /// Learns that `pn` and `lid` are one user. Their device lists become one (the LID's wins).
    ///
    /// # Errors
    /// The engine's.
    pub fn put_mapping(&mut self, pn: &str, lid: &str) -> Result<MappingChange> {
        let old_lid = self.lid_of(pn)?;
        let old_pn = self.pn_of(lid)?;
        if old_lid.as_deref() == Some(lid) && old_pn.as_deref() == Some(pn) {
            return Ok(MappingChange::Same);
        }
        if let Some(stale) = &old_lid {
            self.remove(Table::PnByLid, &key(stale))?;
        }
        if let Some(stale) = &old_pn {
            self.remove(Table::LidByPn, &key(stale))?;
        }
        self.store(Table::LidByPn, &key(pn), &lid.to_owned())?;
        self.store(Table::PnByLid, &key(lid), &pn.to_owned())?;
        self.join_device_lists(pn, lid)?;
        if old_lid.is_none() && old_pn.is_none() {
            return Ok(MappingChange::New);
        }
        Ok(MappingChange::Replaced {
            old_lid: old_lid.filter(|old| old != lid),
            old_pn: old_pn.filter(|old| old != pn),
        })
    }

    /// Forgets that two addresses are one user; a device list known under both stays. `false` if it was not known so.
    ///
    /// # Errors
    /// The engine's.
    pub fn delete_mapping(&mut self, pn: &str, lid: &str) -> Result<bool> {
        if self.lid_of(pn)?.as_deref() != Some(lid) {
            return Ok(false);
        }
        self.remove(Table::LidByPn, &key(pn))?;
        self.remove(Table::PnByLid, &key(lid))?;
        Ok(true)
    }

    fn join_device_lists(&mut self, pn: &str, lid: &str) -> Result<()> {
        let by_lid = self.device_list(lid)?;
        let by_pn = self.device_list(pn)?;
        let Some(mut list) = by_lid.or(by_pn) else { return Ok(()) };
        self.delete_device_list(lid)?;
        self.delete_device_list(pn)?;
        list.pn = Some(pn.to_owned());
        list.lid = Some(lid.to_owned());
        self.put_device_list(&list)
    }
}
