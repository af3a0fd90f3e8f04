//! A companion written for these tests: just enough of one to be linked, to read what the phone says and to answer.

use std::collections::BTreeMap;

use prost::Message as _;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::sync::mpsc::Receiver;

use super::Sim;
use crate::crypto::{KeyPair, PublicKey, random_bytes};
use crate::proto::{ClientPayload, DeviceProps, Message, client_payload};
use crate::signal::adv::{AdvError, AdvSecret, companion};
use crate::signal::link_code::{self, Code, FinishRandom};
use crate::signal::qr::Qr;
use crate::signal::{
    CiphertextType, Guard, Local, OpenedBy, PreKeyBundle, PreKeySignalMessage, PreKeys, Receive,
    SessionRecord, SignalMessage, SignedPreKey, padding,
};
use crate::sim::world::Out;
use crate::sim::world::{ConnectionId, Peer};
use crate::wire::{Jid, Node};

const REG: &str = "link_code_companion_reg";

/// A message as a companion read it.
pub(super) struct Got {
    pub stanza: Node,
    pub message: Message,
}

pub(super) struct Companion {
    connection: ConnectionId,
    out: Receiver<Out>,
    rng: ChaCha20Rng,
    noise: KeyPair,
    pub identity: KeyPair,
    signed: SignedPreKey,
    one_time: BTreeMap<u32, KeyPair>,
    secret: AdvSecret,
    pub refs: Vec<String>,
    pub jid: Option<Jid>,
    account: Vec<u8>,
    pub account_key: Option<PublicKey>,
    pub refused: Option<AdvError>,
    pub sessions: BTreeMap<Jid, SessionRecord>,
    pub got: Vec<Got>,
    /// Everything else that came, newest last.
    pub heard: Vec<Node>,
    code: Option<(Code, KeyPair, String)>,
    next_id: u32,
}

struct Keys<'a>(&'a SignedPreKey, &'a BTreeMap<u32, KeyPair>);

impl PreKeys for Keys<'_> {
    fn signed_prekey(&mut self, id: u32) -> Option<KeyPair> {
        (id == self.0.id).then(|| self.0.pair.clone())
    }

    fn one_time_prekey(&mut self, id: u32) -> Option<KeyPair> {
        self.1.get(&id).cloned()
    }
}

impl Companion {
    /// Connects with a registration payload and reads the refs.
    pub fn register(sim: &mut Sim, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let identity = KeyPair::generate(&mut rng);
        let signed = SignedPreKey::generate(1, &identity, &mut rng);
        let (connection, out) = sim.0.connect(Peer::default());
        let mut companion = Self {
            connection,
            out,
            noise: KeyPair::generate(&mut rng),
            secret: AdvSecret::generate(&mut rng),
            one_time: (1..=30).map(|id| (id, KeyPair::generate(&mut rng))).collect(),
            identity,
            signed,
            rng,
            refs: Vec::new(),
            jid: None,
            account: Vec::new(),
            account_key: None,
            refused: None,
            sessions: BTreeMap::new(),
            got: Vec::new(),
            heard: Vec::new(),
            code: None,
            next_id: 0,
        };
        let props =
            DeviceProps { os: Some("Linux".to_owned()), platform_type: Some(1), ..Default::default() };
        let data = client_payload::DevicePairingRegistrationData {
            e_regid: Some(77_u32.to_be_bytes().to_vec()),
            e_keytype: Some(vec![5]),
            e_ident: Some(companion.identity.public().as_bytes().to_vec()),
            e_skey_id: Some(vec![0, 0, 1]),
            e_skey_val: Some(companion.signed.pair.public().as_bytes().to_vec()),
            e_skey_sig: Some(companion.signed.signature.to_vec()),
            device_props: Some(props.encode_to_vec()),
            ..Default::default()
        };
        let payload = ClientPayload { device_pairing_data: Some(data), ..Default::default() };
        sim.0.hello(connection, *companion.noise.public(), &payload.encode_to_vec());
        companion.pump(sim);
        companion
    }

    pub fn qr(&self) -> String {
        Qr {
            reference: self.refs[0].clone(),
            noise: *self.noise.public(),
            identity: *self.identity.public(),
            adv_secret: self.secret.clone(),
            client_type: Some('1'),
        }
        .text()
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        format!("c{}", self.next_id)
    }

    pub fn send(&mut self, sim: &mut Sim, stanza: Node) {
        sim.0.stanza(self.connection, stanza);
        self.pump(sim);
    }

