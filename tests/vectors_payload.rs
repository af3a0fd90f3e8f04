//! What lies inside an encrypted message: `padding.json`, `message-secret.json`, `fingerprint.json`, and the sections of
//! `messaging.json` about the same (protocol 04 §11 to §14).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, array, bytes, known_keys, name, number, opt_bytes, text};
use palomar::crypto::PublicKey;
use palomar::signal::addon::{self, Context, MessageSecret, Use};
use palomar::signal::{bot, fingerprint, padding, reporting};
use serde_json::Value;

#[test]
fn vectors_padding() {
    let mut file = File::open("padding");
    for case in file.section("pad") {
        known_keys(&case, &["plaintext", "pad_length", "padded"]);
        let byte = u8::try_from(number(&case, "pad_length") - 1).unwrap();
        let padded = padding::pad_with(&bytes(&case, "plaintext"), byte);
        assert_eq!(padded, bytes(&case, "padded"));
        assert_eq!(padding::unpad(&padded).unwrap(), bytes(&case, "plaintext"));
    }
    for case in file.section("unpad") {
        known_keys(&case, &["name", "padded", "required"]);
        let padded = bytes(&case, "padded");
        match (text(&case, "required"), padding::unpad(&padded)) {
            ("error", result) => assert!(result.is_err(), "{}", name(&case)),
            (plain, result) => assert_eq!(hex::encode(result.unwrap()), plain, "{}", name(&case)),
        }
    }
    file.finish();
}

#[test]
fn vectors_fingerprint() {
    let mut file = File::open("fingerprint");
    for case in file.section("cases") {
        known_keys(
            &case,
            &[
                "local_identifier",
                "local_keys",
                "remote_identifier",
                "remote_keys",
                "local_half",
                "remote_half",
                "display",
            ],
        );
        let half = |side: &str| {
            let keys: Vec<PublicKey> = case[format!("{side}_keys")]
                .as_array()
                .unwrap()
                .iter()
                .map(|key| PublicKey::deserialize(&hex::decode(key.as_str().unwrap()).unwrap()).unwrap())
                .collect();
            fingerprint::half(text(&case, &format!("{side}_identifier")), &keys)
        };
        let (local, remote) = (half("local"), half("remote"));
        assert_eq!(local, text(&case, "local_half"));
        assert_eq!(remote, text(&case, "remote_half"));
        assert_eq!(fingerprint::display(&local, &remote), text(&case, "display"));
        assert_eq!(fingerprint::display(&remote, &local), text(&case, "display"));
    }
    file.finish();
}

#[test]
fn vectors_message_secret() {
    let mut file = File::open("message-secret");
    file.section("addons").iter().for_each(addon_case);
    file.section("bot").iter().for_each(bot_case);
    for case in file.section("reporting") {
        known_keys(
            &case,
            &[
                "name",
                "message",
                "message_secret",
                "message_id",
                "sender",
                "remote",
                "info",
                "key",
                "should_include",
                "token",
            ],
        );
        let message = bytes(&case, "message");
        let context = Context {
            message_id: text(&case, "message_id"),
            original_sender: text(&case, "sender"),
            modification_sender: text(&case, "remote"),
        };
        assert_eq!(context.info(Use::ReportToken), bytes(&case, "info"), "{}", name(&case));
        assert_eq!(context.key(&secret(&case), Use::ReportToken).to_vec(), bytes(&case, "key"));
        reporting_case(&case, &message, text(&case, "sender"), text(&case, "remote"), "token");
    }
    file.finish();
}

#[test]
fn vectors_messaging_secrets() {
    let mut file = File::open("messaging");
    for case in file.section("unpad") {
        known_keys(&case, &["padded", "plain", "expect_error"]);
        let padded = bytes(&case, "padded");
        match opt_bytes(&case, "plain") {
            Some(plain) => assert_eq!(padding::unpad(&padded).unwrap(), plain),
            None => assert!(case["expect_error"].as_bool().unwrap() && padding::unpad(&padded).is_err()),
        }
    }
    for case in file.section("reporting") {
        known_keys(
            &case,
            &[
                "kind",
                "message_hex",
                "message_secret",
                "message_id",
                "remote_jid",
                "own_sender",
                "should_include",
                "token_own_chat",
                "token_chat_chat",
            ],
        );
        let message = bytes(&case, "message_hex");
        let chat = text(&case, "remote_jid");
        reporting_case(&case, &message, text(&case, "own_sender"), chat, "token_own_chat");
        reporting_case(&case, &message, chat, chat, "token_chat_chat");
    }
    for case in file.section("msg_secret") {
        known_keys(
            &case,
            &[
                "use_case",
                "message_secret",
                "target_message_id",
                "target_sender",
                "modification_sender",
                "hkdf_info_hex",
                "key",
                "aad_hex",
                "iv",
                "plaintext_hex",
                "ciphertext_hex",
            ],
        );
        let context = Context {
            message_id: text(&case, "target_message_id"),
            original_sender: text(&case, "target_sender"),
            modification_sender: text(&case, "modification_sender"),
        };
        let usage = usage(text(&case, "use_case"));
        let values = [
            bytes(&case, "hkdf_info_hex"),
            bytes(&case, "key"),
            bytes(&case, "aad_hex"),
            bytes(&case, "plaintext_hex"),
            bytes(&case, "ciphertext_hex"),
        ];
        sealed(&secret(&case), usage, &context, array(&case, "iv"), &values);
    }
    for case in file.section("poll_option_hash") {
        known_keys(&case, &["option", "sha256"]);
        assert_eq!(addon::poll_option_hash(text(&case, "option")).to_vec(), bytes(&case, "sha256"));
    }
    for case in file.section("bot_secret") {
        known_keys(&case, &["message_secret", "bot_message_secret"]);
        assert_eq!(bot::base_key(&secret(&case)).to_vec(), bytes(&case, "bot_message_secret"));
    }
    // The rest of the file is about stanzas.
    for section in [
        "messages",
        "message_ids",
        "message_id_platform",
        "acks",
        "addressing",
        "usync_requests",
        "usync_device_response",
        "retry_receipts",
        "stanzas",
        "receipts",
        "group_info",
        "tctoken",
        "phash",
        "cstoken",
    ] {
        file.elsewhere(section);
    }
    file.finish();
}

