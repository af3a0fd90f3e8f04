//! The message router (09 §11): the order of the checks, the ack, and what each target device gets.

use std::collections::{BTreeMap, BTreeSet};

use super::account::{AcceptedMessage, Namespace, device_hash};
use super::checks::{Copy, Objection};
use super::faults::Strike;
use super::queue::Kind;
use super::timers::Timer;
use super::{DeviceRef, Origin, World};
use crate::wire::{Jid, Node, Server};

/// How long an id is remembered.
const REMEMBERED_MS: i64 = 24 * 3_600_000;
/// How long a companion is linked before leaving it out is a fault of its sibling.
const KNOWN_AFTER_MS: i64 = 60_000;
const MAX_ID: usize = 128;
/// Attributes of a message that its receivers see.
const COPIED: [&str; 6] = ["type", "edit", "category", "verified_level", "polltype", "event_type"];
/// Attributes of an `enc` that its receiver sees.
const ENC_COPIED: [&str; 6] = ["v", "type", "mediatype", "decrypt-fail", "count", "state"];
/// Children of a message that its receivers see.
const CHILDREN: [&str; 5] = ["meta", "biz", "bot", "multicast", "reporting"];

/// Where a message goes.
pub(crate) struct Routed {
    /// Per device, the `enc` elements it gets, in order.
    pub targets: BTreeMap<DeviceRef, Vec<Node>>,
    /// The server's own device hash, where it differs from the sender's set.
    pub phash: Option<String>,
}

/// What a message stanza is, besides its content.
pub(crate) struct Incoming<'a> {
    pub node: &'a Node,
    pub id: String,
    pub to: Jid,
    pub copies: Vec<Copy<'a>>,
}

impl World {
    pub(crate) fn message(&mut self, origin: &Origin, node: &Node) {
        let id = node.str("id").unwrap_or_default().into_owned();
        if id.is_empty() || id.len() > MAX_ID {
            return self.fault(origin, "bad-message-id", format!("an id of {} characters", id.len()));
        }
        let Some(to) = node.jid("to").filter(|to| !to.is_server()) else {
            self.fault(origin, "bad-recipient", "a message without a recipient".to_owned());
            return self.ack_message(origin, &id, &Jid::service(), None, Some(400));
        };
        let incoming = Incoming { node, id, to, copies: Self::copies(node) };
        let struck = origin.connection.and_then(|id| {
            let place = self.place(id);
            self.strike(&["F32", "F33", "F34"], &place)
        });
        if let Some(strike) = struck {
            return self.struck_message(origin, &incoming, &strike);
        }
        if let Some((error, backoff)) = self.message_backoff(origin) {
            let ack = ack_node(&incoming.id, &incoming.to, self.now_s());
            let ack = ack.attr("error", error.to_string()).attr("backoff", backoff.to_string());
            return self.write_ack(origin, ack);
        }
        match self.route(origin, &incoming) {
            Ok(None) => {}
            Ok(Some(phash)) => self.ack_message(origin, &incoming.id, &incoming.to, phash, None),
            Err(objection) => {
                let error = objection.error;
                if !objection.code.is_empty() {
                    self.fault(origin, objection.code, objection.detail);
                }
                self.ack_message(origin, &incoming.id, &incoming.to, None, error);
            }
        }
    }

    /// F32 to F34: the ack is lost, late, an error, or brings a hash.
    fn struck_message(&mut self, origin: &Origin, incoming: &Incoming<'_>, strike: &Strike) {
        let late = strike.kind == "delay" || strike.params.contains_key("delay_ms");
        if strike.fault == "F33" && !late {
            let ack = ack_node(&incoming.id, &incoming.to, self.now_s())
                .attr("error", strike.number("error", 500))
                .opt_attr("backoff", strike.params.get("backoff").and_then(serde_json::Value::as_u64));
            return self.write_ack(origin, ack);
        }
        let error = match self.route(origin, incoming) {
            Ok(_) => None,
            Err(objection) => objection.error,
        };
        let ack = ack_node(&incoming.id, &incoming.to, self.now_s()).opt_attr("error", error);
        match (&*strike.fault, origin.connection) {
            ("F34", _) => self.write_ack(origin, ack.attr("phash", "2:AAAAAAAA")),
            ("F33", Some(id)) => {
                let delay = i64::try_from(strike.number("delay_ms", 70_000)).unwrap_or(70_000);
                self.timers.set(self.now_ms + delay, Timer::Write(id, Box::new(ack)));
            }
            _ => {}
        }
    }

