//! The handle to one account, and the transaction that its closures work in.
//!
//! No table lives here: they are `impl Tx` blocks in the files named after their subject.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroize;

use crate::codec::{self, Field};
use crate::error::{Result, StoreError};
use crate::quarantine;
use crate::rows::{Order, Range, Row, Rows, Table};

/// Transactions of one account that may wait at the same time; more push back on their callers.
const QUEUE: usize = 256;

/// What the closure of a transaction decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Keep its changes.
    Keep,
    /// Undo them, alone.
    Undo,
}

/// What a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only look.
    Read,
    /// Look and change.
    Write,
}

/// The work of a transaction, as engines see it.
pub type Work = Box<dyn FnOnce(&dyn Rows) -> Outcome + Send>;
/// Told once the work is durable (`Ok`) or nothing of it happened.
pub type Done = Box<dyn FnOnce(Result<()>) + Send>;

/// One transaction on its way to the account's writer.
pub struct Job {
    /// Whether it may change anything.
    pub access: Access,
    /// What to run.
    pub work: Work,
    /// Whom to tell.
    pub done: Done,
}

/// One open account of an engine.
pub trait Engine: Send + Sync {
    /// Takes a transaction. It runs after those handed over before it; its `done` is called exactly once, or dropped
    /// where its work panicked.
    fn submit(&self, job: Job);
    /// Ends the account cleanly: everything submitted is done, logs are folded in, locks are given back. Further
    /// jobs answer [`StoreError::Closed`].
    fn close(&self, done: Done);
}

/// The handle to one open account. Cloning is cheap; the account closes with [`Store::close`] or the last clone.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    queue: Arc<Semaphore>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Makes a handle of an engine's open account. For engines; use [`crate::Accounts::open`].
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, queue: Arc::new(Semaphore::new(QUEUE)) }
    }

    /// The engine behind the handle, for an engine that wraps another one (counting, failing on purpose).
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Runs `work` as one transaction and returns when its changes are durable.
    ///
    /// The account has one writer, so no other transaction runs beside it. Transactions that queue up during a
    /// commit share the next one; each has its own savepoint, so that an `Err` undoes that transaction alone.
    /// A dropped future does not undo: the transaction either happens or not, wholly.
    ///
    /// # Errors
    /// What `work` returned (nothing changed), or the store's own failure (nothing changed, nothing may be sent).
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Access::Write, move |rows| work(&mut Tx::writing(rows))).await
    }

    /// Runs `work` on a consistent view that holds everything that was durable when it was called.
    ///
    /// # Errors
    /// What `work` returned, or the store's own failure.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.run(Access::Read, move |rows| work(&Tx { rows, access: Access::Read })).await
    }

    /// Ends the account cleanly. Other clones of the handle answer [`StoreError::Closed`] from then on.
    ///
    /// # Errors
    /// The engine's failure; the account is closed all the same.
    pub async fn close(&self) -> Result<()> {
        let (tell, told) = oneshot::channel();
        self.engine.close(Box::new(move |result| drop(tell.send(result))));
        told.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn run<T, E>(
        &self,
        access: Access,
        work: impl FnOnce(&dyn Rows) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let Ok(_place) = self.queue.acquire().await else { return Err(StoreError::Closed.into()) };
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let (tell, told) = oneshot::channel();
        self.engine.submit(Job {
            access,
            work: Box::new(move |rows| {
                let value = work(rows);
                let outcome = if value.is_ok() { Outcome::Keep } else { Outcome::Undo };
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                outcome
            }),
            done: Box::new(move |result| drop(tell.send(result))),
        });
        told.await.unwrap_or(Err(StoreError::Panicked))?;
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.unwrap_or_else(|| Err(StoreError::Panicked.into()))
    }
}

/// A transaction: the typed tables of one account. Reading methods take `&self`, changing ones `&mut self`.
pub struct Tx<'a> {
    rows: &'a dyn Rows,
    access: Access,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tx({:?})", self.access)
    }
}

/// What becomes of a row that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfCorrupt {
    /// The account can't go on without it.
    Stop,
    /// It moves to the quarantine and counts as absent.
    Quarantine,
    /// It is deleted and counts as absent.
    Delete,
}

impl<'a> Tx<'a> {
    /// A writing transaction over an engine's rows, which the engine begins and ends.
    pub(crate) fn writing(rows: &'a dyn Rows) -> Self {
        Self { rows, access: Access::Write }
    }

