//! One account's SQLite file: created, opened with its checks, read and written row by row.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{Durability, migrations};
use crate::error::{Result, StoreError};
use crate::place::{self, AccountId};
use crate::rows::{Order, Range, Row, Rows, Table};
use crate::store::Tx;

/// "PALO": marks the file as ours.
const APPLICATION_ID: u32 = 0x5041_4c4f;
/// Page cache of an open file, in KiB.
const CACHE_KIB: u32 = 256;
/// Prepared statements kept by an open file.
const STATEMENTS: usize = 64;
/// The log is folded in and cut to nothing when it grows beyond this: old keys must not stay readable in it.
const LOG_BYTES: u64 = 4 * 1024 * 1024;

/// How much of a file is looked at when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Every page: at the account's start.
    Whole,
    /// Its marks only: when it comes back from being closed to save descriptors.
    Marks,
}

/// An open file. Not shared: it belongs to the thread that runs the account's transactions.
pub(super) struct File {
    connection: Connection,
    log: PathBuf,
}

impl File {
    /// Where the file is in an account's folder.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("store.db")
    }

    /// Makes a new file with the newest schema, closed again.
    pub(super) fn create(folder: &Path, id: &AccountId) -> Result<()> {
        let path = Self::path(folder);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(|e| StoreError::io("creating the store", e))?;
        let connection = connect(&path, id)?;
        let mark = format!("PRAGMA application_id = {APPLICATION_ID}");
        connection.execute_batch(&mark).map_err(|e| StoreError::io("creating the store", e))?;
        let file = Self::set_up(connection, &path, Durability::Full)?;
        migrations::migrate(&file.connection, 0)?;
        file.close()?;
        place::sync_folder(folder)
    }

    /// Opens a file, and changes nothing in it unless it is sound, ours and not newer than we are.
    pub(super) fn open(folder: &Path, id: &AccountId, durability: Durability, check: Check) -> Result<Self> {
        let path = Self::path(folder);
        let damaged = |detail: String| StoreError::Damaged { account: id.to_string(), detail };
        let size = std::fs::metadata(&path).map_err(|e| StoreError::io("opening the store", e))?.len();
        if size == 0 {
            return Err(damaged("the file is empty".to_owned()));
        }
        let connection = connect(&path, id)?;
        if check == Check::Whole {
            let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
            let verdict = verdict.map_err(|e| opening(id, &e))?;
            if verdict != "ok" {
                return Err(damaged(verdict));
            }
        }
        let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        if number("application_id").map_err(|e| opening(id, &e))? != APPLICATION_ID {
            return Err(damaged("the file was not written by this program".to_owned()));
        }
        let found = number("user_version").map_err(|e| opening(id, &e))?;
        if found > migrations::SCHEMA {
            return Err(StoreError::Newer { account: id.to_string(), found, known: migrations::SCHEMA });
        }
        let file = Self::set_up(connection, &path, durability)?;
        migrations::migrate(&file.connection, found)?;
        Ok(file)
    }

    fn set_up(connection: Connection, path: &Path, durability: Durability) -> Result<Self> {
        let synchronous = match durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        };
        // Checkpoints are ours (they truncate the log), never SQLite's in the middle of a commit.
        let settings = format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA secure_delete = ON; \
             PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA temp_store = MEMORY;"
        );
        connection.execute_batch(&settings).map_err(|e| StoreError::io("setting up the store", e))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Self { connection, log: log.into() })
    }

    /// Runs `work` as a transaction of its own.
    pub(super) fn transaction<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        self.begin()?;
        match work(&mut Tx::writing(self)) {
            Ok(value) => self.commit().map(|()| value),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    pub(super) fn begin(&self) -> Result<()> {
        self.execute("BEGIN IMMEDIATE", "beginning")
    }

    pub(super) fn begin_reading(&self) -> Result<()> {
        self.execute("BEGIN", "beginning")
    }

    pub(super) fn commit(&self) -> Result<()> {
        self.execute("COMMIT", "committing").inspect_err(|_| self.abandon())
    }

    /// Starts the savepoint of one transaction of a group; nested ones have another name, so that this one ends
    /// whatever they left open.
    pub(super) fn mark_job(&self) -> Result<()> {
        self.execute("SAVEPOINT job", "setting a savepoint")
    }

    pub(super) fn keep_job(&self) -> Result<()> {
        self.execute("RELEASE job", "releasing a savepoint")
    }

    pub(super) fn undo_job(&self) -> Result<()> {
        self.execute("ROLLBACK TO job", "rolling back")?;
        self.execute("RELEASE job", "releasing a savepoint")
    }

    /// Ends a transaction without its changes, if one is under way.
    pub(super) fn abandon(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK", "rolling back")
        {
            tracing::error!(%error, "a rollback failed");
        }
    }

    /// Folds the log in and truncates it when it has grown.
    pub(super) fn tidy(&self) {
        if std::fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES)
            && let Err(error) = self.fold_in()
        {
            tracing::warn!(%error, "the store's log could not be truncated");
        }
    }

    /// Folds the log in, truncates it and closes the file.
    pub(super) fn close(self) -> Result<()> {
        self.fold_in()?;
        self.connection.close().map_err(|(_, e)| StoreError::io("closing the store", e))
    }

    fn fold_in(&self) -> Result<()> {
        let busy =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match busy {
            Ok(0) => Ok(()),
            Ok(_) => Err(StoreError::io("truncating the log", "it is in use")),
            Err(e) => Err(StoreError::io("truncating the log", e)),
        }
    }

    fn execute(&self, sql: &str, doing: &'static str) -> Result<()> {
        let run = || self.connection.prepare_cached(sql)?.execute([]);
        run().map(drop).map_err(|e| StoreError::io(doing, e))
    }
}

