//! The operating rules: just below the limit nothing, just above exactly one violation of the right code (09 §27 no. 12).

use super::super::testing::{Companion, Lab};
use crate::sim::config::{OperatingRules, SimConfig};
use crate::sim::rules::{DoubleLinkPolicy, Mode};
use crate::sim::seam::{PhoneCommand, PhoneContent};
use crate::sim::world::{DeviceRef, Peer};
use crate::wire::{Jid, Node};

fn lab(mode: Mode) -> Lab {
    Lab::with(|config: &mut SimConfig| config.operating_rules = OperatingRules::All(mode))
}

fn enforced() -> Lab {
    lab(Mode::Enforce)
}

/// The violations but those of links, which these tests make faster than people do.
fn codes(lab: &Lab) -> Vec<(String, u64)> {
    lab.violations().into_iter().filter(|(code, _)| code != "login-spacing").collect()
}

fn once(code: &str) -> Vec<(String, u64)> {
    vec![(code.to_owned(), 1)]
}

/// Logs in from a source of its own; the stanza that answers.
fn log_in(lab: &mut Lab, companion: &mut Companion, source: &str) -> Node {
    let (connection, out) = lab.world.connect(Peer { source: source.to_owned(), ..Peer::default() });
    companion.take_over(connection, out);
    companion.log_in(lab, false);
    companion.find(|node| matches!(&*node.tag, "success" | "failure"))
}

fn refused(node: &Node) -> Option<u64> {
    node.u64("reason")
}

#[test]
fn proves_09_27_12_r1_parallel_attempts_of_a_source() {
    let mut lab = enforced();
    for _ in 0..3 {
        assert!(lab.world.admit("a").is_ok());
    }
    assert_eq!(codes(&lab), []);
    assert!(lab.world.admit("b").is_ok(), "another source");
    assert!(lab.world.admit("a").is_err());
    assert_eq!(codes(&lab), once("parallel-connects"));
    lab.world.upgraded("a");
    assert!(lab.world.admit("a").is_ok(), "one of them is through");
}

#[test]
fn proves_09_27_12_r2_space_between_logins_of_different_devices() {
    let mut lab = enforced();
    let (a, b) = (lab.account(), lab.account());
    let (mut one, mut two) = (lab.companion(&a, 20), lab.companion(&b, 20));
    lab.later(10_000);
    assert_eq!(refused(&log_in(&mut lab, &mut one, "s")), None);
    lab.later(901);
    assert_eq!(refused(&log_in(&mut lab, &mut two, "s")), None);
    assert_eq!(lab.violations(), []);
    lab.later(899);
    assert_eq!(refused(&log_in(&mut lab, &mut one, "s")), Some(503));
    assert_eq!(lab.violations(), once("login-spacing"));
}

#[test]
fn proves_09_27_12_r3_reconnects_of_a_device() {
    let mut lab = enforced();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    for _ in 0..10 {
        lab.later(1000);
        companion.disconnect(&mut lab);
        assert_eq!(refused(&log_in(&mut lab, &mut companion, "s")), None);
    }
    assert_eq!(codes(&lab), []);
    companion.disconnect(&mut lab);
    assert_eq!(refused(&log_in(&mut lab, &mut companion, "s")), Some(503));
    assert_eq!(codes(&lab), once("reconnect-storm"));
    let last = (0..20).map(|_| log_in(&mut lab, &mut companion, "s")).last().unwrap();
    assert_eq!((refused(&last), last.u64("code"), last.u64("expire")), (Some(402), Some(101), Some(600)));
}

#[test]
fn a_connection_that_the_server_ended_after_30_s_is_no_storm() {
    let mut lab = enforced();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    for round in 0..20 {
        lab.later(31_000 + round % 7 * 5000);
        lab.world.kick(&number, None, crate::sim::Kick::Close, None);
        lab.world.disconnected(companion.connection);
        assert_eq!(refused(&log_in(&mut lab, &mut companion, "s")), None);
        companion.active(&mut lab);
    }
    assert_eq!(codes(&lab), []);
}

