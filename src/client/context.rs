//! What every part of one account's client shares: store, time, chance, the current connection, the open questions,
//! the observed state. It decides nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::client::chance::Chance;
use crate::client::config::Config;
use crate::client::event::Event;
use crate::client::iq::{Questions, Repeat};
use crate::client::limits::{Limited, Limits};
use crate::client::line::{Answer, IqError, Line, NotSent};
use crate::client::link::{Current, Link};
use crate::client::state::State;
use crate::clock::{Clock, UnixMillis};
use crate::store::{Store, StoreError};
use crate::wire::Node;

/// The shared parts. Cheap to clone.
pub(crate) type Context = Arc<Shared>;

/// See [`Context`].
pub(crate) struct Shared {
    pub config: Config,
    pub store: Store,
    pub clock: Clock,
    pub chance: Chance,
    pub questions: Questions,
    /// The authenticated connection's sending side.
    pub current: Current,
    pub state: watch::Sender<State>,
    /// The inbox may hold something new.
    pub inbox: Notify,
    /// The application's wish to be shown as available.
    pub available: watch::Sender<bool>,
    /// The push name in the store is another one.
    pub name_changed: Notify,
    /// The server says that its properties changed.
    pub props_named: Notify,
    /// The server says that the list of blocked users changed.
    pub blocklist_named: Notify,
    /// Restrictions: what wants to be asked.
    pub limits: Limits,
    /// Orders from the messaging rooms to the connection.
    pub orders: Orders,
    /// Server time minus our wall time, in milliseconds.
    offset: AtomicI64,
    /// Of the process, from its first login on (01 §14.2).
    unified_session: OnceLock<u64>,
    /// When the offline phase last cost a connection.
    deaf: Mutex<Option<Instant>>,
}

/// What the messaging rooms can order the live connection to do.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Close, so that the server delivers again.
    pub fail: Notify,
    /// The own phone has a new identity: stop.
    pub phone_changed: Notify,
}

impl Shared {
    /// A context for an account that is not connected.
    pub fn new(config: Config, store: Store, clock: Clock, chance: Chance, state: State) -> Context {
        Arc::new(Self {
            questions: Questions::new(clock, &mut chance.fork()),
            available: watch::Sender::new(config.available),
            name_changed: Notify::new(),
            props_named: Notify::new(),
            blocklist_named: Notify::new(),
            limits: Limits::default(),
            config,
            store,
            clock,
            chance,
            current: Current::default(),
            state: watch::Sender::new(state),
            inbox: Notify::new(),
            orders: Orders::default(),
            offset: AtomicI64::new(0),
            unified_session: OnceLock::new(),
            deaf: Mutex::new(None),
        })
    }

    /// Shows a state, if it is another one than before.
    pub fn show(&self, state: State) {
        self.state.send_if_modified(|shown| {
            let changed = *shown != state;
            if changed {
                *shown = state;
            }
            changed
        });
    }

    /// Whether delivery receipts show no ticks now: only with "silent delivery", until the account is shown as available
    /// on this connection (05d §1).
    pub fn is_silent(&self) -> bool {
        let shown = self.state.borrow().is_ready() && *self.available.borrow();
        self.config.silent_delivery && !shown
    }

    /// Server time now, as far as known.
    pub fn server_ms(&self) -> UnixMillis {
        self.clock.wall_ms().saturating_add(self.offset.load(Ordering::Relaxed))
    }

    /// The server says what time it is.
    pub fn note_server_time(&self, server_s: i64) {
        self.offset
            .store(server_s.saturating_mul(1000).saturating_sub(self.clock.wall_ms()), Ordering::Relaxed);
    }

    /// The number of this span of use, drawn from the server's clock at the first login of the process.
    pub fn unified_session(&self) -> u64 {
        const DAY: i64 = 86_400_000;
        *self.unified_session.get_or_init(|| (self.server_ms() + 3 * DAY).rem_euclid(7 * DAY).unsigned_abs())
    }

    /// Whether a connection may be given up because its offline phase does not end: at most once in `gap`.
    pub fn may_reconnect_deaf(&self, gap: Duration) -> bool {
        let mut last = self.deaf.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let may = last.is_none_or(|last| now >= last + gap);
        if may {
            *last = Some(now);
        }
        may
    }

    /// Writes an event of its own (not part of another transaction) to the inbox.
    pub async fn publish(&self, event: Event) -> Result<(), StoreError> {
        let now = self.clock.wall_ms();
        let row = event.row(now);
        self.store.write(move |tx| tx.push_event(&row, now).map(drop)).await?;
        self.inbox.notify_waiters();
        Ok(())
    }

    /// Asks on the authenticated connection.
    pub async fn ask(&self, question: Node, repeat: Repeat, deadline: Duration) -> Result<Node, IqError> {
        let Some(limited) = Limited::of(&question) else {
            return self.questions.ask_over(|| self.current.get(), question, repeat, deadline).await;
        };
        self.may_be_asked(&limited).await?;
        let answer = self.questions.ask_over(|| self.current.get(), question, repeat, deadline).await;
        self.heed(limited, &answer).await;
        answer
    }

    fn link(&self) -> Result<Link, NotSent> {
        self.current.get().ok_or(NotSent)
    }
}

/// The line for everything but start-up: an open question outlives its connection.
impl Line for Shared {
    fn send(&self, stanza: Node) -> Answer<'_, Result<(), NotSent>> {
        Box::pin(async move { self.link()?.send(&stanza).await })
    }

    fn send_encoded(&self, plaintext: Vec<u8>) -> Answer<'_, Result<(), NotSent>> {
        Box::pin(async move { self.link()?.send_encoded(plaintext, true).await })
    }

    fn ask(&self, iq: Node) -> Answer<'_, Result<Node, IqError>> {
        Box::pin(self.ask(iq, Repeat::NextConnection, self.config.timeouts.iq))
    }

    fn sid(&self) -> String {
        self.questions.id()
    }

    fn fail(&self, why: &str) {
        tracing::error!(why, "the connection is given up");
        self.orders.fail.notify_one();
    }

    fn own_phone_changed(&self) {
        self.orders.phone_changed.notify_one();
    }
}

/// The line for the work of start-up: its questions end with their connection, and the next start-up makes them anew.
pub(crate) struct StartupLine(pub Context);

impl Line for StartupLine {
    fn send(&self, stanza: Node) -> Answer<'_, Result<(), NotSent>> {
        Line::send(&*self.0, stanza)
    }

    fn send_encoded(&self, plaintext: Vec<u8>) -> Answer<'_, Result<(), NotSent>> {
        Line::send_encoded(&*self.0, plaintext)
    }

    fn ask(&self, iq: Node) -> Answer<'_, Result<Node, IqError>> {
        Box::pin(self.0.ask(iq, Repeat::Never, self.0.config.timeouts.iq))
    }

    fn sid(&self) -> String {
        self.0.sid()
    }

    fn fail(&self, why: &str) {
        self.0.fail(why);
    }

    fn own_phone_changed(&self) {
        self.0.own_phone_changed();
    }
}
