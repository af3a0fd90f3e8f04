//! The engine without a disk: for tests and examples, and for virtual runs.
//!
//! Accounts outlive their handles inside one [`MemoryAccounts`], so that a test can "restart" a client.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::UnixMillis;
use crate::accounts::Accounts;
use crate::error::{Result, StoreError};
use crate::place::AccountId;
use crate::rows::{Order, Range, Row, Rows, Table};
use crate::store::{Access, Done, Engine, Job, Outcome, Store};

type Entries = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// One account's rows with an undo log: a savepoint is a length of the log.
#[derive(Default)]
struct Data {
    entries: Entries,
    undo: Vec<(Table, Vec<u8>, Option<Vec<u8>>)>,
    savepoints: Vec<usize>,
}

impl Data {
    /// Ends a transaction.
    fn finish(&mut self, keep: bool) {
        if !keep {
            self.undo_to(0);
        }
        self.undo.clear();
        self.savepoints.clear();
    }

    fn undo_to(&mut self, length: usize) {
        while self.undo.len() > length {
            let Some((table, key, old)) = self.undo.pop() else { return };
            match old {
                Some(old) => self.entries.insert((table, key), old),
                None => self.entries.remove(&(table, key)),
            };
        }
    }
}

struct MemoryRows(RefCell<Data>);

type RowBound = Bound<(Table, Vec<u8>)>;

fn bounds(table: Table, range: &Range) -> (RowBound, RowBound) {
    let end = match (&range.to, Table::ALL.iter().find(|&&next| next > table)) {
        (Some(to), _) => Bound::Excluded((table, to.clone())),
        (None, Some(&next)) => Bound::Excluded((next, Vec::new())),
        (None, None) => Bound::Unbounded,
    };
    (Bound::Included((table, range.from.clone())), end)
}

impl Rows for MemoryRows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.borrow().entries.get(&(table, key.to_vec())).cloned())
    }

    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        let data = &mut *self.0.borrow_mut();
        let old = data.entries.insert((table, key.to_vec()), value.to_vec());
        data.undo.push((table, key.to_vec(), old));
        Ok(())
    }

    fn delete(&self, table: Table, key: &[u8]) -> Result<bool> {
        let data = &mut *self.0.borrow_mut();
        let Some(old) = data.entries.remove(&(table, key.to_vec())) else { return Ok(false) };
        data.undo.push((table, key.to_vec(), Some(old)));
        Ok(true)
    }

    fn scan(&self, table: Table, range: &Range, order: Order, limit: usize) -> Result<Vec<Row>> {
        if range.to.as_ref().is_some_and(|to| *to <= range.from) {
            return Ok(Vec::new());
        }
        let data = self.0.borrow();
        let found =
            data.entries.range(bounds(table, range)).map(|((_, key), value)| (key.clone(), value.clone()));
        Ok(match order {
            Order::Ascending => found.take(limit).collect(),
            Order::Descending => found.rev().take(limit).collect(),
        })
    }

    fn count(&self, table: Table, range: &Range) -> Result<u64> {
        if range.to.as_ref().is_some_and(|to| *to <= range.from) {
            return Ok(0);
        }
        Ok(self.0.borrow().entries.range(bounds(table, range)).count() as u64)
    }

    fn savepoint(&self) -> Result<()> {
        let data = &mut *self.0.borrow_mut();
        data.savepoints.push(data.undo.len());
        Ok(())
    }

    fn release(&self) -> Result<()> {
        self.0.borrow_mut().savepoints.pop();
        Ok(())
    }

    fn roll_back(&self) -> Result<()> {
        let data = &mut *self.0.borrow_mut();
        if let Some(length) = data.savepoints.pop() {
            data.undo_to(length);
        }
        Ok(())
    }
}

/// One account in memory.
struct MemoryAccount {
    rows: Mutex<MemoryRows>,
}

/// An open account: closes with its last handle.
struct OpenAccount {
    account: Arc<MemoryAccount>,
    closed: Mutex<bool>,
}

impl OpenAccount {
    fn is_closed(&self) -> bool {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for OpenAccount {
    fn submit(&self, job: Job) {
        if self.is_closed() {
            return (job.done)(Err(StoreError::Closed));
        }
        let rows = self.account.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let work = std::panic::AssertUnwindSafe(|| (job.work)(&*rows));
        let outcome = std::panic::catch_unwind(work);
        let keep = job.access == Access::Write && matches!(outcome, Ok(Outcome::Keep));
        rows.0.borrow_mut().finish(keep);
        drop(rows);
        match outcome {
            Ok(_) => (job.done)(Ok(())),
            Err(_) => (job.done)(Err(StoreError::Panicked)),
        }
    }

    fn close(&self, done: Done) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        done(Ok(()));
    }
}

#[derive(Default)]
struct Slot {
    account: Option<Arc<MemoryAccount>>,
    open: Weak<OpenAccount>,
}

/// Accounts in memory.
#[derive(Default)]
pub struct MemoryAccounts {
    slots: Mutex<BTreeMap<AccountId, Slot>>,
}

impl std::fmt::Debug for MemoryAccounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryAccounts")
    }
}

impl MemoryAccounts {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, BTreeMap<AccountId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn held(slot: &Slot, id: &AccountId) -> Result<()> {
    if slot.open.upgrade().is_some_and(|open| !open.is_closed()) {
        return Err(StoreError::Held { what: format!("account {id}"), holder: "this process".to_owned() });
    }
    Ok(())
}

fn open(slot: &mut Slot, id: &AccountId) -> Result<Store> {
    held(slot, id)?;
    let account = slot.account.clone().ok_or_else(|| StoreError::NoAccount(id.to_string()))?;
    let open = Arc::new(OpenAccount { account, closed: Mutex::new(false) });
    slot.open = Arc::downgrade(&open);
    Ok(Store::new(open))
}

impl Accounts for MemoryAccounts {
    fn list(&self) -> Result<Vec<AccountId>> {
        Ok(self.slots().keys().cloned().collect())
    }

    fn create(&self, id: &AccountId, _now: UnixMillis) -> Result<Store> {
        let mut slots = self.slots();
        if slots.contains_key(id) {
            return Err(StoreError::AccountExists(id.to_string()));
        }
        let account = MemoryAccount { rows: Mutex::new(MemoryRows(RefCell::default())) };
        let slot = slots.entry(id.clone()).or_default();
        slot.account = Some(Arc::new(account));
        open(slot, id)
    }

    fn open(&self, id: &AccountId, _now: UnixMillis) -> Result<Store> {
        let mut slots = self.slots();
        let slot = slots.get_mut(id).ok_or_else(|| StoreError::NoAccount(id.to_string()))?;
        open(slot, id)
    }

    fn archive(&self, id: &AccountId, now: UnixMillis) -> Result<String> {
        let mut slots = self.slots();
        let slot = slots.get(id).ok_or_else(|| StoreError::NoAccount(id.to_string()))?;
        held(slot, id)?;
        slots.remove(id);
        Ok(format!("{id}-{now}"))
    }
}
