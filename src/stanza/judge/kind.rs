//! What a value must be: the kinds of the table, and the text forms of addresses (protocol 03 §13).

use crate::wire::{Jid, Server};

/// The kind of an attribute's value or of an element's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Children, or nothing.
    Node,
    /// Any bytes.
    Bytes,
    /// Content that is exactly these bytes.
    LiteralBytes(Vec<u8>),
    /// Any text.
    Text,
    /// A number in decimal.
    Int,
    /// `true` or `false`.
    Bool,
    /// One of these texts.
    Enum(Vec<String>),
    /// A stanza id: not empty.
    Id,
    /// An address.
    Jid(JidKind),
}

/// The kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JidKind {
    Any,
    User,
    Device,
    Group,
    Chat,
    Broadcast,
    Newsletter,
    Call,
    Domain,
    LidUser,
    PnUser,
}

impl Kind {
    /// The kind of an element's content.
    pub(super) fn content(kind: &str, value: &str) -> Result<Self, String> {
        match kind {
            "node" => Ok(Self::Node),
            "bytes" => Ok(Self::Bytes),
            "literal" => {
                hex::decode(value).map(Self::LiteralBytes).map_err(|_| format!("{value:?} is no hex literal"))
            }
            "string" | "int" | "enum" => Self::attribute(kind, value),
            other => Err(format!("{other:?} is no kind of content")),
        }
    }

    /// The kind of an attribute's value.
    pub(super) fn attribute(kind: &str, value: &str) -> Result<Self, String> {
        let jid = |kind| Ok(Self::Jid(kind));
        match kind {
            "literal" => Ok(Self::Enum(vec![value.to_owned()])),
            "enum" if value.is_empty() => Err("an enum without values".to_owned()),
            "enum" => Ok(Self::Enum(value.split('|').map(str::to_owned).collect())),
            "int" => Ok(Self::Int),
            "bool" => Ok(Self::Bool),
            "string" => Ok(Self::Text),
            "id" => Ok(Self::Id),
            "jid" => jid(JidKind::Any),
            "user-jid" => jid(JidKind::User),
            "device-jid" => jid(JidKind::Device),
            "group-jid" => jid(JidKind::Group),
            "chat-jid" => jid(JidKind::Chat),
            "broadcast-jid" => jid(JidKind::Broadcast),
            "newsletter-jid" => jid(JidKind::Newsletter),
            "call-jid" => jid(JidKind::Call),
            "domain-jid" => jid(JidKind::Domain),
            "lid-user-jid" => jid(JidKind::LidUser),
            "pn-user-jid" => jid(JidKind::PnUser),
            other => Err(format!("{other:?} is no kind")),
        }
    }

    /// What the table asks for, in words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Node => "children or nothing".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::LiteralBytes(bytes) => format!("the bytes {}", hex::encode(bytes)),
            Self::Text => "text".to_owned(),
            Self::Int => "a number".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Enum(values) => values.join("|"),
            Self::Id => "an id".to_owned(),
            Self::Jid(kind) => format!("an address ({kind:?})"),
        }
    }
}

impl JidKind {
    /// Whether an address is of this kind and has the text form that the official client takes.
    pub(super) fn holds(self, jid: &Jid) -> bool {
        let whole_user = jid.device() == 0;
        match self {
            Self::Any => true,
            Self::User => is_user(jid) && whole_user,
            Self::Device => is_user(jid),
            Self::Group => is_group(jid),
            Self::Chat => {
                (is_user(jid) && whole_user) || is_group(jid) || is_broadcast(jid) || is_newsletter(jid)
            }
            Self::Broadcast => is_broadcast(jid),
            Self::Newsletter => is_newsletter(jid),
            Self::Call => {
                *jid.server() == Server::Call
                    && (18..=32).contains(&jid.user().len())
                    && jid.user().bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            Self::Domain => jid.user().is_empty(),
            Self::LidUser => *jid.server() == Server::Lid && is_user(jid) && whole_user,
            Self::PnUser => *jid.server() == Server::Pn && is_user(jid) && whole_user,
        }
    }
}

fn digits(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_phone_number(user: &str) -> bool {
    user == "0" || (digits(user, 5..=20) && !user.starts_with('0') && !user.starts_with("10"))
}

fn is_user(jid: &Jid) -> bool {
    let user = jid.user();
    match jid.server() {
        Server::Pn => is_phone_number(user) && jid.device() <= 99,
        Server::Lid => digits(user, 1..=15) && !user.starts_with('0') && jid.device() <= 99,
        Server::Hosted => is_phone_number(user) && jid.device() == 99,
        Server::HostedLid => digits(user, 1..=15) && jid.device() == 99,
        Server::Bot => digits(user, 1..=20) && jid.device() == 0,
        Server::Msgr => digits(user, 1..=20) && jid.device() <= 999,
        Server::Interop => digits(user, 1..=15) && jid.device() == 0,
        _ => false,
    }
}

fn is_group(jid: &Jid) -> bool {
    let user = jid.user();
    let old_form =
        user.split_once('-').is_some_and(|(creator, time)| is_phone_number(creator) && digits(time, 10..=10));
    *jid.server() == Server::Group && ((digits(user, 1..=20) && !user.starts_with('0')) || old_form)
}

fn is_broadcast(jid: &Jid) -> bool {
    *jid.server() == Server::Broadcast
        && (jid.user() == "status" || jid.user() == "location" || digits(jid.user(), 1..=20))
}

fn is_newsletter(jid: &Jid) -> bool {
    *jid.server() == Server::Newsletter && digits(jid.user(), 1..=20)
}
