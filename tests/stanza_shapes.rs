//! What the builders write, as the judge of stanza shapes sees it, encoded and decoded (03 §17 no. 8, for the
//! builders). And what the parsers read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use palomar::stanza::ack::{Answerable, Nack, ServerAck};
use palomar::stanza::content::Kind;
use palomar::stanza::judge::{Deviations, Table, Verdict};
use palomar::stanza::keys::{Bundle, PreKey, SignedPreKey};
use palomar::stanza::message::{Chat, Incoming, Own, Source};
use palomar::stanza::notification::{Encrypt, Envelope, Refused};
use palomar::stanza::outgoing::{
    Addressing, Body, Cipher, ContactToken, Enc, Outgoing, Peer, PushPriority, Target,
};
use palomar::stanza::receipt::{self, Receipt, Told};
use palomar::stanza::retry::{self, Reason, Request};
use palomar::stanza::usync::{Context, Known, Mode, Protocol, Query, User};
use palomar::stanza::{Malformed, contact_token, prekeys};
use palomar::wire::{Jid, Node, decode_node_as_written, encode};

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

/// The stanza as it would be read from the wire.
fn over_the_wire(node: &Node) -> Node {
    decode_node_as_written(&encode(node).unwrap()).unwrap()
}

fn assert_like(what: &str, stanza: &Node) {
    let (table, deviations) = (Table::built_in().unwrap(), Deviations::built_in().unwrap());
    let judgement = table.judge(&over_the_wire(stanza), &deviations);
    let findings: Vec<String> = judgement.findings.iter().map(ToString::to_string).collect();
    assert_ne!(judgement.verdict, Verdict::Unlike, "{what}: {stanza}\n{}", findings.join("\n"));
}

fn query(iq: Node) -> Node {
    iq.attr("id", "1.2-3")
}

const SIGNED: SignedPreKey = SignedPreKey { id: 7, public: [2; 32], signature: [3; 64] };

fn bundle() -> Bundle {
    Bundle {
        registration_id: 9,
        identity: [1; 32],
        signed_prekey: SIGNED,
        prekey: Some(PreKey { id: 0x01_02_03, public: [4; 32] }),
        device_identity: Some(vec![5; 40]),
    }
}

#[test]
fn queries_have_the_official_shape() {
    let devices = [jid("1555@lid"), jid("1555:3@lid")];
    let own = prekeys::Own { registration_id: 9, identity: &[1; 32], signed_prekey: &SIGNED };
    let keys = [PreKey { id: 2, public: [4; 32] }, PreKey { id: 1, public: [5; 32] }];
    let stanzas = [
        ("prekey count", prekeys::count()),
        ("prekey digest", prekeys::digest()),
        ("prekey upload", prekeys::upload(own, &keys)),
        ("prekey rotation", prekeys::rotate(&SIGNED)),
        ("identities", prekeys::identities(&devices)),
        ("prekey fetch", prekeys::fetch([(&devices[0], false), (&devices[1], true)])),
        ("contact token", contact_token::issue(&jid("15552223333:4@s.whatsapp.net"), 1_760_000_000)),
    ];
    for (what, stanza) in stanzas {
        assert_like(what, &query(stanza));
    }
}

#[test]
fn prekeys_are_uploaded_in_ascending_order() {
    let own = prekeys::Own { registration_id: 9, identity: &[1; 32], signed_prekey: &SIGNED };
    let keys = [PreKey { id: 2, public: [4; 32] }, PreKey { id: 1, public: [5; 32] }];
    let upload = prekeys::upload(own, &keys);
    let ids: Vec<_> = upload
        .find("list")
        .unwrap()
        .nodes()
        .map(|key| key.find("id").unwrap().content_bytes().unwrap())
        .collect();
    assert_eq!(ids, [&[0, 0, 1][..], &[0, 0, 2]]);
}

