//! What an account tells its application. Events are written to the inbox in the transaction that caused them,
//! carry a stable id, and stay until they are acknowledged (design §2 rule 3).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::client::limits::{Restriction, Why};
use crate::client::send::Refusal;
use crate::client::state::Stop;
use crate::store::inbox::{MessageKey, NewEvent};
use crate::store::{Outgoing, OutgoingState, SecretBytes, UnixMillis};
use crate::wire::Jid;

/// An event, as the application gets it and as the inbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A message, also one that another own device sent.
    Message(Box<Received>),
    /// A message whose content can't be read (yet). The content may follow as [`Event::Message`].
    Undecryptable(Unreadable),
    /// A receipt for messages of ours.
    Receipt(Receipt),
    /// How far a message of ours is.
    Outgoing(Progress),
    /// A contact has a new identity key.
    IdentityChanged {
        /// The contact.
        user: String,
        /// Found while decrypting or setting up a session; else the server said so.
        implicit: bool,
    },
    /// The phone offers a part of the history: a serialized `HistorySyncNotification`.
    History {
        /// The notification, base64.
        #[serde(with = "text_bytes")]
        notification: Vec<u8>,
        /// The message that brought it.
        id: String,
    },
    /// The account is linked.
    Linked(Linked),
    /// The account stands still until a person acts.
    Stopped {
        /// Why.
        why: Stop,
        /// Attributes of the `<failure>` that caused it, some of which are told once only.
        details: Vec<(String, String)>,
        /// When, Unix milliseconds.
        at: UnixMillis,
    },
    /// The service will refuse the client version in use.
    ClientExpires {
        /// The version.
        version: String,
        /// From when on, Unix seconds.
        at: i64,
    },
    /// The server sends what this program can't read, connection after connection: a newer version may be needed.
    Incompatible {
        /// What kind of fault.
        kind: String,
        /// When, Unix milliseconds.
        at: UnixMillis,
    },
    /// Somebody registers this number on another phone.
    NumberRegistration {
        /// The id of the notification.
        id: String,
    },
    /// The service limits the account, or no longer does.
    Restriction(Restriction),
    /// A notification that is passed on as it came.
    Notice(Notice),
}

/// What pair-success named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// Own address with device.
    pub jid: String,
    /// The hidden one.
    pub lid: Option<String>,
    /// The phone's platform.
    pub platform: String,
    /// The business's name.
    pub business: Option<String>,
}

/// A notification of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its type.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What it is about.
    pub from: String,
    /// The stanza, in list form.
    pub stanza: serde_json::Value,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The chat: user, group or list, without device.
    pub chat: String,
    /// The device that sent it.
    pub sender: String,
    /// The same sender in the other namespace, where known.
    pub sender_alt: Option<String>,
    /// The message id.
    pub id: String,
    /// Whether the own account sent it.
    pub from_me: bool,
    /// The server's time, Unix seconds.
    pub timestamp: i64,
    /// The sender's name for itself.
    pub push_name: Option<String>,
    /// It waited in the offline queue.
    pub offline: bool,
    /// The plain text, where the message is one.
    pub text: Option<String>,
    /// What it does to another message.
    pub change: Option<Change>,
    /// The `Message` without wrappers, as its sender wrote it, with fields that this version does not know; base64.
    #[serde(with = "text_bytes")]
    pub message: Vec<u8>,
}

/// What a message does to another one of the same chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It replaces the content.
    Edit(Target),
    /// It takes the message back.
    Revoke(Target),
    /// It reacts; an empty text removes the reaction.
    Reaction {
        /// To this message.
        target: Target,
        /// With this.
        text: String,
    },
}

impl Change {
    /// The message that is changed.
    #[must_use]
    pub fn target(&self) -> &Target {
        match self {
            Self::Edit(target) | Self::Revoke(target) | Self::Reaction { target, .. } => target,
        }
    }
}

/// A message that another one is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Who wrote it, without device.
    pub author: String,
    /// Its id.
    pub id: String,
}

/// A message that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The chat.
    pub chat: String,
    /// The device that sent it.
    pub sender: String,
    /// The message id.
    pub id: String,
    /// The server's time, Unix seconds.
    pub timestamp: i64,
    /// Why.
    pub reason: String,
    /// What the ciphertext held where it opened and is no message: the bytes, base64. Else empty.
    #[serde(with = "text_bytes", default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<u8>,
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The chat.
    pub chat: String,
    /// The device that confirms.
    pub device: String,
    /// The messages.
    pub ids: Vec<String>,
    /// What it confirms.
    pub kind: ReceiptKind,
    /// When, Unix seconds.
    pub timestamp: i64,
}

/// What a receipt confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptKind {
    /// A device has it.
    Delivered,
    /// A device has it, without ticks.
    Inactive,
    /// It was read.
    Read,
    /// It was played.
    Played,
    /// Another own device read it.
    ReadElsewhere,
}

/// How far a message of ours is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The caller's idempotency key.
    pub key: String,
    /// The chat.
    pub chat: String,
    /// The message id.
    pub id: String,
    /// How far.
    pub state: SendState,
}

