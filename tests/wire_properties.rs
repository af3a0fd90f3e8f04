//! What holds for every node and every address, and what happens at the boundaries (03 §17).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write as _;

use palomar::wire::{
    self, Arena, Content, DecodeErrorKind as Kind, Dialect, EncodeError, Jid, MAX_INFLATED, Node, Server,
    Token, Value,
};
use proptest::prelude::*;

fn encode(node: &Node) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    wire::encode_in(Dialect::Server, node, &mut out).map(|()| out)
}

fn kind_of(bytes: &[u8]) -> Option<Kind> {
    wire::decode(bytes, &mut Arena::new()).err().map(|error| error.kind)
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(vec![2], flate2::Compression::fast());
    zlib.write_all(body).unwrap();
    zlib.finish().unwrap()
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        (1u16..1280).prop_map(|number| Token::new(number).map_or_else(String::new, |t| t.text().to_owned())),
        "[0-9.-]{0,130}",
        "[0-9A-F]{0,130}",
        "\\PC{0,40}",
        any::<String>(),
        "[a-z]{250,260}",
    ]
}

fn any_name() -> impl Strategy<Value = String> {
    any_text().prop_filter("not empty", |text| !text.is_empty())
}

fn any_server() -> impl Strategy<Value = Server> {
    let known = [
        "s.whatsapp.net",
        "lid",
        "hosted",
        "hosted.lid",
        "c.us",
        "g.us",
        "broadcast",
        "newsletter",
        "bot",
        "call",
        "msgr",
        "interop",
    ];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(Server::from),
        "[a-z0-9.-]{1,12}".prop_map(|text| Server::from(text.as_str())),
    ]
}

/// Any address the types allow.
fn any_address() -> impl Strategy<Value = Jid> {
    let user = prop_oneof!["[0-9]{1,20}", "[0-9A-F]{1,30}", "[a-zA-Z0-9._-]{1,20}", "\\PC{1,10}"];
    let address = (any_server(), user, any::<u16>(), any::<u16>(), any::<bool>()).prop_filter_map(
        "not an address",
        |(server, user, device, integrator, primary)| {
            let device = match server {
                _ if primary => 0,
                Server::Pn | Server::Lid | Server::Hosted | Server::HostedLid | Server::CUs => device % 256,
                Server::Msgr | Server::Interop => device,
                _ => 0,
            };
            let integrator = if server == Server::Interop { integrator } else { 0 };
            Jid::from_parts(&user, server, device, integrator).ok()
        },
    );
    prop_oneof![9 => address, 1 => any_server().prop_map(Jid::server_only)]
}

/// Any address that has a binary form.
fn any_jid() -> impl Strategy<Value = Jid> {
    any_address().prop_filter("no binary form", |jid| *jid.server() != Server::CUs || jid.device() == 0)
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![any_text().prop_map(|text| Value::Text(text.into())), any_jid().prop_map(Value::Jid)]
}

fn any_attrs() -> impl Strategy<Value = Vec<(std::borrow::Cow<'static, str>, Value)>> {
    proptest::collection::vec((any_name(), any_value()), 0..6).prop_map(|attrs| {
        let mut seen = std::collections::HashSet::new();
        attrs
            .into_iter()
            .filter(|(key, _)| seen.insert(key.clone()))
            .map(|(key, v)| (key.into(), v))
            .collect()
    })
}

fn any_node() -> impl Strategy<Value = Node> {
    let leaf_content = prop_oneof![
        Just(Content::None),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Content::Bytes),
        any_text().prop_map(|text| Content::Text(text.into())),
        any_jid().prop_map(Content::Jid),
    ];
    let leaf = (any_name(), any_attrs(), leaf_content).prop_map(|(tag, attrs, content)| Node {
        tag: tag.into(),
        attrs,
        content,
    });
    leaf.prop_recursive(5, 40, 6, |inner| {
        (any_name(), any_attrs(), proptest::collection::vec(inner, 0..6))
            .prop_map(|(tag, attrs, nodes)| Node { tag: tag.into(), attrs, content: Content::Nodes(nodes) })
    })
}

