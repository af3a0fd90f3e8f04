//! The `messages` section of `messaging.json` (protocol 05a §6): decode, encode, classification.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, bytes, is_information, known_keys, text, without_empty_lists};
use palomar::{
    proto::{Message, json},
    stanza::content::{Edit, MediaType, classify},
};
use prost::Message as _;
use serde_json::{Value, json};

/// Sections of the same file that other tests read.
const ELSEWHERE: [&str; 18] = [
    "message_ids",
    "message_id_platform",
    "unpad",
    "acks",
    "addressing",
    "usync_requests",
    "usync_device_response",
    "retry_receipts",
    "stanzas",
    "receipts",
    "group_info",
    "reporting",
    "tctoken",
    "phash",
    "cstoken",
    "msg_secret",
    "poll_option_hash",
    "bot_secret",
];

#[test]
fn vectors_messages_decode_encode_and_classify() {
    let mut file = File::open("messaging");
    let cases = file.section("messages");
    for section in ELSEWHERE {
        file.elsewhere(section);
    }
    file.finish();
    for case in &cases {
        known_keys(case, &["kind", "chat", "message_json", "protobuf_hex", "expect"]);
        let (kind, encoded, shown) =
            (text(case, "kind"), bytes(case, "protobuf_hex"), &without_empty_lists(&case["message_json"]));
        assert_eq!(&json::to_json("Message", &encoded).unwrap(), shown, "{kind}");
        assert_eq!(hex::encode(json::from_json("Message", shown).unwrap()), hex::encode(&encoded), "{kind}");

        let message = Message::decode(encoded.as_slice()).unwrap();
        assert_eq!(hex::encode(message.encode_to_vec()), hex::encode(&encoded), "{kind}");
        assert_eq!(classification(&message), without_information(&case["expect"]), "{kind}");
    }
}

fn without_information(expect: &Value) -> Value {
    let Value::Object(map) = expect else { return expect.clone() };
    known_keys(expect, &["type", "mediatype", "edit", "decrypt_fail", "meta"]);
    Value::Object(
        map.iter().filter(|(key, _)| !is_information(key)).map(|(k, v)| (k.clone(), v.clone())).collect(),
    )
}

/// As the vectors write it; null is an absent attribute.
fn classification(message: &Message) -> Value {
    let Some(content) = classify(message) else { return Value::Null };
    let meta: serde_json::Map<_, _> =
        content.meta.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({
        "type": content.kind.as_str(),
        "mediatype": content.media.map(MediaType::as_str),
        "edit": content.edit.map(Edit::as_str),
        "decrypt_fail": content.hide.then_some("hide"),
        "meta": (!meta.is_empty()).then_some(meta),
    })
}
