//! Wrappers: messages whose content is another message.

use palomar_proto::{Message, MessageContextInfo};
use prost::Message as _;

/// Most wrappers that are followed.
pub const MAX_DEPTH: usize = 16;

/// More than [`MAX_DEPTH`] wrappers around each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content is wrapped more than {MAX_DEPTH} times")]
pub struct TooDeep;

/// The content of a message without its wrappers.
#[derive(Debug, Clone, Copy)]
pub struct Unwrapped<'a> {
    /// The innermost message.
    pub message: &'a Message,
    /// A view-once wrapper was on the way.
    pub view_once: bool,
    /// How many wrappers were taken off.
    pub depth: usize,
}

/// Takes off every wrapper (05a §6), our own other devices' `deviceSentMessage` included, `editedMessage` not. An empty
/// wrapper is content, not a wrapper.
///
/// # Errors
/// [`TooDeep`].
pub fn unwrap(message: &Message) -> Result<Unwrapped<'_>, TooDeep> {
    let mut unwrapped = Unwrapped { message, view_once: false, depth: 0 };
    while let Some(inner) = step(unwrapped.message) {
        if unwrapped.depth == MAX_DEPTH {
            return Err(TooDeep);
        }
        unwrapped.view_once |= is_view_once(unwrapped.message);
        unwrapped.message = inner;
        unwrapped.depth += 1;
    }
    Ok(unwrapped)
}

/// The outermost `messageContextInfo` on the way to the content.
pub fn context_info(message: &Message) -> Option<&MessageContextInfo> {
    let mut level = message;
    for _ in 0..=MAX_DEPTH {
        if let Some(info) = &level.message_context_info {
            return Some(info);
        }
        level = step(level)?;
    }
    None
}

/// One wrapper off.
fn step(message: &Message) -> Option<&Message> {
    let m = message;
    let wrapper = [
        &m.ephemeral_message,
        &m.view_once_message,
        &m.view_once_message_v2,
        &m.view_once_message_v2_extension,
        &m.document_with_caption_message,
        &m.group_mentioned_message,
        &m.bot_invoke_message,
        &m.associated_child_message,
        &m.poll_creation_option_image_message,
        &m.event_cover_image,
        &m.group_status_message,
        &m.group_status_message_v2,
        &m.group_status_mention_message,
        &m.status_add_yours,
        &m.status_mention_message,
        &m.question_message,
        &m.question_reply_message,
        &m.spoiler_message,
        &m.lottie_sticker_message,
        &m.limit_sharing_message,
        &m.newsletter_admin_profile_message,
        &m.newsletter_admin_profile_message_v2,
        &m.poll_creation_message_v4,
    ];
    let future_proof = wrapper.into_iter().flatten().find_map(|wrapper| wrapper.message.as_deref());
    future_proof.or_else(|| m.device_sent_message.as_ref().and_then(|sent| sent.message.as_deref()))
}

fn is_view_once(message: &Message) -> bool {
    [&message.view_once_message, &message.view_once_message_v2, &message.view_once_message_v2_extension]
        .into_iter()
        .flatten()
        .any(|wrapper| wrapper.message.is_some())
}

/// Nothing but companions: a sender key distribution, a `messageContextInfo`, or neither.
pub(super) fn is_bare(message: &Message) -> bool {
    let companions = Message {
        sender_key_distribution_message: message.sender_key_distribution_message.clone(),
        fast_ratchet_key_sender_key_distribution_message: message
            .fast_ratchet_key_sender_key_distribution_message
            .clone(),
        message_context_info: message.message_context_info.clone(),
        ..Message::default()
    };
    companions.encoded_len() == message.encoded_len()
}
