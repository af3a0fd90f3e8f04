//! A hand-made companion for tests of the world: it pairs, logs in and sends stanzas without sockets. Its messages
//! are framed like Signal's but open for nobody, so tests address companions, not phones.

use std::collections::BTreeMap;

use prost::Message;
use tokio::sync::mpsc;

use super::{ConnectionId, NewAccount, Out, Peer, World};
use crate::crypto::{KeyPair, random_bytes, xeddsa};
use crate::proto::{
    ClientPayload, DeviceProps, PreKeySignalMessage, SignalMessage, client_payload, device_props,
};
use crate::signal::adv::{self, AdvSecret};
use crate::signal::qr::Qr;
use crate::sim::config::{Profile, SimConfig};
use crate::sim::rules::Mode;
use crate::sim::seam::PhoneCommand;
use crate::sim::seed::{self, SimRng};
use crate::sim::state::Mirror;
use crate::wire::{Jid, Node};

pub(crate) const START: i64 = 1_786_000_000_000;

/// A world and what tests do with it.
pub(crate) struct Lab {
    pub world: World,
}

impl World {
    /// The world as its written state gives it back.
    pub fn reopened(&mut self) -> World {
        let mut mirror = Mirror::default();
        self.collect(&mut mirror).unwrap();
        World::restore(SimConfig::in_memory(1, START), START, mirror.tree().clone()).unwrap()
    }
}

impl Lab {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut SimConfig)) -> Self {
        let mut config = SimConfig::in_memory(1, START);
        change(&mut config);
        let mut world = World::new(config, START);
        // The companions of these tests write no more than the server looks at.
        world.rules.shapes.mode = Mode::Off;
        Self { world }
    }

    pub fn account(&mut self) -> String {
        self.world.create_account(NewAccount::default()).unwrap()
    }

    pub fn lenient_account(&mut self) -> String {
        let new = NewAccount { profile: Some(Profile::Lenient), ..NewAccount::default() };
        self.world.create_account(new).unwrap()
    }

    pub fn later(&mut self, ms: i64) {
        let to = self.world.now_ms + ms;
        self.world.advance_to(to);
        self.world.settle();
    }

    /// A companion that is linked, logged in, active and has uploaded `keys` prekeys.
    pub fn companion(&mut self, number: &str, keys: u32) -> Companion {
        let mut companion = Companion::register(self, number);
        companion.pair(self, number);
        companion.login(self, true);
        companion.upload(self, 1..=keys);
        companion.iq(self, "passive", "set", Node::new("active"));
        companion.drain();
        companion
    }

    pub fn violations(&self) -> Vec<(String, u64)> {
        self.world.violations.by_code().into_iter().collect()
    }
}

/// A companion.
pub(crate) struct Companion {
    pub noise: KeyPair,
    pub identity: KeyPair,
    pub registration: u32,
    pub secret: AdvSecret,
    pub account: Vec<u8>,
    pub jid: Option<Jid>,
    pub lid: Option<Jid>,
    pub connection: ConnectionId,
    out: mpsc::Receiver<Out>,
    rng: SimRng,
    signed: (KeyPair, [u8; 64]),
    next_iq: u64,
    counters: BTreeMap<String, u32>,
}

impl Companion {
    /// Connects with fresh keys and a register payload.
    pub fn register(lab: &mut Lab, name: &str) -> Self {
        let mut rng = seed::stream(9, "test companion", &format!("{name} {}", lab.world.connections.len()));
        let identity = KeyPair::generate(&mut rng);
        let signed = KeyPair::generate(&mut rng);
        let signature = xeddsa::sign(&identity, &[&signed.public().serialize()], &random_bytes(&mut rng));
        let (connection, out) = lab.world.connect(Peer { source: "test".into(), ..Peer::default() });
        let mut companion = Self {
            noise: KeyPair::generate(&mut rng),
            identity,
            registration: 1234,
            secret: AdvSecret::generate(&mut rng),
            account: Vec::new(),
            jid: None,
            lid: None,
            connection,
            out,
            rng,
            signed: (signed, signature),
            next_iq: 0,
            counters: BTreeMap::new(),
        };
        let payload = companion.register_payload();
        companion.hello(lab, &payload);
        companion
    }

    pub fn register_payload(&self) -> ClientPayload {
        let props = DeviceProps {
            os: Some("Linux".into()),
            platform_type: Some(device_props::PlatformType::Chrome.into()),
            ..Default::default()
        };
        ClientPayload {
            passive: Some(false),
            device_pairing_data: Some(client_payload::DevicePairingRegistrationData {
                e_regid: Some(self.registration.to_be_bytes().to_vec()),
                e_keytype: Some(vec![5]),
                e_ident: Some(self.identity.public().as_bytes().to_vec()),
                e_skey_id: Some(vec![0, 0, 1]),
                e_skey_val: Some(self.signed.0.public().as_bytes().to_vec()),
                e_skey_sig: Some(self.signed.1.to_vec()),
                build_hash: None,
                device_props: Some(props.encode_to_vec()),
            }),
            ..Default::default()
        }
    }

