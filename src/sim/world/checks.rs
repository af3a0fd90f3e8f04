//! What a message stanza is checked for before it is routed (09 §11, checks 6 to 8), and the judge of reused
//! message counters (09 §23). Not: the order of the checks and the routing, which are `router`.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::{DeviceRef, Namespace, Origin, World};
use crate::crypto::sha256;
use crate::proto::AdvSignedDeviceIdentity;
use crate::wire::{Jid, Node};

/// What is wrong with a stanza: what the ack says, and what the violation log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    /// The ack's `error`; none where the stanza is routed all the same.
    pub error: Option<u16>,
    pub code: &'static str,
    pub detail: String,
}

impl Objection {
    pub fn new(error: impl Into<Option<u16>>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { error: error.into(), code, detail: detail.into() }
    }
}

/// One `<enc>` and the device it is for; none at the `skmsg` of a group.
#[derive(Debug, Clone)]
pub(crate) struct Copy<'a> {
    pub to: Option<Jid>,
    pub enc: &'a Node,
}

/// Message counters that devices have used, and with which ciphertext.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    seen: BTreeMap<(DeviceRef, DeviceRef), Used>,
}

/// Ratchet key and counter, and the hash of the bytes that used them.
type Used = BTreeMap<(Vec<u8>, u32), [u8; 8]>;

impl Counters {
    /// Whether this counter was used before with other bytes.
    fn reused(&mut self, from: &DeviceRef, to: &DeviceRef, header: &Header, enc: &[u8]) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = sha256(enc);
        let hash = [a, b, c, d, e, f, g, h];
        let pair = self.seen.entry((from.clone(), to.clone())).or_default();
        *pair.entry((header.ratchet_key.clone(), header.counter)).or_insert(hash) != hash
    }

    /// A device is gone; its number is never used again.
    pub fn forget(&mut self, device: &DeviceRef) {
        self.seen.retain(|(from, to), _| from != device && to != device);
    }
}

/// What a Signal message shows in the clear (04 §4.2).
struct Header {
    ratchet_key: Vec<u8>,
    counter: u32,
}

/// What check 6 found out about an `<enc>`.
enum Framing {
    Pairwise { header: Header, outer: Option<crate::proto::PreKeySignalMessage> },
    SenderKey { id: u32, iteration: u32 },
    Other,
}

