//! Receipts and acks of clients (09 §13): what they take out of queues, and to whom they are passed on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::Namespace;
use super::queue::{Answer, Kind};
use super::timers::Timer;
use super::{DeviceRef, Origin, World};
use crate::clock::UnixMillis;
use crate::wire::{Jid, Node};

/// For how long a retry receipt entitles the sender to send again.
const RETRY_MS: i64 = 3_600_000;

/// Retry receipts that were routed: (sender, id, requester) and when.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Routed>", into = "Vec<Routed>")]
pub(crate) struct Retries {
    routed: BTreeMap<(DeviceRef, String, DeviceRef), UnixMillis>,
}

type Routed = ((DeviceRef, String, DeviceRef), UnixMillis);

impl From<Vec<Routed>> for Retries {
    fn from(routed: Vec<Routed>) -> Self {
        Self { routed: routed.into_iter().collect() }
    }
}

impl From<Retries> for Vec<Routed> {
    fn from(retries: Retries) -> Self {
        retries.routed.into_iter().collect()
    }
}

impl Retries {
    fn note(&mut self, sender: &DeviceRef, id: &str, requester: &DeviceRef, now: UnixMillis) {
        self.routed.retain(|_, at| now - *at < RETRY_MS);
        self.routed.insert((sender.clone(), id.to_owned(), requester.clone()), now);
    }

    /// Whether this device asked for this message within the last hour.
    pub fn asked(&self, sender: &DeviceRef, id: &str, requester: &DeviceRef, now: UnixMillis) -> bool {
        let key = (sender.clone(), id.to_owned(), requester.clone());
        self.routed.get(&key).is_some_and(|at| now - at < RETRY_MS)
    }
}

/// Receipts that become one: whose message, in which group, which, and of which type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MergeKey {
    author: String,
    group: Jid,
    id: String,
    kind: Option<String>,
}

/// One receipt of a client, read.
struct Receipt<'a> {
    node: &'a Node,
    kind: Option<String>,
    ids: Vec<String>,
    to: Jid,
}

impl World {
    pub(crate) fn receipt(&mut self, origin: &Origin, node: &Node) {
        let Some(own) = self.accounts.get(&origin.device.number).map(|account| account.pn.clone()) else {
            return;
        };
        let kind = node.str("type").map(std::borrow::Cow::into_owned);
        let kind = kind.filter(|kind| !kind.is_empty() && kind != "delivery");
        // Baileys writes no `to` for own copies: the own account is meant.
        let to = node.jid("to").unwrap_or(own);
        let first = node.str("id").map(std::borrow::Cow::into_owned);
        let listed = node.find("list").into_iter().flat_map(Node::nodes);
        let listed = listed.filter_map(|item| item.str("id").map(std::borrow::Cow::into_owned));
        let ids: Vec<String> = first.into_iter().chain(listed).collect();
        let receipt = Receipt { node, kind, ids, to };
        if origin.connection.is_none() && origin.device.device == 0 {
            self.note_sent_receipt(origin, &receipt);
        }
        self.ack_receipt(origin, &receipt);
        let answer = Answer::Receipt { kind: receipt.kind.as_deref() };
        self.answered(origin, &receipt.ids, Some(&receipt.to), answer);
        self.pass_on(origin, &receipt);
    }

    /// The phone's inbox shows which receipts it sent (09 §21).
    fn note_sent_receipt(&mut self, origin: &Origin, receipt: &Receipt<'_>) {
        let kind = receipt.kind.as_deref().unwrap_or("delivered");
        let Some(account) = self.accounts.get_mut(&origin.device.number) else { return };
        for id in &receipt.ids {
            account.inbox.update_last(|item| item.id == *id, |item| item.receipts_sent.push(kind.to_owned()));
        }
    }

    /// At once, for every type.
    fn ack_receipt(&mut self, origin: &Origin, receipt: &Receipt<'_>) {
        let Some(id) = origin.connection else { return };
        let ack = Node::new("ack")
            .attr("class", "receipt")
            .attr("id", receipt.node.str("id").unwrap_or_default().into_owned())
            .attr("from", receipt.to.clone())
            .opt_attr("type", receipt.kind.clone())
            .opt_attr("participant", receipt.node.jid("participant"));
        self.write(id, ack);
    }

