//! The vectors of the transport (protocol 01): handshakes step by step and as whole messages, certificate chains,
//! framing, client payloads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, array, bytes, known_keys, name, number, opt_bytes, text};
use palomar::client::payload::{self, ClientVersion, Login, Registration};
use palomar::client::profile::{Browser, DeviceProfile, Os};
use palomar::crypto::{KeyPair, PublicKey, aes_gcm_seal, hkdf_sha256, md5, xeddsa};
use palomar::noise::{
    Accepted, Answer, CertChain, CipherState, Initiator, PRODUCTION_ROOT, Pattern, Responder, ServerAnswer,
    SymmetricState, Transport, Trust,
};
use palomar::proto::{ClientPayload, DeviceProps};
use prost::Message;
use serde_json::Value;

fn open() -> File {
    let mut file = File::open("noise");
    file.elsewhere("title");
    file
}

fn leave(mut file: File, sections: &[&str]) {
    sections.iter().for_each(|section| file.elsewhere(section));
    file.finish();
}

fn pair(case: &Value, key: &str) -> KeyPair {
    let pair = KeyPair::from_private(array(case, &format!("{key}_private")));
    if let Some(public) = opt_bytes(case, &format!("{key}_public")) {
        assert_eq!(pair.public().as_bytes()[..], public, "{key}");
    }
    pair
}

fn public(case: &Value, key: &str) -> PublicKey {
    PublicKey(array(case, key))
}

fn trust(case: &Value) -> Trust {
    Trust { root: public(case, "root_public"), now: seconds(case, "verify_at_unix") }
}

fn seconds(case: &Value, key: &str) -> i64 {
    i64::try_from(number(case, key)).unwrap()
}

#[test]
fn vectors_xx_both_roles_reproduce_every_message_and_the_split() {
    let mut file = open();
    for case in file.section("xx") {
        known_keys(
            &case,
            &[
                "name",
                "prologue",
                "edge_routing_info",
                "connection_intro",
                "client_ephemeral_private",
                "client_ephemeral_public",
                "client_static_private",
                "client_static_public",
                "server_ephemeral_private",
                "server_ephemeral_public",
                "server_static_private",
                "server_static_public",
                "root_private",
                "root_public",
                "intermediate_private",
                "intermediate_public",
                "verify_at_unix",
                "cert_chain",
                "client_payload",
                "client_payload_kind",
                "steps",
                "messages",
                "split",
                "transport",
            ],
        );
        let messages = Messages::of(
            &case,
            &[
                "client_hello",
                "server_hello",
                "client_finish",
                "client_hello_wire",
                "server_hello_wire",
                "client_finish_wire",
            ],
        );
        let (root, intermediate) = (pair(&case, "root"), pair(&case, "intermediate"));
        assert_eq!(array::<4>(&case, "prologue"), palomar::noise::PROLOGUE);
        let (client_static, server_static) = (pair(&case, "client_static"), pair(&case, "server_static"));

        let (client, hello) = Initiator::xx(&client_static, pair(&case, "client_ephemeral")).unwrap();
        assert_eq!(hello, messages.get("client_hello"));
        let responder = Responder::new(&server_static, pair(&case, "server_ephemeral"));
        let answer = responder.read_client_hello(&hello, &bytes(&case, "cert_chain")).unwrap();
        let Answer::Wait { server_hello, next } = answer else { panic!("not XX") };
        assert_eq!(server_hello, messages.get("server_hello"));
        let answer = client.read_server_hello(&server_hello, &trust(&case)).unwrap();
        let ServerAnswer::Verified(verified) = answer else { panic!("not XX") };
        assert_eq!(verified.pattern(), Pattern::Xx);
        let established = verified.finish(&bytes(&case, "client_payload")).unwrap();
        assert_eq!(established.client_finish, messages.get("client_finish"));
        assert_eq!(established.chain.leaf.key, *server_static.public());
        assert_eq!(established.chain.intermediate.key, *intermediate.public());
        assert_eq!(*root.public(), public(&case, "root_public"));
        let accepted = next.read_client_finish(&established.client_finish).unwrap();
        check_accepted(&case, &accepted, Pattern::Xx);

        check_wire(&case, &messages);
        check_split(&case, established.transport, accepted.transport);
        check_transport(&case);
        check_steps(&case);
    }
    leave(
        file,
        &["ik", "xxfallback", "cert_chain_cases", "framing", "client_payloads", "production_cert_chain"],
    );
}

