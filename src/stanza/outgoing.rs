//! Building `<message>` (05a §7, §9 to §11; resends: 05b §10). What goes to whom, and every ciphertext, is decided
//! elsewhere; here it gets its shape and the official order.

use std::borrow::Cow;

use super::content::{Edit, Kind, MediaType};
use crate::wire::{Jid, Node};

/// How a ciphertext is made: `type` of `<enc>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// In an established session.
    Message,
    /// Sets up a session.
    PreKeyMessage,
    /// By sender key.
    SenderKey,
    /// By message secret (bots).
    MessageSecret,
}

impl Cipher {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "msg",
            Self::PreKeyMessage => "pkmsg",
            Self::SenderKey => "skmsg",
            Self::MessageSecret => "msmsg",
        }
    }

    /// The cipher of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Message, Self::PreKeyMessage, Self::SenderKey, Self::MessageSecret]
            .into_iter()
            .find(|cipher| cipher.as_str() == name)
    }
}

/// One ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enc {
    /// How it is made.
    pub cipher: Cipher,
    /// The bytes; empty: the mark of a direct group message.
    pub ciphertext: Vec<u8>,
    /// What is inside.
    pub media: Option<MediaType>,
    /// A receiver that can't open it shows nothing.
    pub hide: bool,
    /// The number of the retry that this answers.
    pub count: Option<u32>,
    /// `native_flow_name`.
    pub native_flow_name: Option<String>,
}

impl Enc {
    /// A ciphertext without further attributes.
    #[must_use]
    pub fn new(cipher: Cipher, ciphertext: Vec<u8>) -> Self {
        Self { cipher, ciphertext, media: None, hide: false, count: None, native_flow_name: None }
    }

    fn node(self) -> Node {
        let enc = Node::new("enc")
            .attr("v", "2")
            .attr("type", self.cipher.as_str())
            .opt_attr("count", self.count)
            .opt_attr("mediatype", self.media.map(MediaType::as_str))
            .opt_attr("decrypt-fail", self.hide.then_some("hide"))
            .opt_attr("native_flow_name", self.native_flow_name);
        if self.ciphertext.is_empty() { enc } else { enc.bytes(self.ciphertext) }
    }
}

/// A `<to>` of a fan-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The device; without a ciphertext the user.
    pub jid: Jid,
    /// Its ciphertext; none for status viewers that hold the key.
    pub enc: Option<Enc>,
}

/// The encrypted part, or what stands for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// To many devices: one ciphertext each, and in groups and status one for all.
    Fanout {
        /// Those with a ciphertext of their own.
        targets: Vec<Target>,
        /// By sender key, for all.
        common: Option<Enc>,
    },
    /// To one device.
    One(Enc),
    /// Not encrypted (newsletters): the Message, empty for a deletion.
    Plain {
        /// The bytes.
        message: Vec<u8>,
        /// What is inside.
        media: Option<MediaType>,
    },
    /// A reaction in a newsletter; none takes it back.
    Reaction(Option<String>),
}

/// A token that lets us write to a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContactToken {
    /// The contact's own.
    Trusted(Vec<u8>),
    /// The computed one.
    Computed([u8; 32]),
}

/// Which form of an address a group uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addressing {
    /// Hidden ids.
    Lid,
    /// Phone numbers.
    Pn,
}

impl Addressing {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lid => "lid",
            Self::Pn => "pn",
        }
    }

    /// The mode of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "lid" => Some(Self::Lid),
            "pn" => Some(Self::Pn),
            _ => None,
        }
    }
}

/// How urgently a peer message wakes the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PushPriority {
    /// The usual.
    High,
    /// It can be woken.
    HighForce,
}

/// What makes a message a peer message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// How urgent.
    pub priority: PushPriority,
    /// `privacy_sensitive="1"`.
    pub privacy_sensitive: bool,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id.
    pub id: String,
    /// The chat; of a resend `from` of the request, of a peer message the own device.
    pub to: Jid,
    /// `type`.
    pub kind: Kind,
    /// The hash over all devices, in groups.
    pub phash: Option<String>,
    /// Who asked for a resend, in groups.
    pub participant: Option<Jid>,
    /// The chat, of a resend to an own device.
    pub recipient: Option<Jid>,
    /// The other address of `to`, or of `recipient`: written as `peer_recipient_lid` or `peer_recipient_pn`.
    pub peer_recipient: Option<Jid>,
    /// `edit`.
    pub edit: Option<Edit>,
    /// `device_fanout="false"`: a second stanza of the same message, for the devices that the first one missed.
    pub missed_devices_only: bool,
    /// `t` of the original, which other clients write in a resend; ours leave it out.
    pub t: Option<u64>,
    /// A message to an own device.
    pub peer: Option<Peer>,
    /// The group's mode.
    pub addressing: Option<Addressing>,
    /// The target of a newsletter reaction.
    pub server_id: Option<u64>,
    /// The upload handle of newsletter media.
    pub media_id: Option<String>,
    /// What is inside.
    pub body: Body,
    /// Our own `ADVSignedDeviceIdentity`: there if and only if some ciphertext sets up a session.
    pub device_identity: Option<Vec<u8>>,
    /// Attributes of `<meta>`.
    pub meta: Vec<(&'static str, Cow<'static, str>)>,
    /// The reporting token.
    pub reporting_token: Option<[u8; 16]>,
    /// The contact token, 1:1.
    pub contact_token: Option<ContactToken>,
}

