//! Reading test vectors: the folder, the sections, the case counts (the shapes are described in the specification's
//! page on vectors). A missing file or section is 0 cases; an unknown section, key or name fails the test.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;

use serde_json::{Map, Value};

/// Top-level keys that are information only.
const INFORMATION: [&str; 7] = ["source", "title", "set", "notation", "notes", "conventions", "encoding"];

/// The folder with the vectors: `PALOMAR_VECTORS`, else `tests/vectors` of the checkout (of which this package may be
/// a member one level down).
pub fn folder() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = if here.join("tests/vectors").exists() { here } else { here.join("..") };
    std::env::var_os("PALOMAR_VECTORS").map_or_else(|| root.join("tests/vectors"), PathBuf::from)
}

/// One file of vectors, which must be read section by section until nothing is left.
pub struct File {
    name: String,
    sections: Map<String, Value>,
}

impl File {
    /// Opens `NAME.json`; an absent file has no sections.
    pub fn open(name: &str) -> Self {
        let path = folder().join(format!("{name}.json"));
        let sections = match std::fs::read_to_string(&path) {
            Ok(text) => match serde_json::from_str(&text).expect("a vector file is JSON") {
                Value::Object(map) => map,
                _ => panic!("{}: not an object", path.display()),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(error) => panic!("{}: {error}", path.display()),
        };
        Self { name: name.to_owned(), sections }
    }

    /// Takes a section: the elements of an array, or the one object. Prints the number of cases.
    pub fn section(&mut self, section: &str) -> Vec<Value> {
        let cases = match self.sections.shift_remove(section) {
            None => Vec::new(),
            Some(Value::Array(cases)) => cases,
            Some(other) => vec![other],
        };
        println!("vectors {}.json {section}: {} cases", self.name, cases.len());
        cases
    }

    /// Leaves a section to another test, which reads it.
    pub fn elsewhere(&mut self, section: &str) {
        self.sections.shift_remove(section);
    }

    /// Fails if a section was not taken.
    pub fn finish(self) {
        let left: Vec<_> = self.sections.keys().filter(|key| !is_information(key)).collect();
        assert!(left.is_empty(), "{}.json has sections this test does not know: {left:?}", self.name);
    }
}

/// Whether a key carries information only (never part of a check).
pub fn is_information(key: &str) -> bool {
    const KEYS: [&str; 10] = [
        "note",
        "description",
        "why",
        "by",
        "via",
        "checked_with",
        "same_in",
        "encoded_by",
        "decoded_by",
        "peers",
    ];
    INFORMATION.contains(&key)
        || KEYS.contains(&key)
        || key == "decoded_same_by"
        || key == "share_meaning"
        || key.starts_with("baileys")
        || key.contains("observed")
}

/// Fails if `case` has a key that is neither in `known` nor information.
pub fn known_keys(case: &Value, known: &[&str]) {
    let Value::Object(map) = case else { panic!("not an object: {case}") };
    for key in map.keys() {
        assert!(known.contains(&key.as_str()) || is_information(key), "unknown key {key:?} in {case}");
    }
}

/// The bytes of a hex string field.
pub fn bytes(case: &Value, key: &str) -> Vec<u8> {
    opt_bytes(case, key).unwrap_or_else(|| panic!("{key} missing in {case}"))
}

/// The bytes of a hex string field, `None` if absent or null.
pub fn opt_bytes(case: &Value, key: &str) -> Option<Vec<u8>> {
    match case.get(key) {
        None | Some(Value::Null) => None,
        Some(value) => Some(hex::decode(value.as_str().expect("hex text")).expect("hex")),
    }
}

/// The bytes of a hex string field as an array.
pub fn array<const N: usize>(case: &Value, key: &str) -> [u8; N] {
    bytes(case, key).try_into().unwrap_or_else(|_| panic!("{key} has not {N} bytes in {case}"))
}

/// The text of a field.
pub fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("{key} missing in {case}"))
}

/// The number of a field.
pub fn number(case: &Value, key: &str) -> u64 {
    case.get(key).and_then(Value::as_u64).unwrap_or_else(|| panic!("{key} missing in {case}"))
}

/// The name of a case, for messages.
pub fn name(case: &Value) -> String {
    case.get("name").and_then(Value::as_str).map_or_else(|| case.to_string(), str::to_owned)
}

/// A message as JSON without its empty lists: on the wire an empty list is an absent one.
pub fn without_empty_lists(json: &Value) -> Value {
    match json {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty()));
            Value::Object(kept.map(|(key, value)| (key.clone(), without_empty_lists(value))).collect())
        }
        Value::Array(items) => items.iter().map(without_empty_lists).collect(),
        other => other.clone(),
    }
}
