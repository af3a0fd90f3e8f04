//! The key directory: uploads, counts, digests, rotation, bundles (09 §7.1, §9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::World;
use super::account::{DeviceRef, Namespace};
use super::faults::Strike;
use super::iq::{Origin, Refusal};
use crate::crypto::{PublicKey, sha1, sha256, xeddsa};
use crate::wire::{Jid, Node};

/// Users in one bundle request.
const MAX_USERS: usize = 1000;
/// After a fetch that leaves fewer than this, and again fewer than the second, the device is told.
const LOW: [usize; 2] = [10, 4];

/// A signed prekey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedPreKey {
    pub id: u32,
    pub value: [u8; 32],
    #[serde(with = "super::snapshot::bytes64")]
    pub signature: [u8; 64],
}

/// What the directory holds of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeySet {
    pub registration: [u8; 4],
    #[serde(with = "super::snapshot::public_key")]
    pub identity: PublicKey,
    pub signed: SignedPreKey,
    /// Every signed prekey id that this device used.
    pub signed_before: BTreeMap<u32, [u8; 32]>,
    /// Unused one-time keys; the lowest id goes first.
    pub one_time: BTreeMap<u32, [u8; 32]>,
    /// Those that were handed out.
    pub handed_out: BTreeMap<u32, [u8; 32]>,
    /// Which of [`LOW`] was announced since the last upload.
    pub announced: usize,
}

/// A bundle upload, checked for form.
struct Upload {
    registration: [u8; 4],
    identity: PublicKey,
    signed: SignedPreKey,
    keys: Vec<(u32, [u8; 32])>,
}

impl World {
    /// `<count/>`.
    pub(crate) fn count_keys(&mut self, origin: &Origin) -> Result<Vec<Node>, Refusal> {
        let count = self.device(&origin.device).and_then(|device| device.keys.as_ref());
        let count = count.map_or(0, |keys| keys.one_time.len());
        Ok(vec![Node::new("count").attr("value", count.to_string())])
    }

    /// `encrypt` set with `registration, type, identity, list, skey`.
    pub(crate) fn upload_keys(&mut self, origin: &Origin, iq: &Node) -> Result<Vec<Node>, Refusal> {
        let upload = match parse_upload(iq) {
            Ok(upload) => upload,
            Err(what) => return self.bad_upload(origin, what),
        };
        let Some(device) = self.device(&origin.device) else { return Err(Refusal::NOT_AUTHORIZED) };
        if let Some(pairing) = &device.pairing
            && (pairing.registration.to_be_bytes() != upload.registration
                || pairing.identity != *upload.identity.as_bytes())
        {
            return self.bad_upload(origin, "registration or identity is not the one of pairing");
        }
        let message = upload.signed_message();
        if !xeddsa::verify(&upload.identity, &[&message], &upload.signed.signature) {
            return self.bad_upload(origin, "the signed prekey's signature does not verify");
        }
        let reused = device.keys.as_ref().filter(|keys| keys.identity == upload.identity).map_or(0, |keys| {
            let known = |id: &u32| keys.one_time.get(id).or_else(|| keys.handed_out.get(id));
            upload.keys.iter().filter(|(id, value)| known(id).is_some_and(|old| old != value)).count()
        });
        if reused > 0 {
            self.fault(
                origin,
                "prekey-id-reused",
                format!("{reused} one-time prekey ids came with other values"),
            );
        }
        let first = self.store_keys(&origin.device, upload);
        if first {
            self.device_ready(&origin.device);
        }
        Ok(Vec::new())
    }

    /// Returns whether the device had no keys before.
    fn store_keys(&mut self, at: &DeviceRef, upload: Upload) -> bool {
        let Some(device) = self.device_mut(at) else { return false };
        let same_identity = device.keys.as_ref().is_some_and(|keys| keys.identity == upload.identity);
        let first = !same_identity;
        let keys = match device.keys.take() {
            Some(keys) if same_identity => keys,
            _ => KeySet {
                registration: upload.registration,
                identity: upload.identity,
                signed: upload.signed.clone(),
                signed_before: BTreeMap::new(),
                one_time: BTreeMap::new(),
                handed_out: BTreeMap::new(),
                announced: 0,
            },
        };
        let keys = device.keys.insert(keys);
        keys.signed_before.insert(upload.signed.id, upload.signed.value);
        keys.signed = upload.signed;
        for (id, value) in upload.keys {
            if !keys.handed_out.contains_key(&id) {
                keys.one_time.insert(id, value);
            }
        }
        let low = LOW.iter().filter(|low| keys.one_time.len() < **low).count();
        keys.announced = keys.announced.min(low);
        first
    }

    fn bad_upload(&mut self, origin: &Origin, what: &'static str) -> Result<Vec<Node>, Refusal> {
        self.fault(origin, "bad-key-upload", what.to_owned());
        Err(Refusal::NOT_ACCEPTABLE)
    }