#[test]
fn usync_has_the_official_shape_with_every_protocol() {
    let known = Known { device_hash: "2:abcdefgh".into(), ts: 1, expected_ts: Some(2) };
    let user = User {
        known: Some(known),
        lid: Some(jid("1555@lid")),
        tctoken: Some(vec![1]),
        pn_jid: Some(jid("15552223333@s.whatsapp.net")),
        ..User::jid(&jid("1555:4@lid"))
    };
    let protocols = [
        Protocol::Devices,
        Protocol::Lid,
        Protocol::Contact { lid: true },
        Protocol::Status,
        Protocol::TextStatus,
        Protocol::Picture,
        Protocol::Business,
        Protocol::DisappearingMode,
        Protocol::Username,
        Protocol::Bot,
    ];
    for context in [Context::Interactive, Context::Background, Context::Message, Context::Voip] {
        let users = vec![user.clone(), User::phone("+15552223333")];
        let all = Query { mode: Mode::Query, context, protocols: protocols.to_vec(), users };
        assert_like("usync", &query(all.build("1.2-4")));
    }
}

#[test]
fn receipts_have_the_official_shape() {
    use receipt::Kind::{
        Delivery, HistorySync, Inactive, PeerMessage, Played, PlayedSelf, Read, ReadSelf, Sender,
    };
    let group = jid("120363000000000001@g.us");
    for kind in [Delivery, Inactive, Sender, PeerMessage, HistorySync, Read, ReadSelf, Played, PlayedSelf] {
        let t = kind.is_awaited().then_some(1_760_000_000_000);
        let one = Receipt { t, ..Receipt::new(kind, jid("1555:3@lid"), vec!["3EB0AA".into()]) };
        assert_like("receipt 1:1", &one.build().unwrap());
        let many = Receipt {
            participant: Some(jid("1555@lid")),
            t: Some(1_760_000_000),
            ..Receipt::new(kind, group.clone(), vec!["3EB0AA".into(), "3EB0BB".into()])
        };
        if !matches!(kind, Delivery) {
            assert_like("receipt in a group", &many.build().unwrap());
        }
    }
    assert_eq!(Receipt::new(Delivery, group, vec![]).build(), None);
}

#[test]
fn a_receipt_names_its_participant_in_device_form() {
    let receipt = Receipt {
        participant: Some(jid("1555@lid")),
        ..Receipt::new(receipt::Kind::Delivery, jid("120363000000000001@g.us"), vec!["A".into()])
    };
    let bytes = hex::encode(encode(&receipt.build().unwrap()).unwrap());
    assert!(bytes.contains("05f70100"), "{bytes}");
}

#[test]
fn retry_receipts_have_the_official_shape_and_read_back() {
    for keys in [None, Some(bundle())] {
        for (to, participant) in
            [(jid("1555@lid"), None), (jid("120363000000000001@g.us"), Some(jid("1555:3@lid")))]
        {
            let request = Request {
                to,
                participant,
                recipient: None,
                is_peer: false,
                id: "3EB0AA".into(),
                count: 2,
                t: 1_760_000_000,
                reason: Some(Reason::BadMac),
                registration_id: 9,
                keys: keys.clone(),
            };
            let stanza = request.build();
            assert_like("retry", &stanza);
            let received = stanza.clone().attr("from", &request.to);
            let read = retry::Received::parse(&received).unwrap();
            assert_eq!((read.id.as_str(), read.count, read.reason), ("3EB0AA", 2, request.reason));
            assert_eq!(read.keys, keys.clone().map(Ok));
            assert_eq!(read.requester(), request.participant.as_ref().unwrap_or(&request.to));
        }
    }
}

#[test]
fn a_retry_request_is_read_leniently_but_never_guessed() {
    let retry = |retry: Node, rest: Vec<Node>| {
        let receipt =
            Node::new("receipt").attr("from", jid("1555@lid")).attr("id", "X").attr("type", "retry");
        retry::Received::parse(&receipt.child(retry).children(rest))
    };
    let id = || Node::new("retry").attr("id", "X");
    assert_eq!(retry(Node::new("retry"), vec![]), Err(Malformed("id")));
    assert_eq!(retry(id(), vec![]).unwrap().count, 1);
    let registration = |bytes: &[u8]| {
        let node = Node::new("registration").bytes(bytes);
        retry(id(), vec![node]).unwrap().registration_id
    };
    assert_eq!(registration(&[0, 0, 1, 2]), Some(0x102));
    assert_eq!(registration(&[1, 2]), Some(0x102));
    assert_eq!((registration(&[0, 0, 0, 0]), registration(&[0, 0, 0, 1, 2])), (None, None));
    let broken = Node::new("keys").child(Node::new("identity").bytes([1; 31]));
    let read = retry(id(), vec![Node::new("registration").bytes([0, 0, 1, 2]), broken]).unwrap();
    assert_eq!(read.keys, Some(Err(Malformed("identity"))));
}

