//! A phone as JSON and back, for `--state` (protocol 09 §2). It holds private keys: the file belongs to the simulator
//! alone. Requests that were under way are not kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::adv::Adv;
use super::book::{Book, Peer, PeerKey};
use super::devices::Companion;
use super::group::OwnGroup;
use super::keys::{Keys, OwnPreKeys};
use super::receive::Received;
use super::send::{Log, Logged, Target};
use super::{Primary, SimPhone};
use crate::crypto::{KeyPair, PublicKey};
use crate::signal::{SenderKey, SenderKeyRecord, SessionRecord, SignedPreKey};
use crate::sim::seam::{Phone, PhoneSetup};
use crate::wire::Jid;

/// What is wrong with the JSON.
struct SnapshotError(String);

#[derive(Serialize, Deserialize)]
struct Saved {
    push_name: String,
    identity: String,
    registration_id: u32,
    signed: (u32, String, String),
    one_time: Vec<(u32, String)>,
    next_prekey: u32,
    adv: Adv,
    next_request: u64,
    lids: Vec<(String, String)>,
    peers: Vec<SavedPeer>,
    groups: Vec<SavedGroup>,
    sender_keys: Vec<(String, Device, String)>,
    seen: Vec<(String, String, String)>,
    attempts: Vec<(String, String, String, u32)>,
    log: Vec<SavedMessage>,
    /// Device, signed identity, account key; of a virtual companion.
    companion: Option<(u16, String, String)>,
    /// Virtual companions.
    devices: Vec<Saved>,
}

type Device = (String, u16);

