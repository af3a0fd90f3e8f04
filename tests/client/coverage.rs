//! The coverage list (protocol 09 §23.1, §27 no. 21): every operation that palomar can send is sent to the strict
//! simulator and judged there, and every deliberate deviation is met.
//!
//! What the client sends by itself it sends by itself. What it sends only in situations that the simulator can't bring
//! about yet goes out of the same builders, over a connection of the test's own.

use std::collections::BTreeSet;

use palomar::sim::{Corrupt, TrafficFilter};
use palomar::stanza::ack::{Answerable, Nack};
use palomar::stanza::content::Kind;
use palomar::stanza::ib::Dirty;
use palomar::stanza::judge::{Deviations, Direction, Table};
use palomar::stanza::keys::{Bundle, PreKey, SignedPreKey};
use palomar::stanza::outgoing::{Addressing, Body, Cipher, Enc, Outgoing, Peer, PushPriority, Target};
use palomar::stanza::receipt::{self, Receipt};
use palomar::stanza::retry::{Reason, Request};
use palomar::stanza::usync::{Context, Mode, Protocol, Query, User};
use palomar::stanza::{blocklist, contact_token, ib, iq, mex, pair, prekeys, presence, privacy, props};
use palomar::wire::{Jid, Node};
use serde_json::Value;

use crate::raw::Raw;
use crate::world::{ANNA, BERT, World, within};

/// Every operation of the table that some code of palomar builds. Two are left out because another one, which stands
/// before them in the table and is listed, takes every stanza of theirs: `iq.pair_device_result` (`iq.ping_result`) and
/// `receipt.played` (`receipt.aggregate`).
const CAN_SEND: [&str; 41] = [
    "ab_props.get_experiment_config",
    "ack.call",
    "ack.message",
    "ack.notification",
    "ack.receipt",
    "blocklists.get_block_list",
    "dirty.clean",
    "iq.pair_device_sign",
    "iq.ping_result",
    "md.companion_finish",
    "md.companion_hello",
    "md.companion_nonce",
    "md.encrypted_pairing_request",
    "md.passkey_options",
    "md.passkey_prologue",
    "md.ref",
    "md.remove_companion",
    "message.device",
    "message.group",
    "message.group_key",
    "message.status",
    "message.user",
    "message_publish.newsletter",
    "mex",
    "offline.batch",
    "passive_mode.active_iq",
    "pings.client",
    "pre_keys.fetch_key_bundles",
    "prekeys.count",
    "prekeys.digest",
    "prekeys.identity",
    "prekeys.rotate",
    "prekeys.upload",
    "presence.availability",
    "privacy.get",
    "privacy.tokens",
    "receipt.aggregate",
    "receipt.delivery",
    "receipt.retry",
    "unified_session.share",
    "usync",
];

const GROUP: &str = "120363000000000001@g.us";

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

/// The operations of which some stanza was judged, and what was unlike.
fn judged(totals: &Value) -> (BTreeSet<String>, Vec<String>) {
    let rows = totals["accounts"].as_array().unwrap();
    let operations = rows.iter().flat_map(|row| row["operations"].as_object().unwrap().keys());
    let findings = rows.iter().flat_map(|row| row["findings"].as_array().unwrap());
    let unlike = findings.filter(|finding| finding["listed"] == false).map(Value::to_string);
    (operations.cloned().collect(), unlike.collect())
}

#[tokio::test(start_paused = true)]
async fn judge_line_21_every_operation_that_palomar_can_send_was_judged_and_every_deviation_met() {
    let world = World::new().await;
    by_itself(&world).await;
    let device = world.linked(ANNA, 1).await;
    device.client.disconnect().await.unwrap();
    let mut raw = Raw::log_in(&world, &device.store).await;
    for stanza in built() {
        raw.send(&stanza).await;
    }
    let farewell = query(pair::remove_companion(raw.own().clone()), 9_999);
    raw.send_last(&farewell).await;

    let totals = world.sim.admin().judge_totals().await;
    let (seen, unlike) = judged(&totals);
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
    let can_send: BTreeSet<String> = CAN_SEND.map(str::to_owned).into();
    let never: Vec<_> = can_send.difference(&seen).collect();
    let unlisted: Vec<_> = seen.difference(&can_send).collect();
    println!("{} of {} operations judged", seen.len(), can_send.len());
    assert!(never.is_empty(), "never judged: {never:?}");
    assert!(unlisted.is_empty(), "sent, and not in the coverage list: {unlisted:?}");
    let unused = totals["unused_deviations"].as_array().unwrap();
    assert!(unused.is_empty(), "never met, so take them out: {unused:?}");
    let of_shapes = |code: &str| code == "stanza-unlike" || code == "payload-unlike";
    let violations = world.sim.admin().violations().await;
    let unlike: Vec<_> = violations.items().iter().filter(|item| of_shapes(&item.code)).collect();
    assert!(unlike.is_empty(), "{unlike:#?}");
}

