//! The judge over a `Message` and what was around it (protocol 05a §6, §7; 05b §5).

use palomar_proto::edit::{Value, last, sub_message};
use prost::Message as _;

use crate::proto::Message;
use crate::stanza::content::{self, Content, Edit};
use crate::stanza::judge::{Finding, What};

use super::Payload;
use super::envelope::{Envelope, LABELS, Labels};
use super::schema::{Kind, Schema};

/// Numbers of fields of `Message`, and inside `deviceSentMessage` and `senderKeyDistributionMessage`.
mod field {
    pub const DISTRIBUTION: u32 = 2;
    pub const DEVICE_SENT: u32 = 31;
    pub const DESTINATION: u32 = 1;
    pub const INNER: u32 = 2;
    pub const GROUP_ID: u32 = 1;
    pub const AXOLOTL: u32 = 2;
}

/// Version 3 of the Signal wire messages, twice.
const SIGNAL_VERSION: u8 = 0x33;
const MAX_PADDING: u8 = 16;

impl Schema {
    /// A `Message` by itself.
    #[must_use]
    pub fn message(&self, message: &[u8]) -> Vec<Finding> {
        let mut findings = self.walk(Payload::Message, message);
        if let Ok(Some(level)) = content::overfull_level(message) {
            findings.push(Payload::Message.finding(self.path(&level), What::Contents, "exactly one content"));
        }
        findings
    }

    /// The `Message` of a newsletter's `<plaintext>`, which has no padding; an empty one is a deletion.
    #[must_use]
    pub fn plain(&self, message: &[u8], labels: &Labels) -> Vec<Finding> {
        if message.is_empty() {
            return Vec::new();
        }
        let mut findings = self.message(message);
        if let Some(content) = decoded(message).as_ref().and_then(content::classify) {
            findings.extend(disagreements(&content, labels, &[Edit::Admin.as_str()]));
        }
        findings
    }

    /// What came out of an `<enc>`, padding included.
    #[must_use]
    pub fn opened(&self, padded: &[u8], envelope: &Envelope) -> Vec<Finding> {
        match unpadded(padded) {
            Some(message) => self.enveloped(message, envelope),
            None => vec![Payload::Message.finding("", What::Padding, "1 to 16 bytes of their number")],
        }
    }

    /// As [`Schema::opened`], without padding.
    #[must_use]
    pub fn enveloped(&self, message: &[u8], envelope: &Envelope) -> Vec<Finding> {
        let mut findings = self.message(message);
        let Some(view) = decoded(message) else { return findings };
        findings.extend(wrapper(message, &view, envelope));
        findings.extend(self.keys(message, envelope));
        // What carries only a sender key goes along with a content, of which the stanza speaks.
        if let Some(content) = content::classify(&view) {
            findings.extend(disagreements_of(&content, envelope));
        }
        findings
    }

    /// The names of the fields that numbers lead to, from a `Message`.
    fn path(&self, numbers: &[u32]) -> String {
        let mut message = Payload::Message.message();
        let mut names = Vec::new();
        for number in numbers {
            let Some(field) = self.fields(message).and_then(|fields| fields.get(number)) else { break };
            names.push(field.name.as_str());
            if let Kind::Message(next) = &field.kind {
                message = next;
            }
        }
        names.join("/")
    }

    /// The distribution messages beside the content, outside and inside the wrapper.
    fn keys(&self, message: &[u8], envelope: &Envelope) -> Vec<Finding> {
        let mut findings = Vec::new();
        for way in [&[][..], &[field::DEVICE_SENT, field::INNER]] {
            let at = [way, &[field::DISTRIBUTION]].concat();
            let Ok(Some(key)) = sub_message(message, &at) else { continue };
            let path = self.path(&at);
            if !envelope.collective {
                findings.push(Payload::Message.finding(path, What::KeyGroup, "none in a 1:1 chat"));
                continue;
            }
            if !envelope.chat.contains(&text(&key, field::GROUP_ID)) {
                let path = format!("{path}/groupId");
                findings.push(Payload::Message.finding(path, What::KeyGroup, "the chat"));
            }
            findings.extend(self.distribution(&key, &path));
        }
        findings
    }