    fn pass_on(&mut self, origin: &Origin, receipt: &Receipt<'_>) {
        match receipt.kind.as_deref() {
            None | Some("inactive") => self.tell_author(origin, receipt),
            Some("read" | "played" | "view-once") => {
                let hidden = !receipt.to.is_group() && self.hides_read_receipts(&origin.device.number);
                if !hidden {
                    self.tell_author(origin, receipt);
                }
                self.tell_own_devices(origin, receipt);
            }
            Some("read-self" | "played-self" | "sender") => self.tell_own_devices(origin, receipt),
            Some("hist_sync" | "peer_msg") => {
                if let Some(at) = self.resolve(&receipt.to).filter(|at| at.number == origin.device.number) {
                    let node = self.forwarded(origin, receipt, Namespace::of(&receipt.to));
                    self.hand_receipt(&at, node, &origin.device.number);
                }
            }
            Some("retry" | "enc_rekey_retry") => self.retry(origin, receipt),
            Some("server-error") => {
                let phone = DeviceRef::new(&origin.device.number, 0);
                let node = self.forwarded(origin, receipt, Namespace::Pn);
                self.hand_receipt(&phone, node, &origin.device.number);
            }
            _ => {}
        }
    }

    /// To all devices of the author's account; in groups the author is the `participant`.
    fn tell_author(&mut self, origin: &Origin, receipt: &Receipt<'_>) {
        let author =
            if receipt.to.is_user() { Some(receipt.to.clone()) } else { receipt.node.jid("participant") };
        let Some(author) = author.and_then(|jid| self.resolve(&jid)) else { return };
        if author.number == origin.device.number && receipt.kind.is_none() {
            // A delivery receipt for an own copy says nothing to the other own devices.
            return;
        }
        if self.config.group_receipts && receipt.to.is_group() {
            return self.merge_receipt(origin, receipt, author.number);
        }
        let node = self.forwarded(origin, receipt, Namespace::of(&receipt.to));
        let peer = self.receipt_peer(origin, receipt);
        for device in self.device_ids(&author.number) {
            let at = DeviceRef::new(&author.number, device);
            if at != origin.device {
                self.hand_receipt(&at, node.clone(), &peer);
            }
        }
    }

    /// `--group-receipts`: several members' receipts for one message become one stanza (09 §13).
    fn merge_receipt(&mut self, origin: &Origin, receipt: &Receipt<'_>, author: String) {
        const MERGED_WITHIN_MS: i64 = 500;
        let group = receipt.to.clone();
        let namespace = self.group_facts(group.user()).map_or(Namespace::Pn, |(namespace, _)| namespace);
        let Some(reader) = self.device_jid(&DeviceRef::new(&origin.device.number, 0), namespace) else {
            return;
        };
        let t = self.receipt_time(receipt.node);
        for id in &receipt.ids {
            let key = MergeKey {
                author: author.clone(),
                group: group.clone(),
                id: id.clone(),
                kind: receipt.kind.clone(),
            };
            let waiting = self.merging.entry(key.clone()).or_default();
            waiting.retain(|(known, _)| *known != reader);
            waiting.push((reader.clone(), t));
            if waiting.len() == 1 {
                self.timers.set(self.now_ms + MERGED_WITHIN_MS, Timer::MergedReceipt(key));
            }
        }
    }

    /// The time to merge is over.
    pub(crate) fn merged_receipt(&mut self, key: &MergeKey) {
        let Some(readers) = self.merging.remove(key) else { return };
        let users =
            readers.iter().map(|(reader, t)| Node::new("user").attr("jid", reader.clone()).attr("t", *t));
        let node = Node::new("receipt")
            .attr("from", key.group.clone())
            .attr("id", key.id.clone())
            .attr("t", self.now_s())
            .opt_attr("type", key.kind.clone())
            .child(Node::new("participants").attr("key", key.id.clone()).children(users.collect::<Vec<_>>()));
        let peer = self.peer_key(&key.group);
        for device in self.device_ids(&key.author) {
            self.hand_receipt(&DeviceRef::new(&key.author, device), node.clone(), &peer);
        }
    }

    /// To the reader's other devices: `from` is the reading device, `recipient` the chat.
    fn tell_own_devices(&mut self, origin: &Origin, receipt: &Receipt<'_>) {
        let chat = receipt.node.jid("recipient").unwrap_or_else(|| receipt.to.without_device());
        let mut node = self.forwarded(origin, receipt, Namespace::of(&receipt.to));
        if receipt.to.is_user() {
            node = node.attr("recipient", chat);
        }
        let peer = self.receipt_peer(origin, receipt);
        for device in self.device_ids(&origin.device.number) {
            let at = DeviceRef::new(&origin.device.number, device);
            if at != origin.device {
                self.hand_receipt(&at, node.clone(), &peer);
            }
        }
    }

