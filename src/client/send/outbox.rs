//! The outbox's worker: takes rows in order, prepares and transmits them (protocol 05a §7, §12). What is durable decides;
//! what is kept here in memory only says what is under way on this connection.
//!
//! Not here: what a row needs before it is encrypted (`prepare`), the server's word on it (`word`).

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::client::line::IqError;
use crate::client::messaging::{Job, Messaging};
use crate::client::send::pace::{Bucket, Kept, Pace};
use crate::client::send::release::Times;
use crate::client::send::{peer, settle};
use crate::client::state::State;
use crate::store::{Flag, Outgoing, OutgoingState, StoreError};

/// Rows that are looked at in one step.
const PAGE: usize = 256;

/// A row older than this is not sent by itself any more, in milliseconds.
const OLD: i64 = 24 * 60 * 60 * 1000;

/// After a failed question the row waits so long, then twice as long, and so many times on one connection.
const LATER: Duration = Duration::from_secs(5);
const TRIES: u32 = 3;

/// The outbox's memory.
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    wake: Notify,
    settled: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct Inner {
    /// Rows that wait for the server's word on this connection; their chats wait with them.
    in_flight: HashSet<u64>,
    /// Rows whose ack did not come twice, or whose questions failed too often: the next connection takes them up again.
    unheard: HashSet<u64>,
    /// Rows that have to wait, until then.
    pub(super) later: HashMap<u64, Instant>,
    /// Rows that may not leave yet, until then.
    pub(super) held: HashMap<u64, Instant>,
    /// Rows that reached nobody once.
    pub(super) retried: HashSet<u64>,
    /// How often a row's questions have failed on this connection.
    tries: HashMap<u64, u32>,
    pub(super) pace: Pace,
    buckets: HashMap<String, Bucket>,
}

impl Inner {
    /// The row is over, or begins anew.
    fn forget(&mut self, seq: u64) {
        self.in_flight.remove(&seq);
        self.unheard.remove(&seq);
        self.later.remove(&seq);
        self.held.remove(&seq);
        self.tries.remove(&seq);
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self { inner: Mutex::default(), wake: Notify::new(), settled: watch::Sender::new(0) }
    }
}

impl Outbox {
    /// There may be something to do.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// What may leave has changed: every row that was held back is judged again.
    pub(crate) fn judge_again(&self) {
        self.lock().held.clear();
        self.wake();
    }

    /// A row may not leave before.
    pub(crate) fn hold(&self, seq: u64, until: Instant) {
        self.lock().held.insert(seq, until);
    }

