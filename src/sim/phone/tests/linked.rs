//! Phones and companions together: copies, retries, requests.

use prost::Message as _;

use super::companion::Companion;
use super::*;
use crate::proto::Message;
use crate::proto::message as schema;
use crate::proto::message::protocol_message::Type;
use crate::sim::Profile;
use crate::sim::phone::compose::device_sent;
use crate::stanza::judge::What;

fn text(text: &str) -> Vec<u8> {
    Message { conversation: Some(text.to_owned()), ..Default::default() }.encode_to_vec()
}

#[test]
fn a_phones_message_reaches_both_companions_its_own_as_device_sent() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let (mut own, mut other) = (sim.link(&a, 1), sim.link(&b, 2));
    let to = sim.pn(&b);
    let id = sim.text(&a, &to, "to all");
    own.pump(sim);
    other.pump(sim);
    assert_eq!(sim.outbox(&a).last().unwrap().targets.len(), 3);
    let got = other.got.last().unwrap();
    assert_eq!(got.message.conversation.as_deref(), Some("to all"));
    let got = own.got.last().unwrap();
    let copy = got.message.device_sent_message.as_ref().unwrap();
    assert_eq!(copy.destination_jid.as_deref(), Some(&*to.to_string()));
    assert_eq!(copy.message.as_ref().unwrap().conversation.as_deref(), Some("to all"));
    assert!(got.message.message_context_info.as_ref().unwrap().message_secret.is_some());
    let mut receipts = sim.receipts(&a, &id);
    receipts.sort_unstable();
    assert_eq!(receipts, ["delivered", "delivered", "sender"]);
    sim.assert_clean();
}

#[test]
fn a_companions_message_reaches_the_contact_and_its_copy_the_phone() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let mut companion = sim.link(&a, 1);
    let (own, to) = (sim.pn(&a), sim.pn(&b));
    let plain = text("from the companion");
    let copies = [(to.clone(), plain.clone()), (own, device_sent(&plain, &to))];
    let id = companion.say(sim, &to, &copies);
    assert_eq!(sim.texts(&b), ["from the companion"]);
    assert_eq!(sim.inbox(&b)[0].device, 1);
    let copy = sim.inbox(&a).last().unwrap();
    assert!(copy.own_copy && copy.decrypt_ok && copy.id == id);
    assert_eq!((copy.text.as_deref(), &*copy.chat), (Some("from the companion"), &*to.to_string()));
    let receipts: Vec<Option<String>> = companion
        .heard
        .iter()
        .filter(|node| node.tag == "receipt")
        .map(|node| node.str("type").map(std::borrow::Cow::into_owned))
        .collect();
    assert!(receipts.contains(&None) && receipts.contains(&Some("sender".to_owned())), "{receipts:?}");
    sim.assert_clean();
}

#[test]
fn judge_line_19_an_own_copy_without_its_wrapper_is_a_violation_in_strict_only_and_in_the_log_of_both() {
    for profile in [Profile::Strict, Profile::Lenient, Profile::Bench] {
        let sim = &mut Sim::new();
        let [a, b] = sim.accounts();
        sim.0.accounts.get_mut(&a).unwrap().profile = Some(profile);
        let mut companion = sim.link(&a, 1);
        let (own, to) = (sim.pn(&a), sim.pn(&b));
        let plain = text("bare");
        companion.say(sim, &to, &[(to.clone(), plain.clone()), (own, plain)]);
        let items = sim.0.violations.items();
        let strict = profile == Profile::Strict;
        let codes: Vec<&str> = items.iter().map(|item| &*item.code).collect();
        assert_eq!(codes, if strict { vec!["payload-unlike"] } else { vec![] }, "{items:?}");
        let sent = sim.0.traffic.since(0).filter(|item| item.node.tag == "message" && item.judge.is_some());
        let payloads: Vec<_> = sent.flat_map(|item| item.payloads.clone()).collect();
        let found: Vec<_> = payloads.iter().flat_map(|payload| &payload.findings).collect();
        if profile == Profile::Bench {
            assert_eq!(payloads, []);
            continue;
        }
        assert_eq!(found.len(), 1, "{payloads:?}");
        assert_eq!((&*found[0].op, &*found[0].path, found[0].what), ("payload.Message", "", What::Wrapper));
        let opened = payloads.iter().filter_map(|payload| payload.device.as_ref()).map(|at| &*at.number);
        let opened: std::collections::BTreeSet<&str> = opened.collect();
        assert_eq!(opened, [&*a, &*b].into(), "and the identity beside them stands in the stanza");
        if strict {
            let sample =
                sim.0.traffic.since(0).find(|item| item.node.tag == "message" && item.judge.is_some());
            assert_eq!((&*items[0].rule, items[0].sample), ("R17", sample.map(|item| item.cursor)));
        }
    }
}

