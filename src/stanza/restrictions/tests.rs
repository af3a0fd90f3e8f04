use serde_json::{Value, json};

use super::*;
use crate::stanza::mex::{self, Update};
use crate::wire::{Jid, Node};

fn answer(data: &Value) -> Node {
    Node::new("iq").child(Node::new("result").text_bytes(&json!({ "data": data }).to_string()))
}

fn update(op: &str, data: &Value) -> Update {
    let update = Node::new("update").attr("op_name", op.to_owned());
    let node = Node::new("notification").child(update.text_bytes(&json!({ "data": data }).to_string()));
    mex::update(&node).unwrap()
}

#[test]
fn restriction_timelock_reads_as_seen_on_the_wire() {
    let read = |active: Value, ends: Value, kind: Value| {
        let told = json!({"is_active": active, "time_enforcement_ends": ends, "enforcement_type": kind});
        Timelock::answer(&answer(&json!({ "xwa2_fetch_account_reachout_timelock": told })))
    };
    let free = Timelock { active: false, kind: LockKind::Default, ends: None };
    assert_eq!(read(json!(false), json!(""), json!(null)), Ok(free));
    assert_eq!(read(json!(false), json!(null), json!(null)), Ok(free));
    let lock = read(json!(true), json!("1786000000"), json!("WEB_COMPANION_ONLY")).unwrap();
    assert_eq!(lock, Timelock { active: true, kind: LockKind::WebCompanionOnly, ends: Some(1_786_000_000) });
    assert!(lock.kind.is_for_companions());
    for kind in ["BIZ_COMMERCE_VIOLATION_DRUGS_ONLY_OTC", "BIZ_COMMERCE_VIOLATION_BODY_PARTS_FLUIDS"] {
        let lock = read(json!(true), json!(5), json!(kind)).unwrap();
        assert_eq!(serde_json::to_value(lock.kind).unwrap(), kind);
    }
    let unknown = read(json!(true), json!("soon"), json!("SOMETHING_NEW")).unwrap();
    assert_eq!(unknown, Timelock { active: true, kind: LockKind::Default, ends: None });
    assert!(read(json!(null), json!(""), json!(null)).is_err());
    assert!(Timelock::answer(&answer(&json!({"xwa2_fetch_account_reachout_timelock": null}))).is_err());
}

