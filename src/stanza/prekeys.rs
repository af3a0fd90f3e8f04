//! Prekey queries (05a §5, §5.1): fetching the bundles of peers; count, upload, digest and rotation of our own.
//! Queries are built without id. When which is due is the client's affair.

use super::element::{Element, ErrorInfo, Malformed};
use super::keys::{self, Bundle, PreKey, SignedPreKey};
use crate::crypto::sha1;
use crate::wire::{Jid, Node};

fn query(kind: &'static str) -> Node {
    Node::new("iq").attr("xmlns", "encrypt").attr("type", kind).attr("to", Jid::service())
}

/// Asks for the bundles of devices; `true` beside a device whose session is made anew because of an identity change.
#[must_use]
pub fn fetch<'j>(devices: impl IntoIterator<Item = (&'j Jid, bool)>) -> Node {
    let user = |(jid, identity): (&Jid, bool)| {
        Node::new("user").attr("jid", jid).opt_attr("reason", identity.then_some("identity"))
    };
    query("get").child(Node::new("key").children(devices.into_iter().map(user)))
}

/// Why an answer holds no bundle for a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBundle {
    /// The server's word; 406: the device is unregistered.
    #[error(transparent)]
    Refused(#[from] ErrorInfo),
    /// The bundle is unusable: skip the device.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What an answer holds for each device that it names.
pub type Fetched = Vec<(Jid, Result<Bundle, NoBundle>)>;

/// Reads the answer to [`fetch`]: one entry per device that it names. Entries without a readable device or error code
/// are left out.
///
/// # Errors
/// If there is no `<list>`.
pub fn parse_fetched<'n>(answer: impl Element<'n>) -> Result<Fetched, Malformed> {
    let users = answer.need_child("list")?.each_of("user");
    Ok(users.filter_map(|user| Some((user.address("jid")?, parse_bundle(user)?))).collect())
}

fn parse_bundle<'n>(user: impl Element<'n>) -> Option<Result<Bundle, NoBundle>> {
    if user.child("error").is_some() {
        return ErrorInfo::of(user).map(|error| Err(NoBundle::Refused(error)));
    }
    // The key material may be wrapped.
    let holder = user.child("keys").unwrap_or(user);
    let registration = keys::parse_registration(user).or_else(|_| keys::parse_registration(holder));
    Some(registration.and_then(|id| Bundle::parse(holder, id)).map_err(NoBundle::Malformed))
}

/// Asks for identity keys alone.
#[must_use]
pub fn identities<'j>(users: impl IntoIterator<Item = &'j Jid>) -> Node {
    let users = users.into_iter().map(|jid| Node::new("user").attr("jid", jid.in_device_form()));
    query("get").child(Node::new("identity").children(users))
}

/// Reads the answer to [`identities`]; users without a good key are left out.
///
/// # Errors
/// If there is no `<list>`.
pub fn parse_identities<'n>(answer: impl Element<'n>) -> Result<Vec<(Jid, [u8; 32])>, Malformed> {
    let users = answer.need_child("list")?.each_of("user");
    Ok(users.filter_map(|user| Some((user.address("jid")?, user.child_array("identity").ok()?))).collect())
}

/// Asks how many one-time prekeys the server holds.
#[must_use]
pub fn count() -> Node {
    query("get").child(Node::new("count"))
}

/// Reads the answer to [`count`].
///
/// # Errors
/// If the number is missing.
pub fn parse_count<'n>(answer: impl Element<'n>) -> Result<u64, Malformed> {
    answer.need_child("count")?.number("value").ok_or(Malformed("value"))
}

/// Our own keys as the server should hold them.
#[derive(Debug, Clone, Copy)]
pub struct Own<'k> {
    /// Our registration id.
    pub registration_id: u32,
    /// Our identity key, without the type byte.
    pub identity: &'k [u8; 32],
    /// The current signed prekey.
    pub signed_prekey: &'k SignedPreKey,
}

/// Uploads one-time prekeys, with the current signed prekey. Written in ascending order of their ids.
#[must_use]
pub fn upload(own: Own<'_>, prekeys: &[PreKey]) -> Node {
    let mut sorted: Vec<&PreKey> = prekeys.iter().collect();
    sorted.sort_by_key(|key| key.id);
    query("set").children([
        keys::registration_node(own.registration_id),
        keys::type_node(),
        Node::new("identity").bytes(*own.identity),
        Node::new("list").children(sorted.into_iter().map(PreKey::build)),
        own.signed_prekey.build(),
    ])
}

/// Gives the server another signed prekey.
#[must_use]
pub fn rotate(signed_prekey: &SignedPreKey) -> Node {
    query("set").child(Node::new("rotate").child(signed_prekey.build()))
}

/// Asks what the server holds of ours.
#[must_use]
pub fn digest() -> Node {
    query("get").child(Node::new("digest"))
}

/// What the server holds of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The registration id.
    pub registration_id: u32,
    /// The identity key.
    pub identity: [u8; 32],
    /// The signed prekey.
    pub signed_prekey: SignedPreKey,
    /// The ids of the one-time prekeys, in the server's order.
    pub prekey_ids: Vec<u32>,
    /// [`digest_hash`] over the keys.
    pub hash: [u8; 20],
}

impl Digest {
    /// Reads the answer to [`digest`]; `None`: the server holds nothing, upload.
    ///
    /// # Errors
    /// If a part is missing or has another length.
    pub fn parse<'n>(answer: impl Element<'n>) -> Result<Option<Self>, Malformed> {
        let Some(digest) = answer.child("digest") else { return Ok(None) };
        let ids = digest.need_child("list")?.each_of("id").map(|id| match id.content().as_deref() {
            Some(&[a, b, c]) => Ok(u32::from_be_bytes([0, a, b, c])),
            _ => Err(Malformed("id")),
        });
        Ok(Some(Self {
            registration_id: keys::parse_registration(digest)?,
            identity: digest.child_array("identity")?,
            signed_prekey: SignedPreKey::parse(digest.need_child("skey")?)?,
            prekey_ids: ids.collect::<Result<_, _>>()?,
            hash: digest.child_array("hash")?,
        }))
    }
}

/// SHA-1 over identity, signed prekey, its signature, and the listed prekeys in list order.
#[must_use]
pub fn digest_hash<'k>(
    identity: &[u8; 32],
    signed_prekey: &SignedPreKey,
    prekeys: impl IntoIterator<Item = &'k [u8; 32]>,
) -> [u8; 20] {
    let mut parts: Vec<&[u8]> = vec![identity, &signed_prekey.public, &signed_prekey.signature];
    parts.extend(prekeys.into_iter().map(|key| &key[..]));
    sha1(&parts)
}
