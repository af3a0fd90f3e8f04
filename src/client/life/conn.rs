//! One live connection: reader, writer and keepalive beside each other in one task, and what they share. What is
//! done on the connection (start-up, pairing) is handed in as one more future.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::end::End;
use super::keepalive::{Action, Keepalive};
use super::offline::Offline;
use crate::client::context::Context;
use crate::client::dispatch::{Dispatcher, Next};
use crate::client::iq::Repeat;
use crate::client::link::{Link, Order};
use crate::client::net::{Arrival, FrameReader, FrameWriter};
use crate::client::recorder::Tape;
use crate::client::state::State;
use crate::stanza::ib::Dirty;
use crate::stanza::iq;
use crate::stanza::judge::recording::Purpose;
use crate::stanza::success::Success;

/// The most frames that go out in one write.
const WRITE_BATCH: usize = 32;

/// What the parts of a connection share.
pub(crate) struct Conn {
    pub ctx: Context,
    pub link: Link,
    pub success: watch::Sender<Option<Success>>,
    /// Begins with `<success>`.
    pub offline: Mutex<Option<Offline>>,
    pub offline_moved: Notify,
    keepalive: Mutex<Keepalive>,
    keepalive_moved: Notify,
    authenticated: OnceLock<Instant>,
    /// What the login payload said.
    passive: bool,
    /// Its recording, where one is wanted.
    pub tape: Option<Tape>,
    /// Domains that the server calls stale, one entry for each bulletin.
    pub dirty: Mutex<Vec<Vec<Dirty>>>,
    pub dirty_told: Notify,
    /// The server says that the privacy settings have changed.
    pub privacy_told: Notify,
    /// The server will close: nothing is sent any more.
    going_down: AtomicBool,
}

impl Conn {
    /// A connection whose handshake just ended, and the queue for its writer.
    pub fn new(ctx: &Context, purpose: Purpose) -> (Arc<Self>, mpsc::Receiver<Order>) {
        let (link, orders) = Link::new();
        let (now, wall) = (ctx.clock.now(), ctx.clock.wall_ms());
        let keepalive = Keepalive::new(ctx.config.keepalive, now, wall, &mut ctx.chance.fork());
        let conn = Self {
            ctx: Arc::clone(ctx),
            link,
            success: watch::Sender::new(None),
            offline: Mutex::new(None),
            offline_moved: Notify::new(),
            keepalive: Mutex::new(keepalive),
            keepalive_moved: Notify::new(),
            authenticated: OnceLock::new(),
            passive: purpose == Purpose::Passive,
            tape: Tape::begin(ctx, purpose),
            dirty: Mutex::default(),
            dirty_told: Notify::new(),
            privacy_told: Notify::new(),
            going_down: AtomicBool::new(false),
        };
        (Arc::new(conn), orders)
    }

    /// The first `<success>` came. What follows it on the wire may be read before anybody else has run: the offline
    /// phase and the line for answers begin here.
    pub fn succeeded(&self, success: Success) {
        let now = self.ctx.clock.now();
        if self.authenticated.set(now).is_ok() {
            *lock(&self.offline) = Some(Offline::new(now, self.passive));
            self.ctx.current.set(Some(self.link.clone()));
            self.success.send_replace(Some(success));
        }
    }

    /// The server has said that it will close: the account counts as offline from now on.
    pub fn going_down(&self) {
        self.going_down.store(true, Ordering::Relaxed);
        self.ctx.current.set(None);
        let limit = i64::try_from(self.ctx.config.timeouts.server_close.as_millis()).unwrap_or(0);
        self.ctx.show(State::Waiting { until: self.ctx.clock.wall_ms().saturating_add(limit) });
    }

    /// The account is ready, unless the server closes anyway.
    pub fn is_ready(&self) -> bool {
        let ready = !self.going_down.load(Ordering::Relaxed);
        if ready {
            self.ctx.show(State::Ready);
        }
        ready
    }

    /// How long the connection has been authenticated.
    pub fn authenticated_for(&self) -> Option<Duration> {
        self.authenticated.get().map(|since| self.ctx.clock.now().saturating_duration_since(*since))
    }

    /// Changes the offline phase, if it has begun, and wakes whoever waits for it.
    pub fn offline(&self, change: impl FnOnce(&mut Offline)) {
        if let Some(offline) = &mut *lock(&self.offline) {
            change(offline);
        }
        self.offline_moved.notify_one();
    }

    fn received(&self, completed: bool, incomplete: bool) {
        lock(&self.keepalive).received(self.ctx.clock.now(), completed, incomplete);
        if incomplete {
            self.keepalive_moved.notify_one();
        }
    }

