//! The loop of an account's life: is it wanted, may it dial, when, and what follows each end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::backoff::{Backoff, STABLE_AFTER};
use super::conn::Conn;
use super::connect::{LoggingIn, Way};
use super::decide::{self, Retry, Verdict};
use super::end::{End, Wanted};
use super::{startup, stop};
use crate::client::context::Context;
use crate::client::dispatch::{Dispatcher, Purpose};
use crate::client::event::Event;
use crate::client::iq::Repeat;
use crate::client::messaging::Messaging;
use crate::client::net::{Advice, NetError};
use crate::client::pair::{self, PairEvent};
use crate::client::payload::ClientVersion;
use crate::client::state::{LogOut, State, Stop};
use crate::client::version;
use crate::stanza::failure::Failure;
use crate::stanza::judge::recording;
use crate::store::{self, StoreError};

/// Room for what the server says on a registration connection.
const PAIR_INPUTS: usize = 32;

/// What a handle asks of the life.
#[derive(Debug)]
pub(crate) enum Command {
    /// Be connected from now on; a resumable stop state is left.
    Connect(oneshot::Sender<Result<(), Stop>>),
    /// Be disconnected from now on.
    Disconnect(oneshot::Sender<()>),
    /// Link: told whether that is possible.
    Pair(PairRequest),
    /// Remove the link, at the server too if it answers.
    LogOut(oneshot::Sender<()>),
    /// End the task.
    Exit(oneshot::Sender<()>),
}

/// Somebody wants to link.
#[derive(Debug)]
pub(crate) struct PairRequest {
    pub events: mpsc::Sender<PairEvent>,
    pub commands: mpsc::Receiver<pair::Command>,
    pub started: oneshot::Sender<Result<(), CannotPair>>,
}

/// Why an account can't be linked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CannotPair {
    Linked,
    /// A pairing is under way.
    Pairing,
    Stopped(Stop),
}

/// See the module.
pub(crate) struct Life {
    ctx: Context,
    messaging: Arc<Messaging>,
    commands: mpsc::Receiver<Command>,
    way: Way,
    backoff: Backoff,
    /// A 515 came, and no `<success>` since.
    restarted: bool,
    /// The version that the last dial presented.
    presented: ClientVersion,
    /// A version was refused, and a newer one dialled with, since the last `<success>`.
    renewed: bool,
    /// The connection before ended for bad frames.
    bad_frames: bool,
    wanted: bool,
    linked: bool,
    stop: Option<Stop>,
    /// Told when the connection is down, as they asked.
    waiting: Vec<oneshot::Sender<()>>,
}

/// What the loop does next.
enum Step {
    Go,
    Exit,
}

impl Life {
    pub fn new(
        ctx: Context,
        messaging: Arc<Messaging>,
        commands: mpsc::Receiver<Command>,
        linked: bool,
        stop: Option<Stop>,
    ) -> Self {
        Self {
            messaging,
            commands,
            way: Way::default(),
            backoff: Backoff::default(),
            restarted: false,
            presented: ctx.config.version.get(),
            renewed: false,
            bad_frames: false,
            wanted: false,
            linked,
            stop,
            waiting: Vec::new(),
            ctx,
        }
    }

    /// Lives until the handle is gone or says so.
    pub async fn run(mut self) {
        loop {
            self.tell_waiting();
            let step = if self.wanted && self.linked && self.stop.is_none() {
                self.connected().await
            } else {
                self.idle().await
            };
            if matches!(step, Step::Exit) {
                break;
            }
        }
        self.ctx.questions.set_stopped(true);
        self.tell_waiting();
    }