    /// Sends an IQ; the answer.
    pub fn ask(&mut self, sim: &mut Sim, iq: Node) -> Node {
        let id = self.id();
        self.send(sim, iq.attr("to", Jid::service()).attr("id", id.clone()));
        let answer =
            self.heard.iter().rposition(|node| node.tag == "iq" && node.str("id").as_deref() == Some(&id));
        self.heard.remove(answer.unwrap())
    }

    /// Works off what the server wrote.
    pub fn pump(&mut self, sim: &mut Sim) {
        while let Ok(out) = self.out.try_recv() {
            let Out::Stanza(node) = out else { continue };
            match &*node.tag {
                "message" => self.message(sim, node),
                "iq" if node.find("pair-device").is_some() => {
                    let refs = node.find("pair-device").unwrap().find_all("ref");
                    self.refs = refs.map(|node| node.content_text().unwrap().into_owned()).collect();
                    self.result(sim, &node, Vec::new());
                }
                "iq" if node.find("pair-success").is_some() => self.pair_success(sim, &node),
                "notification" if node.find(REG).is_some() => self.primary_hello(sim, &node),
                "stream:error" if node.str("code").as_deref() == Some("515") => self.log_in(sim),
                _ => self.heard.push(node),
            }
        }
    }

    fn result(&mut self, sim: &mut Sim, iq: &Node, children: Vec<Node>) {
        let answer = Node::new("iq")
            .attr("to", Jid::service())
            .attr("id", iq.str("id").unwrap().into_owned())
            .attr("type", "result")
            .children(children);
        sim.0.stanza(self.connection, answer);
    }

    fn pair_success(&mut self, sim: &mut Sim, iq: &Node) {
        let success = iq.find("pair-success").unwrap();
        let container = success.find("device-identity").unwrap().content_bytes().unwrap();
        let verified = match companion::verify(&container, &self.secret, self.identity.public(), None) {
            Ok(verified) => verified,
            Err(error) => {
                self.refused = Some(error);
                let child = Node::new("error").attr("code", error.code()).attr("text", error.text());
                let answer = Node::new("iq")
                    .attr("to", Jid::service())
                    .attr("id", iq.str("id").unwrap().into_owned())
                    .attr("type", "error")
                    .child(child);
                return sim.0.stanza(self.connection, answer);
            }
        };
        let linked = verified.sign(&self.identity, &random_bytes(&mut self.rng));
        self.jid = success.find("device").unwrap().jid("jid");
        self.account = linked.account;
        self.account_key = Some(verified.account_key);
        let identity =
            Node::new("device-identity").attr("key-index", verified.details.key_index).bytes(linked.reply);
        self.result(sim, iq, vec![Node::new("pair-device-sign").child(identity)]);
    }

    /// Connects again as the device, uploads keys and becomes active.
    pub fn log_in(&mut self, sim: &mut Sim) {
        let jid = self.jid.clone().unwrap();
        let (connection, out) = sim.0.connect(Peer::default());
        (self.connection, self.out) = (connection, out);
        let payload = ClientPayload {
            username: jid.user().parse().ok(),
            device: Some(u32::from(jid.device())),
            passive: Some(true),
            ..Default::default()
        };
        sim.0.hello(connection, *self.noise.public(), &payload.encode_to_vec());
        let id = |id: u32| Node::new("id").bytes(id.to_be_bytes()[1..].to_vec());
        let value = |pair: &KeyPair| Node::new("value").bytes(*pair.public().as_bytes());
        let keys = self.one_time.iter().map(|(n, pair)| Node::new("key").child(id(*n)).child(value(pair)));
        let upload = Node::new("iq").attr("xmlns", "encrypt").attr("type", "set").children([
            Node::new("registration").bytes(77_u32.to_be_bytes()),
            Node::new("type").bytes([5]),
            Node::new("identity").bytes(*self.identity.public().as_bytes()),
            Node::new("list").children(keys.collect::<Vec<_>>()),
            Node::new("skey")
                .child(id(1))
                .child(value(&self.signed.pair))
                .child(Node::new("signature").bytes(self.signed.signature)),
        ]);
        assert_eq!(self.ask(sim, upload).str("type").as_deref(), Some("result"));
        let active = Node::new("iq").attr("xmlns", "passive").attr("type", "set").child(Node::new("active"));
        self.ask(sim, active);
        self.send(sim, Node::new("ib").child(Node::new("offline_batch").attr("count", "100")));
    }

