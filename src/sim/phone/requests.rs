//! The phone's own IQs: what was asked, and what goes on when the answer is there. A phone never waits: what it wanted
//! to do is kept beside the id of the request.

use std::collections::BTreeSet;

use crate::signal::{PreKeyBundle, adv::verify, key32};
use crate::sim::seam::{PhoneContext, PhoneEvent};
use crate::wire::{Jid, Node};

use super::Primary;
use super::group::Audience;
use super::pairing::Pairing;
use super::retry::Resend;
use super::send::Outgoing;

/// What an answer is for.
pub(super) enum Request {
    /// Nothing follows.
    Nothing,
    Pair(Pairing),
    Hello {
        op: u64,
    },
    /// A group's members, for a message to it.
    Group(Outgoing),
    /// The devices of everybody who gets a message.
    Devices(Goal),
    /// The keys of devices that there is no session with.
    Bundles {
        targets: Vec<Jid>,
        goal: Goal,
    },
}

/// What is to be encrypted once sessions are there.
pub(super) enum Goal {
    Chat(Outgoing),
    Group(Outgoing, Audience),
    /// Peer messages to an own companion, in order.
    Peer(Vec<Vec<u8>>),
    Resend(Resend),
}

impl Request {
    /// Nobody will wait for the answer any more.
    pub fn abandoned(&self, context: &mut PhoneContext<'_>) {
        let reason = "the phone was set up anew".to_owned();
        match self {
            Self::Pair(Pairing { op, .. }) | Self::Hello { op } => {
                let (op, code) = (*op, "device-error".to_owned());
                context.report(PhoneEvent::PairFailed { op, code, text: reason });
            }
            Self::Group(message) => context.report(PhoneEvent::SendFailed { op: message.op, reason }),
            Self::Devices(goal) | Self::Bundles { goal, .. } => {
                if let Some(op) = goal.op() {
                    context.report(PhoneEvent::SendFailed { op, reason });
                }
            }
            Self::Nothing => {}
        }
    }
}

impl Goal {
    fn op(&self) -> Option<u64> {
        match self {
            Self::Chat(message) | Self::Group(message, _) => Some(message.op),
            Self::Peer(_) | Self::Resend(_) => None,
        }
    }
}

impl Primary {
    /// Sends an IQ; `to` is the server where the node does not say otherwise.
    pub(super) fn ask(&mut self, context: &mut PhoneContext<'_>, iq: Node, request: Request) {
        self.next_request += 1;
        let id = format!("p{}", self.next_request);
        self.requests.insert(id.clone(), request);
        let to = iq.jid("to").unwrap_or_else(Jid::service);
        let mut iq = iq;
        iq.attrs.retain(|(key, _)| key != "to");
        context.send(iq.attr("to", to).attr("id", id));
    }

    /// The answer to an IQ of the phone.
    pub(super) fn answered(&mut self, context: &mut PhoneContext<'_>, answer: &Node) {
        let id = answer.str("id").unwrap_or_default();
        let Some(request) = self.requests.remove(&*id) else { return };
        let refused = answer.str("type").as_deref() != Some("result");
        match request {
            Request::Nothing => {}
            Request::Pair(pairing) => self.paired(context, &pairing, answer),
            Request::Hello { op } => self.hello_answered(context, op, answer),
            Request::Group(message) => self.group_answered(context, message, answer),
            Request::Devices(goal) if refused => {
                if let Some(op) = goal.op() {
                    context.report(PhoneEvent::SendFailed { op, reason: "no device list".to_owned() });
                }
            }
            Request::Devices(goal) => {
                let devices = self.listed(answer, context.now_ms);
                self.devices_known(context, devices, goal);
            }
            // Devices without keys are left out.
            Request::Bundles { targets, goal } => {
                self.install(context, answer);
                self.seal(context, &targets, goal);
            }
        }
    }

