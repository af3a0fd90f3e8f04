//! The bodies of the calls. A field that is none of a call's is refused.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::sim::admin::{GroupSettings, Kick};
use crate::sim::config::{CertMode, Profile as RunProfile};
use crate::sim::seam::Corrupt;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reset {
    pub keep: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClockBody {
    pub advance_ms: Option<u64>,
    pub set: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PhoneBody {
    pub online: Option<bool>,
    pub platform: Option<String>,
    pub clock_offset_s: i64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AccountBody {
    pub number: Option<String>,
    pub push_name: Option<String>,
    pub lid: Option<String>,
    pub companions_max: Option<usize>,
    pub business: bool,
    pub restricted: bool,
    pub abprops: BTreeMap<String, String>,
    pub profile: Option<RunProfile>,
    pub phone: PhoneBody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScanQr {
    pub qr: String,
    pub corrupt: Option<Corrupt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnterCode {
    pub code: String,
    pub corrupt: Option<Corrupt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Power {
    pub online: bool,
}

/// One device, or `"all":true`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Unlink {
    pub device: Option<u16>,
    pub all: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PushName {
    pub name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct React {
    pub id: String,
    pub emoji: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    pub id: String,
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    pub id: String,
    /// The author, where the message is another's.
    pub participant: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    pub name: String,
    pub options: Vec<String>,
    #[serde(default = "one_option")]
    pub selectable: u32,
}

fn one_option() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quote {
    pub id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    pub to: String,
    pub text: Option<String>,
    /// A `Message` as proto JSON.
    pub message: Option<serde_json::Value>,
    /// A `Message`, serialised, hexadecimal.
    pub message_hex: Option<String>,
    /// Not built: the media host is missing.
    pub media: Option<serde_json::Value>,
    pub poll: Option<Poll>,
    /// Beside `text`.
    pub quote: Option<Quote>,
    pub react: Option<React>,
    pub edit: Option<Edit>,
    pub revoke: Option<Revoke>,
    pub id: Option<String>,
    /// A virtual companion.
    #[serde(default)]
    pub as_device: u16,
}

/// How many virtual companions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Devices {
    #[serde(default = "one")]
    pub count: u16,
}

fn one() -> u16 {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Receipt {
    pub ids: Vec<String>,
    pub chat: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub participant: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub to: String,
    pub action: String,
    pub call_id: Option<String>,
    #[serde(default)]
    pub video: bool,
    pub reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PictureBody {
    pub base64: String,
}

/// `picture` may be null, which is not the same as missing.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Profile {
    pub about: Option<String>,
    #[serde(deserialize_with = "present")]
    pub picture: Option<Option<PictureBody>>,
    pub privacy: BTreeMap<String, String>,
    pub block: Vec<String>,
    pub unblock: Vec<String>,
    pub default_timer_s: Option<u64>,
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Option<PictureBody>>, D::Error> {
    Option::deserialize(value).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupsDirty {
    pub groups: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GroupChangeBody {
    pub by: Option<String>,
    pub members: Vec<String>,
    pub subject: Option<String>,
    pub settings: Option<GroupSettings>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Presence {
    #[serde(rename = "type")]
    pub kind: String,
    pub to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chatstate {
    pub to: String,
    pub state: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DropSession {
    pub device: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KickBody {
    pub device: Option<u16>,
    pub how: Kick,
    pub code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BanBody {
    pub reason: u16,
    #[serde(default = "default_code")]
    pub code: u16,
    #[serde(default = "default_expire")]
    pub expire: u64,
    pub stream_error: Option<u16>,
}

fn default_code() -> u16 {
    101
}

fn default_expire() -> u64 {
    3600
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupBody {
    pub subject: String,
    pub creator: String,
    pub members: Vec<String>,
    #[serde(default)]
    pub lid: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Match {
    pub dir: Option<String>,
    pub tag: String,
    pub xmlns: Option<String>,
    pub child: Option<String>,
    pub attrs: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub account: String,
    pub r#match: Match,
    #[serde(default)]
    pub count: usize,
    pub within_ms: u64,
    #[serde(default)]
    pub absent: bool,
    #[serde(default, deserialize_with = "optional_id")]
    pub since: Option<u64>,
}

/// Ids and cursors are texts; numbers are taken as well.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

fn id<'de, D: serde::Deserializer<'de>>(value: D) -> Result<u64, D::Error> {
    match Id::deserialize(value)? {
        Id::Number(id) => Ok(id),
        Id::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

fn optional_id<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    id(value).map(Some)
}

/// A stanza, a plaintext for the cipher, or bytes as they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inject {
    #[serde(deserialize_with = "id")]
    pub connection: u64,
    pub node: Option<serde_json::Value>,
    pub raw_hex: Option<String>,
    #[serde(default)]
    pub encrypted: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cert {
    pub mode: CertMode,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InboxQuery {
    pub since: usize,
    pub chat: Option<String>,
    pub wait_ms: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ViolationsQuery {
    pub account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JudgeBody {
    pub node: Option<serde_json::Value>,
    /// A `Message`: an object in proto JSON, or a text with its bytes in hexadecimal.
    pub message: Option<serde_json::Value>,
    /// The chat.
    pub to: Option<String>,
    /// What the stanza would say: `type`, `edit`, `polltype`, `event_type`, `appdata`, `mediatype`, `decrypt-fail`, and
    /// `own`, `peer`, `skmsg` as booleans.
    pub meta: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JudgeQuery {
    pub account: Option<String>,
}