    fn message(&mut self, sim: &mut Sim, stanza: Node) {
        let from = stanza.jid("from").unwrap();
        let receive = Receive { now: sim.0.now_ms, own_account: true };
        let mut sessions = self.sessions.remove(&from).unwrap_or_default();
        let enc = stanza.find("enc").unwrap();
        let bytes = enc.content_bytes().unwrap().into_owned();
        let guard = &mut Guard::default();
        let opened = match enc.str("type").as_deref() {
            Some("msg") => SignalMessage::parse(&bytes)
                .and_then(|message| sessions.decrypt_message(&message, receive, guard, &mut self.rng)),
            _ => PreKeySignalMessage::parse(&bytes).and_then(|message| {
                let local = Local { identity: &self.identity, registration_id: 77 };
                let keys = &mut Keys(&self.signed, &self.one_time);
                sessions.decrypt_prekey_message(local, &message, keys, receive, guard, &mut self.rng)
            }),
        };
        self.sessions.insert(from.clone(), sessions);
        let Ok(opened) = opened else { return self.heard.push(stanza) };
        if let OpenedBy::New { consumed_prekey: Some(id) } = opened.by {
            self.one_time.remove(&id);
        }
        let message = Message::decode(padding::unpad(&opened.plaintext).unwrap()).unwrap();
        let peer = stanza.str("category").as_deref() == Some("peer");
        let recipient = stanza.jid("recipient");
        let kind = if peer { Some("peer_msg") } else { recipient.as_ref().map(|_| "sender") };
        let receipt = Node::new("receipt")
            .attr("to", from)
            .attr("id", stanza.str("id").unwrap().into_owned())
            .opt_attr("type", kind)
            .opt_attr("recipient", recipient);
        self.got.push(Got { stanza, message });
        sim.0.stanza(self.connection, receipt);
    }

    /// Encrypts for a device, with a session of its bundle if there is none.
    fn seal(&mut self, sim: &mut Sim, device: &Jid, message: &[u8]) -> Node {
        let now = sim.0.now_ms;
        if !self.sessions.get(device).is_some_and(|sessions| sessions.can_send(now)) {
            let key = Node::new("key").child(Node::new("user").attr("jid", device));
            let iq = Node::new("iq").attr("xmlns", "encrypt").attr("type", "get").child(key);
            let answer = self.ask(sim, iq);
            let bundle = bundle(answer.find("list").unwrap().find("user").unwrap());
            let mut sessions = self.sessions.remove(device).unwrap_or_default();
            let local = Local { identity: &self.identity, registration_id: 77 };
            sessions.process_bundle(local, &bundle, now, &mut self.rng).unwrap();
            self.sessions.insert(device.clone(), sessions);
        }
        let padded = padding::pad(message, &mut self.rng);
        let sealed = self.sessions.get_mut(device).unwrap().encrypt(&padded, now).unwrap();
        Node::new("enc").attr("v", "2").attr("type", sealed.kind.as_str()).bytes(sealed.bytes)
    }

    /// A message to these devices, each with its plaintext; `device-identity` where it belongs.
    pub fn say(&mut self, sim: &mut Sim, to: &Jid, copies: &[(Jid, Vec<u8>)]) -> String {
        let id = format!("3EB0{:018}", self.next_id);
        let copies: Vec<Node> = copies
            .iter()
            .map(|(device, plain)| {
                let enc = self.seal(sim, device, plain);
                Node::new("to").attr("jid", device.in_device_form()).child(enc)
            })
            .collect();
        let stanza = Node::new("message").attr("id", id.clone()).attr("to", to).attr("type", "text");
        let stanza = stanza.child(Node::new("participants").children(copies)).child(self.device_identity());
        self.next_id += 1;
        self.send(sim, stanza);
        id
    }

    /// A peer message to the phone.
    pub fn tell_phone(&mut self, sim: &mut Sim, message: &Message) -> String {
        let phone = self.jid.as_ref().unwrap().to_user();
        let id = format!("3EB0{:018}", self.next_id);
        self.next_id += 1;
        let enc = self.seal(sim, &phone, &message.encode_to_vec());
        let stanza = Node::new("message")
            .attr("id", id.clone())
            .attr("to", phone)
            .attr("type", "text")
            .attr("category", "peer")
            .child(enc)
            .child(self.device_identity())
            .child(Node::new("meta").attr("appdata", "default"));
        self.send(sim, stanza);
        id
    }

    fn device_identity(&self) -> Node {
        Node::new("device-identity").bytes(self.account.clone())
    }

