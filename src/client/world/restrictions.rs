//! Restrictions in the small world: what notifications change, how they are answered, and whom nobody writes to
//! (protocol 05d §9, §11 no. 8, 9).

use serde_json::{Value, json};

use super::World;
use crate::client::event::Event;
use crate::client::limits::{Restrictions, Why};
use crate::client::send::{Refusal, SendOutcome};
use crate::stanza::restrictions::{Challenge, LockKind};
use crate::wire::{Jid, Node};

fn mex(op: &str, content: &str, id: &str) -> Node {
    let update = Node::new("update").attr("op_name", op.to_owned()).text_bytes(content);
    Node::new("notification")
        .attr("from", Jid::service())
        .attr("type", "mex")
        .attr("id", id.to_owned())
        .attr("t", "1760000000")
        .child(update)
}

fn timelock(active: bool, ends: Value) -> String {
    let fields = json!({"is_active": active, "time_enforcement_ends": ends, "enforcement_type": null});
    json!({"data": {"xwa2_notify_account_reachout_timelock": fields}}).to_string()
}

#[tokio::test(start_paused = true)]
async fn restriction_notifications_that_can_not_be_read_change_nothing_and_are_refused_by_their_code() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    world.settle().await;
    let lock = "NotificationUserReachoutTimelockUpdate";
    let errors = r#"{"data":{},"errors":[{"message":"x","extensions":{"error_code":500}}]}"#;
    let table = [
        ("1", lock, r#"{"data":null}"#, Some(487)),
        ("2", lock, errors, Some(487)),
        ("3", lock, "no json", Some(487)),
        ("4", "MessageCappingInfoNotification", r#"{"data":{"else":1}}"#, Some(487)),
        ("5", "SomethingNew", r#"{"data":{"a":1}}"#, Some(488)),
        ("6", "UsernameSetNotification", r#"{"data":{"a":1}}"#, None),
        ("7", lock, &timelock(false, json!("")), None),
        ("8", lock, &timelock(false, Value::Null), None),
    ];
    let before = a0.store.read(Restrictions::load).await.unwrap();
    for (id, op, content, _) in &table {
        a0.messaging.stanza(mex(op, content, id)).await;
    }
    world.settle().await;
    let after = a0.store.read(Restrictions::load).await.unwrap();
    assert_eq!((after.timelock, after.cap, after.challenge), (before.timelock, before.cap, before.challenge));
    let acks = world.router.sent(&a0, "ack");
    for (id, _, _, code) in table {
        let ack = acks.iter().find(|ack| ack.str("id").as_deref() == Some(id)).unwrap();
        assert_eq!(ack.u64("error"), code, "{id}");
    }
    let shown = |event: &Event| matches!(event, Event::Notice(notice) if notice.kind == "mex");
    assert_eq!(a0.events().await.iter().filter(|event| shown(event)).count(), 2, "the two that are none");
}

#[tokio::test(start_paused = true)]
async fn restriction_notifications_are_taken_once_each_in_order() {
    let world = World::new();
    let a = world.account(1);
    let a0 = world.device(&a, 0).await;
    let ends = a0.messaging.ctx.clock.wall_ms() / 1000 + 3600;
    let lock = "NotificationUserReachoutTimelockUpdate";
    a0.messaging.stanza(mex(lock, &timelock(true, json!(ends.to_string())), "1")).await;
    let challenge = json!({"data": {"xwa2_notify_integrity_challenge": {"challenge_type": "PASSKEY"}}});
    a0.messaging.stanza(mex("NotificationIntegrityChallengeRequest", &challenge.to_string(), "2")).await;
    let cap = |sent: u32, status: &str| {
        let fields = json!({"total_quota": "9", "used_quota": "1", "cycle_end_timestamp": ends.to_string(),
            "server_sent_timestamp": sent.to_string(), "capping_status": status});
        json!({"data": {"xwa2_notify_new_chat_messages_capping_info_update": fields}}).to_string()
    };
    let capping = "MessageCappingInfoNotification";
    a0.messaging.stanza(mex(capping, &cap(5, "FIRST_WARNING"), "3")).await;
    a0.messaging.stanza(mex(capping, &cap(5, "CAPPED"), "4")).await;
    world.settle().await;
    let kept = a0.store.read(Restrictions::load).await.unwrap();
    let lock = kept.timelock.unwrap();
    assert_eq!(lock.kind, LockKind::Default);
    assert!(lock.until.is_some_and(|until| (0..=2000).contains(&(until - ends * 1000))));
    assert_eq!(kept.challenge.unwrap().what, Challenge::Passkey);
    let told = serde_json::to_value(kept.cap.unwrap().told.status).unwrap();
    assert_eq!(told, "FIRST_WARNING", "only what is newer counts");
}

#[tokio::test(start_paused = true)]
async fn restriction_of_a_blocked_contact_is_never_lifted_by_anything_but_the_list() {
    let world = World::new();
    let (a, b) = (world.account(1), world.account(2));
    let (a0, b0) = (world.device(&a, 0).await, world.device(&b, 0).await);
    let lid = b0.lid.to_user();
    a0.messaging.send_text(&lid, "known", "known").await.unwrap();
    world.settle().await;
    let list = vec![vec![lid.clone()]];
    a0.edit(move |tx| crate::client::limits::blocked(tx, &list)).await;
    a0.messaging.send_text(&lid, "never", "never").await.unwrap();
    let outcome = a0.messaging.outcome("never").await.unwrap();
    let Some(SendOutcome::Failed { why, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, Refusal::Limited(Why::Blocked));
    a0.edit(|tx| crate::client::limits::blocked(tx, &[])).await;
    a0.messaging.send_text(&lid, "again", "again").await.unwrap();
    assert!(matches!(a0.messaging.outcome("again").await.unwrap(), Some(SendOutcome::Sent { .. })));
    world.settle().await;
    assert_eq!(b0.texts().await, ["known", "again"]);
}