    /// `Ok(None)`: the ack was written already. `Ok(Some(phash))`: taken. `Err`: refused.
    fn route(
        &mut self,
        origin: &Origin,
        incoming: &Incoming<'_>,
    ) -> Result<Option<Option<String>>, Objection> {
        let resend = self.resend_target(origin, incoming);
        if resend.is_none() && self.is_duplicate(origin, incoming)? {
            let known = self.device(&origin.device).and_then(|device| device.accepted.get(&incoming.id));
            let t = known.map(|known| known.t);
            let ack = ack_node(&incoming.id, &incoming.to, t.unwrap_or_else(|| self.now_s()));
            self.write_ack(origin, ack);
            return Ok(None);
        }
        let peer = incoming.node.str("category").as_deref() == Some("peer");
        if let Some(target) = &resend {
            if self.judge_retry(origin, &incoming.id, target) {
                return Ok(Some(None));
            }
        } else if !peer {
            self.judge_message_rate(origin)?;
        }
        let strict = self.is_strict(&origin.device.number);
        if let Some(objection) = self.check_framing(origin, &incoming.copies) {
            self.refuse(origin, strict, objection)?;
        }
        if let Some(objection) = self.check_device_identity(origin, incoming.node) {
            self.fault(origin, objection.code, objection.detail);
        }
        let routed = match resend {
            Some(target) => self.route_resend(target, incoming),
            None if incoming.node.str("category").as_deref() == Some("peer") => {
                self.route_peer(origin, incoming)?
            }
            None if incoming.to.is_group() => self.route_group(origin, incoming)?,
            None if incoming.to.is_status() => self.route_status(incoming)?,
            None => self.route_user(origin, incoming)?,
        };
        self.accept(origin, incoming, &routed);
        let sent: Vec<(DeviceRef, Node)> = routed
            .targets
            .iter()
            .flat_map(|(device, encs)| encs.iter().map(|enc| (device.clone(), enc.clone())))
            .collect();
        self.judge_counters(origin, &sent);
        for (target, encs) in routed.targets {
            self.deliver(origin, incoming, &target, encs);
        }
        Ok(Some(routed.phash))
    }

    /// In `strict` the objection's error is the answer; elsewhere it is only recorded.
    fn refuse(&mut self, origin: &Origin, strict: bool, objection: Objection) -> Result<(), Objection> {
        if strict && objection.error.is_some() {
            return Err(objection);
        }
        self.fault(origin, objection.code, objection.detail);
        Ok(())
    }

    /// Check 2. `device_fanout="false"` reaches devices that got nothing of this id yet.
    fn is_duplicate(&mut self, origin: &Origin, incoming: &Incoming<'_>) -> Result<bool, Objection> {
        let now = self.now_ms;
        let Some(device) = self.device_mut(&origin.device) else { return Ok(false) };
        let Some(known) = device.accepted.get(&incoming.id) else { return Ok(false) };
        if now - known.at_ms >= REMEMBERED_MS {
            device.accepted.remove(&incoming.id);
            return Ok(false);
        }
        let (on, reached) = (known.connection, known.targets.clone());
        let named = self.named_devices(incoming);
        if incoming.node.str("device_fanout").as_deref() == Some("false") && named.is_disjoint(&reached) {
            return Ok(false);
        }
        let asked = |target: &DeviceRef| self.retries.asked(&origin.device, &incoming.id, target, now);
        let in_wrapper = incoming.node.find("participants").is_some();
        if in_wrapper && !named.is_empty() && named != reached && named.iter().all(asked) {
            if self.is_strict(&origin.device.number) {
                return Err(Objection::new(479, "retry-fanout", "a retry resend in a participants wrapper"));
            }
            return Ok(false);
        }
        if origin.connection.is_some() && on == origin.connection {
            self.fault(origin, "duplicate-id", format!("a message to {} again after its ack", incoming.to));
        }
        Ok(true)
    }

