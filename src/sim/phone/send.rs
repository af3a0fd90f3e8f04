//! Messages of the phone: to a user, to an own companion, and the record of what went out (protocol 05a §7, §11).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prost::Message as _;

use crate::crypto::{PublicKey, random_bytes};
use crate::proto::Message;
use crate::signal::padding;
use crate::sim::seam::{PhoneContent, PhoneContext, PhoneError, PhoneEvent};
use crate::stanza::content;
use crate::wire::{Jid, Node};

use super::Primary;
use super::book::PeerKey;
use super::compose::device_sent;
use super::requests::{Goal, Request};

/// Messages whose plaintext is kept for resends and answers.
const MAX_LOG: usize = 10_000;

/// A message on its way out.
pub(super) struct Outgoing {
    pub op: u64,
    pub id: String,
    pub to: Jid,
    /// The serialized `Message`, without padding.
    pub message: Vec<u8>,
}

/// A message that the phone sent or got.
pub(super) struct Logged {
    pub id: String,
    pub chat: Jid,
    /// The author's device.
    pub author: Jid,
    pub from_me: bool,
    /// Not of a chat, but between own devices.
    pub peer: bool,
    pub message: Vec<u8>,
    pub t: i64,
    /// The devices that an own message went to.
    pub targets: BTreeMap<PeerKey, Target>,
}

/// A device that a message went to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Its identity then; none if it got the message under a sender key only.
    pub identity: Option<PublicKey>,
    /// It has said that it has the message.
    pub confirmed: bool,
}

/// Messages by id, bounded.
#[derive(Default)]
pub(super) struct Log {
    pub entries: VecDeque<Logged>,
}

