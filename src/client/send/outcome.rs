//! What became of a send, in the caller's terms (protocol 05a §12).

use serde::{Deserialize, Serialize};

use crate::client::limits::Why;
use crate::store::{Outgoing, OutgoingState, StoreError, UnixMillis};

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
    /// An edit comes later than the window after its original, or the original is not known (05a §1).
    #[error("the message is too old to be edited, or is not known")]
    TooLateToEdit,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a message is sent, besides to whom and what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// It is one of many that nobody ordered one by one. Where a limit refuses a single message, it waits and goes on
    /// by itself at the end (05d §9.2). By default a person asked for it.
    pub campaign: bool,
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
        /// The recipient's phone could not be encrypted for: the chat stays empty there until it asks again.
        phone_missed: bool,
    },
    /// It was refused or given up.
    Failed {
        /// Why.
        why: Refusal,
        /// What a person should know.
        detail: String,
        /// When the reason ends, where that is known.
        until: Option<UnixMillis>,
    },
    /// It is not known whether the server has it; it is not sent again by itself.
    Unknown,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
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
    /// The server found several stanzas for this chat wrong: nothing is sent there for a while (05d §10).
    ChatStopped,
    /// The edit's original is too old by now, or was never sent (05a §1).
    TooLateToEdit,
    /// The caller took it back before it left.
    Cancelled,
    /// A limit closes the chat; the server never saw it.
    Limited(Why),
}

/// Our own reasons, by the name that the store keeps.
const OWN: [(Refusal, &str); 4] = [
    (Refusal::Unreachable, "unreachable"),
    (Refusal::ChatStopped, "chat_stopped"),
    (Refusal::TooLateToEdit, "too_late_to_edit"),
    (Refusal::Cancelled, "cancelled"),
];

impl Refusal {
    /// The meaning of the server's code.
    #[must_use]
    pub fn of(code: u32) -> Self {
        match code {
            400 => Self::Malformed,
            403 | 405 => Self::NotAllowed,
            404 => Self::NotFound,
            406 => Self::NotAcceptable,
            421 => Self::StaleAddressing,
            463 => Self::NotTrusted,
            473 => Self::BusinessContent,
            475 => Self::ChatCap,
            479 => Self::Schema,
            500 | 503 => Self::Server,
            other => Self::Other(other),
        }
    }

    /// The stable name of one of our own reasons.
    pub(crate) fn name(self) -> Option<&'static str> {
        if let Self::Limited(why) = self {
            return Some(why.name());
        }
        OWN.iter().find(|(why, _)| *why == self).map(|(_, name)| *name)
    }

    /// The reason of a row that failed.
    pub(crate) fn of_row(row: &Outgoing) -> Self {
        let named = || OWN.iter().find(|(_, name)| row.why.as_deref() == Some(name)).map(|(why, _)| *why);
        let limited = || row.why.as_deref().and_then(Why::of).map(Self::Limited);
        row.error.map(Self::of).or_else(named).or_else(limited).unwrap_or(Self::Unreachable)
    }
}

/// The outcome in a row; `None` while it is open.
pub(crate) fn of(row: &Outgoing) -> Option<SendOutcome> {
    match row.state {
        OutgoingState::Queued | OutgoingState::Encrypted => None,
        OutgoingState::Unknown => Some(SendOutcome::Unknown),
        OutgoingState::Failed => Some(SendOutcome::Failed {
            why: Refusal::of_row(row),
            detail: row.detail.clone().unwrap_or_default(),
            until: row.until,
        }),
        _ => Some(SendOutcome::Sent { server_time: row.server_time, phone_missed: row.phone_missed }),
    }
}
