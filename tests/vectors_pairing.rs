//! `pairing-qr.json` and `pairing-code.json` (protocol 02).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, array, bytes, known_keys, name, number, text};
use palomar::crypto::{KeyPair, PublicKey, hkdf_sha256, pbkdf2_sha256, xeddsa};
use palomar::proto::{AdvSignedDeviceIdentity, AdvSignedKeyIndexList};
use palomar::signal::adv::{AdvError, AdvSecret, companion, key_index, verify};
use palomar::signal::link_code::{self, Code, FinishRandom};
use palomar::signal::passkey;
use palomar::signal::qr::{ClientType, Qr};
use prost::Message;
use serde_json::Value;

#[test]
fn vectors_pairing_qr() {
    let mut file = File::open("pairing-qr");
    file.section("pair_success").iter().for_each(pair_success);
    file.section("qr_strings").iter().for_each(qr_string);
    file.section("key_index_lists").iter().for_each(key_index_list);
    file.finish();
}

#[test]
fn vectors_pairing_code() {
    let mut file = File::open("pairing-code");
    for case in file.section("alphabet") {
        known_keys(&case, &["bytes", "code"]);
        let code = Code::from_bytes(array(&case, "bytes"));
        assert_eq!(code.as_str(), text(&case, "code"));
        assert_eq!(Code::parse(text(&case, "code")).unwrap().to_bytes(), array(&case, "bytes"));
    }
    file.section("link_code").iter().for_each(link_code_case);
    file.section("passkey").iter().for_each(passkey_case);
    file.finish();
}

fn public(case: &Value, key: &str) -> PublicKey {
    PublicKey(array(case, key))
}

fn pair(case: &Value, what: &str) -> KeyPair {
    let pair = KeyPair::from_private(array(case, &format!("{what}_private")));
    assert_eq!(*pair.public(), public(case, &format!("{what}_public")));
    pair
}

fn pair_success(case: &Value) {
    known_keys(
        case,
        &[
            "name",
            "adv_secret",
            "companion_identity_private",
            "companion_identity_public",
            "account_private",
            "account_public",
            "device_identity_details",
            "account_signature_prefix",
            "account_signature",
            "signed_device_identity",
            "hmac",
            "device_identity_container",
            "jid",
            "lid",
            "expect",
        ],
    );
    let identity = pair(case, "companion_identity");
    let secret = AdvSecret::new(array(case, "adv_secret"));
    let container = bytes(case, "device_identity_container");
    let expect = &case["expect"];
    let verified = companion::verify(&container, &secret, identity.public(), None);
    match text(expect, "result") {
        "ok" => linked(case, &identity, &verified.unwrap()),
        "error" => refused(expect, verified.unwrap_err(), &name(case)),
        other => panic!("unknown result {other}"),
    }
}

fn refused(expect: &Value, error: AdvError, name: &str) {
    known_keys(expect, &["result", "reply_code", "reply_text", "also_acceptable"]);
    let matches = |allowed: &Value| {
        number(allowed, "reply_code") == u64::from(error.code())
            && text(allowed, "reply_text") == error.text()
    };
    let also = expect.get("also_acceptable").filter(|also| !also.is_null());
    assert!(matches(expect) || also.is_some_and(matches), "{name}: {error}");
}

fn linked(case: &Value, identity: &KeyPair, verified: &companion::Verified) {
    let expect = &case["expect"];
    known_keys(
        expect,
        &[
            "result",
            "key_index",
            "device_signature_message",
            "device_signature_sample",
            "reply_device_identity_sample",
            "stored_account_sample",
        ],
    );
    assert_eq!(u64::from(verified.details.key_index), number(expect, "key_index"));
    assert_eq!(verified.account_key, public(case, "account_public"));
    let signed = bytes(expect, "device_signature_message");
    assert_eq!(verified.device_signature_message(identity.public()), signed);
    assert!(xeddsa::verify(identity.public(), &[&signed], &bytes(expect, "device_signature_sample")));

    let linked = verified.sign(identity, &[9; 64]);
    for (made, sample, stored) in [
        (&linked.reply, bytes(expect, "reply_device_identity_sample"), false),
        (&linked.account, bytes(expect, "stored_account_sample"), true),
    ] {
        let made = AdvSignedDeviceIdentity::decode(&**made).unwrap();
        let sample = AdvSignedDeviceIdentity::decode(&*sample).unwrap();
        assert_eq!(made.details, sample.details);
        assert_eq!(made.account_signature, sample.account_signature);
        assert_eq!(made.account_signature_key, sample.account_signature_key);
        assert_eq!(made.account_signature_key.is_some(), stored);
        for device in [made, sample] {
            let signature = device.device_signature.unwrap();
            assert!(xeddsa::verify(identity.public(), &[&signed], &signature));
        }
    }
    // What the server does with the reply, and what contacts see.
    let offer = verify::Offer::parse(&bytes(case, "device_identity_container")).unwrap();
    let accepted = offer.accept(&linked.reply, identity.public()).unwrap();
    assert_eq!(accepted.signed, linked.account);
}

