//! The wire forms under the judge (protocol 03 §9, 09 §23.1): device 0 as a device or as a user, and text as bytes. The
//! golden bytes hold what the builders write; the judge finds every other form.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use palomar::stanza::ack::{Answerable, Nack};
use palomar::stanza::content::Kind;
use palomar::stanza::judge::{Deviations, Finding, Table, What};
use palomar::stanza::outgoing::{Body, Cipher, Enc, Outgoing, Target};
use palomar::stanza::receipt::{self, Receipt};
use palomar::stanza::retry::{Reason, Request};
use palomar::stanza::usync::{Context, Mode, Protocol, Query, User};
use palomar::stanza::{contact_token, prekeys};
use palomar::wire::{Content, Jid, Node, Value, decode_node_as_written, encode};

const GROUP: &str = "120363000000000001@g.us";
/// `1555@lid` as a device: tag, domain, device 0, user packed.
const DEVICE: &str = "f70100ff021555";

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

fn hex_of(node: &Node) -> String {
    hex::encode(encode(node).unwrap())
}

/// `1555@lid` as a user: tag, user packed, server.
fn pair() -> String {
    let node = Node::new("item").attr("jid", jid("1555@lid"));
    let hex = hex_of(&node);
    hex[hex.find("fa").unwrap()..].to_owned()
}

fn findings(stanza: &Node) -> Vec<Finding> {
    let written = decode_node_as_written(&encode(stanza).unwrap()).unwrap();
    let (table, deviations) = (Table::built_in().unwrap(), Deviations::built_in().unwrap());
    table.judge(&written, &deviations).findings
}

