//! The messaging half of one account's client: what `receive`, `send`, `devices` and `prekeys` share, and the workers
//! that run them. The connection's life hands stanzas in and shows its state; everything else goes through the line.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::client::context::{Context, StartupLine};
use crate::client::devices::Devices;
use crate::client::devices::own::Own;
use crate::client::line::{Line, NotSent};
use crate::client::once::Once;
use crate::client::prekeys::{PrekeyError, Prekeys};
use crate::client::receive::{self, AskAgain, BATCH, BATCH_BYTES, Effect, Env, Guards, Handler};
use crate::client::send::Outbox;
use crate::client::send::acks::{Acks, Waiter};
use crate::client::send::token::Issue;
use crate::client::state::State;
use crate::stanza::ack::{Answerable, Nack, ServerAck};
use crate::stanza::receipt::Receipt;
use crate::stanza::retry;
use crate::store::StoreError;
use crate::wire::{Jid, Node, OwnedFrame};

/// Stanzas that may wait for the receiving worker; more push back on the connection.
const INCOMING: usize = 512;

/// Jobs that may wait, and that may run at once.
const JOBS: usize = 256;

/// Between two retry receipts (05b §9).
const RETRY_GAP: Duration = Duration::from_millis(250);

/// After the offline phase device lists are refreshed (05b §12).
const REFRESH_DELAY: Duration = Duration::from_secs(2);

/// Work that waits for the server and so belongs in no worker's own line.
pub(crate) enum Job {
    /// Ask for a message again.
    AskAgain(Box<AskAgain>),
    /// Ask for a user's devices.
    Refresh(Jid),
    /// Few prekeys are left at the server.
    PrekeysLow,
    /// Compare keys with the server.
    Digest,
    /// Give a contact a token.
    IssueToken(Jid),
    /// After an identity change: only if one was issued.
    Reissue(Jid),
    /// Wait for the ack of a message.
    Await { key: String, seq: u64, waiter: Waiter, again: bool },
    /// Take an ack that came after its time.
    LateAck(Box<ServerAck>),
    /// Reach the devices that the message with this number missed.
    ReachMissed(u64),
    /// Ask for a user's LID.
    LearnLid(Jid),
    /// Send the receipts that are owed.
    OwedReceipts,
    /// Give the tokens that are owed.
    OwedTokens,
}

/// Resends that may wait for their turn; more are dropped (05b §10).
const RESENDS: usize = 256;

/// A user's LID is asked for at most this often because an ack says so (05a §12).
const LEARN_GAP: Duration = Duration::from_secs(60);

/// A stanza on its way to the receiving worker.
struct Arrived {
    /// The connection that brought it: once that is over the server delivers it again.
    connection: u64,
    frame: OwnedFrame,
}

/// See the module.
pub(crate) struct Messaging {
    pub(crate) ctx: Context,
    pub(crate) devices: Devices,
    pub(crate) prekeys: Arc<Prekeys>,
    pub(crate) acks: Acks,
    pub(crate) outbox: Outbox,
    /// Contacts that a token is being issued to.
    pub(crate) issuing: Once,
    /// Messages whose missed devices are being reached.
    pub(crate) reaching: Once,
    /// Requests to send again that are being answered.
    pub(crate) answering: Once,
    guards: Guards,
    handler: Handler,
    incoming: mpsc::Sender<Arrived>,
    /// Stanzas that were handed in and are not durable yet.
    waiting: AtomicUsize,
    /// Which connection this is, counted.
    connection: AtomicU64,
    /// An event began to wait for its message.
    held: Notify,
    jobs: mpsc::Sender<Job>,
    resends: mpsc::Sender<retry::Received>,
    queues: tokio::sync::Mutex<Option<Queues>>,
    /// Owed receipts go out one after another.
    pub(crate) telling: tokio::sync::Mutex<()>,
    /// When LIDs were asked for, lately.
    learned: tokio::sync::Mutex<HashMap<Jid, Instant>>,
    /// When the next retry receipt may go.
    retry_gap: tokio::sync::Mutex<Option<Instant>>,
}