#[derive(Serialize, Deserialize)]
struct SavedPeer {
    device: Device,
    identity: Option<String>,
    sessions: String,
    renewed_ms: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct SavedGroup {
    group: String,
    key: String,
    lid_mode: bool,
    holders: Vec<Device>,
}

#[derive(Serialize, Deserialize)]
struct SavedMessage {
    id: String,
    chat: String,
    author: String,
    from_me: bool,
    peer: bool,
    message: String,
    t: i64,
    targets: Vec<(Device, Option<String>, bool)>,
}

/// A phone as [`Phone::snapshot`] left it; one that was never started if the value is null.
///
/// # Errors
/// The first thing that is wrong.
pub fn restore(setup: PhoneSetup, state: Value) -> Result<Box<dyn Phone>, String> {
    if state.is_null() {
        return Ok(super::new(setup));
    }
    let saved: Saved = serde_json::from_value(state).map_err(|error| error.to_string())?;
    saved.phone(&setup).map(|phone| Box::new(phone) as Box<dyn Phone>).map_err(|SnapshotError(what)| what)
}

impl SimPhone {
    pub(super) fn saved(&self) -> Value {
        let Some(primary) = &self.primary else { return Value::Null };
        let devices = self.devices.values().map(Primary::saved).collect();
        serde_json::to_value(Saved { devices, ..primary.saved() }).unwrap_or_default()
    }
}

impl Primary {
    fn saved(&self) -> Saved {
        let prekeys = &self.keys.prekeys;
        let private = |pair: &KeyPair| hex::encode(pair.private_bytes());
        let signed = &prekeys.signed;
        Saved {
            push_name: self.setup.push_name.clone(),
            identity: private(&self.keys.identity),
            registration_id: self.keys.registration_id,
            signed: (signed.id, private(&signed.pair), hex::encode(signed.signature)),
            one_time: prekeys.one_time.iter().map(|(id, pair)| (*id, private(pair))).collect(),
            next_prekey: prekeys.next,
            adv: self.adv.clone(),
            next_request: self.next_request,
            lids: self.book.lids.iter().map(|(pn, lid)| (pn.to_string(), lid.to_string())).collect(),
            peers: self.book.peers.iter().map(|(key, peer)| save_peer(key, peer)).collect(),
            groups: self.groups.iter().map(|(group, own)| save_group(group, own)).collect(),
            sender_keys: self
                .received
                .sender_keys
                .iter()
                .map(|((group, key), record)| {
                    (group.to_string(), device(key), hex::encode(record.serialize()))
                })
                .collect(),
            seen: self
                .received
                .order
                .iter()
                .map(|(chat, user, id)| (chat.to_string(), user.to_string(), id.clone()))
                .collect(),
            attempts: self
                .received
                .attempts
                .iter()
                .map(|((chat, user, id), count)| (chat.to_string(), user.to_string(), id.clone(), *count))
                .collect(),
            log: self.log.entries.iter().map(save_message).collect(),
            companion: self.companion.as_ref().map(|companion| {
                let key = hex::encode(companion.account_key.as_bytes());
                (companion.device, hex::encode(&companion.signed_identity), key)
            }),
            devices: Vec::new(),
        }
    }
}

fn device(key: &PeerKey) -> Device {
    (key.user.to_string(), key.device)
}

fn save_peer(key: &PeerKey, peer: &Peer) -> SavedPeer {
    SavedPeer {
        device: device(key),
        identity: peer.identity.map(|key| hex::encode(key.as_bytes())),
        sessions: hex::encode(peer.sessions.serialize()),
        renewed_ms: peer.renewed_ms,
    }
}

fn save_group(group: &Jid, own: &OwnGroup) -> SavedGroup {
    SavedGroup {
        group: group.to_string(),
        key: hex::encode(own.key.serialize()),
        lid_mode: own.lid_mode,
        holders: own.holders.iter().map(device).collect(),
    }
}

fn save_message(message: &Logged) -> SavedMessage {
    let target = |(key, target): (&PeerKey, &Target)| {
        (device(key), target.identity.map(|key| hex::encode(key.as_bytes())), target.confirmed)
    };
    SavedMessage {
        id: message.id.clone(),
        chat: message.chat.to_string(),
        author: message.author.to_string(),
        from_me: message.from_me,
        peer: message.peer,
        message: hex::encode(&message.message),
        t: message.t,
        targets: message.targets.iter().map(target).collect(),
    }
}

fn wrong<E: ToString>(error: E) -> SnapshotError {
    SnapshotError(error.to_string())
}

fn jid(text: &str) -> Result<Jid, SnapshotError> {
    text.parse().map_err(wrong)
}

fn bytes(text: &str) -> Result<Vec<u8>, SnapshotError> {
    hex::decode(text).map_err(wrong)
}

fn array<const N: usize>(text: &str) -> Result<[u8; N], SnapshotError> {
    bytes(text)?.try_into().map_err(|_| SnapshotError(format!("not {N} bytes")))
}

fn pair(text: &str) -> Result<KeyPair, SnapshotError> {
    array(text).map(KeyPair::from_private)
}

fn public(text: Option<&String>) -> Result<Option<PublicKey>, SnapshotError> {
    text.map(|text| array(text).map(PublicKey)).transpose()
}

fn peer_key((user, device): &Device) -> Result<PeerKey, SnapshotError> {
    Ok(PeerKey { user: jid(user)?, device: *device })
}

impl Saved {
    fn phone(mut self, setup: &PhoneSetup) -> Result<SimPhone, SnapshotError> {
        let mut devices = BTreeMap::new();
        for saved in std::mem::take(&mut self.devices) {
            let device = saved.primary(setup)?;
            devices.insert(device.device(), device);
        }
        let primary = self.primary(setup)?;
        Ok(SimPhone { setup: primary.setup.clone(), primary: Some(primary), devices })
    }

    fn companion(&self) -> Result<Option<Companion>, SnapshotError> {
        let Some((device, signed_identity, key)) = &self.companion else { return Ok(None) };
        Ok(Some(Companion {
            device: *device,
            signed_identity: bytes(signed_identity)?,
            account_key: PublicKey(array(key)?),
        }))
    }

