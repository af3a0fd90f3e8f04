//! `media.json`: keys, files, ranges, refusals, channel files, tokens, media retries (protocol 08 §16 nos. 1, 3, 4, 5, 9).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, array, bytes, known_keys, name, number, opt_bytes, text};
use palomar::media::retry::{Answer, RetryError, Sealed, open_answer, open_request, request_under};
use palomar::media::{
    MediaKey, MediaKeys, MediaKind, OpenError, Range, Sums, file_length, open, open_plain, seal, upload_token,
};
use serde_json::Value;

/// The kind that a vector's type names: its mms-type.
fn kind(case: &Value) -> MediaKind {
    let wanted = text(case, "type");
    let found = MediaKind::ALL.into_iter().find(|kind| kind.mms_type() == wanted);
    found.unwrap_or_else(|| panic!("unknown type {wanted}"))
}

fn media_key(case: &Value) -> MediaKey {
    MediaKey::from_slice(&bytes(case, "media_key")).expect("32 bytes")
}

fn keys(case: &Value) -> MediaKeys {
    media_key(case).expand(kind(case)).expect("a kind that is encrypted")
}

/// A plaintext: hex, or the pattern (i·a + b) mod 256.
fn plaintext(case: &Value) -> Vec<u8> {
    let plain = &case["plaintext"];
    known_keys(plain, &["hex", "pattern", "length"]);
    opt_bytes(plain, "hex").unwrap_or_else(|| {
        let (a, b) = (plain["pattern"][0].as_u64().unwrap(), plain["pattern"][1].as_u64().unwrap());
        (0..number(plain, "length")).map(|i| u8::try_from((i * a + b) % 256).unwrap()).collect()
    })
}

fn error_name(error: OpenError) -> String {
    format!("{error:?}")
}

#[test]
fn vectors_media() {
    let mut file = File::open("media");
    file.section("media_keys").iter().for_each(derives);
    file.section("encrypt").iter().for_each(seals_and_opens);
    file.section("range_decrypt").iter().for_each(reads_a_range);
    file.section("reject").iter().for_each(refuses);
    file.section("newsletter_plaintext").iter().for_each(checks_a_channel_file);
    for case in file.section("tokens") {
        known_keys(&case, &["file_enc_sha256", "token_base64url_unpadded"]);
        assert_eq!(upload_token(&array(&case, "file_enc_sha256")), text(&case, "token_base64url_unpadded"));
    }
    file.section("media_retry").iter().for_each(retries);
    for case in file.section("media_retry_reject") {
        known_keys(&case, &["name", "media_key", "message_id", "iv", "ciphertext", "expect_error"]);
        let sealed = Sealed { enc_p: bytes(&case, "ciphertext"), enc_iv: array(&case, "iv") };
        let error = open_answer(&media_key(&case), text(&case, "message_id"), &sealed).unwrap_err();
        let named = match text(&case, "expect_error") {
            "RetryDecryptFailed" => RetryError::DecryptFailed,
            "RetryStanzaMismatch" => RetryError::StanzaMismatch,
            "RetryMalformed" => RetryError::Malformed,
            other => panic!("unknown error {other}"),
        };
        assert_eq!(error, named, "{}", name(&case));
    }
    file.finish();
}

fn derives(case: &Value) {
    known_keys(case, &["type", "info_utf8", "media_key", "iv", "cipher_key", "mac_key", "ref_key"]);
    assert_eq!(kind(case).info(), Some(text(case, "info_utf8")));
    let keys = keys(case);
    assert_eq!(keys.iv(), &array(case, "iv"));
    assert_eq!(keys.cipher_key(), &array(case, "cipher_key"));
    assert_eq!(keys.mac_key(), &array(case, "mac_key"));
    // The fourth part, which nothing uses, by the derivation itself.
    let info = text(case, "info_utf8").as_bytes();
    let okm: [u8; 112] = palomar::crypto::hkdf_sha256(media_key(case).as_bytes(), &[0; 32], info);
    assert_eq!(okm[80..], bytes(case, "ref_key"));
}

