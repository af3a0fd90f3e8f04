//! The seam between the server and a phone (09 §20). A phone has no socket: it gets stanzas from the server and
//! hands stanzas to it by function call, in the same form as a companion's, its own IQs and their answers
//! included. It reads no clock and draws chance only from the context.
//!
//! The server calls; whatever the phone has to say goes into [`PhoneContext::out`], in order, and is worked off
//! by the server when the call returns. So a phone never re-enters the server.

use serde::{Deserialize, Serialize};

use super::seed::SimRng;
use crate::clock::UnixMillis;
use crate::stanza::judge::payload::Envelope;
use crate::wire::{Jid, Node};

/// Who a phone is. The keys come from [`PhoneContext::rng`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneSetup {
    /// The number, digits only.
    pub number: String,
    /// `number@s.whatsapp.net`.
    pub pn: Jid,
    /// The account's LID.
    pub lid: Jid,
    /// The account's push name.
    pub push_name: String,
    /// `android`, `iphone`, `smba`, `smbi`.
    pub platform: String,
}

/// What a phone may use while it handles a call.
#[derive(Debug)]
pub struct PhoneContext<'a> {
    /// The world's time.
    pub now_ms: UnixMillis,
    /// How far the phone's own clock is ahead of it, seconds (09 §20 row 12).
    pub clock_offset_s: i64,
    /// The phone's own stream of the world's seed.
    pub rng: &'a mut SimRng,
    /// What the phone sends and reports, in order.
    pub out: &'a mut Vec<FromPhone>,
}

impl PhoneContext<'_> {
    /// The world's time, Unix seconds.
    #[must_use]
    pub fn now_s(&self) -> i64 {
        self.now_ms.div_euclid(1000)
    }

    /// What the phone's own clock shows, Unix seconds: it dates the key index list and signed devices.
    #[must_use]
    pub fn shown_s(&self) -> i64 {
        self.now_s().saturating_add(self.clock_offset_s)
    }

    /// Hands a stanza to the server.
    pub fn send(&mut self, stanza: Node) {
        self.out.push(FromPhone::Stanza(stanza));
    }

    /// Tells the admin side what happened.
    pub fn report(&mut self, event: PhoneEvent) {
        self.out.push(FromPhone::Event(event));
    }
}

/// What comes out of a phone.
#[derive(Debug, Clone)]
pub enum FromPhone {
    /// A stanza to the server, as from device 0 of the account.
    Stanza(Node),
    /// A stanza to the server from a virtual companion.
    StanzaOf {
        /// The companion.
        device: u16,
        /// What it sends.
        stanza: Node,
    },
    /// A fact for the admin API.
    Event(PhoneEvent),
}

