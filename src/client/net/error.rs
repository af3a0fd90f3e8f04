//! What can go wrong on the way, and what the caller can do.

use std::io;
use std::time::Duration;

use tokio_tungstenite::tungstenite;

use super::dial::DialError;
use crate::noise::{CertificateError, CipherError, HandshakeError, HandshakeFault};
use crate::wire::FrameError;

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Dial, TLS and upgrade (20 s).
    Open,
    /// The ServerHello (20 s).
    ServerHello,
    /// Writing the ClientFinish (20 s).
    ClientFinish,
}

/// A connection that did not come about, or ended.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No byte stream.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// TLS failed: another certificate than the roots vouch for, or a stream that breaks.
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    /// The server answered the upgrade with another status than 101. Redirects are among them, none is followed.
    #[error("the server refused the connection with HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
        /// The header `Retry-After`, where it is a number of seconds.
        retry_after: Option<Duration>,
    },
    /// The upgrade failed otherwise: no HTTP, a wrong answer, or a stream that breaks meanwhile.
    #[error("upgrade: {0}")]
    Upgrade(#[source] Box<tungstenite::Error>),
    /// The other side broke the WebSocket protocol.
    #[error("WebSocket: {0}")]
    WebSocket(#[source] Box<tungstenite::Error>),
    /// No answer in time.
    #[error("no answer in time ({0:?})")]
    Timeout(Phase),
    /// The handshake was refused; nothing was sent after it.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// A frame longer than is allowed now.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame did not open, or a counter is used up: the stream is lost.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection, with this WebSocket code if it gave one.
    #[error("the server closed the connection")]
    Closed {
        /// RFC 6455 §7.4.
        code: Option<u16>,
    },
    /// This half was used after a send that failed or was cancelled.
    #[error("the connection is no longer usable")]
    Dead,
}

/// What a caller can do about a [`NetError`] (protocol 01 §2, §8, §19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Dial again with the usual delays.
    Backoff,
    /// Tell a person, and dial again with 5 steps more, at the earliest after this time.
    BackoffFurther {
        /// What the server asked for.
        at_least: Option<Duration>,
    },
    /// Dial again with the usual delays; the server asked for at least this time.
    BackoffAtLeast(Duration),
    /// This host's clock or the server's certificate is wrong: tell a person. Dialling goes on with the usual delays.
    ClockOrCertificate,
    /// The server did not prove who it is: tell a person. Dialling goes on with the usual delays.
    Untrusted,
    /// The configuration (proxy, its credentials) is wrong: tell a person. Dialling goes on with the usual delays.
    Configuration,
}

impl NetError {
    /// What the caller can do.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Status { status: 408 | 500..=504, retry_after: None } => Advice::Backoff,
            Self::Status { status: 408 | 500..=504, retry_after: Some(least) } => {
                Advice::BackoffAtLeast(*least)
            }
            Self::Status { retry_after, .. } => Advice::BackoffFurther { at_least: *retry_after },
            Self::Handshake(HandshakeError { fault: HandshakeFault::Certificate(error), .. }) => {
                match error {
                    CertificateError::ClockOrCertificate { .. } => Advice::ClockOrCertificate,
                    _ => Advice::Untrusted,
                }
            }
            Self::Tls(error) => of_tls(error),
            Self::Dial(DialError::Io(_)) => Advice::Backoff,
            Self::Dial(_) => Advice::Configuration,
            _ => Advice::Backoff,
        }
    }

    /// Whether the WebSocket was never open, so that the next dial takes the endpoint's other address.
    #[must_use]
    pub fn is_failed_open(&self) -> bool {
        matches!(
            self,
            Self::Dial(_)
                | Self::Tls(_)
                | Self::Status { .. }
                | Self::Upgrade(_)
                | Self::Timeout(Phase::Open)
        )
    }

    /// Sorts what the WebSocket library says.
    pub(super) fn of_websocket(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Io(error) => Self::Io(error),
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => {
                Self::Closed { code: None }
            }
            tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
                | tungstenite::error::ProtocolError::SendAfterClosing,
            ) => Self::Closed { code: None },
            other => Self::WebSocket(Box::new(other)),
        }
    }
}

fn of_tls(error: &io::Error) -> Advice {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => Advice::ClockOrCertificate,
        Some(rustls::Error::InvalidCertificate(_)) => Advice::Untrusted,
        _ => Advice::Backoff,
    }
}
