//! Pairing by QR: the server's part (02 §7, 09 §8). By code: `code`.

mod code;

use prost::Message;

pub(crate) use code::Hello;

use super::account::{Device, Pairing, SignedList};
use super::connection::{Connection, State};
use super::iq::{Refusal, Reply, child_bytes, text_of};
use super::timers::Timer;
use super::unlink::{required, signed_list};
use super::{ConnectionId, DeviceRef, Origin, World};
use crate::clock::UnixMillis;
use crate::crypto::{PublicKey, xeddsa};
use crate::proto::{
    AdvDeviceIdentity, AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac, ClientPayload, DeviceProps,
};
use crate::wire::{Jid, Node};

/// How many refs a registering client gets: the official client takes no other number.
const REFS: i64 = 6;
const FIRST_REF_MS: i64 = 60_000;
const LATER_REF_MS: i64 = 20_000;
/// How much longer than it is shown a ref may be scanned.
const GRACE_MS: i64 = 5_000;
/// How long a companion may take to answer pair-success.
const SIGN_WITHIN_MS: i64 = 30_000;
/// After 515 the client should close.
const CLOSE_AFTER_515_MS: i64 = 1_000;

/// A connection that wants to become a companion.
#[derive(Debug)]
pub(crate) struct Registration {
    noise: PublicKey,
    registration: u32,
    identity: PublicKey,
    props: Vec<u8>,
    os: String,
    platform_type: i32,
    refs: Vec<Ref>,
    refs_over: bool,
    pending: Option<Pending>,
    hello: Option<Hello>,
}

/// One pairing ref: a text that a phone may name once.
#[derive(Debug)]
struct Ref {
    text: String,
    until_ms: UnixMillis,
    used: bool,
}

/// A pair-success that waits for the companion's signature.
#[derive(Debug)]
struct Pending {
    at: DeviceRef,
    /// The id of the pair-success IQ.
    id: String,
    /// The phone's pair-device IQ, for its answer.
    request: Node,
    identity: AdvSignedDeviceIdentity,
    key_index: u32,
    list: SignedList,
}

impl Pairing {
    /// The `device-identity` of a bundle (09 §9).
    pub fn bundle_identity(&self, with_account_key: bool) -> Vec<u8> {
        let mut identity = AdvSignedDeviceIdentity::decode(&*self.signed_identity).unwrap_or_default();
        identity.account_signature_key = with_account_key.then(|| self.account_key.to_vec());
        identity.encode_to_vec()
    }
}