#[test]
fn vectors_ik_both_roles_reproduce_every_message_and_the_split() {
    let mut file = open();
    for case in file.section("ik") {
        known_keys(
            &case,
            &[
                "name",
                "prologue",
                "client_ephemeral_private",
                "client_static_private",
                "server_ephemeral_private",
                "server_static_private",
                "server_static_public",
                "root_public",
                "verify_at_unix",
                "cert_chain",
                "client_payload",
                "steps",
                "messages",
                "raw_noise_messages",
                "split",
            ],
        );
        let messages = Messages::of(&case, &["client_hello", "server_hello"]);
        let server_static = pair(&case, "server_static");
        let payload = bytes(&case, "client_payload");
        let (client, hello) = Initiator::ik(
            &pair(&case, "client_static"),
            pair(&case, "client_ephemeral"),
            server_static.public(),
            &payload,
        )
        .unwrap();
        assert_eq!(hello, messages.get("client_hello"));
        let responder = Responder::new(&server_static, pair(&case, "server_ephemeral"));
        let answer = responder.read_client_hello(&hello, &bytes(&case, "cert_chain")).unwrap();
        let Answer::Done { server_hello, client: accepted } = answer else { panic!("not IK") };
        assert_eq!(server_hello, messages.get("server_hello"));
        check_accepted(&case, &accepted, Pattern::Ik);
        let answer = client.read_server_hello(&server_hello, &trust(&case)).unwrap();
        let ServerAnswer::Accepted(transport) = answer else { panic!("not IK") };

        known_keys(&case["raw_noise_messages"], &["m1", "m2"]);
        assert_eq!(raw_noise(&hello), bytes(&case["raw_noise_messages"], "m1"));
        assert_eq!(raw_noise(&server_hello), bytes(&case["raw_noise_messages"], "m2"));
        let chain = bytes(&case, "cert_chain");
        let verified =
            CertChain::verify(&chain, &trust(&case).root, server_static.public(), trust(&case).now);
        verified.unwrap();
        check_split(&case, transport, accepted.transport);
        check_steps(&case);
    }
    leave(
        file,
        &["xx", "xxfallback", "cert_chain_cases", "framing", "client_payloads", "production_cert_chain"],
    );
}

#[test]
fn vectors_xxfallback_both_roles_reproduce_every_message_and_the_split() {
    let mut file = open();
    for case in file.section("xxfallback") {
        known_keys(
            &case,
            &[
                "name",
                "prologue",
                "client_ephemeral_private",
                "client_static_private",
                "server_ephemeral_private",
                "new_server_static_private",
                "new_server_static_public",
                "cached_server_static_public",
                "root_public",
                "verify_at_unix",
                "cert_chain",
                "client_payload",
                "steps",
                "messages",
                "split",
            ],
        );
        let messages = Messages::of(&case, &["ik_client_hello", "server_hello", "client_finish"]);
        let payload = bytes(&case, "client_payload");
        let (client, hello) = Initiator::ik(
            &pair(&case, "client_static"),
            pair(&case, "client_ephemeral"),
            &public(&case, "cached_server_static_public"),
            &payload,
        )
        .unwrap();
        assert_eq!(hello, messages.get("ik_client_hello"));
        let responder = Responder::new(&pair(&case, "new_server_static"), pair(&case, "server_ephemeral"));
        let answer = responder.read_client_hello(&hello, &bytes(&case, "cert_chain")).unwrap();
        let Answer::Wait { server_hello, next } = answer else { panic!("no fallback") };
        assert_eq!(server_hello, messages.get("server_hello"));
        let answer = client.read_server_hello(&server_hello, &trust(&case)).unwrap();
        let ServerAnswer::Verified(verified) = answer else { panic!("no fallback") };
        assert_eq!(verified.pattern(), Pattern::XxFallback);
        let established = verified.finish(&payload).unwrap();
        assert_eq!(established.client_finish, messages.get("client_finish"));
        let accepted = next.read_client_finish(&established.client_finish).unwrap();
        check_accepted(&case, &accepted, Pattern::XxFallback);
        check_split(&case, established.transport, accepted.transport);
        check_steps(&case);
    }
    leave(file, &["xx", "ik", "cert_chain_cases", "framing", "client_payloads", "production_cert_chain"]);
}

