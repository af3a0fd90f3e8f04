//! Restrictions: what a client that ignores them meets, and what is recorded (09 §18 no. 7, §23 R16).

use serde_json::{Value, json};

use crate::sim::rules::Mode;
use crate::sim::world::testing::{Companion, Lab};
use crate::sim::world::{DeviceRef, Namespace};
use crate::wire::Node;

fn restrict(lab: &mut Lab, number: &str, change: Value) {
    lab.world.restrict(number, serde_json::from_value(change).unwrap());
    lab.world.settle();
}

fn pair() -> (Lab, String, String, Companion) {
    let mut lab = Lab::new();
    lab.world.rules.restrictions.mode = Mode::Enforce;
    let (a, b) = (lab.account(), lab.account());
    let mut one = lab.companion(&a, 20);
    one.drain();
    (lab, a, b, one)
}

/// Sends a message to `b`'s phone; the ack's error and backoff.
fn send(lab: &mut Lab, (a, b): (&str, &str), one: &mut Companion, id: &str) -> (Option<u64>, Option<u64>) {
    let to = lab.world.accounts[b].pn.clone();
    let targets = [to.clone(), lab.world.accounts[a].jid(Namespace::Pn, 0)];
    let message = one.message(id, &to, &targets);
    one.send(lab, message);
    let ack = one.find(|node| node.tag == "ack" && node.str("class").as_deref() == Some("message"));
    (ack.u64("error"), ack.u64("backoff"))
}

fn codes(lab: &Lab) -> Vec<(String, u64)> {
    lab.violations().into_iter().filter(|(code, _)| code.starts_with("restriction")).collect()
}

/// Answers whatever waits for an ack, so that nothing else is recorded.
fn hear(lab: &mut Lab, one: &mut Companion) {
    for node in one.drain().into_iter().filter(|node| node.tag == "notification") {
        let ack = Node::new("ack")
            .attr("class", "notification")
            .attr("id", node.str("id").unwrap().into_owned())
            .attr("to", node.jid("from").unwrap())
            .attr("type", node.str("type").unwrap().into_owned());
        lab.world.stanza(one.connection, ack);
    }
}