/// A phone, as the server sees it.
pub trait Phone: Send {
    /// Called once after the account was made: makes the keys and uploads them (`encrypt` set, as a companion
    /// does; 09 §9 device 0).
    fn start(&mut self, context: &mut PhoneContext<'_>);

    /// A stanza from the server: IQ results, notifications, messages, receipts, acks. While the phone is off the
    /// server queues them. What is queued leaves the queue with this call, whatever the phone answers.
    fn receive(&mut self, context: &mut PhoneContext<'_>, stanza: &Node);

    /// A stanza for a virtual companion of this phone.
    fn receive_for(&mut self, context: &mut PhoneContext<'_>, device: u16, stanza: &Node);

    /// A new companion has logged in, is active and has uploaded keys: §20 row 3 (key share, history).
    fn welcome(&mut self, context: &mut PhoneContext<'_>, device: u16);

    /// An order of the person who holds the phone.
    ///
    /// # Errors
    /// [`PhoneError`] when the order can't even be begun; later failures are events.
    fn command(&mut self, context: &mut PhoneContext<'_>, command: PhoneCommand) -> Result<(), PhoneError>;

    /// The phone's whole state, for `--state`.
    fn snapshot(&self) -> serde_json::Value;
}

/// What a person does with a phone. `op` is the admin call's number; the events that answer it carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneCommand {
    /// §20 row 2. Ends in [`PhoneEvent::Paired`] or [`PhoneEvent::PairFailed`].
    ScanQr {
        /// The call.
        op: u64,
        /// The QR's text.
        qr: String,
        /// A planted fault.
        corrupt: Option<Corrupt>,
    },
    /// §20 row 2, by code: the parked `companion_hello` is answered. Ends as [`PhoneCommand::ScanQr`].
    EnterCode {
        /// The call.
        op: u64,
        /// The eight characters, dash and case as typed.
        code: String,
        /// A planted fault.
        corrupt: Option<Corrupt>,
    },
    /// §20 row 6. Ends in [`PhoneEvent::Sent`] or [`PhoneEvent::SendFailed`].
    Send {
        /// The call.
        op: u64,
        /// The chat: a bare user or a group, PN or LID form.
        to: Jid,
        /// What is sent.
        content: PhoneContent,
        /// The message id, made by the phone when absent.
        id: Option<String>,
        /// Who sends: 0 for the phone, or a virtual companion.
        device: u16,
    },
    /// A virtual companion: a device with keys of its own that the phone runs. It is signed, reported by
    /// [`PhoneEvent::VirtualDevice`], and uploads its keys.
    AddDevice {
        /// The number that the server gave it.
        device: u16,
    },
    /// A receipt for messages that the phone got. `kind`: `delivered`, `read`, `played` or `retry`.
    Receipt {
        /// Message ids.
        ids: Vec<String>,
        /// The chat.
        chat: Jid,
        /// The receipt's type.
        kind: String,
        /// The author, in groups.
        participant: Option<Jid>,
    },
    /// `<presence>`; `kind`: `available`, `unavailable`, `subscribe`, `unsubscribe`.
    Presence {
        /// The presence's type.
        kind: String,
        /// Of whom, for subscriptions.
        to: Option<Jid>,
    },
    /// `<chatstate>`; `state`: `composing`, `recording`, `paused`.
    Chatstate {
        /// The chat.
        to: Jid,
        /// The state.
        state: String,
    },
    /// §20 row 8: the `remove-companion-device` IQ, then the new signed key-index list.
    Unlink {
        /// One companion, or all of them.
        device: Option<u16>,
    },
    /// §20 row 7: new identity, `rawId`, registration id and keys; uploads them. The server has unlinked all
    /// companions before.
    Reinstall,
    /// A call: `action` is `offer` or `terminate`.
    Call {
        /// Whom.
        to: Jid,
        /// The call's id.
        call_id: String,
        /// `offer` or `terminate`.
        action: String,
        /// With pictures.
        video: bool,
        /// Why it ends.
        reason: Option<String>,
    },
    /// A new key of the app state, shared with all companions (§20 row 4).
    RotateAppKey,
    /// A new push name.
    PushName {
        /// The name.
        name: String,
    },
    /// Forgets the Signal session with one remote device, so that its next message fails to open.
    DropSession {
        /// The device, PN or LID form.
        device: Jid,
    },
    /// The companion was unlinked by itself or by the server (§20 row 9): drop its key index, publish a new list.
    CompanionGone {
        /// The device.
        device: u16,
    },
}

/// What a phone can be told to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneContent {
    /// A text.
    Text(String),
    /// Any `Message`, serialised.
    Message(Vec<u8>),
    /// A reaction to a message id; the empty text removes it.
    React {
        /// The message.
        id: String,
        /// The emoji.
        emoji: String,
    },
    /// New text for an own message.
    Edit {
        /// The message.
        id: String,
        /// The text.
        text: String,
    },
    /// Takes a message back.
    Revoke {
        /// The message.
        id: String,
        /// Who must have written it, where an admin takes back another's.
        author: Option<Jid>,
    },
    /// A text that quotes a message.
    Quote {
        /// The text.
        text: String,
        /// The message quoted.
        id: String,
    },
    /// A question with answers to choose from.
    Poll {
        /// The question.
        name: String,
        /// The answers.
        options: Vec<String>,
        /// How many may be chosen; 0 is any.
        selectable: u32,
    },
}

/// The planted faults of pairing (09 §20 row 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Corrupt {
    /// The container's HMAC is wrong.
    Hmac,
    /// The account signature is wrong.
    AccountSig,
    /// The key index is missing.
    KeyIndex,
    /// The account signature covers another companion identity.
    Identity,
}

/// An order that can't be begun. The names are the admin API's error codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Not a QR text of 02 §4.
    #[error("bad-qr")]
    BadQr,
    /// No code pairing is waiting, or the text is no code.
    #[error("bad-code")]
    BadCode,
    /// Four companions are linked already.
    #[error("companion-limit")]
    CompanionLimit,
    /// The phone is switched off.
    #[error("phone-offline")]
    PhoneOffline,
    /// Unknown message, device or receipt type.
    #[error("{0}")]
    Unknown(String),
}

/// A fact that the admin API shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneEvent {
    /// Pairing is complete.
    Paired {
        /// The call.
        op: u64,
        /// The new device's JID, PN form.
        jid: Jid,
    },
    /// Pairing failed; `code` is the admin error code or the number that the server gave.
    PairFailed {
        /// The call.
        op: u64,
        /// `ref-unknown`, `bad-code`, `device-error`, `timeout`, or the IQ error's code.
        code: String,
        /// The IQ error's text.
        text: String,
    },
    /// A virtual companion is made; what a real one would have said in its pairing.
    VirtualDevice {
        /// Its number.
        device: u16,
        /// Its registration id.
        registration: u32,
        /// Its identity key.
        identity: [u8; 32],
        /// Its key index.
        key_index: u32,
        /// Its signed identity, with the account's key.
        signed_identity: Vec<u8>,
        /// The account's key.
        account_key: [u8; 32],
    },
    /// A message has been handed to the server.
    Sent {
        /// The call.
        op: u64,
        /// Its id.
        id: String,
        /// The chat.
        to: Jid,
        /// The devices that it was encrypted for.
        targets: Vec<Jid>,
    },
    /// A message could not be sent.
    SendFailed {
        /// The call.
        op: u64,
        /// Why.
        reason: String,
    },
    /// A message reached the phone.
    Inbox(Box<InboxItem>),
    /// A ciphertext was opened: what is inside is judged by the server (09 §23.1).
    Opened(Box<OpenedMessage>),
    /// The server's ack for a message of the phone.
    Acked {
        /// The message.
        id: String,
        /// The ack's error code.
        error: Option<String>,
    },
    /// A receipt for a message of the phone; `kind` is `delivered` where the receipt has no type.
    Receipt {
        /// The message.
        id: String,
        /// The device that sent it.
        device: Jid,
        /// The receipt's type.
        kind: String,
    },
    /// A retry receipt for a message of the phone.
    Retry {
        /// The message.
        id: String,
        /// The device that asks.
        device: Jid,
        /// The count.
        count: u32,
    },
    /// The phone saw a client's fault that only it can see (R15).
    Violation {
        /// The client.
        device: Jid,
        /// The code of 09 §23.
        code: &'static str,
        /// What was seen.
        detail: String,
    },
}