fn holds_interop(node: &Node) -> bool {
    let interop = |jid: &Jid| *jid.server() == Server::Interop;
    node.attrs.iter().any(|(_, value)| matches!(value, Value::Jid(jid) if interop(jid)))
        || matches!(&node.content, Content::Jid(jid) if interop(jid))
        || node.nodes().any(holds_interop)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_node_survives_encode_and_decode_and_a_second_encode_is_byte_identical(node in any_node()) {
        let bytes = encode(&node).unwrap();
        let decoded = wire::decode_node(&bytes).unwrap();
        prop_assert!(node.same_as(&decoded), "{node} became {decoded}");
        prop_assert_eq!(encode(&decoded).unwrap(), bytes);
    }

    #[test]
    fn parse_of_format_is_the_same_address(jid in any_address()) {
        prop_assert_eq!(jid.to_string().parse::<Jid>(), Ok(jid.clone()));
        prop_assert!(jid.is_address());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::decode_node(&bytes);
        let mut framed = vec![0, 0xf8, 4];
        framed.extend_from_slice(&bytes);
        let _ = wire::decode_node(&framed);
        framed[0] = 2;
        let _ = wire::decode_node(&framed);
    }

    #[test]
    fn a_compressed_frame_is_the_same_node(node in any_node()) {
        let bytes = encode(&node).unwrap();
        prop_assert!(wire::decode_node(&compress(&bytes[1..])).unwrap().same_as(&node));
    }

    #[test]
    fn the_json_form_of_a_node_reads_back(node in any_node()) {
        prop_assert_eq!(wire::json::from_json(&wire::json::to_json(&node)), Ok(node));
    }
}

/// The server value at the end of an interop JID, as a server writes it.
const INTEROP: &[u8] = b"\xfc\x07interop";

/// Whether the frame ends with an interop JID.
fn ends_with_interop(node: &Node) -> bool {
    match &node.content {
        Content::Jid(jid) => *jid.server() == Server::Interop,
        Content::Nodes(nodes) if !nodes.is_empty() => nodes.last().is_some_and(ends_with_interop),
        Content::None | Content::Nodes(_) => matches!(
            node.attrs.last(),
            Some((_, Value::Jid(jid))) if *jid.server() == Server::Interop && !jid.user().is_empty()
        ),
        _ => false,
    }
}

/// Whether these bytes end inside the server value of an interop JID, which the decoder then leaves alone.
fn ends_inside_a_server_value(bytes: &[u8]) -> bool {
    (1..INTEROP.len()).any(|length| bytes.ends_with(&INTEROP[..length]))
}

proptest! {
    // Fewer cases: each is as many decodes as the node has bytes.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_proper_prefix_of_an_encoding_fails_with_truncated_but_for_an_interop_jid_at_the_end(node in any_node()) {
        let bytes = encode(&node).unwrap();
        let (interop, last) = (holds_interop(&node), ends_with_interop(&node));
        let mut arena = Arena::new();
        for cut in 1..bytes.len() {
            let inside = interop && ends_inside_a_server_value(&bytes[..cut]);
            match wire::decode(&bytes[..cut], &mut arena).map_err(|error| error.kind) {
                Err(Kind::Truncated) => {}
                // Behind the node, or where its next sibling should begin.
                Err(Kind::TrailingBytes) => prop_assert!(inside && last, "trailing bytes at {cut}"),
                Err(Kind::BadList) => prop_assert!(inside, "no list at {cut}"),
                Err(kind) => prop_assert!(false, "{kind} at {cut}"),
                Ok(_) => prop_assert!(last && cut + INTEROP.len() == bytes.len(), "a prefix of {cut} decodes"),
            }
        }
        prop_assert_eq!(kind_of(&[]), Some(Kind::Empty));
    }
}

#[test]
fn strings_of_127_characters_are_packed_and_of_128_raw() {
    for (symbol, tag) in [("7", 0xff), ("F", 0xfb)] {
        let packed = encode(&Node::new("item").attr("id", symbol.repeat(127))).unwrap();
        assert_eq!(packed[5..7], [tag, 0x80 | 64]);
        let raw = encode(&Node::new("item").attr("id", symbol.repeat(128))).unwrap();
        assert_eq!(raw[5..7], [0xfc, 128]);
    }
}

#[test]
fn bytes_change_their_length_form_at_256_and_at_2_to_the_20() {
    let boundaries: [(usize, &[u8]); 4] = [
        (255, &[0xfc, 255]),
        (256, &[0xfd, 0, 1, 0]),
        (1_048_575, &[0xfd, 0x0f, 0xff, 0xff]),
        (1_048_576, &[0xfe, 0, 0x10, 0, 0]),
    ];
    for (len, header) in boundaries {
        let node = Node::new("item").bytes(vec![0x5a; len]);
        let bytes = encode(&node).unwrap();
        assert!(bytes[4..].starts_with(header), "{len}");
        assert!(wire::decode_node(&bytes).unwrap() == node, "{len}");
    }
}