    /// Only to the exact device.
    fn retry(&mut self, origin: &Origin, receipt: &Receipt<'_>) {
        let jid =
            if receipt.to.is_user() { Some(receipt.to.clone()) } else { receipt.node.jid("participant") };
        let Some(sender) = jid.and_then(|jid| self.resolve(&jid)) else { return };
        let excess: Vec<bool> = receipt.ids.iter().map(|id| self.judge_retry(origin, id, &sender)).collect();
        if excess.contains(&true) {
            return;
        }
        for id in &receipt.ids {
            self.retries.note(&sender, id, &origin.device, self.now_ms);
        }
        let mut node = self.forwarded(origin, receipt, Namespace::of(&receipt.to));
        node = node.opt_attr("recipient", receipt.node.jid("recipient"));
        node = node.children(receipt.node.nodes().cloned());
        let peer = self.receipt_peer(origin, receipt);
        self.hand_receipt(&sender, node, &peer);
    }

    /// The receipt as others see it, without `recipient`.
    fn forwarded(&self, origin: &Origin, receipt: &Receipt<'_>, namespace: Namespace) -> Node {
        let reader = self.device_jid(&origin.device, namespace).unwrap_or_else(Jid::service);
        let node = Node::new("receipt").attr("id", receipt.node.str("id").unwrap_or_default().into_owned());
        let node = if receipt.to.is_user() {
            node.attr("from", reader)
        } else {
            node.attr("from", receipt.to.clone()).attr("participant", reader)
        };
        let node = node.opt_attr("type", receipt.kind.clone()).attr("t", self.receipt_time(receipt.node));
        let copied = match receipt.kind.as_deref() {
            Some("retry" | "enc_rekey_retry") => None,
            Some("server-error") => return node.children(receipt.node.nodes().cloned()),
            _ => receipt.node.find("list").cloned(),
        };
        node.children(copied)
    }

    /// Seconds; clients write some receipts' times in milliseconds (05b §8).
    fn receipt_time(&self, node: &Node) -> i64 {
        const LATEST_SECONDS: i64 = 100_000_000_000;
        let said = node.u64("t").and_then(|t| i64::try_from(t).ok());
        match said {
            Some(t) if t > LATEST_SECONDS => t / 1000,
            Some(t) if t > 0 => t,
            _ => self.now_s(),
        }
    }

    fn receipt_peer(&self, origin: &Origin, receipt: &Receipt<'_>) -> String {
        if receipt.to.is_user() { origin.device.number.clone() } else { self.peer_key(&receipt.to) }
    }

    fn hand_receipt(&mut self, at: &DeviceRef, node: Node, peer: &str) {
        if self.is_driven(at) {
            self.hand_to_driven(at, Kind::Receipt, node);
        } else {
            self.enqueue(at, Kind::Receipt, Some(peer.to_owned()), node);
        }
    }

    fn device_ids(&self, number: &str) -> Vec<u16> {
        self.accounts.get(number).map(|account| account.devices.keys().copied().collect()).unwrap_or_default()
    }

    /// `<ack>` from a client.
    pub(crate) fn ack(&mut self, origin: &Origin, node: &Node) {
        let Some(id) = node.str("id").map(std::borrow::Cow::into_owned) else { return };
        let class = node.str("class").unwrap_or_default().into_owned();
        if origin.connection.is_none() {
            return;
        }
        if let Some(error) = node.str("error") {
            self.nacked(origin, &class, &error, &id);
        }
        let to = node.jid("to").filter(|to| !to.is_server());
        self.answered(origin, &[id], to.as_ref(), Answer::Ack { class: &class });
    }

    /// A client's refusal: counted; for a notification of ours it is a fault (09 §19).
    fn nacked(&mut self, origin: &Origin, class: &str, error: &str, id: &str) {
        let known = self.device(&origin.device).is_some_and(|device| {
            device.queue.iter().any(|entry| entry.id == id && entry.kind == Kind::Notification)
        });
        if class == "notification" && known {
            self.fault(origin, "notification-nacked", format!("nack {error}"));
        }
        tracing::info!("client nack {error} of a {class}");
    }
}
