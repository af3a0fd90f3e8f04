//! Pairing as the server sees it (09 §8).

use crate::crypto::{KeyPair, random_bytes};
use crate::signal::link_code::{self, Code, FinishRandom};
use crate::sim::seam::{Corrupt, PhoneCommand};
use crate::sim::seed;
use crate::sim::world::testing::{Companion, Lab};
use crate::sim::world::{NewAccount, Outcome};
use crate::wire::{Jid, Node};

#[test]
fn a_qr_links_a_companion_that_then_logs_in_and_is_welcomed() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    let op = companion.pair(&mut lab, &number);
    let jid = companion.jid.clone().unwrap();
    assert_eq!(jid.device(), 1);
    assert_eq!(lab.world.ops.remove(&op), Some(Outcome::Paired { jid }));
    companion.login(&mut lab, true);
    assert_eq!(companion.take("success").jid("lid"), companion.lid);
    companion.upload(&mut lab, 1..=30);
    companion.drain();
    companion.iq(&mut lab, "passive", "set", Node::new("active"));
    let peer = companion.find(|node| node.str("category").as_deref() == Some("peer"));
    assert_eq!(peer.jid("from").map(|from| from.device()), Some(0));
    assert_eq!(lab.violations(), []);
}

#[test]
fn six_refs_of_two_at_and_96_characters_come_as_bytes() {
    let mut lab = Lab::new();
    let mut companion = Companion::register(&mut lab, "a");
    let iq = companion.take("iq");
    let from = iq.get("from").unwrap();
    assert_eq!(*from, Jid::service().into(), "the server is a JID pair with an empty user");
    let refs: Vec<_> = iq.find("pair-device").unwrap().nodes().collect();
    assert_eq!(refs.len(), 6);
    for node in refs {
        let bytes = node.content_bytes().unwrap();
        assert!(matches!(node.content, crate::wire::Content::Bytes(_)));
        assert!(bytes.starts_with(b"2@") && bytes.len() == 98);
    }
}

#[test]
fn refs_live_60_s_then_20_s_each_and_5_s_grace() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    let iq = companion.take("iq");
    lab.later(65_001);
    let scan = |lab: &mut Lab, qr| {
        let op = lab.world.new_op();
        lab.world.command(&number, PhoneCommand::ScanQr { op, qr, corrupt: None }).unwrap();
        lab.world.ops.remove(&op)
    };
    let first = scan(&mut lab, companion.qr(&iq, 0));
    assert!(
        matches!(first, Some(Outcome::PairFailed { ref text, .. }) if text == "ref-expired"),
        "{first:?}"
    );
    assert_eq!(scan(&mut lab, companion.qr(&iq, 1)), None, "the second is good");
    companion.sign(&mut lab);
    assert!(!companion.is_closed());

    let mut other = Companion::register(&mut lab, "b");
    lab.later(165_001);
    assert!(other.is_closed(), "all refs are used up");
}

#[test]
fn a_companion_that_refuses_is_not_stored_and_its_id_stays_burnt() {
    let mut lab = Lab::new();
    let number = lab.account();
    for (round, corrupt) in [Corrupt::Hmac, Corrupt::AccountSig].into_iter().enumerate() {
        let mut companion = Companion::register(&mut lab, &format!("{round}"));
        let iq = companion.take("iq");
        let (op, qr) = (lab.world.new_op(), companion.qr(&iq, 0));
        lab.world.command(&number, PhoneCommand::ScanQr { op, qr, corrupt: Some(corrupt) }).unwrap();
        let success = companion.take("iq");
        let error = Node::new("error").attr("code", "401").attr("text", "hmac-mismatch");
        let answer = Node::new("iq")
            .attr("to", Jid::service())
            .attr("type", "error")
            .attr("id", success.str("id").unwrap().into_owned())
            .child(error);
        companion.send(&mut lab, answer);
        let failed = lab.world.ops.remove(&op);
        assert!(matches!(failed, Some(Outcome::PairFailed { ref code, .. }) if code == "401"), "{failed:?}");
    }
    assert!(lab.world.accounts[&number].companions().next().is_none());
    assert_eq!(lab.companion(&number, 5).jid.unwrap().device(), 3);
}

#[test]
fn no_answer_in_30_s_is_408_for_the_phone() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    let iq = companion.take("iq");
    let (op, qr) = (lab.world.new_op(), companion.qr(&iq, 0));
    lab.world.command(&number, PhoneCommand::ScanQr { op, qr, corrupt: None }).unwrap();
    lab.later(30_000);
    let failed = lab.world.ops.remove(&op);
    assert!(matches!(failed, Some(Outcome::PairFailed { ref code, .. }) if code == "timeout"), "{failed:?}");
    assert!(companion.is_closed());
}