#[test]
fn children_change_their_list_form_at_256_and_end_at_65535() {
    let with = |count| Node::new("list").children(vec![Node::new("item"); count]);
    for (count, header) in [(255, &[0xf8, 255][..]), (256, &[0xf9, 1, 0]), (65_535, &[0xf9, 0xff, 0xff])] {
        let bytes = encode(&with(count)).unwrap();
        assert!(bytes[4..].starts_with(header), "{count}");
        assert_eq!(wire::decode_node(&bytes).unwrap().nodes().len(), count);
    }
    assert_eq!(encode(&with(65_536)), Err(EncodeError::TooManyNodes));
}

#[test]
fn attributes_at_list_sizes_255_and_257_and_at_their_maximum() {
    let with = |count: usize| (0..count).fold(Node::new("item"), |node, n| node.attr(format!("k{n}"), n));
    for (count, header) in [(127, &[0xf8, 255][..]), (128, &[0xf9, 1, 1])] {
        let bytes = encode(&with(count)).unwrap();
        assert!(bytes[1..].starts_with(header), "{count}");
        assert!(wire::decode_node(&bytes).unwrap().same_as(&with(count)));
    }
    for (count, content) in [(32_767, false), (32_766, true)] {
        let node = if content { with(count).bytes([1]) } else { with(count) };
        let decoded = wire::decode_node(&encode(&node).unwrap()).unwrap();
        assert_eq!(decoded.attrs.len(), count);
        assert_eq!(encode(&node.attr("one", "more")), Err(EncodeError::TooManyAttributes));
    }
}

#[test]
fn depth_128_is_read_and_written_and_129_neither() {
    let nest = |depth| (1..depth).fold(Node::new("leaf"), |inner, _| Node::new("item").child(inner));
    let deepest = encode(&nest(128)).unwrap();
    assert!(wire::decode_node(&deepest).unwrap() == nest(128));
    assert_eq!(encode(&nest(129)), Err(EncodeError::TooDeep));
    let deeper = [&[0, 0xf8, 2, 0x3f, 0xf8, 1], &deepest[1..]].concat();
    assert_eq!(kind_of(&deeper), Some(Kind::TooDeep));
}

#[test]
fn a_body_that_inflates_to_16_mib_is_read_and_one_byte_more_is_not() {
    let mut body = vec![0xf8, 2, 0x3f, 0xfe];
    let len = MAX_INFLATED - 8;
    body.extend_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
    body.resize(MAX_INFLATED, 0);
    let mut arena = Arena::new();
    let read = wire::decode(&compress(&body), &mut arena).map(|node| node.content_bytes().unwrap().len());
    assert_eq!(read, Ok(len));
    body.push(0);
    assert_eq!(kind_of(&compress(&body)), Some(Kind::TooLarge));
}

/// Runs in a thread with a stack of 2 MiB.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn bombs_end_in_their_error_within_bounded_memory() {
    on_small_stack(|| {
        let nested = [&[0][..], &[0xf8, 2, 0x3f, 0xf8, 1].repeat(1_000_000)].concat();
        assert_eq!(kind_of(&nested), Some(Kind::TooDeep));
        let jids = [&[0, 0xf8, 3, 5, 0x13][..], &[0xfa].repeat(1_000_000)].concat();
        assert_eq!(kind_of(&jids), Some(Kind::BadJid));
        let claims = [0, 0xf9, 0xff, 0xff, 0x3f];
        assert_eq!(kind_of(&claims), Some(Kind::Truncated));
        let zeros = compress(&vec![0; 64 * 1024 * 1024]);
        assert_eq!(kind_of(&zeros), Some(Kind::TooLarge));
    });
}

#[test]
fn a_frame_full_of_attributes_stays_under_256_mib_and_the_arena_gives_it_back() {
    on_small_stack(|| {
        let child = [&[0xf9, 0xff, 0xff, 0x3f][..], &[8, 0x3f].repeat(32_767)].concat();
        let children = 16 * 1024 * 1024 / child.len();
        let count = u16::try_from(children).unwrap().to_be_bytes();
        let frame = [&[0, 0xf8, 2, 0x3f, 0xf9, count[0], count[1]][..], &child.repeat(children)].concat();
        let mut arena = Arena::new();
        assert_eq!(wire::decode(&frame, &mut arena).unwrap().nodes().count(), children);
        assert!(arena.memory() < 224 * 1024 * 1024, "{}", arena.memory());
        wire::decode(&[0, 0xf8, 1, 0x56], &mut arena).unwrap();
        assert!(arena.memory() < 512 * 1024, "{}", arena.memory());
    });
}

