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
    /// Whether anything was removed.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// Rows looked at in one transaction.
const PAGE: usize = 256;

/// A round of pruning under way, cut into steps so that no transaction is long: what is received and sent meanwhile
/// goes in between.
#[derive(Debug, Clone, Default)]
pub struct Round {
    stage: Stage,
    /// The last row that was looked at.
    after: Option<Vec<u8>>,
    /// Rows of the outbox that are newer than that; `None` before the first.
    newer: Option<usize>,
    /// What was removed so far.
    pub pruned: Pruned,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    SeenMessages,
    SeenHashes,
    Secrets,
    Inbox,
    Outbox,
    Placeholders,
    Asked,
    Recreations,
    Done,
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::SeenMessages => Self::SeenHashes,
            Self::SeenHashes => Self::Secrets,
            Self::Secrets => Self::Inbox,
            Self::Inbox => Self::Outbox,
            Self::Outbox => Self::Placeholders,
            Self::Placeholders => Self::Asked,
            Self::Asked => Self::Recreations,
            Self::Recreations | Self::Done => Self::Done,
        }
    }
}

impl Round {
    /// Nothing is left to look at.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }
}

impl Tx<'_> {
    /// Removes what is older than `limits` say, in this one transaction.
    ///
    /// # Errors
    /// The engine's.
    pub fn prune(&mut self, now: UnixMillis, limits: &Limits) -> Result<Pruned> {
        let mut round = Round::default();
        while !round.is_done() {
            round = self.prune_step(round, now, limits)?;
        }
        Ok(round.pruned)
    }

    /// The next step of a round: a bounded number of rows. Begin with [`Round::default`].
    ///
    /// # Errors
    /// The engine's.
    pub fn prune_step(&mut self, round: Round, now: UnixMillis, limits: &Limits) -> Result<Round> {
        let Round { stage, mut after, mut newer, mut pruned } = round;
        let seen_before = now.saturating_sub(limits.seen);
        let retries_before = now.saturating_sub(limits.retries);
        match stage {
            Stage::SeenMessages => {
                pruned.seen += self.prune_seen(Table::SeenMessages, &mut after, seen_before)?;
            }
            Stage::SeenHashes => {
                pruned.seen += self.prune_seen(Table::SeenHashes, &mut after, seen_before)?;
            }
            Stage::Secrets => pruned.secrets += self.prune_secrets(&mut after, now, limits)?,
            Stage::Inbox => pruned.events += self.prune_inbox(&mut after, seen_before)?,
            Stage::Outbox => {
                pruned.outgoing += self.prune_outbox(&mut after, &mut newer, now, limits)?;
            }
            Stage::Placeholders => {
                pruned.retries += self.prune_placeholders(&mut after, retries_before)?;
            }
            Stage::Asked => pruned.retries += self.prune_asked(&mut after, retries_before)?,
            Stage::Recreations => pruned.retries += self.prune_recreations(&mut after, retries_before)?,
            Stage::Done => {}
        }
        let stage = if after.is_none() { stage.next() } else { stage };
        Ok(Round { stage, after, newer, pruned })
    }

    fn prune_seen(&mut self, table: Table, after: &mut Option<Vec<u8>>, before: UnixMillis) -> Result<u64> {
        let held = self.held_signed_prekeys()?;
        let replayable = |row: &Seen| row.signed_prekey.is_some_and(|id| held.contains(&id));
        self.prune_page(table, IfCorrupt::Delete, after, |row: &Seen| row.at < before && !replayable(row))
    }

    fn prune_secrets(
        &mut self,
        after: &mut Option<Vec<u8>>,
        now: UnixMillis,
        limits: &Limits,
    ) -> Result<u64> {
        self.prune_page(Table::MessageSecrets, IfCorrupt::Delete, after, |row: &MessageSecret| {
            let kept = match row.of {
                SecretOf::Message => limits.secrets,
                SecretOf::PollOrEvent => limits.poll_secrets,
            };
            row.at < now.saturating_sub(kept)
        })
    }

    /// Removes the rows of a table's next page that are `old`. `after` moves on, and is `None` behind the last page.
    pub(crate) fn prune_page<T: Field>(
        &mut self,
        table: Table,
        if_corrupt: IfCorrupt,
        after: &mut Option<Vec<u8>>,
        mut old: impl FnMut(&T) -> bool,
    ) -> Result<u64> {
        let range = after.take().map_or_else(Range::all, Range::after);
        let rows = self.scan_records::<T>(table, &range, PAGE, if_corrupt)?;
        let mut gone = 0;
        for (key, row) in &rows {
            if old(row) {
                gone += u64::from(self.remove(table, key)?);
            }
        }
        *after = rows.into_iter().next_back().map(|(key, _)| key);
        Ok(gone)
    }
}