#[test]
fn strict_judge_finds_a_bad_device_signature() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    let iq = companion.take("iq");
    let (op, qr) = (lab.world.new_op(), companion.qr(&iq, 0));
    lab.world.command(&number, PhoneCommand::ScanQr { op, qr, corrupt: None }).unwrap();
    companion.identity = KeyPair::generate(&mut seed::stream(1, "other", ""));
    let success = companion.take("iq");
    let container = success.find("pair-success").unwrap().find("device-identity").unwrap();
    let outer = container.content_bytes().unwrap().into_owned();
    let identity = {
        use crate::proto::{AdvSignedDeviceIdentity, AdvSignedDeviceIdentityHmac};
        use prost::Message;
        let inner = AdvSignedDeviceIdentityHmac::decode(&*outer).unwrap().details.unwrap();
        let mut signed = AdvSignedDeviceIdentity::decode(&*inner).unwrap();
        signed.device_signature = Some(vec![1; 64]);
        signed.encode_to_vec()
    };
    let sign = Node::new("pair-device-sign").child(Node::new("device-identity").bytes(identity));
    companion.answer(&mut lab, &success, Some(sign));
    assert_eq!(lab.violations(), [("bad-device-signature".to_owned(), 1)]);
    let failed = lab.world.ops.remove(&op);
    assert!(matches!(failed, Some(Outcome::PairFailed { ref code, .. }) if code == "401"), "{failed:?}");
    assert!(companion.is_closed());
}

#[test]
fn the_fifth_companion_is_refused() {
    let mut lab = Lab::new();
    let number = lab.account();
    for _ in 0..4 {
        lab.companion(&number, 5);
    }
    let mut fifth = Companion::register(&mut lab, "fifth");
    let iq = fifth.take("iq");
    let (op, qr) = (lab.world.new_op(), fifth.qr(&iq, 0));
    lab.world.command(&number, PhoneCommand::ScanQr { op, qr, corrupt: None }).unwrap();
    let refused = lab.world.ops.remove(&op);
    assert!(
        matches!(refused, Some(Outcome::PairFailed { ref code, .. }) if code == "companion-limit"),
        "{refused:?}"
    );
    assert!(
        fifth.drain().iter().all(|node| node.find("pair-success").is_none()),
        "the companion hears nothing"
    );
}

#[test]
fn a_bad_register_payload_is_failure_400() {
    let mut lab = Lab::new();
    let mut companion = Companion::register(&mut lab, "a");
    let good = companion.register_payload();
    let change = |change: fn(&mut crate::proto::ClientPayload)| {
        let mut payload = good.clone();
        change(&mut payload);
        payload
    };
    let cases = [
        change(|p| p.username = Some(15_550_001_001)),
        change(|p| p.device_pairing_data = None),
        change(|p| p.device_pairing_data.as_mut().unwrap().e_regid = Some(vec![1, 2, 3])),
        change(|p| p.device_pairing_data.as_mut().unwrap().e_keytype = Some(vec![6])),
        change(|p| p.device_pairing_data.as_mut().unwrap().e_ident.as_mut().unwrap().push(0)),
        change(|p| p.device_pairing_data.as_mut().unwrap().e_skey_sig.as_mut().unwrap()[0] ^= 1),
        change(|p| p.device_pairing_data.as_mut().unwrap().device_props = Some(vec![0xff])),
    ];
    for payload in cases {
        companion.reconnect(&mut lab);
        companion.hello(&mut lab, &payload);
        assert_eq!(companion.take("failure").str("reason").as_deref(), Some("400"), "{payload:?}");
        lab.later(200);
        assert!(companion.is_closed());
    }
}

#[test]
fn while_registering_only_pings_and_md_are_answered() {
    let mut lab = Lab::new();
    let mut companion = Companion::register(&mut lab, "a");
    let pong = companion.iq_children(&mut lab, "w:p", "get", vec![]);
    assert_eq!(pong.str("type").as_deref(), Some("result"));
    let refused = companion.iq(&mut lab, "encrypt", "get", Node::new("count"));
    assert_eq!(refused.find("error").unwrap().str("code").as_deref(), Some("401"));
    companion.send(&mut lab, Node::new("presence"));
    companion.send(&mut lab, Node::new("ib").child(Node::new("unified_session")));
    assert!(companion.drain().is_empty());
}

struct CodeFlow {
    code: Code,
    ephemeral: KeyPair,
}