#[test]
fn more_than_1048576_nodes_are_too_large() {
    let inner = [&[0xf8, 2, 0x3f, 0xf9, 0xff, 0xff][..], &[0xf8, 1, 0x3f].repeat(65_535)].concat();
    // The root, and a parent with 65,535 children sixteen times: 16 · 65,536 + 1.
    let with = |last: &[u8]| [&[0, 0xf8, 2, 0x3f, 0xf8, 16][..], &inner.repeat(15), last].concat();
    assert_eq!(kind_of(&with(&inner)), Some(Kind::TooLarge));
    let fewer = [&[0xf8, 2, 0x3f, 0xf9, 0xff, 0xfe][..], &[0xf8, 1, 0x3f].repeat(65_534)].concat();
    assert_eq!(kind_of(&with(&fewer)), None);
}

#[test]
fn the_encoder_refuses_what_the_decoder_refuses() {
    let refused = [
        (Node::new(""), EncodeError::EmptyTag),
        (Node::new("a").attr("", "b"), EncodeError::EmptyKey),
        (Node::new("a").attr("k", "1").attr("k", "2"), EncodeError::RepeatedKey),
        (Node::new("a").attr("k", Jid::pn("1").unwrap().with_device(256)), EncodeError::BadDevice),
        (Node::new("a").attr("k", "1@g.us".parse::<Jid>().unwrap().with_device(1)), EncodeError::BadDevice),
        (Node::new("a").attr("k", Jid::service().with_device(1)), EncodeError::BadDevice),
        (Node::new("a").attr("k", Jid::server_only(Server::Other("".into()))), EncodeError::BadJid),
        (Node::new("a").attr("k", Jid::server_only(Server::Other("x@y".into()))), EncodeError::BadJid),
    ];
    for (node, error) in refused {
        let mut out = vec![7];
        assert_eq!(wire::encode_into(&node, &mut out), Err(error), "{node}");
        assert_eq!(out, [7], "nothing is left behind");
    }
}

#[test]
fn device_form_writes_device_0_as_ad_and_changes_nothing_else() {
    let plain: Jid = "4915112345678@s.whatsapp.net".parse().unwrap();
    let formed = plain.in_device_form();
    assert_eq!(plain, formed);
    let bytes = encode(&Node::new("item").attr("jid", formed)).unwrap();
    assert_eq!(hex::encode(&bytes), "00f8033f0cf70000ff874915112345678f");
    let read = wire::decode_node(&bytes).unwrap().jid("jid").unwrap();
    assert!(!read.is_device_form() && read == plain);
    for other in
        ["13135550002@s.whatsapp.net", "0@s.whatsapp.net", "1@bot", "1@g.us", "s.whatsapp.net", "5@msgr"]
    {
        assert!(!other.parse::<Jid>().unwrap().in_device_form().is_device_form(), "{other}");
    }
}

#[test]
fn a_client_leaves_out_the_server_of_an_interop_jid_and_both_forms_keep_the_stanza_aligned() {
    let node = Node::new("item").attr("jid", "3-49151:1@interop".parse::<Jid>().unwrap()).attr("id", "abc");
    let (client, server) = (wire::encode(&node).unwrap(), encode(&node).unwrap());
    assert_eq!(server.len(), client.len() + 9);
    for bytes in [client, server] {
        assert!(wire::decode_node(&bytes).unwrap() == node);
    }
}

