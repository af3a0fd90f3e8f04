//! The vectors of `schema.json` (protocol 03b §10 no. 1 to 3 and 7).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../tests/common/vectors.rs"]
mod vectors;

mod typed;

use palomar_proto::{edit, json};
use serde_json::Value;
use vectors::{File, bytes, known_keys, name, text, without_empty_lists};

fn file(section: &str) -> Vec<Value> {
    let mut file = File::open("schema");
    let cases = file.section(section);
    for other in ["messages", "alternatives", "malformed"] {
        file.elsewhere(other);
    }
    file.finish();
    cases
}

#[test]
fn vectors_messages_decode_to_their_json_and_encode_again() {
    for case in file("messages") {
        known_keys(&case, &["name", "type", "json", "hex", "prost_roundtrip"]);
        let (name, kind, hex, json) =
            (name(&case), text(&case, "type"), bytes(&case, "hex"), &without_empty_lists(&case["json"]));
        assert_eq!(&json::to_json(kind, &hex).unwrap(), json, "{name}");

        let again = (typed::by_name(kind).round_trip)(&hex).unwrap();
        match text(&case, "prost_roundtrip") {
            "exact" => {
                assert_eq!(hex::encode(&again), hex::encode(&hex), "{name}: typed");
                assert_eq!(
                    hex::encode(json::from_json(kind, json).unwrap()),
                    hex::encode(&hex),
                    "{name}: from JSON"
                );
            }
            "packing-differs" | "order-differs" => {
                assert_eq!(&json::to_json(kind, &again).unwrap(), json, "{name}");
                let built = json::from_json(kind, json).unwrap();
                assert_eq!(&json::to_json(kind, &built).unwrap(), json, "{name}");
            }
            other => panic!("{name}: unknown prost_roundtrip {other}"),
        }
    }
}

#[test]
fn vectors_alternatives_decode_and_what_is_unknown_survives() {
    for case in file("alternatives") {
        known_keys(&case, &["name", "type", "hex", "same_as_json"]);
        let (name, kind, hex) = (name(&case), text(&case, "type"), bytes(&case, "hex"));
        let again = (typed::by_name(kind).round_trip)(&hex).unwrap();
        let json = json::to_json(kind, &hex).unwrap();
        assert_eq!(json::to_json(kind, &again).unwrap(), json, "{name}: typed and by descriptor");
        if let Some(same) = case.get("same_as_json") {
            assert_eq!(&json, same, "{name}");
        }
        check_what_survives(&name, &hex, &again, &json);
    }
}

/// What the note of a case without JSON says.
fn check_what_survives(name: &str, hex: &[u8], again: &[u8], json: &Value) {
    match name {
        "unknown-fields-kept" => {
            let forwarded = edit::set(hex, &[35, 3], edit::Value::Bytes(&[7; 32])).unwrap();
            for field in edit::fields(hex) {
                let raw = field.unwrap().raw;
                assert!(forwarded.windows(raw.len()).any(|part| part == raw), "{name}");
            }
        }
        "unknown-enum-value" => {
            assert_eq!(again, hex, "{name}");
            assert_eq!(json, &serde_json::json!({ "type": 999 }), "{name}");
        }
        "oneof-last-wins" => assert_eq!(json, &serde_json::json!({ "collectionMessage": {} }), "{name}"),
        _ => {}
    }
}

#[test]
fn vectors_malformed_fails_without_panic_and_with_a_short_text() {
    for case in file("malformed") {
        known_keys(&case, &["name", "type", "hex", "generate", "error"]);
        let (name, kind) = (name(&case), text(&case, "type"));
        let hex = case.get("generate").map_or_else(|| bytes(&case, "hex"), generate);
        let typed = (typed::by_name(kind).round_trip)(&hex);
        let by_descriptor = json::to_json(kind, &hex);
        match text(&case, "error") {
            "decode" => {
                let error = typed.expect_err(&name).to_string();
                assert!(error.len() < 260, "{name}: {error}");
                assert!(by_descriptor.is_err(), "{name}");
            }
            "either" => {}
            other => panic!("{name}: unknown error {other}"),
        }
        let _ = edit::set(&hex, &[6, 17, 22], edit::Value::Varint(1));
    }
}

/// Puts the inner message `times` times into field 40 { field 1 { … } }.
fn generate(generate: &Value) -> Vec<u8> {
    known_keys(generate, &["inner_hex", "wrap", "times"]);
    assert_eq!(text(generate, "wrap"), "ephemeralMessage(40).message(1)");
    let mut message = bytes(generate, "inner_hex");
    for _ in 0..vectors::number(generate, "times") {
        message = edit::set(&[], &[40, 1], edit::Value::Bytes(&message)).unwrap();
    }
    message
}

#[test]
fn vectors_debug_output_is_the_name_alone() {
    for case in file("messages") {
        let kind = text(&case, "type");
        assert_eq!((typed::by_name(kind).debug)(&bytes(&case, "hex")).unwrap(), kind);
    }
}
