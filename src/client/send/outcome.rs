//! What became of a send, in the caller's terms (protocol 05a §12).

use crate::store::{Outgoing, OutgoingState, StoreError};

/// A send was not accepted; nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// The account is not linked.
    #[error("the account is not linked")]
    NotLinked,
    /// Only users can be written to, without a device.
    #[error("{0} is no user that can be written to")]
    BadRecipient(String),
    /// The message has no content, or several.
    #[error("a message must have exactly one content")]
    BadContent,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An accepted send: it goes out as soon as it can, also after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The message id.
    pub message_id: String,
    /// The idempotency key was known: this is what became of the first send with it.
    pub known: bool,
}

/// What became of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The server took it.
    Sent {
        /// The server's time, Unix seconds.
        server_time: Option<i64>,
    },
    /// It was refused or given up.
    Failed {
        /// Why.
        why: Refusal,
        /// What a person should know.
        detail: String,
    },
    /// It is not known whether the server has it; it is not sent again by itself.
    Unknown,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400: our stanza was wrong.
    Malformed,
    /// 403, 405: not allowed.
    NotAllowed,
    /// 404: no such recipient.
    NotFound,
    /// 406.
    NotAcceptable,
    /// 421: a stale addressing mode.
    StaleAddressing,
    /// 463: this account may not begin this chat.
    NotTrusted,
    /// 473: business content.
    BusinessContent,
    /// 475: the cap on new chats is reached.
    ChatCap,
    /// 479: our stanza does not fit the server's schema.
    Schema,
    /// 500, 503.
    Server,
    /// Another code.
    Other(u32),
    /// No device of the recipient could be reached.
    Unreachable,
}

impl Refusal {
    /// The meaning of a code.
    #[must_use]
    pub fn of(code: Option<u32>) -> Self {
        match code {
            None => Self::Unreachable,
            Some(400) => Self::Malformed,
            Some(403 | 405) => Self::NotAllowed,
            Some(404) => Self::NotFound,
            Some(406) => Self::NotAcceptable,
            Some(421) => Self::StaleAddressing,
            Some(463) => Self::NotTrusted,
            Some(473) => Self::BusinessContent,
            Some(475) => Self::ChatCap,
            Some(479) => Self::Schema,
            Some(500 | 503) => Self::Server,
            Some(other) => Self::Other(other),
        }
    }
}

/// The outcome in a row; `None` while it is open.
pub(crate) fn of(row: &Outgoing) -> Option<SendOutcome> {
    match row.state {
        OutgoingState::Queued | OutgoingState::Encrypted => None,
        OutgoingState::Unknown => Some(SendOutcome::Unknown),
        OutgoingState::Failed => Some(SendOutcome::Failed {
            why: Refusal::of(row.error),
            detail: row.detail.clone().unwrap_or_default(),
        }),
        _ => Some(SendOutcome::Sent { server_time: row.server_time }),
    }
}
