//! Nodes as JSON, the list form of the test vectors (used by the simulator's control API too): `{"tag", "attrs":
//! [[key, value], …], "content"?}`; a value is text or `{"jid": text}`; content is absent, `{"hex"}`, `{"str"}`,
//! `{"jid"}` or an array of nodes. Reading also takes `times` and `wrap`, within the limits of a frame.

use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use super::decode::{MAX_DEPTH, MAX_NODES};
use super::frame::MAX_FRAME;
use super::node::{Content, Node, Value};

/// Why a JSON value is no node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// A part has another shape; it is named.
    #[error("{0} is missing or has another shape")]
    Shape(&'static str),
    /// An address that does not parse.
    #[error("{0:?} is not a JID")]
    Jid(String),
    /// More than fits into a frame.
    #[error("more than fits into a frame")]
    TooLarge,
}

/// The list form of a node.
#[must_use]
pub fn to_json(node: &Node) -> Json {
    let attrs: Vec<Json> = node.attrs.iter().map(|(key, value)| json!([key, value_to_json(value)])).collect();
    let mut object = Map::new();
    object.insert("tag".into(), json!(node.tag));
    object.insert("attrs".into(), attrs.into());
    let content = match &node.content {
        Content::None => return object.into(),
        Content::Bytes(bytes) => json!({"hex": hex::encode(bytes)}),
        Content::Text(text) => json!({"str": text}),
        Content::Jid(jid) => json!({"jid": jid.to_string()}),
        Content::Nodes(nodes) => nodes.iter().map(to_json).collect(),
    };
    object.insert("content".into(), content);
    object.into()
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Jid(jid) => json!({"jid": jid.to_string()}),
    }
}

/// The node of a list form.
///
/// # Errors
/// If it has another shape, a bad JID, or is larger than a frame.
pub fn from_json(json: &Json) -> Result<Node, JsonError> {
    Reader { nodes: MAX_NODES, bytes: MAX_FRAME }.node(json, 1)
}

/// What may still be made.
struct Reader {
    nodes: usize,
    bytes: usize,
}

impl Reader {
    fn node(&mut self, json: &Json, depth: usize) -> Result<Node, JsonError> {
        if depth > MAX_DEPTH {
            return Err(JsonError::TooLarge);
        }
        if let Some(wrap) = json.get("wrap") {
            return self.wrapped(wrap, json, depth);
        }
        take(&mut self.nodes, 1)?;
        let mut node = Node::new(text(json, "tag")?);
        for attr in json.get("attrs").and_then(Json::as_array).ok_or(JsonError::Shape("attrs"))? {
            let Some([Json::String(key), value]) = attr.as_array().map(Vec::as_slice) else {
                return Err(JsonError::Shape("attribute"));
            };
            take(&mut self.bytes, key.len())?;
            node = node.attr(key.clone(), self.value(value)?);
        }
        node.content = match json.get("content") {
            None | Some(Json::Null) => Content::None,
            Some(Json::Array(children)) => Content::Nodes(self.children(children, depth)?),
            Some(value) => self.content(value)?,
        };
        Ok(node)
    }

    fn wrapped(&mut self, wrap: &Json, json: &Json, depth: usize) -> Result<Node, JsonError> {
        let tag = text(wrap, "tag")?;
        let count = times(wrap)?;
        if depth.saturating_add(count) > MAX_DEPTH {
            return Err(JsonError::TooLarge);
        }
        take(&mut self.nodes, count)?;
        let inner = self.node(json.get("inner").ok_or(JsonError::Shape("inner"))?, depth + count)?;
        Ok((0..count).fold(inner, |inner, _| Node::new(tag.clone()).child(inner)))
    }

    fn children(&mut self, children: &[Json], depth: usize) -> Result<Vec<Node>, JsonError> {
        let mut nodes = Vec::new();
        for child in children {
            let before = (self.nodes, self.bytes);
            let node = self.node(child, depth + 1)?;
            // Each repetition costs what the first one did.
            let cost = (before.0 - self.nodes, before.1 - self.bytes);
            let more = times(child)?.checked_sub(1).ok_or(JsonError::Shape("times"))?;
            take(&mut self.nodes, cost.0.saturating_mul(more))?;
            take(&mut self.bytes, cost.1.saturating_mul(more))?;
            nodes.extend(std::iter::repeat_n(&node, more).cloned());
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn value(&mut self, json: &Json) -> Result<Value, JsonError> {
        match json {
            Json::String(text) => {
                take(&mut self.bytes, text.len())?;
                Ok(Value::Text(text.clone().into()))
            }
            _ => Ok(Value::Jid(parse_jid(&text(json, "jid")?)?)),
        }
    }

    fn content(&mut self, json: &Json) -> Result<Content, JsonError> {
        if json.get("jid").is_some() {
            return Ok(Content::Jid(parse_jid(&text(json, "jid")?)?));
        }
        if json.get("str").is_some() {
            let text = text(json, "str")?;
            take(&mut self.bytes, text.len())?;
            return Ok(Content::Text(text.into()));
        }
        let bytes = hex::decode(text(json, "hex")?).map_err(|_| JsonError::Shape("hex"))?;
        let count = times(json)?;
        take(&mut self.bytes, bytes.len().saturating_mul(count))?;
        Ok(Content::Bytes(bytes.repeat(count)))
    }
}

fn take(left: &mut usize, count: usize) -> Result<(), JsonError> {
    *left = left.checked_sub(count).ok_or(JsonError::TooLarge)?;
    Ok(())
}

fn parse_jid(text: &str) -> Result<super::Jid, JsonError> {
    text.parse().map_err(|_| JsonError::Jid(text.to_owned()))
}

fn text(json: &Json, key: &'static str) -> Result<String, JsonError> {
    json.get(key).and_then(Json::as_str).map(str::to_owned).ok_or(JsonError::Shape(key))
}

fn times(json: &Json) -> Result<usize, JsonError> {
    match json.get("times") {
        None => Ok(1),
        Some(times) => {
            times.as_u64().and_then(|times| usize::try_from(times).ok()).ok_or(JsonError::Shape("times"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Jid;

    #[test]
    fn a_node_reads_back_from_its_list_form() {
        let node = Node::new("iq")
            .attr("to", Jid::service())
            .attr("id", "1")
            .child(Node::new("ref").bytes([1, 2]))
            .child(Node { content: Content::Text("in".into()), ..Node::new("contact") })
            .child(Node { content: Content::Jid(Jid::lid("5").unwrap()), ..Node::new("lid") });
        assert_eq!(from_json(&to_json(&node)), Ok(node));
    }

    #[test]
    fn repetition_is_bounded() {
        let many = json!({"tag": "a", "attrs": [], "content": [{"tag": "b", "attrs": [], "times": 9_000_000_000u64}]});
        assert_eq!(from_json(&many), Err(JsonError::TooLarge));
        let long = json!({"tag": "a", "attrs": [], "content": {"hex": "00ff", "times": 9_000_000_000u64}});
        assert_eq!(from_json(&long), Err(JsonError::TooLarge));
        let deep = json!({"wrap": {"tag": "a", "times": 128}, "inner": {"tag": "b", "attrs": []}});
        assert_eq!(from_json(&deep), Err(JsonError::TooLarge));
    }
}
