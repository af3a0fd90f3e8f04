//! One chat connection: upgrade, handshake, then two halves. The reader opens frames and hands stanzas to the world;
//! the writer seals what the world says, in the world's order.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::handshake::{self, Done, Failed, Plan};
use super::{Stream, upgrade};
use crate::clock::Clock;
use crate::crypto::KeyPair;
use crate::noise::CipherState;
use crate::sim::seed;
use crate::sim::shared::Shared;
use crate::sim::world::{Bytes, ConnectionId, Damage, Out, Pace};
use crate::wire::{Arena, Dialect, FrameDecoder, Node, decode, encode_in, frame_header};

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(20);
/// How long a half-open connection stays silent at most.
const HALF_OPEN_FOR: Duration = Duration::from_secs(600);
/// How long a client may keep the last frames from being written.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Undecodable frames in a row.
const MAX_BAD_FRAMES: u32 = 5;

/// How a half of a connection ended.
enum End {
    /// Gone, or to be dropped as it is.
    Drop,
    /// To be closed with this WebSocket code.
    Close(u16),
    /// Neither read nor write any more, but keep the socket.
    HalfOpen,
}

/// Serves one client from the upgrade to its end.
pub(crate) async fn serve<S: Stream>(shared: Arc<Shared>, stream: S, source: String) {
    let Some((mut socket, peer)) = upgrade::upgrade(&shared, stream, source).await else { return };
    let (id, out) = shared.with(|world| world.connect(peer));
    let plan = plan(&shared, id);
    let handshake = tokio::select! {
        biased;
        done = handshake::run(&mut socket, plan) => done,
        () = shared.clock.sleep(HANDSHAKE_WITHIN) => Err(Failed::Handshake),
    };
    match handshake {
        Ok(done) => talk(&shared, id, socket, done, out).await,
        Err(failed) => {
            let code = match failed {
                Failed::Intro => Some("bad-intro"),
                Failed::Text => Some("text-message"),
                Failed::Handshake => None,
            };
            if let Some(code) = code {
                shared.with(|world| world.connection_fault(id, code, "before the handshake".to_owned()));
            }
            let code = if failed == Failed::Text { 1003 } else { 1002 };
            close(&mut socket, code).await;
        }
    }
    shared.with(|world| world.disconnected(id));
}

fn plan(shared: &Shared, id: ConnectionId) -> Plan {
    shared.with(|world| {
        let mut rng = seed::stream(world.config.seed, "ephemeral", &id.to_string());
        let place = world.place(id);
        let struck = world.strike(&["F06", "F08", "F09", "F10"], &place);
        let named = struck.as_ref().and_then(|strike| strike.text("mode").or(Some(strike.kind)));
        let cert = named.and_then(|mode| mode.parse().ok()).unwrap_or(world.config.cert);
        Plan {
            noise: world.server.noise_static().clone(),
            ephemeral: KeyPair::generate(&mut rng),
            chain: world.server.chain(cert, world.now_s()),
            ik: world.config.ik,
            mute: struck.is_some_and(|strike| strike.fault == "F06"),
        }
    })
}

async fn talk<S: Stream>(
    shared: &Arc<Shared>,
    id: ConnectionId,
    socket: WebSocketStream<S>,
    done: Done,
    out: mpsc::Receiver<Out>,
) {
    let (sink, stream) = socket.split();
    let Done { client, frames } = done;
    let (compress_above, bytes) = shared.look(|world| {
        let bytes = world.connections.get(&id).map(|connection| Arc::clone(&connection.bytes));
        (world.config.compress_above, bytes.unwrap_or_default())
    });
    let writer = Writer {
        sink,
        cipher: client.transport.seal,
        compress_above,
        bytes: Arc::clone(&bytes),
        clock: shared.clock,
        pace: Pace::default(),
    };
    let mut writer = tokio::spawn(writer.run(out));
    shared.with(|world| {
        world.shook_hands(id, client.pattern);
        world.hello(id, client.client_static, &client.payload);
    });
    let reader = Reader { shared, id, stream, frames, cipher: client.transport.open, bytes, bad: 0 };
    let clock = shared.clock;
    let end = tokio::select! {
        biased;
        written = &mut writer => return finish(clock, written.ok()).await,
        end = reader.run() => end,
    };
    if let End::Close(code) = end {
        shared.with(|world| world.close(id, code));
        tokio::select! {
            biased;
            written = &mut writer => return finish(clock, written.ok()).await,
            () = clock.sleep(CLOSE_WITHIN) => {}
        }
    }
    writer.abort();
}