    fn sent(&self) {
        lock(&self.keepalive).sent(self.ctx.clock.now());
    }

    /// Pings and judges until the connection is dead.
    pub async fn keep_alive(&self) -> End {
        let mut pong = None;
        loop {
            let deadline = lock(&self.keepalive).deadline();
            tokio::select! {
                biased;
                () = self.ctx.clock.sleep_until(deadline) => {}
                () = self.keepalive_moved.notified() => continue,
                () = wait(&mut pong) => { pong = None; continue }
            }
            let (now, wall) = (self.ctx.clock.now(), self.ctx.clock.wall_ms());
            match lock(&self.keepalive).poll(now, wall, &mut self.ctx.chance.fork()) {
                Action::Wait => {}
                Action::Ping => pong = Some(Box::pin(self.ping())),
                Action::Dead => return End::Dead,
            }
        }
    }

    /// A pong says what time it is, too.
    async fn ping(&self) {
        let sent = self.ctx.clock.now();
        let limit = self.ctx.config.timeouts.iq;
        let answer = self.ctx.questions.ask(&self.link, iq::ping(), Repeat::Never, limit).await;
        if let Some(server) = answer.ok().and_then(|pong| pong.u64("t")) {
            let half = self.ctx.clock.now().saturating_duration_since(sent) / 2;
            let server = server.saturating_add(half.as_secs());
            self.ctx.note_server_time(i64::try_from(server).unwrap_or(i64::MAX));
        }
    }

    /// Writes what is queued, in order, until told to close or the socket breaks. `None`: closed as told.
    pub async fn write(&self, mut writer: FrameWriter, orders: &mut mpsc::Receiver<Order>) -> Option<End> {
        let mut batch = Vec::with_capacity(WRITE_BATCH);
        while orders.recv_many(&mut batch, WRITE_BATCH).await > 0 {
            let close = batch.iter().position(|order| matches!(order, Order::Close));
            let frames = batch.drain(..).take(close.unwrap_or(WRITE_BATCH));
            let frames: Vec<_> = frames
                .filter_map(|order| match order {
                    Order::Frame(frame) => Some(frame),
                    Order::Close => None,
                })
                .collect();
            let plaintexts: Vec<&[u8]> = frames.iter().map(|frame| frame.plaintext.as_slice()).collect();
            if !plaintexts.is_empty()
                && let Err(error) = writer.send(&plaintexts).await
            {
                return Some(End::Net(error));
            }
            if let Some(tape) = &self.tape {
                plaintexts.iter().for_each(|plaintext| tape.sent(plaintext));
            }
            if frames.iter().any(|frame| frame.expects_reply) {
                self.sent();
            }
            for written in frames.into_iter().filter_map(|frame| frame.written) {
                // Whoever waited may have given up.
                let _ = written.send(());
            }
            if close.is_some() {
                break;
            }
        }
        // The connection is over anyway.
        let _ = writer.close().await;
        None
    }

    /// Reads and dispatches until something ends the connection.
    pub async fn read(&self, mut reader: FrameReader, mut dispatcher: Dispatcher) -> End {
        let mut closing: Option<(Instant, End)> = None;
        loop {
            let limit = closing.as_ref().map(|(limit, _)| *limit);
            let arrival = tokio::select! {
                biased;
                arrival = reader.next() => arrival,
                () = sleep_until(&self.ctx, limit) => return ended(closing, "the server did not close"),
            };
            let next = match arrival {
                Ok(Arrival::Part { incomplete }) => {
                    self.received(false, incomplete);
                    continue;
                }
                Ok(Arrival::Frame { plaintext, more }) => {
                    self.received(true, more);
                    dispatcher.frame(plaintext).await
                }
                Err(error) => return closing.map_or(End::Net(error), |(_, end)| end),
            };
            match next {
                Next::Go => {}
                Next::End(end) => return end,
                Next::AwaitClose(end) => {
                    let limit = self.ctx.clock.now() + self.ctx.config.timeouts.server_close;
                    closing.get_or_insert((limit, end));
                }
            }
        }
    }
}

fn ended(closing: Option<(Instant, End)>, why: &'static str) -> End {
    closing.map_or(End::GaveUp(why), |(_, end)| end)
}

async fn sleep_until(ctx: &Context, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => ctx.clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The pending ping, if there is one.
async fn wait<F: Future<Output = ()> + Unpin>(pending: &mut Option<F>) {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// A lock that outlives a panic of its holder.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