    /// Asks for the devices of these users.
    pub(super) fn ask_devices(&mut self, context: &mut PhoneContext<'_>, users: &BTreeSet<Jid>, goal: Goal) {
        let users = users.iter().map(|user| Node::new("user").attr("jid", user)).collect::<Vec<_>>();
        let query =
            Node::new("query").child(Node::new("devices").attr("version", "2")).child(Node::new("lid"));
        let usync = Node::new("usync")
            .attr("sid", format!("s{}", self.next_request))
            .attr("mode", "query")
            .attr("last", "true")
            .attr("index", "0")
            .attr("context", "message")
            .child(query)
            .child(Node::new("list").children(users));
        let iq = Node::new("iq").attr("xmlns", "usync").attr("type", "get").child(usync);
        self.ask(context, iq, Request::Devices(goal));
    }

    /// The devices of an answer, in the namespace asked; mappings are learned on the way.
    fn listed(&mut self, answer: &Node, now: i64) -> Vec<Jid> {
        let users = answer.find("usync").and_then(|usync| usync.find("list"));
        let mut devices = Vec::new();
        for user in users.into_iter().flat_map(|list| list.find_all("user")) {
            let Some(jid) = user.jid("jid") else { continue };
            if let Some(lid) = user.find("lid").and_then(|lid| lid.jid("val")) {
                self.book.learn(&jid, &lid, now);
            }
            let list = user.find("devices").and_then(|devices| devices.find("device-list"));
            let ids = list
                .into_iter()
                .flat_map(|list| list.find_all("device"))
                .filter_map(|device| device.u64("id").and_then(|id| u16::try_from(id).ok()));
            devices.extend(ids.map(|id| jid.with_device(id)));
        }
        devices
    }

    fn devices_known(&mut self, context: &mut PhoneContext<'_>, devices: Vec<Jid>, goal: Goal) {
        let (own, this) = (self.setup.pn.clone(), self.device());
        let others: Vec<Jid> = devices
            .into_iter()
            .filter(|jid| jid.device() != this || !self.book.same_user(jid, &own))
            .collect();
        match goal {
            Goal::Group(message, audience) => self.distribute(context, message, audience, others),
            goal => self.with_sessions(context, others, goal),
        }
    }

    /// Goes on at once if there are sessions with all devices, else after their bundles came.
    pub(super) fn with_sessions(&mut self, context: &mut PhoneContext<'_>, targets: Vec<Jid>, goal: Goal) {
        let now = context.now_ms;
        let open = |jid: &Jid| self.book.get(jid).is_some_and(|peer| peer.sessions.can_send(now));
        let missing: Vec<Node> = targets
            .iter()
            .filter(|jid| !open(jid))
            .map(|jid| Node::new("user").attr("jid", jid.in_device_form()))
            .collect();
        if missing.is_empty() {
            return self.seal(context, &targets, goal);
        }
        let key = Node::new("key").children(missing);
        let iq = Node::new("iq").attr("xmlns", "encrypt").attr("type", "get").child(key);
        self.ask(context, iq, Request::Bundles { targets, goal });
    }

    fn seal(&mut self, context: &mut PhoneContext<'_>, targets: &[Jid], goal: Goal) {
        match goal {
            Goal::Chat(message) => self.send_chat(context, message, targets),
            Goal::Group(message, audience) => self.send_group(context, message, &audience, targets),
            Goal::Peer(messages) => self.send_peer(context, &messages, targets),
            Goal::Resend(resend) => self.resend(context, &resend),
        }
    }

    /// Makes sessions of the bundles of an answer, phones first, since they sign for companions.
    fn install(&mut self, context: &mut PhoneContext<'_>, answer: &Node) {
        let mut users: Vec<(Jid, &Node)> = answer
            .find("list")
            .into_iter()
            .flat_map(|list| list.find_all("user"))
            .filter_map(|user| Some((user.jid("jid")?, user)))
            .collect();
        users.sort_by_key(|(jid, _)| jid.device());
        for (jid, user) in users {
            self.install_bundle(context, &jid, user);
        }
    }

