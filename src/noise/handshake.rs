//! `HandshakeState`: the three patterns, worked off token by token (protocol 01 §5, §6).
//!
//! The one deviation from the Noise specification: message 1 of XX has no payload at all, not an empty one, so
//! nothing is mixed for it.

use super::certificate::CertificateError;
use super::cipher::{CipherError, CipherState};
use super::symmetric::SymmetricState;
use crate::crypto::{KeyPair, LowOrderPoint, PublicKey, SharedSecret};

/// What both sides mix first: the connection's intro, without a pre-intro (protocol 01 §3).
pub const PROLOGUE: [u8; 4] = crate::wire::INTRO;

/// A handshake pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Neither side knows the other.
    Xx,
    /// The client knows the server's static key and sends its payload at once.
    Ik,
    /// XX, going on from the ephemeral key of an IK hello that the server could not open.
    XxFallback,
}

/// A token of a message pattern, named as in the Noise specification; the client is the initiator in all three.
#[derive(Debug, Clone, Copy)]
enum Token {
    E,
    S,
    Ee,
    Es,
    Se,
    Ss,
}

impl Pattern {
    fn name(self) -> &'static str {
        match self {
            Self::Xx => "Noise_XX_25519_AESGCM_SHA256",
            Self::Ik => "Noise_IK_25519_AESGCM_SHA256",
            Self::XxFallback => "Noise_XXfallback_25519_AESGCM_SHA256",
        }
    }

    /// The messages in order, without the pre-messages.
    fn messages(self) -> &'static [&'static [Token]] {
        use Token::{E, Ee, Es, S, Se, Ss};
        match self {
            Self::Xx => &[&[E], &[E, Ee, S, Es], &[S, Se]],
            Self::Ik => &[&[E, Es, S, Ss], &[E, Ee, Se]],
            Self::XxFallback => &[&[E, Ee, S, Es], &[S, Se]],
        }
    }
}

/// What is wrong with a handshake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFault {
    /// No such protobuf message, or a field that is missing or has a wrong length.
    #[error("malformed handshake message")]
    Malformed,
    /// A field did not open: another key, or a damaged transcript.
    #[error("a handshake field does not decrypt")]
    Decrypt,
    /// A public key of low order.
    #[error(transparent)]
    LowOrder(#[from] LowOrderPoint),
    /// The certificate chain was refused.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl From<CipherError> for HandshakeFault {
    fn from(_: CipherError) -> Self {
        Self::Decrypt
    }
}

/// A failed handshake: close the connection and send nothing more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("handshake {pattern:?}: {fault}")]
pub struct HandshakeError {
    /// The pattern in which it failed. [`Pattern::Ik`] means before a fallback began: the cached chain is to be
    /// deleted and the next try made by XX (protocol 01 §6).
    pub pattern: Pattern,
    /// What is wrong.
    pub fault: HandshakeFault,
}

impl HandshakeFault {
    pub(super) fn during(self, pattern: Pattern) -> HandshakeError {
        HandshakeError { pattern, fault: self }
    }
}

/// Whose part is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Initiator,
    Responder,
}

/// The fields of one handshake message, as they stand in its protobuf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub ephemeral: Option<Vec<u8>>,
    pub static_key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
}

/// The handshake state of Noise.
pub(super) struct HandshakeState {
    symmetric: SymmetricState,
    role: Role,
    pattern: Pattern,
    messages: std::slice::Iter<'static, &'static [Token]>,
    s: KeyPair,
    e: KeyPair,
    rs: Option<PublicKey>,
    re: Option<PublicKey>,
}

impl HandshakeState {
    /// A state with name and prologue mixed. `s` and `e` are the own keys; `e` must be fresh.
    pub fn new(pattern: Pattern, role: Role, s: KeyPair, e: KeyPair) -> Self {
        let mut symmetric = SymmetricState::new(pattern.name());
        symmetric.mix_hash(&PROLOGUE);
        let messages = pattern.messages().iter();
        Self { symmetric, role, pattern, messages, s, e, rs: None, re: None }
    }