    /// Runs `work` in a nested savepoint: its `Err` undoes what it did, and nothing else.
    ///
    /// # Errors
    /// What `work` returned, or the store's own failure.
    pub fn savepoint<T, E>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        self.rows.savepoint()?;
        let result = work(&mut Tx { rows: self.rows, access: self.access });
        if result.is_ok() {
            self.rows.release()?
        } else {
            self.rows.roll_back()?
        }
        result
    }

    /// The stored body under `key`, checked.
    pub(crate) fn body(&self, table: Table, key: &[u8], if_corrupt: IfCorrupt) -> Result<Option<Vec<u8>>> {
        let Some(mut value) = self.rows.get(table, key)? else { return Ok(None) };
        match codec::open(table as u8, key, &value) {
            Ok(body) => {
                let body = body.to_vec();
                value.zeroize();
                Ok(Some(body))
            }
            Err(codec::Corrupt) => self.corrupt(table, key, &value, if_corrupt).map(|()| None),
        }
    }

    /// The record under `key`.
    pub(crate) fn load<T: Field>(
        &self,
        table: Table,
        key: &[u8],
        if_corrupt: IfCorrupt,
    ) -> Result<Option<T>> {
        let Some(mut body) = self.body(table, key, if_corrupt)? else { return Ok(None) };
        let parsed = parse(&body);
        if parsed.is_none() {
            self.corrupt(table, key, &codec::seal(table as u8, key, &body), if_corrupt)?;
        }
        body.zeroize();
        Ok(parsed)
    }

    pub(crate) fn store_body(&mut self, table: Table, key: &[u8], body: &[u8]) -> Result<()> {
        let mut value = codec::seal(table as u8, key, body);
        let result = self.rows.put(table, key, &value);
        value.zeroize();
        result
    }

    pub(crate) fn store<T: Field>(&mut self, table: Table, key: &[u8], record: &T) -> Result<()> {
        let mut body = Vec::new();
        record.put(&mut body);
        let result = self.store_body(table, key, &body);
        body.zeroize();
        result
    }

    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool> {
        self.rows.delete(table, key)
    }

    pub(crate) fn has(&self, table: Table, key: &[u8]) -> Result<bool> {
        Ok(self.rows.get(table, key)?.is_some())
    }

    pub(crate) fn count(&self, table: Table, range: &Range) -> Result<u64> {
        self.rows.count(table, range)
    }

    /// Raw rows, for keys and index values.
    pub(crate) fn scan(&self, table: Table, range: &Range, order: Order, limit: usize) -> Result<Vec<Row>> {
        self.rows.scan(table, range, order, limit)
    }

    /// Good records of a range with their keys; damaged ones are dealt with and left out.
    pub(crate) fn scan_records<T: Field>(
        &self,
        table: Table,
        range: &Range,
        limit: usize,
        if_corrupt: IfCorrupt,
    ) -> Result<Vec<(Vec<u8>, T)>> {
        let mut records = Vec::new();
        for (key, mut value) in self.rows.scan(table, range, Order::Ascending, limit)? {
            match codec::open(table as u8, &key, &value).ok().and_then(parse) {
                Some(record) => records.push((key, record)),
                None => self.corrupt(table, &key, &value, if_corrupt)?,
            }
            value.zeroize();
        }
        Ok(records)
    }

    /// A row of an index: a number under a key.
    pub(crate) fn index(&self, table: Table, key: &[u8]) -> Result<Option<u64>> {
        self.load(table, key, IfCorrupt::Delete)
    }

    fn corrupt(&self, table: Table, key: &[u8], value: &[u8], if_corrupt: IfCorrupt) -> Result<()> {
        if if_corrupt == IfCorrupt::Stop {
            return Err(StoreError::CorruptRecord { table: table.name() });
        }
        tracing::warn!(table = table.name(), "a damaged record was set aside");
        if self.access == Access::Read {
            return Ok(());
        }
        if if_corrupt == IfCorrupt::Quarantine {
            quarantine::set_aside(self.rows, table, key, value, "damaged")?;
        }
        self.rows.delete(table, key).map(drop)
    }

    pub(crate) fn rows(&self) -> &'a dyn Rows {
        self.rows
    }
}

/// A whole body as one record.
fn parse<T: Field>(mut body: &[u8]) -> Option<T> {
    let record = T::take(&mut body).ok()?;
    body.is_empty().then_some(record)
}