/// What the workers take from.
struct Queues {
    stanzas: mpsc::Receiver<Arrived>,
    jobs: mpsc::Receiver<Job>,
    resends: mpsc::Receiver<retry::Received>,
}

impl Messaging {
    /// Of an open account.
    pub(crate) fn new(ctx: Context) -> Arc<Self> {
        Self::handled_by(ctx, receive::handle)
    }

    /// As [`new`](Self::new), with what handles a received stanza.
    pub(crate) fn handled_by(ctx: Context, handler: Handler) -> Arc<Self> {
        let line: Arc<dyn Line> = ctx.clone();
        let (store, clock, chance) = (ctx.store.clone(), ctx.clock, ctx.chance.clone());
        let (incoming, stanzas) = mpsc::channel(INCOMING);
        let (jobs, work) = mpsc::channel(JOBS);
        let (resends, again) = mpsc::channel(RESENDS);
        let queues = Queues { stanzas, jobs: work, resends: again };
        Arc::new(Self {
            devices: Devices::new(store.clone(), line, clock, chance.clone()),
            // What waits for an upload is marked in the store: the question need not outlive its connection.
            prekeys: Arc::new(Prekeys::new(store, Arc::new(StartupLine(ctx.clone())), clock, chance)),
            acks: Acks::default(),
            outbox: Outbox::default(),
            issuing: Once::default(),
            reaching: Once::default(),
            answering: Once::default(),
            guards: Guards::default(),
            handler,
            incoming,
            waiting: AtomicUsize::new(0),
            connection: AtomicU64::new(0),
            held: Notify::new(),
            jobs,
            resends,
            queues: tokio::sync::Mutex::new(Some(queues)),
            telling: tokio::sync::Mutex::default(),
            learned: tokio::sync::Mutex::default(),
            retry_gap: tokio::sync::Mutex::new(None),
            ctx,
        })
    }

    /// Runs the workers, once, until the future is dropped. What was not committed by then has not happened.
    pub(crate) async fn run(&self) {
        let Some(Queues { stanzas, jobs, resends }) = self.queues.lock().await.take() else { return };
        tokio::join!(
            biased;
            self.run_receiver(stanzas),
            self.run_jobs(jobs),
            self.run_resends(resends),
            self.run_outbox(),
            self.run_held(),
            self.run_limits()
        );
    }

    /// Whether a notification belongs here; every message and receipt does.
    pub(crate) fn takes_notification(kind: &str, has_devices: bool) -> bool {
        receive::notice::is_ours(kind, has_devices)
    }