    /// The pre-message of IK: the server's static key.
    pub fn with_server_static(mut self, key: &PublicKey) -> Self {
        self.symmetric.mix_hash(key.as_bytes());
        if self.role == Role::Initiator {
            self.rs = Some(*key);
        }
        self
    }

    /// The pre-message of XXfallback: the ephemeral key that the client has sent already.
    pub fn with_client_ephemeral(mut self, key: &PublicKey) -> Self {
        self.symmetric.mix_hash(key.as_bytes());
        if self.role == Role::Responder {
            self.re = Some(*key);
        }
        self
    }

    pub fn pattern(&self) -> Pattern {
        self.pattern
    }

    /// The other side's static key, once it is known.
    pub fn remote_static(&self) -> Option<&PublicKey> {
        self.rs.as_ref()
    }

    /// Noise `WriteMessage`; `None` mixes no payload, where the specification would mix an empty one.
    pub fn write_message(&mut self, payload: Option<&[u8]>) -> Result<Fields, HandshakeFault> {
        let mut fields = Fields::default();
        for token in self.next_message()? {
            match token {
                Token::E => {
                    let key = *self.e.public();
                    self.symmetric.mix_hash(key.as_bytes());
                    fields.ephemeral = Some(key.as_bytes().to_vec());
                }
                Token::S => {
                    let key = *self.s.public();
                    fields.static_key = Some(self.symmetric.encrypt_and_hash(key.as_bytes())?);
                }
                agreement => self.mix_agreement(*agreement)?,
            }
        }
        fields.payload = payload.map(|payload| self.symmetric.encrypt_and_hash(payload)).transpose()?;
        Ok(fields)
    }

    /// Noise `ReadMessage`: the payload, `None` if the message carries none.
    pub fn read_message(&mut self, fields: &Fields) -> Result<Option<Vec<u8>>, HandshakeFault> {
        for token in self.next_message()? {
            match token {
                Token::E => {
                    let key = public_key(fields.ephemeral.as_deref())?;
                    self.symmetric.mix_hash(key.as_bytes());
                    self.re = Some(key);
                }
                Token::S => {
                    let sealed = fields.static_key.as_deref().ok_or(HandshakeFault::Malformed)?;
                    let key = self.symmetric.decrypt_and_hash(sealed)?;
                    self.rs = Some(public_key(Some(&key))?);
                }
                agreement => self.mix_agreement(*agreement)?,
            }
        }
        Ok(match &fields.payload {
            Some(payload) => Some(self.symmetric.decrypt_and_hash(payload)?),
            None => None,
        })
    }

    /// Noise `Split`, seen from this side.
    pub fn split(self) -> super::Transport {
        let (to_server, to_client): (CipherState, CipherState) = self.symmetric.split();
        match self.role {
            Role::Initiator => super::Transport { seal: to_server, open: to_client },
            Role::Responder => super::Transport { seal: to_client, open: to_server },
        }
    }

    fn next_message(&mut self) -> Result<&'static [Token], HandshakeFault> {
        self.messages.next().copied().ok_or(HandshakeFault::Malformed)
    }

    fn mix_agreement(&mut self, token: Token) -> Result<(), HandshakeFault> {
        let shared = self.agree(token)?;
        self.symmetric.mix_key(shared.as_bytes());
        Ok(())
    }

    /// The Diffie-Hellman of a token: first letter the client's key, second letter the server's.
    fn agree(&self, token: Token) -> Result<SharedSecret, HandshakeFault> {
        let initiator = self.role == Role::Initiator;
        let (own, theirs) = match token {
            Token::Ee => (&self.e, self.re),
            Token::Es if initiator => (&self.e, self.rs),
            Token::Es => (&self.s, self.re),
            Token::Se if initiator => (&self.s, self.re),
            Token::Se => (&self.e, self.rs),
            Token::Ss | Token::E | Token::S => (&self.s, self.rs),
        };
        Ok(own.agree(&theirs.ok_or(HandshakeFault::Malformed)?)?)
    }
}

pub(super) fn public_key(bytes: Option<&[u8]>) -> Result<PublicKey, HandshakeFault> {
    bytes.and_then(PublicKey::from_slice).ok_or(HandshakeFault::Malformed)
}
