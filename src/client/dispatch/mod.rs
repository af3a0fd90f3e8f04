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
use crate::stanza::ack::{Answerable, ServerAck};
use crate::stanza::failure::Failure;
use crate::stanza::pair::PairSuccess;
use crate::stanza::stream_error::StreamError;
use crate::stanza::success::Success;
use crate::stanza::{iq, pair as pair_stanza};
use crate::store::StoreError;
use crate::wire::{Arena, Jid, NodeRef, decode_lenient};

use bad_frame::BadFrames;
pub(crate) use bulletin::EXPIRY;

/// The bare end of a stream: flag byte, and the token where a stanza should begin.
const BARE_STREAM_END: [u8; 2] = [0, 2];

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
    /// The stanza at hand went to the receiving worker, which answers it and then looks at its shape.
    handed_on: bool,
}

impl Dispatcher {
    pub fn new(conn: Arc<Conn>, purpose: Purpose) -> Self {
        Self { conn, purpose, arena: Some(Arena::new()), bad: BadFrames::default(), handed_on: false }
    }

    /// Takes one frame's plaintext.
    pub async fn frame(&mut self, plaintext: &[u8]) -> Next {
        if plaintext == BARE_STREAM_END {
            return Next::AwaitClose(End::Told(Verdict::Retry(decide::Retry::default())));
        }
        let mut arena = self.arena.take().unwrap_or_default();
        let next = match decode_lenient(plaintext, &mut arena) {
            Ok(decoded) => {
                self.bad.good(decoded.trailing);
                if let Some(tape) = &self.conn.tape {
                    tape.received(decoded.root);
                }
                self.handed_on = false;
                let done = self.stanza(decoded.root).await;
                if !self.handed_on {
                    self.conn.ctx.note_shape(decoded.root);
                }
                match done {
                    Ok(next) => next,
                    Err(error) => Next::End(End::Store(error.to_string())),
                }
            }
            Err(error) if self.bad.bad(&error, plaintext.len()) => {
                Next::End(End::GaveUp("too many bad frames"))
            }
            Err(_) => Next::Go,
        };
        self.arena = Some(arena);
        next
    }

    async fn stanza(&mut self, node: NodeRef<'_>) -> Result<Next, StoreError> {
        let messaging = match &self.purpose {
            Purpose::LogIn(messaging) => Some(messaging),
            Purpose::Register(_) => None,
        };
        if messaging.is_some() && node.get("offline").is_some() {
            let now = self.conn.ctx.clock.now();
            self.conn.offline(|offline| offline.stanza(now));
        }
        match node.tag() {
            "iq" => self.iq(node).await,
            "success" if messaging.is_some() => self.conn.succeeded(Success::parse(node)),
            "failure" => return Ok(Next::End(End::Failure(Failure::parse(node)))),
            "stream:error" => return Ok(stream_error(node)),
            "xmlstreamend" => {
                return Ok(Next::AwaitClose(End::Told(Verdict::Retry(decide::Retry::default()))));
            }
            "ib" => self.bulletins(node).await?,
            "notification" => self.notice(node).await?,
            "message" | "status" | "receipt" => match messaging {
                Some(messaging) => {
                    self.handed_on = true;
                    messaging.stanza(node.to_node()).await;
                }
                None => tracing::debug!("a message on a registration connection is ignored"),
            },
            "ack" => match (messaging, ServerAck::parse(node)) {
                (Some(messaging), Ok(ack)) => messaging.ack(ack),
                _ => tracing::debug!("an ack that can't be read"),
            },
            "call" => self.call(node).await?,
            "error" => {
                let (code, heads) = (node.u64("code"), self.conn.link.heads().last());
                tracing::warn!(code, ?heads, "the server could not read a stanza of ours");
                if let (Some(479), Some(messaging)) = (code, messaging) {
                    messaging.unreadable().await?;
                }
            }
            tag => tracing::debug!(tag, "a stanza of unknown kind is ignored"),
        }
        Ok(Next::Go)
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

    /// Hands something to the pairing's driver, if this is a registration connection.
    async fn to_pairing(&self, input: pair::Input) {
        if let Purpose::Register(inputs) = &self.purpose {
            // A driver that is gone closes the connection.
            let _ = inputs.send(input).await;
        }
    }
}

fn stream_error(node: NodeRef<'_>) -> Next {
    let error = StreamError::parse(node);
    tracing::info!(?error, "the server ends the stream");
    match decide::stream_error(&error) {
        (verdict, Close::Now) => Next::End(End::Told(verdict)),
        (verdict, Close::AwaitServer) => Next::AwaitClose(End::Told(verdict)),
    }
}
