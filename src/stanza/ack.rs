//! Acks and nacks: what we answer to a stanza (05b §13, 05c §1), and what the server answers to ours (05a §12).

use super::element::{Element, ErrorInfo, Malformed};
use crate::wire::{Jid, Node};

/// Why a stanza is refused for good (05b §13). A nack deletes the stanza at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Nack {
    /// A required part is missing or can't be read.
    Parsing = 487,
    /// A stanza or notification of unknown kind.
    UnrecognizedStanza = 488,
    /// Unknown class.
    UnrecognizedClass = 489,
    /// Unknown type.
    UnrecognizedType = 490,
    /// The decrypted protobuf is not a Message with one content.
    InvalidProtobuf = 491,
    /// A hosted companion's stanza is wrong.
    InvalidHostedCompanion = 493,
    /// The message secret of the original is not known.
    MissingMessageSecret = 495,
    /// The message was opened before.
    OldCounter = 496,
    /// The message is deleted on the peer.
    MessageDeleted = 499,
    /// An error of our own.
    Unhandled = 500,
    /// An admin's revoke that is not supported.
    UnsupportedAdminRevoke = 550,
    /// A LID group where it is not supported.
    UnsupportedLidGroup = 551,
}

/// What an answer to a received stanza needs of it. Kept until the stanza's effects are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answerable {
    class: Class,
    id: String,
    from: Jid,
    kind: Option<String>,
    participant: Option<Jid>,
    recipient: Option<Jid>,
    /// Of a notification: its ack names no type; it goes to the server; it keeps the participant; `to` is in device
    /// form.
    form: NotificationForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Message,
    Status,
    Receipt,
    Notification,
    Call,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct NotificationForm {
    without_type: bool,
    to_server: bool,
    with_participant: bool,
    device_form: bool,
}

impl Answerable {
    /// Reads what an answer needs. `None`: the stanza is of a kind that is not acked.
    ///
    /// # Errors
    /// Without `id` or `from` no answer is possible.
    pub fn of<'n>(stanza: impl Element<'n>) -> Result<Option<Self>, Malformed> {
        let class = match stanza.name() {
            "message" => Class::Message,
            "status" => Class::Status,
            "receipt" => Class::Receipt,
            "notification" => Class::Notification,
            "call" => Class::Call,
            _ => return Ok(None),
        };
        let form = if class == Class::Notification { notification_form(stanza) } else { Default::default() };
        Ok(Some(Self {
            class,
            id: stanza.need("id")?.into_owned(),
            from: stanza.need_address("from")?,
            kind: stanza.text("type").map(|text| text.into_owned()),
            participant: stanza.address("participant"),
            recipient: stanza.address("recipient"),
            form,
        }))
    }

    /// The id of the stanza.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The plain ack. `own` is the own PN with device, for messages.
    #[must_use]
    pub fn ack(&self, own: Option<&Jid>) -> Node {
        self.build(own, None)
    }

    /// The refusal.
    #[must_use]
    pub fn nack(&self, own: Option<&Jid>, error: Nack) -> Node {
        self.build(own, Some(error))
    }

    fn build(&self, own: Option<&Jid>, error: Option<Nack>) -> Node {
        let ack = Node::new("ack");
        let kind = self.kind.clone().filter(|_| !self.form.without_type);
        let error = error.map(|error| error as u16);
        let in_form = |jid: &Jid| jid.in_device_form();
        match self.class {
            Class::Message | Class::Status => ack
                .attr("id", &self.id)
                .attr("class", if self.class == Class::Message { "message" } else { "status" })
                .opt_attr("from", own.filter(|_| self.class == Class::Message).map(in_form))
                .attr("to", &self.from)
                .opt_attr("participant", self.participant.as_ref().map(in_form))
                .opt_attr("type", kind)
                .opt_attr("recipient", self.recipient.as_ref())
                .opt_attr("error", error),
            Class::Receipt => ack
                .attr("to", &self.from)
                .attr("id", &self.id)
                .attr("class", "receipt")
                .opt_attr("type", kind)
                .opt_attr("participant", self.participant.as_ref().filter(|p| **p != self.from).map(in_form))
                .opt_attr("error", error),
            Class::Notification => {
                let to = match self.form {
                    NotificationForm { to_server: true, .. } => Jid::service(),
                    NotificationForm { device_form: true, .. } => self.from.in_device_form(),
                    _ => self.from.clone(),
                };
                ack.attr("id", &self.id)
                    .attr("class", "notification")
                    .opt_attr("type", kind)
                    .attr("to", to)
                    .opt_attr("participant", self.participant.as_ref().filter(|_| self.form.with_participant))
                    .opt_attr("error", error)
            }
            Class::Call => ack
                .attr("id", &self.id)
                .attr("class", "call")
                .opt_attr("type", kind)
                .attr("to", &self.from)
                .opt_attr("error", error),
        }
    }
}

