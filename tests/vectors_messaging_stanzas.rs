//! The stanza sections of `messaging.json`: ids, acks, addressing, usync, retry receipts, messages, receipts, hashes
//! and tokens (05a to 05d).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, array, bytes, known_keys, name, number, text};
use palomar::stanza::ack::{Answerable, Nack};
use palomar::stanza::contact_token::{Buckets, cstoken};
use palomar::stanza::content::{Edit, Kind, MediaType};
use palomar::stanza::devices::{self, Dropped, Signature, SignedIndexes};
use palomar::stanza::message::{Incoming, Own, Source};
use palomar::stanza::message_id::{self, Platform};
use palomar::stanza::outgoing::{
    Addressing, Body, Cipher, ContactToken, Enc, Outgoing, Peer, PushPriority, Target,
};
use palomar::stanza::phash::phash;
use palomar::stanza::receipt::{self, Receipt};
use palomar::stanza::retry::{self, Request};
use palomar::stanza::usync::{Answer, Context, Mode, Protocol, Query, User};
use palomar::wire::{Content, Jid, Node, Value as Attr, decode_node, encode};
use serde_json::Value;

/// Sections that other tests read.
const ELSEWHERE: [&str; 7] =
    ["messages", "unpad", "group_info", "reporting", "msg_secret", "poll_option_hash", "bot_secret"];

/// A node of the object form; attributes are texts, as they are compared.
fn node(json: &Value) -> Node {
    known_keys(json, &["tag", "attrs", "content"]);
    let mut node = Node::new(text(json, "tag").to_owned());
    for (key, value) in json["attrs"].as_object().unwrap() {
        node = node.attr(key.clone(), value.as_str().unwrap().to_owned());
    }
    node.content = match json.get("content") {
        None | Some(Value::Null) => Content::None,
        Some(Value::Array(children)) => Content::Nodes(children.iter().map(self::node).collect()),
        Some(content) => {
            known_keys(content, &["hex", "text"]);
            match content.get("text") {
                Some(text) => Content::Bytes(text.as_str().unwrap().as_bytes().to_vec()),
                None => Content::Bytes(bytes(content, "hex")),
            }
        }
    };
    node
}

/// Children in the order of their tags: for stanzas that are the same up to order.
fn sorted(node: &Node) -> Node {
    let mut node = node.clone();
    if let Content::Nodes(nodes) = &mut node.content {
        nodes.sort_by(|a, b| a.tag.cmp(&b.tag));
    }
    node
}

fn assert_same(built: &Node, expected: &Node, what: &str) {
    assert!(sorted(built).same_as(&sorted(expected)), "{what}:\n  built    {built}\n  expected {expected}");
}

/// `hex` decodes to `node`, and the decoded node encodes to `hex`.
fn check_bytes(case: &Value, expected: &Node) -> Node {
    let hex = bytes(case, "hex");
    let decoded = decode_node(&hex).unwrap();
    assert!(decoded.same_as(expected), "{}: {decoded}", name(case));
    assert_eq!(hex::encode(encode(&decoded).unwrap()), hex::encode(&hex), "{}", name(case));
    decoded
}

