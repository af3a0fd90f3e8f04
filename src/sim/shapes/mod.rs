//! The stanza judge and the payload judge of `stanza`, as the simulator uses them (09 §23.1): asked for every stanza of a
//! client and every payload that server or phones can read, while rule R17 is on, with a count of their verdicts. They
//! change no answer.

mod json;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::world::DeviceRef;
use crate::stanza::judge::payload::{self, Envelope};
use crate::stanza::judge::{Finding, Judgement, Verdict};
use crate::wire::Node;

pub(crate) use json::{judged, judged_message};
pub(crate) use tables::Tables;
pub use tables::{StanzaTable, TablesError};

/// What the judge says of one payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The device that opened it; none for what stands readable in the stanza.
    pub device: Option<DeviceRef>,
    /// What is unlike; none for a good payload.
    pub findings: Vec<Finding>,
}

/// The tables, and what came of them.
#[derive(Debug)]
pub(crate) struct Shapes {
    tables: Option<Arc<Tables>>,
    /// For each deviation, in the order of the list, whether a stanza met it.
    met: Vec<bool>,
    /// By device; `None` before the login.
    counts: BTreeMap<Option<DeviceRef>, Counts>,
}

impl Default for Shapes {
    fn default() -> Self {
        Self::new(Tables::built_in())
    }
}

/// The verdicts over the stanzas of one device.
#[derive(Debug, Default)]
struct Counts {
    like: u64,
    listed: u64,
    unlike: u64,
    /// Payloads that were judged, and those of them that have a finding which is not listed.
    payloads: (u64, u64),
    /// The stanzas of each operation, whatever the verdict.
    operations: BTreeMap<String, u64>,
    findings: Vec<Counted>,
}

/// One finding, counted.
#[derive(Debug)]
struct Counted {
    finding: Finding,
    listed: bool,
    count: u64,
    first_cursor: Option<u64>,
}

impl Shapes {
    /// Nothing judged yet. Without tables nothing ever is.
    pub fn new(tables: Option<Arc<Tables>>) -> Self {
        let met = tables.iter().flat_map(|tables| tables.deviations.iter().map(|_| false)).collect();
        Self { tables, met, counts: BTreeMap::new() }
    }

    /// The tables in force.
    pub fn tables(&self) -> Option<Arc<Tables>> {
        self.tables.clone()
    }

    /// The verdict over a client's stanza, addresses in the form in which they were written.
    pub fn judge(&self, stanza: &Node) -> Option<Judgement> {
        self.tables.as_ref().map(|tables| tables.stanzas.judge(stanza, &tables.deviations))
    }

    /// The verdict over a stanza that no client sent.
    pub fn judge_tree(&self, stanza: &Node) -> Option<Judgement> {
        self.tables.as_ref().map(|tables| tables.stanzas.judge_tree(stanza, &tables.deviations))
    }

    /// The payloads that stand readable in a stanza.
    pub fn in_stanza(&self, stanza: &Node) -> Vec<Payload> {
        let found = self.tables.iter().flat_map(|tables| tables.schema.in_stanza(stanza));
        found.map(|findings| Payload { device: None, findings }).collect()
    }

    /// A payload that stands by itself.
    pub fn payload(&self, payload: payload::Payload, bytes: &[u8]) -> Vec<Finding> {
        self.tables.as_ref().map(|tables| tables.schema.walk(payload, bytes)).unwrap_or_default()
    }

    /// A message that a phone has opened, padding included.
    pub fn opened(&self, padded: &[u8], envelope: &Envelope) -> Vec<Finding> {
        self.tables.as_ref().map(|tables| tables.schema.opened(padded, envelope)).unwrap_or_default()
    }

    /// A message without padding, with or without what is around it.
    pub fn message(&self, message: &[u8], envelope: Option<&Envelope>) -> Vec<Finding> {
        let judge = |tables: &Arc<Tables>| match envelope {
            Some(envelope) => tables.schema.enveloped(message, envelope),
            None => tables.schema.message(message),
        };
        self.tables.as_ref().map(judge).unwrap_or_default()
    }