/// The writer decides how the socket ends; it still holds its half.
async fn finish<S: Stream>(clock: Clock, written: Option<(End, SplitSink<WebSocketStream<S>, Message>)>) {
    match written {
        Some((End::Close(code), mut sink)) => {
            // The other side may be gone already.
            let _ = sink.send(close_frame(code)).await;
            let _ = sink.close().await;
        }
        Some((End::HalfOpen, _sink)) => clock.sleep(HALF_OPEN_FOR).await,
        Some((End::Drop, _)) | None => {}
    }
}

fn close_frame(code: u16) -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::from(code), reason: "".into() }))
}

async fn close<S: Stream>(socket: &mut WebSocketStream<S>, code: u16) {
    // The other side may be gone already.
    let _ = socket.send(close_frame(code)).await;
    let _ = socket.close(None).await;
}

struct Writer<S: Stream> {
    sink: SplitSink<WebSocketStream<S>, Message>,
    cipher: CipherState,
    compress_above: Option<usize>,
    bytes: Arc<Bytes>,
    clock: Clock,
    pace: Pace,
}

impl<S: Stream> Writer<S> {
    async fn run(mut self, mut out: mpsc::Receiver<Out>) -> (End, SplitSink<WebSocketStream<S>, Message>) {
        while let Some(next) = out.recv().await {
            if let Some(end) = self.write(next).await {
                return (end, self.sink);
            }
        }
        (End::Close(1000), self.sink)
    }

    /// `Some` ends the connection.
    async fn write(&mut self, next: Out) -> Option<End> {
        let mut frame = Vec::new();
        let mut plaintext = Vec::new();
        match next {
            Out::Stanza(node) => {
                if let Err(error) = encode_in(Dialect::Server, &node, &mut plaintext) {
                    tracing::error!("a <{}> of the simulator can't be encoded: {error}", node.tag);
                    return None;
                }
                if self.compress_above.is_some_and(|limit| plaintext.len() > limit) {
                    plaintext = compressed(&plaintext);
                }
            }
            Out::Damaged(node, damage) => return self.write_damaged(&node, &damage).await,
            Out::Pace(pace) => {
                self.pace = pace;
                return None;
            }
            Out::Plaintext(bytes) => plaintext = bytes,
            Out::Raw(bytes) => frame = bytes,
            Out::Close(code) => return Some(End::Close(code)),
            Out::Reset => return Some(End::Drop),
            Out::HalfOpen => return Some(End::HalfOpen),
        }
        if !plaintext.is_empty() && self.cipher.seal_into(&plaintext, &mut frame).is_err() {
            return Some(End::Close(1011));
        }
        self.bytes.sent(frame.len());
        self.send(frame).await.is_err().then_some(End::Drop)
    }

    /// A frame, in as many WebSocket messages and as slowly as the pace wants.
    async fn send(&mut self, frame: Vec<u8>) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        let Pace { rate_bytes_s, chunk } = self.pace;
        if rate_bytes_s == 0 && chunk == 0 {
            return self.sink.send(Message::binary(frame)).await;
        }
        let size = if chunk == 0 { frame.len().max(1) } else { chunk };
        for piece in frame.chunks(size) {
            self.sink.send(Message::binary(piece.to_vec())).await?;
            if rate_bytes_s > 0 {
                let ms = (piece.len() as u64).saturating_mul(1000).div_ceil(rate_bytes_s);
                self.clock.sleep(Duration::from_millis(ms)).await;
            }
        }
        Ok(())
    }
}