impl World {
    /// All copies that a stanza carries.
    pub(crate) fn copies(node: &Node) -> Vec<Copy<'_>> {
        let wrapped =
            node.find("participants").into_iter().flat_map(|participants| participants.find_all("to"));
        let wrapped =
            wrapped.flat_map(|to| to.find_all("enc").map(move |enc| Copy { to: to.jid("jid"), enc }));
        let direct = node.find_all("enc").map(|enc| Copy { to: None, enc });
        wrapped.chain(direct).collect()
    }

    /// Check 6: every `enc` is framed as Signal frames it and, in a `pkmsg`, names the sender's keys.
    pub(crate) fn check_framing(&self, origin: &Origin, copies: &[Copy<'_>]) -> Option<Objection> {
        let bad = |detail: String| Some(Objection::new(479, "bad-enc", detail));
        for copy in copies {
            let kind = copy.enc.str("type").unwrap_or_default();
            if copy.enc.str("v").as_deref() != Some("2") {
                return bad(format!("enc {kind} without v=2"));
            }
            let bytes = copy.enc.content_bytes().unwrap_or_default();
            if kind == "skmsg" && bytes.is_empty() {
                continue;
            }
            let Some(framing) = framing(&kind, &bytes) else {
                return bad(format!("enc {kind} of {} bytes is not framed as Signal frames it", bytes.len()));
            };
            let Framing::Pairwise { outer: Some(outer), .. } = framing else { continue };
            let keys = self.device(&origin.device).and_then(|device| device.keys.as_ref());
            let fits = keys.is_some_and(|keys| {
                outer.identity_key.as_deref() == Some(&keys.identity.serialize())
                    && outer.registration_id == Some(u32::from_be_bytes(keys.registration))
            });
            if !fits {
                return bad("a pkmsg names another identity or registration id than the directory".to_owned());
            }
        }
        None
    }

    /// Check 7: a companion's `pkmsg` comes with its signed identity.
    pub(crate) fn check_device_identity(&self, origin: &Origin, node: &Node) -> Option<Objection> {
        let pairing = self.device(&origin.device)?.pairing.as_ref()?;
        let prekey = Self::copies(node).iter().any(|copy| copy.enc.str("type").as_deref() == Some("pkmsg"));
        if !prekey {
            return None;
        }
        let missing = |detail: &str| Some(Objection::new(None, "missing-device-identity", detail));
        let Some(shown) = node.find("device-identity").and_then(Node::content_bytes) else {
            return missing("a pkmsg without device-identity");
        };
        let shown = AdvSignedDeviceIdentity::decode(&*shown).unwrap_or_default();
        let stored = AdvSignedDeviceIdentity::decode(&*pairing.signed_identity).unwrap_or_default();
        let same = shown.details == stored.details
            && shown.account_signature == stored.account_signature
            && shown.device_signature == stored.device_signature;
        if same { None } else { missing("the device-identity is not the one of pairing") }
    }

    /// Check 8 of a 1:1 fan-out: namespaces, duplicates, foreign devices, the sender itself.
    pub(crate) fn check_fan_out(&self, origin: &Origin, to: &Jid, copies: &[Copy<'_>]) -> Option<Objection> {
        let peer = self.resolve(to)?;
        let mut seen = BTreeSet::new();
        for jid in copies.iter().filter_map(|copy| copy.to.as_ref()) {
            if Namespace::of(jid) != Namespace::of(to) {
                return Some(Objection::new(400, "mixed-namespaces", format!("{jid} in a message to {to}")));
            }
            let Some(device) = self.resolve(jid) else {
                return Some(Objection::new(None, "foreign-device", format!("{jid} is nobody")));
            };
            if device.number != peer.number && device.number != origin.device.number {
                return Some(Objection::new(None, "foreign-device", format!("{jid} in a message to {to}")));
            }
            if device == origin.device {
                return Some(Objection::new(None, "own-device", format!("{jid} is the sender itself")));
            }
            if !seen.insert(device) {
                return Some(Objection::new(400, "duplicate-device", format!("{jid} twice")));
            }
        }
        None
    }

    /// The devices that a 1:1 stanza left out: what `phash` is about, and in strict a fan-out fault.
    pub(crate) fn expected_devices(&self, origin: &Origin, peer: &str) -> BTreeSet<DeviceRef> {
        let devices = |number: &str| {
            let listed = self.accounts.get(number).map(super::Account::listed).unwrap_or_default();
            listed.into_iter().map(|(device, _)| DeviceRef::new(number, device)).collect::<Vec<_>>()
        };
        let mut all: BTreeSet<DeviceRef> = devices(peer).into_iter().collect();
        all.extend(devices(&origin.device.number));
        all.remove(&origin.device);
        all
    }

    /// Looks at the clear header of every copy: a counter used before with other bytes is the gravest fault.
    pub(crate) fn judge_counters(&mut self, origin: &Origin, targets: &[(DeviceRef, Node)]) {
        if origin.connection.is_none() {
            return;
        }
        for (target, enc) in targets {
            let kind = enc.str("type").unwrap_or_default();
            let bytes = enc.content_bytes().unwrap_or_default();
            let header = match framing(&kind, &bytes) {
                Some(Framing::Pairwise { header, .. }) => header,
                Some(Framing::SenderKey { id, iteration }) => {
                    Header { ratchet_key: id.to_be_bytes().to_vec(), counter: iteration }
                }
                _ => continue,
            };
            if self.counters.reused(&origin.device, target, &header, &bytes) {
                let detail = format!(
                    "{}:{} to {}:{}, {kind} counter {}",
                    origin.device.number, origin.device.device, target.number, target.device, header.counter
                );
                self.fault(origin, "counter-reuse", detail);
            }
        }
    }
}

fn framing(kind: &str, bytes: &[u8]) -> Option<Framing> {
    use crate::proto::{PreKeySignalMessage, SenderKeyMessage, SignalMessage};
    let (version, body) = bytes.split_first()?;
    if kind == "msmsg" {
        return Some(Framing::Other);
    }
    if version >> 4 != 3 {
        return None;
    }
    let message = |bytes: &[u8]| {
        let (body, _mac) = bytes.split_at_checked(bytes.len().checked_sub(8)?)?;
        let message = SignalMessage::decode(body).ok()?;
        let ratchet_key = message.ratchet_key.filter(|key| key.len() == 33)?;
        message.ciphertext.filter(|ciphertext| !ciphertext.is_empty() && ciphertext.len() % 16 == 0)?;
        Some(Header { ratchet_key, counter: message.counter.unwrap_or_default() })
    };
    match kind {
        "msg" => Some(Framing::Pairwise { header: message(body)?, outer: None }),
        "pkmsg" => {
            let outer = PreKeySignalMessage::decode(body).ok()?;
            let (version, inner) = outer.message.as_deref()?.split_first()?;
            let header = message(inner).filter(|_| version >> 4 == 3)?;
            Some(Framing::Pairwise { header, outer: Some(outer) })
        }
        "skmsg" => {
            let (body, _signature) = body.split_at_checked(body.len().checked_sub(64)?)?;
            let message = SenderKeyMessage::decode(body).ok()?;
            message.ciphertext.filter(|ciphertext| !ciphertext.is_empty())?;
            Some(Framing::SenderKey {
                id: message.id.unwrap_or_default(),
                iteration: message.iteration.unwrap_or_default(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_used_again_with_other_bytes_is_reused() {
        let (a, b) = (DeviceRef::new("1", 1), DeviceRef::new("2", 0));
        let header = |counter| Header { ratchet_key: vec![5; 33], counter };
        let mut counters = Counters::default();
        assert!(!counters.reused(&a, &b, &header(0), b"x"));
        assert!(!counters.reused(&a, &b, &header(0), b"x"), "the same bytes again are a resend");
        assert!(!counters.reused(&a, &b, &header(1), b"y"));
        assert!(!counters.reused(&b, &a, &header(0), b"y"), "another pair has its own counters");
        assert!(counters.reused(&a, &b, &header(0), b"z"));
    }
}
