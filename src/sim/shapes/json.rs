//! The judge's results as the admin API shows them (09 §21 "Shapes").

use serde_json::{Value, json};

use super::Payload;
use crate::stanza::judge::{Finding, Judgement};

/// A finding.
pub(super) fn finding(finding: &Finding) -> Value {
    json!({
        "op": finding.op,
        "path": finding.path,
        "attr": Some(&finding.attr).filter(|attr| !attr.is_empty()),
        "what": finding.what.name(),
        "want": finding.want,
    })
}

/// The `judge` object of a traffic item.
pub(crate) fn judged(judgement: &Judgement, payloads: &[Payload]) -> Value {
    let findings: Vec<_> = judgement.findings.iter().map(finding).collect();
    json!({
        "verdict": judgement.verdict.name(),
        "op": judgement.op,
        "findings": findings,
        "payloads": payloads_of(payloads),
    })
}

/// The `judge` object for a message without a stanza.
pub(crate) fn judged_message(payload: Payload) -> Value {
    let verdict = if payload.findings.is_empty() { "like" } else { "unlike" };
    json!({ "verdict": verdict, "op": null, "findings": [], "payloads": payloads_of(&[payload]) })
}

fn payloads_of(payloads: &[Payload]) -> Vec<Value> {
    let shown = |payload: &Payload| {
        let findings: Vec<_> = payload.findings.iter().map(finding).collect();
        let device = payload.device.as_ref().map(|at| format!("{}:{}", at.number, at.device));
        json!({ "device": device, "findings": findings })
    };
    payloads.iter().map(shown).collect()
}
