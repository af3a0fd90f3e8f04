//! usync: asking for device lists and LIDs (protocol 05a §2).

use crate::client::devices::list::{Delivered, KeyIndexAnswer};
use crate::store::Device;
use crate::wire::{Jid, Node};

/// One user of a question.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) jid: Jid,
    /// What we hold: hash, time, expected time.
    pub(crate) held: Option<Held>,
}

/// What the store holds of a user's devices.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) hash: String,
    pub(crate) ts: i64,
    pub(crate) expected_ts: Option<i64>,
}

/// Asks for devices and LIDs of users, before a message.
pub(crate) fn question(sid: String, users: &[Asked]) -> Node {
    let query =
        Node::new("query").child(Node::new("devices").attr("version", "2")).child(Node::new("lid"));
    let users = users.iter().map(|user| {
        let held = user.held.as_ref().map(|held| {
            Node::new("devices")
                .attr("device_hash", held.hash.clone())
                .attr("ts", held.ts)
                .opt_attr("expected_ts", held.expected_ts)
        });
        Node::new("user").attr("jid", &user.jid).children(held)
    });
    let usync = Node::new("usync")
        .attr("sid", sid)
        .attr("mode", "query")
        .attr("context", "message")
        .attr("index", "0")
        .attr("last", "true")
        .child(query)
        .child(Node::new("list").children(users));
    Node::new("iq").attr("xmlns", "usync").attr("type", "get").attr("to", Jid::service()).child(usync)
}

/// Asks for the LID of one user.
pub(crate) fn lid_question(sid: String, user: &Jid) -> Node {
    let usync = Node::new("usync")
        .attr("sid", sid)
        .attr("mode", "query")
        .attr("context", "background")
        .attr("index", "0")
        .attr("last", "true")
        .child(Node::new("query").child(Node::new("lid")))
        .child(Node::new("list").child(Node::new("user").attr("jid", user)));
    Node::new("iq").attr("xmlns", "usync").attr("type", "get").attr("to", Jid::service()).child(usync)
}

/// One user of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) jid: Jid,
    pub(crate) pn: Option<Jid>,
    pub(crate) lid: Option<Jid>,
    /// `None`: no devices, an error for this user, or values out of range.
    pub(crate) devices: Option<Delivered>,
}

/// The answer to a question.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    pub(crate) users: Vec<Answered>,
    /// Seconds after which the server wants to be asked again.
    pub(crate) refresh: Option<i64>,
    /// The `devices` part was refused for so many seconds (0: no number).
    pub(crate) backoff: Option<u64>,
}

/// Reads an answer.
pub(crate) fn answers(iq: &Node) -> Answers {
    let Some(usync) = iq.find("usync") else { return Answers::default() };
    let protocol = usync.find("result").and_then(|result| result.find("devices"));
    let error = protocol.and_then(|devices| devices.find("error"));
    Answers {
        users: usync.find("list").into_iter().flat_map(|list| list.find_all("user")).filter_map(user).collect(),
        refresh: protocol.and_then(|devices| devices.u64("refresh")).and_then(|s| i64::try_from(s).ok()),
        backoff: error.map(|error| error.u64("backoff").unwrap_or(0)),
    }
}

fn user(node: &Node) -> Option<Answered> {
    let jid = node.jid("jid")?;
    let lid = node.find("lid").filter(|lid| lid.find("error").is_none()).and_then(|lid| lid.jid("val"));
    let devices = node.find("devices").filter(|devices| devices.find("error").is_none());
    Some(Answered { jid, pn: node.jid("pn_jid"), lid, devices: devices.and_then(delivered) })
}

/// `None` where a number is out of range: this user's answer failed.
pub(crate) fn delivered(node: &Node) -> Option<Delivered> {
    let key_index = match node.find("key-index-list") {
        Some(list) => Some(key_index(list)?),
        None => None,
    };
    let devices = match node.find("device-list") {
        Some(list) => Some(list.find_all("device").map(device).collect::<Option<Vec<_>>>()?),
        None => None,
    };
    let hash = node.find("device-list").and_then(|list| list.str("hash")).map(|hash| hash.into_owned());
    Some(Delivered { devices, hash, key_index })
}

/// A `key-index-list` element.
pub(crate) fn key_index(list: &Node) -> Option<KeyIndexAnswer> {
    Some(KeyIndexAnswer {
        ts: i64::try_from(list.u64("ts")?).ok()?,
        expected_ts: list.u64("expected_ts").and_then(|ts| i64::try_from(ts).ok()),
        signed: list.content_bytes().map(|bytes| bytes.into_owned()).unwrap_or_default(),
    })
}

fn device(node: &Node) -> Option<Device> {
    let key_index = match node.get("key-index") {
        Some(_) => Some(u32::try_from(node.u64("key-index")?).ok()?),
        None => None,
    };
    Some(Device {
        id: u16::try_from(node.u64("id")?).ok()?,
        key_index,
        hosted: node.str("is_hosted").is_some_and(|hosted| hosted == "true" || hosted == "1"),
    })
}