    pub fn hello(&mut self, lab: &mut Lab, payload: &ClientPayload) {
        lab.world.hello(self.connection, *self.noise.public(), &payload.encode_to_vec());
    }

    /// The QR of the first ref.
    pub fn qr(&self, pair_device: &Node, index: usize) -> String {
        let refs: Vec<_> = pair_device.find("pair-device").unwrap().nodes().collect();
        Qr {
            reference: refs[index].content_text().unwrap().into_owned(),
            noise: *self.noise.public(),
            identity: *self.identity.public(),
            adv_secret: AdvSecret::new(*self.secret.as_bytes()),
            client_type: Some('1'),
        }
        .text()
    }

    /// The whole way from pair-device to 515.
    pub fn pair(&mut self, lab: &mut Lab, number: &str) -> u64 {
        let pair_device = self.take("iq");
        self.answer(lab, &pair_device, None);
        let (op, qr) = (lab.world.new_op(), self.qr(&pair_device, 0));
        let scan = PhoneCommand::ScanQr { op, qr, corrupt: None };
        lab.world.command(number, scan).unwrap();
        self.sign(lab);
        let end = self.take("stream:error");
        assert_eq!(end.str("code").as_deref(), Some("515"));
        op
    }

    /// Verifies and signs pair-success.
    pub fn sign(&mut self, lab: &mut Lab) {
        let iq = self.take("iq");
        let success = iq.find("pair-success").unwrap();
        let container = success.find("device-identity").unwrap().content_bytes().unwrap();
        let verified =
            adv::companion::verify(&container, &self.secret, self.identity.public(), None).unwrap();
        let linked = verified.sign(&self.identity, &random_bytes(&mut self.rng));
        let device = success.find("device").unwrap();
        (self.jid, self.lid) = (device.jid("jid"), device.jid("lid"));
        self.account = linked.account;
        let identity = Node::new("device-identity").attr("key-index", "1").bytes(linked.reply);
        self.answer(lab, &iq, Some(Node::new("pair-device-sign").child(identity)));
    }

    pub fn answer(&mut self, lab: &mut Lab, iq: &Node, child: Option<Node>) {
        let answer = Node::new("iq")
            .attr("to", Jid::service())
            .attr("type", "result")
            .attr("id", iq.str("id").unwrap().into_owned())
            .children(child);
        lab.world.stanza(self.connection, answer);
    }

    /// Another connection than its own.
    pub fn take_over(&mut self, connection: ConnectionId, out: mpsc::Receiver<Out>) {
        (self.connection, self.out) = (connection, out);
    }

    pub fn active(&mut self, lab: &mut Lab) {
        self.iq(lab, "passive", "set", Node::new("active"));
        self.drain();
    }

    /// A new connection with the login payload; what comes first is left to read.
    pub fn login(&mut self, lab: &mut Lab, passive: bool) {
        self.reconnect(lab);
        self.log_in(lab, passive);
    }

    /// The login payload on the present connection.
    pub fn log_in(&mut self, lab: &mut Lab, passive: bool) {
        let jid = self.jid.clone().unwrap();
        let payload = ClientPayload {
            username: Some(jid.user().parse().unwrap()),
            device: Some(jid.device().into()),
            passive: Some(passive),
            ..Default::default()
        };
        self.hello(lab, &payload);
    }

    pub fn reconnect(&mut self, lab: &mut Lab) {
        (self.connection, self.out) = lab.world.connect(Peer { source: "test".into(), ..Peer::default() });
    }

    pub fn disconnect(&mut self, lab: &mut Lab) {
        lab.world.disconnected(self.connection);
        lab.world.settle();
        self.drain();
    }

    /// A value pair of one-time keys and the current signed prekey.
    pub fn upload_node(&mut self, ids: impl IntoIterator<Item = u32>) -> Vec<Node> {
        let keys: Vec<Node> = ids
            .into_iter()
            .map(|id| {
                let mut key = [0; 32];
                key[..4].copy_from_slice(&id.to_be_bytes());
                key[4] = 7;
                let id = Node::new("id").bytes(super::keys::be24(id));
                Node::new("key").child(id).child(Node::new("value").bytes(key))
            })
            .collect();
        vec![
            Node::new("registration").bytes(self.registration.to_be_bytes()),
            Node::new("type").bytes([5]),
            Node::new("identity").bytes(*self.identity.public().as_bytes()),
            Node::new("list").children(keys),
            Node::new("skey")
                .child(Node::new("id").bytes([0, 0, 1]))
                .child(Node::new("value").bytes(*self.signed.0.public().as_bytes()))
                .child(Node::new("signature").bytes(self.signed.1)),
        ]
    }

