//! The handle to one account. Cheap to clone; the account's task ends when the last clone is gone or [`Client::close`]
//! was called.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::chance::Chance;
use super::config::Config;
use super::contacts::{self, CheckError, Registration};
use super::context::{Context, Shared};
use super::delivery::Events;
use super::drift::Drift;
use super::error::ClientError;
use super::life::{Command, Life, PairRequest, stop};
use super::limits::{self, Health, StrangerError};
use super::messaging::Messaging;
use super::pairing::Pairing;
use super::send::{Accepted, SendError, SendOptions, SendOutcome};
use super::state::{State, Stop};
use super::version;
use crate::clock::Clock;
use crate::proto::Message;
use crate::stanza::judge::drift::Report;
use crate::stanza::restrictions::Stranger;
use crate::store::{Store, StoreError};
use crate::wire::Jid;

/// Commands that may wait for the account's task.
const COMMANDS: usize = 16;
/// Pairing events that may wait for their reader.
const PAIR_EVENTS: usize = 64;

/// The handle to one account.
#[derive(Clone)]
pub struct Client {
    ctx: Context,
    messaging: Arc<Messaging>,
    commands: mpsc::Sender<Command>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("state", &*self.ctx.state.borrow()).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens a client on an account's store, with the machine's clock and randomness. It does not connect by itself.
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn open(store: Store, config: Config) -> Result<Self, ClientError> {
        Self::open_with(store, config, Clock::system(), Chance::system()).await
    }

