//! The world behind its one lock, and the two things around it that know time: entering it with the time set, and
//! the task that wakes it for its own deadlines.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::world::{SnapshotError, World};
use crate::clock::{Clock, UnixMillis};

/// The world, shared by connections, admin calls and the timer task.
pub(crate) struct Shared {
    world: Mutex<World>,
    pub clock: Clock,
    /// What `clock` calls have added to the clock.
    offset_ms: AtomicI64,
    deadline: watch::Sender<Option<UnixMillis>>,
    changed: watch::Sender<u64>,
    snapshot: Option<PathBuf>,
}

impl Shared {
    pub fn new(world: World, clock: Clock, snapshot: Option<PathBuf>) -> Self {
        Self {
            offset_ms: AtomicI64::new(world.now_ms.saturating_sub(clock.wall_ms()).max(0)),
            deadline: watch::Sender::new(world.next_deadline()),
            changed: watch::Sender::new(0),
            world: Mutex::new(world),
            clock,
            snapshot,
        }
    }

    /// The world's time.
    pub fn now_ms(&self) -> UnixMillis {
        self.clock.wall_ms().saturating_add(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Enters the world. What became due before now is done first.
    pub fn with<R>(&self, call: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance_to(self.now_ms());
        let result = call(&mut world);
        world.settle();
        let next = world.next_deadline();
        drop(world);
        self.deadline.send_if_modified(|deadline| std::mem::replace(deadline, next) != next);
        self.changed.send_modify(|changes| *changes += 1);
        result
    }

    /// Moves the world's time on; everything that becomes due on the way happens in order.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
        self.with(|_| {});
    }

    /// Waits until `ready` finds what it looks for, or the time is up.
    pub async fn wait<R>(
        &self,
        within: Duration,
        mut ready: impl FnMut(&mut World) -> Option<R>,
    ) -> Option<R> {
        let deadline = self.clock.now() + within;
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = self.look(&mut ready) {
                return Some(found);
            }
            tokio::select! {
                biased;
                change = changes.changed() => if change.is_err() { return None },
                () = self.clock.sleep_until(deadline) => return self.look(&mut ready),
            }
        }
    }

    /// As [`Shared::with`], without telling those who wait.
    pub fn look<R>(&self, call: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        call(&mut world)
    }

    /// Wakes the world when something of its own is due. Ends with the simulator, which drops this task.
    pub async fn keep_time(self: Arc<Self>) {
        let mut deadline = self.deadline.subscribe();
        loop {
            let next = *deadline.borrow_and_update();
            let due_in = next.map(|at| at.saturating_sub(self.now_ms()).max(0).unsigned_abs());
            tokio::select! {
                biased;
                change = deadline.changed() => if change.is_err() { return },
                () = sleep(&self.clock, due_in) => self.with(|_| {}),
            }
        }
    }

    /// Writes `--state`, if there is one.
    pub fn save(&self) -> Result<(), SaveError> {
        let Some(path) = &self.snapshot else { return Ok(()) };
        let bytes = self.look(|world| world.snapshot())?;
        let next = path.with_extension("json.new");
        super::pki::write_private(&next, &bytes)?;
        std::fs::rename(&next, path)?;
        Ok(())
    }
}

async fn sleep(clock: &Clock, millis: Option<u64>) {
    match millis {
        Some(millis) => clock.sleep(Duration::from_millis(millis)).await,
        None => std::future::pending().await,
    }
}

/// The state could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// It could not be put together.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The file could not be written.
    #[error("the state could not be written: {0}")]
    File(#[from] std::io::Error),
}
