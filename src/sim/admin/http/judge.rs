//! `POST /v1/judge`: one stanza, or one `Message` with what would be around it.

use serde_json::Value;

use super::bodies::JudgeBody;
use crate::proto::json::from_json as message_from_json;
use crate::sim::admin::{Admin, AdminError};
use crate::sim::shapes::{self, Payload};
use crate::stanza::judge::payload::{Envelope, Labels};
use crate::wire::Jid;
use crate::wire::json::from_json;

/// The `judge` object of traffic.
pub(super) async fn judge(admin: &Admin, body: JudgeBody) -> Result<Value, AdminError> {
    let bad = |why: &str| AdminError::new("bad-body", why);
    match (&body.node, &body.message) {
        (Some(node), None) => {
            let node = from_json(node).map_err(|error| bad(&error.to_string()))?;
            Ok(shapes::judged(&admin.judge(&node).await?, &[]))
        }
        (None, Some(message)) => {
            let bytes = bytes(message)?;
            let envelope = envelope(&body)?;
            let findings = admin.judge_message(&bytes, envelope.as_ref()).await;
            Ok(shapes::judged_message(Payload { device: None, findings }))
        }
        _ => Err(bad("either node or message")),
    }
}

fn bytes(message: &Value) -> Result<Vec<u8>, AdminError> {
    let bad = |why: String| AdminError::new("bad-body", why);
    match message {
        Value::String(text) => hex::decode(text).map_err(|error| bad(format!("message: {error}"))),
        json => message_from_json("Message", json).map_err(|error| bad(error.to_string())),
    }
}

/// What is around the message, if anything is said of it.
fn envelope(body: &JudgeBody) -> Result<Option<Envelope>, AdminError> {
    if body.to.is_none() && body.meta.is_none() {
        return Ok(None);
    }
    let chat: Option<Jid> = match &body.to {
        Some(to) => Some(to.parse().map_err(|_| AdminError::new("bad-body", format!("to: {to:?}")))?),
        None => None,
    };
    let meta = |name: &str| body.meta.as_ref().and_then(|meta| meta.get(name));
    let says = |name| meta(name).and_then(Value::as_bool).unwrap_or_default();
    Ok(Some(Envelope {
        collective: chat.as_ref().is_some_and(|chat| chat.is_group() || chat.is_broadcast()),
        chat: chat.iter().map(Jid::to_string).collect(),
        own: says("own"),
        peer: says("peer"),
        has_common: says("skmsg"),
        labels: Labels::from_names(|name| meta(name).and_then(Value::as_str).map(str::to_owned)),
    }))
}
