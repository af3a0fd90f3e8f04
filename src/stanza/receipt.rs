//! Receipts (05b §8): building ours, reading theirs. Retry receipts are in `retry.rs`, `server-error` in the media
//! stanzas.

use super::element::{Element, Malformed};
use crate::wire::{Jid, Node};

/// The most ids in one receipt.
pub const MAX_IDS: usize = 256;

/// What a receipt of ours says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Delivered.
    Delivery,
    /// Delivered, without ticks.
    Inactive,
    /// An own device's copy was received.
    Sender,
    /// A peer message was received.
    PeerMessage,
    /// A history chunk is stored.
    HistorySync,
    /// Read.
    Read,
    /// Read, told to own devices only.
    ReadSelf,
    /// Played.
    Played,
    /// Played, told to own devices only.
    PlayedSelf,
}

impl Kind {
    /// The `type` attribute.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Delivery => None,
            Self::Inactive => Some("inactive"),
            Self::Sender => Some("sender"),
            Self::PeerMessage => Some("peer_msg"),
            Self::HistorySync => Some("hist_sync"),
            Self::Read => Some("read"),
            Self::ReadSelf => Some("read-self"),
            Self::Played => Some("played"),
            Self::PlayedSelf => Some("played-self"),
        }
    }

    /// The server answers it with an ack that is waited for.
    #[must_use]
    pub fn is_awaited(self) -> bool {
        matches!(self, Self::Read | Self::ReadSelf | Self::Played | Self::PlayedSelf)
    }
}

/// A receipt of ours, for one message or several of one chat and author.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// What it says.
    pub kind: Kind,
    /// `from` of the messages as it came, device kept; for [`Kind::HistorySync`] the own bare JID.
    pub to: Jid,
    /// The author in groups and status: as it came; bare for reads.
    pub participant: Option<Jid>,
    /// The chat, of [`Kind::Sender`] 1:1.
    pub recipient: Option<Jid>,
    /// The PN of a status author who is known by LID.
    pub peer_participant_pn: Option<Jid>,
    /// The ids, at most [`MAX_IDS`]; not empty.
    pub ids: Vec<String>,
    /// When: milliseconds for reads and plays of a chat, seconds for those of a status and for aggregated delivery;
    /// none for a single delivery.
    pub t: Option<u64>,
}

impl Receipt {
    /// A receipt without the optional parts.
    #[must_use]
    pub fn new(kind: Kind, to: Jid, ids: Vec<String>) -> Self {
        Self { kind, to, participant: None, recipient: None, peer_participant_pn: None, ids, t: None }
    }

    /// The stanza; `None` without an id.
    #[must_use]
    pub fn build(&self) -> Option<Node> {
        let (first, rest) = self.ids.split_first()?;
        let receipt = Node::new("receipt")
            .attr("to", &self.to)
            .opt_attr("type", self.kind.name())
            .attr("id", first)
            .opt_attr("t", self.t)
            .opt_attr("participant", self.participant.as_ref().map(Jid::in_device_form))
            .opt_attr("peer_participant_pn", self.peer_participant_pn.as_ref())
            .opt_attr("recipient", self.recipient.as_ref());
        if rest.is_empty() {
            return Some(receipt);
        }
        let items = rest.iter().map(|id| Node::new("item").attr("id", id));
        Some(receipt.child(Node::new("list").children(items)))
    }
}

/// What a received receipt tells about its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Told {
    /// Received, without ticks: reported, raises no status.
    Inactive,
    /// Delivered.
    Delivered,
    /// Read.
    Read,
    /// Played.
    Played,
}

/// The kind of a received receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Something about the messages; `own` is the self variant.
    Told {
        /// What.
        what: Told,
        /// `read-self`, `played-self`: another own device did it.
        own: bool,
    },
    /// An own device acknowledges its copy (`sender`), a peer message or history.
    OwnDevice,
    /// Asks to encrypt again: `retry.rs` reads it.
    Retry,
    /// The receiver could not get a file: the media stanzas read it.
    ServerError,
    /// Views of newsletter messages.
    View,
    /// Anything else: ack, ignore.
    Other(String),
}