impl Outgoing {
    /// A message without the optional parts.
    #[must_use]
    pub fn new(id: String, to: Jid, kind: Kind, body: Body) -> Self {
        Self {
            id,
            to,
            kind,
            phash: None,
            participant: None,
            recipient: None,
            peer_recipient: None,
            edit: None,
            missed_devices_only: false,
            t: None,
            peer: None,
            addressing: None,
            server_id: None,
            media_id: None,
            body,
            device_identity: None,
            meta: Vec::new(),
            reporting_token: None,
            contact_token: None,
        }
    }

    /// Whether some ciphertext sets up a session, so that the device identity must be there.
    #[must_use]
    pub fn needs_device_identity(&self) -> bool {
        let sets_up = |enc: &Enc| enc.cipher == Cipher::PreKeyMessage;
        match &self.body {
            Body::Fanout { targets, .. } => {
                targets.iter().filter_map(|target| target.enc.as_ref()).any(sets_up)
            }
            Body::One(enc) => sets_up(enc),
            Body::Plain { .. } | Body::Reaction(_) => false,
        }
    }

    /// The stanza.
    #[must_use]
    pub fn build(self) -> Node {
        let (lid, pn) = match self.peer_recipient {
            Some(jid) if jid.is_lid() => (Some(jid), None),
            other => (None, other),
        };
        let priority = self.peer.map(|peer| match peer.priority {
            PushPriority::High => "high",
            PushPriority::HighForce => "high_force",
        });
        let mut message = Node::new("message")
            .attr("id", self.id)
            .attr("to", self.to)
            .opt_attr("phash", self.phash)
            .opt_attr("participant", self.participant.as_ref().map(Jid::in_device_form))
            .opt_attr("recipient", self.recipient)
            .opt_attr("server_id", self.server_id)
            .attr("type", self.kind.as_str())
            .opt_attr("media_id", self.media_id)
            .opt_attr("peer_recipient_lid", lid)
            .opt_attr("peer_recipient_pn", pn)
            .opt_attr("edit", self.edit.map(Edit::as_str))
            .opt_attr("device_fanout", self.missed_devices_only.then_some("false"))
            .opt_attr("t", self.t)
            .opt_attr("category", self.peer.map(|_| "peer"))
            .opt_attr("push_priority", priority)
            .opt_attr("privacy_sensitive", self.peer.filter(|peer| peer.privacy_sensitive).map(|_| "1"))
            .opt_attr("addressing_mode", self.addressing.map(Addressing::as_str));
        let mut children = Vec::with_capacity(6);
        let mut common_enc = None;
        match self.body {
            Body::Fanout { targets, common } => {
                if !targets.is_empty() {
                    children.push(Node::new("participants").children(targets.into_iter().map(target_node)));
                }
                common_enc = common.map(Enc::node);
            }
            Body::One(enc) => children.push(enc.node()),
            Body::Plain { message, media } => {
                let plain = Node::new("plaintext").opt_attr("mediatype", media.map(MediaType::as_str));
                children.push(plain.bytes(message));
            }
            Body::Reaction(code) => children.push(Node::new("reaction").opt_attr("code", code)),
        }
        children.extend(self.device_identity.map(|bytes| Node::new("device-identity").bytes(bytes)));
        children.extend(common_enc);
        if !self.meta.is_empty() {
            let meta = Node::new("meta");
            children.push(self.meta.into_iter().fold(meta, |meta, (key, value)| meta.attr(key, value)));
        }
        children.extend(self.reporting_token.map(|token| {
            Node::new("reporting").child(Node::new("reporting_token").attr("v", "2").bytes(token))
        }));
        children.extend(self.contact_token.map(|token| match token {
            ContactToken::Trusted(bytes) => Node::new("tctoken").bytes(bytes),
            ContactToken::Computed(bytes) => Node::new("cstoken").bytes(bytes),
        }));
        message = message.children(children);
        message
    }
}

fn target_node(target: Target) -> Node {
    match target.enc {
        Some(enc) => Node::new("to").attr("jid", target.jid.in_device_form()).child(enc.node()),
        None => Node::new("to").attr("jid", target.jid),
    }
}
