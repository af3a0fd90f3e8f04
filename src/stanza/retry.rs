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

/// A retry receipt, ours or received. `to` and `from` are the same address seen from the two ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Ours: `from` of the message as it came. Received: who asks, or the group.
    pub peer: Jid,
    /// In groups the sender's device (ours), the asking device (received).
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
    pub t: Option<u64>,
    /// Why; `None`: unknown.
    pub reason: Option<Reason>,
    /// The asking device's registration id.
    pub registration_id: u32,
    /// The asking device's keys, from the second request on; its registration id is the one above.
    pub keys: Option<Bundle>,
}

impl Retry {
    /// The stanza that asks.
    #[must_use]
    pub fn build(&self) -> Node {
        // To a user in device form; a group stays what it is.
        let receipt = Node::new("receipt")
            .attr("id", &self.id)
            .attr("to", self.peer.in_device_form())
            .opt_attr("participant", self.participant.as_ref().map(Jid::in_device_form))
            .opt_attr("recipient", self.recipient.as_ref())
            .attr("type", "retry")
            .opt_attr("category", self.is_peer.then_some("peer"));
        let retry = Node::new("retry")
            .attr("v", "1")
            .attr("count", self.count)
            .attr("id", &self.id)
            .attr("t", self.t.unwrap_or(0))
            .opt_attr("error", self.reason.map(|reason| reason as u8));
        let receipt = receipt.child(retry).child(keys::registration_node(self.registration_id));
        match &self.keys {
            Some(bundle) => receipt.child(keys_node(bundle)),
            None => receipt,
        }
    }

    /// Reads a received request.
    ///
    /// # Errors
    /// If a part is missing or malformed; keys that are there must be whole.
    pub fn parse<'n>(receipt: impl Element<'n>) -> Result<Self, Malformed> {
        let peer = if receipt.has("from") { "from" } else { "to" };
        let retry = receipt.need_child("retry")?;
        let count = retry.number("count").and_then(|count| u32::try_from(count).ok());
        let registration_id = keys::parse_registration(receipt)?;
        let bundle = receipt.child("keys").map(|node| Bundle::parse(node, registration_id)).transpose()?;
        Ok(Self {
            peer: receipt.need_address(peer)?,
            participant: receipt.maybe_address("participant")?,
            recipient: receipt.maybe_address("recipient")?,
            is_peer: receipt.says("category", "peer"),
            id: retry
                .text("id")
                .filter(|id| !id.is_empty())
                .map_or_else(|| receipt.need("id"), Ok)?
                .into_owned(),
            count: count.filter(|&count| count > 0).ok_or(Malformed("count"))?,
            t: retry.number("t"),
            reason: retry.number("error").and_then(Reason::of),
            registration_id,
            keys: bundle,
        })
    }
}

fn keys_node(bundle: &Bundle) -> Node {
    let mut children = vec![keys::type_node(), Node::new("identity").bytes(bundle.identity)];
    children.extend(bundle.prekey.iter().map(keys::PreKey::build));
    children.push(bundle.signed_prekey.build());
    children
        .extend(bundle.device_identity.iter().map(|bytes| Node::new("device-identity").bytes(bytes.clone())));
    Node::new("keys").children(children)
}
