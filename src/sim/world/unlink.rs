//! Unlinking, logging out, reinstalling (09 §10.2, §20 rows 7 to 9), and the phone's signed key-index list.

use super::account::{DeviceRef, SignedList};
use super::iq::{Refusal, Reply};
use super::keys::fixed;
use super::notify::Change;
use super::{Origin, World};
use crate::sim::seam::PhoneCommand;
use crate::wire::Node;

impl World {
    /// `remove-companion-device`, from a companion or from the phone. `None`: the answer was written already.
    pub(crate) fn remove_companion(&mut self, origin: &Origin, iq: &Node) -> Option<Reply> {
        let remove = iq.find("remove-companion-device")?;
        let all = remove.str("all").as_deref() == Some("true");
        let devices: Vec<u16> = if all {
            let account = self.accounts.get(&origin.device.number)?;
            account.companions().map(|(id, _)| id).collect()
        } else {
            let Some(at) = remove.jid("jid").and_then(|jid| self.resolve(&jid)) else {
                return Some(Err(Refusal::BAD_REQUEST));
            };
            if at.number != origin.device.number || at.device == 0 {
                return Some(Err(Refusal::FORBIDDEN));
            }
            vec![at.device]
        };
        self.reply(origin, iq, Ok(Vec::new()));
        for device in devices {
            self.unlink(&DeviceRef::new(&origin.device.number, device));
        }
        None
    }

    /// Ends a link: live connection, queue and bundle go, the phone signs a new list, peers are told.
    pub(crate) fn unlink(&mut self, at: &DeviceRef) {
        let Some(account) = self.accounts.get_mut(&at.number) else { return };
        let Some(device) = account.devices.remove(&at.device).filter(|_| at.device != 0) else { return };
        if let Some(id) = device.connection {
            let conflict = Node::new("conflict").attr("type", "device_removed");
            let error = Node::new("stream:error").attr("code", "401").child(conflict);
            self.end_with(id, Some(error), 100);
        }
        let gone = PhoneCommand::CompanionGone { device: at.device };
        // A phone that knows nothing of the device has nothing to take back.
        let _ = self.with_phone(&at.number, |phone, context| phone.command(context, gone));
        self.settle();
        if device.keys.is_some() {
            self.notify_device_change(at, Change::Remove);
        }
        self.counters.forget(at);
        if !device.driven {
            self.begin_cooldown(at);
        }
    }

    /// §20 row 7: a new phone with the same number.
    pub(crate) fn reinstall(&mut self, number: &str) {
        let companions: Vec<u16> = self
            .accounts
            .get(number)
            .map(|account| account.companions().map(|(id, _)| id).collect())
            .unwrap_or_default();
        for device in companions {
            self.unlink(&DeviceRef::new(number, device));
        }
        if let Some(account) = self.accounts.get_mut(number) {
            account.key_index_list = None;
        }
        if let Some(device) = self.device_mut(&DeviceRef::new(number, 0)) {
            *device.keys = None;
        }
        let _ = self.with_phone(number, |phone, context| phone.command(context, PhoneCommand::Reinstall));
        self.settle();
        self.notify_identity_change(number);
    }

    /// `<iq md set><key-index-list ts>` of the phone (02 §11).
    pub(crate) fn publish_key_index_list(&mut self, origin: &Origin, iq: &Node) -> Reply {
        if origin.device.device != 0 {
            return Err(Refusal::FORBIDDEN);
        }
        let list = iq.find("key-index-list").and_then(signed_list).ok_or(Refusal::BAD_REQUEST)?;
        let account = self.accounts.get_mut(&origin.device.number).ok_or(Refusal::ITEM_NOT_FOUND)?;
        if !account.has_signed(&list) {
            return Err(Refusal::BAD_REQUEST);
        }
        account.key_index_list = Some(list);
        Ok(Vec::new())
    }
}

/// A `<key-index-list ts>` with its signed bytes.
pub(crate) fn signed_list(node: &Node) -> Option<SignedList> {
    let bytes = node.content_bytes().filter(|bytes| !bytes.is_empty())?.into_owned();
    Some(SignedList { ts: node.str("ts")?.into_owned(), bytes })
}

/// The content of a child, of exactly `N` bytes, as an option of a reply.
pub(crate) fn required<const N: usize>(node: &Node, tag: &str) -> Result<[u8; N], Refusal> {
    node.find(tag).and_then(fixed).ok_or(Refusal::BAD_REQUEST)
}
