//! Wrappers: messages whose content is another message.

use std::borrow::Cow;

use palomar_proto::edit::{self, EditError};
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

/// The bytes of the innermost message inside those that `message` was decoded from. Fields that this version does not
/// know are still in them: what is passed on is passed on whole (03b §6).
///
/// # Errors
/// [`EditError`] where the bytes are no message; [`TooDeep`] is none: then nothing is taken off.
pub fn unwrap_bytes<'b>(bytes: &'b [u8], message: &Message) -> Result<Cow<'b, [u8]>, EditError> {
    let (mut level, mut path) = (message, Vec::new());
    while let Some((inner, step)) = numbered_step(level) {
        if path.len() == 2 * MAX_DEPTH {
            return Ok(Cow::Borrowed(bytes));
        }
        path.extend(step);
        level = inner;
    }
    Ok(edit::sub_message(bytes, &path)?.unwrap_or_default())
}

/// One wrapper off.
fn step(message: &Message) -> Option<&Message> {
    numbered_step(message).map(|(inner, _)| inner)
}

/// One wrapper off, and the numbers of the fields on the way.
fn numbered_step(message: &Message) -> Option<(&Message, [u32; 2])> {
    let m = message;
    let wrapper = [
        (40, &m.ephemeral_message),
        (37, &m.view_once_message),
        (55, &m.view_once_message_v2),
        (59, &m.view_once_message_v2_extension),
        (53, &m.document_with_caption_message),
        (62, &m.group_mentioned_message),
        (67, &m.bot_invoke_message),
        (91, &m.associated_child_message),
        (90, &m.poll_creation_option_image_message),
        (85, &m.event_cover_image),
        (96, &m.group_status_message),
        (103, &m.group_status_message_v2),
        (92, &m.group_status_mention_message),
        (95, &m.status_add_yours),
        (87, &m.status_mention_message),
        (101, &m.question_message),
        (106, &m.question_reply_message),
        (118, &m.spoiler_message),
        (74, &m.lottie_sticker_message),
        (99, &m.limit_sharing_message),
        (116, &m.newsletter_admin_profile_message),
        (117, &m.newsletter_admin_profile_message_v2),
        (93, &m.poll_creation_message_v4),
    ];
    let future_proof = wrapper.into_iter().find_map(|(number, wrapper)| {
        let inner = wrapper.as_ref()?.message.as_deref()?;
        Some((inner, [number, 1]))
    });
    future_proof.or_else(|| {
        let sent = m.device_sent_message.as_ref()?;
        Some((sent.message.as_deref()?, [31, 2]))
    })
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