/// A companion and another account's companion to write to.
fn pair(lab: &mut Lab) -> (Companion, Jid, String) {
    let (a, b) = (lab.account(), lab.account());
    let one = lab.companion(&a, 20);
    let two = lab.companion(&b, 20);
    (one, two.jid.clone().unwrap(), a)
}

fn write(lab: &mut Lab, from: &mut Companion, to: &Jid, id: usize) -> Option<u64> {
    let message = from.message(&format!("M{id}"), &to.without_device(), std::slice::from_ref(to));
    from.send(lab, message.attr("device_fanout", "false"));
    from.take("ack").u64("error")
}

#[test]
fn proves_09_27_12_r4_messages_of_an_account() {
    let mut lab = enforced();
    let (mut one, to, _) = pair(&mut lab);
    for id in 0..30 {
        lab.later(1300);
        assert_eq!(write(&mut lab, &mut one, &to, id), None);
    }
    assert_eq!(codes(&lab), []);
    lab.later(1300);
    assert_eq!(write(&mut lab, &mut one, &to, 30), None, "soft: recorded only");
    assert_eq!(codes(&lab), once("rate-soft"));

    let mut lab = enforced();
    let (mut one, to, other) = pair(&mut lab);
    for id in 0..5 {
        assert_eq!(write(&mut lab, &mut one, &to, id), None);
    }
    assert_eq!(codes(&lab), []);
    assert_eq!(write(&mut lab, &mut one, &to, 5), Some(429), "the sixth within 5 s");
    assert_eq!(codes(&lab), once("rate-hard"));
    for id in 6..8 {
        let message = one.message(&format!("M{id}"), &to.without_device(), std::slice::from_ref(&to));
        one.send(&mut lab, message);
    }
    assert!(lab.world.accounts[&other].ban.is_some(), "the third hard breach in ten minutes");
    let failure = log_in(&mut lab, &mut one, "s");
    assert_eq!((refused(&failure), failure.u64("code")), (Some(402), Some(101)));
    assert!(failure.u64("expire").is_some());
    lab.later(601_000);
    assert_eq!(refused(&log_in(&mut lab, &mut one, "s")), None, "a rule's ban ends by itself");
}

#[test]
fn proves_09_27_12_r5_new_chats_with_those_who_never_wrote() {
    let mut lab = enforced();
    let own = lab.account();
    let mut one = lab.companion(&own, 20);
    let others: Vec<String> = (0..12).map(|_| lab.account()).collect();
    for (id, other) in others.iter().take(10).enumerate() {
        lab.later(3000);
        assert_eq!(write(&mut lab, &mut one, &Jid::pn(other).unwrap(), id), None);
    }
    assert_eq!(codes(&lab), []);
    lab.later(3000);
    assert_eq!(write(&mut lab, &mut one, &Jid::pn(&others[10]).unwrap(), 10), Some(463));
    assert_eq!(codes(&lab), once("cold-outreach"));
    let to = Jid::pn(&own).unwrap();
    let op = lab.world.new_op();
    let content = PhoneContent::Text("hello".to_owned());
    lab.world.command(&others[11], PhoneCommand::Send { op, to, content, id: None, device: 0 }).unwrap();
    lab.later(3000);
    assert_eq!(
        write(&mut lab, &mut one, &Jid::pn(&others[11]).unwrap(), 11),
        None,
        "who wrote is no cold chat"
    );
}

/// Scans the QR of a new companion at `source`; the op's number.
fn scan(lab: &mut Lab, number: &str) -> (Companion, u64) {
    let mut companion = Companion::register(lab, "another");
    let pair_device = companion.take("iq");
    companion.answer(lab, &pair_device, None);
    let (op, qr) = (lab.world.new_op(), companion.qr(&pair_device, 0));
    lab.world.command(number, PhoneCommand::ScanQr { op, qr, corrupt: None }).unwrap();
    (companion, op)
}

