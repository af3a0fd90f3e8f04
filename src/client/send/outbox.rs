//! The outbox's worker: takes rows in order, prepares and transmits them, waits for the server's word (protocol 05a §7,
//! §12). What is durable decides; what is kept here in memory only says what is under way on this connection.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::client::devices::own::Own;
use crate::client::devices::{DevicesError, address, session};
use crate::client::line::IqError;
use crate::client::messaging::{Job, Messaging};
use crate::client::send::acks::{NoAck, Waiter};
use crate::client::send::encrypt::{self, Fanned, NotEncrypted};
use crate::client::send::pace::{Bucket, Pace};
use crate::client::send::settle::{self, After};
use crate::client::send::{peer, plan, token};
use crate::client::state::State;
use crate::store::{Outgoing, OutgoingState, StoreError};
use crate::wire::Jid;

/// Rows that are looked at in one step.
const PAGE: usize = 256;

/// A row older than this is not sent by itself any more, in milliseconds.
const OLD: i64 = 24 * 60 * 60 * 1000;

/// After a failed question the row waits so long.
const LATER: Duration = Duration::from_secs(5);

/// The outbox's memory.
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    wake: Notify,
    settled: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    /// Rows that wait for the server's word on this connection.
    in_flight: HashSet<u64>,
    /// Rows that have to wait, until then.
    later: HashMap<u64, Instant>,
    /// Rows that reached nobody once.
    retried: HashSet<u64>,
    pace: Pace,
    /// Nothing is sent before.
    paused: Option<Instant>,
    last_pause: Duration,
    buckets: HashMap<String, Bucket>,
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
        self.lock().in_flight.clear();
    }

    /// How long a resend in this chat has to wait.
    pub(crate) fn bucket(&self, chat: &str, now: Instant) -> Duration {
        let mut inner = self.lock();
        if inner.buckets.len() > 1024 {
            inner.buckets.clear();
        }
        inner.buckets.entry(chat.to_owned()).or_insert_with(|| Bucket::new(now)).take(now)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Row(Box<Outgoing>),
    Wait(Instant),
    Idle,
}

