//! Which devices a message goes to, and under which addresses (protocol 05a §7, §8).

use crate::client::devices::own::{Own, is_pn_family};
use crate::client::devices::{address, devices_of};
use crate::client::properties::{Properties, Property};
use crate::store::{StoreError, Tx};
use crate::wire::Jid;

/// The setting that says: the server wants this account's chats under the phone number.
const UNMIGRATED: &str = "send.unmigrated";

/// Where a message goes.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// `to` of the stanza.
    pub(crate) chat: Jid,
    /// The recipient's devices, in the chat's namespace; none for a chat with ourselves.
    pub(crate) theirs: Vec<Jid>,
    /// Our other devices, in the chat's namespace.
    pub(crate) ours: Vec<Jid>,
    /// A chat with ourselves.
    pub(crate) to_self: bool,
}

impl Plan {
    pub(crate) fn all(&self) -> Vec<Jid> {
        self.theirs.iter().chain(&self.ours).cloned().collect()
    }
}

/// The address of a chat on the wire: the LID where it is known and the account lives under LIDs.
pub(crate) fn chat(tx: &Tx<'_>, own: &Own, to: &Jid) -> Result<Jid, StoreError> {
    let to = to.to_user();
    let by_lid = own.lid.is_some() && (is_migrated(tx, own)? || tx.setting(UNMIGRATED)?.is_none());
    if by_lid {
        return if own.is_own(&to) {
            Ok(own.lid.as_ref().map_or(to, Jid::to_user))
        } else {
            address::canonical(tx, &to)
        };
    }
    if is_pn_family(&to) {
        return Ok(to);
    }
    Ok(address::other_form(tx, &to)?.unwrap_or(to))
}

/// Whether there is evidence that the account's 1:1 chats live under LIDs. It outweighs the mark.
pub(crate) fn is_migrated(tx: &Tx<'_>, own: &Own) -> Result<bool, StoreError> {
    Ok(own.migrated || Properties::load(tx)?.is_on(Property::LidMigrated))
}

/// The server refused the LID form (400) of an account without migration evidence.
pub(crate) fn mark_unmigrated(tx: &mut Tx<'_>, unmigrated: bool) -> Result<(), StoreError> {
    tx.set_setting(UNMIGRATED, unmigrated.then_some(&[1]))
}

/// The devices of a chat, from stored lists. A missing list of the recipient gives its phone alone.
pub(crate) fn plan(tx: &Tx<'_>, own: &Own, to: &Jid) -> Result<Plan, StoreError> {
    let chat = chat(tx, own, to)?;
    let to_self = own.is_own(&chat);
    let me = own.in_namespace_of(&chat).to_user();
    let mut ours = devices_of(tx, &me)?.unwrap_or_else(|| vec![me.clone()]);
    ours.retain(|device| !own.is_this_device(device));
    let theirs =
        if to_self { Vec::new() } else { devices_of(tx, &chat)?.unwrap_or_else(|| vec![chat.clone()]) };
    Ok(Plan { chat, theirs, ours, to_self })
}