#[test]
fn acks_and_nacks_have_the_official_shape() {
    let own = jid("15550001111:12@s.whatsapp.net");
    let group = || jid("120363000000000001@g.us");
    let stanza = |tag: &'static str, from: Jid| Node::new(tag).attr("from", from).attr("id", "A1");
    let received = [
        stanza("message", group()).attr("participant", jid("1555@lid")).attr("type", "text"),
        stanza("message", own.without_device()).attr("recipient", jid("1777@lid")).attr("type", "media"),
        stanza("receipt", group()).attr("participant", jid("1555@lid")).attr("type", "read"),
        stanza("receipt", jid("1555:3@lid")),
        stanza("notification", group()).attr("type", "w:gp2").attr("participant", jid("1555@lid")),
        stanza("notification", jid("1555@lid")).attr("type", "encrypt").child(Node::new("identity")),
        stanza("call", jid("1555@lid")),
    ];
    for stanza in &received {
        let answerable = Answerable::of(stanza).unwrap().unwrap();
        assert_like("ack", &answerable.ack(Some(&own)));
        assert_like("nack", &answerable.nack(Some(&own), Nack::Parsing));
    }
    assert_eq!(Answerable::of(&Node::new("iq")), Ok(None));
    assert_eq!(Answerable::of(&Node::new("message").attr("id", "1")), Err(Malformed("from")));
}

#[test]
fn acks_of_notifications_go_where_the_official_client_sends_them() {
    let ack = |kind: &'static str, child: &'static str| {
        let notification = Node::new("notification")
            .attr("from", jid("1555@lid"))
            .attr("id", "A1")
            .attr("type", kind)
            .attr("participant", jid("1777@lid"))
            .child(Node::new(child));
        Answerable::of(&notification).unwrap().unwrap().ack(None)
    };
    // Kind, child, to, type, participant.
    let expected = [
        ("encrypt", "count", "s.whatsapp.net", false, false),
        ("encrypt", "digest", "s.whatsapp.net", false, false),
        ("encrypt", "identity", "1555@lid", false, false),
        ("devices", "add", "1555@lid", false, false),
        ("server_sync", "collection", "s.whatsapp.net", true, false),
        ("companion_reg_refresh", "companion_reg_refresh", "s.whatsapp.net", true, false),
        ("w:gp2", "add", "1555@lid", true, true),
        ("mediaretry", "rmr", "1555@lid", true, true),
        ("psa", "x", "1555@lid", true, true),
        ("picture", "set", "1555@lid", true, false),
    ];
    for (kind, child, to, with_type, with_participant) in expected {
        let ack = ack(kind, child);
        assert_eq!(ack.str("to").unwrap(), to, "{kind} {child}");
        assert_eq!(ack.get("type").is_some(), with_type, "{kind} {child}");
        assert_eq!(ack.get("participant").is_some(), with_participant, "{kind} {child}");
    }
    // An identity change is acked in device form.
    assert!(hex::encode(encode(&ack("encrypt", "identity")).unwrap()).contains("11f70100"));
}

fn enc(cipher: Cipher) -> Enc {
    Enc::new(cipher, vec![0x33, 1, 2])
}

fn fanout(targets: &[(&str, Option<Cipher>)], common: Option<Enc>) -> Body {
    let target =
        |(jid, cipher): &(&str, Option<Cipher>)| Target { jid: self::jid(jid), enc: cipher.map(enc) };
    Body::Fanout { targets: targets.iter().map(target).collect(), common }
}

fn message(to: &str, body: Body) -> Outgoing {
    Outgoing::new("3EB0AABBCCDDEEFF001122".into(), jid(to), Kind::Text, body)
}

