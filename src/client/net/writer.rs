//! The sending half: plaintexts, sealed in the order in which they go out.

use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use super::error::NetError;
use super::meter::Metered;
use crate::noise::{CipherError, CipherState};

pub(super) type Sink = SplitSink<WebSocketStream<Metered>, Message>;

/// The sending half of a connection. It has one owner, so the order of sealing is the order on the wire.
pub struct FrameWriter {
    sink: Sink,
    seal: CipherState,
    alive: bool,
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter").field("alive", &self.alive).finish_non_exhaustive()
    }
}

impl FrameWriter {
    pub(super) fn new(sink: Sink, seal: CipherState) -> Self {
        Self { sink, seal, alive: true }
    }

    /// Seals the plaintexts (flag byte first) into a frame each, and writes them with one flush; every frame is a
    /// WebSocket message of its own.
    ///
    /// After a call that failed or was cancelled the writer is dead, because counters were taken for bytes that may not
    /// have gone out.
    ///
    /// # Errors
    /// [`CipherError::TooLong`] if a plaintext fits in no frame: nothing was taken or written, the writer lives on.
    /// Every other error ends the connection.
    pub async fn send(&mut self, plaintexts: &[&[u8]]) -> Result<(), NetError> {
        if !self.alive {
            return Err(NetError::Dead);
        }
        if plaintexts.iter().any(|plaintext| !CipherState::fits(plaintext)) {
            return Err(CipherError::TooLong.into());
        }
        self.alive = false;
        for plaintext in plaintexts {
            let mut frame = Vec::new();
            self.seal.seal_into(plaintext, &mut frame)?;
            self.sink.feed(Message::Binary(frame.into())).await.map_err(NetError::of_websocket)?;
        }
        self.sink.flush().await.map_err(NetError::of_websocket)?;
        self.alive = true;
        Ok(())
    }

    /// Closes with code 1000. It waits until the close frame is written, not for the server's; the caller bounds it, and
    /// the connection ends when the reader is dropped too.
    ///
    /// # Errors
    /// [`NetError`]: the connection is over anyway.
    pub async fn close(mut self) -> Result<(), NetError> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.sink.send(Message::Close(Some(frame))).await.map_err(NetError::of_websocket)
    }
}
