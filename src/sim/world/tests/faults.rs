//! Planted faults: each strikes once per count, shows in the list, and leaves other connections alone (09 §27 no. 11).

use serde_json::{Map, Value, json};

use super::super::testing::{Companion, Lab};
use crate::sim::world::{FaultError, FaultOrder, Out, Scope};
use crate::wire::{Jid, Node};

fn order(fault: &str, scope: Scope, params: Value) -> FaultOrder {
    let params: Map<String, Value> = params.as_object().cloned().unwrap_or_default();
    FaultOrder::new(fault.to_owned(), scope, &Value::Null, &Value::Null, params, None).unwrap()
}

fn of(account: &str) -> Scope {
    Scope { account: Some(account.to_owned()), ..Scope::default() }
}

struct Two {
    lab: Lab,
    struck: Companion,
    other: Companion,
    a: String,
    b: String,
}

impl Two {
    fn new() -> Self {
        let mut lab = Lab::new();
        let (a, b) = (lab.account(), lab.account());
        let (struck, other) = (lab.companion(&a, 20), lab.companion(&b, 20));
        Self { lab, struck, other, a, b }
    }

    fn arm(&mut self, fault: &str, params: Value) {
        let scope = of(&self.a);
        self.lab.world.arm(order(fault, scope, params)).unwrap();
    }

    /// What a client does: asks, fetches keys, writes, is written to, logs in anew.
    fn use_everything(&mut self) {
        for round in 0..2 {
            for who in [&mut self.other, &mut self.struck] {
                let ping =
                    Node::new("iq").attr("to", Jid::service()).attr("xmlns", "w:p").attr("type", "get");
                who.send(&mut self.lab, ping.attr("id", format!("p{round}")).child(Node::new("ping")));
            }
            let keys = Node::new("user").attr("jid", Jid::pn(&self.b).unwrap());
            let fetch =
                Node::new("iq").attr("to", Jid::service()).attr("xmlns", "encrypt").attr("type", "get");
            let fetch = fetch.attr("id", format!("k{round}")).child(Node::new("key").child(keys));
            self.struck.send(&mut self.lab, fetch);
            let (to_a, to_b) = (self.struck.jid.clone().unwrap(), self.other.jid.clone().unwrap());
            let out = self.struck.message(&format!("A{round}"), &to_b.without_device(), &[to_b]);
            self.struck.send(&mut self.lab, out.attr("device_fanout", "false"));
            let back = self.other.message(&format!("B{round}"), &to_a.without_device(), &[to_a]);
            self.other.send(&mut self.lab, back.attr("device_fanout", "false"));
            self.lab.later(100);
            self.struck.login(&mut self.lab, false);
            self.lab.later(600);
        }
    }

    fn fault(&self) -> Value {
        self.lab.world.faults_json().into_iter().next().unwrap()
    }
}

const FAULTS: [&str; 35] = [
    "F01", "F02", "F03", "F04", "F05", "F12", "F13", "F14", "F15", "F16", "F17", "F18", "F19", "F20", "F21",
    "F22", "F23", "F24", "F25", "F26", "F27", "F28", "F29", "F30", "F32", "F33", "F34", "F35", "F36", "F39",
    "F41", "F56", "F07", "F53", "F55",
];

#[test]
fn proves_09_27_11_each_fault_strikes_once_and_leaves_other_connections_alone() {
    for fault in FAULTS.into_iter().filter(|fault| *fault != "F07") {
        let mut two = Two::new();
        // A bomb as large as the default's takes a test too long to make.
        two.arm(fault, json!({"size": 3000, "for_ms": 100}));
        two.use_everything();
        let shown = two.fault();
        assert_eq!((&shown["fired"], &shown["left"]), (&json!(1), &json!(0)), "{shown}");
        assert!(shown["last_at"].is_string() && shown["last_connection"].is_string(), "{shown}");
        assert!(two.lab.world.session(two.other.connection).is_some(), "{fault}: the other connection lives");
        let answer = two.other.iq(&mut two.lab, "w:p", "get", Node::new("ping"));
        assert_eq!(answer.str("type").as_deref(), Some("result"), "{fault}");
        let from = two.other.drain().into_iter().filter(|node| node.tag == "failure").count();
        assert_eq!(from, 0, "{fault}");
        assert_eq!(two.lab.world.violations.of(&two.b).total(), 0, "{fault}: {:?}", two.lab.violations());
    }
}

#[test]
fn proves_09_27_11_the_handshake_and_the_upgrade_are_struck_by_source() {
    let mut lab = Lab::new();
    let scope = |source: &str| Scope { source: Some(source.to_owned()), ..Scope::default() };
    let params = json!({"status": 301, "location": "http://127.0.0.1:1/", "retry_after": 7});
    lab.world.arm(order("F11", scope("a"), params)).unwrap();
    assert!(lab.world.admit("b").is_ok());
    let turned = lab.world.admit("a").unwrap_err();
    assert_eq!((turned.status, turned.retry_after), (301, Some(7)));
    assert_eq!(turned.location.as_deref(), Some("http://127.0.0.1:1/"));
    assert!(lab.world.admit("a").is_ok(), "once");
    lab.world.arm(order("F07", Scope::default(), json!({"down_ms": 1000}))).unwrap();
    assert_eq!(lab.world.admit("b").unwrap_err().status, 503);
    lab.later(1000);
    assert!(lab.world.admit("b").is_ok());
}