#[test]
fn messages_have_the_official_shape() {
    let both = [("1555@lid", Some(Cipher::PreKeyMessage)), ("1777:2@lid", Some(Cipher::Message))];
    let group = "120363000000000001@g.us";
    let skmsg = || Some(enc(Cipher::SenderKey));
    let identity = Some(vec![1; 40]);
    let stanzas = [
        (
            "1:1",
            Outgoing {
                peer_recipient: Some(jid("15552223333@s.whatsapp.net")),
                device_identity: identity.clone(),
                reporting_token: Some([1; 16]),
                contact_token: Some(ContactToken::Trusted(vec![1; 11])),
                ..message("1555@lid", fanout(&both, None))
            },
        ),
        (
            "1:1 to the missed devices",
            Outgoing {
                missed_devices_only: true,
                contact_token: Some(ContactToken::Computed([1; 32])),
                ..message("1555@lid", fanout(&both[1..], None))
            },
        ),
        (
            "group",
            Outgoing {
                phash: Some("2:abcdefgh".into()),
                addressing: Some(Addressing::Lid),
                device_identity: identity.clone(),
                meta: vec![("polltype", "creation".into())],
                kind: Kind::Poll,
                ..message(group, fanout(&both, skmsg()))
            },
        ),
        (
            "group, everybody has the key",
            Outgoing {
                phash: Some("2:abcdefgh".into()),
                addressing: Some(Addressing::Lid),
                ..message(group, fanout(&[], skmsg()))
            },
        ),
        (
            "resend in a group",
            Outgoing {
                participant: Some(jid("1555@lid")),
                addressing: Some(Addressing::Lid),
                device_identity: identity.clone(),
                ..message(group, Body::One(Enc { count: Some(1), ..enc(Cipher::PreKeyMessage) }))
            },
        ),
        (
            "resend to an own device",
            Outgoing {
                recipient: Some(jid("1555@lid")),
                peer_recipient: Some(jid("15552223333@s.whatsapp.net")),
                ..message("1777:2@lid", Body::One(Enc { count: Some(2), ..enc(Cipher::Message) }))
            },
        ),
        (
            "peer",
            Outgoing {
                peer: Some(Peer { priority: PushPriority::HighForce, privacy_sensitive: true }),
                meta: vec![("appdata", "default".into())],
                ..message("15550001111@s.whatsapp.net", Body::One(enc(Cipher::Message)))
            },
        ),
        (
            "status",
            Outgoing {
                meta: vec![("status_setting", "contacts".into())],
                ..message("status@broadcast", fanout(&[both[1], ("1888@lid", None)], skmsg()))
            },
        ),
        (
            "newsletter",
            message("120363400000000001@newsletter", Body::Plain { message: vec![1], media: None }),
        ),
        (
            "newsletter reaction",
            Outgoing {
                server_id: Some(101),
                kind: Kind::Reaction,
                ..message("120363400000000001@newsletter", Body::Reaction(Some("👍".into())))
            },
        ),
    ];
    for (what, outgoing) in stanzas {
        if outgoing.device_identity.is_some() {
            assert!(outgoing.needs_device_identity(), "{what}");
        }
        assert_like(what, &outgoing.build());
    }
}

#[test]
fn a_target_is_in_device_form_only_with_a_ciphertext() {
    let build = |cipher| message("status@broadcast", fanout(&[("1555@lid", cipher)], None)).build();
    assert!(hex::encode(encode(&build(Some(Cipher::Message))).unwrap()).contains("f70100"));
    assert!(!hex::encode(encode(&build(None)).unwrap()).contains("f70100"));
}

fn parse(stanza: &Node) -> Result<(Source, Vec<Vec<u8>>), Malformed> {
    let (pn, lid) = (jid("15550001111:12@s.whatsapp.net"), jid("100:12@lid"));
    let own = Own { pn: &pn, lid: Some(&lid) };
    let message = Incoming::parse(stanza, own)?;
    let encs = message.encs.iter().map(|enc| enc.ciphertext.to_vec()).collect();
    Ok((Source::of(&message, own)?, encs))
}

fn from(from: &str) -> Node {
    Node::new("message").attr("id", "A").attr("from", jid(from))
}

#[test]
fn of_a_fan_out_the_ciphertexts_for_this_device_count() {
    let to = |jid: &str, byte: u8| {
        let enc = Node::new("enc").attr("v", "2").attr("type", "msg").bytes([byte]);
        Node::new("to").attr("jid", self::jid(jid)).child(enc)
    };
    let participants =
        Node::new("participants").children([to("100@lid", 1), to("100:12@lid", 2), to("5:12@lid", 3)]);
    let stanza = from("1555:3@lid").child(participants);
    assert_eq!(parse(&stanza).unwrap().1, [[2]]);
}

