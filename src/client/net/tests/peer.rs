//! A client's world, and the server that answers it.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::net::memory::{MemoryDialer, MemoryListener, network};
use crate::client::net::*;
use crate::clock::Clock;
use crate::crypto::KeyPair;
use crate::noise::{Accepted, Answer, Certificate, Pattern, Responder, issue_chain};
use crate::wire::{FrameDecoder, frame_header, parse_intro};

/// The wall at the start of a test, Unix seconds.
pub const NOW: u64 = 1_780_000_000;

/// Keys, certificates and a network.
pub struct World {
    pub rng: ChaCha20Rng,
    pub clock: Clock,
    pub root: KeyPair,
    pub issuer: KeyPair,
    pub server: KeyPair,
    pub client: KeyPair,
    pub intermediate: Certificate,
    pub leaf: Certificate,
    pub endpoint: Endpoint,
    pub dialer: MemoryDialer,
    pub listener: Option<MemoryListener>,
}

impl World {
    pub fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let [root, issuer, server, client] = std::array::from_fn(|_| KeyPair::generate(&mut rng));
        let certificate = |serial, issuer_serial, key: &KeyPair| Certificate {
            serial,
            issuer_serial,
            key: *key.public(),
            not_before: NOW - 1000,
            not_after: NOW + 1000,
        };
        let (intermediate, leaf) = (certificate(3, 0, &issuer), certificate(7, 3, &server));
        let address = "ws://server.test/ws/chat".parse().unwrap();
        let endpoint = Endpoint::at(address, *root.public(), Tls::new(None).unwrap());
        let (dialer, listener) = network();
        let clock = Clock::starting_at(NOW.cast_signed() * 1000);
        let listener = Some(listener);
        Self { rng, clock, root, issuer, server, client, intermediate, leaf, endpoint, dialer, listener }
    }

    pub fn chain(&mut self) -> Vec<u8> {
        issue_chain(&self.root, &self.issuer, &self.intermediate, &self.leaf, &mut self.rng)
    }

    /// What a server needs to answer this client.
    pub fn answerer(&mut self) -> Answerer {
        Answerer {
            server: self.server.clone(),
            ephemeral: KeyPair::generate(&mut self.rng),
            chain: self.chain(),
        }
    }

    /// The listening side; once.
    pub fn listener(&mut self) -> MemoryListener {
        self.listener.take().unwrap()
    }

    pub async fn open(&mut self) -> Result<Socket, NetError> {
        let address = self.endpoint.address.clone();
        open(&self.dialer, &self.endpoint, &address, None, &self.clock, &mut self.rng).await
    }

    /// Opens and shakes hands: IK towards `cached`, else XX.
    pub async fn connect(&mut self, cached: Option<&KeyPair>) -> Result<Established, NetError> {
        let socket = self.open().await?;
        let how = Handshake {
            noise: &self.client,
            payload: b"payload",
            routing: None,
            server_static: cached.map(|pair| *pair.public()),
            root: self.endpoint.root,
        };
        handshake(socket, &how, &self.clock, &mut self.rng).await
    }

    /// A client and a server in the transport phase.
    pub async fn connected(&mut self) -> (Established, Server) {
        let mut listener = self.listener();
        let answerer = self.answerer();
        let server = async {
            let mut server = Server::accept(listener.accept().await.unwrap().stream).await;
            server.shake(answerer).await;
            server
        };
        let (client, server) = tokio::join!(self.connect(None), server);
        (client.unwrap(), server)
    }
}

/// The keys and the chain with which a server answers.
pub struct Answerer {
    pub server: KeyPair,
    pub ephemeral: KeyPair,
    pub chain: Vec<u8>,
}

/// Any byte stream under a server.
pub trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Pipe for T {}

/// One accepted connection.
pub struct Server {
    pub ws: WebSocketStream<Box<dyn Pipe>>,
    /// The request line's target and the headers of the upgrade.
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// What came before the first frame.
    pub routing: Option<Vec<u8>>,
    decoder: FrameDecoder,
    intro: Option<Vec<u8>>,
    pub client: Option<Accepted>,
}

