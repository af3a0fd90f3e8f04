//! Accounts and their devices: the data of the world (09 §2). Not: what happens to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::connection::ConnectionId;
use super::iq::Picture;
use super::keys::KeySet;
use super::queue::Queue;
use super::tracked::{Log, Tracked};
use crate::clock::UnixMillis;
use crate::crypto::{PublicKey, sha256};
use crate::signal::adv::key_index;
use crate::sim::config::Profile;
use crate::sim::seam::{InboxItem, Phone};
use crate::sim::seed::SimRng;
use crate::wire::{Jid, Node, Server};

/// Which of an account's two addresses is meant (03 §14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Namespace {
    /// `number@s.whatsapp.net`.
    Pn,
    /// `id@lid`.
    Lid,
}

impl Namespace {
    /// The form of a user's or a device's address.
    pub(crate) fn of(jid: &Jid) -> Self {
        if matches!(jid.server(), Server::Lid | Server::HostedLid) { Self::Lid } else { Self::Pn }
    }

    /// The attribute value of `addressing_mode`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pn => "pn",
            Self::Lid => "lid",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Pn => Self::Lid,
            Self::Lid => Self::Pn,
        }
    }
}

/// A device of the world, whichever address a stanza used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceRef {
    /// The account's number.
    pub number: String,
    /// 0 is the phone.
    pub device: u16,
}

impl DeviceRef {
    pub(crate) fn new(number: &str, device: u16) -> Self {
        Self { number: number.to_owned(), device }
    }
}

/// A ban (09 §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// 402, 403 or 406.
    pub reason: u16,
    /// 402 only: 101 to 106.
    pub code: u16,
    /// 402 only: seconds from the login on.
    pub expire: u64,
}

/// One user.
pub(crate) struct Account {
    /// Asked for to be changed since the state was written last.
    pub touched: bool,
    pub number: String,
    pub pn: Jid,
    pub lid: Jid,
    pub push_name: String,
    pub about: String,
    pub picture: Option<Picture>,
    /// The timer of new chats: seconds, and when it was set (Unix seconds).
    pub default_timer: (u64, i64),
    pub profile: Option<Profile>,
    pub companions_max: usize,
    pub business: bool,
    pub restricted: bool,
    pub platform: String,
    pub abprops: BTreeMap<String, String>,
    pub privacy: BTreeMap<String, String>,
    /// LIDs.
    pub blocked: BTreeSet<String>,
    pub ban: Option<Ban>,
    /// When a rule's ban ends by itself.
    pub ban_until: Option<UnixMillis>,
    pub phone: Tracked<Box<dyn Phone>>,
    pub phone_rng: SimRng,
    pub phone_online: bool,
    /// How far the phone's clock is ahead, seconds (09 §20 row 12).
    pub phone_clock_offset_s: i64,
    pub devices: BTreeMap<u16, Device>,
    /// Ids are never given twice.
    pub next_device: u16,
    /// The phone's last signed key-index list.
    pub key_index_list: Option<SignedList>,
    /// Accounts that share a chat, and the form in which this account last addressed them.
    pub contacts: BTreeMap<String, Namespace>,
    pub inbox: Log<InboxItem>,
    pub outbox: Log<OutboxItem>,
    /// Times of code hellos for this number, milliseconds.
    pub code_hellos: Vec<UnixMillis>,
    /// `available` of any device, for contacts.
    pub available: bool,
    pub last_seen: UnixMillis,
    /// App-state collections and their versions.
    pub collections: BTreeMap<String, u64>,
    /// Privacy tokens that this account issued, by holder: the bytes and when.
    pub tokens: BTreeMap<String, (Vec<u8>, UnixMillis)>,
}

/// The phone's signed list of key indexes (02 §6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedList {
    pub ts: String,
    pub bytes: Vec<u8>,
}

/// One message of a phone and what came of it (09 §21 `outbox`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// The message's id.
    pub id: String,
    /// The chat, text form.
    pub to: String,
    /// When it was sent, Unix seconds.
    pub t: i64,
    /// The devices it was encrypted for, text form.
    pub targets: Vec<String>,
    /// The server's answer.
    pub ack: Option<OutboxAck>,
    /// Receipts in order of arrival.
    pub receipts: Vec<OutboxReceipt>,
    /// Retry receipts in order of arrival.
    pub retries: Vec<OutboxRetry>,
}

