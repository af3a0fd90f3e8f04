//! Reading `<message>` (05b §1) and saying whose it is (05b §2). Opening what is inside is not here.

use std::borrow::Cow;

use super::element::{Element, Malformed};
use super::message_id;
use super::outgoing::{Addressing, Cipher};
use crate::wire::{Jid, Server};

/// The own addresses, with device.
#[derive(Debug, Clone, Copy)]
pub struct Own<'j> {
    /// By phone number.
    pub pn: &'j Jid,
    /// By hidden id, once it is known.
    pub lid: Option<&'j Jid>,
}

impl Own<'_> {
    /// Whether this is an own address, of any device.
    #[must_use]
    pub fn is(&self, jid: &Jid) -> bool {
        jid.same_user(self.pn) || self.lid.is_some_and(|lid| jid.same_user(lid))
    }

    /// Whether this is this very device.
    #[must_use]
    pub fn is_this_device(&self, jid: &Jid) -> bool {
        self.is(jid) && jid.device() == self.pn.device()
    }
}

/// A ciphertext of a received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enc<'n> {
    /// How it was made; `None`: a kind that we don't know.
    pub cipher: Option<Cipher>,
    /// `v`.
    pub version: Option<u64>,
    /// The bytes; empty: the mark of a direct group message.
    pub ciphertext: Cow<'n, [u8]>,
    /// `mediatype`.
    pub media: Option<String>,
    /// Show nothing if it can't be opened.
    pub hide: bool,
    /// Which retry it answers.
    pub count: u32,
}

/// The server withheld the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// `type`.
    pub kind: Option<String>,
    /// `hosted`.
    pub hosted: bool,
}

/// `<meta>` of a received message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// The message that a bot answers.
    pub target_id: Option<String>,
    /// Its sender.
    pub target_sender: Option<Jid>,
    /// Its chat.
    pub target_chat: Option<Jid>,
    /// `polltype`.
    pub poll_type: Option<String>,
    /// `event_type`.
    pub event_type: Option<String>,
    /// The message that a thread hangs on.
    pub thread_id: Option<String>,
    /// Its sender.
    pub thread_sender: Option<Jid>,
    /// `appdata`.
    pub appdata: Option<String>,
    /// `content_type`.
    pub content_type: Option<String>,
    /// When a newsletter message was edited, milliseconds.
    pub edited_ms: Option<u64>,
    /// When its original was sent, seconds.
    pub original_t: Option<u64>,
    /// `deprecated_lid_session`.
    pub deprecated_lid_session: bool,
}

/// A received message. Borrows its ciphertexts from the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming<'n> {
    /// Its id.
    pub id: String,
    /// As it came: receipts go here.
    pub from: Jid,
    /// The sender's device in groups and broadcasts.
    pub participant: Option<Jid>,
    /// The chat, of copies of own messages.
    pub recipient: Option<Jid>,
    /// The server's time, Unix seconds.
    pub t: Option<u64>,
    /// `type`.
    pub kind: Option<String>,
    /// The sender's name.
    pub push_name: Option<String>,
    /// Present when it comes from the offline queue.
    pub offline: Option<String>,
    /// `edit`, unknown values too.
    pub edit: Option<String>,
    /// `category`; `peer`: from an own device, for this one.
    pub category: Option<String>,
    /// The namespace of a group.
    pub addressing: Option<Addressing>,
    /// The number of a newsletter message.
    pub server_id: Option<u64>,
    /// Other addresses of the sender, as they came.
    sender_others: Vec<Jid>,
    /// Other addresses of the recipient, as they came.
    recipient_others: Vec<Jid>,
    /// The user name of the sender.
    pub username: Option<String>,
    /// The ciphertexts for this device, in order.
    pub encs: Vec<Enc<'n>>,
    /// Not encrypted: a newsletter's Message.
    pub plaintext: Option<Cow<'n, [u8]>>,
    /// The content was withheld.
    pub unavailable: Option<Unavailable>,
    /// The sender's `ADVSignedDeviceIdentity`.
    pub device_identity: Option<Cow<'n, [u8]>>,
    /// The certificate of a business name.
    pub verified_name: Option<Cow<'n, [u8]>>,
    /// `<meta>`.
    pub meta: Meta,
    /// There is a `<bot>`: `edit` of it, and the message that it edits.
    pub bot_edit: Option<(Option<String>, Option<String>)>,
    /// The tag by which a receiver may check the reporting token.
    pub reporting_tag: Option<Cow<'n, [u8]>>,
}

