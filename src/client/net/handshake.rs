//! The handshake on an open socket: intro, ClientHello, ServerHello, ClientFinish (protocol 01 §3, §5, §6).

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rand_core::CryptoRng;
use tokio_tungstenite::tungstenite::Message;

use super::error::{NetError, Phase};
use super::open::{Socket, within};
use super::reader::{FrameReader, RawReader};
use super::writer::{FrameWriter, Sink};
use crate::clock::Clock;
use crate::crypto::{KeyPair, PublicKey};
use crate::noise::{CertChain, Initiator, Pattern, ServerAnswer, Trust};
use crate::wire::{frame_header, intro};

/// For the ServerHello, and again for writing the ClientFinish.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a handshake needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Handshake<'a> {
    /// The account's Noise static key.
    pub noise: &'a KeyPair,
    /// The serialised ClientPayload.
    pub payload: &'a [u8],
    /// Stored edge-routing information, for the pre-intro.
    pub routing: Option<&'a [u8]>,
    /// The server's key for IK ([`super::Memory::choose`]), `None` for XX.
    pub server_static: Option<PublicKey>,
    /// The root of the server's certificates.
    pub root: PublicKey,
}

/// A connection in the transport phase.
#[derive(Debug)]
pub struct Established {
    /// Receives.
    pub reader: FrameReader,
    /// Sends.
    pub writer: FrameWriter,
    /// The chain that was verified; `None` after IK, where the cached one stays.
    pub chain: Option<CertChain>,
    /// How it came about.
    pub pattern: Pattern,
}

/// Runs the handshake; the ServerHello is waited for at most 20 s, and nothing is sent before the server's chain is
/// verified. What arrives behind the handshake is kept for the reader.
///
/// # Errors
/// [`NetError`]; the socket is closed without another word.
pub async fn handshake<R: CryptoRng + Send + ?Sized>(
    socket: Socket,
    how: &Handshake<'_>,
    clock: &Clock,
    rng: &mut R,
) -> Result<Established, NetError> {
    let ephemeral = KeyPair::generate(rng);
    let (initiator, hello) = match &how.server_static {
        Some(key) => Initiator::ik(how.noise, ephemeral, key, how.payload)?,
        None => Initiator::xx(how.noise, ephemeral)?,
    };
    let Socket { stream, arrived, plain, .. } = socket;
    let (mut sink, stream) = stream.split();
    let mut raw = RawReader::new(stream, arrived, plain);

    let answer = async {
        send(&mut sink, intro(how.routing), &hello).await?;
        raw.body().await
    };
    let server_hello =
        within(clock, TIMEOUT, answer).await.ok_or(NetError::Timeout(Phase::ServerHello))??;
    let trust = Trust { root: how.root, now: clock.wall_s() };
    let (transport, chain, pattern) = match initiator.read_server_hello(&server_hello, &trust)? {
        ServerAnswer::Accepted(transport) => (transport, None, Pattern::Ik),
        ServerAnswer::Verified(verified) => {
            let pattern = verified.pattern();
            let done = verified.finish(how.payload)?;
            let finish = send(&mut sink, Vec::new(), &done.client_finish);
            within(clock, TIMEOUT, finish).await.ok_or(NetError::Timeout(Phase::ClientFinish))??;
            (done.transport, Some(done.chain), pattern)
        }
    };
    Ok(Established {
        reader: FrameReader::new(raw, transport.open),
        writer: FrameWriter::new(sink, transport.seal),
        chain,
        pattern,
    })
}

/// One frame behind `before`, as one message.
async fn send(sink: &mut Sink, mut before: Vec<u8>, body: &[u8]) -> Result<(), NetError> {
    before.extend_from_slice(&frame_header(body.len())?);
    before.extend_from_slice(body);
    sink.send(Message::Binary(before.into())).await.map_err(NetError::of_websocket)
}
