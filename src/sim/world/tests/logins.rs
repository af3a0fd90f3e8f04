//! The login decision, row by row (09 §5).

use crate::crypto::KeyPair;
use crate::proto::ClientPayload;
use crate::sim::seed;
use crate::sim::world::testing::{Companion, Lab};
use crate::sim::world::{Ban, DeviceRef};
use crate::wire::Node;

fn reason(companion: &mut Companion) -> Option<u64> {
    companion.take("failure").u64("reason")
}

fn login_as(lab: &mut Lab, companion: &mut Companion, username: u64, device: Option<u32>) {
    companion.reconnect(lab);
    companion.hello(lab, &ClientPayload { username: Some(username), device, ..Default::default() });
}

#[test]
fn proves_09_27_10_login_decision_table_row_by_row() {
    let mut lab = Lab::with(|config| config.min_version = Some([2, 3000, 5]));
    let number = lab.account();
    let mut companion = Companion::register(&mut lab, "a");
    companion.pair(&mut lab, &number);
    let user: u64 = number.parse().unwrap();

    login_as(&mut lab, &mut companion, 15_559_999_999, Some(1));
    assert_eq!(reason(&mut companion), Some(401), "unknown number");
    login_as(&mut lab, &mut companion, user, Some(9));
    assert_eq!(reason(&mut companion), Some(401), "unknown device");
    login_as(&mut lab, &mut companion, user, None);
    assert_eq!(reason(&mut companion), Some(401), "no device");

    let own = std::mem::replace(&mut companion.noise, KeyPair::generate(&mut seed::stream(1, "x", "")));
    companion.login(&mut lab, false);
    assert_eq!(reason(&mut companion), Some(401), "another Noise key");
    assert_eq!(lab.violations(), [("noise-static-changed".to_owned(), 1)]);
    companion.noise = own;

    companion.login(&mut lab, false);
    assert_eq!(reason(&mut companion), Some(405), "no version is below the minimum");
    lab.world.config.min_version = None;

    lab.world.ban(&number, Some(Ban { reason: 402, code: 101, expire: 3600 }), None);
    companion.login(&mut lab, false);
    let failure = companion.take("failure");
    assert_eq!(
        (failure.u64("reason"), failure.u64("code"), failure.u64("expire")),
        (Some(402), Some(101), Some(3600))
    );
    for banned in [403, 406] {
        lab.world.ban(&number, Some(Ban { reason: banned, code: 0, expire: 0 }), None);
        companion.login(&mut lab, false);
        let failure = companion.take("failure");
        assert_eq!((failure.u64("reason"), failure.get("code")), (Some(banned.into()), None));
    }
    lab.world.ban(&number, None, None);

    companion.login(&mut lab, false);
    let success = companion.take("success");
    assert_eq!(success.jid("lid"), companion.lid);
    assert_eq!(success.u64("t"), Some(lab.world.now_s().unsigned_abs()));

    lab.world.unlink(&DeviceRef::new(&number, 1));
    let error = companion.take("stream:error");
    assert_eq!(error.find("conflict").unwrap().str("type").as_deref(), Some("device_removed"));
    companion.login(&mut lab, false);
    assert_eq!(reason(&mut companion), Some(401), "unlinked");
}

#[test]
fn a_failure_is_followed_by_the_close_within_200_ms() {
    let mut lab = Lab::new();
    let mut companion = Companion::register(&mut lab, "a");
    login_as(&mut lab, &mut companion, 15_559_999_999, Some(1));
    companion.take("failure");
    assert!(!companion.is_closed());
    lab.later(200);
    assert!(companion.is_closed());
}

#[test]
fn proves_09_27_10_a_second_login_replaces_the_first() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    let first = companion.connection;
    let mut second = Companion::register(&mut lab, "x");
    (second.noise, second.jid) = (companion.noise.clone(), companion.jid.clone());
    second.login(&mut lab, false);
    second.take("success");
    let error = companion.take("stream:error");
    assert_eq!(error.find("conflict").unwrap().str("type").as_deref(), Some("replaced"));
    lab.later(100);
    assert!(companion.is_closed());
    assert_ne!(lab.world.device(&DeviceRef::new(&number, 1)).unwrap().connection, Some(first));
}