fn seals_and_opens(case: &Value) {
    const KEYS: [&str; 13] = [
        "type",
        "info_utf8",
        "plaintext",
        "media_key",
        "file_sha256",
        "file_enc_sha256",
        "mac",
        "file_length",
        "encrypted_length",
        "encrypted",
        "encrypted_first_48",
        "encrypted_last_48",
        "streaming_sidecar",
    ];
    known_keys(case, &KEYS);
    assert_eq!(kind(case).info(), Some(text(case, "info_utf8")));
    let plain = plaintext(case);
    let (file, sealed) = seal(&keys(case), &plain, true);
    assert_eq!(file.len() as u64, number(case, "encrypted_length"));
    assert_eq!(file_length(plain.len() as u64), number(case, "encrypted_length"));
    if let Some(whole) = opt_bytes(case, "encrypted") {
        assert_eq!(file, whole);
    } else {
        assert_eq!(file[..48], bytes(case, "encrypted_first_48"));
        assert_eq!(file[file.len() - 48..], bytes(case, "encrypted_last_48"));
    }
    assert_eq!(file[file.len() - 10..], bytes(case, "mac"));
    assert_eq!(sealed.file_sha256, array(case, "file_sha256"));
    assert_eq!(sealed.file_enc_sha256, array(case, "file_enc_sha256"));
    assert_eq!(sealed.length, number(case, "file_length"));
    if let Some(sidecar) = opt_bytes(case, "streaming_sidecar") {
        assert_eq!(sealed.sidecar.as_deref(), Some(&*sidecar));
    }
    let sums = Sums { file: sealed.file_enc_sha256, plain: sealed.file_sha256 };
    assert_eq!(open(&keys(case), sums, &file), Ok(plain));
}

fn reads_a_range(case: &Value) {
    known_keys(
        case,
        &["type", "media_key", "plaintext", "want_range", "fetch_ciphertext_range", "expect_plaintext"],
    );
    let pair = |key: &str| (case[key][0].as_u64().unwrap(), case[key][1].as_u64().unwrap());
    let (file, _) = seal(&keys(case), &plaintext(case), false);
    let (from, to) = pair("want_range");
    let range = Range::of(from, to, (file.len() - 10) as u64).unwrap();
    let fetch = range.fetch();
    assert_eq!((fetch.start, fetch.end), pair("fetch_ciphertext_range"));
    let fetched = &file[usize::try_from(fetch.start).unwrap()..usize::try_from(fetch.end).unwrap()];
    assert_eq!(range.open(&keys(case), fetched), Some(bytes(case, "expect_plaintext")));
}

fn refuses(case: &Value) {
    known_keys(
        case,
        &[
            "name",
            "type",
            "media_key",
            "encrypted",
            "file_enc_sha256",
            "file_sha256",
            "expect_error",
            "plaintext_must_not_be_released",
        ],
    );
    assert_eq!(case["plaintext_must_not_be_released"], true);
    let sums = Sums { file: array(case, "file_enc_sha256"), plain: array(case, "file_sha256") };
    let error = open(&keys(case), sums, &bytes(case, "encrypted")).unwrap_err();
    assert_eq!(error_name(error), text(case, "expect_error"), "{}", name(case));
}

fn checks_a_channel_file(case: &Value) {
    known_keys(case, &["name", "body", "file_sha256", "expect", "upload_token"]);
    let hash = array(case, "file_sha256");
    let answer = open_plain(&bytes(case, "body"), &hash);
    let said = answer.map_or_else(error_name, |()| "accept".to_owned());
    assert_eq!(said, text(case, "expect"), "{}", name(case));
    if let Some(token) = case.get("upload_token").and_then(Value::as_str) {
        assert_eq!(upload_token(&hash), token);
    }
}

fn retries(case: &Value) {
    const KEYS: [&str; 9] = [
        "media_key",
        "message_id",
        "chat",
        "from_me",
        "participant",
        "own_jid",
        "retry_key",
        "request",
        "notification",
    ];
    known_keys(case, &KEYS);
    let (key, id) = (media_key(case), text(case, "message_id"));
    let derived: [u8; 32] =
        palomar::crypto::hkdf_sha256(key.as_bytes(), &[0; 32], b"WhatsApp Media Retry Notification");
    assert_eq!(derived, array(case, "retry_key"));

    let request = &case["request"];
    known_keys(request, &["iv", "plaintext_proto", "enc_p", "enc_iv"]);
    let sealed = request_under(&key, id, array(request, "iv")).unwrap();
    assert_eq!(sealed.enc_p, bytes(request, "enc_p"));
    assert_eq!(sealed.enc_iv, array(request, "enc_iv"));
    assert_eq!(open_request(&key, id, &sealed), Ok(()));

    let answer = &case["notification"];
    known_keys(answer, &["iv", "ciphertext", "plaintext_proto", "expect_result", "expect_direct_path"]);
    let sealed = Sealed { enc_p: bytes(answer, "ciphertext"), enc_iv: array(answer, "iv") };
    let expected = match (text(answer, "expect_result"), answer["expect_direct_path"].as_str()) {
        ("SUCCESS", Some(path)) => Answer::Uploaded { direct_path: path.to_owned() },
        ("NOT_FOUND", None) => Answer::NotFound,
        ("DECRYPTION_ERROR", None) => Answer::NotDecrypted,
        ("GENERAL_ERROR", None) => Answer::General,
        other => panic!("unknown result {other:?}"),
    };
    assert_eq!(open_answer(&key, id, &sealed), Ok(expected));
}
