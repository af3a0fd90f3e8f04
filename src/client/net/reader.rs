//! The receiving half: WebSocket messages, cut into frames, opened.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::error::NetError;
use super::meter::{Count, Metered};
use crate::noise::CipherState;
use crate::wire::{FrameDecoder, MAX_FRAME};

/// The longest frame during the handshake (protocol 01 §3).
const MAX_HANDSHAKE_FRAME: usize = 64 * 1024;

/// What reading brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes, but no whole frame yet. They prove that the line lives.
    Part {
        /// A frame has begun and is not whole.
        incomplete: bool,
    },
    /// One frame's plaintext: flag byte, then the stanza.
    Frame {
        /// The plaintext.
        plaintext: Vec<u8>,
        /// Bytes of another frame, whole or not, have come behind it.
        more: bool,
    },
}

/// Frames as they stand on the wire.
pub(super) struct RawReader {
    stream: SplitStream<WebSocketStream<Metered>>,
    decoder: FrameDecoder,
    arrived: Count,
    /// What of `arrived` the caller knows.
    reported: u64,
    plain: Count,
    /// How far `plain` was at the end of the last WebSocket message.
    messages_end: u64,
}

pub(super) enum RawArrival {
    Part { incomplete: bool },
    Body(Vec<u8>),
}

impl RawReader {
    pub fn new(stream: SplitStream<WebSocketStream<Metered>>, arrived: Count, plain: Count) -> Self {
        let (reported, messages_end) = (arrived.get(), plain.get());
        let decoder = FrameDecoder::with_limit(MAX_HANDSHAKE_FRAME);
        Self { stream, decoder, arrived, reported, plain, messages_end }
    }

    /// The next frame's body, during the handshake.
    pub async fn body(&mut self) -> Result<Vec<u8>, NetError> {
        loop {
            if let RawArrival::Body(body) = poll_fn(|cx| self.poll(cx)).await? {
                return Ok(body);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<RawArrival, NetError>> {
        loop {
            if let Some(body) = self.decoder.next()? {
                self.reported = self.arrived.get();
                return Poll::Ready(Ok(RawArrival::Body(body)));
            }
            let Poll::Ready(message) = self.stream.poll_next_unpin(cx) else {
                let arrived = self.arrived.get();
                if arrived == self.reported {
                    return Poll::Pending;
                }
                self.reported = arrived;
                let incomplete = self.decoder.pending() > 0 || self.plain.get() != self.messages_end;
                return Poll::Ready(Ok(RawArrival::Part { incomplete }));
            };
            self.take(message.ok_or(NetError::Closed { code: None })?.map_err(NetError::of_websocket)?)?;
            self.messages_end = self.plain.get();
        }
    }

    fn take(&mut self, message: Message) -> Result<(), NetError> {
        match message {
            Message::Binary(bytes) => self.decoder.push(&bytes),
            Message::Text(text) => tracing::warn!(bytes = text.len(), "a text message was ignored"),
            Message::Close(frame) => {
                return Err(NetError::Closed { code: frame.map(|frame| frame.code.into()) });
            }
            // Pings are answered by the WebSocket library.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(())
    }
}

/// The receiving half of a connection.
pub struct FrameReader {
    raw: RawReader,
    open: CipherState,
    /// A body that `ready` has cut off.
    queued: Option<Vec<u8>>,
}

impl std::fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameReader").finish_non_exhaustive()
    }
}

impl FrameReader {
    /// From the end of the handshake on. What has arrived behind it is kept.
    pub(super) fn new(mut raw: RawReader, open: CipherState) -> Self {
        raw.decoder.set_limit(MAX_FRAME);
        Self { raw, open, queued: None }
    }

    /// Waits for bytes: a whole frame comes opened, and a part of one is reported as well. Cancel-safe: nothing is lost
    /// when the future is dropped.
    ///
    /// # Errors
    /// [`NetError`]: the connection is over. A frame that does not open ends it too.
    pub async fn next(&mut self) -> Result<Arrival, NetError> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arrival, NetError>> {
        let mut body = match self.queued.take() {
            Some(body) => body,
            None => match ready!(self.raw.poll(cx))? {
                RawArrival::Part { incomplete } => return Poll::Ready(Ok(Arrival::Part { incomplete })),
                RawArrival::Body(body) => body,
            },
        };
        let length = self.open.open(&mut body)?.len();
        body.truncate(length);
        let more = self.raw.decoder.pending() > 0;
        Poll::Ready(Ok(Arrival::Frame { plaintext: body, more }))
    }

    /// Whether a whole frame is buffered, so that [`FrameReader::next`] will not wait for the network.
    pub fn ready(&mut self) -> bool {
        if self.queued.is_none() {
            // A frame that is too long stays where it is; `next` reports it.
            self.queued = self.raw.decoder.next().unwrap_or_default();
        }
        self.queued.is_some()
    }
}