#[test]
fn restriction_cap_takes_numbers_as_strings_or_not_and_defaults_unknown_words() {
    let told = json!({
        "total_quota": "20", "used_quota": 25, "cycle_start_timestamp": "1", "cycle_end_timestamp": 9,
        "server_sent_timestamp": "5", "capping_status": "SECOND_WARNING", "ote_status": "X", "mv_status": "Y",
    });
    let cap = Cap::answer(&answer(&json!({ "xwa2_message_capping_info": told }))).unwrap();
    assert_eq!((cap.total, cap.used, cap.remaining()), (20, 25, 0));
    assert_eq!((cap.cycle_start, cap.cycle_end, cap.sent), (1, 9, 5));
    assert_eq!(cap.status, CapStatus::SecondWarning);
    assert_eq!((cap.exception, cap.verified), (Exception::Eligible, Verified::NotActive));
    assert!(Cap::answer(&answer(&json!({ "xwa2_message_capping_info": {"total_quota": "many"} }))).is_err());
    let asked = Cap::query().find("query").unwrap().content_text().unwrap().into_owned();
    assert_eq!(asked, r#"{"variables":{"input":{"type":"INDIVIDUAL_NEW_CHAT_THREAD"}}}"#);
}

#[test]
fn restriction_notifications_are_told_apart_and_broken_ones_are_failures() {
    let lock = json!({"xwa2_notify_account_reachout_timelock":
        {"is_active": true, "time_enforcement_ends": "9", "enforcement_type": "DEFAULT"}});
    let read = told(&update("NotificationUserReachoutTimelockUpdate", &lock)).unwrap().unwrap();
    assert!(matches!(read, Told::Timelock(lock) if lock.active));
    for (kind, meant) in
        [("PASSKEY", Challenge::Passkey), ("CAPTCHA", Challenge::Captcha), ("DANCE", Challenge::Unknown)]
    {
        let data = json!({"xwa2_notify_integrity_challenge": {"challenge_type": kind}});
        let read = told(&update("NotificationIntegrityChallengeRequest", &data)).unwrap();
        assert_eq!(read, Ok(Told::Challenge(meant)));
    }
    let data = json!({"xwa2_notify_brigading": {"state": "NOT_ENFORCED"}});
    let read = told(&update("NotificationUserBrigadingUpdate", &data)).unwrap();
    assert_eq!(read, Ok(Told::Brigading(Brigading::NotEnforced)));
    for op in [
        "NotificationUserReachoutTimelockUpdate",
        "MessageCappingInfoNotification",
        "NotificationIntegrityChallengeRequest",
        "NotificationUserBrigadingUpdate",
    ] {
        assert!(told(&update(op, &json!(null))).unwrap().is_err(), "{op}");
        assert!(told(&update(op, &json!({"else": 1}))).unwrap().is_err(), "{op}");
        assert!(is_known_operation(op));
    }
    assert_eq!(told(&update("SomethingNew", &json!({}))), None);
    assert!(!is_known_operation("SomethingNew"));
}

#[test]
fn restriction_of_group_operations_is_read_from_the_refusal() {
    let refusal = |limit: Node| {
        let error = Node::new("error").attr("code", "429").attr("text", "rate-overlimit").child(limit);
        RateLimit::of(&Node::new("iq").child(error))
    };
    let limit = || Node::new("rate_limit");
    assert_eq!(refusal(limit().attr("participant_limit", "7")), Some(RateLimit::Participants(7)));
    assert_eq!(refusal(limit().attr("participant_limit", "20000")), None);
    let backoff = |scope| Some(RateLimit::Backoff { scope, seconds: 60 });
    assert_eq!(refusal(limit().attr("backoff", "60").attr("type", "user")), backoff(Scope::User));
    assert_eq!(refusal(limit().attr("backoff", "60").attr("type", "group")), backoff(Scope::Group));
    let locked = Node::new("growth_locked").attr("type", "invite").attr("expiration", "1786000000");
    assert_eq!(refusal(locked), Some(RateLimit::Locked(1_786_000_000)));
    assert_eq!(refusal(Node::new("else")), None);
}

#[test]
fn restriction_of_a_group_is_read_from_its_description_and_from_notifications() {
    let group = Node::new("group")
        .child(Node::new("growth_locked").attr("type", "invite").attr("expiration", "1786000000"))
        .child(Node::new("suspended").attr("can_auto_file", "true"))
        .child(Node::new("appeal_status").attr("type", "in_review"))
        .child(Node::new("appeal_update_time").attr("value", "5"));
    let state = GroupState::of(&group);
    assert_eq!(state.locked_until, Some(1_786_000_000));
    assert!(state.suspended);
    assert_eq!((state.appeal, state.appeal_updated), (Some(Appeal::InReview), Some(5)));
    assert_eq!(GroupState::of(&Node::new("group")), GroupState::default());
    let notification = Node::new("notification")
        .child(Node::new("growth_locked").attr("type", "invite").attr("expiration", "7"))
        .child(Node::new("growth_unlocked"))
        .child(Node::new("subject"))
        .child(Node::new("suspended"))
        .child(Node::new("unsuspended"));
    assert_eq!(
        GroupChange::all(&notification),
        [
            GroupChange::Locked(Some(7)),
            GroupChange::Unlocked,
            GroupChange::Suspended,
            GroupChange::Unsuspended
        ]
    );
}

#[test]
fn restriction_questions_of_the_application_name_what_they_ask_for() {
    let node = Stranger::query(&Jid::pn("15550001").unwrap());
    let query = node.find("query").unwrap();
    assert_eq!(query.str("query_id").unwrap(), "26438847999065394");
    assert!(query.content_text().unwrap().contains("15550001@s.whatsapp.net"));
    let info = json!({"is_new_account": true, "is_suspicious_start_chat": false});
    let data = json!({"xwa2_fetch_wa_users": [{"integrity_signals_info": info}]});
    let read = Stranger::answer(&answer(&data)).unwrap();
    assert_eq!(read, Stranger { is_new: true, is_suspicious: false });
}
