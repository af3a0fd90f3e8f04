//! What admin calls take and give (09 §21 "Shapes").

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::clock::UnixMillis;
use crate::sim::config::{FailOn, Profile};
use crate::sim::seam::PhoneError;
use crate::sim::shapes::StanzaTable;
use crate::sim::world::Refusal;

/// A call that failed. `code` is one of the admin API's error codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AdminError {
    /// Such as `bad-qr`, `ref-expired`, `companion-limit`, `not-found`.
    pub code: String,
    /// What happened, in words.
    pub message: String,
    /// With `cooldown`: after how many seconds it may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<i64>,
}

impl AdminError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), retry_after_s: None }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        let code = if refusal.code == 404 { "not-found" } else { refusal.text };
        Self::new(code, format!("the server answered {}", refusal.code))
    }

    pub(crate) fn no_account(number: &str) -> Self {
        Self::new("not-found", format!("there is no account {number}"))
    }
}

impl From<PhoneError> for AdminError {
    fn from(error: PhoneError) -> Self {
        let (code, message) = match error {
            PhoneError::BadQr => ("bad-qr", "the text is no QR of 02 §4".to_owned()),
            PhoneError::BadCode => {
                ("bad-code", "no code pairing waits for this, or it is no code".to_owned())
            }
            PhoneError::CompanionLimit => ("companion-limit", "the account has its companions".to_owned()),
            PhoneError::PhoneOffline => ("phone-offline", "the phone is switched off".to_owned()),
            PhoneError::Unknown(what) => ("not-found", what),
        };
        Self::new(code, message)
    }
}

/// What runs, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Info {
    /// The simulator's version.
    pub version: String,
    /// Chat over plain WebSocket.
    pub chat: Option<SocketAddr>,
    /// Chat over TLS.
    pub chat_tls: Option<SocketAddr>,
    /// The CONNECT proxy.
    pub proxy: Option<SocketAddr>,
    /// The admin API.
    pub admin: Option<SocketAddr>,
    /// The root key that clients must trust, 64 hexadecimal digits.
    pub root_key: String,
    /// The serial number that belongs to the root key; some clients want both.
    pub root_serial: u32,
    /// The CA's PEM file, where there is one.
    pub ca_path: Option<PathBuf>,
    /// SHA-256 of the CA certificate.
    pub ca_fingerprint: String,
    /// The world's seed.
    pub seed: u64,
    /// `real` or `virtual`.
    pub clock: &'static str,
    /// The run's profile.
    pub profile: Profile,
    /// Which violations make the exit code 1.
    pub fail_on: FailOn,
    /// The table that stanzas are judged by.
    pub stanza_table: Option<StanzaTable>,
}

/// An account and everything about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountInfo {
    /// The number, digits.
    pub number: String,
    /// The LID, text form.
    pub lid: String,
    /// The push name.
    pub push_name: String,
    /// The about text.
    pub about: String,
    /// The id of the picture, where there is one.
    pub picture_id: Option<String>,
    /// What it is judged by, where it differs from the run's.
    pub profile: Option<Profile>,
    /// Whether it demands tokens.
    pub restricted: bool,
    /// Whether it is a business account.
    pub business: bool,
    /// Privacy settings that differ from the defaults.
    pub privacy: BTreeMap<String, String>,
    /// Blocked LIDs.
    pub blocked: Vec<String>,
    /// The phone.
    pub phone: PhoneInfo,
    /// The linked companions.
    pub devices: Vec<DeviceInfo>,
    /// The groups it is a member of.
    pub groups: Vec<String>,
    /// App-state versions.
    pub appstate: BTreeMap<String, u64>,
}

/// A phone's switches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhoneInfo {
    /// Whether it is on.
    pub online: bool,
    /// Its platform, such as `android`.
    pub platform: String,
    /// How far its clock is ahead, seconds.
    pub clock_offset_s: i64,
}

/// A linked companion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// The device's number.
    pub device: u16,
    /// Its PN address.
    pub jid: String,
    /// Its LID address.
    pub lid: String,
    /// Its key index.
    pub key_index: u32,
    /// `os` of its DeviceProps.
    pub os: String,
    /// `platformType` of its DeviceProps.
    pub platform: i32,
    /// When it was paired, milliseconds of the world's clock; Unix seconds as text in JSON.
    #[serde(rename = "paired_at", serialize_with = "seconds")]
    pub paired_at_ms: UnixMillis,
    /// Its live connection; text in JSON.
    #[serde(serialize_with = "optional_id")]
    pub connection: Option<u64>,
    /// Stanzas that wait for it or for its answer.
    pub queue: usize,
    /// Unused one-time prekeys; none before the first upload.
    pub prekeys: Option<usize>,
    /// Whether the phone runs it.
    #[serde(rename = "virtual")]
    pub driven: bool,
}

/// A completed pairing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Linked {
    /// The new device's number.
    pub device: u16,
    /// Its PN address.
    pub jid: String,
    /// Its LID address.
    pub lid: String,
}

