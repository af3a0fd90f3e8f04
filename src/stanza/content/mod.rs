//! What a stanza says about the message inside it (protocol 05a §6): `type`, `mediatype`, `edit`, `decrypt-fail` and
//! the part of `<meta>` that follows from the content. Works on a decoded `Message` without padding.
//!
//! Not here: what follows from the chat or the addressee (`status_setting`, `appdata="default"` of peer messages,
//! `thread_*`, the newsletter's `edit="3"`), padding, reporting tokens, building of stanzas.

mod change;
mod kind;
mod media;
mod meta;
mod single;
mod unwrap;
mod visibility;

#[cfg(test)]
mod tests;

use palomar_proto::Message;

pub use change::Edit;
pub use kind::Kind;
pub use media::MediaType;
pub use single::{is_single_content, overfull_level};
pub use unwrap::{MAX_DEPTH, TooDeep, Unwrapped, context_info, unwrap, unwrap_bytes};

/// The attributes of a stanza that carries a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// `type` of `<message>`.
    pub kind: Kind,
    /// `mediatype` of every `<enc>`, or of `<plaintext>`.
    pub media: Option<MediaType>,
    /// `edit` of `<message>`.
    pub edit: Option<Edit>,
    /// `decrypt-fail="hide"` on every `<enc>`, those with sender keys included.
    pub hide: bool,
    /// Attributes of `<meta>`; empty: the content asks for none.
    pub meta: Vec<(&'static str, &'static str)>,
    /// `native_flow_name` of `<enc>`.
    pub native_flow_name: Option<String>,
}

/// Classifies a message. `None`: it has no content of its own (only a sender key distribution or a
/// `messageContextInfo`, or fields this schema does not know), and is never sent alone.
///
/// A message wrapped more than [`MAX_DEPTH`] times is treated as text.
pub fn classify(message: &Message) -> Option<Content> {
    if unwrap::is_bare(message) {
        return None;
    }
    let Ok(Unwrapped { message: inner, view_once, .. }) = unwrap(message) else {
        return Some(Content {
            kind: Kind::Text,
            media: None,
            edit: None,
            hide: false,
            meta: Vec::new(),
            native_flow_name: None,
        });
    };
    let media = MediaType::of(message, inner);
    let edit = Edit::of(inner);
    Some(Content {
        kind: Kind::of(inner, media),
        media,
        edit,
        hide: visibility::is_hidden(inner, edit),
        meta: meta::attributes(inner, view_once),
        native_flow_name: media::native_flow_name(inner),
    })
}
