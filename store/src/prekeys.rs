//! One-time prekeys with their watermarks, and signed prekeys: current, staged, previous (04 §2, 05a §5.1, 04 S7).

use crate::UnixMillis;
use crate::account::KeyPairBytes;
use crate::codec::{numbered, record};
use crate::error::{Result, StoreError};
use crate::rows::{Key, Range, Table};
use crate::store::{IfCorrupt, Tx};

/// Prekey ids are 1..=16777215, then 1 again.
pub const LAST_ID: u32 = 0x00ff_ffff;
/// Previous signed prekeys that are kept.
const PREVIOUS: usize = 2;

/// What a one-time prekey was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrekeyUse {
    /// To be offered in uploads.
    Upload,
    /// For a retry receipt: never offered in an upload (04 §11.5).
    RetryReceipt,
}
numbered! { PrekeyUse { Upload = 1, RetryReceipt = 2, } }

record! {
    /// A one-time prekey.
    #[derive(Debug, Clone)]
    pub struct Prekey {
        /// Its id.
        pub id: u32,
        /// Its keys.
        pub keys: KeyPairBytes,
        /// What it was made for.
        pub made_for: PrekeyUse,
        /// The server has it.
        pub uploaded: bool,
    }
}

impl Prekey {
    /// Whether it is to be offered in the next upload.
    fn waits(&self) -> bool {
        // After a wrap the window between the watermarks may hold an old key that was skipped when ids were given out.
        self.made_for == PrekeyUse::Upload && !self.uploaded
    }
}

record! {
    /// A signed prekey.
    #[derive(Debug, Clone)]
    pub struct SignedPrekey {
        /// Its id.
        pub id: u32,
        /// Its keys.
        pub keys: KeyPairBytes,
        /// The identity key's signature over the 33-byte public key.
        pub signature: [u8; 64],
        /// When it was made.
        pub created_at: UnixMillis,
    }
}

record! {
    /// How far ids were given out and offered.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Watermarks {
        /// The next id to give out.
        pub next: u32,
        /// The first id whose upload the server has not confirmed; equal to `next` where all are.
        pub first_not_uploaded: u32,
    }
}

record! {
    /// Roles of the signed prekeys: ids into the table.
    #[derive(Debug, Clone, Default)]
    pub struct Roles {
        /// The one the server has.
        pub current: Option<u32>,
        /// One that was made and sent, but not confirmed.
        pub staged: Option<u32>,
        /// Older ones, newest first.
        pub previous: Vec<u32>,
        /// The last id given out.
        pub last: Option<u32>,
    }
}

const WATERMARKS: &[u8] = b"prekey_watermarks";
const ROLES: &[u8] = b"signed_prekey_roles";

fn following(id: u32) -> u32 {
    if id >= LAST_ID { 1 } else { id + 1 }
}

fn key(id: u32) -> Vec<u8> {
    Key::new().number(u64::from(id)).bytes()
}