    fn tell_waiting(&mut self) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }

    /// Nothing to do but to listen.
    async fn idle(&mut self) -> Step {
        self.ctx.show(match (&self.stop, self.linked) {
            (Some(stop), _) => State::Stopped(stop.clone()),
            (None, true) => State::Offline,
            (None, false) => State::Unpaired,
        });
        let Some(command) = self.commands.recv().await else { return Step::Exit };
        match command {
            Command::Connect(reply) => {
                let _ = reply.send(self.resume().await);
            }
            Command::Disconnect(reply) => {
                self.wanted = false;
                let _ = reply.send(());
            }
            Command::Pair(request) => return self.pair(request).await,
            Command::LogOut(reply) => {
                if self.linked && !matches!(self.stop, Some(Stop::LoggedOut { .. })) {
                    self.log_out_unheard().await;
                }
                let _ = reply.send(());
            }
            Command::Exit(reply) => {
                self.waiting.push(reply);
                return Step::Exit;
            }
        }
        Step::Go
    }

    /// The server could not be told: the link goes all the same.
    async fn log_out_unheard(&mut self) {
        self.enter_stop(Stop::LoggedOut { reason: LogOut::User }, Vec::new()).await;
    }

    /// Leaves a stop state, if that is the caller's to leave.
    async fn resume(&mut self) -> Result<(), Stop> {
        if let Some(stop) = &self.stop {
            if !stop.may_resume(self.ctx.clock.wall_ms()) {
                return Err(stop.clone());
            }
            let lifted = self.ctx.store.write(|tx| tx.set_stop_state(None)).await;
            if let Err(error) = lifted {
                tracing::error!(%error, "the stop state could not be lifted");
                return Err(stop.clone());
            }
            self.stop = None;
            self.ctx.questions.set_stopped(false);
        }
        self.wanted = true;
        Ok(())
    }

    /// One connection, from the dial to what follows its end.
    async fn connected(&mut self) -> Step {
        self.presented = self.ctx.config.version.get();
        self.ctx.show(State::Connecting { attempt: self.backoff.failures() });
        let end = match self.dial().await {
            Ok(logging_in) => self.login(logging_in).await,
            Err(end) => end,
        };
        self.judge(end).await
    }

    /// Dials; a command that ends the wish interrupts it.
    async fn dial(&mut self) -> Result<LoggingIn, End> {
        let (ctx, way) = (Arc::clone(&self.ctx), &mut self.way);
        tokio::select! {
            biased;
            end = interrupted(&mut self.commands, &mut self.waiting, &CannotPair::Linked) => Err(end),
            result = way.log_in(&ctx) => result,
        }
    }

    /// A login connection, to its end.
    async fn login(&mut self, logging_in: LoggingIn) -> End {
        let (ctx, messaging) = (Arc::clone(&self.ctx), Arc::clone(&self.messaging));
        let LoggingIn { established, passive } = logging_in;
        let (conn, mut orders) =
            Conn::new(&ctx, if passive { recording::Purpose::Passive } else { recording::Purpose::Active });
        let dispatcher = Dispatcher::new(Arc::clone(&conn), Purpose::LogIn(Arc::clone(&messaging)));
        let end = {
            let mut write = std::pin::pin!(conn.write(established.writer, &mut orders));
            let end = tokio::select! {
                biased;
                end = commanded(&ctx, &mut self.commands, &mut self.waiting) => end,
                end = ordered(&ctx) => end,
                end = &mut write => end.unwrap_or(End::GaveUp("the writer closed")),
                end = conn.read(established.reader, dispatcher) => end,
                end = conn.keep_alive() => end,
                end = startup::run(&conn, &messaging, passive) => end,
            };
            ctx.current.set(None);
            if graceful(&end) {
                close(&conn, write).await;
            }
            end
        };
        ctx.questions.connection_ended();
        self.messaging.disconnected();
        self.note_end(&conn);
        end
    }

    fn note_end(&mut self, conn: &Conn) {
        if let Some(authenticated) = conn.authenticated_for() {
            (self.restarted, self.renewed) = (false, false);
            if authenticated >= STABLE_AFTER {
                self.backoff.was_stable();
            }
        }
    }

    /// What follows an end.
    async fn judge(&mut self, end: End) -> Step {
        tracing::info!(?end, "the connection is over");
        self.bad_frames &= matches!(end, End::BadFrames(_));
        match end {
            End::Wanted(Wanted::Exit) => return Step::Exit,
            End::Wanted(Wanted::Disconnect) => self.wanted = false,
            End::Wanted(Wanted::LogOut) => self.log_out_unheard().await,
            End::Failure(failure) => {
                let version = self.presented.to_string();
                let verdict = decide::failure(&failure, &version, self.ctx.clock.wall_ms());
                if matches!(verdict, Verdict::Stop(Stop::ClientTooOld { .. })) && self.has_newer().await {
                    return self.retry(Retry::default()).await;
                }
                return self.follow(verdict, failure.attributes).await;
            }
            End::Told(verdict) => return self.follow(verdict, Vec::new()).await,
            End::PhoneChanged => self.enter_stop(Stop::PhoneIdentityChanged, Vec::new()).await,
            End::Dead => return self.wait(Duration::ZERO).await,
            End::Net(error) => return self.retry(of_net(&error)).await,
            End::Store(error) => {
                tracing::error!(error, "the store failed: the connection was given up");
                return self.retry(Retry::default()).await;
            }
            End::BadFrames(kind) => return self.incompatible(kind).await,
            End::GaveUp(_) | End::Registration(_) => return self.retry(Retry::default()).await,
        }
        Step::Go
    }

    /// The version was refused: whether there is a newer one, which is tried once.
    async fn has_newer(&mut self) -> bool {
        if self.renewed {
            return false;
        }
        let newer = |ctx: &Context, presented| ctx.config.version.get() > presented;
        // The question has a time limit of its own.
        if !newer(&self.ctx, self.presented) && !version::discover(&self.ctx).await {
            return false;
        }
        self.renewed = newer(&self.ctx, self.presented);
        self.renewed
    }

    /// One connection of bad frames is an accident; two in a row are told to a person, and dialled more slowly (03 §15).
    async fn incompatible(&mut self, kind: String) -> Step {
        let again = std::mem::replace(&mut self.bad_frames, true);
        if again {
            let event = Event::Incompatible { kind, at: self.ctx.clock.wall_ms() };
            if let Err(error) = self.ctx.publish(event).await {
                tracing::error!(%error, "an event could not be stored");
            }
        }
        self.retry(Retry { penalise: again, ..Retry::default() }).await
    }

    async fn follow(&mut self, verdict: Verdict, details: Vec<(String, String)>) -> Step {
        match verdict {
            Verdict::Stop(stop) => self.enter_stop(stop, details).await,
            Verdict::LogOut(reason) => self.enter_stop(Stop::LoggedOut { reason }, details).await,
            Verdict::Restart if !self.restarted => self.restarted = true,
            Verdict::Restart => return self.retry(Retry::default()).await,
            Verdict::Retry(retry) => return self.retry(retry).await,
        }
        Step::Go
    }

    async fn enter_stop(&mut self, stop: Stop, details: Vec<(String, String)>) {
        // Whether it can be stored or not, this process does not dial again.
        if let Err(error) = stop::enter(&self.ctx, &stop, details).await {
            tracing::error!(%error, "the stop state could not be stored");
        }
        self.ctx.questions.set_stopped(true);
        self.stop = Some(stop);
        self.wanted = false;
    }

    async fn retry(&mut self, retry: Retry) -> Step {
        if retry.penalise {
            self.backoff.penalise();
        }
        let delay = self.backoff.fail(retry.extra, retry.minimum, &mut self.ctx.chance.fork());
        self.wait(delay).await
    }

    /// Waits before the next dial; a command that ends the wish interrupts at once.
    async fn wait(&mut self, delay: Duration) -> Step {
        if delay.is_zero() {
            return Step::Go;
        }
        let millis = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        self.ctx.show(State::Waiting { until: self.ctx.clock.wall_ms().saturating_add(millis) });
        let refusal = if self.linked { &CannotPair::Linked } else { &CannotPair::Pairing };
        let end = tokio::select! {
            biased;
            end = interrupted(&mut self.commands, &mut self.waiting, refusal) => end,
            () = self.ctx.clock.sleep(delay) => return Step::Go,
        };
        match end {
            End::Wanted(Wanted::Exit) => Step::Exit,
            End::Wanted(Wanted::LogOut) => {
                self.log_out_unheard().await;
                Step::Go
            }
            _ => {
                self.wanted = false;
                Step::Go
            }
        }
    }

    /// Links the account, over as many connections as the server asks for, and goes on to the login.
    async fn pair(&mut self, request: PairRequest) -> Step {
        let PairRequest { events, mut commands, started } = request;
        let refused = match &self.stop {
            Some(stop) => Some(CannotPair::Stopped(stop.clone())),
            None => self.linked.then_some(CannotPair::Linked),
        };
        let _ = started.send(refused.clone().map_or(Ok(()), Err));
        if refused.is_some() {
            return Step::Go;
        }
        loop {
            self.ctx.show(State::Pairing);
            let end = self.registration(&events, &mut commands).await;
            match self.link().await {
                Ok(Some(link)) => {
                    // Told here and not by the driver: the server may end the connection before the driver hears
                    // that its reply is written.
                    linked(&events, link);
                    self.ctx.inbox.notify_waiters();
                    (self.linked, self.wanted) = (true, true);
                    return Step::Go;
                }
                Ok(None) => {}
                Err(error) => {
                    closed(&events, error.to_string());
                    return Step::Go;
                }
            }
            match end {
                // Fresh refs on a fresh connection; two in a row wait like any failure.
                End::Told(Verdict::Restart) => {
                    if self.restarted && matches!(self.retry(Retry::default()).await, Step::Exit) {
                        return Step::Exit;
                    }
                    self.restarted = true;
                }
                End::Wanted(Wanted::Exit) => return Step::Exit,
                end => {
                    let reason = reason(&end, &self.ctx);
                    if let End::Failure(failure) = &end {
                        refused_by_server(&events, failure);
                    }
                    closed(&events, reason);
                    return Step::Go;
                }
            }
        }
    }

    async fn link(&self) -> Result<Option<store::Link>, StoreError> {
        self.ctx.store.read(|tx| tx.link()).await
    }

    /// One registration connection, to its end.
    async fn registration(
        &mut self,
        events: &mpsc::Sender<PairEvent>,
        pair_commands: &mut mpsc::Receiver<pair::Command>,
    ) -> End {
        let ctx = Arc::clone(&self.ctx);
        let (way, commands, waiting) = (&mut self.way, &mut self.commands, &mut self.waiting);
        let registering = tokio::select! {
            biased;
            end = interrupted(commands, waiting, &CannotPair::Pairing) => Err(end),
            result = way.register(&ctx) => result,
        };
        let (established, own) = match registering {
            Ok(registering) => registering,
            Err(end) => return end,
        };
        let (conn, mut orders) = Conn::new(&ctx, recording::Purpose::Registration);
        let (inputs, mut told) = mpsc::channel(PAIR_INPUTS);
        let dispatcher = Dispatcher::new(Arc::clone(&conn), Purpose::Register(inputs));
        let mut driver = pair::Driver::new(Arc::clone(&ctx), conn.link.clone(), own, events.clone());
        let mut unwritten = false;
        let end = {
            let mut write = std::pin::pin!(conn.write(established.writer, &mut orders));
            let end = tokio::select! {
                biased;
                end = interrupted(commands, waiting, &CannotPair::Pairing) => end,
                end = &mut write => {
                    unwritten = end.is_some();
                    end.unwrap_or(End::GaveUp("the writer closed"))
                }
                end = conn.read(established.reader, dispatcher) => end,
                end = conn.keep_alive() => end,
                over = driver.run(&mut told, pair_commands) => End::Registration(over.reason),
            };
            if graceful(&end) {
                close(&conn, write).await;
            }
            end
        };
        ctx.questions.connection_ended();
        if unwritten && let Err(error) = driver.take_back().await {
            return End::Store(error.to_string());
        }
        end
    }
}