impl Incoming {
    fn of(kind: Option<&str>) -> Self {
        let told = |what, own| Self::Told { what, own };
        match kind {
            None | Some("" | "delivery") => told(Told::Delivered, false),
            Some("inactive") => told(Told::Inactive, false),
            Some("read") => told(Told::Read, false),
            Some("read-self") => told(Told::Read, true),
            Some("played") => told(Told::Played, false),
            Some("played-self") => told(Told::Played, true),
            Some("sender" | "peer_msg" | "hist_sync") => Self::OwnDevice,
            Some("retry") => Self::Retry,
            Some("server-error") => Self::ServerError,
            Some("view") => Self::View,
            Some(other) => Self::Other(other.to_owned()),
        }
    }
}

/// A received receipt. An aggregated one has several parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// User or group.
    pub from: Jid,
    /// The chat, on receipts of own devices.
    pub recipient: Option<Jid>,
    /// The queue index if it came from the offline queue.
    pub offline: Option<String>,
    /// The receiver lacks the feature: the message counts as sent only.
    pub incapable: bool,
    /// Who did what, when, with which messages.
    pub parts: Vec<Part>,
}

/// One reader's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What.
    pub kind: Incoming,
    /// The reader's device; in 1:1 the `from` of the stanza.
    pub reader: Jid,
    /// The reader's PN, if it is told beside a LID.
    pub reader_pn: Option<Jid>,
    /// When, Unix seconds.
    pub t: Option<u64>,
    /// The ids; numbers of newsletter messages for views.
    pub ids: Vec<String>,
}

impl Received {
    /// Reads a `<receipt>`.
    ///
    /// # Errors
    /// Without `from`, or `id` (nack 487).
    pub fn parse<'n>(receipt: impl Element<'n>) -> Result<Self, Malformed> {
        let from = receipt.need_address("from")?;
        let id = receipt.need("id")?.into_owned();
        let kind = receipt.text("type");
        let t = receipt.number("t").map(to_seconds);
        let mut parts = Vec::new();
        for participants in receipt.each_of("participants") {
            let key = participants.text("key").or_else(|| participants.text("message_id"));
            let ids = vec![key.map_or_else(|| id.clone(), |key| key.into_owned())];
            for user in participants.each_of("user") {
                let Some(reader) = user.address("jid") else { continue };
                parts.push(Part {
                    kind: Incoming::of(user.text("type").or_else(|| kind.clone()).as_deref()),
                    reader,
                    reader_pn: user.address("participant_pn"),
                    t: user.number("t").map(to_seconds).or(t),
                    ids: ids.clone(),
                });
            }
        }
        if parts.is_empty() {
            let kind = Incoming::of(kind.as_deref());
            let ids = ids_of(receipt, id, kind == Incoming::View);
            let reader = receipt.address("participant").unwrap_or_else(|| from.clone());
            parts.push(Part { kind, reader, reader_pn: receipt.address("participant_pn"), t, ids });
        }
        Ok(Self {
            recipient: receipt.address("recipient"),
            offline: receipt.text("offline").map(|text| text.into_owned()),
            incapable: receipt.child("error").is_some_and(|error| error.says("type", "feature-incapable")),
            from,
            parts,
        })
    }
}

/// The ids: items and `id`; of views the items' numbers only.
fn ids_of<'n>(receipt: impl Element<'n>, id: String, view: bool) -> Vec<String> {
    let key = if view { "server_id" } else { "id" };
    let list = receipt.child("list");
    let items = list.into_iter().flat_map(|list| list.each_of("item").collect::<Vec<_>>());
    let mut ids: Vec<String> = if view { Vec::new() } else { vec![id] };
    for item in items.filter_map(|item| item.text(key)) {
        if !ids.iter().any(|known| *known == *item) {
            ids.push(item.into_owned());
        }
    }
    ids
}

/// Received times are seconds; a larger value is taken as milliseconds.
fn to_seconds(t: u64) -> u64 {
    if t > 100_000_000_000 { t / 1000 } else { t }
}
