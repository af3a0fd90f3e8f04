//! The one loop of stanzas: a frame's plaintext is decoded and goes to whoever knows its tag. Handlers may wait for
//! the store, never for the server, whose answers come through this very loop.
//!
//! | file | subject |
//! |---|---|
//! | `bad_frame` | frames that can't be decoded (03 §15) |
//! | `bulletin` | `<ib>` (01 §15) |
//! | `notice` | `<notification>` (05c §1) |

mod bad_frame;
mod bulletin;
mod notice;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::client::life::conn::Conn;
use crate::client::life::decide::{self, Close, Verdict};
use crate::client::life::end::End;
use crate::client::messaging::Messaging;
use crate::client::pair;
use crate::stanza::ack::{self, Answerable, ServerAck};
use crate::stanza::failure::Failure;
use crate::stanza::pair::PairSuccess;
use crate::stanza::stream_error::StreamError;
use crate::stanza::success::Success;
use crate::stanza::{iq, pair as pair_stanza};
use crate::store::StoreError;
use crate::wire::{Arena, DecodeError, Jid, NodeRef, OwnedFrame, Token, token};

use bad_frame::BadFrames;
pub(crate) use bulletin::EXPIRY;

/// The bare end of a stream: flag byte, and the token where a stanza should begin.
const BARE_STREAM_END: [u8; 2] = [0, 2];

const ACK: Token = token("ack");
const CALL: Token = token("call");
const CHATSTATE: Token = token("chatstate");
const ERROR: Token = token("error");
const FAILURE: Token = token("failure");
const IQ: Token = token("iq");
const MESSAGE: Token = token("message");
const NOTIFICATION: Token = token("notification");
const OFFLINE: Token = token("offline");
const PRESENCE: Token = token("presence");
const RECEIPT: Token = token("receipt");
const STATUS: Token = token("status");
const STREAM_END: Token = token("xmlstreamend");
const STREAM_ERROR: Token = token("stream:error");
const SUCCESS: Token = token("success");

/// What a stanza means for the reader.
#[derive(Debug)]
pub(crate) enum Next {
    /// Read on.
    Go,
    /// The connection is over.
    End(End),
    /// The server will close; by us if it does not.
    AwaitClose(End),
}

/// What the connection is for.
pub(crate) enum Purpose {
    /// Linking: what the server says goes to the pairing's driver.
    Register(mpsc::Sender<pair::Input>),
    /// A linked account's login.
    LogIn(Arc<Messaging>),
}

/// See the module.
pub(crate) struct Dispatcher {
    conn: Arc<Conn>,
    purpose: Purpose,
    arena: Option<Arena>,
    bad: BadFrames,
}

impl Dispatcher {
    pub fn new(conn: Arc<Conn>, purpose: Purpose) -> Self {
        Self { conn, purpose, arena: Some(Arena::new()), bad: BadFrames::default() }
    }

    /// Takes one frame's plaintext: decoded once, routed by the token of its tag. What the messaging half handles moves
    /// there as it is; everything else is read here, and the memory serves the next frame.
    pub async fn frame(&mut self, plaintext: Vec<u8>) -> Next {
        if plaintext == BARE_STREAM_END {
            return Next::AwaitClose(End::Told(Verdict::Retry(decide::Retry::default())));
        }
        let frame = match OwnedFrame::decode(plaintext, self.arena.take().unwrap_or_default()) {
            Ok(frame) => frame,
            Err(bad) => {
                self.arena = Some(bad.arena);
                return self.bad_frame(&bad.error, bad.length);
            }
        };
        self.bad.good(frame.trailing());
        let messaging = match &self.purpose {
            Purpose::LogIn(messaging) => Some(Arc::clone(messaging)),
            Purpose::Register(_) => None,
        };
        let node = frame.root();
        if let Some(tape) = &self.conn.tape {
            tape.received(node);
        }
        if let Some(messaging) = &messaging {
            if node.get(OFFLINE).is_some() {
                let now = self.conn.ctx.clock.now();
                self.conn.offline(|offline| offline.stanza(now));
            }
            let result = match node.tag_token() {
                Some(NOTIFICATION) => self.hints(node).await,
                _ => Ok(()),
            };
            if let Err(error) = result {
                return Next::End(End::Store(error.to_string()));
            }
            if is_for_messaging(node) {
                messaging.frame(frame).await;
                return Next::Go;
            }
        }
        let done = self.stanza(node, messaging.as_deref()).await;
        self.conn.ctx.note_shape(node);
        let next = match done {
            Ok(next) => next,
            Err(error) => Next::End(End::Store(error.to_string())),
        };
        self.arena = Some(frame.into_arena());
        next
    }