#[test]
fn chats_of_every_kind_are_told_apart() {
    let kind = |stanza: &Node| parse(stanza).map(|(source, _)| (source.kind, source.chat.to_string()));
    assert_eq!(kind(&from("1555:99@hosted.lid")), Ok((Chat::Direct, "1555@lid".into())));
    assert_eq!(kind(&from("5@g.us").attr("participant", jid("1@lid"))), Ok((Chat::Group, "5@g.us".into())));
    let status = from("status@broadcast").attr("participant", jid("1@lid"));
    assert_eq!(kind(&status), Ok((Chat::Status, "status@broadcast".into())));
    assert_eq!(kind(&from("status@broadcast")), Err(Malformed("participant")));
    let list = from("77@broadcast").attr("participant", jid("1@lid"));
    assert_eq!(kind(&list), Ok((Chat::Broadcast, "77@broadcast".into())));
    assert_eq!(kind(&from("7@newsletter")), Ok((Chat::Newsletter, "7@newsletter".into())));
    let bot = from("7@bot").child(Node::new("meta").attr("target_chat_jid", jid("5@g.us")));
    assert_eq!(kind(&bot), Ok((Chat::Bot, "5@g.us".into())));
    let own = from("100:2@lid").attr("recipient", jid("1555@lid"));
    assert_eq!(kind(&own), Ok((Chat::Direct, "1555@lid".into())));
    let spoof = from("1666@lid").attr("recipient", jid("1555@lid"));
    assert_eq!(kind(&spoof), Err(Malformed("recipient")));
}

#[test]
fn a_hosted_sender_is_the_user_but_keeps_the_address_for_receipts() {
    let (source, _) =
        parse(&from("1555:99@hosted.lid").attr("sender_pn", jid("1444@s.whatsapp.net"))).unwrap();
    assert_eq!(source.sender, jid("1555:99@lid"));
    assert_eq!(source.device, jid("1555:99@hosted.lid"));
    assert_eq!(source.sender_alt_device(), Some(jid("1444:99@s.whatsapp.net")));
    assert_eq!(source.mappings().collect::<Vec<_>>(), [(jid("1444@s.whatsapp.net"), jid("1555@lid"))]);
}

#[test]
fn an_aggregated_receipt_is_one_part_per_reader() {
    let user = |jid: &str| Node::new("user").attr("jid", self::jid(jid));
    let stanza = Node::new("receipt")
        .attr("from", jid("5@g.us"))
        .attr("id", "A")
        .attr("t", "100")
        .child(
            Node::new("participants")
                .attr("key", "M1")
                .children([user("1@lid").attr("t", "1760000000123"), user("2@lid").attr("type", "read")]),
        )
        .child(Node::new("participants").attr("message_id", "M2").child(user("3@lid")));
    let parts = receipt::Received::parse(&stanza).unwrap().parts;
    let told = |what| receipt::Incoming::Told { what, own: false };
    let summary: Vec<_> = parts
        .iter()
        .map(|part| (part.kind.clone(), part.reader.to_string(), part.t, part.ids[0].as_str()))
        .collect();
    assert_eq!(
        summary,
        [
            (told(Told::Delivered), "1@lid".to_owned(), Some(1_760_000_000), "M1"),
            (told(Told::Read), "2@lid".to_owned(), Some(100), "M1"),
            (told(Told::Delivered), "3@lid".to_owned(), Some(100), "M2"),
        ]
    );
}

#[test]
fn a_plain_receipt_names_id_and_items_and_a_view_the_items_only() {
    let items = |key: &'static str, values: [&'static str; 2]| {
        Node::new("list").children(values.map(|value| Node::new("item").attr(key, value)))
    };
    let stanza = |kind: &'static str| {
        Node::new("receipt").attr("from", jid("1@lid")).attr("id", "A").attr("type", kind)
    };
    let read = receipt::Received::parse(&stanza("read-self").child(items("id", ["B", "A"]))).unwrap();
    assert_eq!(read.parts[0].ids, ["A", "B"]);
    assert_eq!(read.parts[0].kind, receipt::Incoming::Told { what: Told::Read, own: true });
    let view = receipt::Received::parse(&stanza("view").child(items("server_id", ["7", "8"]))).unwrap();
    assert_eq!(view.parts[0].ids, ["7", "8"]);
    let other = receipt::Received::parse(&stanza("enc_rekey_retry")).unwrap();
    assert_eq!(other.parts[0].kind, receipt::Incoming::Other("enc_rekey_retry".into()));
}

