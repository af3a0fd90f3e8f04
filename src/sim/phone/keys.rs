//! The phone's own keys: identity, registration id, prekeys, and the stanzas that publish them (protocol 04 §2,
//! 05a §5.1, 05b §9).

use std::collections::BTreeMap;

use crate::crypto::KeyPair;
use crate::signal::{Local, PreKeys, SignedPreKey, allocate_prekey_ids, generate_registration_id};
use crate::sim::seed::SimRng;
use crate::wire::Node;

/// One-time prekeys of one upload. A phone's own choice: the directory asks again when few are left.
const BATCH: usize = 100;

/// Everything private of a phone.
pub(super) struct Keys {
    pub identity: KeyPair,
    pub registration_id: u32,
    pub prekeys: OwnPreKeys,
}

/// The prekeys that peers may name.
pub(super) struct OwnPreKeys {
    pub signed: SignedPreKey,
    pub one_time: BTreeMap<u32, KeyPair>,
    /// The next id to give out.
    pub next: u32,
}

impl Keys {
    pub fn generate(rng: &mut SimRng) -> Self {
        let identity = KeyPair::generate(rng);
        let signed = SignedPreKey::generate(1, &identity, rng);
        Self {
            registration_id: generate_registration_id(rng),
            prekeys: OwnPreKeys { signed, one_time: BTreeMap::new(), next: 1 },
            identity,
        }
    }

    pub fn local(&self) -> Local<'_> {
        Local { identity: &self.identity, registration_id: self.registration_id }
    }

    /// The children of an upload, with fresh one-time prekeys.
    pub fn upload(&mut self, rng: &mut SimRng) -> Vec<Node> {
        let ids = self.prekeys.make(BATCH, rng);
        let keys = ids.into_iter().filter_map(|id| self.prekeys.node(id)).collect::<Vec<_>>();
        vec![
            Node::new("registration").bytes(self.registration_id.to_be_bytes()),
            Node::new("type").bytes([5]),
            Node::new("identity").bytes(*self.identity.public().as_bytes()),
            Node::new("list").children(keys),
            self.prekeys.signed_node(),
        ]
    }

    /// The `<keys>` of a retry receipt: one fresh prekey that no upload ever offers.
    pub fn retry_bundle(&mut self, rng: &mut SimRng) -> Node {
        let ids = self.prekeys.make(1, rng);
        let key = ids.into_iter().filter_map(|id| self.prekeys.node(id)).collect::<Vec<_>>();
        Node::new("keys")
            .child(Node::new("type").bytes([5]))
            .child(Node::new("identity").bytes(*self.identity.public().as_bytes()))
            .children(key)
            .child(self.prekeys.signed_node())
    }
}

impl OwnPreKeys {
    fn make(&mut self, count: usize, rng: &mut SimRng) -> Vec<u32> {
        let (ids, next) = allocate_prekey_ids(self.next, count, |id| self.one_time.contains_key(&id));
        self.next = next;
        for id in &ids {
            self.one_time.insert(*id, KeyPair::generate(rng));
        }
        ids
    }

    fn node(&self, id: u32) -> Option<Node> {
        let pair = self.one_time.get(&id)?;
        Some(Node::new("key").child(id_node(id)).child(Node::new("value").bytes(*pair.public().as_bytes())))
    }

    fn signed_node(&self) -> Node {
        Node::new("skey")
            .child(id_node(self.signed.id))
            .child(Node::new("value").bytes(*self.signed.pair.public().as_bytes()))
            .child(Node::new("signature").bytes(self.signed.signature))
    }
}

impl PreKeys for OwnPreKeys {
    fn signed_prekey(&mut self, id: u32) -> Option<KeyPair> {
        (id == self.signed.id).then(|| self.signed.pair.clone())
    }

    fn one_time_prekey(&mut self, id: u32) -> Option<KeyPair> {
        self.one_time.get(&id).cloned()
    }
}

/// An id as 3 bytes.
fn id_node(id: u32) -> Node {
    let [_, bytes @ ..] = id.to_be_bytes();
    Node::new("id").bytes(bytes)
}
