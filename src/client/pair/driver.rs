//! The driver of one registration connection: takes what the server and the person say, and keeps the time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::accept::{self, Refused};
use super::code::CodeError;
use super::flow::Flow;
use super::keys::Registering;
use super::passkey::{Assertion, Gate, GateDone, GateInput};
use super::rotation::{Rotation, Step};
use super::{PairEvent, code};
use crate::client::context::Context;
use crate::client::event::{Event, Linked};
use crate::client::iq::Repeat;
use crate::client::line::IqError;
use crate::client::link::Link;
use crate::client::version;
use crate::signal::adv::AdvSecret;
use crate::signal::qr::Qr;
use crate::stanza::pair::{LinkCode, PairSuccess};
use crate::stanza::{iq, pair};
use crate::store::{Secret, StoreError};
use crate::wire::{Jid, Node};

/// What the server says on a registration connection.
#[derive(Debug)]
pub(crate) enum Input {
    PairDevice { refs: Vec<String> },
    PairSuccess { id: String, told: Box<PairSuccess> },
    Refresh,
    LinkCode(LinkCode),
    Gate(GateInput),
    PhoneWithoutMultiDevice,
}

/// What the person says.
pub(crate) enum Command {
    Code { phone: Jid, custom: Option<String>, reply: oneshot::Sender<Result<String, CodeError>> },
    Passkey(Result<Assertion, PasskeyUnsupported>),
    Confirm(bool),
    Cancel,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Code { .. } => "Code",
            Self::Passkey(_) => "Passkey",
            Self::Confirm(_) => "Confirm",
            Self::Cancel => "Cancel",
        })
    }
}

/// The application has no authenticator for the passkey gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PasskeyUnsupported;

/// What the driver asked and what came of it.
pub(super) enum Done {
    Hello(Result<Node, IqError>),
    Finish(Result<Node, IqError>),
    Gate(GateDone),
}

pub(super) type Pending = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Why the driver wants the connection closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Over {
    pub reason: String,
}

impl Over {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl From<StoreError> for Over {
    fn from(error: StoreError) -> Self {
        Self { reason: error.to_string() }
    }
}

/// See the module.
pub(crate) struct Driver {
    pub(super) ctx: Context,
    pub(super) link: Link,
    pub(super) own: Arc<Registering>,
    pub(super) rotation: Rotation,
    pub(super) secret: Option<AdvSecret>,
    pub(super) flow: Option<Flow>,
    /// Waits for the refs, or for the answer to stage 1.
    pub(super) asked: Option<code::Asked>,
    pub(super) gate: Gate,
    pub(super) pending: FuturesUnordered<Pending>,
    events: mpsc::Sender<PairEvent>,
    has_refs: bool,
    /// The handshake ended then.
    began: Instant,
    /// What was stored for a reply to pair-success of which it is not known that it is written, and its event.
    unwritten: Option<(Arc<accept::Accepted>, String)>,
    /// The reply to pair-success is written: only forward from here.
    signed: Option<Instant>,
}

impl Driver {
    pub fn new(ctx: Context, link: Link, own: Arc<Registering>, events: mpsc::Sender<PairEvent>) -> Self {
        let began = ctx.clock.now();
        Self {
            ctx,
            link,
            own,
            rotation: Rotation::default(),
            secret: None,
            began,
            flow: None,
            asked: None,
            gate: Gate::default(),
            pending: FuturesUnordered::new(),
            events,
            has_refs: false,
            unwritten: None,
            signed: None,
        }
    }

    /// Runs until the connection is to be closed.
    pub async fn run(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Over {
        loop {
            let deadline = self.deadline();
            let clock = self.ctx.clock;
            let step = tokio::select! {
                biased;
                input = inputs.recv() => match input {
                    Some(input) => self.input(input).await,
                    None => return Over::new("the connection is over"),
                },
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => Err(Over::new("cancelled")),
                },
                Some(done) = self.pending.next(), if !self.pending.is_empty() => self.done(done).await,
                () = sleep_until(&clock, deadline) => self.tick().await,
            };
            if let Err(over) = step {
                return over;
            }
        }
    }

