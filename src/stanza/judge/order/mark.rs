//! What a stanza is in the order of a connection, told by its shape alone: tag, `xmlns`, `type` and the tags of its
//! children, so that a recording without values can be read the same way.

use crate::wire::{Node, Value};

/// The shape of a stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape<'a> {
    /// The client sent it.
    pub sent: bool,
    /// The root's tag.
    pub tag: &'a str,
    /// The root's `xmlns`.
    pub xmlns: Option<&'a str>,
    /// The root's `type`.
    pub kind: Option<&'a str>,
    /// The tags of the root's children.
    pub children: Vec<&'a str>,
}

macro_rules! marks {
    ($($(#[$doc:meta])* $mark:ident $name:literal,)*) => {
        /// A stanza that has a place in the order, or that is counted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mark {
            $($(#[$doc])* $mark,)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$mark),*];

            /// The name in tables.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$mark => $name,)*
                }
            }
        }
    };
}

marks! {
    /// From the server: the refs of a registration.
    PairDevice "pair-device",
    /// An answer without content: to the refs, to a ping of the server.
    Result "empty result",
    /// From the server: the phone has scanned.
    PairSuccess "pair-success",
    /// Its answer.
    PairDeviceSign "pair-device-sign",
    /// From the server: log in now.
    Restart "stream:error",
    /// From the server: logged in.
    Success "success",
    /// The session's id.
    UnifiedSession "unified_session",
    /// Prekeys for others.
    PrekeyUpload "prekey upload",
    /// The server's properties.
    Properties "properties",
    /// The queue may come.
    Active "active",
    /// From the server: how long the queue is.
    OfflinePreview "offline_preview",
    /// The next part of the queue.
    OfflineBatch "offline_batch",
    /// From the server: the queue is over.
    OfflineEnd "offline",
    /// The name, and that nobody is there.
    Unavailable "presence unavailable",
    /// That somebody is there.
    Available "presence available",
    /// The privacy settings.
    Privacy "privacy",
    /// The blocklist.
    Blocklist "blocklist",
    /// A token of trust for a contact.
    ContactToken "contact token",
    /// Lists of devices, and LIDs.
    DeviceQuery "device lists",
    /// Keys of others' devices.
    KeyFetch "keys of others",
    /// How many prekeys the server has.
    KeyCount "key count",
    /// A digest of the keys at the server.
    KeyDigest "key digest",
    /// A new signed prekey.
    Rotation "signed prekey rotation",
    /// Where media go.
    MediaHosts "media hosts",
    /// mex queries, such as those of the restrictions.
    Mex "mex query",
    /// Usage counters.
    Stats "usage counters",
    /// Is the server there.
    Ping "ping",
    /// A query that is none of these.
    OtherQuery "other query",
    /// Content for somebody.
    Message "message",
    /// That something came, or was read.
    Receipt "receipt",
}

impl<'a> Shape<'a> {
    /// The shape of a stanza that a client sent, or received.
    #[must_use]
    pub fn of(sent: bool, node: &'a Node) -> Self {
        let text = |key: &str| match node.get(key) {
            Some(Value::Text(text)) => Some(&**text),
            _ => None,
        };
        Self {
            sent,
            tag: &node.tag,
            xmlns: text("xmlns"),
            kind: text("type"),
            children: node.nodes().map(|child| &*child.tag).collect(),
        }
    }

    /// What it is; `None` for what has no place in the order and is not counted.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        if self.sent { self.sent_mark() } else { self.received_mark() }
    }

    fn has(&self, child: &str) -> bool {
        self.children.contains(&child)
    }

    fn received_mark(&self) -> Option<Mark> {
        Some(match self.tag {
            "success" => Mark::Success,
            "stream:error" => Mark::Restart,
            "iq" if self.has("pair-device") => Mark::PairDevice,
            "iq" if self.has("pair-success") => Mark::PairSuccess,
            "ib" if self.has("offline_preview") => Mark::OfflinePreview,
            "ib" if self.has("offline") => Mark::OfflineEnd,
            _ => return None,
        })
    }

    fn sent_mark(&self) -> Option<Mark> {
        Some(match self.tag {
            "iq" => return self.query(),
            "ib" if self.has("unified_session") => Mark::UnifiedSession,
            "ib" if self.has("offline_batch") => Mark::OfflineBatch,
            "presence" if self.kind == Some("unavailable") => Mark::Unavailable,
            // Without a type it only tells a new name.
            "presence" if self.kind == Some("available") => Mark::Available,
            "message" => Mark::Message,
            "receipt" => Mark::Receipt,
            _ => return None,
        })
    }

    fn query(&self) -> Option<Mark> {
        if matches!(self.kind, Some("result" | "error")) {
            return match (self.has("pair-device-sign"), self.children.is_empty(), self.xmlns) {
                (true, ..) => Some(Mark::PairDeviceSign),
                (false, true, None) => Some(Mark::Result),
                _ => None,
            };
        }
        let set = self.kind == Some("set");
        Some(match self.xmlns? {
            "abt" | "w" => Mark::Properties,
            "passive" => Mark::Active,
            "privacy" if self.has("tokens") => Mark::ContactToken,
            "privacy" if !set => Mark::Privacy,
            "blocklist" if !set => Mark::Blocklist,
            "usync" => Mark::DeviceQuery,
            "encrypt" if self.has("key") || self.has("identity") && !set => Mark::KeyFetch,
            "encrypt" if self.has("count") => Mark::KeyCount,
            "encrypt" if self.has("digest") => Mark::KeyDigest,
            "encrypt" if self.has("rotate") => Mark::Rotation,
            "encrypt" if set => Mark::PrekeyUpload,
            "w:m" => Mark::MediaHosts,
            "w:mex" => Mark::Mex,
            "w:stats" => Mark::Stats,
            "w:p" | "urn:xmpp:ping" => Mark::Ping,
            _ => Mark::OtherQuery,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sent: bool, node: &Node) -> Option<Mark> {
        Shape::of(sent, node).mark()
    }

    #[test]
    fn a_stanza_is_known_by_its_shape() {
        let query = |xmlns: &'static str, kind: &'static str, child: &'static str| {
            mark(true, &Node::new("iq").attr("xmlns", xmlns).attr("type", kind).child(Node::new(child)))
        };
        assert_eq!(query("encrypt", "set", "registration"), Some(Mark::PrekeyUpload));
        assert_eq!(query("encrypt", "get", "key"), Some(Mark::KeyFetch));
        assert_eq!(query("encrypt", "get", "count"), Some(Mark::KeyCount));
        assert_eq!(query("encrypt", "set", "rotate"), Some(Mark::Rotation));
        assert_eq!(query("privacy", "get", "privacy"), Some(Mark::Privacy));
        assert_eq!(query("privacy", "set", "tokens"), Some(Mark::ContactToken));
        assert_eq!(query("privacy", "set", "privacy"), Some(Mark::OtherQuery));
        let ping = Node::new("iq").attr("xmlns", "w:p").attr("type", "get");
        assert_eq!(mark(true, &ping), Some(Mark::Ping));
        let end = Node::new("ib").child(Node::new("offline"));
        assert_eq!((mark(false, &end), mark(true, &end)), (Some(Mark::OfflineEnd), None));
        assert_eq!(mark(true, &Node::new("iq").attr("type", "result")), Some(Mark::Result));
        assert_eq!(mark(true, &Node::new("ack")), None);
    }

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<&str> = Mark::ALL.iter().map(|mark| mark.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Mark::ALL.len());
    }
}
