//! What the API shows where it is not what the typed calls give: times and ids as texts, messages as proto JSON (09 §21).

use serde_json::{Value, json};

use crate::proto;
use crate::sim::InboxItem;
use crate::sim::violations::{Severity, Violation};
use crate::sim::world::OutboxItem;

/// One message that reached a phone.
pub(super) fn inbox_item(item: &InboxItem) -> Value {
    let message = Some(&item.message).filter(|message| !message.is_empty());
    json!({
        "id": item.id,
        "chat": item.chat,
        "from": item.from,
        "device": item.device,
        "t": item.t.to_string(),
        "kind": item.kind,
        "text": item.text,
        "proto": message.and_then(|message| proto::json::to_json("Message", message).ok()),
        "message": hex::encode(&item.message),
        "enc_type": item.enc_type,
        "decrypt_ok": item.decrypt_ok,
        "own_copy": item.own_copy,
        "receipts_sent": item.receipts_sent,
    })
}

/// One message of a phone, and what came of it.
pub(super) fn outbox_item(item: &OutboxItem) -> Value {
    let receipts = item
        .receipts
        .iter()
        .map(|receipt| json!({"device": receipt.device, "type": receipt.kind, "t": receipt.t.to_string()}));
    let retries = item
        .retries
        .iter()
        .map(|retry| json!({"device": retry.device, "count": retry.count, "t": retry.t.to_string()}));
    json!({
        "id": item.id,
        "to": item.to,
        "t": item.t.to_string(),
        "targets": item.targets,
        "ack": item.ack.as_ref().map(|ack| json!({"t": ack.t.to_string(), "error": ack.error})),
        "receipts": receipts.collect::<Vec<_>>(),
        "retries": retries.collect::<Vec<_>>(),
    })
}

/// What one account did wrong.
pub(super) fn violation(item: &Violation) -> Value {
    let seconds = |ms: i64| ms.div_euclid(1000).to_string();
    let severity = if item.severity == Severity::Critical { "critical" } else { "normal" };
    json!({
        "account": item.account,
        "connection": item.connection.map(|id| id.to_string()),
        "code": item.code,
        "rule": item.rule,
        "severity": severity,
        "count": item.count,
        "first": seconds(item.first_ms),
        "last": seconds(item.last_ms),
        "detail": item.detail,
        "sample": item.sample.map(|cursor| cursor.to_string()),
    })
}
