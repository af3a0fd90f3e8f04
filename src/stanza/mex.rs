//! mex: GraphQL questions in an `iq`, their answers, and the updates that come as notifications (protocol 05d §9). What
//! the data mean is with the subjects.

use serde_json::Value;

use super::element::Element;
use super::iq;
use crate::wire::{Jid, Node};

/// Asks query `id` with `variables`, without id of its own.
#[must_use]
pub fn query(id: &'static str, variables: &Value) -> Node {
    let content = serde_json::json!({ "variables": variables }).to_string();
    iq::get("w:mex", Jid::service()).child(Node::new("query").attr("query_id", id).bytes(content))
}

/// There is no data, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mex {code}: {message}")]
pub struct MexError {
    /// `error_code` of the entry that counts; 500 where none has one.
    pub code: u32,
    /// What it says.
    pub message: String,
}

impl MexError {
    fn unreadable() -> Self {
        Self { code: 500, message: "no readable data".to_owned() }
    }
}

/// The `data` object of an answer.
///
/// # Errors
/// The error that counts, or that there is no object.
pub fn answer<'n>(answer: impl Element<'n>) -> Result<Value, MexError> {
    data(answer.child("result").and_then(Element::content).as_deref().unwrap_or_default())
}

/// An `<update>` of a `mex` notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// `op_name`.
    pub op: String,
    /// Its `data`.
    pub data: Result<Value, MexError>,
}

/// Reads a notification; `None` without an `<update>` that has a name.
#[must_use]
pub fn update<'n>(notification: impl Element<'n>) -> Option<Update> {
    let update = notification.child("update")?;
    let op = update.text("op_name").filter(|op| !op.is_empty())?.into_owned();
    Some(Update { op, data: data(update.content().as_deref().unwrap_or_default()) })
}

fn data(content: &[u8]) -> Result<Value, MexError> {
    let mut all: Value = serde_json::from_slice(content).map_err(|_| MexError::unreadable())?;
    if let Some(error) = all.get("errors").and_then(Value::as_array).and_then(|errors| error(errors)) {
        return Err(error);
    }
    match all.get_mut("data").map(Value::take) {
        Some(data @ Value::Object(_)) => Ok(data),
        _ => Err(MexError::unreadable()),
    }
}

/// The entry that counts: the summary, else the first with a code, else any (500).
fn error(errors: &[Value]) -> Option<MexError> {
    let code = |entry: &&Value| entry.pointer("/extensions/error_code").and_then(Value::as_u64);
    let is_summary =
        |entry: &&Value| entry.pointer("/extensions/is_summary").and_then(Value::as_bool) == Some(true);
    let summary = errors.iter().find(is_summary);
    let entry = summary.or_else(|| errors.iter().find(|entry| code(entry).is_some())).or(errors.first())?;
    Some(MexError {
        code: code(&entry).and_then(|code| u32::try_from(code).ok()).unwrap_or(500),
        message: entry.get("message").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

/// A number that may be written as a string.
#[must_use]
pub fn number(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(content: &str) -> Node {
        Node::new("iq").child(Node::new("result").text_bytes(content))
    }

    #[test]
    fn the_question_is_a_json_text_in_the_query() {
        let node = query("23983697327930364", &serde_json::json!({}));
        let query = node.find("query").unwrap();
        assert_eq!(query.content_text().unwrap(), r#"{"variables":{}}"#);
        assert_eq!(query.str("query_id").unwrap(), "23983697327930364");
        assert_eq!(node.str("xmlns").unwrap(), "w:mex");
    }

    #[test]
    fn restriction_answers_with_errors_or_without_data_are_failures() {
        let code = |content| answer(&result(content)).unwrap_err().code;
        assert_eq!(code(r#"{"data":{},"errors":[{"message":"x","extensions":{"error_code":404}}]}"#), 404);
        assert_eq!(
            code(
                r#"{"errors":[{"extensions":{"error_code":1}},{"extensions":{"error_code":2,"is_summary":true}}]}"#
            ),
            2
        );
        assert_eq!(code(r#"{"data":{},"errors":[{"message":"x"}]}"#), 500);
        for content in ["", "{", "null", r#"{"data":null}"#, r#"{"data":[]}"#, r#"{"errors":[]}"#] {
            assert_eq!(code(content), 500, "{content}");
        }
        assert!(answer(&Node::new("iq")).is_err());
        assert!(answer(&result(r#"{"data":{"a":1},"errors":[]}"#)).is_ok());
    }
}