    /// A session of one bundle: the children of a `user` or of a retry receipt. Whether one was made.
    pub(super) fn install_bundle(
        &mut self,
        context: &mut PhoneContext<'_>,
        device: &Jid,
        keys: &Node,
    ) -> bool {
        let Some(bundle) = bundle(keys, None) else { return false };
        self.install_checked(context, device, &bundle, keys)
    }

    /// As [`Self::install_bundle`] with the registration id from elsewhere.
    pub(super) fn install_retry(
        &mut self,
        context: &mut PhoneContext<'_>,
        device: &Jid,
        (registration, keys): (u32, &Node),
    ) -> bool {
        let Some(bundle) = bundle(keys, Some(registration)) else { return false };
        self.install_checked(context, device, &bundle, keys)
    }

    fn install_checked(
        &mut self,
        context: &mut PhoneContext<'_>,
        device: &Jid,
        bundle: &PreKeyBundle,
        keys: &Node,
    ) -> bool {
        let identity = bundle.identity().0;
        let shown = keys.find("device-identity").and_then(Node::content_bytes);
        if !self.vouched(device, &identity, shown.as_deref()) {
            return false;
        }
        let now = context.now_ms;
        let peer = self.book.peer(device);
        let made = peer.sessions.process_bundle(self.keys.local(), bundle, now, context.rng).is_ok();
        if made {
            self.identity_seen(device, identity);
        }
        made
    }

    /// Whether the account of a companion signed for its identity (04 §11.2). A phone needs nobody's signature, and
    /// an identity that is known needs no new check.
    pub(super) fn vouched(
        &self,
        device: &Jid,
        identity: &crate::crypto::PublicKey,
        shown: Option<&[u8]>,
    ) -> bool {
        if device.device() == 0 || self.book.get(device).and_then(|peer| peer.identity) == Some(*identity) {
            return true;
        }
        let own = self.book.same_user(device, &self.setup.pn);
        let account = if own { Some(self.own_account_key()) } else { self.book.account_key(device) };
        shown.is_some_and(|bytes| {
            verify::device(bytes, identity, account.as_ref())
                .is_ok_and(|signed| !own || account == Some(signed.account_key))
        })
    }

    /// Notes the identity of a device that has proved it; a phone's new one ends all that was with its companions
    /// (04 §11.4).
    pub(super) fn identity_seen(&mut self, device: &Jid, identity: crate::crypto::PublicKey) {
        let peer = self.book.peer(device);
        let changed = peer.identity.replace(identity).is_some_and(|old| old != identity);
        if !changed {
            return;
        }
        let key = self.book.key(device);
        self.groups.values_mut().for_each(|group| group.forget(|device| *device == key));
        if device.device() == 0 {
            self.book.forget(device, |id| id != 0);
        }
    }
}

/// Reads a bundle strictly: lengths, keys, the signature of the signed prekey.
fn bundle(keys: &Node, registration: Option<u32>) -> Option<PreKeyBundle> {
    let fixed = |node: &Node, tag: &str| node.find(tag)?.content_bytes().map(std::borrow::Cow::into_owned);
    let registration = match registration {
        Some(registration) => registration,
        None => u32::from_be_bytes(fixed(keys, "registration")?.try_into().ok()?),
    };
    let key = |node: &Node| Some((id24(&fixed(node, "id")?)?, key32(&fixed(node, "value")?).ok()?));
    let signed = keys.find("skey")?;
    let (id, value) = key(signed)?;
    let one_time = match keys.find("key") {
        Some(node) => Some(key(node)?),
        None => None,
    };
    let identity = key32(&fixed(keys, "identity")?).ok()?;
    PreKeyBundle::new(registration, identity, (id, value, &fixed(signed, "signature")?), one_time).ok()
}

fn id24(bytes: &[u8]) -> Option<u32> {
    let &[a, b, c] = bytes else { return None };
    Some(u32::from_be_bytes([0, a, b, c]))
}