#[test]
fn a_companion_that_asks_again_with_keys_gets_the_message_alone() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let mut companion = sim.link(&b, 1);
    let to = sim.pn(&b);
    sim.text(&a, &to, "first");
    companion.pump(sim);
    // The companion loses its session; the prekey that made it is used up.
    let phone = sim.pn(&a);
    companion.sessions.remove(&phone);
    let before = sim.inbox(&b).len();
    let id = sim.text(&a, &to, "second");
    companion.pump(sim);
    let read = |companion: &Companion| {
        companion.got.iter().filter(|got| got.message.conversation.as_deref() == Some("second")).count()
    };
    assert_eq!(read(&companion), 0);
    let stanza = companion.heard.iter().rev().find(|node| node.tag == "message").cloned().unwrap();
    companion.retry(sim, &stanza, 1);
    assert_eq!(read(&companion), 0);
    companion.retry(sim, &stanza, 2);
    assert_eq!(read(&companion), 1);
    let counts: Vec<u32> = sim
        .outbox(&a)
        .iter()
        .find(|item| item.id == id)
        .unwrap()
        .retries
        .iter()
        .map(|retry| retry.count)
        .collect();
    assert_eq!(counts, [1, 2]);
    assert_eq!(sim.inbox(&b).len(), before + 1, "the phone gets nothing twice");
}

#[test]
fn key_requests_are_answered_also_for_keys_that_do_not_exist() {
    let sim = &mut Sim::new();
    let a = sim.account();
    let mut companion = sim.link(&a, 1);
    let shared = companion.got[0].message.protocol_message.as_ref().unwrap();
    let known = shared.app_state_sync_key_share.as_ref().unwrap().keys[0].key_id.clone().unwrap();
    let unknown = schema::AppStateSyncKeyId { key_id: Some(vec![0, 0, 0, 0, 9, 9]) };
    let request = Message {
        protocol_message: Some(Box::new(schema::ProtocolMessage {
            r#type: Some(Type::AppStateSyncKeyRequest as i32),
            app_state_sync_key_request: Some(Box::new(schema::AppStateSyncKeyRequest {
                key_ids: vec![known, unknown],
            })),
            ..Default::default()
        })),
        ..Default::default()
    };
    let before = companion.got.len();
    companion.tell_phone(sim, &request);
    let answer = companion.got[before].message.protocol_message.as_ref().unwrap();
    let keys = &answer.app_state_sync_key_share.as_ref().unwrap().keys;
    assert_eq!(keys.iter().map(|key| key.key_data.is_some()).collect::<Vec<_>>(), [true, false]);
    sim.assert_clean();
}

#[test]
fn a_placeholder_is_resent_by_the_phone_that_could_read_the_message() {
    let sim = &mut Sim::new();
    let [a, b] = sim.accounts();
    let mut companion = sim.link(&b, 1);
    let to = sim.pn(&b);
    let id = sim.text(&a, &to, "read me");
    companion.pump(sim);
    let key = crate::proto::MessageKey {
        remote_jid: Some(sim.pn(&a).to_string()),
        from_me: Some(false),
        id: Some(id),
        participant: None,
    };
    let wanted = schema::peer_data_operation_request_message::PlaceholderMessageResendRequest {
        message_key: Some(key.clone()),
    };
    let request = Message {
        protocol_message: Some(Box::new(schema::ProtocolMessage {
            r#type: Some(Type::PeerDataOperationRequestMessage as i32),
            peer_data_operation_request_message: Some(Box::new(schema::PeerDataOperationRequestMessage {
                peer_data_operation_request_type: Some(4),
                placeholder_message_resend_request: vec![wanted],
                ..Default::default()
            })),
            ..Default::default()
        })),
        ..Default::default()
    };
    let before = companion.got.len();
    let asked = companion.tell_phone(sim, &request);
    let answer = companion.got[before].message.protocol_message.as_ref().unwrap();
    let answer = answer.peer_data_operation_request_response_message.as_ref().unwrap();
    assert_eq!(answer.stanza_id.as_deref(), Some(&*asked));
    let found = answer.peer_data_operation_result[0].placeholder_message_resend_response.as_ref().unwrap();
    let found = found.web_message_info_bytes.as_deref().unwrap();
    let found = crate::proto::WebMessageInfo::decode(found).unwrap();
    assert!(found.key.as_deref() == Some(&key));
    assert_eq!(found.message.unwrap().conversation.as_deref(), Some("read me"));
}