impl Server {
    pub async fn accept(stream: impl Pipe + 'static) -> Self {
        let seen = Arc::new(Mutex::new((String::new(), Vec::new())));
        let note = Arc::clone(&seen);
        #[allow(clippy::result_large_err, reason = "the library's signature")]
        let callback = move |request: &Request, response: Response| {
            let headers = request.headers().iter();
            let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            *note.lock().unwrap() = (request.uri().to_string(), headers.collect());
            Ok(response)
        };
        let stream: Box<dyn Pipe> = Box::new(stream);
        let ws = tokio_tungstenite::accept_hdr_async(stream, callback).await.unwrap();
        let (target, headers) = seen.lock().unwrap().clone();
        Self {
            ws,
            target,
            headers,
            routing: None,
            decoder: FrameDecoder::new(),
            intro: Some(Vec::new()),
            client: None,
        }
    }

    /// The next frame's body.
    pub async fn body(&mut self) -> Vec<u8> {
        loop {
            if let Some(body) = self.decoder.next().unwrap() {
                return body;
            }
            match self.ws.next().await {
                Some(Ok(Message::Binary(bytes))) => self.take(&bytes),
                other => panic!("no frame but {other:?}"),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some(mut begin) = self.intro.take() else { return self.decoder.push(bytes) };
        begin.extend_from_slice(bytes);
        match parse_intro(&begin).unwrap() {
            None => self.intro = Some(begin),
            Some(intro) => {
                self.decoder.push(&begin[intro.len..]);
                self.routing = intro.routing_info;
            }
        }
    }

    /// The server's side of the handshake; the ServerHello goes out as one message.
    pub async fn shake(&mut self, answerer: Answerer) {
        if let Some(hello) = self.shake_but_hold_the_hello(answerer).await {
            self.send_bytes(&hello).await;
        }
    }

    /// As `shake`, but an IK's ServerHello is not sent: it is returned, as a frame.
    pub async fn shake_but_hold_the_hello(&mut self, answerer: Answerer) -> Option<Vec<u8>> {
        let hello = self.body().await;
        let responder = Responder::new(&answerer.server, answerer.ephemeral);
        match responder.read_client_hello(&hello, &answerer.chain).unwrap() {
            Answer::Done { server_hello, client } => {
                self.client = Some(client);
                Some(framed(&server_hello))
            }
            Answer::Wait { server_hello, next } => {
                self.send_bytes(&framed(&server_hello)).await;
                let finish = self.body().await;
                self.client = Some(next.read_client_finish(&finish).unwrap());
                None
            }
        }
    }

    pub fn pattern(&self) -> Pattern {
        self.client.as_ref().unwrap().pattern
    }

    /// A sealed frame, with its length.
    pub fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        self.client.as_mut().unwrap().transport.seal.seal_into(plaintext, &mut frame).unwrap();
        frame
    }

    /// The next plaintext.
    pub async fn plaintext(&mut self) -> Vec<u8> {
        let mut body = self.body().await;
        self.client.as_mut().unwrap().transport.open.open(&mut body).unwrap().to_vec()
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.ws.send(Message::Binary(bytes.to_vec().into())).await.unwrap();
    }

    /// Every byte as a message of its own.
    pub async fn send_bytewise(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send_bytes(&[*byte]).await;
        }
    }

    /// Whether the client has gone without a further frame.
    pub async fn is_left_without_a_word(&mut self) -> bool {
        match self.ws.next().await {
            None | Some(Err(Error::Protocol(_) | Error::Io(_)) | Ok(Message::Close(_))) => true,
            Some(other) => panic!("the client went on: {other:?}"),
        }
    }
}

/// A body behind its length.
pub fn framed(body: &[u8]) -> Vec<u8> {
    [&frame_header(body.len()).unwrap()[..], body].concat()
}

/// The next whole frame, over parts.
pub async fn frame(reader: &mut FrameReader) -> Result<Vec<u8>, NetError> {
    loop {
        if let Arrival::Frame { plaintext, .. } = reader.next().await? {
            return Ok(plaintext);
        }
    }
}
