//! The table of shapes: reading the CSV, and what one operation looks like.

use std::collections::HashMap;

use crate::crypto::sha256;

use super::form::DeviceForm;
use super::kind::Kind;

/// The built-in table: the shapes of the official client's stanzas. A library build goes without (09 §23.2).
#[cfg(any(test, feature = "sim"))]
const BUILT_IN: &str = include_str!("stanzas.csv");

/// The columns, in order.
const COLUMNS: [&str; 12] =
    ["dir", "op", "path", "attr", "kind", "value", "need", "min", "max", "len", "alt", "src"];

/// Which way a stanza goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Client to server.
    Out,
    /// Server to client.
    In,
}

/// A line of a table that can't be read. Which table it was, the caller knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {why}")]
pub struct TableError {
    /// The line, counted from 1 (the header).
    pub line: usize,
    /// The name of the column.
    pub column: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// How often, or how long, or how large: both ends included, the upper one may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) min: i64,
    pub(super) max: Option<i64>,
}

impl Range {
    pub(super) fn holds(self, value: i64) -> bool {
        value >= self.min && self.max.is_none_or(|max| value <= max)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(f, "{max}"),
            Some(max) => write!(f, "{}..{max}", self.min),
            None => write!(f, "{}..", self.min),
        }
    }
}

/// Membership of alternatives: (group, alternative) pairs.
pub(super) type Alternatives = Vec<(u16, u16)>;

#[derive(Debug)]
pub(super) struct AttrRule {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) range: Option<Range>,
    pub(super) alternatives: Alternatives,
    /// How device 0 is written there.
    pub(super) form: DeviceForm,
}

#[derive(Debug)]
pub(super) struct ElementRule {
    /// From the root of the stanza, `iq/usync/query`.
    pub(super) path: String,
    pub(super) tag: String,
    pub(super) kind: Kind,
    pub(super) content_optional: bool,
    pub(super) count: Range,
    pub(super) length: Option<Range>,
    pub(super) alternatives: Alternatives,
    pub(super) attrs: Vec<AttrRule>,
    pub(super) children: Vec<ElementRule>,
}

/// One operation: a name and the element it is made of.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) direction: Direction,
    pub(super) name: String,
    pub(super) root: ElementRule,
    /// No row but of other clients: the official client never sends it.
    pub(super) peers_only: bool,
}

/// The table of shapes.
#[derive(Debug)]
pub struct Table {
    pub(super) operations: Vec<Operation>,
    rows: usize,
    sha256: [u8; 32],
}

impl Table {
    /// The table that is built in.
    ///
    /// # Errors
    /// [`TableError`] never for the table of a release: a test reads it.
    #[cfg(any(test, feature = "sim"))]
    pub fn built_in() -> Result<Self, TableError> {
        Self::parse(BUILT_IN)
    }

    /// Reads a table of the same columns.
    ///
    /// # Errors
    /// [`TableError`] names the first line and column that can't be read.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        let (_, header) = lines.next().unwrap_or((1, ""));
        if !header.split(',').eq(COLUMNS) {
            return Err(error(1, "dir", format!("the header must be {}", COLUMNS.join(","))));
        }
        let mut table = Self { operations: Vec::new(), rows: 0, sha256: sha256(text.as_bytes()) };
        let mut index: HashMap<(Direction, String), usize> = HashMap::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let row = Row::parse(number, line)?;
            table.add(&row, &mut index)?;
            table.rows += 1;
        }
        Ok(table)
    }

    fn add(
        &mut self,
        row: &Row<'_>,
        index: &mut HashMap<(Direction, String), usize>,
    ) -> Result<(), TableError> {
        let key = (row.direction, row.op.to_owned());
        if let Some(operation) = index.get(&key).and_then(|at| self.operations.get_mut(*at)) {
            operation.peers_only &= row.is_peers();
            return row.place(&mut operation.root);
        }
        if !row.attr.is_empty() || row.path.contains('/') {
            return Err(error(row.line, "path", "an operation must begin with its root element"));
        }
        index.insert(key, self.operations.len());
        self.operations.push(Operation {
            direction: row.direction,
            name: row.op.to_owned(),
            root: row.element(row.path)?,
            peers_only: row.is_peers(),
        });
        Ok(())
    }

    /// How many operations the table has.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    /// How many rows the table has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// SHA-256 of the table's text.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// The names of the operations of one direction, in the order of the table.
    pub fn names(&self, direction: Direction) -> impl Iterator<Item = &str> {
        self.operations.iter().filter(move |op| op.direction == direction).map(|op| op.name.as_str())
    }
}

pub(super) fn error(line: usize, column: &'static str, why: impl Into<String>) -> TableError {
    TableError { line, column, why: why.into() }
}

struct Row<'a> {
    line: usize,
    direction: Direction,
    op: &'a str,
    path: &'a str,
    attr: &'a str,
    kind: &'a str,
    value: &'a str,
    required: bool,
    min: &'a str,
    max: &'a str,
    length: &'a str,
    alternatives: Alternatives,
    src: &'a str,
}