#[test]
fn bundles_are_read_device_by_device() {
    let user = |jid: &str| Node::new("user").attr("jid", self::jid(jid));
    let keys = |node: Node| {
        let part = |tag: &'static str, bytes: &[u8]| Node::new(tag).bytes(bytes);
        let skey = Node::new("skey").children([
            part("id", &[0, 0, 7]),
            part("value", &[2; 32]),
            part("signature", &[3; 64]),
        ]);
        node.children([
            part("registration", &[0, 0, 0, 9]),
            part("type", &[5]),
            part("identity", &[1; 32]),
            skey,
        ])
    };
    let answer = Node::new("iq").attr("type", "result").child(Node::new("list").children([
        keys(user("1555@lid")),
        user("1555:2@lid").child(keys(Node::new("keys"))),
        user("1555:3@lid").child(Node::new("error").attr("code", "406").attr("text", "gone")),
        user("1555:4@lid").child(Node::new("error").attr("code", "70000")),
        user("1555:5@lid").child(Node::new("registration").bytes([1])),
    ]));
    let fetched = prekeys::parse_fetched(&answer).unwrap();
    assert_eq!(fetched.len(), 4, "an unreadable error code makes no entry");
    for (_, bundle) in &fetched[..2] {
        let bundle = bundle.as_ref().unwrap();
        assert_eq!((bundle.registration_id, bundle.signed_prekey, bundle.prekey), (9, SIGNED, None));
    }
    assert!(matches!(&fetched[2].1, Err(prekeys::NoBundle::Refused(error)) if error.code == 406));
    assert_eq!(fetched[3].1, Err(prekeys::NoBundle::Malformed(Malformed("registration"))));
}

#[test]
fn a_digest_reads_back_and_an_answer_without_one_asks_for_an_upload() {
    let part = |tag: &'static str, bytes: &[u8]| Node::new(tag).bytes(bytes);
    let prekeys_held = [[4; 32], [5; 32]];
    let hash = prekeys::digest_hash(&[1; 32], &SIGNED, &prekeys_held);
    let skey = Node::new("skey").children([
        part("id", &[0, 0, 7]),
        part("value", &[2; 32]),
        part("signature", &[3; 64]),
    ]);
    let list = Node::new("list").children([part("id", &[0, 0, 1]), part("id", &[0, 1, 0])]);
    let digest = Node::new("digest").children([
        part("registration", &[0, 0, 0, 9]),
        part("identity", &[1; 32]),
        skey,
        list,
        part("hash", &hash),
    ]);
    let read = prekeys::Digest::parse(&Node::new("iq").child(digest)).unwrap().unwrap();
    assert_eq!((read.hash, read.prekey_ids), (hash, vec![1, 256]));
    assert_eq!(prekeys::Digest::parse(&Node::new("iq")), Ok(None));
}

#[test]
fn the_servers_ack_tells_of_stale_sets_and_refusals() {
    let ack = Node::new("ack").attr("class", "message").attr("id", "A").attr("from", jid("5@g.us"));
    let read = ServerAck::parse(&ack.clone().attr("t", "9").attr("phash", "2:x").attr("refresh_lid", "true"))
        .unwrap();
    assert_eq!(
        (read.t, read.phash.as_deref(), read.refresh_lid, read.error),
        (Some(9), Some("2:x"), true, None)
    );
    assert_eq!(ServerAck::parse(&ack.clone().attr("error", "463")).unwrap().error, Some(463));
    assert_eq!(ServerAck::parse(&ack.attr("error", "x")), Err(Malformed("error")));
}

#[test]
fn unknown_notifications_are_refused_with_488_and_broken_ones_with_487() {
    let notification = Node::new("notification").attr("id", "A").attr("from", Jid::service());
    let refused = |node: Node| Envelope::parse(&node).unwrap_err();
    let unknown = refused(notification.clone().attr("type", "news"));
    assert_eq!((unknown.nack() as u16, unknown), (488, Refused::Unknown));
    assert_eq!(refused(notification.clone()).nack() as u16, 487);
    let count = notification.child(Node::new("count").attr("value", "3"));
    assert_eq!(Encrypt::parse(&count), Ok(Some(Encrypt::Count(3))));
}