/// What stanza, of what, and how often device 0 of `1555@lid` is written as a device and as a user.
type Case = (&'static str, Node, usize, usize);

fn enc() -> Enc {
    Enc::new(Cipher::Message, vec![0x33, 1, 2])
}

fn fanout(to: &str, others: &[(&str, bool)]) -> Node {
    let targets =
        others.iter().map(|(jid, has_enc)| Target { jid: self::jid(jid), enc: has_enc.then(enc) }).collect();
    let common = (to != "1555@lid").then(|| Enc::new(Cipher::SenderKey, vec![0x33, 1]));
    let mut message = Outgoing::new("3EB0A1".into(), jid(to), Kind::Text, Body::Fanout { targets, common });
    if to == "status@broadcast" {
        message.meta = vec![("status_setting", "contacts".into())];
    }
    message.build()
}

fn messages() -> Vec<Case> {
    let resend = Outgoing {
        participant: Some(jid("1555@lid")),
        addressing: Some(palomar::stanza::outgoing::Addressing::Lid),
        ..Outgoing::new("3EB0A2".into(), jid(GROUP), Kind::Text, Body::One(Enc { count: Some(1), ..enc() }))
    };
    vec![
        (
            "a fan-out: the chat as a user, its phone as a device",
            fanout("1555@lid", &[("1555@lid", true)]),
            1,
            1,
        ),
        ("a status to a phone without the key", fanout("status@broadcast", &[("1555@lid", true)]), 1, 0),
        ("a status to a viewer with the key", fanout("status@broadcast", &[("1555@lid", false)]), 0, 1),
        ("a resend in a group", resend.build(), 1, 0),
    ]
}

fn receipts() -> Vec<Case> {
    use receipt::Kind::{Delivery, Inactive, Played, Read};
    let of = |kind: receipt::Kind, to: &str, participant: Option<&str>| {
        let t = kind.is_awaited().then_some(1_760_000_000_000);
        let receipt = Receipt {
            t,
            participant: participant.map(jid),
            ..Receipt::new(kind, jid(to), vec!["3EB0AA".into()])
        };
        receipt.build().unwrap()
    };
    let retry = |to: &str, participant: Option<&str>| {
        Request {
            to: jid(to),
            participant: participant.map(jid),
            recipient: None,
            is_peer: false,
            id: "3EB0AA".into(),
            count: 1,
            t: 1_760_000_000,
            reason: Some(Reason::BadMac),
            registration_id: 9,
            keys: None,
        }
        .build()
    };
    vec![
        ("a delivery receipt to a phone", of(Delivery, "1555@lid", None), 0, 1),
        ("a delivery receipt in a group", of(Delivery, GROUP, Some("1555@lid")), 1, 0),
        ("an inactive one", of(Inactive, GROUP, Some("1555@lid")), 1, 0),
        ("a read receipt in a group", of(Read, GROUP, Some("1555@lid")), 1, 0),
        ("a played receipt in a group", of(Played, GROUP, Some("1555@lid")), 1, 0),
        ("a retry receipt to a phone", retry("1555@lid", None), 1, 0),
        ("a retry receipt in a group", retry(GROUP, Some("1555@lid")), 1, 0),
    ]
}

fn answers() -> Vec<Case> {
    let own = jid("1555@lid");
    let of = |stanza: Node| Answerable::of(&stanza.attr("id", "A1")).unwrap().unwrap();
    let stanza = |tag: &'static str, from: &str| Node::new(tag).attr("from", jid(from));
    let message = of(stanza("message", GROUP).attr("participant", jid("1555@lid")).attr("type", "text"));
    let read = of(stanza("receipt", GROUP).attr("participant", jid("1555@lid")).attr("type", "read"));
    let retry = of(stanza("receipt", "1555@lid").attr("type", "retry"));
    let identity =
        of(stanza("notification", "1555@lid").attr("type", "encrypt").child(Node::new("identity")));
    let devices = of(stanza("notification", "1555@lid").attr("type", "devices"));
    let group = of(stanza("notification", GROUP).attr("type", "w:gp2").attr("participant", jid("1555@lid")));
    vec![
        ("an ack of a message, from our device 0", message.ack(Some(&own)), 2, 0),
        ("a nack of a message", message.nack(Some(&own), Nack::Parsing), 2, 0),
        ("an ack of a receipt in a group", read.ack(None), 1, 0),
        ("an ack of a retry receipt", retry.ack(None), 0, 1),
        ("an ack of an identity change", identity.ack(None), 1, 0),
        ("an ack of a device list", devices.ack(None), 0, 1),
        ("an ack of a group change", group.ack(None), 0, 1),
    ]
}

fn queries() -> Vec<Case> {
    let phone = [jid("1555@lid")];
    let usync = Query {
        mode: Mode::Query,
        context: Context::Message,
        protocols: vec![Protocol::Devices],
        users: vec![User::jid(&phone[0])],
    };
    let iq = |node: Node| node.attr("id", "1.2-3");
    vec![
        ("identities", iq(prekeys::identities(&phone)), 1, 0),
        ("a prekey fetch", iq(prekeys::fetch([(&phone[0], false)])), 0, 1),
        ("a usync", iq(usync.build("1.2-4")), 0, 1),
        ("a contact token", iq(contact_token::issue(&phone[0], 1_760_000_000)), 0, 1),
    ]
}

fn all() -> Vec<Case> {
    [messages(), receipts(), answers(), queries()].concat()
}

/// Every address of a stanza in the other form, one at a time.
fn reformed(stanza: &Node) -> Vec<Node> {
    fn places(node: &Node, at: &[usize], out: &mut Vec<(Vec<usize>, usize)>) {
        for (n, (_, value)) in node.attrs.iter().enumerate() {
            if matches!(value, Value::Jid(jid) if *jid == "1555@lid".parse().unwrap()) {
                out.push((at.to_vec(), n));
            }
        }
        for (n, child) in node.nodes().enumerate() {
            places(child, &[at, &[n]].concat(), out);
        }
    }
    let mut found = Vec::new();
    places(stanza, &[], &mut found);
    let change = |(path, attr): (Vec<usize>, usize)| {
        let mut changed = stanza.clone();
        let mut node = &mut changed;
        for n in path {
            let Content::Nodes(children) = &mut node.content else { panic!() };
            node = &mut children[n];
        }
        let Value::Jid(jid) = &node.attrs[attr].1 else { panic!() };
        let other = if jid.is_device_form() { jid.without_device() } else { jid.in_device_form() };
        node.attrs[attr].1 = Value::Jid(other);
        changed
    };
    found.into_iter().map(change).collect()
}

#[test]
fn judge_forms_device_0_is_written_as_the_official_client_writes_it() {
    for (what, stanza, devices, users) in all() {
        let hex = hex_of(&stanza);
        assert_eq!(hex.matches(DEVICE).count(), devices, "{what}: {hex}");
        assert_eq!(hex.matches(&pair()).count(), users, "{what}: {hex}");
        assert_eq!(findings(&stanza), [], "{what}");
    }
}

#[test]
fn judge_forms_device_0_in_the_other_form_is_one_finding() {
    for (what, stanza, devices, users) in all() {
        let changed = reformed(&stanza);
        assert_eq!(changed.len(), devices + users, "{what}");
        for changed in changed {
            let found = findings(&changed);
            // The answer to an identity change says no type, so its form can't be told.
            let open = changed.tag == "ack"
                && changed.str("class").as_deref() == Some("notification")
                && changed.get("type").is_none();
            let whats: Vec<What> = found.iter().map(|finding| finding.what).collect();
            // The ack of a message has a device there: then its class is what is wrong.
            let expected = match what {
                _ if open => vec![],
                "an ack of a group change" => vec![What::Value],
                _ => vec![What::JidForm],
            };
            assert_eq!(whats, expected, "{what}: {changed}");
        }
    }
}

#[test]
fn judge_forms_whole_golden_stanzas() {
    let receipt = Receipt {
        participant: Some(jid("1555@lid")),
        ..Receipt::new(receipt::Kind::Delivery, jid("1666@g.us"), vec!["AB".into()])
    };
    // A list of 7 and `receipt`; `to`: pair, 1666, g.us; `id`: AB; `participant`: AD, lid, device 0, 1555.
    assert_eq!(hex_of(&receipt.build().unwrap()), GOLDEN_RECEIPT);
    // A list of 11 and `ack`; `id`: AB; `class`: message; `from`: AD, device 2, 1777; `to` and `participant` as above.
    let message = Node::new("message").attr("from", jid("1666@g.us")).attr("id", "AB");
    let answerable = Answerable::of(&message.attr("participant", jid("1555@lid"))).unwrap().unwrap();
    assert_eq!(hex_of(&answerable.ack(Some(&jid("1777:2@s.whatsapp.net")))), GOLDEN_ACK);
}

const GOLDEN_RECEIPT: &str = "00f8070711faff0216661c08fb01ab05f70100ff021555";
const GOLDEN_ACK: &str = "00f80b1b08fb01ab151306f70002ff02177711faff0216661c05f70100ff021555";

#[test]
fn judge_forms_text_that_is_no_bytes_is_one_finding() {
    // Digits alone would be packed.
    let users = vec![User::phone("15552223333")];
    let query = Query {
        mode: Mode::Query,
        context: Context::Interactive,
        protocols: vec![Protocol::Contact { lid: false }],
        users,
    };
    let good = query.build("1.2-4").attr("id", "1.2-3");
    assert_eq!(findings(&good), []);
    let mut bad = good;
    fn into_text(node: &mut Node) {
        match &mut node.content {
            Content::Bytes(bytes) if node.tag == "contact" => {
                node.content = Content::Text(String::from_utf8(bytes.clone()).unwrap().into());
            }
            Content::Nodes(children) => children.iter_mut().for_each(into_text),
            _ => {}
        }
    }
    into_text(&mut bad);
    let found = findings(&bad);
    assert_eq!(
        found.iter().map(|finding| finding.what).collect::<Vec<_>>(),
        [What::ContentForm],
        "{found:?}"
    );
    assert_eq!(found[0].path, "iq/usync/list/user/contact");
    let (table, deviations) = (Table::built_in().unwrap(), Deviations::built_in().unwrap());
    assert_eq!(table.judge_tree(&bad, &deviations).findings, [], "a tree is not judged for forms");
}