impl<'n> Incoming<'n> {
    /// Reads a `<message>`, or a `<status>` that is parsed like one. `own` selects among ciphertexts for several
    /// devices.
    ///
    /// # Errors
    /// Without a good `id` or `from`, or with an address that is none: nack 487.
    pub fn parse(message: impl Element<'n>, own: Own<'_>) -> Result<Self, Malformed> {
        let text = |key| message.text(key).map(|text| text.into_owned());
        let others = |keys: &[&str]| keys.iter().filter_map(|key| message.address(key)).collect();
        let content = |tag| message.child(tag).and_then(Element::content);
        let id = message.need("id")?.into_owned();
        if !message_id::is_acceptable(&id) {
            return Err(Malformed("id"));
        }
        let unavailable = message.child("unavailable").map(|node| Unavailable {
            kind: node.text("type").map(|kind| kind.into_owned()),
            hosted: node.says("hosted", "true") || node.says("hosted", "1"),
        });
        let bot = message.child("bot");
        Ok(Self {
            id,
            from: message.need_address("from")?,
            participant: message.maybe_address("participant")?,
            recipient: message.maybe_address("recipient")?,
            t: message.number("t"),
            kind: text("type"),
            push_name: text("notify").filter(|name| name != "-"),
            offline: text("offline"),
            edit: text("edit"),
            category: text("category"),
            addressing: message.text("addressing_mode").and_then(|mode| Addressing::of(&mode)),
            server_id: message.number("server_id"),
            sender_others: others(&["sender_lid", "sender_pn", "participant_lid", "participant_pn"]),
            recipient_others: others(&[
                "peer_recipient_lid",
                "peer_recipient_pn",
                "recipient_lid",
                "recipient_pn",
            ]),
            username: text("participant_username"),
            encs: encs(message, own),
            plaintext: content("plaintext"),
            unavailable,
            device_identity: content("device-identity"),
            verified_name: content("verified_name"),
            meta: message.child("meta").map(meta).unwrap_or_default(),
            bot_edit: bot.map(|bot| {
                let text = |key| bot.text(key).map(|text| text.into_owned());
                (text("edit"), text("edit_target_id"))
            }),
            reporting_tag: message
                .child("reporting")
                .and_then(|reporting| reporting.child("reporting_tag"))
                .and_then(Element::content),
        })
    }

    /// A peer message: from an own device, for this one.
    #[must_use]
    pub fn is_peer(&self) -> bool {
        self.category.as_deref() == Some("peer")
    }
}

/// The ciphertexts directly inside, then those addressed to this device.
fn encs<'n>(message: impl Element<'n>, own: Own<'_>) -> Vec<Enc<'n>> {
    let mut encs: Vec<_> = message.each_of("enc").map(enc).collect();
    let fanout = message.child("participants");
    let targets = fanout.into_iter().flat_map(|participants| participants.each_of("to").collect::<Vec<_>>());
    for target in targets {
        if target.address("jid").is_some_and(|jid| own.is_this_device(&jid)) {
            encs.extend(target.each_of("enc").map(enc));
        }
    }
    encs
}

fn enc<'n>(node: impl Element<'n>) -> Enc<'n> {
    Enc {
        cipher: node.text("type").and_then(|kind| Cipher::of(&kind)),
        version: node.number("v"),
        ciphertext: node.content().unwrap_or_default(),
        media: node.text("mediatype").map(|media| media.into_owned()),
        hide: node.says("decrypt-fail", "hide"),
        count: node.number("count").and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
    }
}

