//! The questions about our own keys at the server: upload, count, digest, rotation (protocol 05a §5.1).

use crate::client::devices::own::Own;
use crate::crypto::sha1;
use crate::store::{Prekey, SignedPrekey};
use crate::wire::{Jid, Node};

fn iq(kind: &'static str) -> Node {
    Node::new("iq").attr("xmlns", "encrypt").attr("type", kind).attr("to", Jid::service())
}

pub(crate) fn id3(id: u32) -> Vec<u8> {
    let [_, id @ ..] = id.to_be_bytes();
    id.to_vec()
}

/// A one-time prekey as it stands in uploads and retry receipts.
pub(crate) fn key(prekey: &Prekey) -> Node {
    Node::new("key")
        .child(Node::new("id").bytes(id3(prekey.id)))
        .child(Node::new("value").bytes(prekey.keys.public.to_vec()))
}

/// The signed prekey as it stands in uploads, rotations and retry receipts.
pub(crate) fn skey(prekey: &SignedPrekey) -> Node {
    Node::new("skey")
        .child(Node::new("id").bytes(id3(prekey.id)))
        .child(Node::new("value").bytes(prekey.keys.public.to_vec()))
        .child(Node::new("signature").bytes(prekey.signature.to_vec()))
}

/// Our registration id, four bytes.
pub(crate) fn registration(own: &Own) -> Node {
    Node::new("registration").bytes(own.registration_id.to_be_bytes().to_vec())
}

/// The type byte of every key.
pub(crate) fn key_type() -> Node {
    Node::new("type").bytes(vec![5])
}

/// Our identity key.
pub(crate) fn identity(own: &Own) -> Node {
    Node::new("identity").bytes(own.identity.public().as_bytes().to_vec())
}

/// Uploads one-time prekeys, in ascending order, and the current signed prekey.
pub(crate) fn upload(own: &Own, prekeys: &[Prekey], signed: &SignedPrekey) -> Node {
    iq("set")
        .child(registration(own))
        .child(key_type())
        .child(identity(own))
        .child(Node::new("list").children(prekeys.iter().map(key)))
        .child(skey(signed))
}

/// Asks how many one-time prekeys the server has left.
pub(crate) fn count() -> Node {
    iq("get").child(Node::new("count"))
}

/// The answer to it.
pub(crate) fn counted(answer: &Node) -> Option<u64> {
    answer.find("count")?.u64("value")
}

/// Asks which of our keys the server has.
pub(crate) fn digest() -> Node {
    iq("get").child(Node::new("digest"))
}

/// Offers a new signed prekey.
pub(crate) fn rotate(signed: &SignedPrekey) -> Node {
    iq("set").child(Node::new("rotate").child(skey(signed)))
}

/// What the server has of our keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) registration: Vec<u8>,
    pub(crate) identity: Vec<u8>,
    pub(crate) signed: (Vec<u8>, Vec<u8>, Vec<u8>),
    pub(crate) listed: Vec<u32>,
    pub(crate) hash: Vec<u8>,
}

/// The answer to [`digest`]; `None`: the server has none.
pub(crate) fn digested(answer: &Node) -> Option<Digest> {
    let digest = answer.find("digest")?;
    let bytes = |node: &Node, tag: &str| Some(node.find(tag)?.content_bytes()?.into_owned());
    let skey = digest.find("skey")?;
    let ids = digest.find("list")?.find_all("id").map(|id| {
        let bytes = id.content_bytes().unwrap_or_default();
        bytes.iter().fold(0, |id: u32, byte| id << 8 | u32::from(*byte))
    });
    Some(Digest {
        registration: bytes(digest, "registration")?,
        identity: bytes(digest, "identity")?,
        signed: (bytes(skey, "id")?, bytes(skey, "value")?, bytes(skey, "signature")?),
        listed: ids.collect(),
        hash: bytes(digest, "hash")?,
    })
}

impl Digest {
    /// Whether it is what we hold. `prekeys` are ours by the ids listed, in that order; one that we no longer hold
    /// makes a difference.
    pub(crate) fn matches(&self, own: &Own, signed: &SignedPrekey, prekeys: &[Option<Prekey>]) -> bool {
        let mut parts: Vec<&[u8]> = vec![&self.identity, &self.signed.1, &self.signed.2];
        for prekey in prekeys {
            let Some(prekey) = prekey else { return false };
            parts.push(&prekey.keys.public);
        }
        self.registration == own.registration_id.to_be_bytes()
            && self.identity == own.identity.public().as_bytes()
            && self.signed == (id3(signed.id), signed.keys.public.to_vec(), signed.signature.to_vec())
            && self.hash == sha1(&parts)
    }
}
