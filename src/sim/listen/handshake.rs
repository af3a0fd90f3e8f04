//! Intro and Noise handshake as the server (09 §4, 01 §20).

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::Stream;
use crate::crypto::KeyPair;
use crate::noise::{Accepted, Answer, Responder};
use crate::proto::HandshakeMessage;
use crate::sim::config::IkMode;
use crate::wire::{FrameDecoder, frame_header, parse_intro};

/// The first frames are small.
const MAX_HANDSHAKE_FRAME: usize = 64 << 10;
/// Routing information and intro.
const MAX_INTRO: usize = 128 << 10;

/// What the server shows and how it answers.
pub(super) struct Plan {
    pub noise: KeyPair,
    pub ephemeral: KeyPair,
    pub chain: Vec<u8>,
    pub ik: IkMode,
    /// F06: the hello is never answered.
    pub mute: bool,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Not our intro: a fault of the client.
    Intro,
    /// A text message.
    Text,
    /// The handshake can't go on: another key, a bad message, a client that stopped.
    Handshake,
}

/// What a completed handshake leaves.
pub(super) struct Done {
    pub client: Accepted,
    /// Bytes that came behind the last message.
    pub frames: FrameDecoder,
}

/// Runs the handshake over an upgraded socket.
pub(super) async fn run<S: Stream>(socket: &mut WebSocketStream<S>, plan: Plan) -> Result<Done, Failed> {
    let mut frames = FrameDecoder::with_limit(MAX_HANDSHAKE_FRAME);
    let rest = intro(socket).await?;
    frames.push(&rest);
    let hello = next_frame(socket, &mut frames).await?;
    if plan.mute {
        // The time of the handshake ends this.
        return std::future::pending().await;
    }
    let is_ik = is_ik(&hello);
    if is_ik && plan.ik == IkMode::Drop {
        return Err(Failed::Handshake);
    }
    let responder = Responder::new(&plan.noise, plan.ephemeral);
    let responder = if plan.ik == IkMode::Accept { responder } else { responder.without_ik() };
    let answer = responder.read_client_hello(&hello, &plan.chain).map_err(|_| Failed::Handshake)?;
    let client = match answer {
        Answer::Done { server_hello, client } => {
            send(socket, &server_hello).await?;
            client
        }
        Answer::Wait { server_hello, next } => {
            send(socket, &server_hello).await?;
            let finish = next_frame(socket, &mut frames).await?;
            next.read_client_finish(&finish).map_err(|_| Failed::Handshake)?
        }
    };
    frames.set_limit(crate::wire::MAX_FRAME);
    Ok(Done { client, frames })
}

fn is_ik(hello: &[u8]) -> bool {
    use prost::Message;
    let hello = HandshakeMessage::decode(hello).ok().and_then(|message| message.client_hello);
    hello.is_some_and(|hello| hello.r#static.is_some())
}

/// Reads the intro; what came behind it.
async fn intro<S: Stream>(socket: &mut WebSocketStream<S>) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    loop {
        bytes.extend_from_slice(&next_bytes(socket).await?);
        match parse_intro(&bytes) {
            Ok(Some(intro)) => return Ok(bytes.split_off(intro.len)),
            Ok(None) if bytes.len() <= MAX_INTRO => {}
            _ => return Err(Failed::Intro),
        }
    }
}

async fn next_frame<S: Stream>(
    socket: &mut WebSocketStream<S>,
    frames: &mut FrameDecoder,
) -> Result<Vec<u8>, Failed> {
    loop {
        if let Some(frame) = frames.next().map_err(|_| Failed::Handshake)? {
            return Ok(frame);
        }
        let bytes = next_bytes(socket).await?;
        frames.push(&bytes);
    }
}

async fn next_bytes<S: Stream>(socket: &mut WebSocketStream<S>) -> Result<Bytes, Failed> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(Message::Text(_))) => return Err(Failed::Text),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Failed::Handshake),
        }
    }
}

async fn send<S: Stream>(socket: &mut WebSocketStream<S>, body: &[u8]) -> Result<(), Failed> {
    let header = frame_header(body.len()).map_err(|_| Failed::Handshake)?;
    let message = [&header, body].concat();
    socket.send(Message::binary(message)).await.map_err(|_| Failed::Handshake)
}
