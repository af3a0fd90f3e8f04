//! The shapes of what the server sends, and the judge over what clients send (09 §4, §23.1).

use crate::sim::rules::{Mode, Rules};
use crate::sim::world::NewAccount;
use crate::sim::world::testing::Lab;
use crate::sim::{OperatingRules, Profile};
use crate::stanza::judge::Verdict;
use crate::wire::{Jid, Node};

fn ping() -> Node {
    Node::new("iq").attr("xmlns", "w:p").attr("type", "get").attr("to", Jid::service())
}

#[test]
fn judge_line_17_an_unlike_stanza_is_a_violation_in_strict_only_and_in_the_log_of_both() {
    for profile in [Profile::Strict, Profile::Lenient, Profile::Bench] {
        let mut lab = Lab::new();
        let new = NewAccount { profile: Some(profile), ..NewAccount::default() };
        let number = lab.world.create_account(new).unwrap();
        let mut companion = lab.companion(&number, 20);
        lab.world.rules.shapes.mode = Mode::Report;
        let before = lab.world.traffic.last_cursor().unwrap();
        let unlike = ping().attr("id", "1.1-90").attr("colour", "blue");
        companion.send(&mut lab, unlike.clone());
        companion.send(&mut lab, unlike);
        assert_eq!(companion.take("iq").str("type").as_deref(), Some("result"), "no answer is changed");
        let item = lab.world.traffic.since(before).next().unwrap();
        let verdict = item.judge.as_ref().map(|judgement| judgement.verdict);
        assert_eq!(verdict, (profile != Profile::Bench).then_some(Verdict::Unlike), "{profile:?}");
        let expected = if profile == Profile::Strict { 2 } else { 0 };
        assert_eq!(lab.world.violations.count("stanza-unlike"), expected, "{profile:?}");
        let items = lab.world.violations.items();
        assert!(items.iter().all(|item| item.rule == "R17" && item.detail.contains("colour")), "{items:?}");
    }
}

#[test]
fn judge_with_the_rule_off_nothing_is_judged() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    companion.send(&mut lab, ping().attr("id", "1.1-90").attr("colour", "blue"));
    assert!(lab.world.traffic.since(0).all(|item| item.judge.is_none()));
    assert_eq!(lab.violations(), []);
}

#[test]
fn judge_from_the_start_but_in_bench_and_whatever_the_other_rules_say() {
    let mode = |profile| Rules::of(profile, OperatingRules::OfProfile).shapes.mode;
    assert_eq!(
        [Profile::Strict, Profile::Lenient, Profile::Bench].map(mode),
        [Mode::Report, Mode::Report, Mode::Off]
    );
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    lab.world.rules.protocol_faults.mode = Mode::Off;
    lab.world.rules.shapes.mode = Mode::Report;
    companion.send(&mut lab, ping().attr("id", "1.1-90").attr("colour", "blue"));
    companion.send(&mut lab, ping().attr("id", "1.1-91"));
    assert_eq!(lab.world.violations.count("stanza-unlike"), 1);
    let totals = lab.world.shapes.totals();
    let row = &totals["accounts"][0];
    assert_eq!((row["account"].as_str(), row["device"].as_u64()), (Some(number.as_str()), Some(1)));
    assert_eq!(
        (row["like"].as_u64(), row["listed"].as_u64(), row["unlike"].as_u64()),
        (Some(1), Some(0), Some(1))
    );
    let finding = &row["findings"][0];
    assert_eq!(
        (finding["attr"].as_str(), finding["what"].as_str()),
        (Some("colour"), Some("unknown-attribute"))
    );
    assert_eq!((finding["listed"].as_bool(), finding["count"].as_u64()), (Some(false), Some(1)));
}

/// Everything that two accounts' companions get while one of them talks, and when the world stands still.
fn talk(mode: Mode) -> (Vec<Node>, i64, u64) {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let (mut one, mut two) = (lab.companion(&a, 20), lab.companion(&b, 20));
    lab.world.rules.shapes.mode = mode;
    let to = lab.world.accounts[&b].pn.clone();
    let devices = [to.clone(), to.with_device(1), lab.world.accounts[&a].pn.clone()];
    for n in 0..5 {
        // Unlike: there is no such attribute.
        let message = one.message(&format!("M{n}"), &to, &devices).attr("colour", "blue");
        one.send(&mut lab, message);
        one.send(&mut lab, ping().attr("id", format!("1.1-{n}")).attr("colour", "blue"));
        lab.later(1000);
    }
    let got = [one.drain(), two.drain()].concat();
    (got, lab.world.now_ms, lab.world.violations.count("stanza-unlike"))
}

#[test]
fn judge_line_17_acks_routing_and_times_are_those_of_a_run_without_the_judge() {
    let (judged, judged_at, found) = talk(Mode::Report);
    let (open, open_at, none) = talk(Mode::Off);
    assert!(found >= 10 && none == 0, "{found} {none}");
    assert_eq!(judged_at, open_at);
    assert_eq!(judged.len(), open.len());
    for (with, without) in judged.iter().zip(&open) {
        assert_eq!(with, without);
    }
}

#[test]
fn judge_line_19_a_faulty_client_payload_is_a_violation_of_the_connection() {
    let mut lab = Lab::new();
    lab.world.rules.shapes.mode = Mode::Report;
    let (id, _out) = lab.world.connect(crate::sim::world::Peer::default());
    // `passive`, field 3, a bool of 2.
    lab.world.hello(id, crate::crypto::PublicKey([9; 32]), &[0x18, 2]);
    let items = lab.world.violations.items();
    let shapes: Vec<_> = items.iter().filter(|item| item.rule == "R17").collect();
    assert_eq!(shapes.len(), 1, "{items:?}");
    assert_eq!((&*shapes[0].code, shapes[0].connection), ("payload-unlike", Some(id)));
    assert!(shapes[0].detail.starts_with("payload.ClientPayload passive: range"), "{}", shapes[0].detail);
}