    pub fn upload(&mut self, lab: &mut Lab, ids: impl IntoIterator<Item = u32>) -> Node {
        let children = self.upload_node(ids);
        self.iq_children(lab, "encrypt", "set", children)
    }

    pub fn iq(&mut self, lab: &mut Lab, xmlns: &'static str, kind: &'static str, child: Node) -> Node {
        self.iq_children(lab, xmlns, kind, vec![child])
    }

    /// Sends an IQ and takes its answer; other stanzas stay in order behind.
    pub fn iq_children(
        &mut self,
        lab: &mut Lab,
        xmlns: &'static str,
        kind: &'static str,
        children: Vec<Node>,
    ) -> Node {
        self.next_iq += 1;
        let id = format!("1.1-{}", self.next_iq);
        let iq = Node::new("iq")
            .attr("to", Jid::service())
            .attr("xmlns", xmlns)
            .attr("type", kind)
            .attr("id", id.clone())
            .children(children);
        lab.world.stanza(self.connection, iq);
        self.find(|node| node.tag == "iq" && node.str("id").as_deref() == Some(&*id))
    }

    pub fn send(&mut self, lab: &mut Lab, node: Node) {
        lab.world.stanza(self.connection, node);
    }

    /// Everything that has come, in order.
    pub fn drain(&mut self) -> Vec<Node> {
        let mut nodes = Vec::new();
        while let Ok(out) = self.out.try_recv() {
            if let Out::Stanza(node) = out {
                nodes.push(node);
            }
        }
        nodes
    }

    /// Everything that has come, whatever it is.
    pub fn outs(&mut self) -> Vec<Out> {
        std::iter::from_fn(|| self.out.try_recv().ok()).collect()
    }

    /// Whether the world has asked to close this connection, everything before it dropped.
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.out.try_recv() {
                Ok(Out::Close(_)) | Err(mpsc::error::TryRecvError::Disconnected) => return true,
                Ok(_) => {}
                Err(mpsc::error::TryRecvError::Empty) => return false,
            }
        }
    }

    /// The next stanza with this tag; those before it are dropped.
    pub fn take(&mut self, tag: &str) -> Node {
        self.find(|node| node.tag == tag)
    }

    pub fn find(&mut self, wanted: impl Fn(&Node) -> bool) -> Node {
        let mut seen = Vec::new();
        while let Ok(out) = self.out.try_recv() {
            match out {
                Out::Stanza(node) if wanted(&node) => return node,
                Out::Stanza(node) => seen.push(node),
                _ => {}
            }
        }
        panic!("not among what came: {seen:?}");
    }

    /// An `enc` for a device: a `pkmsg` at the first, then `msg`, with growing counters.
    pub fn enc(&mut self, to: &Jid) -> Node {
        let counter = self.counters.entry(to.to_string()).or_default();
        *counter += 1;
        let counter = *counter - 1;
        self.enc_with(to, counter, u8::try_from(counter).unwrap())
    }

    pub fn enc_with(&self, to: &Jid, counter: u32, fill: u8) -> Node {
        let mut ratchet_key = vec![5; 33];
        ratchet_key[1..9].copy_from_slice(&crate::crypto::sha256(to.to_string().as_bytes())[..8]);
        let inner = SignalMessage {
            ratchet_key: Some(ratchet_key),
            counter: Some(counter),
            previous_counter: Some(0),
            ciphertext: Some(vec![fill; 32]),
        };
        let inner = [vec![0x33], inner.encode_to_vec(), vec![0; 8]].concat();
        if counter > 0 {
            return Node::new("enc").attr("v", "2").attr("type", "msg").bytes(inner);
        }
        let outer = PreKeySignalMessage {
            pre_key_id: Some(1),
            base_key: Some(vec![5; 33]),
            identity_key: Some(self.identity.public().serialize().to_vec()),
            message: Some(inner),
            registration_id: Some(self.registration),
            signed_pre_key_id: Some(1),
            ..Default::default()
        };
        let bytes = [vec![0x33], outer.encode_to_vec()].concat();
        Node::new("enc").attr("v", "2").attr("type", "pkmsg").bytes(bytes)
    }

    /// A text message to a chat, with a copy for each of the devices.
    pub fn message(&mut self, id: &str, to: &Jid, devices: &[Jid]) -> Node {
        let copies: Vec<Node> = devices
            .iter()
            .map(|device| Node::new("to").attr("jid", device.clone()).child(self.enc(device)))
            .collect();
        Node::new("message")
            .attr("id", id.to_owned())
            .attr("to", to.clone())
            .attr("type", "text")
            .child(Node::new("participants").children(copies))
            .child(Node::new("device-identity").bytes(self.account.clone()))
    }
}