impl Tx<'_> {
    /// The watermarks; both 1 in a new account.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`]: guessing them would give ids out twice.
    pub fn prekey_watermarks(&self) -> Result<Watermarks> {
        let stored = self.load(Table::Account, WATERMARKS, IfCorrupt::Stop)?;
        Ok(stored.unwrap_or(Watermarks { next: 1, first_not_uploaded: 1 }))
    }

    /// Gives out `count` ids in order (wrapping, skipping ids still stored) and moves the counter on.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there are not so many free ids.
    pub fn take_prekey_ids(&mut self, count: usize) -> Result<Vec<u32>> {
        let mut marks = self.prekey_watermarks()?;
        let nothing_waits = marks.next == marks.first_not_uploaded;
        let mut ids = Vec::with_capacity(count.min(LAST_ID as usize));
        let mut tries = 0;
        while ids.len() < count {
            tries += 1;
            if tries > LAST_ID {
                return Err(StoreError::Refused("no free prekey id"));
            }
            if !self.has(Table::Prekeys, &key(marks.next))? {
                ids.push(marks.next);
            }
            marks.next = following(marks.next);
        }
        if nothing_waits && let Some(&first) = ids.first() {
            marks.first_not_uploaded = first;
        }
        self.store(Table::Account, WATERMARKS, &marks)?;
        Ok(ids)
    }

    /// Moves the id counter on by `by` (a restored store: 04 S8).
    ///
    /// # Errors
    /// The engine's.
    pub fn skip_prekey_ids(&mut self, by: u32) -> Result<()> {
        let mut marks = self.prekey_watermarks()?;
        let zero_based = (u64::from(marks.next) - 1 + u64::from(by)) % u64::from(LAST_ID);
        marks.next = u32::try_from(zero_based + 1).unwrap_or(1);
        marks.first_not_uploaded = marks.next;
        self.store(Table::Account, WATERMARKS, &marks)
    }

    /// Stores one-time prekeys under ids from [`Tx::take_prekey_ids`].
    ///
    /// # Errors
    /// The engine's.
    pub fn put_prekeys(&mut self, prekeys: &[Prekey]) -> Result<()> {
        for prekey in prekeys {
            self.store(Table::Prekeys, &key(prekey.id), prekey)?;
        }
        Ok(())
    }

    /// A one-time prekey. An unreadable one is deleted.
    ///
    /// # Errors
    /// The engine's.
    pub fn prekey(&self, id: u32) -> Result<Option<Prekey>> {
        self.load(Table::Prekeys, &key(id), IfCorrupt::Delete)
    }

    /// Deletes a consumed prekey: in the transaction that stores the session that used it (04 R1, R7).
    ///
    /// # Errors
    /// The engine's.
    pub fn delete_prekey(&mut self, id: u32) -> Result<bool> {
        self.remove(Table::Prekeys, &key(id))
    }

    /// Keys generated but not confirmed, in id order: the same ones are offered again until they are.
    ///
    /// # Errors
    /// The engine's.
    pub fn prekeys_to_upload(&self, limit: usize) -> Result<Vec<Prekey>> {
        let marks = self.prekey_watermarks()?;
        let mut id = marks.first_not_uploaded;
        let mut found = Vec::new();
        while id != marks.next && found.len() < limit {
            found.extend(self.prekey(id)?.filter(Prekey::waits));
            id = following(id);
        }
        // Across a wrap the order of giving out is not the ascending order that the server wants.
        found.sort_by_key(|prekey| prekey.id);
        Ok(found)
    }

    /// The server took an upload of `ids` (all from one [`Tx::prekeys_to_upload`]): they are marked, and the watermark
    /// moves behind them.
    ///
    /// # Errors
    /// The engine's.
    pub fn mark_prekeys_uploaded(&mut self, ids: &[u32]) -> Result<()> {
        for &id in ids {
            if let Some(mut prekey) = self.prekey(id)? {
                prekey.uploaded = true;
                self.store(Table::Prekeys, &key(id), &prekey)?;
            }
        }
        let mut marks = self.prekey_watermarks()?;
        let distance = |id: u32| {
            let from = marks.first_not_uploaded;
            if id >= from { id - from } else { LAST_ID - from + id }
        };
        let span = distance(marks.next);
        let last = ids.iter().copied().filter(|&id| distance(id) < span).max_by_key(|&id| distance(id));
        if let Some(last) = last {
            marks.first_not_uploaded = following(last);
            self.store(Table::Account, WATERMARKS, &marks)?;
        }
        Ok(())
    }

    /// Unused one-time prekeys in the store, whatever they were made for.
    ///
    /// # Errors
    /// The engine's.
    pub fn prekey_count(&self) -> Result<u64> {
        self.count(Table::Prekeys, &Range::all())
    }

    fn roles(&self) -> Result<Roles> {
        Ok(self.load(Table::Account, ROLES, IfCorrupt::Stop)?.unwrap_or_default())
    }

    /// Ids of all signed prekeys that are held.
    pub(crate) fn held_signed_prekeys(&self) -> Result<Vec<u32>> {
        let Roles { current, staged, previous, .. } = self.roles()?;
        Ok(current.into_iter().chain(staged).chain(previous).collect())
    }

    /// The id the next signed prekey must have; 1 is the first.
    ///
    /// # Errors
    /// [`StoreError::CorruptRecord`].
    pub fn next_signed_prekey_id(&self) -> Result<u32> {
        Ok(self.roles()?.last.map_or(1, following))
    }

    /// Moves the next signed prekey id on by `by` (a restored store: 04 S8).
    ///
    /// # Errors
    /// The engine's.
    pub fn skip_signed_prekey_ids(&mut self, by: u32) -> Result<()> {
        let mut roles = self.roles()?;
        let zero_based = (u64::from(roles.last.unwrap_or(1)) - 1 + u64::from(by)) % u64::from(LAST_ID);
        roles.last = Some(u32::try_from(zero_based + 1).unwrap_or(1));
        self.store(Table::Account, ROLES, &roles)
    }

    /// A signed prekey by id: current, staged or previous (a message may name any of them).
    ///
    /// # Errors
    /// The engine's.
    pub fn signed_prekey(&self, id: u32) -> Result<Option<SignedPrekey>> {
        self.load(Table::SignedPrekeys, &key(id), IfCorrupt::Quarantine)
    }

    /// The signed prekey that the server has, or will get with the next upload.
    ///
    /// # Errors
    /// The engine's.
    pub fn current_signed_prekey(&self) -> Result<Option<SignedPrekey>> {
        self.roles()?.current.map_or(Ok(None), |id| self.signed_prekey(id))
    }

    /// The one that waits for the server's answer.
    ///
    /// # Errors
    /// The engine's.
    pub fn staged_signed_prekey(&self) -> Result<Option<SignedPrekey>> {
        self.roles()?.staged.map_or(Ok(None), |id| self.signed_prekey(id))
    }

    /// Stores a signed prekey as current at once (the first of a link; a restored store). The old one is kept.
    ///
    /// # Errors
    /// The engine's.
    pub fn set_signed_prekey(&mut self, prekey: &SignedPrekey) -> Result<()> {
        self.stage_signed_prekey(prekey)?;
        self.promote_signed_prekey().map(drop)
    }

    /// Stores a signed prekey as staged, before it is sent; one staged before it is erased.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if its id is in use.
    pub fn stage_signed_prekey(&mut self, prekey: &SignedPrekey) -> Result<()> {
        self.discard_staged_signed_prekey()?;
        if self.has(Table::SignedPrekeys, &key(prekey.id))? {
            return Err(StoreError::Refused("this signed prekey id is in use"));
        }
        let mut roles = self.roles()?;
        roles.staged = Some(prekey.id);
        roles.last = Some(prekey.id);
        self.store(Table::SignedPrekeys, &key(prekey.id), prekey)?;
        self.store(Table::Account, ROLES, &roles)
    }

    /// The server took the staged one: it becomes current, the old current previous, the oldest previous is erased.
    /// `false` if none was staged.
    ///
    /// # Errors
    /// The engine's.
    pub fn promote_signed_prekey(&mut self) -> Result<bool> {
        let mut roles = self.roles()?;
        let Some(staged) = roles.staged.take() else { return Ok(false) };
        if let Some(old) = roles.current.replace(staged) {
            roles.previous.insert(0, old);
        }
        while roles.previous.len() > PREVIOUS {
            if let Some(oldest) = roles.previous.pop() {
                self.remove(Table::SignedPrekeys, &key(oldest))?;
            }
        }
        self.store(Table::Account, ROLES, &roles)?;
        Ok(true)
    }

    /// The server refused the staged one (406, 409): it is erased. Its id is not used again.
    ///
    /// # Errors
    /// The engine's.
    pub fn discard_staged_signed_prekey(&mut self) -> Result<bool> {
        let mut roles = self.roles()?;
        let Some(staged) = roles.staged.take() else { return Ok(false) };
        self.remove(Table::SignedPrekeys, &key(staged))?;
        self.store(Table::Account, ROLES, &roles)?;
        Ok(true)
    }
}
