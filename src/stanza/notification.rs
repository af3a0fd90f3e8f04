//! The envelope of `<notification>` and the kinds there are (05c §1, §2). Acks: `ack.rs`; device lists:
//! `devices.rs`; pairing: `pair.rs`. The other contents are read where they are used.

use super::ack::Nack;
use super::element::{Element, Malformed};
use crate::wire::Jid;

/// The kind of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Prekeys left, a digest asked for, or an identity that changed: [`Encrypt`].
    Encrypt,
    /// Something of the own account, changed elsewhere.
    AccountSync,
    /// A device list changed.
    Devices,
    /// A group changed.
    Group,
    /// A picture changed.
    Picture,
    /// An about text changed.
    Status,
    /// A contact changed.
    Contacts,
    /// A contact's token.
    PrivacyToken,
    /// App-state collections with new patches: [`collections`].
    ServerSync,
    /// The answer to a media retry.
    MediaRetry,
    /// A business changed. Its `wa_ad_account_nonce` is a secret: not in a raw event.
    Business,
    /// A contact's default timer.
    DisappearingMode,
    /// A channel.
    Newsletter,
    /// A GraphQL operation.
    Mex,
    /// Server properties and the like.
    Server,
    /// Somebody registers this number. Carries a code: no raw event, never logged, never stored.
    Registration,
    /// Pairing by code.
    LinkCode,
    /// The pairing secret is to be made anew.
    CompanionRegRefresh,
    /// Pairing by passkey.
    Passkey,
    /// Known, and of no interest: ack, raw event.
    Plain,
}

impl Kind {
    /// The kind of a `type`; `None` is answered with [`Nack::UnrecognizedStanza`].
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "encrypt" => Self::Encrypt,
            "account_sync" => Self::AccountSync,
            "devices" => Self::Devices,
            "w:gp2" => Self::Group,
            "picture" => Self::Picture,
            "status" => Self::Status,
            "contacts" => Self::Contacts,
            "privacy_token" => Self::PrivacyToken,
            "server_sync" => Self::ServerSync,
            "mediaretry" => Self::MediaRetry,
            "business" => Self::Business,
            "disappearing_mode" => Self::DisappearingMode,
            "newsletter" => Self::Newsletter,
            "mex" => Self::Mex,
            "server" => Self::Server,
            "registration" => Self::Registration,
            "link_code_companion_reg" => Self::LinkCode,
            "companion_reg_refresh" => Self::CompanionRegRefresh,
            "passkey_prologue_request" | "crsc_continuation" => Self::Passkey,
            "psa"
            | "pay"
            | "hosted"
            | "waffle"
            | "w:growth"
            | "fb:update"
            | "fbid:devices"
            | "fbid:thread"
            | "digital_commerce_subscription" => Self::Plain,
            _ => return None,
        })
    }

    /// Whether the application may see the stanza as it came.
    #[must_use]
    pub fn may_be_shown(self) -> bool {
        self != Self::Registration
    }
}

/// What stands around the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The id.
    pub id: String,
    /// Whom it is about.
    pub from: Jid,
    /// The kind.
    pub kind: Kind,
    /// The server's time, Unix seconds.
    pub t: Option<u64>,
    /// Who did it, in groups.
    pub participant: Option<Jid>,
    /// The participant's address in the other namespace.
    pub participant_alt: Option<Jid>,
    /// The participant's name.
    pub push_name: Option<String>,
    /// It comes from the offline queue.
    pub offline: bool,
    /// The LID of `from`.
    pub lid: Option<Jid>,
}

/// Why a notification is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A required part is missing.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A type that we don't know.
    #[error("unknown notification type")]
    Unknown,
}

impl Refused {
    /// The nack that answers it.
    #[must_use]
    pub fn nack(&self) -> Nack {
        match self {
            Self::Malformed(_) => Nack::Parsing,
            Self::Unknown => Nack::UnrecognizedStanza,
        }
    }
}

impl Envelope {
    /// Reads the envelope.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn parse<'n>(notification: impl Element<'n>) -> Result<Self, Refused> {
        let kind = Kind::of(&notification.need("type")?).ok_or(Refused::Unknown)?;
        let alt = notification.address("participant_lid").or_else(|| notification.address("participant_pn"));
        Ok(Self {
            id: notification.need("id")?.into_owned(),
            from: notification.need_address("from")?,
            kind,
            t: notification.number("t"),
            participant: notification.maybe_address("participant")?,
            participant_alt: alt,
            push_name: notification.text("notify").map(|name| name.into_owned()),
            offline: notification.has("offline"),
            lid: notification.address("lid"),
        })
    }
}

/// What an `encrypt` notification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encrypt {
    /// So many one-time prekeys are left at the server.
    Count(u64),
    /// The server asks for a comparison of keys.
    Digest,
    /// The primary identity of the user in `from` changed; groups to be refreshed.
    Identity(Vec<Jid>),
}

impl Encrypt {
    /// Reads it; `None`: a child we don't know.
    ///
    /// # Errors
    /// A count without number.
    pub fn parse<'n>(notification: impl Element<'n>) -> Result<Option<Self>, Malformed> {
        if let Some(count) = notification.child("count") {
            return Ok(Some(Self::Count(count.number("value").ok_or(Malformed("value"))?)));
        }
        if notification.child("digest").is_some() {
            return Ok(Some(Self::Digest));
        }
        let groups = notification.child("groups");
        let groups = groups.map(|g| g.each_of("group").filter_map(|group| group.address("jid")).collect());
        Ok(notification.child("identity").map(|_| Self::Identity(groups.unwrap_or_default())))
    }
}

/// The collections of a `server_sync` notification: name and version at the server.
pub fn collections<'n>(notification: impl Element<'n>) -> Vec<(String, Option<u64>)> {
    let named = |node: _| collection(node);
    notification.each_of("collection").filter_map(named).collect()
}

fn collection<'n>(node: impl Element<'n>) -> Option<(String, Option<u64>)> {
    Some((node.text("name")?.into_owned(), node.number("version")))
}

/// A contact's token, from a `privacy_token` notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactToken {
    /// Its time, Unix seconds; a token without is ignored.
    pub t: u64,
    /// The bytes.
    pub token: Vec<u8>,
}

/// The trusted-contact tokens of a `privacy_token` notification.
pub fn contact_tokens<'n>(notification: impl Element<'n>) -> Vec<ContactToken> {
    let token = |node: _| contact_token(node);
    notification
        .child("tokens")
        .map(|tokens| tokens.each_of("token").filter_map(token).collect())
        .unwrap_or_default()
}

fn contact_token<'n>(node: impl Element<'n>) -> Option<ContactToken> {
    if !node.says("type", "trusted_contact") {
        return None;
    }
    Some(ContactToken { t: node.number("t")?, token: node.content()?.into_owned() })
}
