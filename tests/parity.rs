//! Palomar's first minute and a quiet day beside what the chapters expect (`palomar sim parity`, protocol 01 §14): the tables are
//! printed, every row is held to its bounds.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;

use serde_json::Value;

fn parity(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palomar"));
    let output = command.args(arguments).args(["sim", "parity"]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn parity_of_the_first_minute_and_a_quiet_day() {
    let (code, printed) = parity(&[]);
    println!("{printed}");
    for head in ["from a scanned code to", "a later login", "A quiet day: 24 hours, 50 messages in, 20 out"] {
        assert!(printed.contains(head), "{head}");
    }
    assert_eq!(code, Some(0), "something differs");
    assert!(printed.ends_with("0 differences, 0 violations\n"));
}

#[test]
fn parity_as_json_has_every_row_with_its_bounds_and_repeats() {
    let (code, printed) = parity(&["--json"]);
    assert_eq!(code, Some(0), "{printed}");
    let rows: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |table: &str, stanza: &str| {
        let found = rows.iter().find(|row| row["table"] == table && row["stanza"] == stanza);
        found.unwrap_or_else(|| panic!("no {stanza} in {table}")).clone()
    };
    // What a careless client does, and we don't.
    for (stanza, most) in [("key count", 0), ("key digest", 0), ("presence available", 0), ("active", 0)] {
        let row = row("quiet-day", stanza);
        assert_eq!((row["most"].as_u64(), row["seen"].as_u64()), (Some(most), Some(0)), "{row}");
    }
    assert_eq!(row("quiet-day", "privacy")["seen"], 3, "one for each reconnect");
    assert_eq!(row("quiet-day", "message")["seen"], 20);
    let at = |table: &str, stanza: &str| row(table, stanza)["seen"][0].as_u64().unwrap();
    assert!(at("link", "pair-success") < at("link", "prekey upload"));
    assert!(at("link", "prekey upload") < at("link", "active"));
    assert!(at("link", "active") < at("link", "presence unavailable"));
    assert!(at("login", "unified_session") < at("login", "privacy"));
    assert_eq!(parity(&["--json"]).1, printed, "the same run twice");
}