/// The refusal of a top-level stanza of unknown kind; `None` without id and sender: it can't be answered.
#[must_use]
pub fn unrecognized<'n>(stanza: impl Element<'n>) -> Option<Node> {
    let id = stanza.text("id").filter(|id| !id.is_empty())?.into_owned();
    let ack = Node::new("ack")
        .attr("id", id)
        .attr("class", stanza.name().to_owned())
        .opt_attr("type", stanza.text("type").map(|kind| kind.into_owned()))
        .attr("to", stanza.address("from")?);
    Some(ack.attr("error", Nack::UnrecognizedStanza as u16))
}

fn notification_form<'n>(stanza: impl Element<'n>) -> NotificationForm {
    let kind = stanza.text("type").unwrap_or_default();
    let identity = stanza.child("identity").is_some();
    NotificationForm {
        without_type: matches!(&*kind, "encrypt" | "devices"),
        to_server: match &*kind {
            "server_sync" | "companion_reg_refresh" => true,
            "encrypt" => !identity,
            _ => false,
        },
        with_participant: matches!(&*kind, "w:gp2" | "mediaretry" | "psa"),
        device_form: kind == "encrypt" && identity,
    }
}

/// The server's answer to a message or receipt of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAck {
    /// `message`, `receipt`, …
    pub class: String,
    /// The id of what is acked.
    pub id: String,
    /// Where it went.
    pub from: Option<Jid>,
    /// The server's time, Unix seconds: the time of the message.
    pub t: Option<u64>,
    /// Our set of devices was stale (05a §12).
    pub phash: Option<String>,
    /// The number of a newsletter message.
    pub server_id: Option<u64>,
    /// The namespace of a group.
    pub addressing_mode: Option<String>,
    /// How many receivers a group message has.
    pub count: Option<u64>,
    /// The LID that we hold for `from` is stale.
    pub refresh_lid: bool,
    /// The privacy setting `readreceipts`, changed elsewhere.
    pub read_receipts: Option<String>,
    /// Refused with this code.
    pub error: Option<u16>,
    /// Refused for so long, in seconds.
    pub backoff: Option<u64>,
}

impl ServerAck {
    /// Reads an `<ack>`.
    ///
    /// # Errors
    /// Without `id`, or with an `error` that is no number: what it answers is unknown.
    pub fn parse<'n>(ack: impl Element<'n>) -> Result<Self, Malformed> {
        let text = |key| ack.text(key).map(|text| text.into_owned());
        let error = match ack.text("error") {
            None => ErrorInfo::of(ack).map(|error| error.code),
            Some(code) => Some(code.parse().map_err(|_| Malformed("error"))?),
        };
        Ok(Self {
            class: text("class").unwrap_or_default(),
            id: ack.need("id")?.into_owned(),
            from: ack.address("from"),
            t: ack.number("t"),
            phash: text("phash"),
            server_id: ack.number("server_id"),
            addressing_mode: text("addressing_mode"),
            count: ack.number("count"),
            refresh_lid: ack.says("refresh_lid", "true"),
            read_receipts: text("readreceipts"),
            error,
            backoff: ack.number("backoff"),
        })
    }
}
