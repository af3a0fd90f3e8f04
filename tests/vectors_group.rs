//! The section `group_info` of `messaging.json` (05c §7). What a published library makes of each group stands beside it
//! as information; the values that both read must agree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, bytes, known_keys};
use palomar::stanza::group::{Group, Role};
use palomar::stanza::outgoing::Addressing;
use palomar::wire::{Jid, decode_node, encode};
use serde_json::{Value, json};

fn text(jid: Option<&Jid>) -> Value {
    jid.map_or(Value::Null, |jid| json!(jid.to_string()))
}

/// What was read, in the words of the information beside the case.
fn told(group: &Group) -> Value {
    let description = group.description.as_ref().expect("a description");
    let members = group.members.iter().map(|member| {
        let role = match member.role {
            Role::Member => Value::Null,
            Role::Admin => json!("admin"),
            Role::SuperAdmin => json!("superadmin"),
        };
        json!({ "id": member.jid.to_string(), "phoneNumber": text(member.pn.as_ref()), "admin": role })
    });
    json!({
        "id": group.id.to_string(),
        "addressingMode": if group.addressing == Addressing::Lid { "lid" } else { "pn" },
        "subject": group.subject,
        "subjectOwner": text(group.subject_set.by.as_ref()),
        "subjectOwnerPn": text(group.subject_set.by_pn.as_ref()),
        "subjectTime": group.subject_set.t,
        "size": group.size,
        "creation": group.created.t,
        "owner": text(group.created.by.as_ref()),
        "ownerPn": text(group.created.by_pn.as_ref()),
        "owner_country_code": group.creator_country,
        "desc": description.body,
        "descId": description.id,
        "descOwner": text(description.set.by.as_ref()),
        "descTime": description.set.t,
        "restrict": group.locked,
        "announce": group.announcement,
        "isCommunity": group.community,
        "isCommunityAnnounce": group.is_community_announcement(),
        "joinApprovalMode": group.join_approval,
        "memberAddMode": group.member_add_mode.as_deref() == Some("all_member_add"),
        "participants": members.collect::<Vec<_>>(),
        "ephemeralDuration": group.ephemeral,
    })
}

/// Without what is null in it: the information leaves those out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[test]
fn vectors_group_info() {
    let mut file = File::open("messaging");
    for case in file.section("group_info") {
        known_keys(&case, &["node", "hex"]);
        let frame = bytes(&case, "hex");
        let node = decode_node(&frame).unwrap();
        assert_eq!(encode(&node).unwrap(), frame);
        let group = Group::parse_answer(&node).unwrap();
        let id = case["node"]["content"][0]["attrs"]["id"].as_str().unwrap();
        assert_eq!(group.id.user(), id.split('@').next().unwrap());
        assert!(!group.incomplete && group.flags.is_empty(), "{group:?}");
        if let Some(seen) = case.get("baileys_parsed") {
            let (ours, theirs) = (without_nulls(told(&group)), without_nulls(seen.clone()));
            let Value::Object(theirs) = theirs else { panic!("no object: {seen}") };
            for (key, value) in theirs {
                assert_eq!(ours.get(&key), Some(&value), "{key}");
            }
        }
    }
}