    async fn stanza(&mut self, node: NodeRef<'_>, messaging: Option<&Messaging>) -> Result<Next, StoreError> {
        match (node.tag_token(), messaging) {
            (Some(IQ), _) => self.iq(node).await,
            (Some(ACK), Some(messaging)) => match ServerAck::parse(node) {
                Ok(ack) => messaging.ack(ack),
                Err(error) => tracing::debug!(%error, "an ack that can't be read"),
            },
            (Some(NOTIFICATION), _) => self.notice(node).await?,
            (Some(CALL), _) => self.call(node).await?,
            (Some(SUCCESS), Some(_)) => self.conn.succeeded(Success::parse(node)),
            (Some(FAILURE), _) => return Ok(Next::End(End::Failure(Failure::parse(node)))),
            (Some(STREAM_ERROR), _) => return Ok(self.stream_error(node)),
            (Some(STREAM_END), _) => {
                return Ok(Next::AwaitClose(End::Told(Verdict::Retry(decide::Retry::default()))));
            }
            (Some(ERROR), messaging) => {
                let (code, heads) = (node.u64("code"), self.conn.link.heads().last());
                tracing::warn!(code, ?heads, "the server could not read a stanza of ours");
                if let (Some(479), Some(messaging)) = (code, messaging) {
                    messaging.unreadable().await?;
                }
            }
            // Nobody subscribes to presence yet.
            (Some(PRESENCE | CHATSTATE), _) => tracing::debug!("presence is ignored"),
            _ if node.tag() == "ib" => self.bulletins(node).await?,
            (Some(SUCCESS), None) | (_, None) => {
                tracing::debug!(tag = node.tag(), "ignored on a registration connection");
            }
            _ => self.unknown(node).await,
        }
        Ok(Next::Go)
    }

    /// A stanza of a kind that we don't know: refused if that is possible, so that it is not replayed for ever.
    async fn unknown(&self, node: NodeRef<'_>) {
        tracing::info!(tag = node.tag(), "a stanza of unknown kind");
        if let Some(nack) = ack::unrecognized(node) {
            // A connection that breaks here gets the stanza again.
            let _ = self.conn.link.send(&nack).await;
        }
    }

    /// A frame that can't be decoded.
    fn bad_frame(&mut self, error: &DecodeError, length: usize) -> Next {
        if self.bad.bad(error, length) {
            return Next::End(End::BadFrames(error.kind.to_string()));
        }
        Next::Go
    }

    async fn iq(&self, node: NodeRef<'_>) {
        match node.str("type").as_deref() {
            Some("result" | "error") => {
                if !self.conn.ctx.questions.answer(node) {
                    tracing::debug!("an answer that nobody waits for");
                }
            }
            _ if iq::is_ping(node) => {
                let to = node.jid("from").unwrap_or_else(Jid::service);
                let pong = iq::result(to, node.str("id").as_deref());
                // A connection that breaks here is noticed by its reader.
                let _ = self.conn.link.send(&pong).await;
            }
            _ => self.pairing_iq(node).await,
        }
    }

    async fn pairing_iq(&self, node: NodeRef<'_>) {
        let from_server = node.jid("from").is_none_or(|from| from == Jid::service());
        let Some(id) = node.str("id").filter(|_| from_server) else { return };
        if let Some(pair_device) = node.find("pair-device") {
            let _ = self.conn.link.send(&iq::result(Jid::service(), Some(&id))).await;
            self.to_pairing(pair::Input::PairDevice { refs: pair_stanza::refs(pair_device) }).await;
        } else if node.find("pair-success").is_some() {
            let told = Box::new(PairSuccess::parse(node));
            match &self.purpose {
                Purpose::Register(_) => {
                    self.to_pairing(pair::Input::PairSuccess { id: id.into_owned(), told }).await;
                }
                // Never overwrites a link.
                Purpose::LogIn(_) => {
                    let _ = self.conn.link.send(&iq::error(Jid::service(), &id, 500, "internal-error")).await;
                }
            }
        } else {
            tracing::debug!("an unknown question of the server is ignored");
        }
    }

    /// A call is shown and acked; it is not taken here.
    async fn call(&self, node: NodeRef<'_>) -> Result<(), StoreError> {
        if let (Purpose::LogIn(_), Ok(Some(answer))) = (&self.purpose, Answerable::of(node)) {
            self.show(node, "call").await?;
            // A connection that breaks here gets the stanza again.
            let _ = self.conn.link.send(&answer.ack(None)).await;
        }
        Ok(())
    }

    fn stream_error(&self, node: NodeRef<'_>) -> Next {
        let error = StreamError::parse(node);
        tracing::info!(?error, "the server ends the stream");
        if error.not_well_formed {
            let heads = self.conn.link.heads().last();
            tracing::warn!(?heads, "the server could not read one of our last frames");
        }
        match decide::stream_error(&error) {
            (verdict, Close::Now) => Next::End(End::Told(verdict)),
            (verdict, Close::AwaitServer) => {
                if error.code == Some(503) && matches!(self.purpose, Purpose::LogIn(_)) {
                    self.conn.going_down();
                }
                Next::AwaitClose(End::Told(verdict))
            }
        }
    }

    /// Hands something to the pairing's driver, if this is a registration connection.
    async fn to_pairing(&self, input: pair::Input) {
        if let Purpose::Register(inputs) = &self.purpose {
            // A driver that is gone closes the connection.
            let _ = inputs.send(input).await;
        }
    }
}

/// Whether a stanza is one that the messaging half handles.
fn is_for_messaging(node: NodeRef<'_>) -> bool {
    match node.tag_token() {
        Some(MESSAGE | STATUS | RECEIPT) => true,
        Some(NOTIFICATION) => {
            let kind = node.str("type").unwrap_or_default();
            Messaging::takes_notification(&kind, node.find("devices").is_some())
        }
        _ => false,
    }
}
