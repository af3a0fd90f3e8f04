//! What admin calls take and give (09 §21 "Shapes").

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::sim::config::Profile;
use crate::sim::seam::PhoneError;
use crate::sim::shapes::StanzaTable;

/// A call that failed. `code` is one of the admin API's error codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AdminError {
    /// Such as `bad-qr`, `ref-expired`, `companion-limit`, `not-found`.
    pub code: String,
    /// What happened, in words.
    pub message: String,
}

impl AdminError {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
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
    /// When it was paired, milliseconds of the world's clock.
    pub paired_at_ms: UnixMillis,
    /// Its live connection.
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
    /// Its number.
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
    /// When it was opened.
    pub opened_at_ms: UnixMillis,
    /// Stanzas from the client.
    pub stanzas_in: u64,
    /// Stanzas to the client.
    pub stanzas_out: u64,
    /// When something came last.
    pub last_in_at_ms: UnixMillis,
    /// The tag of the last stanza from the client.
    pub last_in: Option<String>,
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
    /// How long to wait for the first.
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