    /// The Signal message inside a distribution message.
    fn distribution(&self, key: &[u8], path: &str) -> Vec<Finding> {
        let path = format!("{path}/axolotlSenderKeyDistributionMessage");
        let inside = match last(key, field::AXOLOTL) {
            Ok(Some(Value::Bytes(bytes))) => bytes.split_first(),
            _ => None,
        };
        let Some((&SIGNAL_VERSION, inside)) = inside else {
            return vec![Payload::Message.finding(path, What::Undecodable, "a message of version 3")];
        };
        let found = self.walk(Payload::SenderKeyDistribution, inside).into_iter();
        found.map(|finding| Finding { path: join(&path, &finding.path), ..finding }).collect()
    }
}

fn join(path: &str, rest: &str) -> String {
    if rest.is_empty() { path.to_owned() } else { format!("{path}/{rest}") }
}

/// What prost makes of it; undecodable ones have their finding already.
fn decoded(message: &[u8]) -> Option<Message> {
    Message::decode(message).ok()
}

fn unpadded(padded: &[u8]) -> Option<&[u8]> {
    let (&count, _) = padded.split_last()?;
    let (message, padding) = padded.split_at_checked(padded.len().checked_sub(usize::from(count))?)?;
    let good = (1..=MAX_PADDING).contains(&count) && padding.iter().all(|byte| *byte == count);
    good.then_some(message)
}

/// The wrapper of own copies (05b §5): every message from an own device that comes without a ciphertext by sender key
/// has one, and nothing else. A sender key alone may come bare under `<meta appdata="default"/>`.
fn wrapper(message: &[u8], view: &Message, envelope: &Envelope) -> Option<Finding> {
    let wrapped = sub_message(message, &[field::DEVICE_SENT]).ok().flatten();
    let wanted = envelope.own && !envelope.peer && !envelope.has_common;
    match (wrapped, wanted) {
        (None, true) => {
            let bare_key = view.sender_key_distribution_message.is_some()
                && content::classify(view).is_none()
                && envelope.labels.get("appdata") == Some("default");
            (!bare_key).then(|| Payload::Message.finding("", What::Wrapper, "deviceSentMessage"))
        }
        (Some(_), false) => {
            Some(Payload::Message.finding("deviceSentMessage", What::Wrapper, "no deviceSentMessage"))
        }
        (Some(wrapper), true) => {
            let path = "deviceSentMessage/destinationJid";
            (!envelope.chat.contains(&text(&wrapper, field::DESTINATION)))
                .then(|| Payload::Message.finding(path, What::Wrapper, "the chat"))
        }
        (None, false) => None,
    }
}

/// A text of a level; empty where there is none.
fn text(level: &[u8], number: u32) -> String {
    match last(level, number) {
        Ok(Some(Value::Bytes(text))) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

fn disagreements_of(content: &Content, envelope: &Envelope) -> Vec<Finding> {
    if envelope.peer && content.meta.iter().all(|(name, _)| *name != "appdata") {
        let mut content = content.clone();
        content.meta.push(("appdata", "default"));
        return disagreements(&content, &envelope.labels, &[]);
    }
    disagreements(content, &envelope.labels, &[])
}

/// One finding for each label that says something else than the content; `also` are values of `edit` that are as good
/// as the content's.
fn disagreements(content: &Content, labels: &Labels, also: &[&str]) -> Vec<Finding> {
    let meta = |name: &str| content.meta.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let mut findings = Vec::new();
    for name in LABELS {
        let want = match name {
            "type" => Some(content.kind.as_str()),
            "edit" => content.edit.map(Edit::as_str),
            "mediatype" => content.media.map(content::MediaType::as_str),
            "decrypt-fail" => content.hide.then_some("hide"),
            _ => meta(name),
        };
        let said = labels.get(name);
        let allowed = name == "edit" && want.is_some() && said.is_some_and(|said| also.contains(&said));
        if said != want && !allowed {
            let mut finding = Payload::Message.finding("", What::Attributes, want.unwrap_or("absent"));
            finding.attr = name.to_owned();
            findings.push(finding);
        }
    }
    findings
}
