//! What was around a message: the chat, who sent it to whom, and what its stanza says of it.

use crate::wire::Node;

/// What a stanza says of the message inside one of its `<enc>` (protocol 05a §6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// `type`, `edit` of `<message>`; `polltype`, `event_type`, `appdata` of `<meta>`; `mediatype`, `decrypt-fail` of
    /// `<enc>` or `<plaintext>`, in this order.
    values: [Option<String>; LABELS.len()],
}

/// The names of the labels, in the order of [`Labels`].
pub(super) const LABELS: [&str; 7] =
    ["type", "edit", "polltype", "event_type", "appdata", "mediatype", "decrypt-fail"];

impl Labels {
    /// The labels of a stanza, as sent or as received, for one of its `<enc>` or its `<plaintext>`.
    #[must_use]
    pub fn of(stanza: &Node, enc: &Node) -> Self {
        let meta = stanza.find("meta");
        let read = |name: &str| {
            let at = match name {
                "type" | "edit" => Some(stanza),
                "mediatype" | "decrypt-fail" => Some(enc),
                _ => meta,
            };
            at.and_then(|node| node.str(name)).map(std::borrow::Cow::into_owned)
        };
        Self { values: LABELS.map(read) }
    }

    /// The labels in order, by whoever knows them by name.
    #[must_use]
    pub fn from_names(value: impl Fn(&str) -> Option<String>) -> Self {
        Self { values: LABELS.map(value) }
    }

    /// The label of a name of the labels.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = LABELS.iter().position(|label| *label == name)?;
        self.values.get(at).and_then(Option::as_deref)
    }
}

/// What a receiver knows of a message before it looks inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The chat, in every form that means it: PN and LID of a user, one of a group.
    pub chat: Vec<String>,
    /// The chat is a group, a broadcast list or the status.
    pub collective: bool,
    /// The sender is another device of the receiver's own account.
    pub own: bool,
    /// `category="peer"`: for the device, not for a chat.
    pub peer: bool,
    /// The stanza carries a ciphertext by sender key.
    pub has_common: bool,
    /// What the stanza says.
    pub labels: Labels,
}