/// States that the application is told about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendState {
    /// The server took it.
    Sent {
        /// The server's time, Unix seconds.
        timestamp: i64,
        /// The recipient's phone could not be encrypted for: the chat stays empty there until it asks again.
        #[serde(default)]
        phone_missed: bool,
    },
    /// It was not taken, or could not be sent.
    Failed {
        /// Why.
        why: Refusal,
        /// The server's code.
        code: Option<u32>,
        /// What a person should know.
        detail: String,
        /// When the reason ends, wall time in milliseconds, where that is known.
        #[serde(default)]
        until: Option<UnixMillis>,
    },
    /// It waits because of a limit, and goes on by itself.
    Waiting {
        /// Which.
        why: Why,
        /// Until then, Unix milliseconds; `None`: until something changes.
        until: Option<UnixMillis>,
    },
    /// It is not known whether the server has it.
    Unknown,
}

impl SendState {
    /// The state of a row of the outbox; `None` while it is open.
    #[must_use]
    pub fn of(row: &Outgoing) -> Option<Self> {
        match row.state {
            OutgoingState::Queued | OutgoingState::Encrypted => None,
            OutgoingState::Unknown => Some(Self::Unknown),
            OutgoingState::Failed => Some(Self::Failed {
                why: Refusal::of_row(row),
                code: row.error,
                detail: row.detail.clone().unwrap_or_default(),
                until: row.until,
            }),
            _ => Some(Self::Sent {
                timestamp: row.server_time.unwrap_or_default(),
                phone_missed: row.phone_missed,
            }),
        }
    }
}

impl Event {
    /// The name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Message(_) => "message",
            Self::Undecryptable(_) => "undecryptable",
            Self::Receipt(_) => "receipt",
            Self::Outgoing(_) => "outgoing",
            Self::IdentityChanged { .. } => "identity_changed",
            Self::History { .. } => "history",
            Self::Linked(_) => "linked",
            Self::Stopped { .. } => "stopped",
            Self::ClientExpires { .. } => "client_expires",
            Self::Incompatible { .. } => "incompatible",
            Self::NumberRegistration { .. } => "number_registration",
            Self::Restriction(_) => "restriction",
            Self::Notice(_) => "notice",
        }
    }

    /// The message it is about.
    fn message(&self) -> Option<MessageKey> {
        match self {
            Self::Message(message) => Some(key(&message.chat, &message.sender, &message.id)),
            Self::Undecryptable(message) => Some(key(&message.chat, &message.sender, &message.id)),
            _ => None,
        }
    }

    /// The row for the inbox.
    #[must_use]
    pub fn row(&self, now: UnixMillis) -> NewEvent {
        NewEvent {
            event_id: self.id(now),
            kind: self.kind().to_owned(),
            message: self.message(),
            // Every variant is plain data: writing it can't fail.
            payload: SecretBytes::new(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// The stable id: the same fact gets the same id again.
    fn id(&self, now: UnixMillis) -> String {
        match self {
            Self::Message(m) => format!("message:{}:{}:{}", m.chat, bare(&m.sender), m.id),
            Self::Undecryptable(m) => format!("undecryptable:{}:{}:{}", m.chat, bare(&m.sender), m.id),
            Self::Receipt(r) => {
                let first = r.ids.first().map(String::as_str).unwrap_or_default();
                format!("receipt:{:?}:{}:{}:{first}:{}", r.kind, r.chat, r.device, r.timestamp)
            }
            Self::Outgoing(p) => {
                let state = match p.state {
                    SendState::Sent { .. } => "sent",
                    SendState::Failed { .. } => "failed",
                    SendState::Unknown => "unknown",
                    SendState::Waiting { why, until } => {
                        let until = until.unwrap_or_default();
                        return format!("outgoing:waiting:{}:{until}:{}", why.name(), p.key);
                    }
                };
                format!("outgoing:{state}:{}", p.key)
            }
            Self::IdentityChanged { user, .. } => format!("identity:{user}:{now}"),
            Self::History { id, .. } => format!("history:{id}"),
            Self::Linked(linked) => format!("linked:{}", linked.jid),
            Self::Stopped { at, .. } => format!("stopped:{at}"),
            Self::ClientExpires { version, at } => format!("client_expires:{version}:{at}"),
            Self::Incompatible { at, .. } => format!("incompatible:{at}"),
            Self::NumberRegistration { id } => format!("number_registration:{id}"),
            Self::Restriction(told) => {
                let subject = told.subject.as_deref().unwrap_or_default();
                format!("restriction:{}:{:?}:{subject}:{}", told.signal.name(), told.change, told.at)
            }
            Self::Notice(notice) => format!("notice:{}:{}:{}", notice.kind, notice.from, notice.id),
        }
    }

    /// Reads an event of the inbox; `None` for a payload that is erased or of another version.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

fn bare(jid: &str) -> String {
    jid.parse::<Jid>().map_or_else(|_| jid.to_owned(), |jid| jid.to_user().to_string())
}

fn key(chat: &str, sender: &str, id: &str) -> MessageKey {
    MessageKey::new(chat, bare(sender), id)
}

mod text_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Engine, STANDARD};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_and_keeps_its_id() {
        let event = Event::Message(Box::new(Received {
            chat: "1@lid".to_owned(),
            sender: "1:3@lid".to_owned(),
            sender_alt: None,
            id: "A".to_owned(),
            from_me: false,
            timestamp: 5,
            push_name: None,
            offline: true,
            text: Some("hello".to_owned()),
            change: None,
            message: vec![0, 255],
        }));
        let row = event.row(1);
        assert_eq!(Event::read(row.payload.expose()), Some(event.clone()));
        assert_eq!(row.event_id, "message:1@lid:1@lid:A");
        assert_eq!(row.message, Some(MessageKey::new("1@lid", "1@lid", "A")));
        assert_eq!(event.row(2).event_id, row.event_id);
    }
}
