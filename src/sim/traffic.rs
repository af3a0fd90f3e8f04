//! The traffic log: the last stanzas both ways (09 §21 `traffic`). Ciphertext and other long contents are kept as
//! length and hash.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::shapes::{self, Payload};
use super::world::{ConnectionId, DeviceRef};
use crate::clock::UnixMillis;
use crate::crypto::sha256;
use crate::stanza::judge::Judgement;
use crate::wire::{Content, Node, json};

const RING: usize = 100_000;
/// Contents above this are kept as length and hash.
const SHORT: usize = 64;

/// From whom to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

/// One stanza of the log.
#[derive(Debug, Clone)]
pub struct TrafficItem {
    /// Its number, from 1.
    pub cursor: u64,
    /// Milliseconds of the world's clock.
    pub at_ms: UnixMillis,
    /// The connection.
    pub connection: ConnectionId,
    /// The device, once logged in.
    pub device: Option<DeviceRef>,
    /// From whom.
    pub direction: Direction,
    /// The stanza, long contents replaced.
    pub node: Node,
    /// What the stanza judge says of a client's stanza, while rule R17 is on.
    pub judge: Option<Judgement>,
    /// What the payload judge says of what is inside: at once of what stands readable, and of each ciphertext when a
    /// phone has opened it.
    pub payloads: Vec<Payload>,
}

impl TrafficItem {
    /// The verdict of the stanza judge, as its word in JSON.
    #[must_use]
    pub fn verdict(&self) -> Option<&'static str> {
        self.judge.as_ref().map(|judgement| judgement.verdict.name())
    }

    /// The item of the admin API.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut item = serde_json::json!({
            "cursor": self.cursor.to_string(),
            "at_ms": self.at_ms,
            "connection": self.connection.to_string(),
            "account": self.device.as_ref().map(|device| device.number.clone()),
            "device": self.device.as_ref().map(|device| device.device),
            "dir": self.direction,
            "node": json::to_json(&self.node),
        });
        if let (Some(judgement), Some(fields)) = (&self.judge, item.as_object_mut()) {
            fields.insert("judge".to_owned(), shapes::judged(judgement, &self.payloads));
        }
        item
    }
}

/// The ring of the last stanzas.
#[derive(Debug)]
pub(crate) struct Traffic {
    on: bool,
    ring: VecDeque<TrafficItem>,
    next: u64,
    /// Where the last message of a device with an id stands.
    messages: BTreeMap<(DeviceRef, String), u64>,
}

impl Traffic {
    pub fn new(on: bool) -> Self {
        Self { on, ring: VecDeque::new(), next: 0, messages: BTreeMap::new() }
    }

    pub fn record_in(
        &mut self,
        at: UnixMillis,
        id: ConnectionId,
        device: Option<DeviceRef>,
        node: Node,
        (judge, payloads): (Option<Judgement>, Vec<Payload>),
    ) {
        let named = message_key(device.as_ref(), &node);
        self.record(at, id, device, Direction::In, node);
        let Some(item) = self.ring.back_mut().filter(|_| self.on) else { return };
        item.judge = judge;
        item.payloads = payloads;
        if let Some(key) = named {
            self.messages.insert(key, item.cursor);
        }
    }

    /// Adds what was found in a message that has been opened; its cursor, if it is still in the ring.
    pub fn opened(&mut self, sender: &DeviceRef, id: &str, payload: Payload) -> Option<u64> {
        let cursor = *self.messages.get(&(sender.clone(), id.to_owned()))?;
        let first = self.ring.front()?.cursor;
        let at = usize::try_from(cursor.checked_sub(first)?).ok()?;
        self.ring.get_mut(at)?.payloads.push(payload);
        Some(cursor)
    }

    pub fn record_out(&mut self, at: UnixMillis, id: ConnectionId, device: Option<DeviceRef>, node: Node) {
        self.record(at, id, device, Direction::Out, node);
    }

    fn record(
        &mut self,
        at_ms: UnixMillis,
        connection: ConnectionId,
        device: Option<DeviceRef>,
        direction: Direction,
        mut node: Node,
    ) {
        if !self.on {
            return;
        }
        shorten(&mut node);
        if self.ring.len() >= RING
            && let Some(oldest) = self.ring.pop_front()
            && let Some(key) = message_key(oldest.device.as_ref(), &oldest.node)
            && self.messages.get(&key) == Some(&oldest.cursor)
        {
            self.messages.remove(&key);
        }
        self.next += 1;
        self.ring.push_back(TrafficItem {
            cursor: self.next,
            at_ms,
            connection,
            device,
            direction,
            node,
            judge: None,
            payloads: Vec::new(),
        });
    }

    /// The last stanza's number.
    pub fn last_cursor(&self) -> Option<u64> {
        self.ring.back().map(|item| item.cursor)
    }

    /// Everything after `cursor`.
    pub fn since(&self, cursor: u64) -> impl Iterator<Item = &TrafficItem> {
        let first = self.ring.front().map_or(0, |item| item.cursor);
        let skip = usize::try_from((cursor + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.ring.iter().skip(skip)
    }
}

/// How a client's message is found again.
fn message_key(device: Option<&DeviceRef>, node: &Node) -> Option<(DeviceRef, String)> {
    let id = node.str("id").filter(|_| node.tag == "message")?;
    Some((device?.clone(), id.into_owned()))
}

/// Replaces long contents by their length and the begin of their hash.
fn shorten(node: &mut Node) {
    match &mut node.content {
        Content::Bytes(bytes) if bytes.len() > SHORT => {
            let hash = hex::encode(sha256(bytes).get(..8).unwrap_or_default());
            node.content = Content::Text(format!("{} bytes, sha256 {hash}", bytes.len()).into());
        }
        Content::Nodes(children) => children.iter_mut().for_each(shorten),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_contents_are_kept_as_length_and_hash() {
        let mut log = Traffic::new(true);
        let enc = Node::new("enc").bytes(vec![7; 200]);
        log.record_in(1, 1, None, Node::new("message").child(enc), (None, Vec::new()));
        log.record_out(2, 1, None, Node::new("ack"));
        let items: Vec<_> = log.since(0).collect();
        assert_eq!(items.len(), 2);
        let text = items[0].node.find("enc").unwrap().content_text().unwrap().into_owned();
        assert!(text.starts_with("200 bytes, sha256 "), "{text}");
        assert_eq!(log.since(1).count(), 1);
    }
}