    fn named_devices(&self, incoming: &Incoming<'_>) -> BTreeSet<DeviceRef> {
        incoming.copies.iter().filter_map(|copy| self.resolve(copy.to.as_ref()?)).collect()
    }

    /// The device that asked for this message again, if this is the answer (05b §10).
    fn resend_target(&self, origin: &Origin, incoming: &Incoming<'_>) -> Option<DeviceRef> {
        if incoming.node.find("participants").is_some() && !incoming.to.is_status() {
            return None;
        }
        let participant = incoming.node.jid("participant");
        let jid = match (&participant, incoming.to.is_status()) {
            (Some(participant), _) => participant.clone(),
            (None, true) => incoming.copies.first()?.to.clone()?,
            (None, false) => incoming.to.clone(),
        };
        let target = self.resolve(&jid)?;
        self.retries.asked(&origin.device, &incoming.id, &target, self.now_ms).then_some(target)
    }

    fn route_resend(&self, target: DeviceRef, incoming: &Incoming<'_>) -> Routed {
        let encs = incoming.copies.iter().map(|copy| copied_enc(copy.enc)).collect();
        let linked = self.device(&target).is_some();
        let targets = if linked { BTreeMap::from([(target, encs)]) } else { BTreeMap::new() };
        Routed { targets, phash: None }
    }

    /// Peer messages go to own devices only.
    fn route_peer(&self, origin: &Origin, incoming: &Incoming<'_>) -> Result<Routed, Objection> {
        let target = self.resolve(&incoming.to).filter(|at| at.number == origin.device.number);
        let Some(target) = target.filter(|target| *target != origin.device) else {
            return Err(Objection::new(403, "peer-target", format!("a peer message to {}", incoming.to)));
        };
        Ok(self.route_resend(target, incoming))
    }

    fn route_user(&mut self, origin: &Origin, incoming: &Incoming<'_>) -> Result<Routed, Objection> {
        let Some(peer) = self.resolve(&incoming.to).map(|at| at.number) else {
            return Err(Objection::new(404, "", ""));
        };
        self.judge_outreach(origin, &peer)?;
        self.check_token(origin, incoming, &peer)?;
        self.check_restrictions(origin, &peer)?;
        let strict = self.is_strict(&origin.device.number);
        if let Some(objection) = self.check_fan_out(origin, &incoming.to, &incoming.copies) {
            self.refuse(origin, strict, objection)?;
        }
        if incoming.to.device() != 0 && strict {
            self.fault(origin, "device-recipient", format!("a message to the device {}", incoming.to));
        }
        let mut targets: BTreeMap<DeviceRef, Vec<Node>> = BTreeMap::new();
        for copy in &incoming.copies {
            let Some(device) = self.resolve(copy.to.as_ref().unwrap_or(&incoming.to)) else { continue };
            let foreign = device.number != peer && device.number != origin.device.number;
            if !foreign && device != origin.device && !targets.contains_key(&device) {
                targets.insert(device, vec![copied_enc(copy.enc)]);
            }
        }
        let phash = self.fan_out_hash(origin, incoming, &peer, &targets);
        targets.retain(|device, _| self.device(device).is_some_and(|known| known.keys.is_some()));
        let namespace = Namespace::of(&incoming.to);
        self.acquainted(&origin.device.number, &peer, namespace);
        self.acquainted(&peer, &origin.device.number, namespace);
        self.note_written(&origin.device.number, &peer);
        self.heard_from(&peer, &origin.device.number);
        Ok(Routed { targets, phash })
    }

