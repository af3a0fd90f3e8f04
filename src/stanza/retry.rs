//! Retry receipts (05b §9): asking a sender to encrypt again, and reading such a request.

use super::element::{Element, Malformed};
use super::keys::{self, Bundle};
use crate::wire::{Jid, Node};

/// Why a message could not be opened: `error` of `<retry>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// No session, no sender key.
    NoSession = 1,
    /// A key in it is invalid, or the signature of a sender-key message.
    InvalidKey = 2,
    /// The prekey id is not held.
    InvalidKeyId = 3,
    /// Not a message.
    InvalidMessage = 4,
    /// Wrong signature.
    InvalidSignature = 5,
    /// Too far ahead.
    FutureMessage = 6,
    /// Wrong MAC.
    BadMac = 7,
    /// The session is unusable.
    InvalidSession = 8,
    /// The message key is unusable.
    InvalidMessageKey = 9,
    /// The broadcast's ephemeral setting is wrong.
    BadBroadcastEphemeralSetting = 10,
    /// A companion that the device list lacks.
    UnknownCompanion = 11,
    /// The device identity does not verify.
    AdvFailure = 12,
    /// A status revoke came too early.
    StatusRevokeDelay = 13,
}

impl Reason {
    /// The reason of a number.
    #[must_use]
    pub fn of(number: u64) -> Option<Self> {
        const ALL: [Reason; 13] = [
            Reason::NoSession,
            Reason::InvalidKey,
            Reason::InvalidKeyId,
            Reason::InvalidMessage,
            Reason::InvalidSignature,
            Reason::FutureMessage,
            Reason::BadMac,
            Reason::InvalidSession,
            Reason::InvalidMessageKey,
            Reason::BadBroadcastEphemeralSetting,
            Reason::UnknownCompanion,
            Reason::AdvFailure,
            Reason::StatusRevokeDelay,
        ];
        ALL.into_iter().find(|reason| u64::from(*reason as u8) == number)
    }
}

/// A retry receipt of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `from` of the message as it came.
    pub to: Jid,
    /// The sender's device, in groups.
    pub participant: Option<Jid>,
    /// The chat, of copies of own messages.
    pub recipient: Option<Jid>,
    /// The message is a peer message.
    pub is_peer: bool,
    /// The message.
    pub id: String,
    /// How often this message was asked for, this time included.
    pub count: u32,
    /// The time of the message, Unix seconds.
    pub t: u64,
    /// Why; `None`: unknown.
    pub reason: Option<Reason>,
    /// Our registration id.
    pub registration_id: u32,
    /// Our keys, from the second request on.
    pub keys: Option<Bundle>,
}

impl Request {
    /// The stanza.
    #[must_use]
    pub fn build(&self) -> Node {
        // To a user in device form; a group stays what it is.
        let receipt = Node::new("receipt")
            .attr("id", &self.id)
            .attr("to", self.to.in_device_form())
            .opt_attr("participant", self.participant.as_ref().map(Jid::in_device_form))
            .opt_attr("recipient", self.recipient.as_ref())
            .attr("type", "retry")
            .opt_attr("category", self.is_peer.then_some("peer"));
        let retry = Node::new("retry")
            .attr("v", "1")
            .attr("count", self.count)
            .attr("id", &self.id)
            .attr("t", self.t)
            .opt_attr("error", self.reason.map(|reason| reason as u8));
        let receipt = receipt.child(retry).child(keys::registration_node(self.registration_id));
        match &self.keys {
            Some(bundle) => receipt.child(keys_node(bundle)),
            None => receipt,
        }
    }
}

/// A received retry receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who asks, or the group.
    pub from: Jid,
    /// The asking device, in groups.
    pub participant: Option<Jid>,
    /// The chat, of requests by own devices.
    pub recipient: Option<Jid>,
    /// It comes from the offline queue.
    pub offline: bool,
    /// The message.
    pub id: String,
    /// Which request this is; missing counts as the first.
    pub count: u32,
    /// The time of the message, Unix seconds.
    pub t: Option<u64>,
    /// Why.
    pub reason: Option<Reason>,
    /// The asking device's registration id; `None`: missing, zero or too long.
    pub registration_id: Option<u32>,
    /// The asking device's keys. Malformed: this request is acked and nothing is sent again.
    pub keys: Option<Result<Bundle, Malformed>>,
}

impl Received {
    /// Reads a request.
    ///
    /// # Errors
    /// Without the sender or the message's id: nack 487.
    pub fn parse<'n>(receipt: impl Element<'n>) -> Result<Self, Malformed> {
        let retry = receipt.need_child("retry")?;
        let registration_id = registration(receipt);
        let bundle = |keys| {
            let id = registration_id.ok_or(Malformed("registration"))?;
            Bundle::parse(keys, id)
        };
        let count = retry.number("count").map_or(1, |count| u32::try_from(count).unwrap_or(u32::MAX));
        Ok(Self {
            from: receipt.need_address("from")?,
            participant: receipt.maybe_address("participant")?,
            recipient: receipt.maybe_address("recipient")?,
            offline: receipt.has("offline"),
            id: retry.need("id")?.into_owned(),
            count: count.max(1),
            t: retry.number("t"),
            reason: retry.number("error").and_then(Reason::of),
            registration_id,
            keys: receipt.child("keys").map(bundle),
        })
    }

    /// The device that asks.
    #[must_use]
    pub fn requester(&self) -> &Jid {
        self.participant.as_ref().unwrap_or(&self.from)
    }
}

/// One to four bytes, not zero.
fn registration<'n>(receipt: impl Element<'n>) -> Option<u32> {
    let bytes = receipt.child("registration")?.content()?;
    let in_range = (1..=4).contains(&bytes.len());
    let id = bytes.iter().fold(0u32, |id, &byte| (id << 8) | u32::from(byte));
    (in_range && id != 0).then_some(id)
}

fn keys_node(bundle: &Bundle) -> Node {
    let mut children = vec![keys::type_node(), Node::new("identity").bytes(bundle.identity)];
    children.extend(bundle.prekey.iter().map(keys::PreKey::build));
    children.push(bundle.signed_prekey.build());
    children
        .extend(bundle.device_identity.iter().map(|bytes| Node::new("device-identity").bytes(bytes.clone())));
    Node::new("keys").children(children)
}