impl World {
    /// A register payload: verified, then the refs (09 §8).
    pub(crate) fn register(&mut self, id: ConnectionId, noise: PublicKey, payload: &ClientPayload) {
        let Some(mut registration) = parse_registration(noise, payload) else {
            return self.refuse_registration(id);
        };
        let mut until_ms = self.now_ms + FIRST_REF_MS + GRACE_MS;
        for _ in 0..REFS {
            registration.refs.push(Ref { text: self.new_ref::<72>(), until_ms, used: false });
            until_ms += LATER_REF_MS;
        }
        if self.registers_crudely() {
            self.write(id, Node::new("success").attr("t", self.now_s()).attr("location", "sim"));
        }
        let refs = registration.refs.iter().map(|r| Node::new("ref").text_bytes(&r.text)).collect::<Vec<_>>();
        let pair_device = Node::new("iq")
            .attr("from", Jid::service())
            .attr("id", self.next_id())
            .attr("type", "set")
            .attr("xmlns", "md")
            .child(Node::new("pair-device").children(refs));
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = State::Registering(Box::new(registration));
        }
        self.write(id, pair_device);
        self.timers.set(until_ms - LATER_REF_MS, Timer::RefExpired(id));
    }

    /// A text of `2@` and base64, as refs look like.
    fn new_ref<const N: usize>(&mut self) -> String {
        use base64::Engine;
        format!("2@{}", base64::engine::general_purpose::STANDARD.encode(self.random::<N>()))
    }

    pub(crate) fn ref_expired(&mut self, id: ConnectionId) {
        let Some(registration) = self.connections.get_mut(&id).and_then(|c| c.registration_mut()) else {
            return;
        };
        registration.refs_over = true;
        if registration.hello.is_none() && registration.pending.is_none() {
            self.end_with(id, None, 0);
        }
    }

    /// The phone's `pair-device`. `None`: the answer comes when the companion has signed.
    pub(crate) fn pair_device(&mut self, origin: &Origin, iq: &Node) -> Option<Reply> {
        match self.start_pairing(origin, iq) {
            Ok(()) => None,
            Err(refusal) => Some(Err(refusal)),
        }
    }

    fn start_pairing(&mut self, origin: &Origin, iq: &Node) -> Result<(), Refusal> {
        let request =
            iq.find("pair-device").filter(|_| origin.device.device == 0).ok_or(Refusal::BAD_REQUEST)?;
        let text = text_of(request, "ref").ok_or(Refusal::BAD_REQUEST)?;
        let key: [u8; 32] = required(request, "pub-key")?;
        let container = request.find("device-identity").and_then(Node::content_bytes);
        let container = container.ok_or(Refusal::BAD_REQUEST)?.into_owned();
        let list = request.find("key-index-list").and_then(signed_list).ok_or(Refusal::BAD_REQUEST)?;
        let account = self.accounts.get(&origin.device.number).ok_or(Refusal::ITEM_NOT_FOUND)?;
        if !account.has_signed(&list) {
            return Err(Refusal::BAD_REQUEST);
        }
        let id = self.take_ref(&text, &key)?;
        if self.judge_cooldown(&origin.device.number, id).is_err() {
            return Err(Refusal { code: 429, text: "cooldown" });
        }
        if let Some(registration) = self.connections.get(&id).and_then(Connection::registration) {
            self.refuses_double_link(&origin.device.number, (&registration.os, registration.platform_type))?;
        }
        let account = self.accounts.get_mut(&origin.device.number).ok_or(Refusal::ITEM_NOT_FOUND)?;
        if account.companions().count() >= account.companions_max {
            return Err(Refusal::CONFLICT);
        }
        let device = account.next_device;
        account.next_device += 1;
        let at = DeviceRef::new(&origin.device.number, device);
        let signed = AdvSignedDeviceIdentityHmac::decode(&*container).ok().and_then(|outer| outer.details);
        let identity =
            signed.and_then(|signed| AdvSignedDeviceIdentity::decode(&*signed).ok()).unwrap_or_default();
        let details = identity.details.as_deref().unwrap_or_default();
        let key_index = AdvDeviceIdentity::decode(details).ok().and_then(|d| d.key_index).unwrap_or_default();

        let props = request.find("client-props").cloned();
        let success_id = self.next_id();
        let success = self.pair_success(&at, &success_id, container, props).ok_or(Refusal::ITEM_NOT_FOUND)?;
        let pending = Pending { at, id: success_id, request: iq.clone(), identity, key_index, list };
        if let Some(registration) = self.connections.get_mut(&id).and_then(|c| c.registration_mut()) {
            registration.pending = Some(pending);
        }
        self.write(id, success);
        self.timers.set(self.now_ms + SIGN_WITHIN_MS, Timer::PairingTimeout(id));
        Ok(())
    }

    /// The connection that a ref belongs to; the ref is used up only when the key fits.
    fn take_ref(&mut self, text: &str, key: &[u8; 32]) -> Result<ConnectionId, Refusal> {
        let now = self.now_ms;
        for (id, connection) in &mut self.connections {
            let Some(registration) = connection.registration_mut() else { continue };
            let Some(fresh) = registration.ref_state(text, now) else { continue };
            if !fresh {
                return Err(Refusal { code: 404, text: "ref-expired" });
            }
            if registration.noise.as_bytes() != key {
                return Err(Refusal { code: 400, text: "pub-key-mismatch" });
            }
            registration.use_ref(text);
            return Ok(*id);
        }
        Err(Refusal::ITEM_NOT_FOUND)
    }

    fn pair_success(
        &self,
        at: &DeviceRef,
        id: &str,
        container: Vec<u8>,
        props: Option<Node>,
    ) -> Option<Node> {
        let account = self.accounts.get(&at.number)?;
        let device = Node::new("device")
            .attr("jid", account.pn.with_device(at.device))
            .attr("lid", account.lid.with_device(at.device));
        let mut children = vec![Node::new("device-identity").bytes(container), device];
        children.push(Node::new("platform").attr("name", account.platform.clone()));
        if account.business {
            children.push(Node::new("biz").attr("name", account.push_name.clone()));
        }
        children.extend(props);
        Some(
            Node::new("iq")
                .attr("from", Jid::service())
                .attr("id", id.to_owned())
                .attr("type", "set")
                .attr("xmlns", "md")
                .attr("t", self.now_s())
                .child(Node::new("pair-success").children(children)),
        )
    }

    /// A result or error of a registering client: interesting only for pair-success.
    pub(crate) fn registering_answer(&mut self, id: ConnectionId, node: &Node) {
        let answered = node.str("id").unwrap_or_default();
        let Some(registration) = self.connections.get_mut(&id).and_then(|c| c.registration_mut()) else {
            return;
        };
        let Some(pending) = registration.pending.take_if(|pending| pending.id == answered) else { return };
        let phone = Origin { device: DeviceRef::new(&pending.at.number, 0), connection: None };
        if node.str("type").as_deref() == Some("error") {
            let error = node.find("error");
            let code = error.and_then(|error| error.u64("code")).and_then(|code| u16::try_from(code).ok());
            let text = match error.and_then(|error| error.str("text")).as_deref() {
                Some("hmac-mismatch") => "hmac-mismatch",
                Some("signature-mismatch") => "signature-mismatch",
                Some("not-authorized") => "not-authorized",
                _ => "device-error",
            };
            let refusal = Refusal { code: code.unwrap_or(500), text };
            return self.reply(&phone, &pending.request, Err(refusal));
        }
        match registration.complete(&pending, node, self.now_ms) {
            Some(pairing) => self.paired(id, &phone, pending, pairing),
            None => {
                let detail = format!("pair-device-sign for {}:{}", pending.at.number, pending.at.device);
                self.connection_fault(id, "bad-device-signature", detail);
                self.reply(&phone, &pending.request, Err(Refusal::NOT_AUTHORIZED));
                self.end_with(id, None, 0);
            }
        }
    }

    fn paired(&mut self, id: ConnectionId, phone: &Origin, pending: Pending, pairing: Pairing) {
        let props = self.connections.get_mut(&id).and_then(|c| c.registration_mut()).map(|r| r.props.clone());
        let Some(account) = self.accounts.get_mut(&pending.at.number) else { return };
        account.key_index_list = Some(pending.list);
        let jid = account.pn.with_device(pending.at.device);
        account.devices.insert(pending.at.device, Device { pairing: Some(pairing), ..Device::default() });
        let result = vec![
            Node::new("device").attr("jid", jid),
            Node::new("companion-props").bytes(props.unwrap_or_default()),
        ];
        self.reply(phone, &pending.request, Ok(result));
        if !self.registers_crudely() {
            self.end_with(id, Some(Node::new("stream:error").attr("code", "515")), CLOSE_AFTER_515_MS);
        }
        self.judge_double_link(id, &pending.at);
    }

    pub(crate) fn pairing_timed_out(&mut self, id: ConnectionId) {
        let registration = self.connections.get_mut(&id).and_then(|c| c.registration_mut());
        let Some(pending) = registration.and_then(|registration| registration.pending.take()) else { return };
        self.pairing_failed(&pending);
        self.end_with(id, None, 0);
    }

    /// The connection of a registration is gone.
    pub(crate) fn registration_ended(&mut self, _id: ConnectionId, registration: &Registration) {
        if let Some(pending) = &registration.pending {
            self.pairing_failed(pending);
        }
    }

    fn pairing_failed(&mut self, pending: &Pending) {
        let phone = Origin { device: DeviceRef::new(&pending.at.number, 0), connection: None };
        self.reply(&phone, &pending.request, Err(Refusal { code: 408, text: "request-timeout" }));
    }
}