    /// Changes whenever some row has come to its end.
    pub(crate) fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    /// Rows may have come to their end.
    pub(crate) fn settle(&self) {
        self.settled.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The connection ended: whatever was under way goes again on the next one.
    pub(crate) fn disconnected(&self) {
        let mut inner = self.lock();
        inner.in_flight.clear();
        inner.unheard.clear();
        inner.tries.clear();
    }

    /// How long a resend in this chat has to wait; `None`: too many wait already.
    pub(crate) fn bucket(&self, chat: &str, now: Instant) -> Option<Duration> {
        let mut inner = self.lock();
        if inner.buckets.len() > 1024 {
            inner.buckets.clear();
        }
        inner.buckets.entry(chat.to_owned()).or_insert_with(|| Bucket::new(now)).take(now)
    }

    /// A question for the sake of a row failed: how long it waits for the next try. After three it waits for another
    /// connection.
    pub(super) fn next_try(&self, seq: u64, error: &IqError) -> Duration {
        if matches!(error, IqError::Disconnected | IqError::Stopped) {
            return LATER;
        }
        let mut inner = self.lock();
        let tries = inner.tries.entry(seq).or_default();
        *tries += 1;
        let wait = LATER * 2_u32.saturating_pow(*tries - 1);
        if *tries >= TRIES {
            inner.unheard.insert(seq);
        }
        wait
    }

    /// The rows that wait for the server's word.
    pub(super) fn under_way(&self) -> HashSet<u64> {
        self.lock().in_flight.clone()
    }

    /// The row waits for the server's word.
    pub(super) fn sent(&self, seq: u64) {
        self.lock().in_flight.insert(seq);
    }

    /// The row waits for nothing any more.
    pub(super) fn heard(&self, seq: u64) {
        self.lock().forget(seq);
        self.wake();
    }

    /// The row's ack did not come, on a connection that lives.
    pub(super) fn not_heard(&self, seq: u64) {
        let mut inner = self.lock();
        inner.in_flight.remove(&seq);
        inner.unheard.insert(seq);
        drop(inner);
        self.wake();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Row(Box<Outgoing>),
    Wait(Instant),
    Idle,
}

impl Messaging {
    /// Works until the account closes.
    pub(crate) async fn run_outbox(&self) {
        let mut state = self.ctx.state.subscribe();
        if let Err(error) = self.resume_pace().await {
            self.store_failed(&error).await;
        }
        loop {
            if state.wait_for(State::is_ready).await.is_err() {
                return;
            }
            let step = match self.next_row().await {
                Ok(Next::Row(row)) => self.process(*row).await,
                Ok(Next::Wait(until)) => {
                    tokio::select! {
                        biased;
                        () = self.outbox.wake.notified() => {}
                        _ = state.changed() => {}
                        () = self.ctx.clock.sleep_until(until) => {}
                    }
                    Ok(())
                }
                Ok(Next::Idle) => {
                    tokio::select! {
                        biased;
                        () = self.outbox.wake.notified() => {}
                        _ = state.changed() => {}
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = step {
                self.store_failed(&error).await;
            }
        }
    }

    /// What was sent before a restart counts after it.
    async fn resume_pace(&self) -> Result<(), StoreError> {
        let kept = self.ctx.store.read(Kept::load).await?;
        let (now, wall) = (self.ctx.clock.now(), self.ctx.clock.wall_ms());
        self.outbox.lock().pace = Pace::resumed(&kept, &self.ctx.config.pacing, now, wall);
        Ok(())
    }

    /// The pace with one message more, for the transaction of that message.
    pub(super) fn paced(&self) -> Kept {
        let (now, wall) = (self.ctx.clock.now(), self.ctx.clock.wall_ms());
        let mut inner = self.outbox.lock();
        inner.pace.sends(&self.ctx.config.pacing, now, &mut self.ctx.chance.fork());
        inner.pace.kept(now, wall)
    }

    pub(super) fn times(&self) -> Times {
        self.ctx.times()
    }

    /// The first row that can go now. In a chat nothing overtakes what waits, and one message is under way at a time.
    async fn next_row(&self) -> Result<Next, StoreError> {
        let (now, wall) = (self.ctx.clock.now(), self.ctx.clock.wall_ms());
        let paced = self.outbox.lock().pace.due(&self.ctx.config.pacing, now);
        let mut wait: Option<Instant> = None;
        let (mut after, mut blocked) = (0, HashSet::new());
        // What a campaign has waiting in a chat does not hold up what a person asks for there.
        let mut behind = HashSet::new();
        loop {
            // Noted before the look: a row that is settled during it is still open in what was read.
            let under_way = self.outbox.lock().in_flight.clone();
            let rows = self.ctx.store.read(move |tx| tx.open_outgoing(after, PAGE)).await?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            // Nothing goes before that, whichever it is.
            if paced > now {
                return Ok(Next::Wait(paced));
            }
            let inner = self.outbox.lock();
            for row in rows {
                let to_phone = peer::is_peer(&row);
                let blocks = blocked.contains(&row.chat) || row.campaign && behind.contains(&row.chat);
                if inner.unheard.contains(&row.seq) || (!to_phone && blocks) {
                    continue;
                }
                let due = if under_way.contains(&row.seq) || inner.in_flight.contains(&row.seq) {
                    None
                } else {
                    let waits = [&inner.later, &inner.held].into_iter().filter_map(|map| map.get(&row.seq));
                    let early = row.not_before.map_or(0, |at| at.saturating_sub(wall));
                    let early = now + Duration::from_millis(u64::try_from(early).unwrap_or(0));
                    Some(waits.fold(early, |due, until| due.max(*until)))
                };
                if due.is_some_and(|due| due <= now) {
                    return Ok(Next::Row(Box::new(row)));
                }
                wait = wait.into_iter().chain(due).min();
                if !to_phone {
                    let waits = row.campaign && inner.held.contains_key(&row.seq);
                    if waits {
                        behind.insert(row.chat)
                    } else {
                        blocked.insert(row.chat)
                    };
                }
            }
        }
        Ok(wait.map_or(Next::Idle, Next::Wait))
    }

    async fn process(&self, row: Outgoing) -> Result<(), StoreError> {
        {
            let mut inner = self.outbox.lock();
            inner.later.remove(&row.seq);
            inner.held.remove(&row.seq);
        }
        if row.state == OutgoingState::Encrypted {
            return self.repeat(row).await;
        }
        if peer::is_peer(&row) { self.process_peer(row).await } else { self.process_message(row).await }
    }

    /// The identical bytes once more, on another connection or after a pause.
    async fn repeat(&self, row: Outgoing) -> Result<(), StoreError> {
        let since = row.encrypted_at.unwrap_or(row.created_at);
        if self.ctx.clock.wall_ms().saturating_sub(since) > OLD {
            return self.end(&row, settle::give_up).await;
        }
        if !peer::is_peer(&row) && !self.may_repeat(&row).await? {
            return Ok(());
        }
        if let Some(stanza) = self.attempt(&row.key, Some(self.paced())).await? {
            self.transmit(&row, stanza, true).await;
        }
        Ok(())
    }

    /// Notes one more attempt of an encrypted row and returns what is to be sent; `None`: it is settled meanwhile.
    pub(super) async fn attempt(&self, key: &str, pace: Option<Kept>) -> Result<Option<Vec<u8>>, StoreError> {
        let (name, now) = (key.to_owned(), self.ctx.clock.wall_ms());
        self.ctx
            .store
            .write(move |tx| {
                let row = tx.outgoing(&name)?.filter(|row| row.state == OutgoingState::Encrypted);
                let Some(mut row) = row else { return Ok(None) };
                // A restored store is older than what it has sent: nothing goes out as stored (04 S8).
                if tx.flag(Flag::Restored)? {
                    settle::requeue(tx, &mut row)?;
                    return Ok(None);
                }
                row.attempts = row.attempts.saturating_add(1);
                row.last_attempt_at = Some(now);
                tx.put_outgoing(&row)?;
                if let Some(pace) = pace {
                    pace.save(tx)?;
                }
                Ok(row.stanza.map(|stanza| stanza.expose().to_vec()))
            })
            .await
    }

    /// Ends a row in a transaction of its own, if it is open still.
    pub(crate) async fn end(
        &self,
        row: &Outgoing,
        how: impl FnOnce(&mut crate::store::Tx<'_>, &mut Outgoing, i64) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (key, now) = (row.key.clone(), self.ctx.clock.wall_ms());
        self.ctx
            .store
            .write(move |tx| match tx.outgoing(&key)? {
                Some(mut row) if row.state.is_open() => how(tx, &mut row, now),
                _ => Ok(()),
            })
            .await?;
        let mut inner = self.outbox.lock();
        inner.forget(row.seq);
        inner.retried.remove(&row.seq);
        drop(inner);
        self.outbox.settle();
        self.ctx.inbox.notify_waiters();
        Ok(())
    }

    /// Hands durable bytes to the connection and waits elsewhere for the server's word. `again`: once more, if it does
    /// not come.
    pub(super) async fn transmit(&self, row: &Outgoing, bytes: Vec<u8>, again: bool) {
        let waiter = self.acks.expect("message", &row.message_id);
        self.outbox.sent(row.seq);
        if self.ctx.send_bytes(bytes).await.is_err() {
            let mut inner = self.outbox.lock();
            inner.in_flight.remove(&row.seq);
            inner.later.insert(row.seq, self.ctx.clock.now() + LATER);
            return;
        }
        self.job(Job::Await { key: row.key.clone(), seq: row.seq, waiter, again }).await;
    }
}
