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
fn an_unlike_stanza_is_a_violation_in_strict_only_and_in_the_log_of_both() {
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
fn with_the_rule_off_nothing_is_judged() {
    let mut lab = Lab::new();
    let number = lab.account();
    let mut companion = lab.companion(&number, 20);
    companion.send(&mut lab, ping().attr("id", "1.1-90").attr("colour", "blue"));
    assert!(lab.world.traffic.since(0).all(|item| item.judge.is_none()));
    assert_eq!(lab.violations(), []);
}

#[test]
fn shapes_are_judged_from_the_start_but_in_bench_and_whatever_the_other_rules_say() {
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