    /// A retry receipt for a message, with keys from the second on.
    pub fn retry(&mut self, sim: &mut Sim, stanza: &Node, count: u32) {
        let id = stanza.str("id").unwrap().into_owned();
        let retry = Node::new("retry").attr("v", "1").attr("count", count).attr("id", id.clone());
        let id24 = |id: u32| Node::new("id").bytes(id.to_be_bytes()[1..].to_vec());
        let keys = (count >= 2).then(|| {
            let fresh = KeyPair::generate(&mut self.rng);
            let value = Node::new("value").bytes(*fresh.public().as_bytes());
            self.one_time.insert(1000 + count, fresh);
            Node::new("keys").children([
                Node::new("type").bytes([5]),
                Node::new("identity").bytes(*self.identity.public().as_bytes()),
                Node::new("key").child(id24(1000 + count)).child(value),
                Node::new("skey")
                    .child(id24(1))
                    .child(Node::new("value").bytes(*self.signed.pair.public().as_bytes()))
                    .child(Node::new("signature").bytes(self.signed.signature)),
                self.device_identity(),
            ])
        });
        let receipt = Node::new("receipt")
            .attr("to", stanza.jid("from").unwrap())
            .attr("id", id)
            .attr("type", "retry")
            .opt_attr("recipient", stanza.jid("recipient"))
            .opt_attr("category", stanza.str("category").map(std::borrow::Cow::into_owned))
            .child(retry)
            .child(Node::new("registration").bytes(77_u32.to_be_bytes()))
            .children(keys);
        self.send(sim, receipt);
    }

    /// Asks to be linked by code; the code.
    pub fn ask_code(&mut self, sim: &mut Sim, number: &str) -> Code {
        let code = Code::generate(&mut self.rng);
        let ephemeral = KeyPair::generate(&mut self.rng);
        let (salt, iv) = (random_bytes(&mut self.rng), random_bytes(&mut self.rng));
        let wrapped = link_code::wrap(ephemeral.public(), &code, &salt, &iv);
        let stage =
            Node::new(REG).attr("jid", Jid::pn(number).unwrap()).attr("stage", "companion_hello").children([
                Node::new("link_code_pairing_wrapped_companion_ephemeral_pub").bytes(wrapped),
                Node::new("companion_server_auth_key_pub").bytes(*self.noise.public().as_bytes()),
                Node::new("companion_platform_id").text_bytes("1"),
                Node::new("companion_platform_display").text_bytes("Chrome (Linux)"),
                Node::new("link_code_pairing_nonce").bytes([0]),
            ]);
        let answer = self.ask(sim, Node::new("iq").attr("xmlns", "md").attr("type", "set").child(stage));
        let reference = answer.find(REG).unwrap().find("link_code_pairing_ref").unwrap();
        self.code = Some((code.clone(), ephemeral, reference.content_text().unwrap().into_owned()));
        code
    }

    fn primary_hello(&mut self, sim: &mut Sim, notification: &Node) {
        let stage = notification.find(REG).unwrap();
        let bytes = |tag: &str| stage.find(tag).unwrap().content_bytes().unwrap().into_owned();
        let (code, ephemeral, reference) = self.code.clone().unwrap();
        let primary = PublicKey::from_slice(&bytes("primary_identity_pub")).unwrap();
        let random = FinishRandom::generate(&mut self.rng);
        let finish = link_code::companion_finish(
            &code,
            &ephemeral,
            &self.identity,
            &bytes("link_code_pairing_wrapped_primary_ephemeral_pub"),
            &primary,
            &random,
        )
        .unwrap();
        self.secret = finish.adv_secret;
        let stage = Node::new(REG).attr("stage", "companion_finish").children([
            Node::new("link_code_pairing_wrapped_key_bundle").bytes(finish.bundle),
            Node::new("companion_identity_public").bytes(*self.identity.public().as_bytes()),
            Node::new("link_code_pairing_ref").text_bytes(&reference),
        ]);
        self.next_id += 1;
        let iq = Node::new("iq")
            .attr("to", Jid::service())
            .attr("id", format!("c{}", self.next_id))
            .attr("xmlns", "md")
            .attr("type", "set")
            .child(stage);
        sim.0.stanza(self.connection, iq);
    }
}

fn bundle(user: &Node) -> PreKeyBundle {
    let bytes = |node: &Node, tag: &str| node.find(tag).unwrap().content_bytes().unwrap().into_owned();
    let number = |bytes: Vec<u8>| bytes.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let public = |bytes: Vec<u8>| PublicKey::from_slice(&bytes).unwrap();
    let skey = user.find("skey").unwrap();
    let one_time = user.find("key").map(|key| (number(bytes(key, "id")), public(bytes(key, "value"))));
    PreKeyBundle::new(
        number(bytes(user, "registration")),
        public(bytes(user, "identity")),
        (number(bytes(skey, "id")), public(bytes(skey, "value")), &bytes(skey, "signature")),
        one_time,
    )
    .unwrap()
}

/// The first enc of a message is of the kind that makes a session.
pub(super) fn is_prekey(got: &Got) -> bool {
    got.stanza.find("enc").unwrap().str("type").as_deref() == Some(CiphertextType::PreKey.as_str())
}
