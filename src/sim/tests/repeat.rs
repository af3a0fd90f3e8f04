//! The same seed and script give the same log (09 §27 no. 2).

use crate::sim::Direction;
use crate::sim::world::testing::Lab;
use crate::wire::json::to_json;
use crate::wire::{Content, Node, Value};

/// Pairing, a message each way between companions, an unlinking: the whole traffic log as text.
fn run(seed: u64) -> String {
    let lab = script(seed);
    let lines = lab.world.traffic.since(0).map(|item| format!("{} {}", item.at_ms, to_json(&item.node)));
    lines.collect::<Vec<_>>().join("\n")
}

fn script(seed: u64) -> Lab {
    let mut lab = Lab::with(|config| config.seed = seed);
    let (a, b) = (lab.account(), lab.account());
    let mut one = lab.companion(&a, 20);
    let two = lab.companion(&b, 20);
    let to = two.jid.clone().unwrap();
    let message = one.message("M", &to.without_device(), &[to]);
    one.send(&mut lab, message);
    lab.later(1000);
    lab.world.unlink(&crate::sim::DeviceRef { number: a, device: 1 });
    lab.later(200_000);
    lab
}

#[test]
fn proves_09_27_02_the_same_seed_and_script_give_the_identical_traffic_log() {
    let first = run(1);
    assert!(first.lines().count() > 30, "{first}");
    assert_eq!(first, run(1));
    assert_ne!(first, run(2));
}

/// Every attribute that is an address is a JID, every leaf's content is bytes (09 §4).
fn check(node: &Node) {
    for (key, value) in &node.attrs {
        if let Value::Text(text) = value {
            assert!(!text.contains('@') && text != "s.whatsapp.net", "{key} of {node:?}");
        }
        if let Value::Jid(jid) = value {
            assert!(jid.is_address() && (!jid.is_server() || jid.user().is_empty()), "{key} of {node:?}");
        }
    }
    match &node.content {
        Content::Nodes(children) => children.iter().for_each(check),
        // What the log has shortened.
        Content::Text(text) => assert!(text.contains(" bytes, sha256 "), "{node:?}"),
        Content::Jid(_) => panic!("an address as content: {node:?}"),
        Content::None | Content::Bytes(_) => {}
    }
}

#[test]
fn proves_09_27_04_every_address_is_a_jid_and_every_leaf_bytes() {
    let mut lab = script(1);
    let number = lab.account();
    let mut asker = lab.companion(&number, 20);
    let user = Node::new("user").attr("jid", lab.world.accounts[&number].pn.clone());
    let protocols = ["devices", "lid", "contact", "status", "business", "disappearing_mode"].map(Node::new);
    let usync = Node::new("usync")
        .attr("sid", "1")
        .child(Node::new("query").children(protocols))
        .child(Node::new("list").child(user.child(Node::new("contact").text_bytes("x"))));
    asker.iq(&mut lab, "usync", "get", usync);
    for (xmlns, kind, child) in [
        ("encrypt", "get", "digest"),
        ("abt", "get", "props"),
        ("privacy", "get", "privacy"),
        ("blocklist", "get", "item"),
        ("w:m", "set", "media_conn"),
        ("status", "get", "privacy"),
        ("bot", "get", "bot"),
        ("w:mex", "get", "query"),
        ("nothing", "get", "known"),
    ] {
        asker.iq(&mut lab, xmlns, kind, Node::new(child));
    }
    lab.world.create_group_as(&number, "We", &[], true).unwrap();
    let out: Vec<_> = lab.world.traffic.since(0).filter(|item| item.direction == Direction::Out).collect();
    assert!(out.len() > 50);
    out.into_iter().for_each(|item| check(&item.node));
    let unlike = asker.iq(&mut lab, "nothing", "get", Node::new("known"));
    assert_eq!(unlike.find("error").unwrap().u64("code"), Some(501), "strict knows no such IQ");
}