impl Registration {
    /// `Some(true)` if the ref is this connection's and may be used now.
    fn ref_state(&self, text: &str, now: UnixMillis) -> Option<bool> {
        if let Some(hello) = self.hello.as_ref().filter(|hello| hello.text == text) {
            return Some(self.pending.is_none() && now < hello.until_ms);
        }
        let found = self.refs.iter().find(|known| known.text == text)?;
        Some(!found.used && self.pending.is_none() && now < found.until_ms)
    }

    fn use_ref(&mut self, text: &str) {
        if self.hello.as_ref().is_some_and(|hello| hello.text == text) {
            self.hello = None;
        }
        self.refs.iter_mut().filter(|known| known.text == text).for_each(|known| known.used = true);
    }

    /// Judges pair-device-sign; what is to be stored if it is good.
    fn complete(&self, pending: &Pending, answer: &Node, now_ms: UnixMillis) -> Option<Pairing> {
        let identity = answer.find("pair-device-sign")?.find("device-identity")?;
        let bytes = identity.content_bytes()?.into_owned();
        let signed = AdvSignedDeviceIdentity::decode(&*bytes).ok()?;
        let account_key = PublicKey::from_slice(pending.identity.account_signature_key.as_deref()?)?;
        let same = signed.details == pending.identity.details
            && signed.account_signature == pending.identity.account_signature;
        let details = signed.details.as_deref()?;
        let message: [&[u8]; 4] = [&[6, 1], details, self.identity.as_bytes(), account_key.as_bytes()];
        let verified = xeddsa::verify(&self.identity, &message, signed.device_signature.as_deref()?);
        (same && verified).then(|| Pairing {
            noise: *self.noise.as_bytes(),
            registration: self.registration,
            identity: *self.identity.as_bytes(),
            key_index: pending.key_index,
            signed_identity: bytes,
            account_key: *account_key.as_bytes(),
            os: self.os.clone(),
            platform_type: self.platform_type,
            paired_ms: now_ms,
        })
    }
}

