//! What POST `/v1/faults` takes (09 §21, §22), read and checked.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Place;
use crate::wire::Node;

/// A fault that can't be armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// Not of the catalogue, or not built here.
    #[error("{0} is no fault of this simulator")]
    Unknown(String),
    /// A field of another form.
    #[error("{0}")]
    Value(&'static str),
    /// Remove some first.
    #[error("too many faults are armed")]
    TooMany,
}

/// Whom a fault may strike; what is missing does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scope {
    /// The account's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<u16>,
    /// The connection, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Where the client comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Scope {
    pub(crate) fn covers(&self, place: &Place) -> bool {
        let device = place.device.as_ref();
        self.account.as_ref().is_none_or(|account| device.is_some_and(|device| device.number == *account))
            && self.device.is_none_or(|wanted| device.is_some_and(|device| device.device == wanted))
            && self.source.as_ref().is_none_or(|source| place.source.as_ref() == Some(source))
            && self
                .connection
                .as_ref()
                .is_none_or(|wanted| place.connection.is_some_and(|id| id.to_string() == *wanted))
    }
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Times(u64),
    Always,
}

/// What must have happened before a fault strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    Now,
    /// So many stanzas of clients in scope.
    Stanzas(u64),
    /// So much time.
    Ms(i64),
    /// A client's stanza like this.
    Match {
        tag: Option<String>,
        xmlns: Option<String>,
        child: Option<String>,
    },
}

impl Condition {
    pub(super) fn matches(&self, node: &Node) -> bool {
        let Self::Match { tag, xmlns, child } = self else { return false };
        tag.as_ref().is_none_or(|tag| node.tag == *tag)
            && xmlns.as_ref().is_none_or(|xmlns| node.str("xmlns").as_deref() == Some(xmlns))
            && child.as_ref().is_none_or(|child| node.find(child).is_some())
    }
}

/// One fault to be armed.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultOrder {
    pub(super) fault: String,
    pub(super) scope: Scope,
    pub(super) count: Count,
    pub(super) after: Condition,
    pub(super) params: Map<String, Value>,
    pub(super) probability: f64,
}

impl FaultOrder {
    /// Reads an order.
    ///
    /// # Errors
    /// [`FaultError`] names what is wrong.
    pub fn new(
        fault: String,
        scope: Scope,
        count: &Value,
        after: &Value,
        params: Map<String, Value>,
        probability: Option<f64>,
    ) -> Result<Self, FaultError> {
        if kinds(&fault).is_empty() {
            return Err(FaultError::Unknown(fault));
        }
        if let Some(kind) = params.get("kind")
            && !kinds(&fault).iter().any(|known| kind.as_str() == Some(known))
        {
            return Err(FaultError::Value("params.kind is none of this fault's alternatives"));
        }
        let probability = probability.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(FaultError::Value("probability lies between 0 and 1"));
        }
        let (count, after) = (read_count(count)?, condition(after)?);
        Ok(Self { fault, scope, count, after, params, probability })
    }
}

fn read_count(count: &Value) -> Result<Count, FaultError> {
    match count {
        Value::Null => Ok(Count::Times(1)),
        Value::String(text) if text == "always" => Ok(Count::Always),
        count => count.as_u64().map(Count::Times).ok_or(FaultError::Value("count is a number or \"always\"")),
    }
}

fn condition(after: &Value) -> Result<Condition, FaultError> {
    const WRONG: FaultError = FaultError::Value("after is {stanzas}, {ms} or {match:{tag, xmlns?, child?}}");
    let Some(fields) = after.as_object() else {
        return if after.is_null() { Ok(Condition::Now) } else { Err(WRONG) };
    };
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match (fields.get("stanzas"), fields.get("ms"), fields.get("match"), fields.len()) {
        (None, None, None, 0) => Ok(Condition::Now),
        (Some(count), None, None, 1) => count.as_u64().map(Condition::Stanzas).ok_or(WRONG),
        (None, Some(ms), None, 1) => ms.as_i64().filter(|ms| *ms >= 0).map(Condition::Ms).ok_or(WRONG),
        (None, None, Some(wanted), 1) if wanted.is_object() => {
            let (tag, xmlns, child) = (text(wanted, "tag"), text(wanted, "xmlns"), text(wanted, "child"));
            Ok(Condition::Match { tag, xmlns, child })
        }
        _ => Err(WRONG),
    }
}

/// The alternatives of each fault that is built, in the order in which they take turns; none for the others.
pub(super) fn kinds(fault: &str) -> &'static [&'static str] {
    match fault {
        "F01" | "F02" | "F03" | "F04" | "F06" | "F07" | "F11" | "F12" | "F14" | "F18" | "F19" | "F21"
        | "F22" | "F25" | "F26" | "F27" | "F30" | "F32" | "F34" | "F35" | "F39" | "F41" | "F53" | "F55"
        | "F56" => &["only"],
        "F05" => &["replay", "skip"],
        "F08" => &["wrong-root", "leaf-sig"],
        "F09" => &["expired", "future"],
        "F10" => &["leaf-key", "replayed-genuine"],
        "F13" => &["children", "depth", "string"],
        "F15" => &["truncated", "trailing"],
        "F16" => &["invalid-token", "bad-nibble", "unknown-list", "empty"],
        "F17" => &["stanza", "notification", "ib", "attribute", "child"],
        "F20" => &["unknown-id", "second-answer", "wrong-from"],
        "F23" => &["device-removed", "failure", "no-conflict"],
        "F24" => &["503", "500", "unknown", "xml-not-well-formed", "ack", "xmlstreamend"],
        "F28" => &["no-lid", "no-t", "duplicate"],
        "F29" => &["never", "too-big"],
        "F33" => &["error", "delay"],
        "F36" => &["error", "bad-signature", "other-identity", "low-order"],
        _ => &[],
    }
}