    /// Counts a verdict; the findings that are not listed, in words.
    pub fn count(
        &mut self,
        device: Option<&DeviceRef>,
        judgement: &Judgement,
        cursor: Option<u64>,
    ) -> Vec<String> {
        let counts = self.counts.entry(device.cloned()).or_default();
        match judgement.verdict {
            Verdict::Like => counts.like += 1,
            Verdict::Listed => counts.listed += 1,
            Verdict::Unlike => counts.unlike += 1,
        }
        if let Some(op) = &judgement.op {
            *counts.operations.entry(op.clone()).or_default() += 1;
        }
        self.count_findings(device, &judgement.findings, cursor)
    }

    /// Counts what was found in a payload; the findings that are not listed, in words.
    pub fn count_payload(
        &mut self,
        device: Option<&DeviceRef>,
        findings: &[Finding],
        cursor: Option<u64>,
    ) -> Vec<String> {
        let unlisted = self.count_findings(device, findings, cursor);
        let (judged, unlike) = &mut self.counts.entry(device.cloned()).or_default().payloads;
        *judged += 1;
        *unlike += u64::from(!unlisted.is_empty());
        unlisted
    }

    fn count_findings(
        &mut self,
        device: Option<&DeviceRef>,
        findings: &[Finding],
        cursor: Option<u64>,
    ) -> Vec<String> {
        let counts = self.counts.entry(device.cloned()).or_default();
        let mut unlisted = Vec::new();
        for finding in findings {
            let at = self.tables.as_ref().and_then(|tables| tables.deviations.position(finding));
            if let Some(met) = at.and_then(|at| self.met.get_mut(at)) {
                *met = true;
            }
            counts.add(finding, at.is_some(), cursor);
            if at.is_none() {
                unlisted.push(finding.to_string());
            }
        }
        unlisted
    }

    /// The totals (09 §21).
    pub fn totals(&self) -> Value {
        let accounts: Vec<Value> =
            self.counts.iter().map(|(device, counts)| counts.to_json(device.as_ref())).collect();
        let Some(tables) = &self.tables else { return Value::Null };
        let unused = tables.deviations.iter().zip(self.met.iter()).filter(|(_, met)| !**met);
        let unused = unused.map(|(deviation, _)| {
            json!({
                "op": deviation.op,
                "path": deviation.path,
                "attr": Some(&deviation.attr).filter(|attr| !attr.is_empty()),
                "what": deviation.what,
            })
        });
        json!({
            "table_sha256": hex::encode(tables.stanzas.sha256()),
            "unused_deviations": unused.collect::<Vec<_>>(),
            "accounts": accounts,
        })
    }
}

impl Counts {
    fn add(&mut self, finding: &Finding, listed: bool, cursor: Option<u64>) {
        match self.findings.iter_mut().find(|counted| counted.finding == *finding) {
            Some(counted) => counted.count += 1,
            None => self.findings.push(Counted {
                finding: finding.clone(),
                listed,
                count: 1,
                first_cursor: cursor,
            }),
        }
    }

    fn to_json(&self, device: Option<&DeviceRef>) -> Value {
        let findings = self.findings.iter().map(|counted| {
            let mut finding = json::finding(&counted.finding);
            if let Some(fields) = finding.as_object_mut() {
                fields.remove("want");
                fields.insert("listed".to_owned(), json!(counted.listed));
                fields.insert("count".to_owned(), json!(counted.count));
                let cursor = counted.first_cursor.map(|cursor| cursor.to_string());
                fields.insert("first_cursor".to_owned(), json!(cursor));
            }
            finding
        });
        json!({
            "account": device.map(|device| &device.number),
            "device": device.map(|device| device.device),
            "like": self.like,
            "listed": self.listed,
            "unlike": self.unlike,
            "payloads": { "judged": self.payloads.0, "unlike": self.payloads.1 },
            "operations": self.operations,
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}