/// What was inside a ciphertext.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedMessage {
    /// The device that opened it: 0 for the phone, or a virtual companion.
    pub by: u16,
    /// The sending device.
    pub sender: Jid,
    /// The message's id.
    pub id: String,
    /// The serialised `Message` with its padding.
    pub padded: Vec<u8>,
    /// What was around it; the chat in the form in which it came.
    pub envelope: Envelope,
}

impl std::fmt::Debug for OpenedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedMessage").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One message as the phone read it (09 §21 `inbox`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxItem {
    /// The message's id.
    pub id: String,
    /// The chat, text form.
    pub chat: String,
    /// The author's bare JID, text form.
    pub from: String,
    /// The author's device.
    pub device: u16,
    /// The server's time, Unix seconds.
    pub t: i64,
    /// The content field's name, such as `conversation`; `undecryptable` when it did not open.
    pub kind: String,
    /// The text, where there is one.
    pub text: Option<String>,
    /// The `Message`, serialised, wrapper included.
    #[serde(with = "hex_bytes")]
    pub message: Vec<u8>,
    /// `msg`, `pkmsg` or `skmsg`.
    pub enc_type: String,
    /// Whether it opened.
    pub decrypt_ok: bool,
    /// Whether this is a copy of a message that an own companion sent.
    pub own_copy: bool,
    /// The receipts that the phone has sent for it, by type.
    #[serde(default)]
    pub receipts_sent: Vec<String>,
}

mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