#[test]
fn an_e_mail_like_attribute_that_a_peer_sent_as_a_jid_reads_back_as_the_original_text() {
    // A peer's pair of the parts around the `@`.
    for (user, server) in [("foo", "example.com"), ("Foo Bar", "Example.COM"), ("a.b_c", "s.whatsapp.net")] {
        let mut frame = vec![0, 0xf8, 5, 0x3f, 8, 0xfa, 0xfc, u8::try_from(user.len()).unwrap()];
        frame.extend_from_slice(user.as_bytes());
        frame.extend_from_slice(&[0xfc, u8::try_from(server.len()).unwrap()]);
        frame.extend_from_slice(server.as_bytes());
        frame.extend_from_slice(&[0x0c, 3]);
        let mut arena = Arena::new();
        let node = wire::decode(&frame, &mut arena).unwrap();
        assert_eq!(node.str("id").unwrap(), format!("{user}@{server}"));
        let again = wire::decode_node(&encode(&node.to_node()).unwrap()).unwrap();
        assert_eq!(again.str("id").unwrap(), format!("{user}@{server}"), "re-encodes to its parts");
        // And the other way round: a plain text where a JID is expected.
        assert_eq!(node.jid("jid"), Some(Jid::service()));
    }
    let mut arena = Arena::new();
    let frame = hex::decode("00f8033f08fafc07466f6f2042617203").unwrap();
    let node = wire::decode(&frame, &mut arena).unwrap();
    assert_eq!(node.jid("id"), None, "a user with a space is no address");
}

#[test]
fn a_node_followed_by_extra_bytes_is_an_error_or_delivered_and_counted() {
    let frame = [0x80, 0xf8, 1, 0x56, 9, 9, 9];
    assert_eq!(wire::decode_node(&frame).unwrap_err().to_string(), "trailing_bytes at byte 4");
    let mut arena = Arena::new();
    let decoded = wire::decode_lenient(&frame, &mut arena).unwrap();
    assert_eq!((decoded.root.tag(), decoded.trailing, decoded.unknown_flags), ("ping", 3, 0x80));
    // Bytes behind a zlib stream are an error for everybody.
    let mut zlib = compress(&[0xf8, 1, 0x56]);
    zlib.push(0);
    assert_eq!(wire::decode_lenient(&zlib, &mut arena).unwrap_err().kind, Kind::TrailingBytes);
}

#[test]
fn readers_take_every_form() {
    let node =
        Node::new("2618").attr("id", "26187").attr("t", 20u32).attr("to", "s.whatsapp.net").bytes(*b"in");
    let bytes = encode(&node).unwrap();
    let mut arena = Arena::new();
    let read = wire::decode(&bytes, &mut arena).unwrap();
    assert_eq!((read.tag(), read.tag_token()), ("2618", None));
    assert!(read.is("2618") && !read.is("2619") && !read.is("iq"));
    assert_eq!((read.u64("id"), read.u64("t"), read.u64("to")), (Some(26_187), Some(20), None));
    assert_eq!(read.jid("to"), Some(Jid::service()));
    assert_eq!(read.jid(wire::token("to")), Some(Jid::service()));
    assert_eq!(read.content_text().as_deref(), Some("in"));
    assert_eq!(read.content_bytes().as_deref(), Some(&b"in"[..]));
    assert!(read.nodes().next().is_none() && read.get("none").is_none());
}

#[test]
fn words_spelled_out_match_as_tokens_and_the_last_of_repeated_keys_counts() {
    // `iq` raw, key `id` raw and repeated, child `ping` raw.
    let frame = hex::decode("00f806fc026971fc0269645508450000").unwrap();
    let frame = [&frame[..14], &hex::decode("f801f801fc0470696e67").unwrap()].concat();
    let mut arena = Arena::new();
    let node = wire::decode(&frame, &mut arena).unwrap();
    assert_eq!(node.tag_token(), Some(wire::token("iq")));
    assert_eq!(node.str("id").as_deref(), Some("2"));
    assert_eq!(node.attrs().count(), 2);
    assert_eq!(node.to_node().attrs.len(), 1);
    assert!(node.find(wire::token("ping")).is_some() && node.find("ping").is_some());
}

#[test]
fn kinds_of_addresses() {
    let jid = |text: &str| text.parse::<Jid>().unwrap();
    assert!(jid("1@s.whatsapp.net").is_pn() && jid("1:99@hosted").is_pn() && jid("1@c.us").is_pn());
    assert!(jid("1:3@lid").is_lid() && jid("1:99@hosted.lid").is_lid() && jid("1@lid").is_user());
    assert!(jid("1@g.us").is_group() && jid("1@newsletter").is_newsletter() && jid("7@bot").is_bot());
    assert!(jid("status@broadcast").is_broadcast() && jid("status@broadcast").is_status());
    assert!(jid("13135550002@s.whatsapp.net").is_bot() && jid("13165550012@c.us").is_bot());
    assert!(!jid("13135550002@lid").is_bot() && !jid("1313555000@s.whatsapp.net").is_bot());
    assert!(!Jid::service().is_pn() && Jid::service().is_server() && !jid("g.us").is_group());
}