#[test]
fn proves_09_27_12_r6_the_rest_after_a_logout() {
    let mut lab = enforced();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    lab.world.unlink(&DeviceRef::new(&number, 1));
    lab.world.settle();
    companion.drain();
    assert_eq!(refused(&log_in(&mut lab, &mut companion, "test")), Some(401), "so it learns of it");
    assert_eq!(codes(&lab), []);
    let (_, op) = scan(&mut lab, &number);
    let outcome = lab.world.ops.remove(&op).unwrap();
    assert!(format!("{outcome:?}").contains("cooldown"), "{outcome:?}");
    assert_eq!(codes(&lab), once("cooldown-login"));
    assert_eq!(lab.world.cooldown_rest_s(&number), 300);
    lab.later(300_001);
    let (mut linked, _) = scan(&mut lab, &number);
    linked.sign(&mut lab);
    assert_eq!(linked.take("stream:error").str("code").as_deref(), Some("515"));
    assert_eq!(codes(&lab), once("cooldown-login"));
}

#[test]
fn proves_09_27_12_r7_the_same_kind_of_companion_twice() {
    for (policy, left, counted) in [
        (DoubleLinkPolicy::Both, vec![1, 2], vec![]),
        (DoubleLinkPolicy::Replace, vec![2], once("double-link")),
    ] {
        let mut lab = enforced();
        lab.world.rules.double_link.policy = policy;
        let number = lab.account();
        let _one = lab.companion(&number, 20);
        assert_eq!(codes(&lab), []);
        let (mut two, _) = scan(&mut lab, &number);
        two.sign(&mut lab);
        let companions: Vec<u16> = lab.world.accounts[&number].companions().map(|(id, _)| id).collect();
        assert_eq!((companions, codes(&lab)), (left, counted), "{policy:?}");
    }
}

#[test]
fn proves_09_27_12_r8_live_connections_of_a_source() {
    let mut lab = enforced();
    for _ in 0..5 {
        let number = lab.account();
        lab.later(2000);
        std::mem::forget(lab.companion(&number, 20));
    }
    assert_eq!(codes(&lab), []);
    let number = lab.account();
    let mut sixth = Companion::register(&mut lab, &number);
    sixth.pair(&mut lab, &number);
    assert_eq!(refused(&log_in(&mut lab, &mut sixth, "test")), Some(503));
    assert_eq!(codes(&lab), once("connections-per-source"));
}

#[test]
fn proves_09_27_12_r9_retries_of_a_message() {
    let mut lab = enforced();
    let (mut one, to, number) = pair(&mut lab);
    assert_eq!(write(&mut lab, &mut one, &to, 0), None);
    let by =
        crate::sim::world::Origin { device: DeviceRef::new(&number, 1), connection: Some(one.connection) };
    let other = DeviceRef::new("1", 1);
    assert!((0..5).all(|_| !lab.world.judge_retry(&by, "M0", &other)));
    assert_eq!(codes(&lab), []);
    assert!(lab.world.judge_retry(&by, "M0", &other), "dropped");
    assert!(!lab.world.judge_retry(&by, "M1", &other), "another message");
    assert_eq!(codes(&lab), once("retry-excess"));
}

fn usync(contacts: usize) -> Node {
    let users = (0..contacts)
        .map(|n| Node::new("user").child(Node::new("contact").text_bytes(&format!("+4915{n:07}"))));
    let protocol = if contacts > 0 { "contact" } else { "devices" };
    Node::new("usync")
        .attr("sid", "1")
        .child(Node::new("query").child(Node::new(protocol)))
        .child(Node::new("list").children(users.collect::<Vec<_>>()))
}

#[test]
fn proves_09_27_12_r10_usync_queries() {
    for (below, query) in [(10, usync(1)), (2, usync(30)), (120, usync(0))] {
        let mut lab = enforced();
        let number = lab.account();
        let mut companion = lab.companion(&number, 20);
        for _ in 0..below {
            assert_eq!(
                companion.iq(&mut lab, "usync", "get", query.clone()).str("type").as_deref(),
                Some("result")
            );
        }
        assert_eq!(codes(&lab), []);
        let error = companion.iq(&mut lab, "usync", "get", query);
        assert_eq!(error.find("error").unwrap().u64("code"), Some(429));
        assert_eq!(codes(&lab), once("usync-rate"));
    }
}

