//! The driver's part of pairing by code (protocol 02 §8): the three stages.

use std::time::Duration;

use tokio::sync::oneshot;

use super::PairEvent;
use super::driver::{Done, Driver, Over};
use super::flow::{CODE_LIFE, Flow};
use crate::client::iq::Repeat;
use crate::client::line::IqError;
use crate::client::version;
use crate::crypto::{KeyPair, random_bytes};
use crate::signal::link_code::{self, Code, FinishRandom};
use crate::stanza::pair::{self, CompanionHello, LinkCode};
use crate::wire::{Jid, Node};

/// For the answer to `companion_finish`.
const FINISH_LIMIT: Duration = Duration::from_secs(30);

/// Why there is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Fewer than seven digits, or a leading 0: use the international form.
    #[error("not an international phone number: give it with country code, digits only")]
    BadNumber,
    /// Not eight characters of the alphabet.
    #[error("a custom code is eight characters of 123456789ABCDEFGHJKLMNPQRSTVWXYZ")]
    BadCode,
    /// A code is outstanding on this connection.
    #[error("a pairing code is outstanding; wait until it is used or void")]
    Outstanding,
    /// The server refused. 400 can mean "too often for this number": wait some minutes.
    #[error("the server refused the pairing code: {code} {text}")]
    Refused {
        /// Its code.
        code: u32,
        /// Its text.
        text: String,
        /// Seconds to wait, as it says.
        backoff: Option<u64>,
    },
    /// The server did not answer.
    #[error("the server did not answer; try again later")]
    NoAnswer,
    /// The server's answer made no sense.
    #[error("the server's answer holds no reference")]
    BadAnswer,
    /// No registration connection, or it ended.
    #[error("the registration connection is over")]
    Closed,
}

/// A code that somebody waits for.
#[derive(Debug)]
pub(crate) struct Asked {
    reply: oneshot::Sender<Result<String, CodeError>>,
    /// Not yet sent: the refs have not come.
    waiting: Option<(Jid, Code)>,
}

impl Driver {
    pub(super) fn ask_code(
        &mut self,
        phone: Jid,
        custom: Option<String>,
        reply: oneshot::Sender<Result<String, CodeError>>,
    ) -> Result<(), Over> {
        if self.flow.is_some() || self.asked.is_some() {
            let _ = reply.send(Err(CodeError::Outstanding));
            return Ok(());
        }
        let code = match custom {
            None => Some(Code::generate(&mut self.ctx.chance.fork())),
            Some(text) => Code::parse(&text),
        };
        let Some(code) = code else {
            let _ = reply.send(Err(CodeError::BadCode));
            return Ok(());
        };
        self.asked = Some(Asked { reply, waiting: Some((phone, code)) });
        if self.may_ask() {
            self.start_hello();
        }
        Ok(())
    }

    /// Stage 1, once the refs are there.
    pub(super) fn start_hello(&mut self) {
        let Some((phone, code)) = self.asked.as_mut().and_then(|asked| asked.waiting.take()) else { return };
        let mut rng = self.ctx.chance.fork();
        let flow = Flow::new(phone.clone(), code.clone(), KeyPair::generate(&mut rng), self.now());
        let (public, salt, iv) = (*flow.ephemeral.public(), random_bytes(&mut rng), random_bytes(&mut rng));
        self.flow = Some(flow);
        let (noise, profile) = (*self.own.keys.noise.public(), self.own.profile.clone());
        let (ctx, link, limit) = (self.ctx.clone(), self.link.clone(), self.ctx.config.timeouts.iq);
        self.pending.push(Box::pin(async move {
            let wrapped =
                tokio::task::spawn_blocking(move || link_code::wrap(&public, &code, &salt, &iv)).await;
            let Ok(wrapped) = wrapped else { return Done::Hello(Err(IqError::Disconnected)) };
            let hello = pair::companion_hello(CompanionHello {
                phone,
                wrapped_ephemeral: wrapped.to_vec(),
                noise_public: *noise.as_bytes(),
                platform_id: profile.browser.client_type(),
                platform_display: profile.display(),
            });
            Done::Hello(ctx.questions.ask(&link, hello, Repeat::Never, limit).await)
        }));
    }