    /// As [`open`](Self::open), with a clock and a source of randomness of one's own (virtual runs).
    ///
    /// # Errors
    /// [`ClientError::Store`].
    pub async fn open_with(
        store: Store,
        config: Config,
        clock: Clock,
        chance: Chance,
    ) -> Result<Self, ClientError> {
        let (linked, stopped) =
            store.read(|tx| Ok::<_, StoreError>((tx.link()?.is_some(), stop::load(tx)?))).await?;
        let state = match (&stopped, linked) {
            (Some(stop), _) => State::Stopped(stop.clone()),
            (None, true) => State::Offline,
            (None, false) => State::Unpaired,
        };
        version::recall(&store, &config).await?;
        let ctx = Shared::new(config, store, clock, chance, state);
        ctx.questions.set_stopped(stopped.is_some());
        let (commands, orders) = mpsc::channel(COMMANDS);
        let messaging = Messaging::new(ctx.clone());
        let (work, at_home) = (Arc::clone(&messaging), ctx.clone());
        let life = Life::new(ctx.clone(), Arc::clone(&messaging), orders, linked, stopped);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = life.run() => {}
                () = work.run() => {}
                () = version::keep_fresh(&at_home) => {}
            }
        });
        Ok(Self { ctx, messaging, commands })
    }

    /// Wants the account connected from now on, through every loss of the connection. Leaves a stop state that is
    /// the caller's to leave.
    ///
    /// # Errors
    /// [`ClientError::NotLinked`], [`ClientError::Stopped`], [`ClientError::Closed`].
    pub async fn connect(&self) -> Result<(), ClientError> {
        if *self.ctx.state.borrow() == State::Unpaired {
            return Err(ClientError::NotLinked);
        }
        let answer = self.command(Command::Connect).await?;
        answer.map_err(ClientError::Stopped)
    }

    /// Wants it disconnected from now on. Returns when the connection is closed.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn disconnect(&self) -> Result<(), ClientError> {
        self.command(Command::Disconnect).await
    }

    /// Links the account: QR codes come as events, a code for the phone on request. After
    /// [`PairSuccess`](super::pair::PairEvent::PairSuccess) the account logs in and stays connected.
    ///
    /// # Errors
    /// [`ClientError::Linked`], [`ClientError::Stopped`], [`ClientError::Closed`].
    pub async fn pair(&self) -> Result<Pairing, ClientError> {
        let (events, told) = mpsc::channel(PAIR_EVENTS);
        let (pair_commands, commands) = mpsc::channel(COMMANDS);
        let (started, answer) = oneshot::channel();
        let request = PairRequest { events, commands, started };
        self.commands.send(Command::Pair(request)).await.map_err(|_| ClientError::Closed)?;
        answer.await.map_err(|_| ClientError::Closed)??;
        Ok(Pairing::new(told, pair_commands))
    }

    /// Removes the link: the server is told if it can be reached (a few seconds at most), and the account stands
    /// still as logged out. Its store is then to be archived.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn log_out(&self) -> Result<(), ClientError> {
        self.command(Command::LogOut).await
    }

    /// Ends the account's task: flushes, closes the connection. The store stays open.
    ///
    /// # Errors
    /// [`ClientError::Closed`].
    pub async fn close(&self) -> Result<(), ClientError> {
        self.command(Command::Exit).await
    }

    /// Accepts a text for a user. It goes out as soon as it can, also after a restart; the same `key` never sends
    /// twice.
    ///
    /// # Errors
    /// [`SendError`]: nothing was accepted.
    pub async fn send_text(&self, to: &Jid, text: &str, key: &str) -> Result<Accepted, SendError> {
        self.messaging.send_text(to, text, key).await
    }

    /// As [`send_text`](Self::send_text), for any kind of message.
    ///
    /// # Errors
    /// [`SendError`]: nothing was accepted.
    pub async fn send(&self, to: &Jid, message: Message, key: &str) -> Result<Accepted, SendError> {
        self.send_with(to, message, key, SendOptions::default()).await
    }

    /// As [`send`](Self::send), and says how: by default a person asked for this message.
    ///
    /// # Errors
    /// [`SendError`]: nothing was accepted.
    pub async fn send_with(
        &self,
        to: &Jid,
        message: Message,
        key: &str,
        options: SendOptions,
    ) -> Result<Accepted, SendError> {
        self.messaging.send_with(to, message, key, options).await
    }

    /// What limits the account now, and what waits because of it.
    ///
    /// # Errors
    /// The store's.
    pub async fn health(&self) -> Result<Health, StoreError> {
        let now = self.ctx.clock.wall_ms();
        self.ctx.store.read(move |tx| limits::health(tx, now)).await
    }

    /// A person has dealt with what calls for one: an integrity challenge, a lock of linked devices, a blocked group
    /// action. Whether there was anything.
    ///
    /// # Errors
    /// The store's.
    pub async fn clear_restrictions(&self) -> Result<bool, StoreError> {
        self.messaging.clear_restrictions().await
    }

    /// What the service thinks of a user who wrote first and to whom this account has not written. An aid for a person
    /// who decides whether to answer; nothing asks it by itself.
    ///
    /// # Errors
    /// [`StrangerError`].
    pub async fn stranger(&self, user: &Jid) -> Result<Stranger, StrangerError> {
        self.messaging.stranger(user).await
    }

    /// Takes back a send that has not been encrypted yet; `false`: it is too late, or there is none.
    ///
    /// # Errors
    /// The store's.
    pub async fn cancel(&self, key: &str) -> Result<bool, SendError> {
        self.messaging.cancel(key).await
    }

    /// Takes back every send that has not been encrypted yet; returns how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn cancel_all(&self) -> Result<u64, SendError> {
        self.messaging.cancel_all().await
    }

    /// Sends a message again whose outcome is [`Unknown`](SendOutcome::Unknown): with its id, encrypted anew. `false`:
    /// its outcome is known, or there is no such send, or its content is no longer kept.
    ///
    /// # Errors
    /// The store's.
    pub async fn send_unknown_again(&self, key: &str) -> Result<bool, SendError> {
        self.messaging.send_unknown_again(key).await
    }

    /// What became of the send with this key; waits until that is known. `None`: there is no such send.
    ///
    /// # Errors
    /// The store's.
    pub async fn outcome(&self, key: &str) -> Result<Option<SendOutcome>, SendError> {
        self.messaging.outcome(key).await
    }

    /// Whether phone numbers (`+` and digits) have an account, in their order. Answers are kept for days; at most 20
    /// numbers a minute and 200 a day are asked for.
    ///
    /// # Errors
    /// [`CheckError`].
    pub async fn check_numbers(&self, numbers: &[String]) -> Result<Vec<Registration>, CheckError> {
        contacts::check(&self.ctx, numbers).await
    }

    /// The user has read messages of one author in a chat (`played`: listened to or watched them): its devices and the
    /// author are told, now or at the next connection.
    ///
    /// # Errors
    /// The store's.
    pub async fn mark_read(
        &self,
        chat: &Jid,
        author: &Jid,
        ids: Vec<String>,
        played: bool,
    ) -> Result<(), StoreError> {
        self.messaging.mark_read(chat, author, ids, played).await
    }

    /// Shows the account as available, or no longer; kept over reconnects. While it is available the phone gets no
    /// push messages.
    pub fn set_available(&self, available: bool) {
        self.ctx.available.send_if_modified(|wish| std::mem::replace(wish, available) != available);
    }

    /// The name that others see; told at once if the account is ready.
    ///
    /// # Errors
    /// The store's.
    pub async fn set_push_name(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.ctx.store.write(move |tx| tx.set_push_name(&name)).await?;
        self.ctx.name_changed.notify_waiters();
        Ok(())
    }

    /// Where the account stands, to watch.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.ctx.state.subscribe()
    }

    /// What the service sent that this build does not know: shapes, never values. Empty where counting is off.
    #[must_use]
    pub fn drift(&self) -> Report {
        self.ctx.config.drift.as_ref().map(Drift::report).unwrap_or_default()
    }

    /// Waits until the account may send.
    ///
    /// # Errors
    /// [`ClientError::Stopped`] if it stands still instead; [`ClientError::Closed`].
    pub async fn ready(&self) -> Result<(), ClientError> {
        let mut state = self.state();
        let told = state.wait_for(|state| matches!(state, State::Ready | State::Stopped(_))).await;
        match &*told.map_err(|_| ClientError::Closed)? {
            State::Stopped(stop) => Err(ClientError::Stopped(Stop::clone(stop))),
            _ => Ok(()),
        }
    }

    /// The account's events, from the oldest that is not acknowledged.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.ctx.clone())
    }

    /// Which device profile, link and keys the account has, for those who show it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.ctx.store
    }

    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| ClientError::Closed)?;
        answer.await.map_err(|_| ClientError::Closed)
    }
}
