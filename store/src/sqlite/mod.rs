//! The engine of real runs: one SQLite file an account.
//!
//! * `lock`: who may open what, and naming who has it.
//! * `file`: a file opened, checked, migrated; its rows.
//! * `writers`: the small fixed pool that runs transactions and commits them in groups.
//!
//! A transaction's answer comes after a commit with `synchronous=FULL` in WAL mode.

mod file;
mod lease;
mod lock;
mod migrations;
mod writers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::UnixMillis;
use crate::accounts::Accounts;
use crate::error::{Result, StoreError};
use crate::place::{self, AccountId, DataDir};
use crate::store::Store;

use file::{Check, File};
use lock::{Held, Sharing};
use writers::Account;

pub use lease::Node;
pub use migrations::SCHEMA;
pub use writers::Writers;

/// What survives a power cut. A killed process loses nothing either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Everything that was answered.
    #[default]
    Full,
    /// The last commits may be lost, and message keys used twice then: for those who accept that.
    Normal,
}

/// Who uses the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Use {
    /// A command that works on some accounts beside other commands: each account has a lock of its own.
    #[default]
    Command,
    /// A fleet: the whole folder is its own, and accounts cost no lock.
    Fleet,
}

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who uses the folder.
    pub used_by: Use,
    /// What survives a power cut.
    pub durability: Durability,
    /// Who we are, for the lease and for those who find the lock taken.
    pub node: Node,
    /// Open accounts that another node did not release. Only right when that node has stopped for good.
    pub take_over: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            used_by: Use::default(),
            durability: Durability::default(),
            node: Node::this_host(),
            take_over: false,
        }
    }
}

/// Figures since the start, over all accounts.
#[derive(Debug, Default)]
struct Figures {
    transactions: AtomicU64,
    commits: AtomicU64,
    opens: AtomicU64,
}

/// Figures since the start, over all accounts: `transactions / commits` is the size of the average group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Writing transactions that were kept.
    pub transactions: u64,
    /// Commits (each one sync) that carried them.
    pub commits: u64,
    /// How often a file was opened.
    pub opens: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Open,
    Closing,
}

/// Accounts open in this process.
#[derive(Default)]
struct Registry {
    open: Mutex<BTreeMap<AccountId, Presence>>,
    changed: Condvar,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountId, Presence>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the account for this handle; waits for a close that is under way.
    fn enter(&self, id: &AccountId) -> Result<()> {
        let mut open = self.lock();
        while open.get(id) == Some(&Presence::Closing) {
            let waited = self.changed.wait_timeout(open, Duration::from_secs(10));
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            open = guard;
            if timeout.timed_out() {
                break;
            }
        }
        if open.contains_key(id) {
            return Err(StoreError::Held {
                what: format!("account {id}"),
                holder: "this process".to_owned(),
            });
        }
        open.insert(id.clone(), Presence::Open);
        Ok(())
    }

    fn closing(&self, id: &AccountId) {
        if let Some(presence) = self.lock().get_mut(id) {
            *presence = Presence::Closing;
        }
    }

    fn leave(&self, id: &AccountId) {
        self.lock().remove(id);
        self.changed.notify_all();
    }
}

/// The accounts of a data folder, each in its own SQLite file.
pub struct SqliteAccounts {
    data: DataDir,
    options: Options,
    writers: Arc<Writers>,
    registry: Arc<Registry>,
    figures: Arc<Figures>,
    folder: Arc<Held>,
}

impl std::fmt::Debug for SqliteAccounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SqliteAccounts").field(&self.data).finish()
    }
}

impl SqliteAccounts {
    /// Makes the data folder where it is missing, and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::Held`] names who has the folder; [`StoreError::Io`].
    pub fn new(data: DataDir, writers: Arc<Writers>, options: Options) -> Result<Self> {
        data.prepare()?;
        let sharing = match options.used_by {
            Use::Command => Sharing::Shared,
            Use::Fleet => Sharing::Alone,
        };
        let what = format!("data folder {}", data.root().display());
        let folder = Held::take(&data.lock(), sharing, &what, &options.node)?;
        let (registry, figures) = (Arc::default(), Arc::default());
        Ok(Self { data, options, writers, registry, figures, folder: Arc::new(folder) })
    }

    /// The folder's layout.
    #[must_use]
    pub fn data(&self) -> &DataDir {
        &self.data
    }

    /// Figures since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let figure = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            transactions: figure(&self.figures.transactions),
            commits: figure(&self.figures.commits),
            opens: figure(&self.figures.opens),
        }
    }

    /// Waits until every account that was opened here is closed; `false` if some are not after `limit`. Stores close
    /// in the background when their last handle is dropped; a process that is about to end waits for it here.
    #[must_use]
    pub fn settle(&self, limit: Duration) -> bool {
        let open = self.registry.lock();
        let waited = self.registry.changed.wait_timeout_while(open, limit, |open| !open.is_empty());
        let (open, _) = waited.unwrap_or_else(PoisonError::into_inner);
        open.is_empty()
    }

    fn open_locked(&self, id: &AccountId, now: UnixMillis) -> Result<Store> {
        let folder = self.data.account(id);
        if !File::path(&folder).exists() {
            return Err(StoreError::NoAccount(id.to_string()));
        }
        let lock = self.account_lock(id)?;
        let file = File::open(&folder, id, self.options.durability, Check::Whole)?;
        self.figures.opens.fetch_add(1, Ordering::Relaxed);
        lease::acquire(&file, id, &self.options.node, self.options.take_over, now)?;
        let account = Account::new(self, id.clone(), folder, lock);
        self.writers.adopt(&account, file);
        Ok(Store::new(Arc::new(writers::Handle(account))))
    }

    fn account_lock(&self, id: &AccountId) -> Result<Option<Held>> {
        if self.options.used_by == Use::Fleet {
            return Ok(None);
        }
        let path = self.data.account(id).join("lock");
        Held::take(&path, Sharing::Alone, &format!("account {id}"), &self.options.node).map(Some)
    }
}

impl Accounts for SqliteAccounts {
    fn list(&self) -> Result<Vec<AccountId>> {
        self.data.list()
    }

    fn create(&self, id: &AccountId, now: UnixMillis) -> Result<Store> {
        let folder = self.data.account(id);
        if folder.exists() {
            return Err(StoreError::AccountExists(id.to_string()));
        }
        // Made whole beside the others, then renamed: a crash leaves no half account.
        let unfinished = self.data.accounts().join(format!(".new-{}-{id}", std::process::id()));
        let fail = |e| StoreError::io("creating an account", e);
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).map_err(fail)?;
        }
        place::make_private(&unfinished)?;
        File::create(&unfinished, id)?;
        std::fs::rename(&unfinished, &folder).map_err(fail)?;
        place::sync_folder(&self.data.accounts())?;
        self.open(id, now)
    }

    fn open(&self, id: &AccountId, now: UnixMillis) -> Result<Store> {
        self.registry.enter(id)?;
        self.open_locked(id, now).inspect_err(|_| self.registry.leave(id))
    }

    fn archive(&self, id: &AccountId, now: UnixMillis) -> Result<String> {
        self.registry.enter(id)?;
        let result = if self.data.account(id).exists() {
            self.account_lock(id).and_then(|_lock| self.data.quarantine(id, now))
        } else {
            Err(StoreError::NoAccount(id.to_string()))
        };
        self.registry.leave(id);
        result
    }
}
