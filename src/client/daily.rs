//! What is done once a day while an account is ready: device lists are gone over (protocol 05a §3), expired contact tokens
//! go (05d §6), and the store is cut back. Durable, so that a restart neither skips a day nor begins it anew.

use std::time::Duration;

use crate::client::messaging::Messaging;
use crate::client::send::token;
use crate::clock::UnixMillis;
use crate::store::{Limits, Pruned, Round, StoreError};

const DAY: UnixMillis = 24 * 60 * 60 * 1000;

/// After "ready" there is more urgent work.
const FIRST: Duration = Duration::from_secs(60);

/// Between two steps of cutting the store back, and between two looks while messages are coming in.
const BETWEEN: Duration = Duration::from_millis(20);
const BUSY: Duration = Duration::from_secs(1);

/// When the last round was.
const SETTING: &str = "daily.at";

impl Messaging {
    /// Rounds, until the future is dropped.
    pub(crate) async fn run_daily(&self) {
        self.ctx.clock.sleep(FIRST).await;
        loop {
            let wait = match self.round_if_due().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, "the daily round failed");
                    Duration::from_secs(3600)
                }
            };
            self.ctx.clock.sleep(wait).await;
        }
    }

    /// How long until the next round.
    async fn round_if_due(&self) -> Result<Duration, StoreError> {
        let now = self.ctx.clock.wall_ms();
        let last = self.ctx.store.read(|tx| tx.setting(SETTING)).await?;
        let last = last.and_then(|last| std::str::from_utf8(last.expose()).ok()?.parse::<UnixMillis>().ok());
        // A time in the future is a clock that was set back.
        if let Some(last) = last.filter(|last| (0..DAY).contains(&now.saturating_sub(*last))) {
            let left = DAY - now.saturating_sub(last);
            return Ok(Duration::from_millis(u64::try_from(left).unwrap_or(1)));
        }
        self.round().await?;
        let done = now.to_string();
        self.ctx.store.write(move |tx| tx.set_setting(SETTING, Some(done.as_bytes()))).await?;
        Ok(Duration::from_millis(DAY.unsigned_abs()))
    }

    async fn round(&self) -> Result<(), StoreError> {
        if let Err(error) = self.devices.go_over().await {
            tracing::warn!(%error, "not every old device list was asked for");
        }
        let (now, server_s) = (self.ctx.clock.wall_ms(), self.ctx.server_ms() / 1000);
        self.ctx.store.write(move |tx| token::prune(tx, server_s)).await?;
        let pruned = self.cut_back(now).await?;
        tracing::info!(?pruned, "the daily round is done");
        Ok(())
    }

    /// The store is cut back in steps: what comes and goes meanwhile is done between them, and first.
    async fn cut_back(&self, now: UnixMillis) -> Result<Pruned, StoreError> {
        let mut round = Round::default();
        while !round.is_done() {
            while self.waiting() > 0 {
                self.ctx.clock.sleep(BUSY).await;
            }
            round = self.ctx.store.write(move |tx| tx.prune_step(round, now, &Limits::default())).await?;
            self.ctx.clock.sleep(BETWEEN).await;
        }
        Ok(round.pruned)
    }
}