fn qr_string(case: &Value) {
    known_keys(
        case,
        &["os", "browser", "ref", "noise_public", "identity_public", "adv_secret", "platform_id", "qr"],
    );
    let client_type = text(case, "platform_id").chars().next().unwrap();
    assert!(ClientType::from_char(client_type).is_some());
    let qr = Qr {
        reference: text(case, "ref").to_owned(),
        noise: public(case, "noise_public"),
        identity: public(case, "identity_public"),
        adv_secret: AdvSecret::new(array(case, "adv_secret")),
        client_type: Some(client_type),
    };
    assert_eq!(qr.text(), text(case, "qr"));
    assert_eq!(Qr::parse(text(case, "qr")).unwrap().text(), text(case, "qr"));
}

fn key_index_list(case: &Value) {
    known_keys(
        case,
        &[
            "name",
            "account_private",
            "account_public",
            "details",
            "signed_message",
            "signature_sample",
            "signed_key_index_list",
        ],
    );
    let wire = bytes(case, "signed_key_index_list");
    let parts = AdvSignedKeyIndexList::decode(&*wire).unwrap();
    assert_eq!(parts.details.unwrap(), bytes(case, "details"));
    assert_eq!(parts.account_signature.unwrap(), bytes(case, "signature_sample"));
    let signed = key_index::Signed::parse(&wire).unwrap();
    assert_eq!(signed.signed_message(), bytes(case, "signed_message"));
    let account = pair(case, "account");
    let list = signed.verify(account.public()).unwrap();
    let again = key_index::Signed::parse(&list.sign(&account, false, &[1; 64])).unwrap();
    assert_eq!(again.signed_message(), bytes(case, "signed_message"));
    assert_eq!(again.verify(account.public()).unwrap(), list);
    assert_eq!(signed.verify(&PublicKey([9; 32])).unwrap_err(), AdvError::Signature);
}

fn link_code_case(case: &Value) {
    known_keys(
        case,
        &[
            "name",
            "code_bytes",
            "code",
            "display",
            "companion",
            "primary",
            "ephemeral_shared",
            "identity_shared",
            "adv_random",
            "bundle_salt",
            "bundle_nonce",
            "bundle_key",
            "bundle_plaintext",
            "bundle_ciphertext_and_tag",
            "wrapped_key_bundle",
            "adv_secret",
        ],
    );
    let code = Code::from_bytes(array(case, "code_bytes"));
    assert_eq!((code.as_str(), &*code.display()), (text(case, "code"), text(case, "display")));
    let (companion, primary) = (&case["companion"], &case["primary"]);
    for side in [companion, primary] {
        known_keys(
            side,
            &[
                "ephemeral_private",
                "ephemeral_public",
                "identity_private",
                "identity_public",
                "noise_public",
                "salt",
                "iv",
                "code_key",
                "wrapped_ephemeral",
            ],
        );
        let wrapped = bytes(side, "wrapped_ephemeral");
        let ephemeral = pair(side, "ephemeral");
        let salt: [u8; 32] = array(side, "salt");
        assert_eq!(pbkdf2_sha256(code.as_str().as_bytes(), &salt, 131_072).to_vec(), bytes(side, "code_key"));
        assert_eq!(link_code::wrap(ephemeral.public(), &code, &salt, &array(side, "iv")).to_vec(), wrapped);
        assert_eq!(link_code::unwrap(&wrapped, &code).unwrap(), *ephemeral.public());
    }
    let (ce, ci) = (pair(companion, "ephemeral"), pair(companion, "identity"));
    let (pe, pi) = (pair(primary, "ephemeral"), pair(primary, "identity"));
    let shared = ce.agree(pe.public()).unwrap();
    assert_eq!(shared.as_bytes().to_vec(), bytes(case, "ephemeral_shared"));
    assert_eq!(ci.agree(pi.public()).unwrap().as_bytes().to_vec(), bytes(case, "identity_shared"));
    let salt = bytes(case, "bundle_salt");
    let key: [u8; 32] = hkdf_sha256(shared.as_bytes(), &salt, b"link_code_pairing_key_bundle_encryption_key");
    assert_eq!(key.to_vec(), bytes(case, "bundle_key"));
    let plain =
        [bytes(companion, "identity_public"), bytes(primary, "identity_public"), bytes(case, "adv_random")];
    assert_eq!(plain.concat(), bytes(case, "bundle_plaintext"));

    let random = FinishRandom {
        adv: array(case, "adv_random"),
        salt: array(case, "bundle_salt"),
        nonce: array(case, "bundle_nonce"),
    };
    let finish = link_code::companion_finish(
        &code,
        &ce,
        &ci,
        &bytes(primary, "wrapped_ephemeral"),
        pi.public(),
        &random,
    )
    .unwrap();
    let bundle = bytes(case, "wrapped_key_bundle");
    assert_eq!(finish.bundle.to_vec(), bundle);
    assert!(bundle.ends_with(&bytes(case, "bundle_ciphertext_and_tag")));
    assert_eq!(finish.adv_secret.as_bytes().to_vec(), bytes(case, "adv_secret"));
    let wrapped = bytes(companion, "wrapped_ephemeral");
    let opened = link_code::primary_finish(&code, &pe, &pi, &wrapped, ci.public(), &bundle).unwrap();
    assert_eq!(opened.as_bytes().to_vec(), bytes(case, "adv_secret"));
}