#[test]
fn restriction_timelock_is_announced_with_its_fields_refuses_with_463_and_ends() {
    let (mut lab, a, b, mut one) = pair();
    restrict(&mut lab, &a, json!({"timelock": {"type": "BIZ_QUALITY", "ends_in_s": 120}}));
    let told = one.find(|node| node.str("type").as_deref() == Some("mex"));
    let update = told.find("update").unwrap();
    assert_eq!(update.str("op_name").unwrap(), "NotificationUserReachoutTimelockUpdate");
    let content: Value = serde_json::from_str(&update.content_text().unwrap()).unwrap();
    let fields = &content["data"]["xwa2_notify_account_reachout_timelock"];
    assert_eq!((&fields["is_active"], &fields["enforcement_type"]), (&json!(true), &json!("BIZ_QUALITY")));
    assert_eq!(send(&mut lab, (&a, &b), &mut one, "M1").0, Some(463));
    assert_eq!(codes(&lab), [], "in flight");
    lab.later(6_000);
    assert_eq!(send(&mut lab, (&a, &b), &mut one, "M2").0, Some(463));
    assert_eq!(codes(&lab), [("restriction-ignored".to_owned(), 1)]);
    lab.later(120_000);
    let told = one.find(|node| node.str("type").as_deref() == Some("mex"));
    let content = told.find("update").unwrap().content_text().unwrap().into_owned();
    assert!(content.contains(r#""is_active":false"#) && content.contains(r#""time_enforcement_ends":"""#));
    assert_eq!(send(&mut lab, (&a, &b), &mut one, "M3").0, None);
}

#[test]
fn restriction_ignored_three_times_in_an_hour_is_a_ban_and_silent_ones_count_from_the_first_refusal() {
    let (mut lab, a, b, mut one) = pair();
    restrict(&mut lab, &a, json!({"timelock": {"ends_in_s": 86_400}, "silent": true}));
    assert!(one.drain().iter().all(|node| node.tag != "notification"));
    for (n, after) in [0, 6_000, 6_000].into_iter().enumerate() {
        lab.later(after);
        assert_eq!(send(&mut lab, (&a, &b), &mut one, &format!("M{n}")).0, Some(463));
    }
    assert_eq!(codes(&lab), [("restriction-ignored".to_owned(), 2)]);
    lab.later(6_000);
    let to = lab.world.accounts[&b].pn.clone();
    let message = one.message("M9", &to, std::slice::from_ref(&to));
    one.send(&mut lab, message);
    assert!(lab.world.accounts[&a].ban.is_some());
}

#[test]
fn restriction_cap_counts_new_chats_warns_and_refuses_with_475() {
    let (mut lab, a, b, mut one) = pair();
    let others: Vec<String> = (0..2).map(|_| lab.account()).collect();
    restrict(&mut lab, &a, json!({"cap": {"quota": 2}}));
    assert_eq!(lab.world.accounts[&a].abprops["17845"], "2");
    assert_eq!(send(&mut lab, (&a, &b), &mut one, "M1").0, None);
    assert_eq!(lab.world.restrictions_json(&a)["cap"]["status"], "FIRST_WARNING");
    assert_eq!(send(&mut lab, (&a, &b), &mut one, "M2").0, None, "the same chat costs nothing more");
    assert_eq!(send(&mut lab, (&a, &others[0]), &mut one, "M3").0, None);
    assert_eq!(lab.world.restrictions_json(&a)["cap"]["status"], "CAPPED");
    assert_eq!(send(&mut lab, (&a, &others[1]), &mut one, "M4").0, Some(475));
    hear(&mut lab, &mut one);
    lab.later(2_592_000_000);
    assert_eq!(lab.world.restrictions_json(&a)["cap"]["used"], 0, "a new cycle");
}

#[test]
fn restriction_message_backoff_names_the_seconds_that_are_left_and_routes_nothing() {
    let (mut lab, a, b, mut one) = pair();
    restrict(&mut lab, &a, json!({"message_backoff": {"error": 429, "backoff_s": 60}}));
    lab.later(20_000);
    assert_eq!(send(&mut lab, (&a, &b), &mut one, "M1"), (Some(429), Some(40)));
    lab.later(41_000);
    assert_eq!(send(&mut lab, (&a, &b), &mut one, "M1"), (None, None));
}

#[test]
fn restriction_of_group_operations_comes_with_its_child_and_486_blocks_roles() {
    let (mut lab, a, b, mut one) = pair();
    let people = lab.world.accounts[&b].pn.clone();
    let create = |subject: &str| {
        let participant = Node::new("participant").attr("jid", people.clone());
        Node::new("create").attr("subject", subject.to_owned()).child(participant)
    };
    restrict(&mut lab, &a, json!({"group_limit": {"backoff_s": 120, "type": "user"}}));
    let refused = one.iq(&mut lab, "w:g2", "set", create("one"));
    let error = refused.find("error").unwrap();
    assert_eq!(error.u64("code"), Some(429));
    let limit = error.find("rate_limit").unwrap();
    assert_eq!((limit.u64("backoff"), limit.str("type").as_deref()), (Some(120), Some("user")));
    restrict(&mut lab, &a, json!({"group_limit": {"participant_limit": 5}, "group_block": {}}));
    assert!(one.iq(&mut lab, "w:g2", "set", create("two")).find("error").is_none(), "one is not too many");
    let refused = one.iq(&mut lab, "w:g2", "set", Node::new("promote"));
    assert_eq!(refused.find("error").unwrap().str("text").unwrap(), "blocked-integrity-enforcement");
    restrict(&mut lab, &a, json!({"group_block": {"all": true}}));
    let refused = one.iq(&mut lab, "w:g2", "set", create("three"));
    assert_eq!(refused.find("error").unwrap().u64("code"), Some(486));
    assert_eq!(codes(&lab), []);
}

#[test]
fn restriction_questions_asked_twice_in_ten_minutes_and_answered_challenges_are_violations() {
    let (mut lab, _a, _b, mut one) = pair();
    let ask = |id: &str| {
        let content = r#"{"variables":{}}"#;
        Node::new("query").attr("query_id", id.to_owned()).text_bytes(content)
    };
    let free = one.iq(&mut lab, "w:mex", "get", ask("23983697327930364"));
    let content = free.find("result").unwrap().content_text().unwrap().into_owned();
    assert_eq!(
        serde_json::from_str::<Value>(&content).unwrap()["data"]["xwa2_fetch_account_reachout_timelock"],
        json!({"is_active": false, "time_enforcement_ends": "", "enforcement_type": null})
    );
    lab.later(150_000);
    one.iq(&mut lab, "w:mex", "get", ask("23983697327930364"));
    one.iq(&mut lab, "w:mex", "get", ask("26230331493320650"));
    let found = lab.violations();
    assert!(found.contains(&("restriction-poll".to_owned(), 1)), "{found:?}");
    assert!(found.contains(&("challenge-answered".to_owned(), 1)), "{found:?}");
}

#[test]
fn restrictions_outlive_a_restart_of_the_simulator() {
    let (mut lab, a, b, _one) = pair();
    restrict(&mut lab, &a, json!({"timelock": {"ends_in_s": 600}, "challenge": {"type": "PASSKEY"}}));
    let before = lab.world.restrictions_json(&a);
    let mut again = lab.world.reopened();
    assert_eq!(again.restrictions_json(&a), before);
    again.advance_to(again.now_ms + 601_000);
    assert_eq!(again.restrictions_json(&a)["timelock"], Value::Null);
    assert!(again.device(&DeviceRef::new(&b, 0)).is_some());
}
