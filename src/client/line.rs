//! What the messaging half of a client needs of its connection: to say something, to ask something. The
//! connection's own life (`life`) implements it; tests put a script in its place.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::client::limits::GroupLimited;
use crate::stanza::restrictions::RateLimit;
use crate::wire::Node;

/// A future behind the boundary.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The stanza did not go out, or it is not known whether it did: there is no live connection, or it broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not connected")]
pub struct NotSent;

/// What became of a question (01 §14.3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IqError {
    /// The server refused.
    #[error("refused by the server: {code} {text}")]
    Refused {
        /// The code.
        code: u32,
        /// What it says.
        text: String,
        /// Seconds to wait before another question of this kind.
        backoff: Option<u64>,
        /// What it says of group operations to come.
        rate_limit: Option<RateLimit>,
    },
    /// Not asked: the server wants no question of this kind for so long (05d §10).
    #[error("the server wants no such question for {0:?}")]
    Held(Duration),
    /// Not asked: a restriction of the service forbids it for now.
    #[error(transparent)]
    Limited(GroupLimited),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended, and this question is not asked again by itself.
    #[error("disconnected")]
    Disconnected,
    /// The connection ended, and asking again might do it twice.
    #[error("disconnected; it is not known whether the server did it")]
    OutcomeUnknown,
    /// The account stands still.
    #[error("the account is stopped")]
    Stopped,
}

impl IqError {
    /// How long no question of this kind may be asked, where the server has said so.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Held(wait) => Some(*wait),
            Self::Refused { code, backoff, .. } => {
                let told = backoff.map(Duration::from_secs);
                told.or_else(|| (*code == 429).then_some(Duration::from_secs(60)))
            }
            _ => None,
        }
    }

    /// The server's code, if it refused.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// The line to the server.
pub trait Line: Send + Sync {
    /// Writes a stanza to the live connection, behind those given before.
    fn send(&self, stanza: Node) -> Answer<'_, Result<(), NotSent>>;

    /// Writes a stanza that is encoded already (flag byte first), behind those given before.
    fn send_encoded(&self, plaintext: Vec<u8>) -> Answer<'_, Result<(), NotSent>>;

    /// Asks. The line gives the `iq` its id, and keeps asking across connections as 01 §14.3 says.
    fn ask(&self, iq: Node) -> Answer<'_, Result<Node, IqError>>;

    /// A fresh `sid` for usync: from the same counter as the ids of questions (05a §1).
    fn sid(&self) -> String;

    /// The store failed or the state can't be trusted: close the connection, so that the server delivers again.
    fn fail(&self, why: &str);

    /// Stop the account and tell a person: the own phone has a new identity (02 §11).
    fn own_phone_changed(&self);
}