#[test]
fn vectors_cert_chain_cases_give_their_verdicts() {
    let mut file = open();
    for case in file.section("cert_chain_cases") {
        known_keys(&case, &["name", "root_public", "server_static_public", "now", "cert_chain", "expect"]);
        let verdict = CertChain::verify(
            &bytes(&case, "cert_chain"),
            &public(&case, "root_public"),
            &public(&case, "server_static_public"),
            seconds(&case, "now"),
        );
        assert_eq!(verdict.is_ok(), expects_ok(text(&case, "expect")), "{}: {verdict:?}", name(&case));
    }
    for case in file.section("production_cert_chain") {
        known_keys(
            &case,
            &["root_public", "server_static_public", "cert_chain", "leaf", "intermediate", "checks"],
        );
        assert_eq!(public(&case, "root_public"), PRODUCTION_ROOT);
        let (chain, key) = (bytes(&case, "cert_chain"), public(&case, "server_static_public"));
        for check in case["checks"].as_array().unwrap() {
            known_keys(check, &["now", "expect"]);
            let verdict = CertChain::verify(&chain, &PRODUCTION_ROOT, &key, seconds(check, "now"));
            assert_eq!(verdict.is_ok(), expects_ok(text(check, "expect")), "{check}: {verdict:?}");
            let Ok(chain) = verdict else { continue };
            for (certificate, link) in [(chain.leaf, "leaf"), (chain.intermediate, "intermediate")] {
                let link = &case[link];
                known_keys(link, &["serial", "issuer_serial", "not_before", "not_after", "key"]);
                assert_eq!(u64::from(certificate.serial), number(link, "serial"));
                assert_eq!(u64::from(certificate.issuer_serial), number(link, "issuer_serial"));
                assert_eq!(certificate.not_before, number(link, "not_before"));
                assert_eq!(certificate.not_after, number(link, "not_after"));
                if let Some(key) = opt_bytes(link, "key") {
                    assert_eq!(certificate.key.as_bytes()[..], key);
                }
            }
        }
    }
    leave(file, &["xx", "ik", "xxfallback", "framing", "client_payloads"]);
}

