//! The page that says which test proves which line of the specification names tests that are there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

/// How many lines the sections "What a test must prove" have.
const LINES: [(&str, usize); 5] = [("01", 15), ("02", 13), ("03", 10), ("03b", 7), ("04", 25)];

/// The names of all test functions below a folder.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            tests_in(&std::fs::read_to_string(&path).unwrap(), names);
        }
    }
}

/// Functions behind a test attribute, and those that a list of contract tests names.
fn tests_in(text: &str, names: &mut BTreeSet<String>) {
    let mut marked = false;
    let mut listed = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if line.starts_with("contract! {") {
            listed = true;
        } else if listed {
            listed = line != "}";
            names.insert(line.to_owned());
        } else if marked && !line.starts_with('#') && !line.starts_with("//") {
            marked = false;
            let rest = line.split_once("fn ").map_or("", |(_, rest)| rest);
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.insert(name);
        }
    }
}

#[test]
fn every_line_of_01_to_04_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for folder in ["src", "tests", "store", "proto"] {
        tests_below(&root.join(folder), &mut names);
    }
    let page = std::fs::read_to_string(root.join("docs/proofs.md")).unwrap();
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            found.push((heading.split(' ').next().unwrap().to_owned(), 0));
        } else if let Some((number, rest)) = line.split_once(". ")
            && let Ok(number) = number.parse::<usize>()
        {
            let (chapter, count) = found.last_mut().expect("a chapter");
            *count += 1;
            assert_eq!(number, *count, "{chapter}: lines out of order");
            let named: Vec<&str> = rest.split('`').skip(1).step_by(2).filter(|n| n.len() > 15).collect();
            let named: Vec<&str> = named.into_iter().filter(|name| name.contains('_')).collect();
            assert!(!named.is_empty(), "{chapter} line {number} names no test");
            let absent = named.iter().filter(|name| !names.contains(**name));
            missing.extend(absent.map(|name| format!("{chapter} line {number}: {name}")));
        }
    }
    let found: Vec<(&str, usize)> = found.iter().map(|(chapter, count)| (chapter.as_str(), *count)).collect();
    assert_eq!(found, LINES);
    assert!(missing.is_empty(), "no such tests:\n{}", missing.join("\n"));
}
