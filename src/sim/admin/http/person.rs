//! Calls about a person: profile, calls, keys, groups (09 §21).

use axum::body::Bytes;
use axum::extract::{Path, State};
use base64::Engine;
use serde_json::json;

use super::bodies::{Call, GroupChangeBody, GroupsDirty, Profile};
use super::{Answer, parse};
use crate::sim::admin::{Admin, AdminError, GroupChange, ProfileChange};

type Number = Path<String>;

pub(super) async fn profile(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<Profile>(&body).and_then(profile_change) {
        Ok(change) => Answer::of(admin.change_profile(&number, change).await),
        Err(error) => Answer(Err(error)),
    }
}

fn profile_change(body: Profile) -> Result<ProfileChange, AdminError> {
    let bytes = |text: String| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text);
        bytes.map_err(|_| AdminError::new("bad-body", "picture.base64 is no base64"))
    };
    let picture = match body.picture {
        Some(Some(picture)) => Some(Some(bytes(picture.base64)?)),
        Some(None) => Some(None),
        None => None,
    };
    Ok(ProfileChange {
        about: body.about,
        picture,
        privacy: body.privacy,
        block: body.block,
        unblock: body.unblock,
        default_timer_s: body.default_timer_s,
    })
}

pub(super) async fn rotate_appstate_key(State(admin): State<Admin>, Path(number): Number) -> Answer {
    Answer::of(admin.rotate_appstate_key(&number).await)
}

pub(super) async fn call(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    let body: Call = match parse(&body) {
        Ok(body) => body,
        Err(error) => return Answer(Err(error)),
    };
    if !matches!(&*body.action, "offer" | "terminate") {
        return Answer(Err(AdminError::new("bad-body", "action is offer or terminate")));
    }
    let called = admin.call(&number, &body.to, (&body.action, body.call_id), body.video, body.reason).await;
    Answer::of(called.map(|id| json!({"call_id": id})))
}

pub(super) async fn groups_dirty(State(admin): State<Admin>, Path(number): Number, body: Bytes) -> Answer {
    match parse::<GroupsDirty>(&body) {
        Ok(body) => Answer::of(admin.groups_dirty(&number, &body.groups).await),
        Err(error) => Answer(Err(error)),
    }
}

/// App state, history: the sections that these belong to are not built.
pub(super) async fn not_built(
    State(admin): State<Admin>,
    Path(parts): Path<Vec<(String, String)>>,
) -> Answer {
    let number = parts.first().map(|(_, number)| number.as_str()).unwrap_or_default();
    let known = admin.account(number).await;
    Answer(known.and(Err(AdminError::new(
        "not-implemented",
        "this simulator stores no app state, history or media (09 §15 to §17)",
    ))))
}

pub(super) async fn groups(State(admin): State<Admin>) -> Answer {
    Answer::fields(json!({"groups": admin.groups(None).await}))
}

pub(super) async fn group(State(admin): State<Admin>, Path(jid): Path<String>) -> Answer {
    let found = admin.groups(Some(&jid)).await.pop();
    Answer::of(found.ok_or_else(|| AdminError::new("not-found", format!("there is no group {jid}"))))
}

pub(super) async fn change_group(
    State(admin): State<Admin>,
    Path((jid, action)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let changed = match parse::<GroupChangeBody>(&body).and_then(|body| group_change(&action, body)) {
        Ok((by, change)) => admin.change_group(&jid, by.as_deref(), change).await,
        Err(error) => Err(error),
    };
    Answer::of(changed.map(|participants| json!({"participants": participants})))
}

/// The change that an action means; a field that is no part of it is refused.
fn group_change(action: &str, body: GroupChangeBody) -> Result<(Option<String>, GroupChange), AdminError> {
    let GroupChangeBody { by, members, subject, settings } = body;
    let change = match (action, members.is_empty(), subject, settings) {
        ("add", false, None, None) => GroupChange::Add(members),
        ("remove", false, None, None) => GroupChange::Remove(members),
        ("promote", false, None, None) => GroupChange::Promote(members),
        ("demote", false, None, None) => GroupChange::Demote(members),
        ("leave", true, None, None) => GroupChange::Leave,
        ("subject", true, Some(subject), None) => GroupChange::Subject(subject),
        ("settings", true, None, Some(settings)) => GroupChange::Settings(settings),
        ("delete", true, None, None) => GroupChange::Delete,
        ("add" | "remove" | "promote" | "demote" | "leave" | "subject" | "settings" | "delete", ..) => {
            return Err(AdminError::new("bad-body", format!("{action} wants by and its own field only")));
        }
        _ => return Err(AdminError::new("not-found", format!("there is no group call {action}"))),
    };
    Ok((by, change))
}
