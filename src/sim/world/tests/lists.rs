//! Device lists: usync answers, signed key-index lists, notifications of changes (09 §10).

use crate::crypto::PublicKey;
use crate::signal::adv;
use crate::sim::world::testing::{Companion, Lab};
use crate::sim::world::{DeviceRef, Namespace};
use crate::wire::{Jid, Node};

fn usync(lab: &mut Lab, by: &mut Companion, protocols: &[&'static str], users: Vec<Node>) -> Vec<Node> {
    let protocols: Vec<Node> = protocols
        .iter()
        .map(|name| {
            let node = Node::new(*name);
            if *name == "devices" { node.attr("version", "2") } else { node }
        })
        .collect();
    let request = Node::new("usync")
        .attr("sid", "7.7-1")
        .attr("mode", "query")
        .attr("context", "message")
        .attr("index", "0")
        .attr("last", "true")
        .child(Node::new("query").children(protocols))
        .child(Node::new("list").children(users));
    let answer = by.iq(lab, "usync", "get", request);
    let usync = answer.find("usync").unwrap();
    assert_eq!(usync.str("sid").as_deref(), Some("7.7-1"));
    usync.find("list").unwrap().nodes().cloned().collect()
}

fn user(jid: &Jid) -> Node {
    Node::new("user").attr("jid", jid.clone())
}

#[test]
fn a_list_of_a_user_with_companions_is_signed_by_the_phone() {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut asker = lab.companion(&a, 5);
    let phone = Jid::pn(&b).unwrap();
    let alone = &usync(&mut lab, &mut asker, &["devices", "lid"], vec![user(&phone)])[0];
    let devices = alone.find("devices").unwrap();
    assert_eq!(devices.find("device-list").unwrap().nodes().count(), 1);
    let index = devices.find("key-index-list").unwrap();
    assert!(index.get("ts").is_some() && index.content_bytes().is_none(), "only ts");

    lab.companion(&b, 5);
    let fresh = Companion::register(&mut lab, "no keys yet");
    drop(fresh);
    for jid in [phone.clone(), lab.world.accounts[&b].lid.clone()] {
        let linked = &usync(&mut lab, &mut asker, &["devices", "lid"], vec![user(&jid), user(&jid)]);
        assert_eq!(linked.len(), 1, "duplicates are answered once");
        assert_eq!(linked[0].jid("jid"), Some(jid.clone()));
        let devices = linked[0].find("devices").unwrap();
        let list = devices.find("device-list").unwrap();
        let ids: Vec<_> = list.nodes().map(|device| (device.u64("id"), device.u64("key-index"))).collect();
        assert_eq!(ids, [(Some(0), None), (Some(1), Some(1))]);
        assert_eq!(list.str("hash").unwrap(), lab.world.accounts[&b].device_hash(Namespace::of(&jid)));
        let signed = devices.find("key-index-list").unwrap();
        let identity = lab.world.device(&DeviceRef::new(&b, 0)).unwrap().keys.as_ref().unwrap().identity;
        let parsed = adv::key_index::Signed::parse(&signed.content_bytes().unwrap()).unwrap();
        let verified = parsed.verify(&PublicKey(*identity.as_bytes())).unwrap();
        assert!(verified.keeps(1));
        assert_eq!(signed.u64("ts"), Some(verified.timestamp));
        assert_eq!(linked[0].find("lid").and_then(|lid| lid.jid("val")).is_some(), jid.is_pn());
    }
}

#[test]
fn a_companion_is_listed_from_its_first_key_upload_on() {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut asker = lab.companion(&a, 5);
    let mut fresh = Companion::register(&mut lab, "fresh");
    fresh.pair(&mut lab, &b);
    let phone = Jid::pn(&b).unwrap();
    let count = |lab: &mut Lab, asker: &mut Companion| {
        let users = usync(lab, asker, &["devices"], vec![user(&phone)]);
        users[0].find("devices").unwrap().find("device-list").unwrap().nodes().count()
    };
    assert_eq!(count(&mut lab, &mut asker), 1);
    fresh.login(&mut lab, true);
    fresh.upload(&mut lab, 1..=5);
    assert_eq!(count(&mut lab, &mut asker), 2);
}

#[test]
fn contacts_are_looked_up_in_every_form_and_unknown_ones_are_out() {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut asker = lab.companion(&a, 5);
    let contact = |text: &str| Node::new("user").child(Node::new("contact").text_bytes(text));
    let forms = [format!("+{b}"), format!("{b}@c.us"), "+15559999999".to_owned()];
    let users = usync(&mut lab, &mut asker, &["contact"], forms.iter().map(|text| contact(text)).collect());
    let kinds: Vec<_> = users
        .iter()
        .map(|user| {
            let contact = user.find("contact").unwrap();
            (user.jid("jid").unwrap().to_string(), contact.str("type").unwrap().into_owned())
        })
        .collect();
    let known = format!("{b}@s.whatsapp.net");
    assert_eq!(
        kinds,
        [(known, "in".to_owned()), ("15559999999@s.whatsapp.net".to_owned(), "out".to_owned())]
    );
}

#[test]
fn an_unknown_user_asked_for_devices_has_an_empty_list() {
    let mut lab = Lab::new();
    let a = lab.account();
    let mut asker = lab.companion(&a, 5);
    let unknown = Jid::pn("15559999999").unwrap();
    let users = usync(&mut lab, &mut asker, &["devices"], vec![user(&unknown)]);
    let list = users[0].find("devices").unwrap().find("device-list").unwrap();
    assert_eq!(list.nodes().count(), 0);
}

#[test]
fn peers_hear_of_new_and_removed_devices_in_the_form_they_asked_in() {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut observer = lab.companion(&a, 5);
    for by_lid in [false, true] {
        let account = &lab.world.accounts[&b];
        let jid = if by_lid { account.lid.clone() } else { account.pn.clone() };
        usync(&mut lab, &mut observer, &["devices"], vec![user(&jid)]);
        let companion = lab.companion(&b, 5);
        let device = companion.jid.clone().unwrap().device();
        for change in ["add", "remove"] {
            if change == "remove" {
                lab.world.unlink(&DeviceRef::new(&b, device));
            }
            let told = observer.find(|node| node.str("type").as_deref() == Some("devices"));
            assert_eq!(told.jid("from"), Some(jid.clone()));
            assert_eq!(told.get("lid").is_some(), !by_lid, "lid only beside a PN");
            let operation = told.find(change).unwrap();
            let hash = operation.str("device_hash").unwrap();
            assert_eq!(
                hash,
                lab.world.accounts[&b].device_hash(Namespace::of(&jid)),
                "the list after the change"
            );
            let named = operation.find("device").unwrap();
            assert_eq!(named.jid("jid"), Some(jid.with_device(device)));
            let list = operation.find("key-index-list").unwrap();
            assert!(list.u64("ts").is_some_and(|ts| ts > 0));
            assert_eq!(list.content_bytes().is_some(), change == "add");
        }
    }
}
