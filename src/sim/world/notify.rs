//! Notifications (09 §10.2, §19): building them, and who gets them.

use super::account::{Account, DeviceRef, Namespace, device_hash};
use super::queue::Kind;
use super::timers::Timer;
use super::{ConnectionId, Origin, World};
use crate::wire::{Jid, Node};

/// How long a client may take to answer a stanza that it got live.
const ANSWER_MS: i64 = 60_000;

/// What happened to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Remove,
}

impl World {
    /// The envelope of a notification.
    pub(crate) fn notification(&mut self, from: Jid, kind: &'static str) -> Node {
        Node::new("notification")
            .attr("from", from)
            .attr("type", kind)
            .attr("id", self.next_id())
            .attr("t", self.now_s())
    }

    /// Queues a notification for one device, or hands it to the phone.
    pub(crate) fn notify(&mut self, at: &DeviceRef, notification: Node) {
        if self.is_driven(at) {
            self.hand_to_driven(at, Kind::Notification, notification);
        } else {
            self.enqueue(at, Kind::Notification, None, notification);
        }
    }

    /// To every device of an account but `except`, each with an id of its own.
    pub(crate) fn notify_account(&mut self, number: &str, except: Option<u16>, notification: Node) {
        let devices: Vec<u16> = self
            .accounts
            .get(number)
            .map(|account| account.devices.keys().copied().filter(|id| Some(*id) != except).collect())
            .unwrap_or_default();
        for device in devices {
            let mut notification = notification.clone();
            let id = self.next_id();
            if let Some((_, value)) = notification.attrs.iter_mut().find(|(key, _)| key == "id") {
                *value = id.into();
            }
            self.notify(&DeviceRef::new(number, device), notification);
        }
    }

    /// Tells the account's other devices what one of them changed.
    pub(crate) fn notify_own(&mut self, by: &DeviceRef, kind: &'static str, child: Node) {
        let Some(own) = self.accounts.get(&by.number).map(|account| account.pn.clone()) else { return };
        let notification = self.notification(own, kind).child(child);
        self.notify_account(&by.number, Some(by.device), notification);
    }

    /// The accounts that share a chat with this one, each with the address by which it knows it (09 §10.2).
    pub(crate) fn observers(&self, number: &str) -> Vec<(String, Jid)> {
        let Some(changed) = self.accounts.get(number) else { return Vec::new() };
        let known = self.accounts.values().filter(|other| other.number != number).filter_map(|other| {
            let namespace = other.contacts.get(number)?;
            Some((other.number.clone(), changed.jid(*namespace, 0)))
        });
        known.collect()
    }

    /// `devices` to the observers, `account_sync` to the account's own other devices.
    pub(crate) fn notify_device_change(&mut self, at: &DeviceRef, change: Change) {
        for (observer, from) in self.observers(&at.number) {
            let Some(account) = self.accounts.get(&at.number) else { return };
            let operation = operation(account, at.device, Namespace::of(&from), change);
            let lid = from.is_pn().then(|| account.lid.clone());
            let notification = self.notification(from, "devices").opt_attr("lid", lid).child(operation);
            self.notify_account(&observer, None, notification);
        }
        let Some(account) = self.accounts.get(&at.number) else { return };
        let (own, devices) = (account.pn.clone(), own_devices(account));
        let notification = self.notification(own, "account_sync").child(devices);
        let others: Vec<u16> = account_others(self.accounts.get(&at.number), at.device);
        for device in others {
            let mut notification = notification.clone();
            let id = self.next_id();
            if let Some((_, value)) = notification.attrs.iter_mut().find(|(key, _)| key == "id") {
                *value = id.into();
            }
            self.notify(&DeviceRef::new(&at.number, device), notification);
        }
    }

    /// `encrypt` > `identity` to everybody with an open chat (09 §10.2).
    pub(crate) fn notify_identity_change(&mut self, number: &str) {
        for (observer, from) in self.observers(number) {
            let lid = self.accounts.get(number).filter(|_| from.is_pn()).map(|account| account.lid.clone());
            let notification =
                self.notification(from, "encrypt").opt_attr("lid", lid).child(Node::new("identity"));
            self.notify_account(&observer, None, notification);
        }
    }

