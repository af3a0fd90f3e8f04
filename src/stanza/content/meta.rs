//! The attributes of `<meta>` that follow from the content.

use palomar_proto::{
    Message,
    message::{protocol_message, secret_encrypted_message::SecretEncType},
};

use super::{
    change::protocol_type,
    kind::{is_poll_creation, secret_type},
};

/// Of an unwrapped message; `wrapped` says that a view-once wrapper was on the way.
pub(super) fn attributes(message: &Message, wrapped: bool) -> Vec<(&'static str, &'static str)> {
    let mut meta = Vec::new();
    if is_poll_creation(message) {
        meta.push(("polltype", "creation"));
    } else if message.poll_update_message.as_ref().is_some_and(|update| update.vote.is_some()) {
        meta.push(("polltype", "vote"));
    }
    if message.event_message.is_some() {
        meta.push(("event_type", "creation"));
    } else if message.enc_event_response_message.is_some() {
        meta.push(("event_type", "response"));
    } else if secret_type(message) == Some(SecretEncType::EventEdit) {
        meta.push(("event_type", "edit"));
    }
    app_data(message, &mut meta);
    if wrapped || has_view_once_flag(message) {
        meta.push(("view_once", "true"));
    }
    meta
}

fn app_data(message: &Message, meta: &mut Vec<(&'static str, &'static str)>) {
    match protocol_type(message) {
        Some(protocol_message::Type::GroupMemberLabelChange) => {
            let label = message.protocol_message.as_ref().and_then(|protocol| protocol.member_label.as_ref());
            let deleted = label.is_none_or(|label| label.label().is_empty());
            meta.push(("appdata", "member_tag"));
            meta.push(("tag_reason", if deleted { "user_delete" } else { "user_update" }));
        }
        Some(protocol_message::Type::EphemeralSyncResponse) => meta.push(("appdata", "default")),
        _ if message.message_history_notice.is_some() => meta.push(("appdata", "group_history")),
        _ => {}
    }
}

fn has_view_once_flag(message: &Message) -> bool {
    message.image_message.as_ref().is_some_and(|image| image.view_once())
        || message.video_message.as_ref().is_some_and(|video| video.view_once())
        || message.ptv_message.as_ref().is_some_and(|video| video.view_once())
        || message.audio_message.as_ref().is_some_and(|audio| audio.view_once())
        || message.extended_text_message.as_ref().is_some_and(|text| text.view_once())
}
