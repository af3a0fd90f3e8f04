//! The list of deliberate deviations: where palomar's stanzas differ from the official client's on purpose, and why.

use super::compare::Finding;
use super::table::TableError;

/// The built-in list.
const BUILT_IN: &str = include_str!("deviations.csv");

/// The columns, in order; the reason is the rest of the line.
const HEADER: &str = "op,path,attr,what,reason";

/// The page without its rows.
const PAGE: &str = "\
# Deliberate deviations

Every stanza that palomar sends is held against a table of the shapes that the official web client sends, and every
payload in it that the simulator can read against the schema and what an official reader refuses. These are the
differences that are there on purpose. Whatever else differs is a violation (`stanza-unlike`, `payload-unlike`) in the
simulator's profile `strict`. A deviation that no test meets fails the tests.

This page is made from the list `src/stanza/judge/deviations.csv` by `palomar sim deviations --markdown`; a test compares
them. Sections in brackets are those of the protocol specification.

| Operation | Place | What | Reason |
|---|---|---|---|
";

/// One deliberate deviation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// The operation of the table.
    pub op: String,
    /// The element, from the stanza's root.
    pub path: String,
    /// The attribute, empty for the element itself.
    pub attr: String,
    /// The name of what is unlike.
    pub what: String,
    /// Why, and the place in the specification that demands it.
    pub reason: String,
}

/// The list of deliberate deviations.
#[derive(Debug, Clone, Default)]
pub struct Deviations(Vec<Deviation>);

impl Deviations {
    /// The list that is built in.
    ///
    /// # Errors
    /// [`TableError`] never for the list of a release: a test reads it.
    pub fn built_in() -> Result<Self, TableError> {
        Self::parse(BUILT_IN)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// [`TableError`] names the first line and column that can't be read.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some(HEADER) {
            return Err(TableError { line: 1, column: "op", why: format!("the header must be {HEADER}") });
        }
        let parse = |(at, line): (usize, &str)| {
            let cells: Vec<&str> = line.splitn(5, ',').collect();
            match cells[..] {
                [op, path, attr, what, reason] if !reason.trim().is_empty() => Ok(Deviation {
                    op: op.to_owned(),
                    path: path.to_owned(),
                    attr: attr.to_owned(),
                    what: what.to_owned(),
                    reason: reason.trim().to_owned(),
                }),
                _ => Err(TableError {
                    line: at + 1,
                    column: "reason",
                    why: "every deviation has a reason".to_owned(),
                }),
            }
        };
        lines.filter(|(_, line)| !line.is_empty()).map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// The deviations, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &Deviation> {
        self.0.iter()
    }

    /// The list as a page for readers: `docs/deviations.md`.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut page = String::from(PAGE);
        for Deviation { op, path, attr, what, reason } in self.iter() {
            let place = if attr.is_empty() { path.clone() } else { format!("{path}@{attr}") };
            page.push_str(&format!("| `{op}` | `{place}` | {what} | {} |\n", reason.replace('|', "\\|")));
        }
        page
    }

    /// Whether a finding stands in the list.
    #[must_use]
    pub fn lists(&self, finding: &Finding) -> bool {
        self.position(finding).is_some()
    }

    /// Where a finding stands in the list.
    #[must_use]
    pub fn position(&self, finding: &Finding) -> Option<usize> {
        self.0.iter().position(|deviation| {
            deviation.op == finding.op
                && deviation.path == finding.path
                && deviation.attr == finding.attr
                && deviation.what == finding.what.name()
        })
    }
}
