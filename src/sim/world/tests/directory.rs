//! The key directory: uploads, fetches, low counts, digest, rotation (09 §7.1, §9).

use std::collections::BTreeSet;

use crate::crypto::{random_bytes, sha1, xeddsa};
use crate::sim::seed;
use crate::sim::world::testing::{Companion, Lab};
use crate::sim::world::{DeviceRef, Origin};
use crate::wire::{Jid, Node};

fn fetch(lab: &mut Lab, by: &mut Companion, jids: &[Jid]) -> Vec<Node> {
    let users: Vec<Node> = jids.iter().map(|jid| Node::new("user").attr("jid", jid.clone())).collect();
    let answer = by.iq(lab, "encrypt", "get", Node::new("key").children(users));
    answer.find("list").unwrap().nodes().cloned().collect()
}

fn count(lab: &mut Lab, companion: &mut Companion) -> Option<u64> {
    let answer = companion.iq(lab, "encrypt", "get", Node::new("count"));
    answer.find("count").unwrap().u64("value")
}

#[test]
fn proves_09_27_05_no_one_time_key_is_handed_out_twice_and_the_low_notification_fires_at_the_crossings_only()
{
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut asker = lab.companion(&a, 5);
    let mut owner = lab.companion(&b, 60);
    let (pn, lid) = (owner.jid.clone().unwrap(), owner.lid.clone().unwrap());
    let left = count(&mut lab, &mut owner).unwrap();
    let mut seen = BTreeSet::new();
    let mut told = Vec::new();
    for round in 0..left + 3 {
        let jid = if round % 2 == 0 { &pn } else { &lid };
        let users = fetch(&mut lab, &mut asker, std::slice::from_ref(jid));
        assert_eq!(users[0].jid("jid").as_ref(), Some(jid), "the same address as asked");
        assert!(users[0].find("device-identity").is_some(), "companions show their identity");
        if let Some(key) = users[0].find("key") {
            assert!(seen.insert(key.find("id").unwrap().content_bytes().unwrap().into_owned()));
        } else {
            assert!(round >= left, "there were keys left");
        }
        told.extend(owner.drain().into_iter().filter(|node| node.tag == "notification"));
    }
    assert_eq!(seen.len() as u64, left);
    let counts: Vec<_> = told.iter().map(|node| node.find("count").unwrap().u64("value").unwrap()).collect();
    assert_eq!(counts, [9, 3], "below 10, and again below 4");
    owner.upload(&mut lab, 100..=120);
    assert_eq!(count(&mut lab, &mut owner), Some(21));
    for _ in 0..12 {
        fetch(&mut lab, &mut asker, std::slice::from_ref(&pn));
    }
    let again = owner.drain().into_iter().filter(|node| node.find("count").is_some()).count();
    assert_eq!(again, 1, "once more after a refill");
}

#[test]
fn keys_and_ids_have_their_lengths() {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut asker = lab.companion(&a, 5);
    let phone = Jid::pn(&b).unwrap();
    let user = &fetch(&mut lab, &mut asker, &[phone])[0];
    let len = |node: &Node, tag: &str| node.find(tag).unwrap().content_bytes().unwrap().len();
    assert_eq!((len(user, "registration"), len(user, "type"), len(user, "identity")), (4, 1, 32));
    for (tag, parts) in
        [("skey", vec![("id", 3), ("value", 32), ("signature", 64)]), ("key", vec![("id", 3), ("value", 32)])]
    {
        let node = user.find(tag).unwrap();
        for (part, expected) in parts {
            assert_eq!(len(node, part), expected, "{tag}/{part}");
        }
    }
    assert!(user.find("device-identity").is_none(), "the phone has none");
}

#[test]
fn unknown_users_get_404_unknown_devices_406_and_devices_without_keys_404() {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut asker = lab.companion(&a, 5);
    let mut fresh = Companion::register(&mut lab, "fresh");
    fresh.pair(&mut lab, &b);
    let phone = Jid::pn(&b).unwrap();
    let asked = [Jid::pn("15559999999").unwrap(), phone.with_device(7), fresh.jid.clone().unwrap(), phone];
    let users = fetch(&mut lab, &mut asker, &asked);
    let codes: Vec<_> =
        users.iter().map(|user| user.find("error").and_then(|error| error.u64("code"))).collect();
    assert_eq!(codes, [Some(404), Some(406), Some(404), None]);
    let too_many: Vec<Node> = (0..1001).map(|_| Node::new("user").attr("jid", asked[0].clone())).collect();
    let answer = asker.iq(&mut lab, "encrypt", "get", Node::new("key").children(too_many));
    assert_eq!(answer.find("error").unwrap().u64("code"), Some(400));
}

