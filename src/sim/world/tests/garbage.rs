//! Garbage from a client at every state (09 §27 no. 15): the world never panics, and nobody else notices.

use proptest::prelude::*;

use super::super::testing::{Companion, Lab};
use crate::sim::Profile;
use crate::wire::{Jid, Node};

const TAGS: [&str; 26] = [
    "iq",
    "message",
    "receipt",
    "ack",
    "presence",
    "chatstate",
    "ib",
    "call",
    "notification",
    "stream:error",
    "failure",
    "success",
    "query",
    "usync",
    "list",
    "user",
    "key",
    "skey",
    "participants",
    "to",
    "enc",
    "pair-device",
    "link_code_companion_reg",
    "sync",
    "collection",
    "x",
];
const KEYS: [&str; 14] = [
    "id",
    "type",
    "to",
    "from",
    "xmlns",
    "jid",
    "participant",
    "recipient",
    "class",
    "stage",
    "count",
    "edit",
    "category",
    "device_fanout",
];
const VALUES: [&str; 30] = [
    "",
    "1",
    "get",
    "set",
    "result",
    "error",
    "encrypt",
    "usync",
    "w:g2",
    "md",
    "privacy",
    "blocklist",
    "w:mex",
    "w:profile:picture",
    "status",
    "passive",
    "abt",
    "urn:xmpp:whatsapp:dirty",
    "message",
    "read",
    "retry",
    "peer",
    "companion_hello",
    "false",
    "status@broadcast",
    "120363000000000000@g.us",
    "-1",
    "99999999999999999999",
    "\u{0}",
    "w:sync:app:state",
];

/// A tree of the words that the server knows, in any order.
fn node() -> impl Strategy<Value = Node> {
    let value = prop_oneof![
        proptest::sample::select(&VALUES[..]).prop_map(|text| crate::wire::Value::from(text.to_owned())),
        (0u64..4, 0u16..3).prop_map(|(n, device)| {
            let number = 15_550_001_000 + n;
            crate::wire::Value::from(Jid::pn(&number.to_string()).unwrap().with_device(device))
        }),
        Just(crate::wire::Value::from(Jid::service())),
    ];
    let attrs = proptest::collection::vec((proptest::sample::select(&KEYS[..]), value), 0..5);
    let leaf =
        (proptest::sample::select(&TAGS[..]), attrs.clone(), proptest::collection::vec(any::<u8>(), 0..90))
            .prop_map(|(tag, attrs, bytes)| with(tag, attrs).bytes(bytes));
    leaf.prop_recursive(3, 24, 5, move |inner| {
        (proptest::sample::select(&TAGS[..]), attrs.clone(), proptest::collection::vec(inner, 0..5))
            .prop_map(|(tag, attrs, children)| with(tag, attrs).children(children))
    })
}

fn with(tag: &'static str, attrs: Vec<(&'static str, crate::wire::Value)>) -> Node {
    attrs.into_iter().fold(Node::new(tag), |node, (key, value)| node.attr(key, value))
}

/// The states of a connection in which stanzas may come.
fn in_state(lab: &mut Lab, number: &str, state: u8) -> Companion {
    match state {
        0 => Companion::register(lab, number),
        1 => {
            let mut companion = Companion::register(lab, number);
            companion.pair(lab, number);
            companion
        }
        2 => {
            let mut companion = lab.companion(number, 20);
            companion.login(lab, true);
            companion
        }
        3 => {
            let mut companion = lab.companion(number, 20);
            lab.world.kick(number, None, crate::sim::Kick::StreamError, None);
            companion.drain();
            companion
        }
        _ => lab.companion(number, 20),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn proves_09_27_15_garbage_in_every_state_harms_nobody(
        state in 0u8..5,
        lenient in any::<bool>(),
        nodes in proptest::collection::vec(node(), 1..24),
    ) {
        let mut lab = Lab::with(|config| {
            config.profile = if lenient { Profile::Lenient } else { Profile::Strict };
        });
        let (a, b) = (lab.account(), lab.account());
        let mut other = lab.companion(&b, 20);
        let mut wild = in_state(&mut lab, &a, state);
        for node in nodes {
            wild.send(&mut lab, node);
        }
        lab.later(5000);
        prop_assert_eq!(lab.world.accounts.len(), 2);
        prop_assert!(lab.world.connections.len() <= 6);
        let at = crate::sim::DeviceRef { number: b.clone(), device: 1 };
        prop_assert!(lab.world.device(&at).unwrap().queue.len() < 200);
        prop_assert!(lab.world.session(other.connection).is_some());
        let answer = other.iq(&mut lab, "w:p", "get", Node::new("ping"));
        let kind = answer.str("type").map(std::borrow::Cow::into_owned);
        prop_assert_eq!(kind.as_deref(), Some("result"));
        prop_assert_eq!(lab.world.violations.of(&b).total(), 0);
    }
}
