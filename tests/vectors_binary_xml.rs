//! `binary-xml.json`: canonical encodings, what else is accepted, compressed and malformed frames (03).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::time::{Duration, Instant};

use common::vectors::{File, known_keys, name, text};
use palomar::wire::{self, Arena, Content, DICTIONARY_VERSION, Dialect, Node, Value as Attr, json};
use serde_json::Value;

/// The bytes of `encoded`, `frame`, or an accepted form: hex, or `{"parts": [{"hex", "times"?}]}`.
fn frame(value: &Value) -> Vec<u8> {
    if let Some(hex) = value.as_str() {
        return hex::decode(hex).unwrap();
    }
    known_keys(value, &["parts"]);
    let mut out = Vec::new();
    for part in value["parts"].as_array().unwrap() {
        known_keys(part, &["hex", "times"]);
        let bytes = hex::decode(text(part, "hex")).unwrap();
        let times = part.get("times").map_or(1, |times| times.as_u64().unwrap());
        out.extend(bytes.repeat(usize::try_from(times).unwrap()));
    }
    out
}

fn encode(node: &Node) -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode_in(Dialect::Server, node, &mut out).unwrap();
    out
}

/// Attributes as a map with JID and text told apart, content of values by bytes, an empty list as nothing.
fn normal(node: &Node) -> Node {
    let mut attrs = node.attrs.clone();
    attrs.sort_by(|a, b| a.0.cmp(&b.0));
    let content = match &node.content {
        Content::Nodes(nodes) if nodes.is_empty() => Content::None,
        Content::Nodes(nodes) => Content::Nodes(nodes.iter().map(normal).collect()),
        Content::Text(text) => Content::Bytes(text.as_bytes().to_vec()),
        other => other.clone(),
    };
    Node { tag: node.tag.clone(), attrs, content }
}

fn check_decodes(bytes: &[u8], node: &Node, what: &str) {
    let decoded = wire::decode_node(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(normal(&decoded) == normal(node), "{what}: another node");
}

#[test]
fn every_case_of_the_binary_xml_vectors_encodes_and_decodes() {
    let mut file = File::open("binary-xml");
    for version in file.section("dictionary_version") {
        assert_eq!(version.as_u64(), Some(DICTIONARY_VERSION.into()));
    }
    for case in file.section("cases") {
        known_keys(&case, &["name", "node", "encoded", "also_accepted"]);
        let what = name(&case);
        let node = json::from_json(&case["node"]).unwrap_or_else(|error| panic!("{what}: {error}"));
        let expected = frame(&case["encoded"]);
        assert!(
            encode(&node) == expected,
            "{what}: other bytes {}",
            hex::encode(&encode(&node)[..40.min(expected.len())])
        );
        check_decodes(&expected, &node, &what);
        for also in case.get("also_accepted").and_then(Value::as_array).into_iter().flatten() {
            known_keys(also, &["hex"]);
            check_decodes(&hex::decode(text(also, "hex")).unwrap(), &node, &what);
        }
    }
    for case in file.section("compressed") {
        known_keys(&case, &["name", "node", "frame"]);
        check_decodes(&frame(&case["frame"]), &json::from_json(&case["node"]).unwrap(), &name(&case));
    }
    file.elsewhere("malformed");
    file.finish();
}

#[test]
fn every_malformed_entry_of_the_vectors_gives_its_kind_in_bounded_time_on_a_2_mib_stack() {
    let run = || {
        let mut file = File::open("binary-xml");
        let mut arena = Arena::new();
        for case in file.section("malformed") {
            known_keys(&case, &["name", "frame", "error"]);
            let bytes = frame(&case["frame"]);
            let start = Instant::now();
            let error = wire::decode(&bytes, &mut arena).map(|_| ()).expect_err(&name(&case));
            assert_eq!(error.kind.to_string(), text(&case, "error"), "{}", name(&case));
            // A release build needs far less than the second the specification allows; this one is unoptimised.
            assert!(start.elapsed() < Duration::from_secs(5), "{} took {:?}", name(&case), start.elapsed());
            assert!(!error.to_string().contains("Jid"), "names kind and offset only");
        }
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn every_token_of_all_five_tables_round_trips() {
    let mut count = 0;
    for token in wire::Token::all() {
        let node = Node::new(token.text()).attr("id", token.text());
        let bytes = encode(&node);
        // Flag, list header, tag, key (one byte), value.
        let spelled = if token.number() < 256 { 1 } else { 2 };
        assert_eq!(bytes.len(), 4 + 2 * spelled, "{token:?}");
        let mut arena = Arena::new();
        let read = wire::decode(&bytes, &mut arena).unwrap();
        assert_eq!(read.tag_token(), Some(token));
        assert_eq!(read.get("id").unwrap().token(), Some(token));
        assert!(read.is(token.text()));
        count += 1;
    }
    assert_eq!(count, 1259);
}

#[test]
fn a_text_with_an_at_sign_stays_a_text() {
    let node = Node::new("item").attr("id", "foo@example.com");
    assert_eq!(wire::decode_node(&encode(&node)).unwrap().attrs[0].1, Attr::Text("foo@example.com".into()));
}