fn parse_registration(noise: PublicKey, payload: &ClientPayload) -> Option<Registration> {
    let data = payload.device_pairing_data.as_ref()?;
    let registration: [u8; 4] = data.e_regid.as_deref()?.try_into().ok()?;
    let identity = PublicKey::from_slice(data.e_ident.as_deref()?)?;
    let signed: [u8; 32] = data.e_skey_val.as_deref()?.try_into().ok()?;
    let props = data.device_props.clone()?;
    let decoded = DeviceProps::decode(&*props).ok()?;
    let well_formed = data.e_keytype.as_deref() == Some(&[5]) && data.e_skey_id.as_ref()?.len() == 3;
    let message = super::keys::signed_message(&signed);
    let verified = xeddsa::verify(&identity, &[&message], data.e_skey_sig.as_deref()?);
    (well_formed && verified).then(|| Registration {
        noise,
        registration: u32::from_be_bytes(registration),
        identity,
        props,
        os: decoded.os.clone().unwrap_or_default(),
        platform_type: decoded.platform_type.unwrap_or_default(),
        refs: Vec::new(),
        refs_over: false,
        pending: None,
        hello: None,
    })
}

/// The content of a child as bytes.
fn child_content(node: &Node, tag: &str) -> Option<Vec<u8>> {
    Some(node.find(tag)?.content_bytes()?.into_owned())
}

/// A child of exactly `N` bytes.
fn child_fixed<const N: usize>(node: &Node, tag: &str) -> Option<[u8; N]> {
    child_bytes(node, tag)
}