    /// Check 8: what the sender did not know of.
    fn fan_out_hash(
        &mut self,
        origin: &Origin,
        incoming: &Incoming<'_>,
        peer: &str,
        targets: &BTreeMap<DeviceRef, Vec<Node>>,
    ) -> Option<String> {
        if incoming.node.str("device_fanout").as_deref() == Some("false") {
            return None;
        }
        let expected = self.expected_devices(origin, peer);
        let sent: BTreeSet<DeviceRef> = targets.keys().cloned().collect();
        if expected == sent {
            return None;
        }
        let now = self.now_ms;
        let settled = |device: &DeviceRef| {
            let pairing = self.device(device).and_then(|device| device.pairing.as_ref());
            pairing.is_none_or(|pairing| now - pairing.paired_ms > KNOWN_AFTER_MS)
        };
        let own = |device: &&DeviceRef| device.number == origin.device.number && settled(device);
        let missed: Vec<u16> = expected.difference(&sent).filter(own).map(|device| device.device).collect();
        if !missed.is_empty() && self.is_strict(&origin.device.number) {
            self.fault(
                origin,
                "missing-own-device",
                format!("a message left out the own devices {missed:?}"),
            );
        }
        let namespace = Namespace::of(&incoming.to);
        let all = expected.iter().chain([&origin.device]);
        Some(device_hash(all.filter_map(|device| self.device_jid(device, namespace))))
    }

    /// Check 5: a restricted account wants a token that it issued within 28 days (09 §18 no. 2).
    fn check_token(&self, origin: &Origin, incoming: &Incoming<'_>, peer: &str) -> Result<(), Objection> {
        let token = incoming.node.find("tctoken");
        if origin.connection.is_none() || self.may_reach(&origin.device.number, peer, token) {
            return Ok(());
        }
        Err(Objection::new(463, "", ""))
    }

    /// Status: the recipients are the list of the stanza.
    fn route_status(&mut self, incoming: &Incoming<'_>) -> Result<Routed, Objection> {
        if incoming.node.get("addressing_mode").is_some() {
            return Err(Objection::new(479, "status-addressing-mode", "addressing_mode on status@broadcast"));
        }
        let mut targets: BTreeMap<DeviceRef, Vec<Node>> = BTreeMap::new();
        let common: Vec<Node> = incoming
            .copies
            .iter()
            .filter(|copy| copy.to.is_none())
            .map(|copy| copied_enc(copy.enc))
            .collect();
        let listed = incoming.node.find("participants").into_iter().flat_map(|list| list.find_all("to"));
        for jid in listed.filter_map(|to| to.jid("jid")) {
            let Some(device) = self.resolve(&jid) else { continue };
            targets.entry(device).or_default();
        }
        for copy in &incoming.copies {
            if let Some(device) = copy.to.as_ref().and_then(|jid| self.resolve(jid)) {
                targets.entry(device).or_default().push(copied_enc(copy.enc));
            }
        }
        targets.values_mut().for_each(|encs| encs.extend(common.iter().cloned()));
        targets.retain(|device, _| self.device(device).is_some());
        Ok(Routed { targets, phash: None })
    }

    fn accept(&mut self, origin: &Origin, incoming: &Incoming<'_>, routed: &Routed) {
        let (now, t) = (self.now_ms, self.now_s());
        let Some(device) = self.device_mut(&origin.device) else { return };
        if device.accepted.len() > 20_000 {
            device.accepted.retain(|_, known| now - known.at_ms < REMEMBERED_MS);
        }
        let fresh =
            AcceptedMessage { saved: false, at_ms: now, connection: None, targets: BTreeSet::new(), t };
        let known = device.accepted.entry(incoming.id.clone()).or_insert(fresh);
        known.saved = false;
        known.connection = origin.connection;
        known.targets.extend(routed.targets.keys().cloned());
    }

    fn ack_message(
        &mut self,
        origin: &Origin,
        id: &str,
        to: &Jid,
        phash: Option<String>,
        error: Option<u16>,
    ) {
        let ack = ack_node(id, to, self.now_s()).opt_attr("phash", phash).opt_attr("error", error);
        self.write_ack(origin, ack);
    }

    fn write_ack(&mut self, origin: &Origin, ack: Node) {
        match origin.connection {
            Some(id) => self.write(id, ack),
            None => self.answer_phone(&origin.device, ack),
        }
    }

