//! Messages of the phone to groups: members, the sender key and who has it (protocol 05a §9).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;

use crate::crypto::sha256;
use crate::signal::{SenderKey, padding};
use crate::sim::seam::{PhoneContext, PhoneEvent};
use crate::wire::{Jid, Node};

use super::Primary;
use super::book::PeerKey;
use super::compose;
use super::requests::Goal;
use super::send::{Labels, Outgoing, Target};

/// Our sender key in one group.
pub(super) struct OwnGroup {
    pub key: SenderKey,
    pub lid_mode: bool,
    /// Devices that have the key, from the server's ack on.
    pub holders: BTreeSet<PeerKey>,
    /// Distributions that are not acked yet, by message.
    pub unacked: BTreeMap<String, BTreeSet<PeerKey>>,
}

/// Who gets a group message.
pub(super) struct Audience {
    lid_mode: bool,
    /// Every device but ours, once known.
    devices: Vec<Jid>,
}

impl OwnGroup {
    /// These devices are to get the key again.
    pub fn forget(&mut self, which: impl Fn(&PeerKey) -> bool) {
        self.holders.retain(|device| !which(device));
        self.unacked.values_mut().for_each(|devices| devices.retain(|device| !which(device)));
    }
}

impl Primary {
    /// The members of a group, for a message to it.
    pub(super) fn group_answered(
        &mut self,
        context: &mut PhoneContext<'_>,
        message: Outgoing,
        answer: &Node,
    ) {
        let Some(group) = answer.find("group") else {
            let reason = format!("no answer about {}", message.to);
            return context.report(PhoneEvent::SendFailed { op: message.op, reason });
        };
        let lid_mode = group.str("addressing_mode").as_deref() == Some("lid");
        let mut users =
            BTreeSet::from([if lid_mode { self.setup.lid.clone() } else { self.setup.pn.clone() }]);
        for member in group.find_all("participant") {
            let Some(jid) = member.jid("jid") else { continue };
            for other in ["lid", "phone_number"].iter().filter_map(|key| member.jid(key)) {
                self.book.learn(&jid, &other, context.now_ms);
            }
            users.insert(jid.to_user());
        }
        let audience = Audience { lid_mode, devices: Vec::new() };
        self.ask_devices(context, &users, Goal::Group(message, audience));
    }

    /// The devices are known: a new key if somebody has the old one who should not, then the sessions for those who
    /// lack it.
    pub(super) fn distribute(
        &mut self,
        context: &mut PhoneContext<'_>,
        message: Outgoing,
        mut audience: Audience,
        devices: Vec<Jid>,
    ) {
        let members: BTreeSet<PeerKey> = devices.iter().map(|device| self.book.key(device)).collect();
        let known = self.groups.get(&message.to);
        let stale = known.is_none_or(|own| {
            let given = own.holders.iter().chain(own.unacked.values().flatten());
            own.lid_mode != audience.lid_mode || given.into_iter().any(|holder| !members.contains(holder))
        });
        if stale {
            let own = OwnGroup {
                key: SenderKey::generate(context.rng),
                lid_mode: audience.lid_mode,
                holders: BTreeSet::new(),
                unacked: BTreeMap::new(),
            };
            self.groups.insert(message.to.clone(), own);
        }
        let holders = self.groups.get(&message.to).map(|own| own.holders.clone()).unwrap_or_default();
        let lacking: Vec<Jid> =
            devices.iter().filter(|device| !holders.contains(&self.book.key(device))).cloned().collect();
        audience.devices = devices;
        self.with_sessions(context, lacking, Goal::Group(message, audience));
    }

    /// The message under the sender key, and the key for those who lack it.
    pub(super) fn send_group(
        &mut self,
        context: &mut PhoneContext<'_>,
        message: Outgoing,
        audience: &Audience,
        lacking: &[Jid],
    ) {
        let labels = Labels::of(&message.message);
        let Some(own) = self.groups.get_mut(&message.to) else { return };
        let distribution = compose::distribution(&message.to, &own.key.distribution().serialize());
        let plain = padding::pad(&message.message, context.rng);
        let Ok(sealed) = own.key.encrypt(&plain, context.rng) else {
            // The chain is at its end: the next message makes a new one.
            self.groups.remove(&message.to);
            let reason = "the sender key is used up".to_owned();
            return context.report(PhoneEvent::SendFailed { op: message.op, reason });
        };
        let distribution = padding::pad(&distribution, context.rng);
        let mut targets: BTreeMap<PeerKey, Target> = audience
            .devices
            .iter()
            .map(|device| (self.book.key(device), Target { identity: None, confirmed: false }))
            .collect();
        let (mut given, mut copies, mut prekey) = (BTreeSet::new(), Vec::new(), false);
        for device in lacking {
            let Some((kind, bytes, identity)) = self.encrypt(context, device, &distribution) else {
                continue;
            };
            let key = self.book.key(device);
            targets.insert(key.clone(), Target { identity: Some(identity), confirmed: false });
            given.insert(key);
            prekey |= kind == "pkmsg";
            let enc = labels.distribution_enc(kind, bytes);
            copies.push(Node::new("to").attr("jid", device.in_device_form()).child(enc));
        }
        if let Some(own) = self.groups.get_mut(&message.to) {
            own.unacked.insert(message.id.clone(), given);
        }
        let mode = if audience.lid_mode { "lid" } else { "pn" };
        let sender = if audience.lid_mode { &self.setup.lid } else { &self.setup.pn };
        let sender = sender.with_device(self.device());
        let participants = (!copies.is_empty()).then(|| Node::new("participants").children(copies));
        let stanza = labels
            .envelope(&message.id, &message.to)
            .attr("phash", participant_hash(audience.devices.iter().chain([&sender])))
            .attr("addressing_mode", mode)
            .children(participants)
            .child(labels.enc("skmsg", sealed))
            .children(self.device_identity().filter(|_| prekey))
            .children(labels.meta());
        self.sent(context, message, targets, audience.devices.clone(), stanza);
    }

    /// The server took a group message: those who got the key have it.
    pub(super) fn distribution_acked(&mut self, group: &Jid, id: &str, accepted: bool) {
        let Some(own) = self.groups.get_mut(group) else { return };
        let given = own.unacked.remove(id).unwrap_or_default();
        if accepted {
            own.holders.extend(given);
        }
    }
}

/// The hash over the devices of a group, the sending one included (05a §4).
fn participant_hash<'a>(devices: impl Iterator<Item = &'a Jid>) -> String {
    let forms: BTreeSet<String> = devices.map(Jid::hash_form).collect();
    let hash = sha256(forms.into_iter().collect::<String>().as_bytes());
    let (first, _) = hash.split_at(6);
    format!("2:{}", base64::engine::general_purpose::STANDARD_NO_PAD.encode(first))
}