    /// Hands in a message, receipt or notification, in the order of arrival. Waits while too many are waiting.
    pub(crate) async fn frame(&self, frame: OwnedFrame) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let connection = self.connection.load(Ordering::Relaxed);
        // The worker ends only with the account.
        let _ = self.incoming.send(Arrived { connection, frame }).await;
    }

    /// How many stanzas are not durable yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Hands in an ack of the server.
    pub(crate) fn ack(&self, ack: ServerAck) {
        if let Some(ack) = self.acks.came(ack) {
            // A message's ack may come after its time; if there is no room for the job, the next connection asks again.
            let _ = self.jobs.try_send(Job::LateAck(Box::new(ack)));
        }
    }

    /// The connection ended: what of it still waits is dropped unread, and comes again.
    pub(crate) fn disconnected(&self) {
        self.connection.fetch_add(1, Ordering::Relaxed);
        self.acks.disconnected();
        self.outbox.disconnected();
    }

    /// The account is ready: what is owed goes out.
    pub(crate) async fn became_ready(&self) {
        self.job(Job::OwedReceipts).await;
        self.job(Job::OwedTokens).await;
        match self.ctx.store.read(|tx| tx.all_missed(JOBS)).await {
            Ok(missed) => {
                for (seq, _) in missed {
                    self.job(Job::ReachMissed(seq)).await;
                }
            }
            Err(error) => tracing::error!(%error, "the store failed"),
        }
        self.outbox.wake();
    }

    /// Waits for "ready"; `false` if the account closes.
    pub(crate) async fn ready(&self) -> bool {
        self.ctx.state.subscribe().wait_for(State::is_ready).await.is_ok()
    }

    /// Hands work to the jobs' worker.
    pub(crate) async fn job(&self, job: Job) {
        let _ = self.jobs.send(job).await;
    }

    pub(crate) fn stop_for_phone(&self) {
        self.ctx.own_phone_changed();
    }

    /// The store failed: nothing is answered, the server delivers again.
    pub(crate) async fn store_failed(&self, error: &StoreError) {
        self.ctx.fail(&error.to_string());
        self.ctx.clock.sleep(Duration::from_secs(1)).await;
    }

    async fn run_receiver(&self, mut stanzas: mpsc::Receiver<Arrived>) {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(first) => first,
                None => match stanzas.recv().await {
                    Some(first) => first,
                    None => return,
                },
            };
            let mut batch = vec![first];
            next = fill(&mut batch, &mut stanzas);
            let taken = batch.len();
            let connection = self.connection.load(Ordering::Relaxed);
            let live = batch.into_iter().filter(|arrived| arrived.connection == connection);
            if let Err(error) = self.receive(live.map(|arrived| arrived.frame).collect()).await {
                self.store_failed(&error).await;
            }
            self.waiting.fetch_sub(taken, Ordering::Relaxed);
        }
    }

    /// A batch is one transaction. A stanza on which we fail ourselves must not come again for ever: each of its batch
    /// is then handled alone, and that one is refused.
    async fn receive(&self, frames: Arc<[OwnedFrame]>) -> Result<(), StoreError> {
        match self.receive_some(&frames, 0, frames.len()).await {
            Err(StoreError::Panicked) => {}
            result => return result,
        }
        for at in 0..frames.len() {
            match self.receive_some(&frames, at, 1).await {
                Err(StoreError::Panicked) => self.refuse(frames.get(at)).await?,
                result => result?,
            }
        }
        Ok(())
    }

    async fn refuse(&self, frame: Option<&OwnedFrame>) -> Result<(), StoreError> {
        let answer = frame.and_then(|frame| Answerable::of(frame.root()).ok().flatten());
        let Some(answer) = answer else { return Ok(()) };
        tracing::error!(id = answer.id(), "a stanza could not be handled and is refused");
        let own = self.ctx.store.read(Own::load).await?;
        // A connection that breaks here gets it again.
        let _ = self.ctx.send_node(answer.nack(own.as_ref().map(|own| &own.pn), Nack::Unhandled)).await;
        Ok(())
    }

    /// One transaction, then the answers in order.
    async fn receive_some(
        &self,
        frames: &Arc<[OwnedFrame]>,
        first: usize,
        count: usize,
    ) -> Result<(), StoreError> {
        let (now, server_s) = (self.ctx.clock.wall_ms(), self.ctx.server_ms() / 1000);
        let (rng, guards, silent) = (self.ctx.chance.fork(), self.guards.clone(), self.ctx.is_silent());
        let (handler, batch, epochs) = (self.handler, Arc::clone(frames), self.devices.epochs.clone());
        let (effects, unknown) = self
            .ctx
            .store
            .write(move |tx| {
                let Some(own) = Own::load(tx)? else { return Ok((Vec::new(), Vec::new())) };
                let (effects, unknown) = (Vec::new(), Vec::new());
                let mut env = Env { own, now, server_s, rng, guards, epochs, silent, effects, unknown };
                for frame in batch.iter().skip(first).take(count) {
                    handler(tx, &mut env, frame.root())?;
                }
                Ok::<_, StoreError>((env.effects, env.unknown))
            })
            .await?;
        self.ctx.inbox.notify_waiters();
        // A receipt can be the first to say that the server has a message.
        self.outbox.settle();
        let now_s = u64::try_from(server_s).unwrap_or(0);
        let mut receipts: Vec<Receipt> = Vec::new();
        for effect in effects {
            if let Effect::Receipt(receipt) = effect {
                receipts.push(receipt);
            } else {
                self.effect(effect).await;
            }
        }
        for receipt in receive::aggregate(receipts, now_s) {
            if let Some(node) = receipt.build() {
                // A connection that breaks here gets the message again.
                let _ = self.ctx.send_node(node).await;
            }
        }
        for frame in frames.iter().skip(first).take(count) {
            self.ctx.note_shape(frame.root());
        }
        self.ctx.note_unknown(unknown);
        Ok(())
    }

    /// Events that wait for their message too long become events all the same.
    async fn run_held(&self) {
        loop {
            let now = self.ctx.clock.wall_ms();
            let next = match self.ctx.store.write(move |tx| receive::change::release_overdue(tx, now)).await {
                Ok(next) => next,
                Err(error) => {
                    self.store_failed(&error).await;
                    continue;
                }
            };
            self.ctx.inbox.notify_waiters();
            match next {
                None => self.held.notified().await,
                Some(at) => {
                    let wait = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
                    tokio::select! {
                        biased;
                        () = self.held.notified() => {}
                        () = self.ctx.clock.sleep(Duration::from_millis(wait)) => {}
                    }
                }
            }
        }
    }

    async fn effect(&self, effect: Effect) {
        let job = match effect {
            Effect::Send(node) => {
                let _ = self.ctx.send_node(node).await;
                return;
            }
            Effect::OwnPhoneChanged => return self.stop_for_phone(),
            Effect::Outbox => return self.outbox.wake(),
            Effect::Limits => return self.limits_changed(),
            Effect::Held => return self.held.notify_one(),
            Effect::Receipt(_) => return,
            Effect::Retry(again) => Job::AskAgain(again),
            Effect::Resend(asked) => {
                if self.resends.try_send(*asked).is_err() {
                    tracing::warn!("too many requests to send again wait: one is dropped");
                }
                return;
            }
            Effect::Refresh(user) => Job::Refresh(user),
            Effect::PrekeysLow => Job::PrekeysLow,
            Effect::Digest => Job::Digest,
            Effect::Reissue(user) => Job::Reissue(user),
        };
        self.job(job).await;
    }

    async fn run_jobs(&self, mut jobs: mpsc::Receiver<Job>) {
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(done) = running.next(), if !running.is_empty() => {
                    if let Err(error) = done {
                        self.store_failed(&error).await;
                    }
                }
                Some(job) = jobs.recv(), if running.len() < JOBS => running.push(self.run_job(job)),
                else => return,
            }
        }
    }

    async fn run_job(&self, job: Job) -> Result<(), StoreError> {
        match job {
            Job::AskAgain(again) => self.ask_again(*again).await,
            Job::Refresh(user) => {
                self.refresh(user).await;
                Ok(())
            }
            Job::PrekeysLow => {
                self.ready().await;
                prekey_result(self.prekeys.low().await)
            }
            Job::Digest => {
                self.ready().await;
                prekey_result(self.prekeys.check_digest().await.map(|check| {
                    tracing::info!(?check, "our keys at the server");
                }))
            }
            Job::IssueToken(contact) => self.issue_token(contact, Issue::Fresh).await,
            Job::Reissue(contact) => self.issue_token(contact, Issue::Again).await,
            Job::Await { key, seq, waiter, again } => self.await_ack(key, seq, waiter, again).await,
            Job::LateAck(ack) => self.late_ack(*ack).await,
            Job::ReachMissed(seq) => self.reach_missed(seq).await,
            Job::LearnLid(user) => {
                self.learn_lid(user.to_user()).await;
                Ok(())
            }
            Job::OwedReceipts => {
                self.ready().await;
                self.send_owed_receipts().await
            }
            Job::OwedTokens => {
                self.ready().await;
                self.issue_owed_tokens().await
            }
        }
    }

    /// Resends wait for their turn in a line of their own, so that they hold up nothing else.
    async fn run_resends(&self, mut resends: mpsc::Receiver<retry::Received>) {
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(done) = running.next(), if !running.is_empty() => {
                    if let Err(error) = done {
                        self.store_failed(&error).await;
                    }
                }
                Some(asked) = resends.recv(), if running.len() < RESENDS => {
                    match self.judge_retry(asked).await {
                        Ok(None) => {}
                        Ok(Some(resend)) if resend.goes_now(self.ctx.clock.now()) => {
                            if let Err(error) = self.resend(resend).await {
                                self.store_failed(&error).await;
                            }
                        }
                        Ok(Some(resend)) => running.push(self.resend(resend)),
                        Err(error) => self.store_failed(&error).await,
                    }
                }
                else => return,
            }
        }
    }

    /// The server says that a user's LID is stale.
    async fn learn_lid(&self, user: Jid) {
        let now = self.ctx.clock.now();
        {
            let mut learned = self.learned.lock().await;
            learned.retain(|_, at| now < *at + LEARN_GAP);
            if learned.contains_key(&user) {
                return;
            }
            learned.insert(user.clone(), now);
        }
        if let Err(error) = self.devices.learn_lid(&user).await {
            tracing::warn!(%error, "the LID of a user was not learned");
        }
    }

    /// Asks for a user's devices, not during the offline phase.
    pub(crate) async fn refresh(&self, user: Jid) {
        let waited = !self.ctx.state.borrow().is_ready();
        if !self.ready().await {
            return;
        }
        if waited {
            self.ctx.clock.sleep(REFRESH_DELAY).await;
        }
        if let Err(error) = self.devices.lists(&[user], true).await {
            tracing::warn!(%error, "a device list was not refreshed");
        }
    }

    /// The four steps of 05b §9: the request goes out, its ack is awaited, then the message is closed.
    async fn ask_again(&self, again: AskAgain) -> Result<(), StoreError> {
        {
            let mut gap = self.retry_gap.lock().await;
            if let Some(next) = *gap {
                self.ctx.clock.sleep_until(next).await;
            }
            *gap = Some(self.ctx.clock.now() + RETRY_GAP);
        }
        let waiter = self.acks.expect("receipt", &again.id);
        if self.ctx.send_node(again.retry).await.is_err() {
            return Ok(());
        }
        if waiter.wait(&self.ctx.clock).await.is_err() {
            // The message stays at the server and comes again.
            return Ok(());
        }
        let message = again.message;
        self.ctx
            .store
            .write(move |tx| {
                let Some(mut placeholder) = tx.placeholder(&message)? else { return Ok(()) };
                placeholder.receipt_acked = true;
                tx.put_placeholder(&placeholder)
            })
            .await?;
        let _ = self.ctx.send_node(again.answer).await;
        Ok(())
    }
}

/// Adds what waits already, within the bounds of a batch; gives what is one too many.
fn fill(batch: &mut Vec<Arrived>, stanzas: &mut mpsc::Receiver<Arrived>) -> Option<Arrived> {
    let mut bytes: usize = batch.iter().map(|arrived| arrived.frame.size()).sum();
    while batch.len() < BATCH {
        let next = stanzas.try_recv().ok()?;
        bytes += next.frame.size();
        if bytes > BATCH_BYTES {
            return Some(next);
        }
        batch.push(next);
    }
    None
}

fn prekey_result(result: Result<(), PrekeyError>) -> Result<(), StoreError> {
    match result {
        Ok(()) => Ok(()),
        Err(PrekeyError::Store(error)) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "our keys were not brought to the server");
            Ok(())
        }
    }
}

/// What the rooms send, in short.
impl crate::client::context::Shared {
    pub(crate) async fn send_node(&self, node: Node) -> Result<(), NotSent> {
        Line::send(self, node).await
    }

    pub(crate) async fn send_bytes(&self, bytes: Vec<u8>) -> Result<(), NotSent> {
        Line::send_encoded(self, bytes).await
    }
}