    /// Puts a stanza into a companion's queue; a live connection gets it at once.
    pub(crate) fn enqueue(&mut self, at: &DeviceRef, kind: Kind, peer: Option<String>, node: Node) {
        let now = self.now_ms;
        let id = node.str("id").unwrap_or_default().into_owned();
        let lost =
            self.is_crude(&at.number) && self.device(at).is_none_or(|device| device.connection.is_none());
        let Some(device) = self.device_mut(at).filter(|_| !lost) else { return };
        let (sequence, overflow) = device.queue.push(now, kind, &id, peer, node);
        if overflow {
            device.dirty.insert("account_sync".to_owned(), now.div_euclid(1000));
        }
        let Some(connection) = device.connection else { return };
        if self.session(connection).is_some_and(|session| session.active && session.backlog.done) {
            self.write_entry(at, connection, sequence, None);
        }
    }

    /// Writes a queue entry to the device's connection; `ordinal` marks offline delivery.
    pub(crate) fn write_entry(
        &mut self,
        at: &DeviceRef,
        connection: ConnectionId,
        sequence: u64,
        ordinal: Option<usize>,
    ) {
        let Some(entry) = self.device_mut(at).and_then(|device| device.queue.get_mut(sequence)) else {
            return;
        };
        entry.sent_on = Some(connection);
        let node = entry.node.clone().opt_attr("offline", ordinal);
        let timer = Timer::Unanswered { device: at.clone(), entry: sequence, connection };
        if entry.kind == Kind::Notification {
            self.timers.set(self.now_ms + ANSWER_MS, timer);
        }
        let place = self.place(connection);
        let doubled = node.tag == "message" && self.strike(&["F30"], &place).is_some();
        if doubled {
            self.write(connection, node.clone());
        }
        self.write(connection, node);
    }

    /// A notification was not answered for 60 s on a living connection (09 §19).
    pub(crate) fn unanswered(&mut self, at: &DeviceRef, entry: u64, connection: ConnectionId) {
        let waiting = self.device(at).and_then(|device| device.queue.get(entry));
        let Some(entry) = waiting.filter(|entry| entry.sent_on == Some(connection)) else { return };
        let detail = format!("notification {:?}", entry.node.str("type").unwrap_or_default());
        if self.session(connection).is_some() {
            let origin = Origin { device: at.clone(), connection: Some(connection) };
            self.fault(&origin, "unacked-notification", detail);
        }
    }
}

fn account_others(account: Option<&Account>, except: u16) -> Vec<u16> {
    account
        .map(|account| account.devices.keys().copied().filter(|id| *id != except).collect())
        .unwrap_or_default()
}

fn operation(account: &Account, device: u16, namespace: Namespace, change: Change) -> Node {
    let key_index =
        account.devices.get(&device).and_then(|device| device.pairing.as_ref()).map(|p| p.key_index);
    let lid = (namespace == Namespace::Pn).then(|| account.jid(Namespace::Lid, device));
    let changed = Node::new("device")
        .attr("jid", account.jid(namespace, device))
        .opt_attr("lid", lid)
        .opt_attr("key-index", key_index.filter(|_| change == Change::Add));
    let list = key_index_list(account, change == Change::Add);
    Node::new(if change == Change::Add { "add" } else { "remove" })
        .attr("device_hash", account.device_hash(namespace))
        .attr("device_lid_hash", account.device_hash(Namespace::Lid))
        .child(changed)
        .child(list)
}

/// `<key-index-list ts>`, with the signed bytes where they are wanted and there.
pub(crate) fn key_index_list(account: &Account, signed: bool) -> Node {
    match &account.key_index_list {
        Some(list) if signed => {
            Node::new("key-index-list").attr("ts", list.ts.clone()).bytes(list.bytes.clone())
        }
        Some(list) => Node::new("key-index-list").attr("ts", list.ts.clone()),
        None => Node::new("key-index-list").attr("ts", "1"),
    }
}

/// The `<devices>` of an `account_sync` notification: the whole own list.
fn own_devices(account: &Account) -> Node {
    let listed = account.listed();
    let hash = device_hash(listed.iter().map(|(device, _)| account.jid(Namespace::Pn, *device)));
    let devices = listed.into_iter().map(|(device, key_index)| {
        Node::new("device").attr("jid", account.jid(Namespace::Pn, device)).opt_attr("key-index", key_index)
    });
    let signed = account.companions().next().is_some();
    Node::new("devices")
        .attr("dhash", hash)
        .children(devices.collect::<Vec<_>>())
        .child(key_index_list(account, signed))
}
