//! What a command prints: text for people, or one JSON object a line. Progress goes to stderr, on a terminal only.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use crate::exit::Failure;

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// For people, or for machines.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether machines read it.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether colours may be written: people look at a terminal, and did not ask for none (NO_COLOR).
    pub fn has_colours(self) -> bool {
        !self.json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
    }

    /// One result: `text` for people, `value` for machines.
    pub fn line(self, text: impl Display, value: &Value) {
        if self.json { print(value) } else { print(text) }
    }

    /// Something only people want to see.
    pub fn text(self, text: impl Display) {
        if !self.json {
            print(text);
        }
    }

    /// A line of progress.
    pub fn progress(self, text: impl Display) {
        if !self.json && std::io::stderr().is_terminal() {
            drop(writeln!(std::io::stderr(), "{text}"));
        }
    }

    /// Why the command failed.
    pub fn failure(self, failure: &Failure) {
        if self.json {
            let error = json!({ "exit": failure.exit as u8, "what": failure.what, "next": failure.next });
            print(json!({ "error": error }));
        } else {
            let next = failure.next.as_ref().map(|next| format!("\n  next: {next}")).unwrap_or_default();
            drop(writeln!(std::io::stderr(), "error: {}{next}", failure.what));
        }
    }
}

/// A closed pipe is the reader's wish, not an error.
fn print(line: impl Display) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// A table with a head, columns as wide as they must be.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut head.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let rows = vec![vec!["alice".into(), "1".into()], vec!["b".into(), "22".into()]];
        assert_eq!(table(&["id", "n"], &rows), "id     n\nalice  1\nb      22");
    }
}
