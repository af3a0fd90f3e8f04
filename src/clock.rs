//! Time, as an argument: a monotonic now, a wall now, sleeping. `client`, `fleet` and `sim` take time from here
//! and nowhere else.
//!
//! Real runs use [`Clock::system`]. Virtual runs use [`Clock::starting_at`] on a current-thread runtime whose
//! time is paused: there tokio's clock jumps to the next timer when nothing is runnable, and the wall follows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since the Unix epoch.
pub type UnixMillis = i64;

/// A clock: tokio's monotonic time, and a wall time that runs with it.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Wall);

#[derive(Debug, Clone, Copy)]
enum Wall {
    System,
    Virtual { start: UnixMillis, at: Instant },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Wall::System)
    }

    /// A wall that stands at `start` now and moves with the runtime's (paused) time.
    #[must_use]
    pub fn starting_at(start: UnixMillis) -> Self {
        Self(Wall::Virtual { start, at: Instant::now() })
    }

    /// Monotonic now.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Wall now, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn wall_ms(&self) -> UnixMillis {
        match self.0 {
            Wall::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Wall::Virtual { start, at } => {
                start.saturating_add(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX))
            }
        }
    }

    /// Wall now, in seconds since the Unix epoch.
    #[must_use]
    pub fn wall_s(&self) -> i64 {
        self.wall_ms().div_euclid(1000)
    }

    /// Sleeps for `duration` of monotonic time.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Sleeps until the monotonic `deadline`.
    pub async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(deadline).await;
    }
}
