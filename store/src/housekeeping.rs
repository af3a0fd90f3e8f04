//! What grows is cut back here, once a day: seen rows, acknowledged events, kept plaintexts, retry counters.

use crate::UnixMillis;
use crate::codec::Field;
use crate::error::Result;
use crate::inbox::{MessageSecret, SecretOf, Seen};
use crate::rows::{Range, Table};
use crate::store::{IfCorrupt, Tx};

/// Milliseconds of a day.
pub const DAY: UnixMillis = 24 * 60 * 60 * 1000;

/// How long, and how much, is kept. The defaults are the specification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Hashes and ids of what was received, and acknowledged events (04 R5).
    pub seen: UnixMillis,
    /// Plaintexts of finished sends, for retries (05b §10).
    pub plaintext: UnixMillis,
    /// So many of them at most.
    pub plaintexts_most: usize,
    /// So many of them in any case.
    pub plaintexts_least: usize,
    /// Rows of finished sends: as long, an idempotency key is recognised.
    pub outgoing: UnixMillis,
    /// Placeholders and retry counters.
    pub retries: UnixMillis,
    /// Message secrets of ordinary messages (04 §12.1).
    pub secrets: UnixMillis,
    /// Message secrets of polls and events.
    pub poll_secrets: UnixMillis,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seen: 30 * DAY,
            plaintext: 14 * DAY,
            plaintexts_most: 10_000,
            plaintexts_least: 512,
            outgoing: 90 * DAY,
            retries: 30 * DAY,
            secrets: 30 * DAY,
            poll_secrets: 90 * DAY,
        }
    }
}

/// What a round removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Seen messages and hashes.
    pub seen: u64,
    /// Acknowledged events.
    pub events: u64,
    /// Sends that lost their plaintext or their row.
    pub outgoing: u64,
    /// Placeholders and retry counters.
    pub retries: u64,
    /// Message secrets.
    pub secrets: u64,
}

impl Pruned {
    /// Whether anything was removed: another round may find more.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// Rows in memory at a time.
const PAGE: usize = 256;

impl Tx<'_> {
    /// Removes what is older than `limits` say.
    ///
    /// # Errors
    /// The engine's.
    pub fn prune(&mut self, now: UnixMillis, limits: &Limits) -> Result<Pruned> {
        let seen_before = now.saturating_sub(limits.seen);
        let mut pruned = Pruned::default();
        let held = self.held_signed_prekeys()?;
        let replayable = |row: &Seen| row.signed_prekey.is_some_and(|id| held.contains(&id));
        for table in [Table::SeenMessages, Table::SeenHashes] {
            pruned.seen += self.prune_table::<Seen>(table, IfCorrupt::Delete, |row| {
                row.at < seen_before && !replayable(row)
            })?;
        }
        pruned.secrets =
            self.prune_table::<MessageSecret>(Table::MessageSecrets, IfCorrupt::Delete, |row| {
                let kept = match row.of {
                    SecretOf::Message => limits.secrets,
                    SecretOf::PollOrEvent => limits.poll_secrets,
                };
                row.at < now.saturating_sub(kept)
            })?;
        pruned.events = self.prune_inbox(seen_before)?;
        pruned.outgoing = self.prune_outbox(
            now.saturating_sub(limits.plaintext),
            now.saturating_sub(limits.outgoing),
            limits.plaintexts_least,
            limits.plaintexts_most,
        )?;
        pruned.retries = self.prune_retries(now.saturating_sub(limits.retries))?;
        Ok(pruned)
    }

    /// Removes the rows of a table that are `old`, a page at a time.
    pub(crate) fn prune_table<T: Field>(
        &mut self,
        table: Table,
        if_corrupt: IfCorrupt,
        mut old: impl FnMut(&T) -> bool,
    ) -> Result<u64> {
        let mut gone = 0;
        let mut range = Range::all();
        loop {
            let rows = self.scan_records::<T>(table, &range, PAGE, if_corrupt)?;
            let Some((last, _)) = rows.last() else { return Ok(gone) };
            range = Range::after(last.clone());
            for (key, row) in &rows {
                if old(row) {
                    gone += u64::from(self.remove(table, key)?);
                }
            }
        }
    }
}