#[test]
fn proves_09_27_13_uploads_are_judged_and_known_keys_skipped() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 10);
    let error = |answer: &Node| answer.find("error").and_then(|error| error.u64("code"));

    // The same keys again, as after a lost result.
    let before = count(&mut lab, &mut companion);
    assert_eq!(error(&companion.upload(&mut lab, 1..=10)), None);
    assert_eq!(count(&mut lab, &mut companion), before, "handed-out keys are not put back");
    assert_eq!(lab.violations(), []);

    let bad_signature = |nodes: &mut Vec<Node>| {
        let skey = nodes.pop().unwrap();
        let id = skey.find("id").unwrap().clone();
        let value = skey.find("value").unwrap().clone();
        nodes.push(Node::new("skey").child(id).child(value).child(Node::new("signature").bytes([1; 64])));
    };
    let mut nodes = companion.upload_node(20..=21);
    bad_signature(&mut nodes);
    assert_eq!(error(&companion.iq_children(&mut lab, "encrypt", "set", nodes)), Some(406));
    assert_eq!(lab.world.violations.count("bad-key-upload"), 1, "a bad prekey signature is found");

    let mut nodes = companion.upload_node(20..=21);
    nodes[0] = Node::new("registration").bytes([0, 0, 0, 1]);
    assert_eq!(
        error(&companion.iq_children(&mut lab, "encrypt", "set", nodes)),
        Some(406),
        "another registration"
    );

    let nodes = companion.upload_node([20, 20]);
    assert_eq!(error(&companion.iq_children(&mut lab, "encrypt", "set", nodes)), Some(406), "an id twice");

    let mut nodes = companion.upload_node(1..=1);
    let key =
        Node::new("key").child(Node::new("id").bytes([0, 0, 2])).child(Node::new("value").bytes([9; 32]));
    nodes[3] = Node::new("list").child(key);
    companion.iq_children(&mut lab, "encrypt", "set", nodes);
    assert_eq!(lab.world.violations.count("prekey-id-reused"), 1);
}

#[test]
fn digest_is_the_sha1_over_the_stored_keys_and_404_without() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    companion.pair(&mut lab, &number);
    companion.login(&mut lab, false);
    let answer = companion.iq(&mut lab, "encrypt", "get", Node::new("digest"));
    assert_eq!(answer.find("error").unwrap().u64("code"), Some(404));
    companion.upload(&mut lab, 1..=3);
    let at = DeviceRef::new(&number, 1);
    let answer = companion.iq(&mut lab, "encrypt", "get", Node::new("digest"));
    let digest = answer.find("digest").unwrap();
    let keys = lab.world.device(&at).unwrap().keys.as_ref().unwrap();
    let mut parts: Vec<&[u8]> = vec![keys.identity.as_bytes(), &keys.signed.value, &keys.signed.signature];
    parts.extend(keys.one_time.values().map(<[u8; 32]>::as_slice));
    assert_eq!(digest.find("hash").unwrap().content_bytes().unwrap().as_ref(), sha1(&parts));
    assert_eq!(digest.find("list").unwrap().nodes().count(), keys.one_time.len());
}

#[test]
fn rotation_replaces_the_signed_prekey_and_refuses_a_reused_id() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 5);
    let mut rng = seed::stream(1, "rotate", "");
    let mut rotate = |companion: &Companion, id: u8| {
        let pair = crate::crypto::KeyPair::generate(&mut rng);
        let signature =
            xeddsa::sign(&companion.identity, &[&pair.public().serialize()], &random_bytes(&mut rng));
        let skey = Node::new("skey")
            .child(Node::new("id").bytes([0, 0, id]))
            .child(Node::new("value").bytes(*pair.public().as_bytes()))
            .child(Node::new("signature").bytes(signature));
        Node::new("rotate").child(skey)
    };
    let code = |answer: Node| answer.find("error").and_then(|error| error.u64("code"));
    let second = rotate(&companion, 2);
    assert_eq!(code(companion.iq(&mut lab, "encrypt", "set", second.clone())), None);
    assert_eq!(code(companion.iq(&mut lab, "encrypt", "set", second)), None, "the very same again");
    let other = rotate(&companion, 2);
    assert_eq!(code(companion.iq(&mut lab, "encrypt", "set", other)), Some(409));
    let at = DeviceRef::new(&number, 1);
    assert_eq!(lab.world.device(&at).unwrap().keys.as_ref().unwrap().signed.id, 2);
    let origin = Origin { device: at, connection: Some(companion.connection) };
    assert_eq!(lab.world.count_keys(&origin).unwrap()[0].u64("value"), Some(4), "the phone took one");
}