/// A message that a phone has sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Its id.
    pub id: String,
    /// The devices it was encrypted for.
    pub targets: Vec<String>,
}

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kick {
    /// Closed in order.
    Close,
    /// Dropped without a word.
    Reset,
    /// Silent, but open.
    Halfopen,
    /// `<stream:error code>`.
    StreamError,
    /// `<xmlstreamend/>`.
    Xmlstreamend,
    /// `<conflict type="replaced"/>`.
    Replaced,
}

/// A live connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionInfo {
    /// Its number; text in JSON.
    #[serde(serialize_with = "id")]
    pub id: u64,
    /// The account, once logged in.
    pub account: Option<String>,
    /// The device, once logged in.
    pub device: Option<u16>,
    /// `handshake`, `registering`, `passive`, `active`, `closing`.
    pub state: &'static str,
    /// Where it comes from.
    pub source: String,
    /// The `Origin` header.
    pub origin: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// How its Noise handshake went: `xx`, `ik`, `xx-fallback`; none while it is under way.
    pub handshake: Option<&'static str>,
    /// The client's version.
    pub version: Option<String>,
    /// The ClientPayload as proto JSON, once it has come.
    pub payload: Option<serde_json::Value>,
    /// When it was opened, milliseconds; Unix seconds as text in JSON.
    #[serde(rename = "opened_at", serialize_with = "seconds")]
    pub opened_at_ms: UnixMillis,
    /// Stanzas from the client.
    pub stanzas_in: u64,
    /// Stanzas to the client.
    pub stanzas_out: u64,
    /// Bytes of frames from the client.
    pub bytes_in: u64,
    /// Bytes of frames to the client.
    pub bytes_out: u64,
    /// When something came last, milliseconds; Unix seconds as text in JSON.
    #[serde(rename = "last_in_at", serialize_with = "seconds")]
    pub last_in_at_ms: UnixMillis,
    /// The tag of the last stanza from the client.
    pub last_in: Option<String>,
    /// The tag of the last stanza to the client.
    pub last_out: Option<String>,
}

fn id<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn optional_id<S: Serializer>(id: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}

fn seconds<S: Serializer>(ms: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&ms.div_euclid(1000))
}

/// What a person changes on the phone (09 §21 `profile`); what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The about text.
    pub about: Option<String>,
    /// A JPEG, or the end of the picture.
    pub picture: Option<Option<Vec<u8>>>,
    /// Privacy settings.
    pub privacy: BTreeMap<String, String>,
    /// Accounts to block: numbers, LIDs or JIDs.
    pub block: Vec<String>,
    /// Accounts to unblock.
    pub unblock: Vec<String>,
    /// The timer of new chats, seconds.
    pub default_timer_s: Option<u64>,
}

/// A change of a group by one of its members (09 §21 group calls).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// Numbers to add.
    Add(Vec<String>),
    /// Numbers to remove.
    Remove(Vec<String>),
    /// Numbers that become admins.
    Promote(Vec<String>),
    /// Numbers that are admins no longer.
    Demote(Vec<String>),
    /// The member goes.
    Leave,
    /// A new subject.
    Subject(String),
    /// Settings; what is `None` stays.
    Settings(GroupSettings),
    /// The end of the group.
    Delete,
}

/// Settings of a group (09 §21).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupSettings {
    /// Only admins write.
    pub announce: Option<bool>,
    /// Only admins change subject and description.
    pub locked: Option<bool>,
    /// Seconds; 0 switches it off.
    pub ephemeral_s: Option<u64>,
    /// Admins let newcomers in.
    pub approval: Option<bool>,
    /// `all_member_add` or `admin_add`.
    pub member_add_mode: Option<String>,
    /// The text; empty removes it.
    pub description: Option<String>,
}

/// Which part of the traffic log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficFilter {
    /// One account's.
    pub account: Option<String>,
    /// After this cursor.
    #[serde(default)]
    pub since: u64,
    /// With this tag.
    pub tag: Option<String>,
    /// With this verdict of the stanza judge: `like`, `listed`, `unlike`.
    pub verdict: Option<String>,
    /// How long to wait for the first, milliseconds.
    pub wait_ms: Option<u64>,
}

/// A stanza of a client that a test waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The account.
    pub account: String,
    /// The root's tag.
    pub tag: String,
    /// The `xmlns` attribute.
    pub xmlns: Option<String>,
    /// A path of tags below the root, such as `retry` or `usync/query`.
    pub child: Option<String>,
    /// Attributes of the root; `None` means absent.
    pub attrs: BTreeMap<String, Option<String>>,
    /// How many; 1 when 0.
    pub count: usize,
    /// How long to wait.
    pub within: Duration,
    /// Whether there must be none within that time.
    pub absent: bool,
    /// After this cursor; from the call on when missing.
    pub since: Option<u64>,
}