/// What follows a failure of the network.
fn of_net(error: &NetError) -> Retry {
    match error.advice() {
        Advice::BackoffFurther { at_least } => Retry {
            extra: super::backoff::RATE_LIMIT_STEPS,
            minimum: at_least.unwrap_or_default(),
            ..Retry::default()
        },
        Advice::BackoffAtLeast(minimum) => Retry { minimum, ..Retry::default() },
        _ => Retry::default(),
    }
}

/// Waits for a command that ends the wish to be connected; answers the others. `refusal`: why nobody can pair now.
async fn interrupted(
    commands: &mut mpsc::Receiver<Command>,
    waiting: &mut Vec<oneshot::Sender<()>>,
    refusal: &CannotPair,
) -> End {
    loop {
        let Some(command) = commands.recv().await else { return End::Wanted(Wanted::Exit) };
        match command {
            Command::Connect(reply) => {
                let _ = reply.send(Ok(()));
            }
            Command::Pair(request) => {
                let _ = request.started.send(Err(refusal.clone()));
            }
            Command::Disconnect(reply) => {
                waiting.push(reply);
                return End::Wanted(Wanted::Disconnect);
            }
            Command::LogOut(reply) => {
                waiting.push(reply);
                return End::Wanted(Wanted::LogOut);
            }
            Command::Exit(reply) => {
                waiting.push(reply);
                return End::Wanted(Wanted::Exit);
            }
        }
    }
}