    fn primary(self, setup: &PhoneSetup) -> Result<Primary, SnapshotError> {
        let (id, private, signature) = &self.signed;
        let signed = SignedPreKey { id: *id, pair: pair(private)?, signature: array(signature)? };
        let one_time = self.one_time.iter().map(|(id, key)| Ok((*id, pair(key)?)));
        let one_time = one_time.collect::<Result<_, SnapshotError>>()?;
        let keys = Keys {
            identity: pair(&self.identity)?,
            registration_id: self.registration_id,
            prekeys: OwnPreKeys { signed, one_time, next: self.next_prekey },
        };
        let received = self.received()?;
        Ok(Primary {
            setup: PhoneSetup { push_name: self.push_name.clone(), ..setup.clone() },
            companion: self.companion()?,
            keys,
            book: self.book()?,
            requests: BTreeMap::new(),
            next_request: self.next_request,
            hellos: Vec::new(),
            log: Log { entries: self.log.iter().map(SavedMessage::logged).collect::<Result<_, _>>()? },
            received,
            groups: self.groups.iter().map(SavedGroup::own).collect::<Result<_, _>>()?,
            adv: self.adv,
        })
    }

    fn book(&self) -> Result<Book, SnapshotError> {
        let lids = self.lids.iter().map(|(pn, lid)| Ok((jid(pn)?, jid(lid)?)));
        let peers = self.peers.iter().map(|saved| {
            let peer = Peer {
                identity: public(saved.identity.as_ref())?,
                sessions: SessionRecord::deserialize(&bytes(&saved.sessions)?).map_err(wrong)?,
                renewed_ms: saved.renewed_ms,
                ..Peer::default()
            };
            Ok((peer_key(&saved.device)?, peer))
        });
        Ok(Book {
            lids: lids.collect::<Result<_, SnapshotError>>()?,
            peers: peers.collect::<Result<_, SnapshotError>>()?,
        })
    }

    fn received(&self) -> Result<Received, SnapshotError> {
        let seen = self.seen.iter().map(|(chat, user, id)| Ok((jid(chat)?, jid(user)?, id.clone())));
        let order = seen.collect::<Result<std::collections::VecDeque<_>, SnapshotError>>()?;
        let attempts = self
            .attempts
            .iter()
            .map(|(chat, user, id, count)| Ok(((jid(chat)?, jid(user)?, id.clone()), *count)));
        let sender_keys = self.sender_keys.iter().map(|(group, device, record)| {
            let record = SenderKeyRecord::deserialize(&bytes(record)?).map_err(wrong)?;
            Ok(((jid(group)?, peer_key(device)?), record))
        });
        Ok(Received {
            seen: order.iter().cloned().collect::<BTreeSet<_>>(),
            order,
            attempts: attempts.collect::<Result<_, SnapshotError>>()?,
            sender_keys: sender_keys.collect::<Result<_, SnapshotError>>()?,
        })
    }
}

impl SavedGroup {
    fn own(&self) -> Result<(Jid, OwnGroup), SnapshotError> {
        let own = OwnGroup {
            key: SenderKey::deserialize(&bytes(&self.key)?).map_err(wrong)?,
            lid_mode: self.lid_mode,
            holders: self.holders.iter().map(peer_key).collect::<Result<_, _>>()?,
            unacked: BTreeMap::new(),
        };
        Ok((jid(&self.group)?, own))
    }
}

impl SavedMessage {
    fn logged(&self) -> Result<Logged, SnapshotError> {
        let targets = self.targets.iter().map(|(device, identity, confirmed)| {
            Ok((peer_key(device)?, Target { identity: public(identity.as_ref())?, confirmed: *confirmed }))
        });
        Ok(Logged {
            id: self.id.clone(),
            chat: jid(&self.chat)?,
            author: jid(&self.author)?,
            from_me: self.from_me,
            peer: self.peer,
            message: bytes(&self.message)?,
            t: self.t,
            targets: targets.collect::<Result<_, SnapshotError>>()?,
        })
    }
}
