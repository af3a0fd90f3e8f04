//! The stanza judge of `stanza`, as the simulator uses it (09 §23.1): loaded at first use, asked for every stanza of a
//! client while rule R17 is on. It changes no answer.

use serde_json::{Value, json};

use crate::stanza::judge::{Deviations, Finding, Judgement, Table};
use crate::wire::Node;

/// The table of shapes and the deviations from it.
#[derive(Debug, Default)]
pub(crate) struct Shapes(Option<(Table, Deviations)>);

impl Shapes {
    /// The verdict over a client's stanza; `None` if the built-in table can't be read, which a test excludes.
    pub fn judge(&mut self, stanza: &Node) -> Option<Judgement> {
        if self.0.is_none() {
            self.0 = Table::built_in().ok().zip(Deviations::built_in().ok());
        }
        let (table, deviations) = self.0.as_ref()?;
        Some(table.judge(stanza, deviations))
    }

    /// The findings that are not listed.
    pub fn unlisted<'j>(&'j self, judgement: &'j Judgement) -> impl Iterator<Item = &'j Finding> {
        let deviations = self.0.as_ref().map(|(_, deviations)| deviations);
        judgement.findings.iter().filter(move |finding| !deviations.is_some_and(|list| list.lists(finding)))
    }
}

/// The `judge` object of a traffic item (09 §21).
pub(crate) fn to_json(judgement: &Judgement) -> Value {
    let findings = judgement.findings.iter().map(|finding| {
        json!({
            "op": finding.op,
            "path": finding.path,
            "attr": Some(&finding.attr).filter(|attr| !attr.is_empty()),
            "what": finding.what.name(),
            "want": finding.want,
        })
    });
    json!({
        "verdict": judgement.verdict.name(),
        "op": judgement.op,
        "findings": findings.collect::<Vec<_>>(),
        "payloads": [],
    })
}