/// As [`interrupted`], on a live connection: a log-out is told to the server first.
async fn commanded(
    ctx: &Context,
    commands: &mut mpsc::Receiver<Command>,
    waiting: &mut Vec<oneshot::Sender<()>>,
) -> End {
    let end = interrupted(commands, waiting, &CannotPair::Linked).await;
    if matches!(end, End::Wanted(Wanted::LogOut)) {
        unlink(ctx).await;
    }
    end
}

/// Asks the server to remove this device (02 §11); no answer within 3 s is as good as one.
async fn unlink(ctx: &Context) {
    let own = ctx.store.read(|tx| tx.link()).await.ok().flatten().and_then(|link| link.pn.parse().ok());
    let Some(own) = own else { return };
    let question = crate::stanza::pair::remove_companion(own);
    if let Err(error) = ctx.ask(question, Repeat::Never, ctx.config.timeouts.unlink).await {
        tracing::warn!(%error, "the server did not confirm the log-out");
    }
}

/// What the messaging rooms order.
async fn ordered(ctx: &Context) -> End {
    tokio::select! {
        biased;
        () = ctx.orders.phone_changed.notified() => End::PhoneChanged,
        () = ctx.orders.fail.notified() => End::Store("a handler gave up".to_owned()),
    }
}

/// Whether the socket still works and deserves a goodbye.
fn graceful(end: &End) -> bool {
    !matches!(end, End::Dead | End::Net(_) | End::Store(_))
}