    /// Puts one device's copy together and into its queue.
    fn deliver(&mut self, origin: &Origin, incoming: &Incoming<'_>, target: &DeviceRef, encs: Vec<Node>) {
        let Some(sender) = self.accounts.get(&origin.device.number) else { return };
        let collective = !incoming.to.is_user();
        let namespace = self.addressing(incoming);
        let from = sender.jid(namespace, origin.device.device);
        let other = sender.jid(namespace.other(), 0);
        let own = !collective && target.number == origin.device.number;
        let peer = incoming.node.str("category").as_deref() == Some("peer");
        let mut message = Node::new("message").attr("id", incoming.id.clone());
        if collective {
            let key = if namespace == Namespace::Lid { "participant_pn" } else { "participant_lid" };
            message = message.attr("from", incoming.to.clone()).attr("participant", from).attr(key, other);
        } else {
            let key = if namespace == Namespace::Lid { "sender_pn" } else { "sender_lid" };
            message = message.attr("from", from).attr(key, other);
        }
        if own && !peer {
            message = self.with_recipient(message, incoming, namespace);
        }
        for key in COPIED {
            message = message.opt_attr(key, incoming.node.get(key).cloned());
        }
        let prekey = encs.iter().any(|enc| enc.str("type").as_deref() == Some("pkmsg"));
        let identity = incoming.node.find("device-identity").filter(|_| prekey).cloned();
        let extras = incoming.node.nodes().filter(|child| CHILDREN.contains(&&*child.tag)).cloned();
        message = message
            .attr("t", self.now_s())
            .opt_attr("notify", Some(sender.push_name.clone()).filter(|name| !name.is_empty()))
            .opt_attr("addressing_mode", (!incoming.to.is_status()).then_some(namespace.word()))
            .children(encs)
            .children(identity)
            .children(extras);
        let key =
            self.peer_key(&if collective { incoming.to.clone() } else { Jid::clone(&self_jid(&message)) });
        if self.is_driven(target) {
            self.hand_to_driven(target, Kind::Message, message);
        } else {
            let kind = if own && !peer { Kind::OwnCopy } else { Kind::Message };
            self.enqueue(target, kind, Some(key), message);
        }
    }

    /// The form that a message's receivers see addresses in.
    fn addressing(&self, incoming: &Incoming<'_>) -> Namespace {
        if let Some(group) = self.groups.get(incoming.to.user()).filter(|_| incoming.to.is_group()) {
            return group.addressing;
        }
        if incoming.to.is_user() {
            return Namespace::of(&incoming.to);
        }
        incoming.copies.iter().find_map(|copy| copy.to.as_ref()).map_or(Namespace::Pn, Namespace::of)
    }

    fn with_recipient(&self, message: Node, incoming: &Incoming<'_>, namespace: Namespace) -> Node {
        // A retry resend to an own device names the chat itself.
        let chat = incoming.node.jid("recipient").unwrap_or_else(|| incoming.to.without_device());
        let other = self
            .resolve(&chat)
            .and_then(|at| self.device_jid(&DeviceRef::new(&at.number, 0), namespace.other()));
        let key = if namespace == Namespace::Lid { "peer_recipient_pn" } else { "peer_recipient_lid" };
        message.attr("recipient", chat).opt_attr(key, other)
    }
}

/// The `from` of a stanza that the server made itself.
fn self_jid(message: &Node) -> Jid {
    message.jid("from").unwrap_or_else(|| Jid::server_only(Server::Pn))
}

fn ack_node(id: &str, to: &Jid, t: i64) -> Node {
    Node::new("ack").attr("class", "message").attr("id", id.to_owned()).attr("from", to.clone()).attr("t", t)
}

/// An `enc` as its receiver gets it.
pub(crate) fn copied_enc(enc: &Node) -> Node {
    let mut copy = Node::new("enc");
    for key in ENC_COPIED {
        copy = copy.opt_attr(key, enc.get(key).cloned());
    }
    copy.bytes(enc.content_bytes().unwrap_or_default().into_owned())
}