impl CodeFlow {
    fn hello(lab: &mut Lab, companion: &mut Companion, number: &str) -> (Self, Node) {
        let mut rng = seed::stream(3, "code", number);
        let flow = Self { code: Code::generate(&mut rng), ephemeral: KeyPair::generate(&mut rng) };
        let wrapped = link_code::wrap(
            flow.ephemeral.public(),
            &flow.code,
            &random_bytes(&mut rng),
            &random_bytes(&mut rng),
        );
        let hello = Node::new("link_code_companion_reg")
            .attr("jid", Jid::pn(number).unwrap())
            .attr("stage", "companion_hello")
            .attr("should_show_push_notification", "true")
            .child(Node::new("link_code_pairing_wrapped_companion_ephemeral_pub").bytes(wrapped))
            .child(Node::new("companion_server_auth_key_pub").bytes(*companion.noise.public().as_bytes()))
            .child(Node::new("companion_platform_id").text_bytes("1"))
            .child(Node::new("companion_platform_display").text_bytes("Chrome (Linux)"))
            .child(Node::new("link_code_pairing_nonce").bytes([0]));
        let answer = companion.iq(lab, "md", "set", hello);
        (flow, answer)
    }
}

#[test]
fn a_code_links_a_companion() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    companion.take("iq");
    let (flow, answer) = CodeFlow::hello(&mut lab, &mut companion, &number);
    let reference = answer.find("link_code_companion_reg").unwrap().find("link_code_pairing_ref").unwrap();
    let reference = reference.content_bytes().unwrap().into_owned();

    let (op, code) = (lab.world.new_op(), flow.code.display());
    lab.world.command(&number, PhoneCommand::EnterCode { op, code, corrupt: None }).unwrap();
    let told = companion.take("notification");
    let stage = told.find("link_code_companion_reg").unwrap();
    assert_eq!(stage.nodes().count(), 3, "exactly three children");
    let bytes = |tag| stage.find(tag).unwrap().content_bytes().unwrap().into_owned();
    assert_eq!(bytes("link_code_pairing_ref"), reference);
    let primary = crate::crypto::PublicKey::from_slice(&bytes("primary_identity_pub")).unwrap();
    let finish = link_code::companion_finish(
        &flow.code,
        &flow.ephemeral,
        &companion.identity,
        &bytes("link_code_pairing_wrapped_primary_ephemeral_pub"),
        &primary,
        &FinishRandom::generate(&mut seed::stream(4, "finish", "")),
    )
    .unwrap();
    companion.secret = finish.adv_secret;
    let stage = Node::new("link_code_companion_reg")
        .attr("jid", Jid::pn(&number).unwrap())
        .attr("stage", "companion_finish")
        .child(Node::new("link_code_pairing_wrapped_key_bundle").bytes(finish.bundle))
        .child(Node::new("companion_identity_public").bytes(*companion.identity.public().as_bytes()))
        .child(Node::new("link_code_pairing_ref").bytes(reference));
    let result = companion.iq(&mut lab, "md", "set", stage);
    assert_eq!(result.str("type").as_deref(), Some("result"));
    companion.sign(&mut lab);
    assert!(matches!(lab.world.ops.remove(&op), Some(Outcome::Paired { .. })));
    assert_eq!(lab.violations(), []);
}

#[test]
fn code_hellos_are_refused_for_unknown_numbers_bad_displays_and_the_fourth_time() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    companion.take("iq");
    let code = |answer: &Node| answer.find("error").and_then(|error| error.u64("code"));
    let (_, unknown) = CodeFlow::hello(&mut lab, &mut companion, "15559999999");
    assert_eq!(code(&unknown), Some(400));
    for _ in 0..3 {
        assert_eq!(code(&CodeFlow::hello(&mut lab, &mut companion, &number).1), None);
    }
    assert_eq!(code(&CodeFlow::hello(&mut lab, &mut companion, &number).1), Some(429));
    lab.later(3_600_000);
    let mut late = Companion::register(&mut lab, "b");
    late.take("iq");
    assert_eq!(
        code(&CodeFlow::hello(&mut lab, &mut late, &number).1),
        None,
        "an hour later it is free again"
    );
}

#[test]
fn a_hello_with_another_noise_key_is_a_violation() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    companion.take("iq");
    companion.noise = KeyPair::generate(&mut seed::stream(5, "noise", ""));
    CodeFlow::hello(&mut lab, &mut companion, &number);
    assert_eq!(lab.violations(), [("code-key-mismatch".to_owned(), 1)]);
}

#[test]
fn auto_accounts_make_the_number_of_a_hello() {
    let mut lab = Lab::with(|config| config.auto_accounts = true);
    let mut companion = Companion::register(&mut lab, "a");
    companion.take("iq");
    CodeFlow::hello(&mut lab, &mut companion, "15558887777");
    assert!(lab.world.accounts.contains_key("15558887777"));
    let again = NewAccount { number: Some("15558887777".into()), ..NewAccount::default() };
    assert!(lab.world.create_account(again).is_err());
}