fn jid(text: &str) -> Jid {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn message_ids(file: &mut File) {
    for case in file.section("message_ids") {
        known_keys(&case, &["user_jid", "user", "unix_seconds", "random16", "preimage_hex", "id"]);
        let preimage = bytes(&case, "preimage_hex");
        assert_eq!(message_id::from_preimage(&preimage), text(&case, "id"));
        if case.get("user").is_some() {
            let (user, seconds, random) =
                (text(&case, "user"), number(&case, "unix_seconds"), array(&case, "random16"));
            assert_eq!(message_id::preimage(Some(user), seconds, &random), preimage);
            let own = Jid::pn(user).unwrap().with_device(3);
            assert_eq!(message_id::generate(Some(&own), seconds, &random), text(&case, "id"));
        }
    }
    for case in file.section("message_id_platform") {
        known_keys(&case, &["id", "platform"]);
        assert_eq!(Platform::of(text(&case, "id")).name(), text(&case, "platform"), "{case}");
    }
}

fn acks(file: &mut File) {
    const NACKS: [Nack; 12] = [
        Nack::Parsing,
        Nack::UnrecognizedStanza,
        Nack::UnrecognizedClass,
        Nack::UnrecognizedType,
        Nack::InvalidProtobuf,
        Nack::InvalidHostedCompanion,
        Nack::MissingMessageSecret,
        Nack::OldCounter,
        Nack::MessageDeleted,
        Nack::Unhandled,
        Nack::UnsupportedAdminRevoke,
        Nack::UnsupportedLidGroup,
    ];
    for case in file.section("acks") {
        known_keys(&case, &["received", "ack", "ack_hex", "error"]);
        let received = node(&case["received"]);
        let mut expected = node(&case["ack"]);
        assert!(decode_node(&bytes(&case, "ack_hex")).unwrap().same_as(&expected), "{case}");
        let own = expected.jid("from");
        let answerable = Answerable::of(&received).unwrap().unwrap();
        let built = match case.get("error") {
            None => answerable.ack(own.as_ref()),
            Some(code) => {
                let nack = NACKS.into_iter().find(|&nack| u64::from(nack as u16) == code.as_u64().unwrap());
                answerable.nack(own.as_ref(), nack.expect("a code we know"))
            }
        };
        assert_same(&built, &expected, "ack");
        expected.attrs.retain(|(key, _)| key != "from");
        if case.get("error").is_none() {
            assert_same(&answerable.ack(None), &expected, "ack without from");
        }
    }
}

fn addressing(file: &mut File) {
    for case in file.section("addressing") {
        known_keys(&case, &["stanza", "own", "expect", "expect_error"]);
        known_keys(&case["own"], &["pn", "lid"]);
        let (pn, lid) = (jid(text(&case["own"], "pn")), jid(text(&case["own"], "lid")));
        let own = Own { pn: &pn, lid: Some(&lid) };
        let stanza = node(&case["stanza"]);
        let source =
            Incoming::parse(&stanza, own).and_then(|message| Ok((Source::of(&message, own)?, message)));
        if case.get("expect_error").is_some() {
            assert!(source.is_err(), "{case}");
            continue;
        }
        let (source, message) = source.unwrap();
        let expect = &case["expect"];
        known_keys(expect, &["chat", "sender", "from_me", "sender_alt", "recipient_alt", "category"]);
        let optional = |key: &str| expect[key].as_str().map(str::to_owned);
        assert_eq!(source.chat.to_string(), text(expect, "chat"), "{case}");
        assert_eq!(source.sender.to_string(), text(expect, "sender"), "{case}");
        assert_eq!(source.from_me, expect["from_me"].as_bool().unwrap(), "{case}");
        assert_eq!(source.sender_alt.map(|jid| jid.to_string()), optional("sender_alt"), "{case}");
        assert_eq!(source.recipient_alt.map(|jid| jid.to_string()), optional("recipient_alt"), "{case}");
        assert_eq!(message.category, optional("category"), "{case}");
    }
}

fn usync_query(iq: &Node) -> (Query, String) {
    let usync = iq.find("usync").unwrap();
    let protocol = |node: &Node| match &*node.tag {
        "devices" => Protocol::Devices,
        "lid" => Protocol::Lid,
        "contact" => Protocol::Contact { lid: node.str("addressing_mode").is_some() },
        "status" => Protocol::Status,
        "disappearing_mode" => Protocol::DisappearingMode,
        other => panic!("protocol {other}"),
    };
    let user = |node: &Node| match (node.jid("jid"), node.find("contact")) {
        (Some(jid), None) => User::jid(&jid),
        (None, Some(contact)) => User::phone(&contact.content_text().unwrap()),
        _ => panic!("user {node}"),
    };
    let query = Query {
        mode: match &*usync.str("mode").unwrap() {
            "query" => Mode::Query,
            "full" => Mode::Full,
            other => panic!("mode {other}"),
        },
        context: match &*usync.str("context").unwrap() {
            "message" => Context::Message,
            "interactive" => Context::Interactive,
            "background" => Context::Background,
            other => panic!("context {other}"),
        },
        protocols: usync.find("query").unwrap().nodes().map(protocol).collect(),
        users: usync.find("list").unwrap().nodes().map(user).collect(),
    };
    (query, usync.str("sid").unwrap().into_owned())
}

fn usync(file: &mut File) {
    for case in file.section("usync_requests") {
        known_keys(&case, &["name", "node", "hex"]);
        let expected = node(&case["node"]);
        check_bytes(&case, &expected);
        let (query, sid) = usync_query(&expected);
        let built = query.build(&sid).attr("id", expected.str("id").unwrap().into_owned());
        assert_same(&built, &expected, &name(&case));
    }
    for case in file.section("usync_device_response") {
        known_keys(&case, &["node", "hex", "key_index_list", "expect"]);
        let decoded = check_bytes(&case, &node(&case["node"]));
        let answer = Answer::parse(&decoded).unwrap();
        let (expect, signed) = (&case["expect"], &case["key_index_list"]);
        known_keys(expect, &["user", "devices_kept_after_key_index_validation", "dropped", "lid"]);
        known_keys(signed, &["hex", "raw_id", "current_index", "valid_indexes"]);

        let user = answer.user(Some(&jid(text(expect, "user"))), None).unwrap();
        assert_eq!(user.lid, Some(Some(jid(text(expect, "lid")))));
        let update = devices::apply(None, user.devices.as_ref().unwrap().as_ref().unwrap(), |list, _| {
            assert_eq!(*list, SignedIndexes::parse(&bytes(signed, "hex")).unwrap());
            assert_eq!(u64::from(list.raw_id), number(signed, "raw_id"));
            assert_eq!(u64::from(list.current_index), number(signed, "current_index"));
            assert_eq!(serde_json::json!(list.valid_indexes), signed["valid_indexes"]);
            Signature::Good
        });
        let update = update.unwrap();
        let kept: Vec<u16> = update.record.devices.iter().map(|device| device.id).collect();
        assert_eq!(serde_json::json!(kept), expect["devices_kept_after_key_index_validation"]);
        let mut dropped = update.dropped.iter();
        for entry in expect["dropped"].as_array().unwrap() {
            let (id, why) = dropped.next().unwrap();
            assert_eq!(u64::from(*id), number(entry, "id"));
            assert_eq!(entry["why"].as_str().unwrap().contains("without"), *why == Dropped::NoKeyIndex);
        }
        assert_eq!(dropped.next(), None);
    }
}

fn retry_receipts(file: &mut File) {
    for case in file.section("retry_receipts") {
        known_keys(&case, &["name", "registration_id", "node", "hex", "parsed_bundle"]);
        let expected = node(&case["node"]);
        let decoded = check_bytes(&case, &expected);
        // Seen from the other end, `to` is `from`.
        let mut received = decoded.clone();
        for (key, _) in &mut received.attrs {
            if key == "to" {
                *key = "from".into();
            }
        }
        let received = retry::Received::parse(&received).unwrap();
        assert_eq!(received.registration_id.map(u64::from), Some(number(&case, "registration_id")));
        let keys = received.keys.clone().transpose().unwrap();
        match (&case["parsed_bundle"], &keys) {
            (Value::Null, None) => {}
            (bundle, Some(keys)) => {
                known_keys(bundle, &["registrationId", "identityKey33", "signedPreKey", "preKey"]);
                let with_type = |key: &[u8; 32]| format!("05{}", hex::encode(key));
                assert_eq!(u64::from(keys.registration_id), number(bundle, "registrationId"));
                assert_eq!(with_type(&keys.identity), text(bundle, "identityKey33"));
                let (signed, prekey) = (&bundle["signedPreKey"], &bundle["preKey"]);
                known_keys(signed, &["id", "public33", "signature"]);
                known_keys(prekey, &["id", "public33"]);
                assert_eq!(u64::from(keys.signed_prekey.id), number(signed, "id"));
                assert_eq!(with_type(&keys.signed_prekey.public), text(signed, "public33"));
                assert_eq!(keys.signed_prekey.signature, array::<64>(signed, "signature"));
                let ours = keys.prekey.unwrap();
                assert_eq!(u64::from(ours.id), number(prekey, "id"));
                assert_eq!(with_type(&ours.public), text(prekey, "public33"));
            }
            (bundle, None) => panic!("no keys, expected {bundle}"),
        }
        let built = Request {
            to: received.from,
            participant: received.participant,
            recipient: received.recipient,
            is_peer: false,
            id: received.id,
            count: received.count,
            t: received.t.unwrap(),
            reason: received.reason,
            registration_id: received.registration_id.unwrap(),
            keys,
        };
        assert_same(&built.build(), &expected, &name(&case));
    }
}

fn enc(node: &Node) -> Enc {
    let media = node.str("mediatype").map(|media| match &*media {
        "image" => MediaType::Image,
        other => panic!("mediatype {other}"),
    });
    Enc {
        media,
        hide: node.str("decrypt-fail").is_some(),
        count: node.u64("count").map(|count| u32::try_from(count).unwrap()),
        ..Enc::new(
            Cipher::of(&node.str("type").unwrap()).unwrap(),
            node.content_bytes().unwrap().into_owned(),
        )
    }
}

/// The parts of a message stanza.
fn outgoing(node: &Node) -> Outgoing {
    let text = |key| node.str(key).map(|text| text.into_owned());
    let bytes = |tag| node.find(tag).and_then(Node::content_bytes).map(|bytes| bytes.into_owned());
    let kind = match &*node.str("type").unwrap() {
        "text" => Kind::Text,
        "media" => Kind::Media,
        "reaction" => Kind::Reaction,
        "poll" => Kind::Poll,
        other => panic!("type {other}"),
    };
    let body = match (node.find("participants"), node.find("enc"), node.find("plaintext")) {
        (None, None, Some(plain)) => {
            Body::Plain { message: plain.content_bytes().unwrap().into_owned(), media: None }
        }
        (None, Some(one), None) if one.str("type").unwrap() != "skmsg" => Body::One(enc(one)),
        (participants, common, None) => {
            let target = |to: &Node| Target { jid: to.jid("jid").unwrap(), enc: to.find("enc").map(enc) };
            let targets = participants.map(|node| node.nodes().map(target).collect()).unwrap_or_default();
            Body::Fanout { targets, common: common.map(enc) }
        }
        _ => panic!("body of {node}"),
    };
    let meta = node.find("meta").map(|meta| {
        let key = |key: &str| match key {
            "polltype" => "polltype",
            "appdata" => "appdata",
            other => panic!("meta {other}"),
        };
        let value = |value: &Attr| value.text().into_owned().into();
        meta.attrs.iter().map(|(k, v)| (key(k), value(v))).collect()
    });
    let priority = node.str("push_priority").map(|priority| match &*priority {
        "high" => PushPriority::High,
        "high_force" => PushPriority::HighForce,
        other => panic!("push_priority {other}"),
    });
    Outgoing {
        phash: text("phash"),
        edit: node.str("edit").map(|edit| match &*edit {
            "1" => Edit::Message,
            other => panic!("edit {other}"),
        }),
        missed_devices_only: node.str("device_fanout").is_some(),
        t: node.u64("t"),
        peer: priority.map(|priority| Peer { priority, privacy_sensitive: false }),
        addressing: node.str("addressing_mode").map(|mode| Addressing::of(&mode).unwrap()),
        device_identity: bytes("device-identity"),
        meta: meta.unwrap_or_default(),
        contact_token: bytes("tctoken").map(ContactToken::Trusted),
        ..Outgoing::new(text("id").unwrap(), node.jid("to").unwrap(), kind, body)
    }
}

fn messages(file: &mut File) {
    for case in file.section("stanzas") {
        known_keys(&case, &["name", "node", "hex"]);
        let expected = node(&case["node"]);
        let built = outgoing(&check_bytes(&case, &expected));
        assert_eq!(built.needs_device_identity(), built.device_identity.is_some(), "{}", name(&case));
        assert_same(&built.build(), &expected, &name(&case));
    }
}

fn receipts(file: &mut File) {
    const KINDS: [receipt::Kind; 9] = [
        receipt::Kind::Delivery,
        receipt::Kind::Inactive,
        receipt::Kind::Sender,
        receipt::Kind::PeerMessage,
        receipt::Kind::HistorySync,
        receipt::Kind::Read,
        receipt::Kind::ReadSelf,
        receipt::Kind::Played,
        receipt::Kind::PlayedSelf,
    ];
    for case in file.section("receipts") {
        known_keys(&case, &["name", "node", "hex"]);
        let expected = node(&case["node"]);
        let decoded = check_bytes(&case, &expected);
        let kind = KINDS.into_iter().find(|kind| kind.name() == decoded.str("type").as_deref());
        let mut ids = vec![decoded.str("id").unwrap().into_owned()];
        let items = decoded.find("list").into_iter().flat_map(Node::nodes);
        ids.extend(items.map(|item| item.str("id").unwrap().into_owned()));
        let built = Receipt {
            participant: decoded.jid("participant"),
            recipient: decoded.jid("recipient"),
            t: decoded.u64("t"),
            ..Receipt::new(kind.expect("a kind we know"), decoded.jid("to").unwrap(), ids)
        };
        assert_same(&built.build().unwrap(), &expected, &name(&case));
    }
}

fn hashes_and_tokens(file: &mut File) {
    for case in file.section("phash") {
        known_keys(&case, &["name", "devices", "hashed_string", "phash"]);
        let devices: Vec<Jid> =
            case["devices"].as_array().unwrap().iter().map(|text| jid(text.as_str().unwrap())).collect();
        assert_eq!(phash(&devices), text(&case, "phash"), "{}", name(&case));
        if let Some(hashed) = case["hashed_string"].as_str() {
            let mut forms: Vec<String> = devices.iter().map(Jid::hash_form).collect();
            forms.sort();
            assert_eq!(forms.concat(), hashed, "{}", name(&case));
        }
    }
    for case in file.section("cstoken") {
        known_keys(&case, &["nct_salt", "recipient_lid", "cstoken"]);
        let token = cstoken(&bytes(&case, "nct_salt"), &jid(text(&case, "recipient_lid")));
        assert_eq!(hex::encode(token), text(&case, "cstoken"));
    }
    for case in file.section("tctoken") {
        known_keys(&case, &["now", "timestamp", "expired", "should_issue_new"]);
        let (now, timestamp) = (number(&case, "now"), number(&case, "timestamp"));
        let buckets = Buckets::default();
        assert_eq!(buckets.is_expired(now, Some(timestamp)), case["expired"].as_bool().unwrap(), "{case}");
        assert_eq!(
            buckets.is_due(now, Some(timestamp)),
            case["should_issue_new"].as_bool().unwrap(),
            "{case}"
        );
    }
}

#[test]
fn messaging_stanza_vectors() {
    let mut file = File::open("messaging");
    message_ids(&mut file);
    acks(&mut file);
    addressing(&mut file);
    usync(&mut file);
    retry_receipts(&mut file);
    messages(&mut file);
    receipts(&mut file);
    hashes_and_tokens(&mut file);
    for section in ELSEWHERE {
        file.elsewhere(section);
    }
    file.finish();
}