fn meta<'n>(node: impl Element<'n>) -> Meta {
    let text = |key| node.text(key).map(|text| text.into_owned());
    Meta {
        target_id: text("target_id"),
        target_sender: node.address("target_sender_jid"),
        target_chat: node.address("target_chat_jid"),
        poll_type: text("polltype"),
        event_type: text("event_type"),
        thread_id: text("thread_msg_id"),
        thread_sender: node.address("thread_msg_sender_jid"),
        appdata: text("appdata"),
        content_type: text("content_type"),
        edited_ms: node.number("msg_edit_t"),
        original_t: node.number("original_msg_t"),
        deprecated_lid_session: node.says("deprecated_lid_session", "true"),
    }
}

/// What kind of chat a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chat {
    /// One user.
    Direct,
    /// A group.
    Group,
    /// Status updates.
    Status,
    /// Another broadcast list.
    Broadcast,
    /// A channel.
    Newsletter,
    /// A bot.
    Bot,
}

/// Whose a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The kind of chat.
    pub kind: Chat,
    /// The chat, without device.
    pub chat: Jid,
    /// The sender's device, hosted servers mapped to the user's.
    pub sender: Jid,
    /// The sender's device as it came: Signal's address, and where a receipt names it.
    pub device: Jid,
    /// An own device sent it.
    pub from_me: bool,
    /// The sender's address in the other namespace, as it came.
    pub sender_alt: Option<Jid>,
    /// The recipient's address in the other namespace, as it came.
    pub recipient_alt: Option<Jid>,
}

impl Source {
    /// Whose this message is.
    ///
    /// # Errors
    /// A group message without participant, or a recipient on somebody else's message (spoofed): nack 487.
    pub fn of(message: &Incoming<'_>, own: Own<'_>) -> Result<Self, Malformed> {
        let from = &message.from;
        let author = || message.participant.clone().ok_or(Malformed("participant"));
        let (kind, chat, device) = match from.server() {
            Server::Group => (Chat::Group, from.clone(), author()?),
            Server::Broadcast if from.is_status() => (Chat::Status, from.clone(), author()?),
            Server::Broadcast => (Chat::Broadcast, from.clone(), author()?),
            Server::Newsletter => (Chat::Newsletter, from.clone(), from.clone()),
            _ if own.is(from) => {
                let chat = message.recipient.as_ref().unwrap_or(from);
                let kind = if chat.is_bot() { Chat::Bot } else { Chat::Direct };
                (kind, chat.to_user(), from.clone())
            }
            _ if from.is_bot() => {
                let chat = message.meta.target_chat.as_ref().unwrap_or(from);
                (Chat::Bot, chat.to_user(), from.clone())
            }
            _ => match &message.recipient {
                Some(recipient) if !recipient.is_bot() => return Err(Malformed("recipient")),
                _ => (Chat::Direct, from.to_user(), from.clone()),
            },
        };
        let sender = device.to_user().with_device(device.device());
        Ok(Self {
            from_me: own.is(&device),
            sender_alt: opposite(&device, &message.sender_others),
            recipient_alt: opposite(&chat, &message.recipient_others),
            kind,
            chat,
            sender,
            device,
        })
    }

    /// The sender's address in the other namespace, with the sender's device.
    #[must_use]
    pub fn sender_alt_device(&self) -> Option<Jid> {
        let alt = self.sender_alt.as_ref()?;
        Some(if alt.device() == 0 { alt.with_device(self.device.device()) } else { alt.clone() })
    }

    /// The pairs of PN and LID that the server states here, bare.
    pub fn mappings(&self) -> impl Iterator<Item = (Jid, Jid)> {
        let pairs = [(&self.sender, &self.sender_alt), (&self.chat, &self.recipient_alt)];
        pairs.into_iter().filter_map(|(one, other)| {
            let (one, other) = (one.to_user(), other.as_ref()?.to_user());
            if one.is_pn() { Some((one, other)) } else { Some((other, one)) }
        })
    }
}

/// The one of the other namespace, if `jid` is a user.
fn opposite(jid: &Jid, others: &[Jid]) -> Option<Jid> {
    let fits = |other: &&Jid| (jid.is_pn() && other.is_lid()) || (jid.is_lid() && other.is_pn());
    others.iter().find(fits).cloned()
}