/// A connection that changes nothing by being opened and closed.
fn connect(path: &Path, id: &AccountId) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| opening(id, &e))?;
    // Closing a damaged file must not fold its log into it.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|e| opening(id, &e))?;
    // The file is ours alone: no shared-memory file, and another process that ignores the lock is kept out.
    connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE").map_err(|e| opening(id, &e))?;
    Ok(connection)
}

/// What a failure while opening means.
fn opening(id: &AccountId, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            StoreError::Damaged { account: id.to_string(), detail: error.to_string() }
        }
        Some(DatabaseBusy | DatabaseLocked) => StoreError::Held {
            what: format!("the store of account {id}"),
            holder: "a process that does not use its lock".to_owned(),
        },
        _ => StoreError::io("opening the store", error),
    }
}

/// The statements of one table.
struct Sql {
    get: String,
    put: String,
    delete: String,
    ascending: String,
    descending: String,
    count: String,
}

static SQL: LazyLock<Vec<Sql>> = LazyLock::new(|| {
    let range = "k >= ?1 AND (?2 IS NULL OR k < ?2)";
    let of = |table: &Table| {
        let t = table.name();
        Sql {
            get: format!("SELECT v FROM {t} WHERE k = ?1"),
            put: format!(
                "INSERT INTO {t} (k, v) VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = excluded.v"
            ),
            delete: format!("DELETE FROM {t} WHERE k = ?1"),
            ascending: format!("SELECT k, v FROM {t} WHERE {range} ORDER BY k LIMIT ?3"),
            descending: format!("SELECT k, v FROM {t} WHERE {range} ORDER BY k DESC LIMIT ?3"),
            count: format!("SELECT count(*) FROM {t} WHERE {range}"),
        }
    };
    Table::ALL.iter().map(of).collect()
});

fn sql(table: Table) -> Result<&'static Sql> {
    SQL.get(table as usize - 1).ok_or(StoreError::Refused("no such table"))
}

impl Rows for File {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let run =
            |sql: &str| self.connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional();
        run(&sql(table)?.get).map_err(|e| StoreError::io("reading", e))
    }

    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([key, value]);
        run(&sql(table)?.put).map(drop).map_err(|e| StoreError::io("writing", e))
    }

    fn delete(&self, table: Table, key: &[u8]) -> Result<bool> {
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([key]);
        run(&sql(table)?.delete).map(|rows| rows > 0).map_err(|e| StoreError::io("deleting", e))
    }

    fn scan(&self, table: Table, range: &Range, order: Order, limit: usize) -> Result<Vec<Row>> {
        let sql = match order {
            Order::Ascending => &sql(table)?.ascending,
            Order::Descending => &sql(table)?.descending,
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows =
                statement.query_map(params![range.from, range.to, limit], |r| Ok((r.get(0)?, r.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<Row>>>()
        };
        run().map_err(|e| StoreError::io("reading", e))
    }

    fn count(&self, table: Table, range: &Range) -> Result<u64> {
        let sql = &sql(table)?.count;
        let run = || {
            self.connection
                .prepare_cached(sql)?
                .query_row(params![range.from, range.to], |row| row.get::<_, i64>(0))
        };
        run().map(i64::unsigned_abs).map_err(|e| StoreError::io("counting", e))
    }

    fn savepoint(&self) -> Result<()> {
        self.execute("SAVEPOINT s", "setting a savepoint")
    }

    fn release(&self) -> Result<()> {
        self.execute("RELEASE s", "releasing a savepoint")
    }

    fn roll_back(&self) -> Result<()> {
        self.execute("ROLLBACK TO s", "rolling back")?;
        self.execute("RELEASE s", "releasing a savepoint")
    }
}