#[test]
fn vectors_client_payloads_hold_the_named_fields_round_trip_and_equal_ours_field_by_field() {
    let mut file = open();
    for case in file.section("client_payloads") {
        known_keys(
            &case,
            &[
                "name",
                "kind",
                "config",
                "client_payload",
                "registration_id",
                "identity_private",
                "identity_public",
                "signed_prekey_id",
                "signed_prekey_public",
                "signed_prekey_signature",
                "build_hash",
                "e_regid",
                "e_keytype",
                "e_skey_id",
                "device_props",
                "jid",
            ],
        );
        let config = &case["config"];
        known_keys(config, &["version", "os", "browser", "country", "full_history"]);
        let written = bytes(&case, "client_payload");
        let payload = ClientPayload::decode(&written[..]).unwrap();
        assert_eq!(payload.encode_to_vec(), written, "{}", name(&case));
        let agent = payload.user_agent.as_ref().unwrap();
        assert_eq!(agent.locale_country_iso31661_alpha2(), text(config, "country"));
        assert_eq!(agent.phone_id, None);
        let version = agent.app_version.as_ref().unwrap();
        let triple = [version.primary(), version.secondary(), version.tertiary()];
        let expected: Vec<u32> = serde_json::from_value(config["version"].clone()).unwrap();
        assert_eq!(triple[..], expected);
        match text(&case, "kind") {
            "register" => check_register(&case, &payload, triple),
            "login" => check_login(&case, &payload),
            other => panic!("unknown kind {other}"),
        }
        check_ours(&case, payload, ClientVersion(triple));
    }
    leave(file, &["xx", "ik", "xxfallback", "cert_chain_cases", "framing", "production_cert_chain"]);
}

/// Ours for the same values, field by field. Different by decision: the device properties beyond system, platform and
/// full sync (01 §11, 07 §2), `lc` (written always) and `lidDbMigrated` (01 §10 no. 24, 41), and the empty `manufacturer`
/// of 01 §10, which the peer that made these payloads leaves out.
fn check_ours(case: &Value, mut theirs: ClientPayload, version: ClientVersion) {
    let Some(profile) = profile(&case["config"]) else {
        println!("{}: not a browser, none of ours", name(case));
        return;
    };
    let ours = if theirs.device_pairing_data.is_some() {
        payload::register(
            version,
            &profile,
            &Registration {
                registration_id: u32::try_from(number(case, "registration_id")).unwrap(),
                identity: &public(case, "identity_public"),
                signed_prekey: (
                    u32::try_from(number(case, "signed_prekey_id")).unwrap(),
                    &public(case, "signed_prekey_public"),
                    &array(case, "signed_prekey_signature"),
                ),
            },
        )
    } else {
        let (username, device) = (theirs.username.unwrap(), theirs.device.unwrap());
        let told = Login { username, device, passive: theirs.passive.unwrap(), counter: 0 };
        payload::login(version, &profile, &told)
    };
    let mut ours = ClientPayload::decode(&ours[..]).unwrap();
    let manufacturer = ours.user_agent.as_mut().unwrap().manufacturer.take();
    assert_eq!(manufacturer.as_deref(), Some(""));
    if let (Some(ours), Some(theirs)) = (&mut ours.device_pairing_data, &theirs.device_pairing_data) {
        let props = |data: &[u8]| DeviceProps::decode(data).unwrap();
        let (own, other) = (props(ours.device_props()), props(theirs.device_props()));
        assert_eq!((own.os(), own.platform_type()), (other.os(), other.platform_type()));
        assert_eq!(own.require_full_sync, other.require_full_sync);
        ours.device_props.clone_from(&theirs.device_props);
    } else {
        assert_eq!((ours.lc, ours.lid_db_migrated), (Some(0), Some(true)));
        (ours.lc, ours.lid_db_migrated) = (None, None);
        (theirs.lc, theirs.lid_db_migrated) = (None, None);
    }
    assert_eq!(hex::encode(ours.encode_to_vec()), hex::encode(theirs.encode_to_vec()), "{}", name(case));
}

/// The device profile of a configuration, if it is one of ours.
fn profile(config: &Value) -> Option<DeviceProfile> {
    let browser = match text(config, "browser") {
        "Chrome" => Browser::Chrome,
        "Firefox" => Browser::Firefox,
        "Edge" => Browser::Edge,
        "Opera" => Browser::Opera,
        "Safari" => Browser::Safari,
        _ => return None,
    };
    let os = match text(config, "os") {
        "Windows" => Os::Windows,
        "Mac OS" => Os::MacOs,
        "Ubuntu" => Os::Ubuntu,
        "Linux" => Os::Linux,
        _ => return None,
    };
    Some(DeviceProfile {
        browser,
        os,
        language: "en".to_owned(),
        country: text(config, "country").to_owned(),
    })
}