#[test]
fn proves_09_27_12_r11_one_text_to_many_who_never_wrote() {
    let mut lab = lab(Mode::Enforce);
    for n in 0..20 {
        lab.world.judge_text("1", &format!("2{n}"), "buy");
        lab.world.judge_text("1", &format!("2{n}"), "buy");
        lab.world.judge_text("1", &format!("3{n}"), "something else");
    }
    assert_eq!(codes(&lab), []);
    lab.world.judge_text("1", "220", "buy");
    assert_eq!(codes(&lab), once("bulk-identical"));
    lab.world.note_written("221", "1");
    lab.world.judge_text("1", "221", "buy");
    assert_eq!(codes(&lab), once("bulk-identical"), "who wrote does not count");
}

#[test]
fn proves_09_27_12_r12_groups_and_members() {
    let mut lab = enforced();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    let create = || Node::new("create").attr("subject", "We");
    for _ in 0..5 {
        assert!(companion.iq(&mut lab, "w:g2", "set", create()).find("group").is_some());
    }
    assert_eq!(codes(&lab), []);
    let error = companion.iq(&mut lab, "w:g2", "set", create());
    let error = error.find("error").unwrap();
    let limit = error.find("rate_limit").unwrap();
    assert_eq!((error.u64("code"), limit.str("type").as_deref()), (Some(429), Some("user")));
    assert_eq!(limit.u64("backoff"), Some(3600));
    assert_eq!(codes(&lab), once("group-rate"));
}

#[test]
fn proves_09_27_12_r13_accounts_that_move_as_one() {
    let mut lab = enforced();
    lab.world.rules.spacing.mode = Mode::Off;
    let mut companions = Vec::new();
    for _ in 0..4 {
        lab.later(2000);
        let number = lab.account();
        companions.push(lab.companion(&number, 20));
    }
    lab.later(5000);
    for companion in companions.iter_mut().take(3) {
        assert_eq!(refused(&log_in(&mut lab, companion, "s")), None);
    }
    assert_eq!(lab.violations(), []);
    assert_eq!(refused(&log_in(&mut lab, &mut companions[3], "s")), None, "a report only");
    assert_eq!(lab.violations(), once("synchronised-fleet"));
}

#[test]
fn logins_at_equal_intervals_are_a_pattern_others_are_none() {
    for (jitter, counted) in [(0, 1), (700, 0)] {
        let mut lab = enforced();
        let number = lab.account();
        let mut companion = lab.companion(&number, 20);
        for round in 0..11 {
            lab.later(10_000 + jitter * (round % 3));
            companion.disconnect(&mut lab);
            log_in(&mut lab, &mut companion, "s");
        }
        assert_eq!(lab.world.violations.count("synchronised-fleet"), counted, "{jitter}");
    }
}

#[test]
fn proves_09_27_12_r14_presence_without_a_pause() {
    let mut lab = enforced();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    companion.send(&mut lab, Node::new("presence").attr("type", "available"));
    let hours = |lab: &mut Lab, companion: &mut Companion, hours: i64| {
        for _ in 0..hours * 60 {
            lab.later(60_000);
            companion.iq(lab, "w:p", "get", Node::new("ping"));
        }
    };
    hours(&mut lab, &mut companion, 16);
    assert_eq!(codes(&lab), []);
    hours(&mut lab, &mut companion, 1);
    assert_eq!(codes(&lab), once("always-online"));
}

#[test]
fn a_lenient_account_is_reported_only_and_one_of_bench_not_at_all() {
    for (profile, counted) in [(crate::sim::Profile::Lenient, 1), (crate::sim::Profile::Bench, 0)] {
        let mut lab = enforced();
        let new = crate::sim::NewAccount { profile: Some(profile), ..Default::default() };
        let number = lab.world.create_account(new).unwrap();
        let mut companion = lab.companion(&number, 20);
        let answers = (0..11).map(|_| companion.iq(&mut lab, "usync", "get", usync(1)));
        assert!(
            answers.collect::<Vec<_>>().iter().all(|answer| answer.str("type").as_deref() == Some("result"))
        );
        assert_eq!(lab.world.violations.count("usync-rate"), counted);
    }
}