impl<S: Stream> Writer<S> {
    /// A stanza that a planted fault spoils on its way (09 §22). `Some` ends the connection.
    async fn write_damaged(&mut self, node: &Node, damage: &Damage) -> Option<End> {
        let (mut plaintext, mut frame) = (Vec::new(), Vec::new());
        let encoded = encode_in(Dialect::Server, node, &mut plaintext);
        if encoded.is_err() || self.cipher.seal_into(&plaintext, &mut frame).is_err() {
            return Some(End::Close(1011));
        }
        let header = |length: usize| frame_header(length).map(Vec::from).unwrap_or_default();
        let (pieces, end) = match damage {
            Damage::CutOff(bytes) => {
                frame.truncate(*bytes);
                (vec![frame], Some(End::Drop))
            }
            Damage::Short { declared, sent } => {
                (vec![[header(*declared), vec![0x55; *sent]].concat()], Some(End::HalfOpen))
            }
            Damage::Flipped => {
                if let Some(last) = frame.last_mut() {
                    *last ^= 1;
                }
                (vec![frame], None)
            }
            Damage::Replayed => (vec![frame.clone(), frame], None),
            Damage::Skipped => (Vec::new(), None),
            Damage::Trickled { byte_every_ms } => return self.trickle(*byte_every_ms).await,
        };
        for piece in pieces {
            self.bytes.sent(piece.len());
            if self.sink.send(Message::binary(piece)).await.is_err() {
                return Some(End::Drop);
            }
        }
        end
    }

    /// A frame of 16 MiB that never ends.
    async fn trickle(&mut self, byte_every_ms: u64) -> Option<End> {
        let header = [0xff, 0xff, 0xff];
        let mut sent = self.sink.send(Message::binary(header.to_vec())).await;
        while sent.is_ok() {
            self.clock.sleep(Duration::from_millis(byte_every_ms)).await;
            sent = self.sink.send(Message::binary(vec![0x55])).await;
        }
        Some(End::Drop)
    }
}

/// A frame plaintext with flag bit 1: zlib of what follows the flag byte (03 §2).
fn compressed(plaintext: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut zlib = flate2::write::ZlibEncoder::new(vec![2], flate2::Compression::default());
    let rest = plaintext.get(1..).unwrap_or_default();
    match zlib.write_all(rest).and_then(|()| zlib.finish()) {
        Ok(compressed) => compressed,
        // A vector takes every write.
        Err(_) => plaintext.to_vec(),
    }
}

struct Reader<'a, S: Stream> {
    shared: &'a Shared,
    id: ConnectionId,
    stream: SplitStream<WebSocketStream<S>>,
    frames: FrameDecoder,
    cipher: CipherState,
    bytes: Arc<Bytes>,
    bad: u32,
}

impl<S: Stream> Reader<'_, S> {
    async fn run(mut self) -> End {
        loop {
            match self.frames.next() {
                Ok(Some(frame)) => {
                    if let Some(end) = self.frame(frame) {
                        return end;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(_) => return self.fault("bad-frame", "a frame over the limit".to_owned()),
            }
            match self.stream.next().await {
                Some(Ok(Message::Binary(bytes))) => self.frames.push(&bytes),
                Some(Ok(Message::Text(_))) => {
                    self.fault("text-message", "a WebSocket text message".to_owned());
                    return End::Close(1003);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Drop,
            }
        }
    }

    /// Opens and hands over one frame; `Some` ends the connection.
    fn frame(&mut self, mut frame: Vec<u8>) -> Option<End> {
        self.bytes.received(frame.len());
        let Ok(plaintext) = self.cipher.open(&mut frame) else {
            return Some(self.fault("bad-frame", "a frame does not authenticate".to_owned()));
        };
        match decode(plaintext, &mut Arena::new()) {
            Ok(stanza) => {
                self.bad = 0;
                self.shared.with(|world| world.received(self.id, stanza));
                None
            }
            Err(error) => {
                self.bad += 1;
                let end = self.fault("bad-frame", error.to_string());
                (self.bad >= MAX_BAD_FRAMES).then_some(end)
            }
        }
    }

    fn fault(&self, code: &'static str, detail: String) -> End {
        self.shared.with(|world| world.connection_fault(self.id, code, detail));
        End::Close(1002)
    }
}