/// Why a row was not prepared.
#[derive(Debug, thiserror::Error)]
enum NotPrepared {
    #[error(transparent)]
    Devices(#[from] DevicesError),
    #[error(transparent)]
    Encrypt(#[from] NotEncrypted),
    #[error("the recipient is no user")]
    BadRecipient,
}

impl From<StoreError> for NotPrepared {
    fn from(error: StoreError) -> Self {
        Self::Devices(error.into())
    }
}

impl Messaging {
    /// Works until the account closes.
    pub(crate) async fn run_outbox(&self) {
        let mut state = self.ctx.state.subscribe();
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

    /// The first row that can go now. In a chat nothing overtakes what waits.
    async fn next_row(&self) -> Result<Next, StoreError> {
        let (now, wall) = (self.ctx.clock.now(), self.ctx.clock.wall_ms());
        let mut wait: Option<Instant> = self.outbox.lock().paused.filter(|until| *until > now);
        if let Some(until) = wait {
            return Ok(Next::Wait(until));
        }
        let (mut after, mut blocked) = (0, HashSet::new());
        loop {
            // Noted before the look: a row that is settled during it is still open in what was read.
            let under_way = self.outbox.lock().in_flight.clone();
            let rows = self.ctx.store.read(move |tx| tx.open_outgoing(after, PAGE)).await?;
            let Some(last) = rows.last() else { break };
            after = last.seq;
            let inner = self.outbox.lock();
            for row in rows {
                let sent = under_way.contains(&row.seq) || inner.in_flight.contains(&row.seq);
                let to_phone = peer::is_peer(&row);
                if sent || (!to_phone && blocked.contains(&row.chat)) {
                    continue;
                }
                let mut due = inner.later.get(&row.seq).copied().unwrap_or(now);
                if row.state == OutgoingState::Queued {
                    due = due.max(inner.pace.due(&self.ctx.config.pacing, now));
                    let early = row.not_before.map_or(0, |at| at.saturating_sub(wall));
                    due = due.max(now + Duration::from_millis(u64::try_from(early).unwrap_or(0)));
                }
                if due <= now {
                    return Ok(Next::Row(Box::new(row)));
                }
                wait = Some(wait.map_or(due, |wait| wait.min(due)));
                if !to_phone {
                    blocked.insert(row.chat);
                }
            }
        }
        Ok(wait.map_or(Next::Idle, Next::Wait))
    }

    async fn process(&self, row: Outgoing) -> Result<(), StoreError> {
        let now = self.ctx.clock.wall_ms();
        if let (OutgoingState::Encrypted, Some(stanza)) = (row.state, &row.stanza) {
            let since = row.encrypted_at.unwrap_or(row.created_at);
            if now.saturating_sub(since) > OLD {
                self.end(&row.key, settle::give_up).await?;
            } else {
                self.transmit(&row, stanza.expose().to_vec()).await;
            }
            return Ok(());
        }
        {
            let mut inner = self.outbox.lock();
            inner.later.remove(&row.seq);
            inner.pace.sends(&self.ctx.config.pacing, self.ctx.clock.now(), &mut self.ctx.chance.fork());
        }
        if peer::is_peer(&row) {
            return self.process_peer(row).await;
        }
        match self.prepare(&row).await {
            Ok(fanned) => {
                if fanned.without_phone {
                    tracing::warn!(id = row.message_id, "the recipient's phone could not be encrypted for");
                }
                self.transmit(&row, fanned.bytes).await;
                self.offer_token(&row).await
            }
            Err(NotPrepared::Devices(DevicesError::Store(error)))
            | Err(NotPrepared::Encrypt(NotEncrypted::Store(error))) => Err(error),
            Err(error) => self.not_prepared(&row, &error).await,
        }
    }

    /// A message to the own phone.
    async fn process_peer(&self, row: Outgoing) -> Result<(), StoreError> {
        match self.prepare_peer(&row).await {
            Ok(Some(bytes)) => {
                self.transmit(&row, bytes).await;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(NotPrepared::Devices(DevicesError::Store(error)))
            | Err(NotPrepared::Encrypt(NotEncrypted::Store(error))) => Err(error),
            Err(error) => self.not_prepared(&row, &error).await,
        }
    }

    async fn prepare_peer(&self, row: &Outgoing) -> Result<Option<Vec<u8>>, NotPrepared> {
        let own = self.ctx.store.read(Own::load).await?.ok_or(DevicesError::NotLinked)?;
        if self.devices.sessions(&[peer::phone(&own)]).await?.own_phone_changed {
            return Err(DevicesError::Iq(IqError::Stopped).into());
        }
        let (key, now, mut rng) = (row.key.clone(), self.ctx.clock.wall_ms(), self.ctx.chance.fork());
        Ok(self.ctx.store.write(move |tx| peer::seal(tx, &key, now, &mut rng)).await?)
    }

    async fn not_prepared(&self, row: &Outgoing, error: &NotPrepared) -> Result<(), StoreError> {
        let now = self.ctx.clock.now();
        let wait = match error {
            NotPrepared::Devices(DevicesError::Throttled(wait)) => Some(*wait),
            NotPrepared::Devices(DevicesError::Iq(IqError::Refused { code: 429, backoff, .. })) => {
                Some(Duration::from_secs(backoff.unwrap_or(60)))
            }
            NotPrepared::Devices(DevicesError::Iq(IqError::Refused { code, .. })) if *code < 500 => None,
            NotPrepared::Devices(DevicesError::Iq(_)) => Some(LATER),
            NotPrepared::Encrypt(NotEncrypted::Nobody) => {
                // The list was stale, perhaps: ask once more.
                self.forget_list(row).await?;
                let first = self.outbox.lock().retried.insert(row.seq);
                first.then_some(Duration::ZERO)
            }
            _ => None,
        };
        if let Some(wait) = wait {
            self.outbox.lock().later.insert(row.seq, now + wait);
            return Ok(());
        }
        tracing::warn!(%error, id = row.message_id, "a message could not be prepared");
        let detail = error.to_string();
        self.end(&row.key, move |tx, row, now| settle::fail(tx, row, None, &detail, now)).await
    }

    async fn forget_list(&self, row: &Outgoing) -> Result<(), StoreError> {
        let chat = row.chat.clone();
        self.ctx.store.write(move |tx| tx.delete_device_list(&chat).map(drop)).await
    }

    /// Ends a row in a transaction of its own.
    async fn end(
        &self,
        key: &str,
        how: impl FnOnce(&mut crate::store::Tx<'_>, &mut Outgoing, i64) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (key, now) = (key.to_owned(), self.ctx.clock.wall_ms());
        self.ctx
            .store
            .write(move |tx| match tx.outgoing(&key)? {
                Some(mut row) if row.state.is_open() => how(tx, &mut row, now),
                _ => Ok(()),
            })
            .await?;
        self.outbox.settle();
        self.ctx.inbox.notify_waiters();
        Ok(())
    }

    /// Device lists, sessions, then the transaction.
    async fn prepare(&self, row: &Outgoing) -> Result<Fanned, NotPrepared> {
        let to = settle::chat_of(row).ok_or(NotPrepared::BadRecipient)?;
        let own = self.ctx.store.read(Own::load).await?.ok_or(DevicesError::NotLinked)?;
        let users = [to.clone(), own.pn.to_user()];
        self.devices.lists(&users, false).await?;
        let mut plan = self.plan(&to).await?;
        let set_up = self.devices.sessions(&plan.all()).await?;
        if set_up.own_phone_changed {
            return Err(DevicesError::Iq(IqError::Stopped).into());
        }
        if !set_up.gone.is_empty() || self.lacks_phone(&plan).await? {
            self.devices.lists(&users, true).await?;
            plan = self.plan(&to).await?;
            self.devices.sessions(&plan.all()).await?;
        }
        let (key, now, mut rng) = (row.key.clone(), self.ctx.clock.wall_ms(), self.ctx.chance.fork());
        let fanned = self.ctx.store.write(move |tx| {
            let own = Own::load(tx)?.ok_or(NotEncrypted::BadMessage)?;
            let mut row = tx.outgoing(&key)?.ok_or(NotEncrypted::BadMessage)?;
            encrypt::fan_out(tx, &own, &mut row, &plan, now, &mut rng)
        });
        Ok(fanned.await?)
    }

    pub(super) async fn plan(&self, to: &Jid) -> Result<plan::Plan, DevicesError> {
        let to = to.clone();
        self.ctx
            .store
            .read(move |tx| {
                let own = Own::load(tx)?.ok_or(DevicesError::NotLinked)?;
                Ok(plan::plan(tx, &own, &to)?)
            })
            .await
    }

    /// Whether the recipient's phone has no session, so that the chat would stay empty there.
    async fn lacks_phone(&self, plan: &plan::Plan) -> Result<bool, StoreError> {
        let phone = plan.theirs.iter().find(|device| device.device() == 0).cloned();
        let Some(phone) = phone else { return Ok(false) };
        let now = self.ctx.clock.wall_ms();
        self.ctx
            .store
            .write(move |tx| {
                let key = address::key(&address::canonical(tx, &phone)?);
                Ok::<_, StoreError>(!session::can_send(tx, &key, now)?)
            })
            .await
    }

    /// Hands the durable bytes to the connection and waits elsewhere for the server's word.
    async fn transmit(&self, row: &Outgoing, bytes: Vec<u8>) {
        let waiter = self.acks.expect("message", &row.message_id);
        self.outbox.lock().in_flight.insert(row.seq);
        if self.ctx.send_bytes(bytes).await.is_err() {
            self.outbox.lock().in_flight.remove(&row.seq);
            self.outbox.lock().later.insert(row.seq, self.ctx.clock.now() + LATER);
            return;
        }
        self.job(Job::Await { key: row.key.clone(), seq: row.seq, waiter, again: true }).await;
    }

    /// Waits for the ack of a message and does what it demands.
    pub(crate) async fn await_ack(
        &self,
        key: String,
        seq: u64,
        waiter: Waiter,
        again: bool,
    ) -> Result<(), StoreError> {
        let ack = match waiter.wait(&self.ctx.clock).await {
            Ok(ack) => ack,
            Err(NoAck::Disconnected) => {
                self.outbox.lock().in_flight.remove(&seq);
                self.outbox.wake();
                return Ok(());
            }
            Err(NoAck::Timeout) if again => return self.send_again(&key, seq, false).await,
            // The row stays under way: the next connection sends it again.
            Err(NoAck::Timeout) => return Ok(()),
        };
        let (own_key, now, taken) = (key.clone(), self.ctx.clock.wall_ms(), ack.clone());
        let after = self
            .ctx
            .store
            .write(move |tx| match Own::load(tx)? {
                Some(own) => settle::settle(tx, &own, &own_key, &taken, now),
                None => Ok(After::Nothing),
            })
            .await?;
        self.outbox.settle();
        self.ctx.inbox.notify_waiters();
        if after != After::Nothing {
            tracing::info!(?after, "the server's word on a message");
        }
        if ack.refresh_lid
            && let Some(user) = ack.from.clone()
        {
            self.job(Job::LearnLid(user)).await;
        }
        match after {
            After::Again(wait) => {
                self.ctx.clock.sleep(wait).await;
                return self.send_again(&key, seq, false).await;
            }
            After::Pause(backoff) => self.pause(backoff),
            After::ReachMissed => self.job(Job::ReachMissed(key)).await,
            After::IssueToken => {
                if let Some(user) = ack.from {
                    self.job(Job::IssueToken(user)).await;
                }
            }
            After::Anew | After::Nothing => {}
        }
        self.outbox.lock().in_flight.remove(&seq);
        self.outbox.wake();
        Ok(())
    }

    /// The identical bytes once more.
    async fn send_again(&self, key: &str, seq: u64, again: bool) -> Result<(), StoreError> {
        let (name, now) = (key.to_owned(), self.ctx.clock.wall_ms());
        let row = self
            .ctx
            .store
            .write(move |tx| {
                let Some(mut row) = tx.outgoing(&name)? else { return Ok(None) };
                row.attempts = row.attempts.saturating_add(1);
                row.last_attempt_at = Some(now);
                tx.put_outgoing(&row)?;
                Ok::<_, StoreError>(Some(row))
            })
            .await?;
        let Some((row, stanza)) = row.and_then(|row| Some((row.clone(), row.stanza?))) else { return Ok(()) };
        let waiter = self.acks.expect("message", &row.message_id);
        if self.ctx.send_bytes(stanza.expose().to_vec()).await.is_ok() {
            self.job(Job::Await { key: key.to_owned(), seq, waiter, again }).await;
        }
        Ok(())
    }

    /// 60 s without a number, doubling to an hour.
    fn pause(&self, backoff: Option<u64>) {
        let mut inner = self.outbox.lock();
        let doubled = (inner.last_pause * 2).clamp(Duration::from_secs(60), Duration::from_secs(3600));
        inner.last_pause = backoff.map_or(doubled, |s| Duration::from_secs(s.min(86_400)));
        inner.paused = Some(self.ctx.clock.now() + inner.last_pause);
    }

    /// With every message the contact gets a token of ours, if it has none of this period.
    async fn offer_token(&self, row: &Outgoing) -> Result<(), StoreError> {
        let Some(chat) = settle::chat_of(row) else { return Ok(()) };
        let now = self.ctx.clock.wall_ms();
        let asked = chat.clone();
        let due = self
            .ctx
            .store
            .read(move |tx| {
                let own = Own::load(tx)?.is_some_and(|own| own.is_own(&asked));
                if own { Ok(None) } else { token::due(tx, &asked, now) }
            })
            .await?;
        if due.is_some() {
            self.job(Job::IssueToken(chat)).await;
        }
        Ok(())
    }
}