    /// `<digest/>`.
    pub(crate) fn digest_keys(&mut self, origin: &Origin) -> Result<Vec<Node>, Refusal> {
        let keys = self.device(&origin.device).and_then(|device| device.keys.as_ref());
        let keys = keys.ok_or(Refusal::ITEM_NOT_FOUND)?;
        let mut parts: Vec<&[u8]> =
            vec![keys.identity.as_bytes(), &keys.signed.value, &keys.signed.signature];
        parts.extend(keys.one_time.values().map(<[u8; 32]>::as_slice));
        let ids = keys.one_time.keys().map(|id| Node::new("id").bytes(be24(*id)));
        Ok(vec![
            Node::new("digest")
                .child(Node::new("registration").bytes(keys.registration))
                .child(Node::new("type").bytes([5]))
                .child(Node::new("identity").bytes(*keys.identity.as_bytes()))
                .child(keys.signed.node())
                .child(Node::new("list").children(ids))
                .child(Node::new("hash").bytes(sha1(&parts))),
        ])
    }

    /// `<rotate><skey/></rotate>`.
    pub(crate) fn rotate_signed_key(&mut self, origin: &Origin, iq: &Node) -> Result<Vec<Node>, Refusal> {
        let skey = iq.find("rotate").and_then(|rotate| rotate.find("skey")).and_then(SignedPreKey::parse);
        let Some(skey) = skey else { return self.bad_upload(origin, "rotation without a well-formed skey") };
        let device = self.device(&origin.device);
        let Some(keys) = device.and_then(|device| device.keys.as_ref()) else {
            return Err(Refusal::ITEM_NOT_FOUND);
        };
        if !xeddsa::verify(&keys.identity, &[&signed_message(&skey.value)], &skey.signature) {
            return self.bad_upload(origin, "the rotated prekey's signature does not verify");
        }
        if keys.signed_before.get(&skey.id).is_some_and(|value| *value != skey.value) {
            return Err(Refusal::CONFLICT);
        }
        if let Some(keys) = self.device_mut(&origin.device).and_then(|device| device.keys.as_mut()) {
            keys.signed_before.insert(skey.id, skey.value);
            keys.signed = skey;
        }
        Ok(Vec::new())
    }

    /// `<key><user jid/>…</key>` (09 §9).
    pub(crate) fn fetch_bundles(&mut self, origin: &Origin, iq: &Node) -> Result<Vec<Node>, Refusal> {
        let users: Vec<Jid> = match iq.find("key") {
            Some(key) => {
                key.nodes().filter(|user| user.tag == "user").filter_map(|user| user.jid("jid")).collect()
            }
            None => return Err(Refusal::BAD_REQUEST),
        };
        if users.len() > MAX_USERS {
            return Err(Refusal::BAD_REQUEST);
        }
        let place = origin.connection.map(|id| self.place(id));
        let list: Vec<Node> = users
            .into_iter()
            .map(|jid| {
                let named = |params: &serde_json::Map<String, serde_json::Value>| {
                    let user = params.get("user").and_then(serde_json::Value::as_str);
                    user.is_none_or(|user| user == jid.user() || user == jid.to_string())
                };
                let struck = place.as_ref().and_then(|place| self.strike_if(&["F35", "F36"], place, named));
                self.bundle(jid.clone(), struck.as_ref())
            })
            .collect();
        Ok(vec![Node::new("list").children(list)])
    }

    fn bundle(&mut self, jid: Jid, struck: Option<&Strike>) -> Node {
        let user = Node::new("user").attr("jid", jid.clone());
        let error =
            |code: &'static str, text: &'static str| Node::new("error").attr("code", code).attr("text", text);
        let Some(at) = self.resolve(&jid) else { return user.child(error("404", "item-not-found")) };
        let with_account_key = self.config.bundle_account_key;
        let now = self.now_s();
        let Some(device) = self.device_mut(&at) else {
            return user.child(error("406", "not-acceptable"));
        };
        let identity = device.pairing.as_ref().map(|pairing| pairing.bundle_identity(with_account_key));
        let Some(keys) = device.keys.as_mut() else { return user.child(error("404", "item-not-found")) };
        let kind = struck.filter(|strike| strike.fault == "F36").map(|strike| strike.kind);
        if kind == Some("error") {
            return user.child(error("406", "not-acceptable"));
        }
        let shown = match kind {
            Some("other-identity") => sha256(keys.identity.as_bytes()),
            Some("low-order") => [0; 32],
            _ => *keys.identity.as_bytes(),
        };
        let mut signed = keys.signed.clone();
        if kind == Some("bad-signature") {
            signed.signature[0] ^= 1;
        }
        let mut user = user
            .attr("t", now.to_string())
            .child(Node::new("registration").bytes(keys.registration))
            .child(Node::new("type").bytes([5]))
            .child(Node::new("identity").bytes(shown))
            .child(signed.node());
        let exhausted = struck.is_some_and(|strike| strike.fault == "F35");
        let taken = if exhausted { None } else { keys.one_time.pop_first() };
        if let Some((id, value)) = taken {
            keys.handed_out.insert(id, value);
            let id = Node::new("id").bytes(be24(id));
            user = user.child(Node::new("key").child(id).child(Node::new("value").bytes(value)));
        }
        if let Some(identity) = identity {
            user = user.child(Node::new("device-identity").bytes(identity));
        }
        let low = LOW.iter().filter(|low| keys.one_time.len() < **low).count();
        if taken.is_some() && low > keys.announced {
            keys.announced = low;
            let left = keys.one_time.len();
            self.notify_low_keys(&at, left);
        }
        user
    }

