//! Where accounts come from: creating, opening, listing, archiving.

use crate::UnixMillis;
use crate::error::Result;
use crate::place::AccountId;
use crate::store::Store;

/// All accounts of one data folder (or of one database, or of one test).
///
/// Object safe: the client, the fleet and the command line hold an `Arc<dyn Accounts>`. The calls that touch the disk
/// block for about a millisecond.
pub trait Accounts: Send + Sync {
    /// The accounts there are, sorted.
    ///
    /// # Errors
    /// The engine's.
    fn list(&self) -> Result<Vec<AccountId>>;

    /// Makes an empty account and opens it.
    ///
    /// # Errors
    /// [`crate::StoreError::AccountExists`], or the engine's.
    fn create(&self, id: &AccountId, now: UnixMillis) -> Result<Store>;

    /// Opens an account. It stays the caller's alone until every handle is gone or [`Store::close`] was called.
    ///
    /// # Errors
    /// [`crate::StoreError::NoAccount`], `Held`, `Leased`, `Damaged`, `Newer`: the account's file was not changed.
    fn open(&self, id: &AccountId, now: UnixMillis) -> Result<Store>;

    /// Moves a closed account out of the way: "wipe" means this (kept 30 days, never used to connect). Returns the
    /// archive's name.
    ///
    /// # Errors
    /// [`crate::StoreError::Held`] while it is open; `NoAccount`.
    fn archive(&self, id: &AccountId, now: UnixMillis) -> Result<String>;
}