fn passkey_case(case: &Value) {
    known_keys(
        case,
        &[
            "name",
            "device_type",
            "ref",
            "companion_ephemeral_private",
            "companion_ephemeral_public",
            "primary_ephemeral_private",
            "primary_ephemeral_public",
            "companion_nonce",
            "primary_nonce",
            "companion_ephemeral_identity",
            "commitment",
            "prologue_payload",
            "prior_adv_secret",
            "handoff_key",
            "handoff_proof",
            "shared_secret",
            "encryption_key",
            "verification_code",
            "pairing_request",
            "iv",
            "encrypted_payload",
            "encrypted_pairing_request",
        ],
    );
    let companion = passkey::Companion {
        ephemeral: pair(case, "companion_ephemeral"),
        nonce: array(case, "companion_nonce"),
        device_type: i32::try_from(number(case, "device_type")).unwrap(),
        reference: text(case, "ref").to_owned(),
    };
    assert_eq!(companion.identity(), bytes(case, "companion_ephemeral_identity"));
    assert_eq!(companion.commitment().to_vec(), bytes(case, "commitment"));
    let prologue = companion.prologue();
    assert_eq!(prologue, bytes(case, "prologue_payload"));
    let handoff = passkey::handoff_key(&AdvSecret::new(array(case, "prior_adv_secret")));
    assert_eq!(handoff.to_vec(), bytes(case, "handoff_key"));
    assert_eq!(passkey::handoff_proof(&handoff, &prologue).to_vec(), bytes(case, "handoff_proof"));
    let primary = pair(case, "primary_ephemeral");
    let shared = companion.ephemeral.agree(primary.public()).unwrap();
    assert_eq!(shared.as_bytes().to_vec(), bytes(case, "shared_secret"));
    let code = companion.verification_code(primary.public(), &array(case, "primary_nonce"));
    assert_eq!(code.as_str(), text(case, "verification_code"));
    let key = companion.encryption_key(primary.public()).unwrap();
    assert_eq!(key.to_vec(), bytes(case, "encryption_key"));
    let request = bytes(case, "pairing_request");
    let parsed = palomar::proto::PairingRequest::decode(&*request).unwrap();
    let made = passkey::pairing_request(
        &PublicKey::from_slice(&parsed.companion_public_key.unwrap()).unwrap(),
        &PublicKey::from_slice(&parsed.companion_identity_key.unwrap()).unwrap(),
        &AdvSecret::new(parsed.adv_secret.unwrap().try_into().unwrap()),
    );
    assert_eq!(made, request);
    let sealed = passkey::seal(&key, array(case, "iv"), &request).unwrap();
    assert_eq!(sealed, bytes(case, "encrypted_pairing_request"));
    let sealed = palomar::proto::EncryptedPairingRequest::decode(&*sealed).unwrap();
    assert_eq!(sealed.encrypted_payload.unwrap(), bytes(case, "encrypted_payload"));
}
