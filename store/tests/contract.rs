//! The contract, run against every engine: what holds for one must hold for the other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "contract/account.rs"]
mod account;
#[path = "contract/messages.rs"]
mod messages;
#[path = "contract/signal.rs"]
mod signal;
#[path = "contract/transactions.rs"]
mod transactions;

use std::sync::Arc;

use palomar_store::memory::MemoryAccounts;
use palomar_store::sqlite::{Options, SqliteAccounts, Writers};
use palomar_store::{AccountId, Accounts, DataDir, Store};

/// A moment in 2026.
const NOW: i64 = 1_790_000_000_000;

/// An engine under test, and what must live as long.
struct Bench {
    accounts: Arc<dyn Accounts>,
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    fn memory() -> Self {
        Self { accounts: Arc::new(MemoryAccounts::new()), _folder: None }
    }

    fn sqlite(writers: Writers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path().join("data"));
        let accounts = SqliteAccounts::new(data, Arc::new(writers), Options::default()).unwrap();
        Self { accounts: Arc::new(accounts), _folder: Some(folder) }
    }

    fn store(&self) -> Store {
        self.accounts.create(&id("alice"), NOW).unwrap()
    }

    /// Closes the account and opens it again, as a restart does.
    async fn restart(&self, store: Store) -> Store {
        store.close().await.unwrap();
        self.accounts.open(&id("alice"), NOW).unwrap()
    }
}

fn id(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

/// Runs a test against each engine.
macro_rules! contract {
    ($($name:ident)*) => {
        mod memory { $(
            #[tokio::test]
            async fn $name() { super::$name($crate::Bench::memory()).await }
        )* }
        mod sqlite { $(
            #[tokio::test]
            async fn $name() {
                super::$name($crate::Bench::sqlite(palomar_store::sqlite::Writers::new().unwrap())).await
            }
        )* }
        mod sqlite_inline { $(
            #[tokio::test]
            async fn $name() {
                super::$name($crate::Bench::sqlite(palomar_store::sqlite::Writers::inline())).await
            }
        )* }
    };
}
pub(crate) use contract;