    pub(super) fn hello_answered(&mut self, answer: Result<Node, IqError>) -> Result<(), Over> {
        let Some(asked) = self.asked.take() else { return Ok(()) };
        let reference = match answer {
            Ok(node) => pair::companion_hello_ref(&node).ok_or(CodeError::BadAnswer),
            Err(IqError::Refused { code, text, backoff, .. }) => {
                Err(CodeError::Refused { code, text, backoff })
            }
            Err(IqError::Timeout) => Err(CodeError::NoAnswer),
            Err(_) => Err(CodeError::Closed),
        };
        match (reference, &mut self.flow) {
            (Ok(reference), Some(flow)) => {
                flow.reference = Some(reference);
                let code = flow.code.display();
                let valid_for =
                    (flow.deadline()).saturating_duration_since(self.ctx.clock.now()).min(CODE_LIFE);
                self.tell(PairEvent::PairingCode { code: code.clone(), valid_for });
                let _ = asked.reply.send(Ok(code));
            }
            (Err(error), _) => {
                self.flow = None;
                self.tell(PairEvent::PairingCodeVoid { reason: error.to_string() });
                let _ = asked.reply.send(Err(error));
            }
            (Ok(_), None) => {
                let _ = asked.reply.send(Err(CodeError::Closed));
            }
        }
        // The refs may have run out meanwhile.
        self.close_if_exhausted()
    }

    pub(super) async fn link_code(&mut self, told: LinkCode) -> Result<(), Over> {
        match told {
            LinkCode::RefreshCode { reference } => {
                let ours = self.flow.as_ref().is_some_and(|flow| flow.reference.as_ref() == Some(&reference));
                if ours {
                    self.end_flow("the server asks for a new code").await?;
                }
                Ok(())
            }
            LinkCode::PrimaryHello { reference, wrapped_ephemeral, identity } => {
                self.primary_hello(&reference, wrapped_ephemeral.as_deref(), identity.as_deref()).await
            }
        }
    }

    /// Stage 2 in, stage 3 out. One at a time: the driver waits for the derivation.
    async fn primary_hello(
        &mut self,
        reference: &[u8],
        wrapped: Option<&[u8]>,
        identity: Option<&[u8]>,
    ) -> Result<(), Over> {
        let now = self.now();
        let Some(flow) = &mut self.flow else {
            tracing::debug!("a primary_hello without a flow is ignored");
            return Ok(());
        };
        let hello = match flow.accept(reference, wrapped, identity, now) {
            Ok(hello) => hello,
            Err(why) => {
                tracing::debug!(?why, "a primary_hello is ignored");
                return Ok(());
            }
        };
        let (wrapped, primary) = (hello.wrapped.to_vec(), hello.identity);
        let (code, ephemeral, phone) = (flow.code.clone(), flow.ephemeral.clone(), flow.phone.clone());
        let own = self.own.clone();
        let random = FinishRandom::generate(&mut self.ctx.chance.fork());
        let derived = tokio::task::spawn_blocking(move || {
            link_code::companion_finish(&code, &ephemeral, &own.keys.identity, &wrapped, &primary, &random)
        });
        let finish = match derived.await {
            Ok(Ok(finish)) => finish,
            Ok(Err(error)) => return self.end_flow(&error.to_string()).await,
            Err(_) => return self.end_flow("the derivation failed").await,
        };
        // Durable before it is sent.
        let step = self.rotation.hide(finish.adv_secret);
        self.take([step]).await?;
        let own = *self.own.keys.identity.public().as_bytes();
        let question = pair::companion_finish(phone, finish.bundle.to_vec(), own, reference.to_vec());
        self.ask(question, FINISH_LIMIT, Done::Finish);
        Ok(())
    }

    pub(super) async fn finish_answered(&mut self, answer: Result<Node, IqError>) -> Result<(), Over> {
        match answer {
            Err(IqError::Refused { code, text, .. }) => {
                self.end_flow(&format!("the server refused it: {code} {text}")).await
            }
            // No answer is no error: the wait for pair-success decides.
            _ => Ok(()),
        }
    }

    /// The flow is over without pair-success.
    pub(super) async fn end_flow(&mut self, reason: &str) -> Result<(), Over> {
        if self.flow.take().is_none() {
            return Ok(());
        }
        if let Some(asked) = self.asked.take() {
            let _ = asked.reply.send(Err(CodeError::Closed));
        }
        let reason = format!("{reason}{}", version::suspicion(&self.ctx));
        tracing::info!(reason, "the pairing code is void");
        self.tell(PairEvent::PairingCodeVoid { reason });
        let steps = self.rotation.flow_ended(self.now(), &mut self.ctx.chance.fork());
        self.take(steps).await
    }
}
