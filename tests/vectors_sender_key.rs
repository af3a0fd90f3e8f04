//! `sender-key.json` (protocol 04 §10): chains, scenarios of a receiver, messages of another client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashMap;

use common::vectors::{File, bytes, known_keys, name, number, text};
use palomar::crypto::{PublicKey, hkdf_sha256, hmac_sha256, xeddsa};
use palomar::signal::{SenderKeyDistribution, SenderKeyMessage, SenderKeyRecord, SignalError};
use serde_json::Value;

#[test]
fn vectors_sender_key() {
    let mut file = File::open("sender-key");
    file.section("chains").iter().for_each(chain);
    file.section("scenarios").iter().for_each(scenario);
    emitted(&file.section("emitted_by_baileys"));
    file.finish();
}

/// Every derived value; the signature only by verifying.
fn chain(case: &Value) {
    known_keys(
        case,
        &[
            "key_id",
            "start_iteration",
            "chain_key",
            "signing_private",
            "signing_public",
            "distribution_wire",
            "messages",
        ],
    );
    let wire = bytes(case, "distribution_wire");
    let distribution = SenderKeyDistribution::parse(&wire).unwrap();
    assert_eq!(distribution.serialize().as_slice(), wire);
    let signing = PublicKey::deserialize(&bytes(case, "signing_public")).unwrap();
    let mut record = SenderKeyRecord::new();
    record.process(&distribution);
    let mut chain_key = bytes(case, "chain_key");
    for (at, message) in case["messages"].as_array().unwrap().iter().enumerate() {
        known_keys(
            message,
            &[
                "iteration",
                "chain_key",
                "message_key_seed",
                "iv",
                "cipher_key",
                "plaintext",
                "ciphertext",
                "wire",
            ],
        );
        assert_eq!(bytes(message, "chain_key"), chain_key);
        let seed = hmac_sha256(&chain_key, &[&[1]]);
        assert_eq!(bytes(message, "message_key_seed"), seed);
        let keys: [u8; 48] = hkdf_sha256(&seed, &[0; 32], b"WhisperGroup");
        assert_eq!([bytes(message, "iv"), bytes(message, "cipher_key")].concat(), keys);
        chain_key = hmac_sha256(&chain_key, &[&[2]]).to_vec();

        let wire = bytes(message, "wire");
        let parsed = SenderKeyMessage::parse(&wire).unwrap();
        assert_eq!(u64::from(parsed.id()), number(case, "key_id"));
        assert_eq!(u64::from(parsed.iteration()), number(message, "iteration"));
        assert_eq!(u64::from(parsed.iteration()), number(case, "start_iteration") + at as u64);
        let (signed, signature) = wire.split_at(wire.len() - 64);
        assert!(signed.ends_with(&bytes(message, "ciphertext")));
        assert!(xeddsa::verify(&signing, &[signed], signature));
        assert_eq!(record.decrypt(&wire).unwrap(), bytes(message, "plaintext"));
    }
}

/// One receiver; after an error its record is byte-identical.
fn scenario(case: &Value) {
    known_keys(case, &["name", "description", "steps"]);
    let mut store: HashMap<(String, String), SenderKeyRecord> = HashMap::new();
    for step in case["steps"].as_array().unwrap() {
        known_keys(step, &["i", "op", "group", "sender", "wire", "result", "plaintext", "expect_error"]);
        let context = format!("{} step {}", name(case), step["i"]);
        let record =
            store.entry((text(step, "group").to_owned(), text(step, "sender").to_owned())).or_default();
        let before = record.serialize();
        let wire = bytes(step, "wire");
        let result: Result<Option<Vec<u8>>, SignalError> = match text(step, "op") {
            "process_distribution" => SenderKeyDistribution::parse(&wire).map(|distribution| {
                record.process(&distribution);
                None
            }),
            "decrypt" => record.decrypt(&wire).map(Some),
            op => panic!("unknown op {op}"),
        };
        match (text(step, "result"), result) {
            ("ok", Ok(plaintext)) => {
                if let Some(plaintext) = plaintext {
                    assert_eq!(plaintext, bytes(step, "plaintext"), "{context}");
                }
            }
            ("error", Err(error)) => {
                assert_eq!(error.class(), text(step, "expect_error"), "{context}");
                assert_eq!(record.serialize(), before, "{context}");
            }
            (expected, got) => panic!("{context}: {expected}, got {got:?}"),
        }
        let stored = SenderKeyRecord::deserialize(&record.serialize()).unwrap();
        assert_eq!(stored.serialize(), record.serialize(), "{context}");
    }
}

fn emitted(steps: &[Value]) {
    let mut record = SenderKeyRecord::new();
    for step in steps {
        known_keys(step, &["op", "wire", "plaintext", "iteration"]);
        let wire = bytes(step, "wire");
        match text(step, "op") {
            "distribution" => record.process(&SenderKeyDistribution::parse(&wire).unwrap()),
            "message" => {
                let parsed = SenderKeyMessage::parse(&wire).unwrap();
                if step.get("iteration").is_some() {
                    assert_eq!(u64::from(parsed.iteration()), number(step, "iteration"));
                }
                assert_eq!(record.decrypt(&wire).unwrap(), bytes(step, "plaintext"));
            }
            op => panic!("unknown op {op}"),
        }
    }
}
