//! The client's side of the handshakes (protocol 01 §5, §6).

use prost::Message;

use super::certificate::CertChain;
use super::cipher::Transport;
use super::handshake::{Fields, HandshakeError, HandshakeFault, HandshakeState, Pattern, Role};
use crate::crypto::{KeyPair, PublicKey};
use crate::proto::noise::{ClientFinish, ClientHello, HandshakeMessage};

/// What the client believes: the root key of the chain, and the time.
#[derive(Debug, Clone, Copy)]
pub struct Trust {
    /// The root's public key, [`super::PRODUCTION_ROOT`] but for test servers.
    pub root: PublicKey,
    /// Now, in seconds since the Unix epoch.
    pub now: i64,
}

/// A client that has sent its ClientHello and waits for the ServerHello.
pub struct Initiator {
    state: HandshakeState,
    s: KeyPair,
    e: KeyPair,
}

impl Initiator {
    /// XX: the state, and the ClientHello (protobuf, without intro and length). `s` is the account's Noise static
    /// key, `e` a fresh ephemeral key, never used before.
    ///
    /// # Errors
    /// None in practice; see [`HandshakeError`].
    pub fn xx(s: &KeyPair, e: KeyPair) -> Result<(Self, Vec<u8>), HandshakeError> {
        let state = HandshakeState::new(Pattern::Xx, Role::Initiator, s.clone(), e.clone());
        Self::start(state, s, e, None)
    }

    /// IK, towards the static key of a cached chain: the state, and the ClientHello that carries `payload` (the
    /// ClientPayload) already.
    ///
    /// # Errors
    /// [`HandshakeFault::LowOrder`] if the cached key is none.
    pub fn ik(
        s: &KeyPair,
        e: KeyPair,
        server_static: &PublicKey,
        payload: &[u8],
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let state = HandshakeState::new(Pattern::Ik, Role::Initiator, s.clone(), e.clone())
            .with_server_static(server_static);
        Self::start(state, s, e, Some(payload))
    }

    fn start(
        mut state: HandshakeState,
        s: &KeyPair,
        e: KeyPair,
        payload: Option<&[u8]>,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let pattern = state.pattern();
        let Fields { ephemeral, static_key, payload } =
            state.write_message(payload).map_err(|fault| fault.during(pattern))?;
        let hello = ClientHello { ephemeral, r#static: static_key, payload, ..Default::default() };
        let message = HandshakeMessage { client_hello: Some(hello), ..Default::default() };
        Ok((Self { state, s: s.clone(), e }, message.encode_to_vec()))
    }

    /// Reads the ServerHello (a frame's body) and verifies the chain where there is one to verify.
    ///
    /// # Errors
    /// [`HandshakeError`]: close the connection, send nothing more.
    pub fn read_server_hello(self, message: &[u8], trust: &Trust) -> Result<ServerAnswer, HandshakeError> {
        let pattern = self.state.pattern();
        let fields = server_hello(message).map_err(|fault| fault.during(pattern))?;
        match pattern {
            Pattern::Ik if fields.static_key.is_none() => self.accepted(&fields),
            Pattern::Ik => self.fall_back().verify(&fields, trust),
            Pattern::Xx | Pattern::XxFallback => self.verify(&fields, trust),
        }
        .map_err(|(pattern, fault)| fault.during(pattern))
    }

    /// IK ends here: only the holder of the cached static key could make this message.
    fn accepted(mut self, fields: &Fields) -> Result<ServerAnswer, (Pattern, HandshakeFault)> {
        let payload = self.state.read_message(fields).map_err(|fault| (Pattern::Ik, fault))?;
        payload.ok_or((Pattern::Ik, HandshakeFault::Malformed))?;
        Ok(ServerAnswer::Accepted(self.state.split()))
    }

    /// Drops the transcript of IK and begins anew with the ephemeral key that was sent.
    fn fall_back(self) -> Self {
        let state = HandshakeState::new(Pattern::XxFallback, Role::Initiator, self.s.clone(), self.e.clone())
            .with_client_ephemeral(self.e.public());
        Self { state, ..self }
    }

    fn verify(mut self, fields: &Fields, trust: &Trust) -> Result<ServerAnswer, (Pattern, HandshakeFault)> {
        let pattern = self.state.pattern();
        let chain = (|| {
            let payload = self.state.read_message(fields)?.ok_or(HandshakeFault::Malformed)?;
            let key = *self.state.remote_static().ok_or(HandshakeFault::Malformed)?;
            Ok(CertChain::verify(&payload, &trust.root, &key, trust.now)?)
        })()
        .map_err(|fault| (pattern, fault))?;
        Ok(ServerAnswer::Verified(Verified { state: self.state, chain }))
    }
}

impl std::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Initiator({:?})", self.state.pattern())
    }
}

/// What a ServerHello led to.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "made once a connection and taken apart at once")]
pub enum ServerAnswer {
    /// IK was taken: the transport phase has begun, no ClientFinish is sent, the cached chain is kept.
    Accepted(Transport),
    /// XX or XXfallback: the chain is verified, the ClientFinish is to be sent.
    Verified(Verified),
}

/// A client that has verified the server's chain and may send its payload.
pub struct Verified {
    state: HandshakeState,
    chain: CertChain,
}

/// A finished XX or XXfallback.
#[derive(Debug)]
pub struct Established {
    /// The ClientFinish (protobuf, without length), to be sent first.
    pub client_finish: Vec<u8>,
    /// The transport phase.
    pub transport: Transport,
    /// The verified chain, to be cached for IK (registered accounts only).
    pub chain: CertChain,
}

impl Verified {
    /// [`Pattern::Xx`] or [`Pattern::XxFallback`].
    #[must_use]
    pub fn pattern(&self) -> Pattern {
        self.state.pattern()
    }

    /// Seals `payload` (the ClientPayload) into the ClientFinish and splits.
    ///
    /// # Errors
    /// [`HandshakeFault::LowOrder`] for a degenerate server key.
    pub fn finish(mut self, payload: &[u8]) -> Result<Established, HandshakeError> {
        let pattern = self.state.pattern();
        let fields = self.state.write_message(Some(payload)).map_err(|fault| fault.during(pattern))?;
        let finish =
            ClientFinish { r#static: fields.static_key, payload: fields.payload, ..Default::default() };
        let message = HandshakeMessage { client_finish: Some(finish), ..Default::default() };
        Ok(Established {
            client_finish: message.encode_to_vec(),
            transport: self.state.split(),
            chain: self.chain,
        })
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("chain", &self.chain).finish_non_exhaustive()
    }
}

fn server_hello(message: &[u8]) -> Result<Fields, HandshakeFault> {
    let message = HandshakeMessage::decode(message).map_err(|_| HandshakeFault::Malformed)?;
    let hello = message.server_hello.ok_or(HandshakeFault::Malformed)?;
    Ok(Fields { ephemeral: hello.ephemeral, static_key: hello.r#static, payload: hello.payload })
}