#[test]
fn success_edge_routing_and_the_end_marker_come_in_this_order() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    companion.disconnect(&mut lab);
    companion.login(&mut lab, true);
    let stanzas = companion.drain();
    let children: Vec<_> = stanzas
        .iter()
        .map(|node| node.nodes().next().map_or(node.tag.to_string(), |child| child.tag.to_string()))
        .collect();
    assert_eq!(children.first().map(String::as_str), Some("success"));
    assert_eq!(children.get(1).map(String::as_str), Some("edge_routing"));
    let last = stanzas.last().unwrap().find("offline").unwrap();
    assert!(last.get("count").is_some(), "the marker always comes, also with none");
}

#[test]
fn a_passive_login_without_active_is_a_violation_after_60_s() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    companion.disconnect(&mut lab);
    companion.login(&mut lab, true);
    lab.later(59_999);
    assert_eq!(lab.violations(), []);
    lab.later(1);
    assert!(lab.violations().contains(&("never-active".to_owned(), 1)));
    companion.disconnect(&mut lab);
    companion.login(&mut lab, false);
    lab.later(60_000);
    assert_eq!(lab.world.violations.count("never-active"), 1, "none is owed after passive=false");
}

#[test]
fn a_connection_that_says_nothing_for_180_s_is_closed() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    lab.later(100_000);
    companion.iq_children(&mut lab, "w:p", "get", vec![]);
    lab.later(179_999);
    assert!(!companion.is_closed());
    lab.later(1);
    assert!(companion.is_closed());
}

#[test]
fn a_clients_own_log_out_gets_its_result_first() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    let mut other = lab.companion(&number, 20);
    companion.drain();
    let foreign =
        Node::new("remove-companion-device").attr("jid", crate::wire::Jid::pn("15550009999").unwrap());
    let refused = other.iq(&mut lab, "md", "set", foreign);
    assert_eq!(refused.find("error").unwrap().u64("code"), Some(400), "nobody's device");
    let remove = Node::new("remove-companion-device")
        .attr("jid", companion.jid.clone().unwrap())
        .attr("reason", "user_initiated");
    let result = companion.iq(&mut lab, "md", "set", remove);
    assert_eq!(result.str("type").as_deref(), Some("result"));
    let error = companion.take("stream:error");
    assert_eq!(error.u64("code"), Some(401));
    let told = other.find(|node| node.str("type").as_deref() == Some("account_sync"));
    assert_eq!(told.find("devices").unwrap().find_all("device").count(), 2, "device 0 and the other");
}

#[test]
fn a_reinstalled_phone_has_another_identity_and_no_companions() {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let mut companion = lab.companion(&a, 20);
    let mut observer = lab.companion(&b, 20);
    let user = Node::new("user").attr("jid", crate::wire::Jid::pn(&a).unwrap());
    let key = |lab: &mut Lab, observer: &mut Companion| {
        let answer = observer.iq(lab, "encrypt", "get", Node::new("key").child(user.clone()));
        let user = answer.find("list").unwrap().find("user").unwrap();
        user.find("identity").unwrap().content_bytes().unwrap().into_owned()
    };
    let query = Node::new("usync")
        .attr("sid", "1")
        .child(Node::new("query").child(Node::new("devices").attr("version", "2")))
        .child(Node::new("list").child(user.clone()));
    observer.iq(&mut lab, "usync", "get", query);
    let before = key(&mut lab, &mut observer);
    lab.world.reinstall(&a);
    companion.take("stream:error");
    let told = observer.find(|node| node.find("identity").is_some() && node.tag == "notification");
    assert_eq!(told.str("type").as_deref(), Some("encrypt"));
    assert_ne!(key(&mut lab, &mut observer), before);
    assert!(lab.world.accounts[&a].companions().next().is_none());
}