fn check_register(case: &Value, payload: &ClientPayload, version: [u32; 3]) {
    assert_eq!((payload.username, payload.device), (None, None));
    let data = payload.device_pairing_data.as_ref().unwrap();
    let registration_id = u32::try_from(number(case, "registration_id")).unwrap();
    assert_eq!(data.e_regid(), registration_id.to_be_bytes());
    assert_eq!(data.e_regid(), bytes(case, "e_regid"));
    assert_eq!(data.e_keytype(), bytes(case, "e_keytype"));
    let identity = pair(case, "identity");
    assert_eq!(data.e_ident(), identity.public().as_bytes());
    let key_id = u32::try_from(number(case, "signed_prekey_id")).unwrap();
    assert_eq!(data.e_skey_id(), &key_id.to_be_bytes()[1..]);
    assert_eq!(data.e_skey_id(), bytes(case, "e_skey_id"));
    let prekey = public(case, "signed_prekey_public");
    assert_eq!(data.e_skey_val(), prekey.as_bytes());
    assert_eq!(data.e_skey_sig(), bytes(case, "signed_prekey_signature"));
    assert!(xeddsa::verify(identity.public(), &[&prekey.serialize()], data.e_skey_sig()));
    let [primary, secondary, tertiary] = version;
    assert_eq!(data.build_hash(), md5(format!("{primary}.{secondary}.{tertiary}").as_bytes()));
    assert_eq!(data.build_hash(), bytes(case, "build_hash"));
    assert_eq!(data.device_props(), bytes(case, "device_props"));
    let props = DeviceProps::decode(data.device_props()).unwrap();
    assert_eq!(props.os(), text(&case["config"], "os"));
    assert_eq!(format!("{:?}", props.platform_type()).to_uppercase(), browser(case));
    assert_eq!(props.require_full_sync(), case["config"]["full_history"].as_bool().unwrap());
}

fn browser(case: &Value) -> String {
    text(&case["config"], "browser").to_uppercase()
}

fn check_login(case: &Value, payload: &ClientPayload) {
    assert!(payload.device_pairing_data.is_none(), "devicePairingData must be absent at login");
    let jid = text(case, "jid");
    let (user, device) = jid.strip_suffix("@s.whatsapp.net").unwrap().split_once(':').unwrap();
    assert_eq!(payload.username, Some(user.parse().unwrap()));
    assert_eq!(payload.device, Some(device.parse().unwrap()));
    assert_eq!(payload.pull, Some(true));
}

/// The messages of a case by name.
struct Messages<'a>(&'a Value);

impl<'a> Messages<'a> {
    fn of(case: &'a Value, known: &[&str]) -> Self {
        known_keys(&case["messages"], known);
        Self(&case["messages"])
    }

    fn get(&self, key: &str) -> Vec<u8> {
        bytes(self.0, key)
    }
}

fn expects_ok(expect: &str) -> bool {
    match expect {
        ok if ok.starts_with("ok") => true,
        reject if reject.starts_with("reject") => false,
        other => panic!("unknown verdict {other}"),
    }
}

fn check_accepted(case: &Value, accepted: &Accepted, pattern: Pattern) {
    assert_eq!(accepted.client_static, *pair(case, "client_static").public());
    assert_eq!(accepted.payload, bytes(case, "client_payload"));
    assert_eq!(accepted.pattern, pattern);
}

