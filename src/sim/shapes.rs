//! The stanza judge of `stanza`, as the simulator uses it (09 §23.1): loaded at first use, asked for every stanza of a
//! client while rule R17 is on, with a count of its verdicts. It changes no answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::DeviceRef;
use crate::stanza::judge::{Deviations, Finding, Judgement, Table, TableError, Verdict};
use crate::wire::Node;

/// The table of shapes, the deviations from it, and what came of them.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    loaded: Option<Loaded>,
    /// By device; `None` before the login.
    counts: BTreeMap<Option<DeviceRef>, Counts>,
}

#[derive(Debug)]
struct Loaded {
    table: Table,
    deviations: Deviations,
    /// For each deviation, in the order of the list, whether a stanza met it.
    met: Vec<bool>,
}

/// The verdicts over the stanzas of one device.
#[derive(Debug, Default)]
struct Counts {
    like: u64,
    listed: u64,
    unlike: u64,
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

impl Loaded {
    fn new() -> Result<Self, TableError> {
        let deviations = Deviations::built_in()?;
        let met = vec![false; deviations.iter().count()];
        Ok(Self { table: Table::built_in()?, deviations, met })
    }
}

impl Shapes {
    fn loaded(&mut self) -> Option<&mut Loaded> {
        if self.loaded.is_none() {
            self.loaded = Loaded::new().ok();
        }
        self.loaded.as_mut()
    }

    /// The verdict over a client's stanza; `None` if the built-in table can't be read, which a test excludes.
    pub fn judge(&mut self, stanza: &Node) -> Option<Judgement> {
        let Loaded { table, deviations, .. } = self.loaded()?;
        Some(table.judge(stanza, deviations))
    }

    /// The verdict over a stanza that no client sent.
    pub fn judge_tree(&mut self, stanza: &Node) -> Option<Judgement> {
        let Loaded { table, deviations, .. } = self.loaded()?;
        Some(table.judge_tree(stanza, deviations))
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
        let mut unlisted = Vec::new();
        for finding in &judgement.findings {
            let place = self
                .loaded
                .as_mut()
                .and_then(|loaded| loaded.deviations.position(finding).and_then(|at| loaded.met.get_mut(at)));
            let listed = place.map(|met| *met = true).is_some();
            counts.add(finding, listed, cursor);
            if !listed {
                unlisted.push(finding.to_string());
            }
        }
        unlisted
    }

    /// The totals (09 §21).
    pub fn totals(&mut self) -> Value {
        let accounts: Vec<Value> =
            self.counts.iter().map(|(device, counts)| counts.to_json(device.as_ref())).collect();
        let Some(Loaded { table, deviations, met }) = self.loaded() else { return Value::Null };
        let unused = deviations.iter().zip(met.iter()).filter(|(_, met)| !**met);
        let unused = unused.map(|(deviation, _)| {
            json!({
                "op": deviation.op,
                "path": deviation.path,
                "attr": Some(&deviation.attr).filter(|attr| !attr.is_empty()),
                "what": deviation.what,
            })
        });
        json!({
            "table_sha256": hex::encode(table.sha256()),
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
            let mut finding = finding_to_json(&counted.finding);
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
            "operations": self.operations,
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

fn finding_to_json(finding: &Finding) -> Value {
    json!({
        "op": finding.op,
        "path": finding.path,
        "attr": Some(&finding.attr).filter(|attr| !attr.is_empty()),
        "what": finding.what.name(),
        "want": finding.want,
    })
}

/// The `judge` object of a traffic item (09 §21).
pub(crate) fn to_json(judgement: &Judgement) -> Value {
    json!({
        "verdict": judgement.verdict.name(),
        "op": judgement.op,
        "findings": judgement.findings.iter().map(finding_to_json).collect::<Vec<_>>(),
        "payloads": [],
    })
}
