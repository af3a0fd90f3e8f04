//! Presence, chat states and calls (09 §13): passed on to those who are online, never queued.

use super::queue::Kind;
use super::{ConnectionId, DeviceRef, Namespace, Origin, World};
use crate::wire::{Jid, Node};

impl World {
    pub(crate) fn presence(&mut self, origin: &Origin, node: &Node) {
        let name = node.str("name").map(std::borrow::Cow::into_owned);
        if let (Some(name), Some(account)) = (name, self.accounts.get_mut(&origin.device.number)) {
            account.push_name = name;
        }
        match node.str("type").as_deref() {
            Some("subscribe") => self.subscribe(origin, node),
            Some("unsubscribe") => {
                let watched = node.jid("to").and_then(|to| self.resolve(&to));
                if let (Some(at), Some(session)) =
                    (watched, origin.connection.and_then(|id| self.session_mut(id)))
                {
                    session.watching.remove(&at.number);
                }
            }
            Some("unavailable") => self.set_presence(origin, false),
            Some("available") => self.set_presence(origin, true),
            // Without type and `to`: only the name.
            _ => {}
        }
    }

    fn set_presence(&mut self, origin: &Origin, available: bool) {
        if let Some(session) = origin.connection.and_then(|id| self.session_mut(id)) {
            session.presence_available = available;
        }
        self.presence_changed(&origin.device, available);
    }

    /// Tells the watchers of an account.
    pub(crate) fn presence_changed(&mut self, at: &DeviceRef, available: bool) {
        let now = self.now_ms;
        let others = self.sessions().any(|(_, session)| {
            session.device.number == at.number && session.device != *at && session.presence_available
        });
        let Some(account) = self.accounts.get_mut(&at.number) else { return };
        let before = account.available;
        account.available = available || others;
        if !account.available {
            account.last_seen = now;
        }
        let now_available = account.available;
        if before == now_available {
            return;
        }
        self.note_presence(&at.number, now_available);
        let watchers: Vec<(ConnectionId, String)> = self
            .sessions()
            .filter(|(_, session)| session.watching.contains(&at.number))
            .map(|(id, session)| (id, session.device.number.clone()))
            .collect();
        for (id, watcher) in watchers {
            if let Some(state) = self.presence_state(&at.number, &watcher) {
                self.write(id, state);
            }
        }
    }

    fn presence_state(&self, number: &str, watcher: &str) -> Option<Node> {
        let account = self.accounts.get(number)?;
        let known = self.accounts.get(watcher).and_then(|watcher| watcher.contacts.get(number));
        let from = account.jid(known.copied().unwrap_or(Namespace::Pn), 0);
        let presence = Node::new("presence").attr("from", from);
        if account.available {
            return Some(presence);
        }
        let hidden = account.privacy.get("last").is_some_and(|value| value == "none");
        let last = match (hidden, account.last_seen) {
            (true, _) => "deny".to_owned(),
            (false, 0) => "none".to_owned(),
            (false, at) => at.div_euclid(1000).to_string(),
        };
        Some(presence.attr("type", "unavailable").attr("last", last))
    }

    fn subscribe(&mut self, origin: &Origin, node: &Node) {
        let Some(to) = node.jid("to") else { return };
        let Some(at) = self.resolve(&to) else { return };
        if !self.may_reach(&origin.device.number, &at.number, node.find("tctoken")) {
            return;
        }
        self.acquainted(&origin.device.number, &at.number, Namespace::of(&to));
        let Some(id) = origin.connection else { return };
        if let Some(session) = self.session_mut(id) {
            session.watching.insert(at.number.clone());
        }
        if let Some(state) = self.presence_state(&at.number, &origin.device.number) {
            self.write(id, state);
        }
    }

    /// To the online devices of the other side, while the sender is available.
    pub(crate) fn chatstate(&mut self, origin: &Origin, node: &Node) {
        let Some(to) = node.jid("to") else { return };
        let available = origin.connection.is_none()
            || origin
                .connection
                .and_then(|id| self.session(id))
                .is_some_and(|session| session.presence_available);
        if !available {
            return;
        }
        let Some(state) = node.nodes().next().cloned() else { return };
        let receivers: Vec<String> = match self.groups.get(to.user()).filter(|_| to.is_group()) {
            Some(group) => {
                group.members().filter(|number| **number != origin.device.number).cloned().collect()
            }
            None => self.resolve(&to).map(|at| at.number).into_iter().collect(),
        };
        let namespace = match self.groups.get(to.user()).filter(|_| to.is_group()) {
            Some(group) => group.addressing,
            None => Namespace::of(&to),
        };
        let Some(sender) = self.device_jid(&DeviceRef::new(&origin.device.number, 0), namespace) else {
            return;
        };
        let envelope = if to.is_group() {
            Node::new("chatstate").attr("from", to).attr("participant", sender)
        } else {
            Node::new("chatstate").attr("from", sender)
        };
        let envelope = envelope.child(state);
        let live: Vec<ConnectionId> = self
            .sessions()
            .filter(|(_, session)| session.active && receivers.contains(&session.device.number))
            .map(|(id, _)| id)
            .collect();
        for id in live {
            self.write(id, envelope.clone());
        }
        self.keep_chatstate(&receivers, &envelope);
    }

    /// For those who are away, with `--chatstate-ttl`.
    fn keep_chatstate(&mut self, receivers: &[String], state: &Node) {
        const KEPT: usize = 100;
        if self.config.chatstate_ttl_s <= 0 {
            return;
        }
        let now = self.now_ms;
        for number in receivers {
            let Some(account) = self.accounts.get_mut(number) else { continue };
            for device in account.devices.values_mut().filter(|device| device.connection.is_none()) {
                if device.chatstates.len() >= KEPT {
                    device.chatstates.pop_front();
                }
                device.chatstates.push_back((now, state.clone()));
            }
        }
    }

    /// What is fresh enough of what was kept, behind the backlog of a login.
    pub(super) fn write_chatstates(&mut self, id: ConnectionId, at: &DeviceRef) {
        let oldest = self.now_ms - self.config.chatstate_ttl_s.saturating_mul(1000);
        let kept = self.device_mut(at).map(|device| std::mem::take(&mut device.chatstates));
        for (_, state) in kept.into_iter().flatten().filter(|(came, _)| *came > oldest) {
            self.write(id, state);
        }
    }

    /// Calls are acknowledged and passed on as they are.
    pub(crate) fn call(&mut self, origin: &Origin, node: &Node) {
        let (Some(id), Some(to)) = (node.str("id").map(std::borrow::Cow::into_owned), node.jid("to")) else {
            return;
        };
        if let Some(connection) = origin.connection {
            let ack = Node::new("ack").attr("class", "call").attr("id", id.clone()).attr("from", to.clone());
            self.write(connection, ack.attr("t", self.now_s()));
        }
        let Some(at) = self.resolve(&to) else { return };
        let from = self.device_jid(&origin.device, Namespace::of(&to)).unwrap_or_else(Jid::service);
        let call = Node::new("call").attr("from", from).attr("id", id).attr("t", self.now_s());
        let call = call.children(node.nodes().cloned());
        let peer = origin.device.number.clone();
        let devices: Vec<u16> = self
            .accounts
            .get(&at.number)
            .map(|account| account.devices.keys().copied().collect())
            .unwrap_or_default();
        for device in devices.into_iter().filter(|device| *device != 0) {
            self.enqueue(&DeviceRef::new(&at.number, device), Kind::Call, Some(peer.clone()), call.clone());
        }
    }
}