#[test]
fn a_fault_waits_for_what_it_was_told_to_wait_for() {
    let mut two = Two::new();
    let arm = |two: &mut Two, after: Value| {
        let order = FaultOrder::new("F22".to_owned(), of(&two.a), &Value::Null, &after, Map::new(), None);
        two.lab.world.arm(order.unwrap()).unwrap();
    };
    let lives = |two: &Two| two.lab.world.session(two.struck.connection).is_some();
    arm(&mut two, json!({"stanzas": 2}));
    two.struck.iq(&mut two.lab, "w:p", "get", Node::new("ping"));
    assert!(lives(&two));
    two.struck.send(&mut two.lab, Node::new("presence").attr("type", "available"));
    assert!(!lives(&two), "the second stanza");
    two.struck.login(&mut two.lab, false);
    arm(&mut two, json!({"ms": 500}));
    assert!(lives(&two));
    two.lab.later(500);
    assert!(!lives(&two), "its time");
    two.struck.login(&mut two.lab, false);
    arm(&mut two, json!({"match": {"tag": "iq", "xmlns": "privacy"}}));
    two.struck.iq(&mut two.lab, "w:p", "get", Node::new("ping"));
    assert!(lives(&two));
    let privacy = Node::new("iq").attr("to", Jid::service()).attr("xmlns", "privacy").attr("type", "get");
    two.struck.send(&mut two.lab, privacy.attr("id", "x").child(Node::new("privacy")));
    assert!(!lives(&two), "the stanza it waited for");
}

#[test]
fn alternatives_take_turns_unless_one_is_named() {
    let mut two = Two::new();
    let order = |params: Value, count: Value| {
        let params = params.as_object().cloned().unwrap();
        FaultOrder::new("F36".to_owned(), Scope::default(), &count, &Value::Null, params, None).unwrap()
    };
    two.lab.world.arm(order(json!({}), json!(4))).unwrap();
    let user = |two: &Two| Node::new("user").attr("jid", Jid::pn(&two.b).unwrap());
    let mut shown = Vec::new();
    for _ in 0..5 {
        let key = Node::new("key").child(user(&two));
        let answer = two.struck.iq(&mut two.lab, "encrypt", "get", key);
        let user = answer.find("list").unwrap().find("user").unwrap().clone();
        let identity =
            user.find("identity").and_then(|node| node.content_bytes().map(|bytes| bytes.to_vec()));
        let signature =
            user.find("skey").and_then(|key| key.find("signature")?.content_bytes().map(|b| b.to_vec()));
        shown.push((user.find("error").is_some(), identity, signature));
    }
    let (_, identity, signature) = shown[4].clone();
    assert!(shown[0].0 && !shown[1].0);
    assert!(shown[1].1 == identity && shown[1].2 != signature, "a bad signature");
    assert!(shown[2].1 != identity && shown[3].1 == Some(vec![0; 32]), "another identity, a low-order point");
    let named = json!({"kind": "low-order", "user": two.a});
    two.lab.world.arm(order(named, json!("always"))).unwrap();
    let key = Node::new("key").child(user(&two));
    assert!(two.struck.iq(&mut two.lab, "encrypt", "get", key).find("list").is_some(), "another user");
    let last = two.lab.world.faults_json().pop().unwrap();
    assert_eq!((&last["fired"], &last["left"]), (&json!(0), &json!("always")));
}

#[test]
fn a_fault_that_can_not_be_is_refused() {
    let new = |fault: &str, count: Value, after: Value, params: Value| {
        let params = params.as_object().cloned().unwrap();
        FaultOrder::new(fault.to_owned(), Scope::default(), &count, &after, params, None)
    };
    let null = || Value::Null;
    assert_eq!(new("F99", null(), null(), json!({})), Err(FaultError::Unknown("F99".to_owned())));
    for (count, after, params) in [
        (json!("often"), null(), json!({})),
        (null(), json!({"ms": -1}), json!({})),
        (null(), json!({"ms": 1, "stanzas": 1}), json!({})),
        (null(), json!(7), json!({})),
        (null(), null(), json!({"kind": "colour"})),
    ] {
        assert!(matches!(new("F24", count, after, params), Err(FaultError::Value(_))));
    }
}

#[test]
fn damaged_frames_and_bad_plaintexts_leave_in_order() {
    let mut two = Two::new();
    two.arm("F04", json!({}));
    two.arm("F16", json!({"kind": "empty"}));
    for _ in 0..2 {
        two.struck
            .send(&mut two.lab, Node::new("iq").attr("xmlns", "w:p").attr("type", "get").attr("id", "1"));
    }
    let outs = two.struck.outs();
    let kinds: Vec<&str> = outs
        .iter()
        .map(|out| match out {
            Out::Damaged(..) => "damaged",
            Out::Plaintext(bytes) if *bytes == [0, 0xf8, 0] => "empty",
            Out::Stanza(_) => "stanza",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["damaged", "empty", "stanza"]);
}
