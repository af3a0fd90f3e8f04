//! The payload judge alone (protocol 09 §27 no. 19): good payloads have no finding, each planted fault has exactly one,
//! and single mutations of good payloads are caught.

#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::File;
use palomar::stanza::judge::payload::{Envelope, Labels, Payload, Schema};
use palomar::stanza::judge::{Finding, What};
use rand::{RngExt, SeedableRng, rngs::StdRng};

fn schema() -> Schema {
    Schema::built_in().unwrap()
}

/// One field: number, wire type, and what follows the tag.
fn field(number: u32, wire_type: u8, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | u32::from(wire_type)), &mut out);
    out.extend_from_slice(value);
    out
}

fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(value, &mut out);
    field(number, 0, &out)
}

fn bytes(number: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut out = Vec::new();
    prost::encoding::encode_varint(value.len() as u64, &mut out);
    out.extend_from_slice(value);
    field(number, 2, &out)
}

fn pad(message: &[u8]) -> Vec<u8> {
    [message, &[4; 4]].concat()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_names(|name| {
        pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

const CHAT: &str = "15550002222@s.whatsapp.net";
const GROUP: &str = "120363000000000001@g.us";

/// A message from a contact in a 1:1 chat.
fn envelope(pairs: &[(&str, &str)]) -> Envelope {
    Envelope {
        chat: vec![CHAT.to_owned(), "100000000000022@lid".to_owned()],
        collective: false,
        own: false,
        peer: false,
        has_common: false,
        labels: labels(pairs),
    }
}

fn in_group(pairs: &[(&str, &str)]) -> Envelope {
    Envelope { chat: vec![GROUP.to_owned()], collective: true, ..envelope(pairs) }
}

fn text(words: &str) -> Vec<u8> {
    bytes(1, words)
}

/// What, place and attribute of the one finding.
fn one(findings: &[Finding]) -> (What, &str, &str) {
    let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), 1, "{words:?}");
    (findings[0].what, &findings[0].path, &findings[0].attr)
}

#[test]
fn judge_payload_line_19_the_messages_of_the_vectors_have_no_finding() {
    let schema = schema();
    let cases = File::open("messaging").section("messages");
    for case in &cases {
        let message = hex::decode(case["protobuf_hex"].as_str().unwrap()).unwrap();
        let found = schema.message(&message);
        let found: Vec<_> = found.iter().filter(|finding| finding.what != What::Default).collect();
        assert!(found.is_empty(), "{}: {found:?}", case["kind"]);
    }
    println!("{} messages without a finding", cases.len());
}

#[test]
fn judge_payload_line_19_the_attributes_of_the_vectors_agree_with_their_messages() {
    let schema = schema();
    for case in File::open("messaging").section("messages") {
        let expect = &case["expect"];
        if expect.is_null() {
            continue;
        }
        let message = hex::decode(case["protobuf_hex"].as_str().unwrap()).unwrap();
        let said = Labels::from_names(|name| {
            let value = match name {
                "type" | "edit" | "mediatype" => &expect[name],
                "decrypt-fail" => &expect["decrypt_fail"],
                other => &expect["meta"][other],
            };
            value.as_str().map(str::to_owned)
        });
        // Own copies among the vectors are judged as such.
        let own = case["kind"] == "device_sent_text";
        let chat = vec!["220000000000055@lid".to_owned(), "100000000000022@lid".to_owned()];
        let envelope = Envelope { chat, own, labels: said, ..envelope(&[]) };
        let found = schema.opened(&pad(&message), &envelope);
        let found: Vec<_> = found.iter().filter(|finding| finding.what != What::Default).collect();
        assert!(found.is_empty(), "{}: {found:?}", case["kind"]);
    }
}

#[test]
fn judge_payload_line_19_each_fault_of_the_bytes_is_one_finding_with_its_place() {
    use What::{Contents, Default, Packing, Range, Required, Undecodable, WireType};
    let key = [bytes(1, "15550002222@s.whatsapp.net"), varint(2, 1), bytes(3, "3EB0AA")].concat();
    let image = |inside: &[u8]| bytes(3, [&bytes(2, "image/jpeg"), inside].concat());
    let device_list = |inside: &[u8]| {
        [text("x"), bytes(35, bytes(1, [&varint(4, 0), &varint(5, 0), inside].concat()))].concat()
    };
    let cases: [(&str, Vec<u8>, What, &str); 20] = [
        ("no protobuf", vec![0x0a, 0x05, 0x01], Undecodable, ""),
        ("a varint of eleven bytes", field(99, 0, &[0xff; 11]), Undecodable, ""),
        ("a field number of 0", vec![0x00, 0x01], Undecodable, ""),
        ("an unbalanced group", [text("x"), field(200, 3, &[])].concat(), Undecodable, ""),
        ("no UTF-8", bytes(1, [0xff, 0xfe]), Undecodable, "conversation"),
        ("cut off inside", bytes(6, [0x0a, 0x09]), Undecodable, "extendedTextMessage"),
        ("a text as a number", varint(1, 7), WireType, "conversation"),
        ("a message as a number", varint(6, 7), WireType, "extendedTextMessage"),
        ("a number as a text", image(&bytes(6, "480")), WireType, "imageMessage/height"),
        ("a fixed number", image(&field(6, 5, &[0; 4])), WireType, "imageMessage/height"),
        ("packed scan lengths", image(&bytes(22, [1, 2])), Packing, "imageMessage/scanLengths"),
        (
            "indexes that are not packed",
            device_list(&varint(3, 1)),
            Packing,
            "messageContextInfo/deviceListMetadata/senderKeyIndexes",
        ),
        (
            "a bool of 2",
            [bytes(12, [bytes(1, [bytes(1, CHAT), varint(2, 2)].concat()), varint(2, 0)].concat())].concat(),
            Range,
            "protocolMessage/key/fromMe",
        ),
        ("a height above 32 bits", image(&varint(6, 1 << 32)), Range, "imageMessage/height"),
        (
            "an enum above 32 bits",
            bytes(12, [bytes(1, &key), varint(2, 1 << 33)].concat()),
            Range,
            "protocolMessage/type",
        ),
        (
            "a required field missing",
            bytes(6, bytes(36, [bytes(1, "a"), bytes(2, "b"), bytes(3, "c")].concat())),
            Required,
            "extendedTextMessage/endCardTiles/profilePictureUrl",
        ),
        ("no content", bytes(35, bytes(3, [7; 32])), Contents, ""),
        ("two contents", [text("x"), bytes(6, bytes(1, "y"))].concat(), Contents, ""),
        (
            "two contents in a wrapper",
            bytes(40, bytes(1, [text("x"), bytes(6, bytes(1, "y"))].concat())),
            Contents,
            "ephemeralMessage/message",
        ),
        (
            "a default that is not written",
            [text("x"), bytes(35, bytes(1, varint(4, 0)))].concat(),
            Default,
            "messageContextInfo/deviceListMetadata/receiverAccountType",
        ),
    ];
    let schema = schema();
    for (name, message, what, path) in cases {
        let found = schema.message(&message);
        assert_eq!(one(&found), (what, path, ""), "{name}");
        assert_eq!(found[0].op, "payload.Message");
    }
}

#[test]
fn judge_payload_line_19_each_fault_around_a_message_is_one_finding_with_its_place() {
    use What::{Attributes, KeyGroup, Padding, Undecodable, Wrapper};
    let schema = schema();
    let plain = [("type", "text")];
    let own = || Envelope { own: true, ..envelope(&plain) };
    let copy = |to: &str| bytes(31, [bytes(1, to), bytes(2, text("x"))].concat());
    let signal = [&[0x33][..], &varint(1, 5), &varint(2, 0), &bytes(3, [1; 32]), &bytes(4, [5; 33])].concat();
    let key = |group: Option<&str>| {
        let group = group.map(|group| bytes(1, group)).unwrap_or_default();
        bytes(2, [group, bytes(2, &signal)].concat())
    };
    let with_key = |group| [text("x"), key(group)].concat();
    assert_eq!(schema.opened(&pad(&text("x")), &envelope(&plain)), []);
    assert_eq!(schema.opened(&pad(&copy("100000000000022@lid")), &own()), []);
    assert_eq!(schema.opened(&pad(&key(Some(GROUP))), &in_group(&plain)), []);
    assert_eq!(schema.opened(&pad(&with_key(Some(GROUP))), &in_group(&plain)), []);

    let found = |message: &[u8], envelope: &Envelope| schema.opened(&pad(message), envelope);
    assert_eq!(one(&found(&text("x"), &own())), (Wrapper, "", ""));
    assert_eq!(one(&found(&copy(CHAT), &envelope(&plain))), (Wrapper, "deviceSentMessage", ""));
    let elsewhere = copy("15550009999@s.whatsapp.net");
    assert_eq!(one(&found(&elsewhere, &own())), (Wrapper, "deviceSentMessage/destinationJid", ""));
    let common = Envelope { own: true, has_common: true, ..in_group(&plain) };
    assert_eq!(found(&text("x"), &common), []);
    assert_eq!(one(&found(&copy(GROUP), &common)), (Wrapper, "deviceSentMessage", ""));

    let path = "senderKeyDistributionMessage/groupId";
    assert_eq!(one(&found(&with_key(None), &in_group(&plain))), (KeyGroup, path, ""));
    assert_eq!(one(&found(&with_key(Some(CHAT)), &in_group(&plain))), (KeyGroup, path, ""));
    let path = "senderKeyDistributionMessage";
    assert_eq!(one(&found(&with_key(Some(CHAT)), &envelope(&plain))), (KeyGroup, path, ""));
    let broken = [text("x"), bytes(2, [bytes(1, GROUP), bytes(2, [0x22, 1])].concat())].concat();
    let path = "senderKeyDistributionMessage/axolotlSenderKeyDistributionMessage";
    assert_eq!(one(&found(&broken, &in_group(&plain))), (Undecodable, path, ""));

    let reaction = bytes(46, [bytes(1, bytes(3, "A")), bytes(2, "+")].concat());
    let good = [("type", "reaction"), ("decrypt-fail", "hide")];
    assert_eq!(found(&reaction, &envelope(&good)), []);
    for (wrong, attr) in [
        (&[("type", "text"), ("decrypt-fail", "hide")][..], "type"),
        (&[("type", "reaction")], "decrypt-fail"),
        (&[("type", "reaction"), ("decrypt-fail", "hide"), ("edit", "7")], "edit"),
        (&[("type", "reaction"), ("decrypt-fail", "hide"), ("mediatype", "image")], "mediatype"),
        (&[("type", "reaction"), ("decrypt-fail", "hide"), ("polltype", "vote")], "polltype"),
        (&[("type", "reaction"), ("decrypt-fail", "hide"), ("event_type", "edit")], "event_type"),
        (&[("type", "reaction"), ("decrypt-fail", "hide"), ("appdata", "member_tag")], "appdata"),
    ] {
        assert_eq!(one(&found(&reaction, &envelope(wrong))), (Attributes, "", attr));
    }

    for padded in [[text("x"), vec![17; 17]].concat(), [text("x"), vec![0]].concat(), text("x"), vec![]] {
        assert_eq!(one(&schema.opened(&padded, &envelope(&plain))), (Padding, "", ""), "{padded:?}");
    }
}

#[test]
fn judge_payload_what_the_schema_does_not_know_is_no_finding() {
    let schema = schema();
    let unknown_field = [text("x"), bytes(35, bytes(9999, "new"))].concat();
    assert_eq!(schema.message(&unknown_field), []);
    let group =
        [text("x"), bytes(35, [field(7000, 3, &varint(1, 1)), field(7000, 4, &[])].concat())].concat();
    assert_eq!(schema.message(&group), [], "a balanced group");
    let unknown_enum = bytes(12, [bytes(1, bytes(3, "A")), varint(2, 9999)].concat());
    assert_eq!(schema.message(&unknown_enum), []);
    assert_eq!(schema.plain(&[], &labels(&[("edit", "8")])), [], "a newsletter's deletion");
}

#[test]
fn judge_payload_nesting_is_bounded() {
    let mut message = text("x");
    for _ in 0..5_000 {
        message = bytes(40, bytes(1, &message));
    }
    let found = schema().message(&message);
    assert!(found.iter().any(|finding| finding.what == What::Undecodable), "{}", found.len());
}

#[test]
fn judge_payload_a_payload_inside_another_is_judged_along() {
    let schema = schema();
    let props = [bytes(1, "Mac OS"), varint(3, 1), varint(4, 2)].concat();
    let registration = bytes(19, bytes(8, &props));
    let found = schema.walk(Payload::ClientPayload, &registration);
    assert_eq!(one(&found), (What::Range, "devicePairingData/deviceProps/requireFullSync", ""));
    assert_eq!(found[0].op, "payload.ClientPayload");
    let details = [varint(1, 1), varint(2, 1 << 40)].concat();
    assert_eq!(schema.walk(Payload::SignedDeviceIdentity, &bytes(1, details)), []);
    let found = schema.walk(Payload::SignedDeviceIdentity, &bytes(1, varint(1, 1 << 40)));
    assert_eq!(one(&found), (What::Range, "details/rawId", ""));
}

#[test]
fn judge_payload_a_bad_schema_names_line_and_column() {
    let header = "message,field,number,type,label,oneof,source,options";
    let enums = "enum,value_name,number,source\nE,A,0,baileys\n";
    for (row, column) in [
        ("M,f,1,string,optional,,baileys", "options"),
        (",f,1,string,optional,,baileys,", "message"),
        ("M,f,0,string,optional,,baileys,", "number"),
        ("M,f,1,text,optional,,baileys,", "type"),
        ("M,f,1,\"map<string>\",map,,baileys,", "type"),
        ("M,f,1,string,sometimes,,baileys,", "label"),
    ] {
        let error = Schema::parse(&format!("{header}\n{row}\n"), enums).unwrap_err();
        assert_eq!((error.line, error.column), (2, column), "{row}: {error}");
    }
    let error = Schema::parse(&format!("{header}\nM,f,1,E,optional,,baileys,\n"), enums).unwrap_err();
    assert!(error.to_string().contains("no message Message"), "{error}");
    assert_eq!(Schema::parse("a,b\n", enums).unwrap_err().line, 1);
    let error = Schema::parse(header, "enum,value_name,number,source\nE,A,x,baileys\n").unwrap_err();
    assert_eq!((error.line, error.column), (2, "number"));
}

#[test]
fn judge_payload_the_tables_are_those_that_the_schema_is_checked_against() {
    let (schema, enums) = Schema::built_in_texts();
    assert!(schema == include_str!("../proto/tests/data/schema.csv"));
    assert!(enums == include_str!("../proto/tests/data/enums.csv"));
}

/// One random change of one field at any depth of the first level's sub-messages; yields whether anything changed.
fn mutate(message: &[u8], rng: &mut StdRng) -> Option<Vec<u8>> {
    let fields: Vec<_> = palomar_proto::edit::fields(message).collect::<Result<_, _>>().ok()?;
    let at = rng.random_range(0..fields.len().max(1));
    let chosen = fields.get(at)?;
    let change = match (chosen.value, rng.random_range(0..5)) {
        // Another wire type.
        (palomar_proto::edit::Value::Bytes(_), 0) => varint(chosen.number, 1),
        (_, 0) => bytes(chosen.number, "x"),
        // Cut off.
        (palomar_proto::edit::Value::Bytes(inside), 1) if inside.len() > 1 => {
            field(chosen.number, 2, &[&[inside.len() as u8 & 0x7f][..], &inside[1..]].concat())
        }
        (palomar_proto::edit::Value::Varint(_), 1) => varint(chosen.number, u64::MAX >> 1),
        // A second content beside it.
        (_, 2) => [chosen.raw, &bytes(6, bytes(1, "second"))[..], &bytes(13, [])[..]].concat(),
        // Taken out.
        (_, 3) => Vec::new(),
        // Deeper.
        (palomar_proto::edit::Value::Bytes(inside), _) if !inside.is_empty() => {
            bytes(chosen.number, mutate(inside, rng)?)
        }
        _ => return None,
    };
    let parts = fields.iter().enumerate().map(|(n, field)| if n == at { &change[..] } else { field.raw });
    let changed = parts.collect::<Vec<_>>().concat();
    (changed != message).then_some(changed)
}

#[test]
fn judge_payload_catches_at_least_80_of_100_single_mutations() {
    let schema = schema();
    let messages: Vec<Vec<u8>> = File::open("messaging")
        .section("messages")
        .iter()
        .filter(|case| !case["expect"].is_null())
        .map(|case| hex::decode(case["protobuf_hex"].as_str().unwrap()).unwrap())
        .filter(|message| schema.message(message).is_empty())
        .collect();
    let mut rng = StdRng::seed_from_u64(0x70617970);
    let (mut caught, mut tried) = (0u32, 0u32);
    while tried < 2_000 && !messages.is_empty() {
        let message = &messages[rng.random_range(0..messages.len())];
        if let Some(changed) = mutate(message, &mut rng) {
            tried += 1;
            caught += u32::from(!schema.message(&changed).is_empty());
        }
    }
    println!("payload mutations caught: {caught} of {tried}");
    assert!(caught * 100 >= tried * 80, "{caught} of {tried}");
}