fn secret(case: &Value) -> MessageSecret {
    MessageSecret::from_slice(&bytes(case, "message_secret")).unwrap()
}

fn usage(name: &str) -> Use {
    Use::ALL.into_iter().find(|usage| usage.as_str() == name).unwrap_or_else(|| panic!("unknown use {name}"))
}

/// Checks info, key, aad, plaintext and payload (in this order) of one add-on both ways.
fn sealed(secret: &MessageSecret, usage: Use, context: &Context<'_>, iv: [u8; 12], values: &[Vec<u8>; 5]) {
    let [info, key, aad, plaintext, payload] = values;
    assert_eq!(&context.info(usage), info);
    assert_eq!(&context.key(secret, usage).to_vec(), key);
    assert_eq!(&context.aad(usage), aad);
    let made = addon::seal_with(secret, usage, context, plaintext, iv).unwrap();
    assert_eq!(&made.payload, payload);
    assert_eq!(&addon::open(secret, usage, context, &iv, payload).unwrap(), plaintext);
    let mut damaged = payload.clone();
    damaged[0] ^= 1;
    assert!(addon::open(secret, usage, context, &iv, &damaged).is_err());
}

fn addon_case(case: &Value) {
    known_keys(
        case,
        &[
            "type",
            "message_secret",
            "original_message_id",
            "original_sender",
            "modification_sender",
            "info",
            "key",
            "aad",
            "enc_iv",
            "enc_payload",
            "plaintext",
            "option_names",
        ],
    );
    let context = Context {
        message_id: text(case, "original_message_id"),
        original_sender: text(case, "original_sender"),
        modification_sender: text(case, "modification_sender"),
    };
    let plaintext = bytes(case, "plaintext");
    let values = [
        bytes(case, "info"),
        bytes(case, "key"),
        bytes(case, "aad"),
        plaintext.clone(),
        bytes(case, "enc_payload"),
    ];
    sealed(&secret(case), usage(text(case, "type")), &context, array(case, "enc_iv"), &values);
    if let Some(names) = case.get("option_names").and_then(Value::as_array) {
        // PollVoteMessage { 1 repeated: 32 bytes }.
        let hashes: Vec<&[u8]> = plaintext.chunks(34).map(|chunk| &chunk[2..]).collect();
        let expected: Vec<_> =
            names.iter().map(|name| addon::poll_option_hash(name.as_str().unwrap())).collect();
        assert_eq!(hashes, expected);
    }
}

fn bot_case(case: &Value) {
    known_keys(
        case,
        &[
            "message_secret",
            "message_id",
            "target_sender",
            "bot_jid",
            "base_key",
            "info",
            "key",
            "aad",
            "msmsg_content",
            "plaintext",
        ],
    );
    let reply = bot::Reply {
        reply_id: text(case, "message_id"),
        target_sender: text(case, "target_sender"),
        bot: text(case, "bot_jid"),
    };
    let secret = secret(case);
    assert_eq!(bot::base_key(&secret).to_vec(), bytes(case, "base_key"));
    assert_eq!(reply.info(), bytes(case, "info"));
    assert_eq!(reply.key(&secret).to_vec(), bytes(case, "key"));
    assert_eq!(reply.aad(), bytes(case, "aad"));
    let content = bytes(case, "msmsg_content");
    assert_eq!(bot::open(&secret, &reply, &content).unwrap(), bytes(case, "plaintext"));
    let other = bot::Reply { reply_id: "other", ..reply };
    assert!(bot::open(&secret, &other, &content).is_err());
}

/// `should_include` false, or no token: none is made.
fn reporting_case(case: &Value, message: &[u8], sender: &str, chat: &str, key: &str) {
    let expected = opt_bytes(case, key).filter(|_| case["should_include"].as_bool().unwrap());
    let token = reporting::token(&secret(case), text(case, "message_id"), sender, chat, message);
    assert_eq!(token.map(|token| token.to_vec()), expected, "{case}");
}