impl<'a> Row<'a> {
    fn parse(line: usize, text: &'a str) -> Result<Self, TableError> {
        let cells: Vec<&str> = text.split(',').collect();
        let [dir, op, path, attr, kind, value, need, min, max, length, alt, src] = cells[..] else {
            return Err(error(line, "src", format!("{} columns instead of {}", cells.len(), COLUMNS.len())));
        };
        let direction = match dir {
            "out" => Direction::Out,
            "in" => Direction::In,
            other => return Err(error(line, "dir", format!("{other:?} is neither out nor in"))),
        };
        if op.is_empty() {
            return Err(error(line, "op", "empty"));
        }
        if path.is_empty() || path.split('/').any(str::is_empty) {
            return Err(error(line, "path", format!("{path:?}")));
        }
        let required = match (need, attr.is_empty()) {
            ("req", false) => true,
            ("opt" | "seen", false) | ("", true) => false,
            (other, _) => return Err(error(line, "need", format!("{other:?}"))),
        };
        if !["built", "read", "static", "peers"].contains(&src) {
            return Err(error(line, "src", format!("{src:?}")));
        }
        let alternatives = parse_alternatives(line, alt)?;
        Ok(Self {
            line,
            direction,
            op,
            path,
            attr,
            kind,
            value,
            required,
            min,
            max,
            length,
            alternatives,
            src,
        })
    }

    fn is_peers(&self) -> bool {
        self.src == "peers"
    }

    /// Puts the row where it belongs below `root`.
    fn place(&self, root: &mut ElementRule) -> Result<(), TableError> {
        let parent_path = if self.attr.is_empty() {
            self.path.rsplit_once('/').map(|(parent, _)| parent)
        } else {
            Some(self.path)
        };
        let Some(parent_path) = parent_path else {
            return Err(error(self.line, "path", "a second root"));
        };
        let parent = find(root, parent_path)
            .ok_or_else(|| error(self.line, "path", format!("{parent_path} has no element row above")))?;
        if self.attr.is_empty() {
            let tag = self.path.rsplit('/').next().unwrap_or(self.path);
            parent.children.push(self.element(tag)?);
        } else {
            parent.attrs.push(self.attribute()?);
        }
        Ok(())
    }

    fn element(&self, tag: &str) -> Result<ElementRule, TableError> {
        let (kind, content_optional) = match self.kind.strip_suffix('?') {
            Some(kind) => (kind, true),
            None => (self.kind, false),
        };
        let kind = Kind::content(kind, self.value).map_err(|why| error(self.line, "kind", why))?;
        let length = match self.length {
            "" => None,
            text => Some(parse_range(text).ok_or_else(|| error(self.line, "len", format!("{text:?}")))?),
        };
        Ok(ElementRule {
            path: self.path.to_owned(),
            tag: tag.to_owned(),
            kind,
            content_optional,
            count: self.limits()?.unwrap_or(Range { min: 0, max: None }),
            length,
            alternatives: self.alternatives.clone(),
            attrs: Vec::new(),
            children: Vec::new(),
        })
    }

    fn attribute(&self) -> Result<AttrRule, TableError> {
        let is_device = self.kind == "device-jid" && self.src == "read";
        Ok(AttrRule {
            name: self.attr.to_owned(),
            kind: Kind::attribute(self.kind, self.value).map_err(|why| error(self.line, "kind", why))?,
            form: DeviceForm::of(self.op, self.path, self.attr, is_device),
            required: self.required,
            range: self.limits()?,
            alternatives: self.alternatives.clone(),
        })
    }

    fn limits(&self) -> Result<Option<Range>, TableError> {
        let number = |column: &'static str, text: &str| match text {
            "" | "None" => Ok(None),
            text => text
                .parse::<i64>()
                .map(Some)
                .map_err(|_| error(self.line, column, format!("{text:?} is no number"))),
        };
        let (min, max) = (number("min", self.min)?, number("max", self.max)?);
        Ok(if min.is_none() && max.is_none() { None } else { Some(Range { min: min.unwrap_or(0), max }) })
    }
}

fn find<'e>(element: &'e mut ElementRule, path: &str) -> Option<&'e mut ElementRule> {
    if element.path == path {
        return Some(element);
    }
    let inside = path.strip_prefix(element.path.as_str()).is_some_and(|rest| rest.starts_with('/'));
    // The last one of a path is the one being described.
    if inside { element.children.iter_mut().rev().find_map(|child| find(child, path)) } else { None }
}

/// `32`, `1..500`, `1..`.
fn parse_range(text: &str) -> Option<Range> {
    match text.split_once("..") {
        None => text.parse().ok().map(|value| Range { min: value, max: Some(value) }),
        Some((min, "")) => Some(Range { min: min.parse().ok()?, max: None }),
        Some((min, max)) => Some(Range { min: min.parse().ok()?, max: Some(max.parse().ok()?) }),
    }
}

/// `1.0`, or several joined by `|`.
fn parse_alternatives(line: usize, text: &str) -> Result<Alternatives, TableError> {
    text.split('|')
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.split_once('.')
                .and_then(|(group, alternative)| Some((group.parse().ok()?, alternative.parse().ok()?)))
                .ok_or_else(|| error(line, "alt", format!("{part:?}")))
        })
        .collect()
}