    async fn input(&mut self, input: Input) -> Result<(), Over> {
        if self.signed.is_some() {
            return self.late(input).await;
        }
        match input {
            Input::PairDevice { refs } => self.pair_device(refs).await,
            Input::PairSuccess { id, told } => self.pair_success(&id, &told).await,
            Input::Refresh => {
                let steps = self.rotation.refresh(self.now(), &mut self.ctx.chance.fork());
                self.take(steps).await
            }
            Input::LinkCode(told) => self.link_code(told).await,
            Input::Gate(told) => self.gate_input(told).await,
            Input::PhoneWithoutMultiDevice => {
                self.tell(PairEvent::PhoneWithoutMultiDevice);
                Ok(())
            }
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), Over> {
        match command {
            Command::Code { phone, custom, reply } => self.ask_code(phone, custom, reply),
            Command::Passkey(answer) => self.passkey(answer).await,
            Command::Confirm(agreed) => self.confirm(agreed).await,
            Command::Cancel => Err(Over::new("cancelled")),
        }
    }

    async fn done(&mut self, done: Done) -> Result<(), Over> {
        match done {
            Done::Hello(answer) => self.hello_answered(answer),
            Done::Finish(answer) => self.finish_answered(answer).await,
            Done::Gate(done) => self.gate_done(done).await,
        }
    }

    async fn pair_device(&mut self, refs: Vec<String>) -> Result<(), Over> {
        if refs.is_empty() {
            return Err(Over::new("the server sent no usable refs"));
        }
        self.has_refs = true;
        let steps = self.rotation.pair_device(refs, self.now(), &mut self.ctx.chance.fork());
        self.take(steps).await?;
        self.start_hello();
        Ok(())
    }

    /// Whether stage 1 of a code pairing may be sent.
    pub(super) fn may_ask(&self) -> bool {
        self.has_refs
    }

    /// Takes the steps of the rotation in order: a secret is durable before anything shows it.
    pub(super) async fn take(&mut self, steps: impl IntoIterator<Item = Step>) -> Result<(), Over> {
        for step in steps {
            match step {
                Step::NewSecret(secret) => self.set_secret(secret).await?,
                Step::Show { reference, valid_for } => {
                    if let Some(text) = self.qr_text(reference) {
                        self.tell(PairEvent::QrCode { text, valid_for });
                    }
                }
                Step::Exhausted => {
                    tracing::info!(suspicion = version::suspicion(&self.ctx), "the QR codes are used up");
                    self.tell(PairEvent::QrExhausted);
                }
            }
        }
        self.close_if_exhausted()
    }

    async fn set_secret(&mut self, secret: AdvSecret) -> Result<(), Over> {
        let record = Secret::new(*secret.as_bytes());
        self.ctx.store.write(move |tx| tx.set_adv_secret(Some(&record))).await?;
        self.secret = Some(secret);
        Ok(())
    }

    fn qr_text(&self, reference: String) -> Option<String> {
        let qr = Qr {
            reference,
            noise: *self.own.keys.noise.public(),
            identity: *self.own.keys.identity.public(),
            adv_secret: self.secret.clone()?,
            client_type: Some(self.own.profile.browser.client_type()),
        };
        Some(qr.text())
    }

    /// Nothing is left to show and nothing is outstanding.
    pub(super) fn close_if_exhausted(&self) -> Result<(), Over> {
        let busy = self.flow.is_some() || self.asked.is_some() || self.gate.is_open();
        if self.has_refs && self.rotation.is_exhausted() && !busy {
            return Err(Over::new(format!("the QR codes are used up{}", version::suspicion(&self.ctx))));
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        if let Some(signed) = self.signed {
            return Some(signed + self.ctx.config.timeouts.restart);
        }
        let flow = self.flow.as_ref().map(Flow::deadline);
        // A server that never sends refs is not waited for for ever, whatever pongs it sends (01 §5).
        let first = (!self.has_refs).then(|| self.began + self.ctx.config.timeouts.first_stanza);
        [self.rotation.deadline(), flow, self.gate.deadline(), first].into_iter().flatten().min()
    }

    async fn tick(&mut self) -> Result<(), Over> {
        if self.signed.is_some() {
            return Err(Over::new("the server did not end the connection after pairing"));
        }
        let now = self.now();
        if !self.has_refs && now >= self.began + self.ctx.config.timeouts.first_stanza {
            return Err(Over::new("the server sent no codes within 60 s"));
        }
        if self.gate.deadline().is_some_and(|due| now >= due) {
            return Err(self.gate_failed("passkey_timeout", "no answer in time"));
        }
        if self.flow.as_ref().is_some_and(|flow| now >= flow.deadline()) {
            self.end_flow("it was not used in time, or another code was typed").await?;
        }
        let step = self.rotation.tick(now);
        self.take(step).await
    }

    /// Pair-success: steps 1 to 8.
    async fn pair_success(&mut self, id: &str, told: &PairSuccess) -> Result<(), Over> {
        if let Some(server_time) = told.server_time {
            self.ctx.note_server_time(server_time);
        }
        let accepted = match self.verify(told) {
            Ok(accepted) => accepted,
            Err(refused) => return Err(self.refuse(id, refused).await),
        };
        let accepted = Arc::new(accepted);
        let (stored, now) = (Arc::clone(&accepted), self.ctx.clock.wall_ms());
        let event = Event::Linked(Linked {
            jid: accepted.jid.to_string(),
            lid: accepted.lid.as_ref().map(Jid::to_string),
            platform: accepted.platform.clone(),
            business: accepted.business.clone(),
        });
        let row = event.row(now);
        let event_id = row.event_id.clone();
        let saved = self.ctx.store.write(move |tx| {
            stored.store(tx, now)?;
            tx.push_event(&row, now).map(drop)
        });
        if let Err(error) = saved.await {
            return Err(self.refuse(id, Refused::internal(error.to_string())).await);
        }
        let reply = pair::device_sign(id, accepted.key_index, accepted.reply.clone());
        self.unwritten = Some((Arc::clone(&accepted), event_id));
        if self.link.send_written(&reply).await.is_err() {
            self.take_back().await?;
            return Err(Over::new("the connection broke before the pairing was confirmed"));
        }
        self.unwritten = None;
        self.signed = Some(self.now());
        Ok(())
    }

    /// Writing has failed: a link whose reply has not left does not come about.
    pub async fn take_back(&mut self) -> Result<(), StoreError> {
        let Some((accepted, event_id)) = self.unwritten.take() else { return Ok(()) };
        self.ctx.store.write(move |tx| accepted.undo(tx, &event_id)).await
    }

    fn verify(&self, told: &PairSuccess) -> Result<accept::Accepted, Refused> {
        let secret = self.secret.as_ref().ok_or_else(|| Refused::internal("no registration is pending"))?;
        // The phone's identity is known once a code pairing went through.
        let expected = self.flow.as_ref().and_then(|flow| flow.primary_identity.as_ref());
        let veto = |candidate: &_| match &self.ctx.config.pair_veto {
            Some(veto) => veto(candidate),
            None => Ok(()),
        };
        accept::verify(told, secret, &self.own.keys.identity, expected, veto, &mut self.ctx.chance.fork())
    }

    async fn refuse(&mut self, id: &str, refused: Refused) -> Over {
        let reply = iq::error(Jid::service(), id, refused.code, refused.text);
        // A connection that breaks here leaves the store unpaired just the same.
        let _ = self.link.send_written(&reply).await;
        self.tell(PairEvent::PairError { code: refused.code, text: refused.detail.clone() });
        Over::new(format!("the pairing was refused: {}", refused.detail))
    }

    /// After the link is made nothing on this connection changes it.
    async fn late(&mut self, input: Input) -> Result<(), Over> {
        if let Input::PairSuccess { id, .. } = input {
            let reply = iq::error(Jid::service(), &id, 500, "internal-error");
            let _ = self.link.send(&reply).await;
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Instant {
        self.ctx.clock.now()
    }

    /// Tells whoever shows the pairing. One who does not read loses events, never the pairing.
    pub(super) fn tell(&self, event: PairEvent) {
        if self.events.try_send(event).is_err() {
            tracing::debug!("nobody reads the pairing's events");
        }
    }

    /// Asks on this connection; the answer comes back as `wrap`.
    pub(super) fn ask(
        &self,
        question: Node,
        deadline: Duration,
        wrap: impl FnOnce(Result<Node, IqError>) -> Done + Send + 'static,
    ) {
        let (ctx, link) = (Arc::clone(&self.ctx), self.link.clone());
        self.pending.push(Box::pin(async move {
            wrap(ctx.questions.ask(&link, question, Repeat::Never, deadline).await)
        }));
    }
}

async fn sleep_until(clock: &crate::clock::Clock, deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => clock.sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::chance::Chance;
    use crate::client::config::Config;
    use crate::client::context::Shared;
    use crate::client::net::memory::network;
    use crate::client::net::{Endpoint, Tls};
    use crate::client::pair::keys;
    use crate::client::state::State;
    use crate::clock::Clock;
    use crate::crypto::PublicKey;
    use crate::store::memory::MemoryAccounts;
    use crate::store::{AccountId, Accounts};

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_sends_refs_is_waited_for_60_s() {
        let clock = Clock::starting_at(1_786_000_000_000);
        let store = MemoryAccounts::new().create(&AccountId::new("test").unwrap(), 0).unwrap();
        let endpoint =
            Endpoint::at("ws://localhost/".parse().unwrap(), PublicKey([9; 32]), Tls::new(None).unwrap());
        let config = Config::new(endpoint, Arc::new(network().0));
        let chance = Chance::seeded(&[1; 32]);
        let mut rng = chance.fork();
        let own = store.write(move |tx| keys::ensure(tx, 0, &mut rng)).await.unwrap();
        let ctx = Shared::new(config, store, clock, chance, State::Pairing);
        let (link, _orders) = Link::new();
        let (events, _told) = mpsc::channel(8);
        let mut driver = Driver::new(ctx, link, Arc::new(own), events);
        let (_inputs, mut inputs) = mpsc::channel(1);
        let (_commands, mut commands) = mpsc::channel(1);
        let before = clock.now();
        let over = driver.run(&mut inputs, &mut commands).await;
        assert_eq!(clock.now() - before, Duration::from_secs(60));
        assert!(over.reason.contains("60 s"), "{}", over.reason);
    }
}