/// Both ways of linking, a refused one, texts both ways to phone and companion, reads, presence, pings, the offline
/// queue, a lost session.
async fn by_itself(world: &World) {
    let admin = world.sim.admin();
    let refused = world.device(3).await;
    let mut pairing = refused.client.pair().await.unwrap();
    loop {
        match within(pairing.next()).await.expect("the pairing ended") {
            palomar::client::PairEvent::QrCode { text, .. } => {
                let scanned = admin.scan_qr_with(BERT, &text, Some(Corrupt::AccountSig)).await;
                assert!(scanned.is_err());
            }
            palomar::client::PairEvent::PairError { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    let by_code = world.device(4).await;
    let pairing = by_code.client.pair().await.unwrap();
    let code = within(pairing.code(BERT, None)).await.unwrap();
    admin.enter_code(BERT, &code).await.unwrap();
    within(by_code.client.ready()).await.unwrap();

    let anna = world.linked(ANNA, 2).await;
    let (to_bert, to_anna) = (Jid::pn(BERT).unwrap(), Jid::pn(ANNA).unwrap());
    by_code.client.send_text(&to_anna, "one", "one").await.unwrap();
    let (id, chat) = anna
        .event(|delivery| match &delivery.event {
            palomar::client::Event::Message(message) => Some((message.id.clone(), message.chat.clone())),
            _ => None,
        })
        .await;
    let chat = jid(&chat.to_string());
    anna.client.mark_read(&chat, &chat, vec![id], false).await.unwrap();
    anna.client.set_available(true);
    anna.client.send_text(&to_bert, "two", "two").await.unwrap();
    admin.wait_text(BERT, "two", std::time::Duration::from_secs(60)).await.unwrap();
    // A phone's message to a companion that has forgotten its sessions.
    admin.send_text(BERT, ANNA, "three").await.unwrap();
    anna.store
        .write(|tx| {
            for address in tx.session_addresses("")? {
                tx.delete_session(&address)?;
            }
            Ok::<_, palomar::store::StoreError>(())
        })
        .await
        .unwrap();
    admin.send_text(BERT, ANNA, "four").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    anna.client.disconnect().await.unwrap();
    for n in 0..10 {
        admin.send_text(BERT, ANNA, &format!("later {n}")).await.unwrap();
    }
    anna.client.connect().await.unwrap();
    within(anna.client.ready()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    anna.client.log_out().await.unwrap();
    by_code.client.disconnect().await.unwrap();
}

fn query(iq: Node, number: u32) -> Node {
    iq.attr("id", format!("7.7-{number}"))
}

/// One stanza of every builder.
fn built() -> Vec<Node> {
    let mut stanzas = queries();
    stanzas.extend(messages());
    stanzas.extend(receipts());
    stanzas.extend(answers());
    stanzas.extend([
        presence::own(true, "Anna"),
        presence::own(false, "Anna"),
        presence::renamed("Anna"),
        ib::unified_session(1_760_000_000_000),
        ib::offline_batch(3),
        iq::result(Jid::service(), Some("server-1")),
        iq::error(Jid::service(), "server-2", 401, "hmac-mismatch"),
        pair::device_sign("server-3", 1, vec![0x0a, 0]),
    ]);
    stanzas
}

const SIGNED: SignedPreKey = SignedPreKey { id: 7, public: [2; 32], signature: [3; 64] };

fn queries() -> Vec<Node> {
    let devices = [jid("1555@lid"), jid("1555:3@lid")];
    let keys = [PreKey { id: 1, public: [4; 32] }];
    let own = prekeys::Own { registration_id: 9, identity: &[1; 32], signed_prekey: &SIGNED };
    let usync = |mode, context, protocols: &[Protocol], users: Vec<User>| {
        Query { mode, context, protocols: protocols.to_vec(), users }.build("1.2-4")
    };
    let people = || vec![User::jid(&jid("1555@lid"))];
    let numbers = || vec![User::phone("+15552223333")];
    let iqs = [
        prekeys::count(),
        prekeys::digest(),
        prekeys::identities(&devices),
        prekeys::fetch([(&devices[0], false), (&devices[1], true)]),
        prekeys::upload(own, &keys),
        prekeys::rotate(&SIGNED),
        props::query(None),
        props::query(Some(props::Known::Hash("1w"))),
        privacy::query(),
        blocklist::query(None),
        blocklist::query(Some("1w")),
        mex::query("24170533042580165", &serde_json::json!({})),
        contact_token::issue(&jid("15552223333@s.whatsapp.net"), 1_760_000_000),
        ib::clean(&[Dirty {
            kind: "account_sync".to_owned(),
            timestamp: Some("1760000000".to_owned()),
            parts: Vec::new(),
        }]),
        iq::ping(),
        iq::active(),
        usync(Mode::Query, Context::Message, &[Protocol::Devices], people()),
        usync(Mode::Query, Context::Background, &[Protocol::Lid, Protocol::Devices], people()),
        usync(Mode::Query, Context::Interactive, &[Protocol::Contact { lid: true }], numbers()),
        pair::passkey_options_query(),
        pair::passkey_ref_query(),
        pair::passkey_prologue(vec![1; 16], "{}", vec![2; 40], Some([3; 32])),
        pair::passkey_nonce([4; 32]),
        pair::passkey_request(vec![5; 100]),
    ];
    (0..).zip(iqs).map(|(number, iq)| query(iq, number)).collect()
}

fn enc(cipher: Cipher) -> Enc {
    Enc::new(cipher, vec![0x33, 1, 2])
}

fn fanout(targets: &[(&str, Option<Cipher>)], common: bool) -> Body {
    let target =
        |(jid, cipher): &(&str, Option<Cipher>)| Target { jid: self::jid(jid), enc: cipher.map(enc) };
    Body::Fanout {
        targets: targets.iter().map(target).collect(),
        common: common.then(|| enc(Cipher::SenderKey)),
    }
}

/// The sender key for two devices, and the mark that there is no message.
fn key_only() -> Body {
    let hidden = |cipher, ciphertext| Enc { hide: true, ..Enc::new(cipher, ciphertext) };
    let target = |to: &str| Target { jid: jid(to), enc: Some(hidden(Cipher::Message, vec![0x33, 1])) };
    Body::Fanout {
        targets: vec![target("1555@lid"), target("1777:2@lid")],
        common: Some(hidden(Cipher::SenderKey, Vec::new())),
    }
}

fn messages() -> Vec<Node> {
    let both = [("1555@lid", Some(Cipher::Message)), ("1777:2@lid", Some(Cipher::Message))];
    let message = |number: u32, to: &str, body| {
        Outgoing::new(format!("3EB0AABBCCDDEEFF00{number:04}"), jid(to), Kind::Text, body)
    };
    let lid = Some(Addressing::Lid);
    let outgoing = [
        message(1, "1555@lid", fanout(&both, false)),
        Outgoing { missed_devices_only: true, ..message(2, "1555@lid", fanout(&both[1..], false)) },
        Outgoing {
            addressing: lid,
            phash: Some("2:abcdefgh".into()),
            ..message(3, GROUP, fanout(&both, true))
        },
        Outgoing {
            addressing: lid,
            phash: Some("2:abcdefgh".into()),
            ..message(4, GROUP, fanout(&[], true))
        },
        Outgoing {
            participant: Some(jid("1555@lid")),
            addressing: lid,
            ..message(5, GROUP, Body::One(Enc { count: Some(1), ..enc(Cipher::Message) }))
        },
        Outgoing {
            recipient: Some(jid("1555@lid")),
            ..message(6, "1777:2@lid", Body::One(Enc { count: Some(2), ..enc(Cipher::Message) }))
        },
        Outgoing {
            peer: Some(Peer { priority: PushPriority::High, privacy_sensitive: false }),
            meta: vec![("appdata", "default".into())],
            ..message(7, "15550003333@s.whatsapp.net", Body::One(enc(Cipher::Message)))
        },
        Outgoing {
            meta: vec![("status_setting", "contacts".into())],
            ..message(8, "status@broadcast", fanout(&[both[1], ("1888@lid", None)], true))
        },
        message(
            9,
            "120363400000000001@newsletter",
            Body::Plain { message: vec![0x0a, 1, b'x'], media: None },
        ),
        Outgoing {
            server_id: Some(101),
            kind: Kind::Reaction,
            ..message(10, "120363400000000001@newsletter", Body::Reaction(Some("+".into())))
        },
        // The key alone.
        Outgoing {
            missed_devices_only: true,
            phash: Some("2:abcdefgh".into()),
            meta: vec![("appdata", "default".into())],
            ..message(11, GROUP, key_only())
        },
    ];
    outgoing.into_iter().map(Outgoing::build).collect()
}

fn receipts() -> Vec<Node> {
    use receipt::Kind::{
        Delivery, HistorySync, Inactive, PeerMessage, Played, PlayedSelf, Read, ReadSelf, Sender,
    };
    let kinds = [Delivery, Inactive, Sender, PeerMessage, HistorySync, Read, ReadSelf, Played, PlayedSelf];
    let mut built: Vec<Node> = kinds
        .into_iter()
        .filter_map(|kind| {
            let t = kind.is_awaited().then_some(1_760_000_000_000);
            Receipt { t, ..Receipt::new(kind, jid("1555:3@lid"), vec!["3EB0AA".into()]) }.build()
        })
        .collect();
    let in_group = Receipt {
        participant: Some(jid("1555@lid")),
        t: Some(1_760_000_000),
        ..Receipt::new(Read, jid(GROUP), vec!["3EB0AA".into(), "3EB0BB".into()])
    };
    built.extend(in_group.build());
    let aggregate = Receipt { kind: Delivery, ..in_group };
    built.extend(aggregate.build());
    let keys = Bundle {
        registration_id: 9,
        identity: [1; 32],
        signed_prekey: SIGNED,
        prekey: Some(PreKey { id: 3, public: [4; 32] }),
        device_identity: Some(vec![0x0a, 0]),
    };
    let places = [(jid("1555@lid"), None), (jid(GROUP), Some(jid("1555@lid")))];
    built.extend(places.into_iter().map(|(to, participant)| {
        Request {
            to,
            participant,
            recipient: None,
            is_peer: false,
            id: "3EB0AA".into(),
            count: 2,
            t: 1_760_000_000,
            reason: Some(Reason::BadMac),
            registration_id: 9,
            keys: Some(keys.clone()),
        }
        .build()
    }));
    built
}

/// Acks and nacks of everything that is acked.
fn answers() -> Vec<Node> {
    let own = jid("15550003333:1@s.whatsapp.net");
    let stanza = |tag: &'static str, from: &str| Node::new(tag).attr("from", jid(from)).attr("id", "A1");
    let received = [
        stanza("message", GROUP).attr("participant", jid("1555@lid")).attr("type", "text"),
        stanza("message", "1555@lid").attr("type", "text"),
        stanza("status", "1555@lid"),
        stanza("receipt", GROUP).attr("participant", jid("1555@lid")).attr("type", "read"),
        stanza("receipt", "1555@lid"),
        stanza("receipt", "1555@lid").attr("type", "retry"),
        stanza("notification", GROUP).attr("type", "w:gp2").attr("participant", jid("1555@lid")),
        stanza("notification", "1555@lid").attr("type", "encrypt").child(Node::new("identity")),
        stanza("notification", "s.whatsapp.net").attr("type", "encrypt").child(Node::new("count")),
        stanza("notification", "1555@lid").attr("type", "devices"),
        stanza("notification", "s.whatsapp.net").attr("type", "server_sync"),
        stanza("call", "1555@lid"),
    ];
    let answerable = received.iter().map(|stanza| Answerable::of(stanza).unwrap().unwrap());
    answerable
        .flat_map(|answerable| [answerable.ack(Some(&own)), answerable.nack(Some(&own), Nack::Parsing)])
        .collect()
}

/// A new family of requests has to stand in the list: no namespace of a request is written anywhere in stanza and client
/// but those of the list.
#[test]
fn judge_coverage_no_namespace_is_built_that_the_list_lacks() {
    let text = include_str!("../../src/stanza/judge/stanzas.csv");
    let namespaces = |ops: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
        let rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let rows = rows.filter(|row| row[0] == "out" && row[3] == "xmlns" && ops(row[1]));
        rows.map(|row| row[5].to_owned()).collect()
    };
    let listed = namespaces(&|op| CAN_SEND.contains(&op));
    let others: BTreeSet<String> = namespaces(&|_| true).difference(&listed).cloned().collect();
    assert!(others.len() > 5, "{others:?}");
    let mut built = Vec::new();
    for file in sources(&["src/stanza", "src/client"]) {
        let code = std::fs::read_to_string(&file).unwrap();
        let code = code.split("#[cfg(test)]").next().unwrap().to_owned();
        for namespace in &others {
            let forms = [
                format!("iq::get(\"{namespace}\""),
                format!("iq::set(\"{namespace}\""),
                format!("get(\"{namespace}\""),
                format!("set(\"{namespace}\""),
                format!(".attr(\"xmlns\", \"{namespace}\")"),
            ];
            if forms.iter().any(|form| code.contains(form)) {
                built.push(format!("{}: {namespace}", file.display()));
            }
        }
    }
    assert!(built.is_empty(), "requests that no test has judged:\n{}", built.join("\n"));
}

fn sources(roots: &[&str]) -> Vec<std::path::PathBuf> {
    let mut open: Vec<_> =
        roots.iter().map(|root| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(root)).collect();
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.file_name().is_some_and(|name| name == "tests" || name == "tests.rs");
            match path.is_dir() {
                true if is_test || path.ends_with("src/client/world") => {}
                true => open.push(path),
                false if !is_test && path.extension().is_some_and(|kind| kind == "rs") => files.push(path),
                false => {}
            }
        }
    }
    files
}

#[test]
fn judge_coverage_the_list_names_operations_of_the_table() {
    let table = Table::built_in().unwrap();
    let known: BTreeSet<&str> = table.names(Direction::Out).collect();
    for op in CAN_SEND {
        assert!(known.contains(op), "{op}");
    }
    // Every deviation is of something that we send.
    for deviation in Deviations::built_in().unwrap().iter() {
        assert!(
            CAN_SEND.contains(&&*deviation.op) || deviation.op.starts_with("payload."),
            "{}",
            deviation.op
        );
    }
}

#[tokio::test(start_paused = true)]
async fn judge_line_21_what_phones_open_was_judged_too() {
    let world = World::new().await;
    let anna = world.linked(ANNA, 1).await;
    anna.client.send_text(&Jid::pn(BERT).unwrap(), "hello", "key").await.unwrap();
    world.sim.admin().wait_text(BERT, "hello", std::time::Duration::from_secs(60)).await.unwrap();
    let filter = TrafficFilter { tag: Some("message".to_owned()), ..TrafficFilter::default() };
    let items = world.sim.admin().traffic(&filter).await;
    let sent = items.iter().find(|item| item.judge.is_some()).unwrap();
    let by: Vec<String> = sent
        .payloads
        .iter()
        .filter_map(|payload| payload.device.as_ref())
        .map(|device| format!("{}:{}", device.number, device.device))
        .collect();
    assert!(by.contains(&format!("{BERT}:0")) && by.contains(&format!("{ANNA}:0")), "{by:?}");
    assert!(sent.payloads.iter().all(|payload| payload.findings.is_empty()));
    let totals = world.sim.admin().judge_totals().await;
    let rows = totals["accounts"].as_array().unwrap();
    let payloads: u64 = rows.iter().filter_map(|row| row["payloads"]["judged"].as_u64()).sum();
    // Two client payloads, the signed identity in the pairing and in the message, two copies of the text.
    assert!(payloads >= 6, "{totals:#}");
    assert_eq!(
        totals["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|row| row["payloads"]["unlike"].as_u64())
            .sum::<u64>(),
        0
    );
}