    fn notify_low_keys(&mut self, at: &DeviceRef, left: usize) {
        let count = Node::new("count").attr("value", left.to_string());
        let notification = self.notification(Jid::service(), "encrypt").child(count);
        self.notify(at, notification);
    }

    /// `<identity><user jid/>…</identity>`.
    pub(crate) fn fetch_identities(&mut self, iq: &Node) -> Result<Vec<Node>, Refusal> {
        let users = iq.find("identity").ok_or(Refusal::BAD_REQUEST)?;
        let list = users.nodes().filter_map(|user| user.jid("jid")).map(|jid| {
            let keys =
                self.resolve(&jid).and_then(|at| self.device(&at)).and_then(|device| device.keys.as_ref());
            let user = Node::new("user").attr("jid", jid);
            match keys {
                Some(keys) => user
                    .child(Node::new("type").bytes([5]))
                    .child(Node::new("identity").bytes(*keys.identity.as_bytes())),
                None => user.child(Node::new("error").attr("code", "404").attr("text", "item-not-found")),
            }
        });
        Ok(vec![Node::new("list").children(list.collect::<Vec<_>>())])
    }

    /// The addresses of an account's devices in one form.
    pub(crate) fn device_jid(&self, at: &DeviceRef, namespace: Namespace) -> Option<Jid> {
        self.accounts.get(&at.number).map(|account| account.jid(namespace, at.device))
    }
}

impl SignedPreKey {
    pub fn parse(node: &Node) -> Option<Self> {
        Some(Self {
            id: fixed::<3>(node.find("id")?).and_then(id24)?,
            value: fixed(node.find("value")?)?,
            signature: fixed(node.find("signature")?)?,
        })
    }

    fn node(&self) -> Node {
        Node::new("skey")
            .child(Node::new("id").bytes(be24(self.id)))
            .child(Node::new("value").bytes(self.value))
            .child(Node::new("signature").bytes(self.signature))
    }
}

impl Upload {
    fn signed_message(&self) -> [u8; 33] {
        signed_message(&self.signed.value)
    }
}

/// What a signed prekey's signature covers: the 33-byte form of the key (01 §10).
pub(crate) fn signed_message(value: &[u8; 32]) -> [u8; 33] {
    PublicKey(*value).serialize()
}

fn parse_upload(iq: &Node) -> Result<Upload, &'static str> {
    let child = |tag| iq.find(tag).ok_or("a part of the upload is missing");
    if child("type")?.content_bytes().as_deref() != Some(&[5]) {
        return Err("the key type is not 05");
    }
    let keys: Option<Vec<(u32, [u8; 32])>> = child("list")?
        .nodes()
        .map(|key| Some((fixed::<3>(key.find("id")?).and_then(id24)?, fixed(key.find("value")?)?)))
        .collect();
    let keys = keys.ok_or("a one-time prekey has a wrong length or id")?;
    let ids: std::collections::BTreeSet<u32> = keys.iter().map(|(id, _)| *id).collect();
    if ids.len() != keys.len() || keys.is_empty() {
        return Err("the one-time prekey ids are not unique, or there are none");
    }
    Ok(Upload {
        registration: fixed(child("registration")?).ok_or("the registration id has not 4 bytes")?,
        identity: PublicKey(fixed(child("identity")?).ok_or("the identity has not 32 bytes")?),
        signed: SignedPreKey::parse(child("skey")?).ok_or("the signed prekey has a wrong length or id")?,
        keys,
    })
}

/// A node's content of exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(node: &Node) -> Option<[u8; N]> {
    node.content_bytes()?.as_ref().try_into().ok()
}

/// A key id, big-endian, 1 to 2^24-1.
fn id24(bytes: [u8; 3]) -> Option<u32> {
    let [a, b, c] = bytes;
    Some(u32::from_be_bytes([0, a, b, c])).filter(|id| *id != 0)
}

/// A key id as 3 bytes.
pub(crate) fn be24(id: u32) -> [u8; 3] {
    let [_, a, b, c] = id.to_be_bytes();
    [a, b, c]
}