/// Writes what is queued, at most for the flush time, and closes.
async fn close(conn: &Conn, write: impl Future<Output = Option<End>>) {
    let limit = conn.ctx.config.timeouts.flush;
    tokio::select! {
        biased;
        () = async { tokio::join!(conn.link.close(), write); } => {}
        () = conn.ctx.clock.sleep(limit) => {}
    }
}

/// A registration that ended without a link, in words.
fn reason(end: &End, ctx: &Context) -> String {
    match end {
        End::Registration(reason) => reason.clone(),
        End::Failure(failure) => {
            let code = failure.reason.map_or_else(|| "without a number".to_owned(), |code| code.to_string());
            format!(
                "the server refused the registration: {code} (client version {}, user agent WEB, Desktop)",
                ctx.config.version.get()
            )
        }
        End::Net(error) => error.to_string(),
        End::Dead => "the connection is dead".to_owned(),
        End::GaveUp(why) => (*why).to_owned(),
        End::BadFrames(kind) => format!("the server sends what can't be read: {kind}"),
        End::Store(why) => why.clone(),
        End::Told(_) => "the server ended the connection".to_owned(),
        End::PhoneChanged | End::Wanted(_) => "cancelled".to_owned(),
    }
}

fn refused_by_server(events: &mpsc::Sender<PairEvent>, failure: &Failure) {
    let error = PairEvent::PairError { code: failure.reason.unwrap_or(0), text: "failure".to_owned() };
    // One who does not read the events learns it from the end of the stream.
    let _ = events.try_send(error);
}

fn linked(events: &mpsc::Sender<PairEvent>, link: store::Link) {
    let Ok(jid) = link.pn.parse() else { return };
    let lid = link.lid.and_then(|lid| lid.parse().ok());
    // One who does not read loses events, never the pairing.
    let _ = events.try_send(PairEvent::PairSuccess {
        jid,
        lid,
        platform: link.platform,
        business: link.business_name,
    });
}

fn closed(events: &mpsc::Sender<PairEvent>, reason: String) {
    let _ = events.try_send(PairEvent::Closed { reason });
}