#[test]
fn vectors_framing_gives_the_same_frames_under_every_chunking() {
    let mut file = open();
    for case in file.section("framing") {
        known_keys(&case, &["name", "stream", "chunk_sizes", "frames"]);
        let stream = bytes(&case, "stream");
        let frames = case["frames"].as_array().unwrap();
        let frames: Vec<_> =
            frames.iter().map(|frame| hex::decode(frame.as_str().unwrap()).unwrap()).collect();
        for size in case["chunk_sizes"].as_array().unwrap() {
            let size = usize::try_from(size.as_u64().unwrap()).unwrap();
            let mut decoder = palomar::wire::FrameDecoder::new();
            let mut read = Vec::new();
            for chunk in stream.chunks(size) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next().unwrap() {
                    read.push(frame);
                }
            }
            assert_eq!(read, frames, "in pieces of {size}");
            assert_eq!(decoder.pending(), 0);
        }
    }
    leave(file, &["xx", "ik", "xxfallback", "cert_chain_cases", "client_payloads", "production_cert_chain"]);
}

/// The bytes on the socket: the intro before the first frame, a length before every one.
fn check_wire(case: &Value, messages: &Messages<'_>) {
    let intro = palomar::wire::intro(opt_bytes(case, "edge_routing_info").as_deref());
    assert_eq!(intro, bytes(case, "connection_intro"));
    for (message, mut wire) in [("client_hello", intro), ("server_hello", vec![]), ("client_finish", vec![])]
    {
        let body = messages.get(message);
        wire.extend_from_slice(&palomar::wire::frame_header(body.len()).unwrap());
        wire.extend_from_slice(&body);
        assert_eq!(wire, messages.get(&format!("{message}_wire")), "{message}");
    }
}

/// The ciphers of both sides are those of the keys in the vector: they seal alike.
fn check_split(case: &Value, client: Transport, server: Transport) {
    let split = &case["split"];
    known_keys(split, &["okm", "client_to_server_key", "server_to_client_key"]);
    let (up, down): ([u8; 32], [u8; 32]) =
        (array(split, "client_to_server_key"), array(split, "server_to_client_key"));
    assert_eq!(bytes(split, "okm"), [up, down].concat());
    let seal = |mut cipher: CipherState| {
        let mut out = Vec::new();
        cipher.seal_into(b"probe", &mut out).unwrap();
        out
    };
    let probe = |key: &[u8; 32]| seal(CipherState::new(key));
    assert_eq!(seal(client.seal), probe(&up));
    assert_eq!(seal(server.open), probe(&up));
    assert_eq!(seal(server.seal), probe(&down));
    assert_eq!(seal(client.open), probe(&down));
}

fn check_transport(case: &Value) {
    let key = |name| CipherState::new(&array(&case["split"], name));
    let (mut up, mut down) = (key("client_to_server_key"), key("server_to_client_key"));
    let (mut up_open, mut down_open) = (key("client_to_server_key"), key("server_to_client_key"));
    for frame in case["transport"].as_array().unwrap() {
        known_keys(frame, &["dir", "counter", "iv", "plaintext", "frame"]);
        let (seal, open) = match text(frame, "dir") {
            "client->server" => (&mut up, &mut up_open),
            "server->client" => (&mut down, &mut down_open),
            other => panic!("unknown direction {other}"),
        };
        let counter = seal.nonce();
        assert_eq!(u64::from(counter), number(frame, "counter"));
        assert_eq!(bytes(frame, "iv"), [&[0; 8][..], &counter.to_be_bytes()].concat());
        let mut out = b"before".to_vec();
        seal.seal_into(&bytes(frame, "plaintext"), &mut out).unwrap();
        assert_eq!(out[6..], bytes(frame, "frame"));
        assert_eq!(*open.open(&mut out[9..]).unwrap(), bytes(frame, "plaintext")[..]);
    }
}

