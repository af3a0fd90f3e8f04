//! A store that fails from a chosen step on, as if the process were killed or the disk gone at that moment. A step is
//! a statement of a transaction, its commit, or the answer that tells of the commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use palomar::store::rows::{Order, Range, Row, Rows, Table};
use palomar::store::{Access, Done, Engine, Job, Outcome, Result, Store, StoreError};

/// When the store fails.
#[derive(Default)]
pub struct Plan {
    /// Steps that still succeed, while armed.
    left: AtomicU64,
    armed: AtomicBool,
    dead: AtomicBool,
}

impl Plan {
    /// `steps` more steps succeed, then none.
    pub fn fail_after(&self, steps: u64) {
        self.left.store(steps, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Whether the store has failed since it was armed.
    pub fn failed(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// The store works again, as after a restart.
    pub fn heal(&self) {
        self.armed.store(false, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
    }

    fn step(&self) -> Result<()> {
        if self.failed() {
            return Err(gone());
        }
        if !self.armed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            self.dead.store(true, Ordering::SeqCst);
            return Err(gone());
        }
        self.left.store(left - 1, Ordering::SeqCst);
        Ok(())
    }
}

fn gone() -> StoreError {
    StoreError::Io { doing: "a step of a test", why: "the disk is gone".into() }
}

/// Wraps a store so that it fails by the plan.
pub fn faulty(store: &Store, plan: &Arc<Plan>) -> Store {
    Store::new(Arc::new(FaultyEngine { inner: Arc::clone(store.engine()), plan: Arc::clone(plan) }))
}

struct FaultyEngine {
    inner: Arc<dyn Engine>,
    plan: Arc<Plan>,
}

impl Engine for FaultyEngine {
    fn submit(&self, job: Job) {
        let (plan, access) = (Arc::clone(&self.plan), job.access);
        let work = move |rows: &dyn Rows| {
            let outcome = (job.work)(&FaultyRows { rows, plan: &plan });
            let commits = access == Access::Write && outcome == Outcome::Keep;
            if commits && plan.step().is_err() { Outcome::Undo } else { outcome }
        };
        let plan = Arc::clone(&self.plan);
        let done = move |result: Result<()>| {
            let told = if access == Access::Write { plan.step() } else { Ok(()) };
            // What was undone because the plan said so must not be told as done.
            (job.done)(result.and(told).and(if plan.failed() { Err(gone()) } else { Ok(()) }));
        };
        self.inner.submit(Job { access, work: Box::new(work), done: Box::new(done) });
    }

    fn close(&self, done: Done) {
        self.inner.close(done);
    }
}

struct FaultyRows<'a> {
    rows: &'a dyn Rows,
    plan: &'a Plan,
}

impl Rows for FaultyRows<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.plan.step()?;
        self.rows.get(table, key)
    }

    fn put(&self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.plan.step()?;
        self.rows.put(table, key, value)
    }

    fn delete(&self, table: Table, key: &[u8]) -> Result<bool> {
        self.plan.step()?;
        self.rows.delete(table, key)
    }

    fn scan(&self, table: Table, range: &Range, order: Order, limit: usize) -> Result<Vec<Row>> {
        self.plan.step()?;
        self.rows.scan(table, range, order, limit)
    }

    fn count(&self, table: Table, range: &Range) -> Result<u64> {
        self.plan.step()?;
        self.rows.count(table, range)
    }

    fn savepoint(&self) -> Result<()> {
        self.plan.step()?;
        self.rows.savepoint()
    }

    fn release(&self) -> Result<()> {
        self.plan.step()?;
        self.rows.release()
    }

    fn roll_back(&self) -> Result<()> {
        self.plan.step()?;
        self.rows.roll_back()
    }
}
