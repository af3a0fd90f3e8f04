//! The sending side of one live connection, as a handle: ordered, bounded, dead with its connection. Sealing and
//! writing is the connection's; which connection is the current one is kept here too.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::client::heads::Heads;
use crate::client::line::NotSent;
use crate::wire::{self, Node};

/// Frames that may wait to be written; more push back on their senders.
const QUEUE: usize = 64;

/// One frame on its way out.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Flag byte, then the stanza.
    pub plaintext: Vec<u8>,
    /// The server answers it: arms the dead timer (01 §16).
    pub expects_reply: bool,
    /// Told once it is written.
    pub written: Option<oneshot::Sender<()>>,
}

/// What the writer is given.
#[derive(Debug)]
pub(crate) enum Order {
    /// Write this.
    Frame(Frame),
    /// Everything before is written: close.
    Close,
}

/// The sending side of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    orders: mpsc::Sender<Order>,
    heads: Heads,
}

impl Link {
    /// A link, and the queue that its connection writes from.
    pub fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(QUEUE);
        (Self { orders, heads: Heads::default() }, receiver)
    }

    /// The last stanzas that were given.
    pub fn heads(&self) -> &Heads {
        &self.heads
    }

    /// Puts a stanza behind those given before.
    pub async fn send(&self, stanza: &Node) -> Result<(), NotSent> {
        let plaintext = encode(stanza)?;
        self.heads.note(stanza);
        self.give(Frame { plaintext, expects_reply: false, written: None }).await
    }

    /// Puts an encoded stanza behind those given before.
    pub async fn send_encoded(&self, plaintext: Vec<u8>, expects_reply: bool) -> Result<(), NotSent> {
        // What we encode we can read.
        if let Ok(stanza) = wire::decode_node(&plaintext) {
            self.heads.note(&stanza);
        }
        self.give(Frame { plaintext, expects_reply, written: None }).await
    }

    async fn give(&self, frame: Frame) -> Result<(), NotSent> {
        self.orders.send(Order::Frame(frame)).await.map_err(|_| NotSent)
    }

    /// As [`send`](Self::send), and waits until it is written to the socket.
    pub async fn send_written(&self, stanza: &Node) -> Result<(), NotSent> {
        let (written, done) = oneshot::channel();
        let plaintext = encode(stanza)?;
        self.heads.note(stanza);
        self.give(Frame { plaintext, expects_reply: false, written: Some(written) }).await?;
        done.await.map_err(|_| NotSent)
    }

    /// Asks the writer to close behind everything given before.
    pub async fn close(&self) {
        // A writer that is gone has closed already.
        let _ = self.orders.send(Order::Close).await;
    }
}

/// A stanza that can't be encoded is our own mistake; it is reported and counts as not sent.
pub(crate) fn encode(stanza: &Node) -> Result<Vec<u8>, NotSent> {
    wire::encode(stanza).map_err(|error| {
        tracing::error!(tag = %stanza.tag, %error, "a stanza could not be encoded");
        NotSent
    })
}

/// The link of the authenticated connection, while there is one.
#[derive(Debug, Default)]
pub(crate) struct Current(Mutex<Option<Link>>);

impl Current {
    /// The live connection's link.
    pub fn get(&self) -> Option<Link> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it.
    pub fn set(&self, link: Option<Link>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = link;
    }
}