/// Replays every step on both roles' operations. The state is seen through what it makes: `h` itself, `k` and `n`
/// in the ciphertext of a probe, `ck` in the keys of a split.
fn check_steps(case: &Value) {
    let steps = case["steps"].as_array().unwrap();
    for upto in 0..steps.len() {
        let step = &steps[upto];
        for role in [Side::Encrypts, Side::Decrypts] {
            let mut state = replay(&steps[..=upto], role);
            let (h, ck) = (array::<32>(step, "h"), array::<32>(step, "ck"));
            assert_eq!(*state.handshake_hash(), h, "h after step {upto} of {}", name(case));
            let probe = state.encrypt_and_hash(b"probe").unwrap();
            match opt_bytes(step, "k") {
                None => assert_eq!(probe, b"probe"),
                Some(k) => {
                    let n = u32::try_from(number(step, "n")).unwrap();
                    let mut iv = [0; 12];
                    iv[8..].copy_from_slice(&n.to_be_bytes());
                    let k = k.try_into().unwrap();
                    assert_eq!(probe, aes_gcm_seal(&k, &iv, &h, b"probe").unwrap(), "k, n after step {upto}");
                }
            }
            let okm = hkdf_sha256::<64>(&[], &ck, &[]);
            let mut expected = CipherState::new(&okm[..32].try_into().unwrap());
            let (mut a, mut b) = (Vec::new(), Vec::new());
            state.split().0.seal_into(b"probe", &mut a).unwrap();
            expected.seal_into(b"probe", &mut b).unwrap();
            assert_eq!(a, b, "ck after step {upto} of {}", name(case));
        }
    }
    let last = hkdf_sha256::<64>(&[], &array::<32>(steps.last().unwrap(), "ck"), &[]);
    assert_eq!(last[..], bytes(&case["split"], "okm"));
}

#[derive(Clone, Copy)]
enum Side {
    Encrypts,
    Decrypts,
}

fn replay(steps: &[Value], side: Side) -> SymmetricState {
    let (first, rest) = steps.split_first().unwrap();
    known_keys(first, &["op", "h", "ck", "k", "n", "label", "name", "protocol_name"]);
    assert_eq!(text(first, "op"), "init");
    let h = array::<32>(first, "h");
    let name = ["XX", "IK", "XXfallback"]
        .map(|pattern| format!("Noise_{pattern}_25519_AESGCM_SHA256"))
        .into_iter()
        .find(|name| *SymmetricState::new(name).handshake_hash() == h)
        .expect("the h of one of the three names");
    let mut state = SymmetricState::new(&name);
    for step in rest {
        known_keys(
            step,
            &[
                "op",
                "label",
                "h",
                "ck",
                "k",
                "n",
                "data",
                "salt",
                "ikm",
                "okm",
                "plaintext",
                "iv",
                "ad",
                "ciphertext",
            ],
        );
        match text(step, "op") {
            "mix_hash" => state.mix_hash(&bytes(step, "data")),
            "mix_key" => {
                let okm = hkdf_sha256::<64>(&bytes(step, "ikm"), &bytes(step, "salt"), &[]);
                assert_eq!(okm[..], bytes(step, "okm"));
                state.mix_key(&bytes(step, "ikm"));
            }
            "encrypt" => {
                assert_eq!(state.handshake_hash()[..], bytes(step, "ad"));
                let (plaintext, ciphertext) = (bytes(step, "plaintext"), bytes(step, "ciphertext"));
                match side {
                    Side::Encrypts => assert_eq!(state.encrypt_and_hash(&plaintext).unwrap(), ciphertext),
                    Side::Decrypts => assert_eq!(state.decrypt_and_hash(&ciphertext).unwrap(), plaintext),
                }
            }
            other => panic!("unknown op {other}"),
        }
    }
    state
}

/// The fields of a handshake message one after another: what a stock Noise library emits.
fn raw_noise(message: &[u8]) -> Vec<u8> {
    let message = palomar::proto::noise::HandshakeMessage::decode(message).unwrap();
    match (message.client_hello, message.server_hello) {
        (Some(hello), None) => [hello.ephemeral, hello.r#static, hello.payload],
        (None, Some(hello)) => [hello.ephemeral, hello.r#static, hello.payload],
        _ => panic!("not a hello"),
    }
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .concat()
}
