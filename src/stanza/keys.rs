//! Key material in stanzas: one-time prekeys, signed prekeys, and the bundle of a peer (05a §5, 05b §9). Raw bytes of
//! the right length; whether a signature is good is the caller's question.

use super::element::{Element, Malformed};
use crate::wire::Node;

/// The key type byte: Curve25519.
pub(super) const KEY_TYPE: u8 = 5;

/// The public half of a one-time prekey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreKey {
    /// 24 bits.
    pub id: u32,
    /// Without the type byte.
    pub public: [u8; 32],
}

impl PreKey {
    /// Reads `<key>`.
    pub(super) fn parse<'n>(node: impl Element<'n>) -> Result<Self, Malformed> {
        Ok(Self { id: parse_id(node)?, public: node.child_array("value")? })
    }

    /// `<key>`.
    pub(super) fn build(&self) -> Node {
        Node::new("key").child(id_node(self.id)).child(Node::new("value").bytes(self.public))
    }
}

/// The public half of a signed prekey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedPreKey {
    /// 24 bits.
    pub id: u32,
    /// Without the type byte.
    pub public: [u8; 32],
    /// By the identity key, over `05 ‖ public`.
    pub signature: [u8; 64],
}

impl SignedPreKey {
    /// Reads `<skey>`.
    pub(super) fn parse<'n>(node: impl Element<'n>) -> Result<Self, Malformed> {
        Ok(Self {
            id: parse_id(node)?,
            public: node.child_array("value")?,
            signature: node.child_array("signature")?,
        })
    }

    /// `<skey>`.
    pub(super) fn build(&self) -> Node {
        Node::new("skey")
            .child(id_node(self.id))
            .child(Node::new("value").bytes(self.public))
            .child(Node::new("signature").bytes(self.signature))
    }
}

/// A peer device's keys, from a prekey fetch or a retry receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The registration id.
    pub registration_id: u32,
    /// The identity key, without the type byte.
    pub identity: [u8; 32],
    /// The signed prekey.
    pub signed_prekey: SignedPreKey,
    /// A one-time prekey; `None` when the peer ran out.
    pub prekey: Option<PreKey>,
    /// A companion's `ADVSignedDeviceIdentity`.
    pub device_identity: Option<Vec<u8>>,
}

impl Bundle {
    /// Reads the keys inside `keys`; the registration id stands there or was read elsewhere.
    pub(super) fn parse<'n>(keys: impl Element<'n>, registration_id: u32) -> Result<Self, Malformed> {
        if let Some(kind) = keys.child("type").and_then(Element::content)
            && *kind != [KEY_TYPE]
        {
            return Err(Malformed("type"));
        }
        Ok(Self {
            registration_id,
            identity: keys.child_array("identity")?,
            signed_prekey: SignedPreKey::parse(keys.need_child("skey")?)?,
            prekey: keys.child("key").map(PreKey::parse).transpose()?,
            device_identity: keys.child("device-identity").and_then(Element::content).map(|c| c.into_owned()),
        })
    }
}

/// The registration id of `<registration>`.
pub(super) fn parse_registration<'n>(node: impl Element<'n>) -> Result<u32, Malformed> {
    node.child_array("registration").map(u32::from_be_bytes)
}

/// `<registration>`.
pub(super) fn registration_node(id: u32) -> Node {
    Node::new("registration").bytes(id.to_be_bytes())
}

/// `<type>`.
pub(super) fn type_node() -> Node {
    Node::new("type").bytes([KEY_TYPE])
}

fn parse_id<'n>(node: impl Element<'n>) -> Result<u32, Malformed> {
    let [a, b, c] = node.child_array("id")?;
    Ok(u32::from_be_bytes([0, a, b, c]))
}

fn id_node(id: u32) -> Node {
    let [_, a, b, c] = id.to_be_bytes();
    Node::new("id").bytes([a, b, c])
}
