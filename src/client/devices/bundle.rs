//! The prekey fetch: asking for bundles and reading them (protocol 05a §5).

use crate::crypto::PublicKey;
use crate::signal::adv::verify;
use crate::signal::{PreKeyBundle, SignalError, key32};
use crate::wire::{Jid, Node};

/// Devices of one fetch.
pub(crate) const MAX_FETCH: usize = 500;

/// Asks for the bundles of devices.
pub(crate) fn question(devices: &[Jid], identity_changed: bool) -> Node {
    let reason = identity_changed.then_some("identity");
    let users = devices.iter().map(|jid| Node::new("user").attr("jid", jid).opt_attr("reason", reason));
    Node::new("iq")
        .attr("xmlns", "encrypt")
        .attr("type", "get")
        .attr("to", Jid::service())
        .child(Node::new("key").children(users))
}

/// A device's keys, checked as far as they can be without the store.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) bundle: PreKeyBundle,
    /// The signed device identity of a companion.
    pub(crate) device_identity: Option<Vec<u8>>,
}

/// What came for one device.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Keys(Box<Fetched>),
    /// The server's code; 406: the device is no more.
    Refused(u16),
    /// Keys that can't be used.
    Bad,
}

/// Reads an answer: a device and what came for it, phones first, because their keys vouch for companions.
pub(crate) fn answers(iq: &Node) -> Vec<(Jid, Answer)> {
    let list = iq.find("list").into_iter().flat_map(|list| list.find_all("user"));
    let mut answers: Vec<_> = list.filter_map(|user| Some((user.jid("jid")?, answer(user)?))).collect();
    answers.sort_by_key(|(jid, _)| jid.device() != 0);
    answers
}

fn answer(user: &Node) -> Option<Answer> {
    if let Some(error) = user.find("error") {
        return Some(Answer::Refused(u16::try_from(error.u64("code")?).ok()?));
    }
    Some(keys(user).map_or(Answer::Bad, |keys| Answer::Keys(Box::new(keys))))
}

/// A bundle as it stands in answers and retry receipts. `None`: something is missing, or wrong.
pub(crate) fn keys(user: &Node) -> Option<Fetched> {
    let registration_id = registration(user)?;
    let inner = user.find("keys").unwrap_or(user);
    let bundle = bundle(inner, registration_id).ok()??;
    let identity = inner.find("device-identity").or_else(|| user.find("device-identity"));
    let device_identity = identity.and_then(Node::content_bytes).map(|bytes| bytes.into_owned());
    Some(Fetched { bundle, device_identity })
}

/// The registration id: four bytes, or fewer with zeros left out.
pub(crate) fn registration(node: &Node) -> Option<u32> {
    let inner = node.find("keys").and_then(|keys| keys.find("registration"));
    let bytes = node.find("registration").or(inner)?.content_bytes()?;
    number(&bytes, 4)
}

fn bundle(node: &Node, registration_id: u32) -> Result<Option<PreKeyBundle>, SignalError> {
    let bytes = |node: &Node, tag: &str| node.find(tag)?.content_bytes().map(|bytes| bytes.into_owned());
    if bytes(node, "type").is_some_and(|kind| kind != [5]) {
        return Err(SignalError::InvalidKey);
    }
    let Some(identity) = bytes(node, "identity") else { return Ok(None) };
    let Some(skey) = node.find("skey") else { return Ok(None) };
    let (Some(id), Some(value), Some(signature)) =
        (bytes(skey, "id"), bytes(skey, "value"), bytes(skey, "signature"))
    else {
        return Ok(None);
    };
    let Some(id) = exact_id(&id) else { return Ok(None) };
    let one_time = match node.find("key") {
        None => None,
        Some(key) => match (bytes(key, "id").as_deref().and_then(exact_id), bytes(key, "value")) {
            (Some(id), Some(value)) => Some((id, key32(&value)?)),
            _ => return Ok(None),
        },
    };
    let signed = (id, key32(&value)?, signature.as_slice());
    PreKeyBundle::new(registration_id, key32(&identity)?, signed, one_time).map(Some)
}

fn exact_id(bytes: &[u8]) -> Option<u32> {
    (bytes.len() == 3).then(|| number(bytes, 3)).flatten()
}

fn number(bytes: &[u8], most: usize) -> Option<u32> {
    if bytes.is_empty() || bytes.len() > most {
        return None;
    }
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// Whether a companion's keys are vouched for: both signatures of its device identity are right, and the account
/// key is the one inside, else the phone's stored identity (05a §5, 04 §11.2).
pub(crate) fn vouched(fetched: &Fetched, phone: Option<&PublicKey>) -> bool {
    let identity = &fetched.bundle.identity().0;
    fetched.device_identity.as_deref().is_some_and(|bytes| verify::device(bytes, identity, phone).is_ok())
}