impl Log {
    pub fn push(&mut self, entry: Logged) {
        if self.entries.len() == MAX_LOG {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub fn find(&self, id: &str) -> Option<&Logged> {
        self.entries.iter().rev().find(|entry| entry.id == id)
    }

    pub fn sent(&mut self, id: &str) -> Option<&mut Logged> {
        self.entries
            .iter_mut()
            .rev()
            .find(|entry| entry.id == id && entry.from_me && !entry.targets.is_empty())
    }
}

/// What a stanza says about the message in it (05a §6).
pub(super) struct Labels {
    kind: &'static str,
    media: Option<&'static str>,
    edit: Option<&'static str>,
    hide: bool,
    meta: Vec<(&'static str, &'static str)>,
}

impl Labels {
    pub fn of(message: &[u8]) -> Self {
        let content = Message::decode(message).ok().and_then(|message| content::classify(&message));
        match content {
            Some(content) => Self {
                kind: content.kind.as_str(),
                media: content.media.map(content::MediaType::as_str),
                edit: content.edit.map(content::Edit::as_str),
                hide: content.hide,
                meta: content.meta,
            },
            None => Self { kind: "text", media: None, edit: None, hide: false, meta: Vec::new() },
        }
    }

    /// The envelope of a message stanza.
    pub fn envelope(&self, id: &str, to: &Jid) -> Node {
        Node::new("message")
            .attr("id", id.to_owned())
            .attr("to", to)
            .attr("type", self.kind)
            .opt_attr("edit", self.edit)
    }

    /// An `enc` of the message itself.
    pub fn enc(&self, kind: &'static str, bytes: Vec<u8>) -> Node {
        Node::new("enc")
            .attr("v", "2")
            .attr("type", kind)
            .opt_attr("mediatype", self.media)
            .opt_attr("decrypt-fail", self.hide.then_some("hide"))
            .bytes(bytes)
    }

    /// An `enc` that only brings a sender key.
    pub fn distribution_enc(&self, kind: &'static str, bytes: Vec<u8>) -> Node {
        Node::new("enc")
            .attr("v", "2")
            .attr("type", kind)
            .opt_attr("decrypt-fail", self.hide.then_some("hide"))
            .bytes(bytes)
    }

    /// `<meta>`, if the content wants one.
    pub fn meta(&self) -> Option<Node> {
        let node = self.meta.iter().fold(Node::new("meta"), |node, (key, value)| node.attr(*key, *value));
        (!self.meta.is_empty()).then_some(node)
    }
}

impl Primary {
    /// An order to send: composed at once, sent when devices and keys are known.
    pub(super) fn send(
        &mut self,
        context: &mut PhoneContext<'_>,
        (op, to): (u64, Jid),
        content: PhoneContent,
        id: Option<String>,
    ) -> Result<(), PhoneError> {
        let message = self.compose(context, &to, content)?;
        let id = id.unwrap_or_else(|| self.new_message_id(context));
        if to.is_group() {
            let query = Node::new("query").attr("request", "interactive");
            let iq =
                Node::new("iq").attr("xmlns", "w:g2").attr("type", "get").attr("to", to.clone()).child(query);
            self.ask(context, iq, Request::Group(Outgoing { op, id, to, message }));
            return Ok(());
        }
        if !to.is_user() {
            return Err(PhoneError::Unknown(format!("{to} is no chat")));
        }
        let to = to.to_user();
        let users = BTreeSet::from([to.clone(), self.own(&to)]);
        self.ask_devices(context, &users, Goal::Chat(Outgoing { op, id, to, message }));
        Ok(())
    }

    /// Our own bare JID in the namespace of a chat.
    pub(super) fn own(&self, chat: &Jid) -> Jid {
        if chat.is_lid() { self.setup.lid.clone() } else { self.setup.pn.clone() }
    }

    /// An id as phones make them: `3A` and 18 digits on an iPhone, else 32 digits.
    pub(super) fn new_message_id(&self, context: &mut PhoneContext<'_>) -> String {
        let digits = hex::encode_upper(random_bytes::<16, _>(context.rng));
        match (self.setup.platform.as_str(), digits.get(..18)) {
            ("iphone" | "smbi", Some(short)) => format!("3A{short}"),
            _ => digits,
        }
    }

    /// Encrypts for one device; `None` without a session.
    pub(super) fn encrypt(
        &mut self,
        context: &PhoneContext<'_>,
        device: &Jid,
        padded: &[u8],
    ) -> Option<(&'static str, Vec<u8>, PublicKey)> {
        let peer = self.book.peer(device);
        let identity = peer.identity?;
        let sealed = peer.sessions.encrypt(padded, context.now_ms).ok()?;
        Some((sealed.kind.as_str(), sealed.bytes, identity))
    }

    /// A 1:1 message to all its devices.
    pub(super) fn send_chat(&mut self, context: &mut PhoneContext<'_>, message: Outgoing, targets: &[Jid]) {
        let labels = Labels::of(&message.message);
        let plain = padding::pad(&message.message, context.rng);
        let copy = padding::pad(&device_sent(&message.message, &message.to), context.rng);
        let (own, to_self) = (self.own(&message.to), self.book.same_user(&message.to, &self.setup.pn));
        let mut reached = BTreeMap::new();
        let mut copies = Vec::new();
        let mut devices = Vec::new();
        let (mut recipient_reached, mut prekey) = (to_self, false);
        for device in targets {
            let mine = device.same_user(&own);
            let Some((kind, bytes, identity)) =
                self.encrypt(context, device, if mine { &copy } else { &plain })
            else {
                continue;
            };
            recipient_reached |= !mine;
            reached.insert(self.book.key(device), Target { identity: Some(identity), confirmed: false });
            copies.push(Node::new("to").attr("jid", device.in_device_form()).child(labels.enc(kind, bytes)));
            prekey |= kind == "pkmsg";
            devices.push(device.clone());
        }
        if copies.is_empty() || !recipient_reached {
            let reason = format!("no device of {} can be reached", message.to);
            return context.report(PhoneEvent::SendFailed { op: message.op, reason });
        }
        let stanza = labels
            .envelope(&message.id, &message.to)
            .child(Node::new("participants").children(copies))
            .children(self.device_identity().filter(|_| prekey))
            .children(labels.meta());
        self.sent(context, message, reached, devices, stanza);
    }

    /// Notes a message and hands it over.
    pub(super) fn sent(
        &mut self,
        context: &mut PhoneContext<'_>,
        message: Outgoing,
        targets: BTreeMap<PeerKey, Target>,
        devices: Vec<Jid>,
        stanza: Node,
    ) {
        let Outgoing { op, id, to, message } = message;
        let author = self.own(&to);
        let t = context.now_s();
        self.log.push(Logged {
            id: id.clone(),
            chat: to.clone(),
            author,
            from_me: true,
            peer: false,
            message,
            t,
            targets,
        });
        context.report(PhoneEvent::Sent { op, id, to, targets: devices });
        context.send(stanza);
    }

    /// Messages to an own companion that are not part of any chat.
    pub(super) fn send_peer(
        &mut self,
        context: &mut PhoneContext<'_>,
        messages: &[Vec<u8>],
        targets: &[Jid],
    ) {
        for device in targets {
            for message in messages {
                let padded = padding::pad(message, context.rng);
                let Some((kind, bytes, identity)) = self.encrypt(context, device, &padded) else { break };
                let id = self.new_message_id(context);
                let target = Target { identity: Some(identity), confirmed: false };
                self.log.push(Logged {
                    id: id.clone(),
                    chat: self.setup.pn.clone(),
                    author: self.setup.pn.clone(),
                    from_me: true,
                    peer: true,
                    message: message.clone(),
                    t: context.now_s(),
                    targets: BTreeMap::from([(self.book.key(device), target)]),
                });
                context.send(peer_stanza(
                    &id,
                    device,
                    Node::new("enc").attr("v", "2").attr("type", kind).bytes(bytes),
                ));
            }
        }
    }
}

/// The stanza of a peer message of the phone.
pub(super) fn peer_stanza(id: &str, device: &Jid, enc: Node) -> Node {
    Node::new("message")
        .attr("id", id.to_owned())
        .attr("to", device.in_device_form())
        .attr("type", "text")
        .attr("category", "peer")
        .attr("push_priority", "high")
        .child(enc)
        .child(Node::new("meta").attr("appdata", "default"))
}