/// The server's ack for a phone's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxAck {
    /// Unix seconds.
    pub t: i64,
    /// The error code, when refused.
    pub error: Option<String>,
}

/// One receipt for a phone's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxReceipt {
    /// The device, text form.
    pub device: String,
    /// `delivered`, `read`, `played` …
    #[serde(rename = "type")]
    pub kind: String,
    /// Unix seconds.
    pub t: i64,
}

/// One retry receipt for a phone's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRetry {
    /// The device, text form.
    pub device: String,
    /// Its count.
    pub count: u32,
    /// Unix seconds.
    pub t: i64,
}

/// What a companion was paired with; absent at device 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pairing {
    pub noise: [u8; 32],
    pub registration: u32,
    pub identity: [u8; 32],
    pub key_index: u32,
    /// The `ADVSignedDeviceIdentity` of pair-device-sign, as it came.
    pub signed_identity: Vec<u8>,
    pub account_key: [u8; 32],
    pub os: String,
    pub platform_type: i32,
    pub paired_ms: UnixMillis,
}

/// One device of an account.
#[derive(Debug, Default)]
pub(crate) struct Device {
    pub pairing: Option<Pairing>,
    pub keys: Tracked<Option<KeySet>>,
    pub connection: Option<ConnectionId>,
    pub queue: Queue,
    /// Ids accepted from this device, with what they reached.
    pub accepted: Tracked<BTreeMap<String, AcceptedMessage>>,
    /// The login that pairing owes, and §20 row 3, are done.
    pub welcomed: bool,
    /// A virtual companion: the phone runs it, there is never a connection.
    pub driven: bool,
    /// Chat states that came while it was away, and when.
    pub chatstates: VecDeque<(UnixMillis, Node)>,
    /// What changed while it was away (`<dirty type>`), with Unix seconds.
    pub dirty: BTreeMap<String, i64>,
}

/// A message that was taken from a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AcceptedMessage {
    /// Whether the written state has it as it is.
    #[serde(skip, default = "yes")]
    pub saved: bool,
    pub at_ms: UnixMillis,
    /// The connection that got the ack, none if it was a phone.
    pub connection: Option<ConnectionId>,
    pub targets: BTreeSet<DeviceRef>,
    pub t: i64,
}

fn yes() -> bool {
    true
}

impl Account {
    /// The address of one of its devices.
    pub fn jid(&self, namespace: Namespace, device: u16) -> Jid {
        match namespace {
            Namespace::Pn => self.pn.with_device(device),
            Namespace::Lid => self.lid.with_device(device),
        }
    }

    /// The companions that are linked now.
    pub fn companions(&self) -> impl Iterator<Item = (u16, &Device)> {
        self.devices.iter().filter(|(id, _)| **id != 0).map(|(id, device)| (*id, device))
    }

    /// Device 0, and every companion from its first key upload on, with key index (09 §10.1).
    pub fn listed(&self) -> Vec<(u16, Option<u32>)> {
        let companions = self
            .companions()
            .filter(|(_, device)| device.keys.is_some())
            .map(|(id, device)| (id, device.pairing.as_ref().map(|pairing| pairing.key_index)));
        std::iter::once((0, None)).chain(companions).collect()
    }

    /// The account's identity key, which is device 0's.
    pub fn identity(&self) -> Option<PublicKey> {
        self.devices.get(&0).and_then(|device| device.keys.as_ref()).map(|keys| keys.identity)
    }

    /// Whether a key-index list is signed by the phone.
    pub fn has_signed(&self, list: &SignedList) -> bool {
        let signed = key_index::Signed::parse(&list.bytes);
        signed.is_ok_and(|signed| self.identity().is_some_and(|key| signed.verify(&key).is_ok()))
    }

    /// The hash over the listed devices in one namespace (05a §4).
    pub fn device_hash(&self, namespace: Namespace) -> String {
        device_hash(self.listed().into_iter().map(|(device, _)| self.jid(namespace, device)))
    }
}

/// `2:` and base64 of the first 6 bytes of SHA-256 over the sorted device addresses (05a §4).
pub(crate) fn device_hash(devices: impl IntoIterator<Item = Jid>) -> String {
    use base64::Engine;
    let forms: BTreeSet<String> = devices.into_iter().map(|jid| jid.hash_form()).collect();
    let hash = sha256(forms.into_iter().collect::<String>().as_bytes());
    let (first, _) = hash.split_at(6);
    format!("2:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(first))
}
