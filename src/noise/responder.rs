//! The server's side of the handshakes, for simulated servers (protocol 01 §5, §6, §20).

use prost::Message;

use super::cipher::Transport;
use super::handshake::{Fields, HandshakeError, HandshakeFault, HandshakeState, Pattern, Role, public_key};
use crate::crypto::{KeyPair, PublicKey};
use crate::proto::noise::{ClientFinish, ClientHello, HandshakeMessage, ServerHello};

/// A server that waits for a ClientHello.
#[derive(Debug)]
pub struct Responder {
    s: KeyPair,
    e: KeyPair,
    accept_ik: bool,
}

/// What a ClientHello led to.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "made once a connection and taken apart at once")]
pub enum Answer {
    /// XX, or an IK hello that does not open (XXfallback): send the ServerHello and wait for the ClientFinish.
    Wait {
        /// The ServerHello (protobuf, without length).
        server_hello: Vec<u8>,
        /// What reads the ClientFinish.
        next: AwaitFinish,
    },
    /// IK: the ClientPayload is here already; send the ServerHello, the transport phase has begun.
    Done {
        /// The ServerHello (protobuf, without length).
        server_hello: Vec<u8>,
        /// The client and the ciphers.
        client: Accepted,
    },
}

/// A client whose handshake is complete.
pub struct Accepted {
    /// The client's Noise static key, which is its credential (protocol 01 §10).
    pub client_static: PublicKey,
    /// The ClientPayload.
    pub payload: Vec<u8>,
    /// The ciphers, as the server sees them.
    pub transport: Transport,
    /// How it came about.
    pub pattern: Pattern,
}

impl std::fmt::Debug for Accepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accepted")
            .field("client_static", &self.client_static)
            .field("payload", &self.payload.len())
            .field("pattern", &self.pattern)
            .finish_non_exhaustive()
    }
}

impl Responder {
    /// `s` is the server's Noise static key, whose public half the leaf certificate names; `e` must be fresh.
    #[must_use]
    pub fn new(s: &KeyPair, e: KeyPair) -> Self {
        Self { s: s.clone(), e, accept_ik: true }
    }

    /// Answers an IK hello by XXfallback, as if the static key had changed.
    #[must_use]
    pub fn without_ik(self) -> Self {
        Self { accept_ik: false, ..self }
    }

    /// Reads a ClientHello (a frame's body) and answers it with `cert_chain` (serialised, see
    /// [`super::issue_chain`]).
    ///
    /// # Errors
    /// [`HandshakeError`]: close the connection.
    pub fn read_client_hello(self, message: &[u8], cert_chain: &[u8]) -> Result<Answer, HandshakeError> {
        let fields = client_hello(message).map_err(|fault| fault.during(Pattern::Xx))?;
        if fields.static_key.is_none() {
            // XX. A payload without a static key is none of the three; it is ignored like an unknown field.
            let hello = Fields { ephemeral: fields.ephemeral, ..Fields::default() };
            return self.xx(&hello, cert_chain).map_err(|fault| fault.during(Pattern::Xx));
        }
        if self.accept_ik
            && let Some(answer) = self.ik(&fields, cert_chain).map_err(|fault| fault.during(Pattern::Ik))?
        {
            return Ok(answer);
        }
        self.fall_back(&fields, cert_chain).map_err(|fault| fault.during(Pattern::XxFallback))
    }

    fn xx(self, hello: &Fields, cert_chain: &[u8]) -> Result<Answer, HandshakeFault> {
        let mut state = HandshakeState::new(Pattern::Xx, Role::Responder, self.s, self.e);
        state.read_message(hello)?;
        wait(state, cert_chain)
    }

    /// `None` if the hello does not open under our static key.
    fn ik(&self, hello: &Fields, cert_chain: &[u8]) -> Result<Option<Answer>, HandshakeFault> {
        let mut state = HandshakeState::new(Pattern::Ik, Role::Responder, self.s.clone(), self.e.clone())
            .with_server_static(self.s.public());
        let payload = match state.read_message(hello) {
            Err(HandshakeFault::Decrypt) => return Ok(None),
            read => read?.ok_or(HandshakeFault::Malformed)?,
        };
        let server_hello = encode(state.write_message(Some(cert_chain))?);
        Ok(Some(Answer::Done { server_hello, client: accept(state, payload)? }))
    }

    fn fall_back(self, hello: &Fields, cert_chain: &[u8]) -> Result<Answer, HandshakeFault> {
        let sent = public_key(hello.ephemeral.as_deref())?;
        let state = HandshakeState::new(Pattern::XxFallback, Role::Responder, self.s, self.e);
        wait(state.with_client_ephemeral(&sent), cert_chain)
    }
}

fn wait(mut state: HandshakeState, cert_chain: &[u8]) -> Result<Answer, HandshakeFault> {
    let server_hello = encode(state.write_message(Some(cert_chain))?);
    Ok(Answer::Wait { server_hello, next: AwaitFinish(state) })
}

fn accept(state: HandshakeState, payload: Vec<u8>) -> Result<Accepted, HandshakeFault> {
    let client_static = *state.remote_static().ok_or(HandshakeFault::Malformed)?;
    Ok(Accepted { client_static, payload, pattern: state.pattern(), transport: state.split() })
}

/// A server that has sent its ServerHello and waits for the ClientFinish.
pub struct AwaitFinish(HandshakeState);

impl AwaitFinish {
    /// Reads the ClientFinish (a frame's body) and splits.
    ///
    /// # Errors
    /// [`HandshakeError`]: close the connection. A client that follows stock Noise XX ends here (protocol 01 §4).
    pub fn read_client_finish(mut self, message: &[u8]) -> Result<Accepted, HandshakeError> {
        let pattern = self.0.pattern();
        client_finish(message)
            .and_then(|fields| self.0.read_message(&fields))
            .and_then(|payload| accept(self.0, payload.ok_or(HandshakeFault::Malformed)?))
            .map_err(|fault| fault.during(pattern))
    }
}

impl std::fmt::Debug for AwaitFinish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AwaitFinish({:?})", self.0.pattern())
    }
}

fn client_hello(message: &[u8]) -> Result<Fields, HandshakeFault> {
    let message = HandshakeMessage::decode(message).map_err(|_| HandshakeFault::Malformed)?;
    let ClientHello { ephemeral, r#static, payload, .. } =
        message.client_hello.ok_or(HandshakeFault::Malformed)?;
    Ok(Fields { ephemeral, static_key: r#static, payload })
}

fn client_finish(message: &[u8]) -> Result<Fields, HandshakeFault> {
    let message = HandshakeMessage::decode(message).map_err(|_| HandshakeFault::Malformed)?;
    let ClientFinish { r#static, payload, .. } = message.client_finish.ok_or(HandshakeFault::Malformed)?;
    Ok(Fields { ephemeral: None, static_key: r#static, payload })
}

fn encode(fields: Fields) -> Vec<u8> {
    let hello = ServerHello {
        ephemeral: fields.ephemeral,
        r#static: fields.static_key,
        payload: fields.payload,
        ..Default::default()
    };
    HandshakeMessage { server_hello: Some(hello), ..Default::default() }.encode_to_vec()
}
