//! The whole simulator, from the byte stream to the world: in memory with virtual time, and over loopback sockets.

mod admin;
mod api;
mod judge;
mod parallel;
mod repeat;
mod sockets;
mod state;
mod wire;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::crypto::{KeyPair, PublicKey, random_bytes};
use crate::noise::{HandshakeError, Initiator, ServerAnswer, Transport, Trust};
use crate::proto::ClientPayload;
use crate::signal::adv::{self, AdvSecret};
use crate::sim::seed::{self, SimRng};
use crate::sim::world::testing::{Companion, Lab};
use crate::wire::{FrameDecoder, INTRO, Jid, Node, decode_node, encode, frame_header};
use prost::Message as _;

pub(super) const START: i64 = 1_786_000_000_000;

/// A client's end of a connection after the handshake.
pub(super) struct Wire<S> {
    pub socket: WebSocketStream<S>,
    pub frames: FrameDecoder,
    pub transport: Transport,
}

/// What a client of these tests is made of.
pub(super) struct Keys {
    pub noise: KeyPair,
    pub companion: Companion,
    pub rng: SimRng,
}

impl Keys {
    pub fn new(name: &str) -> Self {
        // The hand-made companion of the world's tests has everything but a socket.
        let companion = Companion::register(&mut Lab::new(), name);
        Self { noise: companion.noise.clone(), companion, rng: seed::stream(2, "wire", name) }
    }

    pub fn login_payload(&self) -> ClientPayload {
        let jid = self.companion.jid.clone().unwrap();
        ClientPayload {
            username: Some(jid.user().parse().unwrap()),
            device: Some(jid.device().into()),
            passive: Some(false),
            ..Default::default()
        }
    }
}

pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    tokio_tungstenite::client_async("ws://localhost/ws/chat?ED=AAAA", stream).await.unwrap().0
}

/// Upgrade and XX handshake.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    keys: &mut Keys,
    root: PublicKey,
    now: i64,
    payload: &ClientPayload,
) -> Result<Wire<S>, HandshakeError> {
    let mut socket = upgrade(stream).await;
    let (initiator, hello) = Initiator::xx(&keys.noise, KeyPair::generate(&mut keys.rng)).unwrap();
    let first = [&INTRO[..], &frame_header(hello.len()).unwrap(), &hello].concat();
    socket.send(Message::binary(first)).await.unwrap();
    let mut frames = FrameDecoder::new();
    let answer = next_frame(&mut socket, &mut frames).await.unwrap();
    let ServerAnswer::Verified(verified) = initiator.read_server_hello(&answer, &Trust { root, now })? else {
        panic!("XX was asked for")
    };
    let established = verified.finish(&payload.encode_to_vec()).unwrap();
    let finish = &established.client_finish;
    let message = [&frame_header(finish.len()).unwrap()[..], finish].concat();
    socket.send(Message::binary(message)).await.unwrap();
    Ok(Wire { socket, frames, transport: established.transport })
}

async fn next_frame<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    frames: &mut FrameDecoder,
) -> Option<Vec<u8>> {
    loop {
        if let Some(frame) = frames.next().unwrap() {
            return Some(frame);
        }
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => frames.push(&bytes),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The next stanza; `None` when the connection is over.
    pub async fn next(&mut self) -> Option<Node> {
        let mut frame = next_frame(&mut self.socket, &mut self.frames).await?;
        Some(decode_node(self.transport.open.open(&mut frame).unwrap()).unwrap())
    }

    pub async fn take(&mut self, tag: &str) -> Node {
        loop {
            let node = self.next().await.unwrap_or_else(|| panic!("closed before <{tag}>"));
            if node.tag == tag {
                return node;
            }
        }
    }

    pub async fn send(&mut self, node: &Node) {
        let mut frame = Vec::new();
        self.transport.seal.seal_into(&encode(node).unwrap(), &mut frame).unwrap();
        self.socket.send(Message::binary(frame)).await.unwrap();
    }

    /// From the pair-device IQ to 515; `qr` gets the text to scan.
    pub async fn pair(&mut self, keys: &mut Keys, qr: impl AsyncFnOnce(String)) {
        let pair_device = self.take("iq").await;
        qr(keys.companion.qr(&pair_device, 0)).await;
        let iq = self.take("iq").await;
        let success = iq.find("pair-success").unwrap();
        let container = success.find("device-identity").unwrap().content_bytes().unwrap();
        let secret = AdvSecret::new(*keys.companion.secret.as_bytes());
        let identity = &keys.companion.identity;
        let verified = adv::companion::verify(&container, &secret, identity.public(), None).unwrap();
        let linked = verified.sign(identity, &random_bytes(&mut keys.rng));
        keys.companion.jid = success.find("device").unwrap().jid("jid");
        let identity = Node::new("device-identity").attr("key-index", "1").bytes(linked.reply);
        let answer = Node::new("iq")
            .attr("to", Jid::service())
            .attr("type", "result")
            .attr("id", iq.str("id").unwrap().into_owned())
            .child(Node::new("pair-device-sign").child(identity));
        self.send(&answer).await;
        assert_eq!(self.take("stream:error").await.str("code").as_deref(), Some("515"));
    }
}
