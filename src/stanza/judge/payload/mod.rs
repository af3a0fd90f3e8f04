//! The payload judge: are the bytes of a protobuf payload *like* what the official client writes, and would an official
//! reader take them (protocol 09 §23.1 "Payloads", 03b §4)? It walks the bytes with the schema as data instead of
//! using decoded structs, because prost accepts much that an official reader refuses. Pure.
//!
//! | Call | Judges |
//! |---|---|
//! | [`Schema::walk`] | any [`Payload`] by itself: undecodable, wire-type, packing, range, required, default |
//! | [`Schema::message`] | a `Message`: the walk, and contents |
//! | [`Schema::opened`] | a `Message` out of an `<enc>`, padding included, with its [`Envelope`]: all of the above, and wrapper, key-group, attributes, padding, the distribution message inside |
//! | [`Schema::enveloped`] | the same without padding |
//! | [`Schema::plain`] | the `Message` of a newsletter's `<plaintext>` |
//! | [`Schema::patch`], [`Schema::action`] | an app-state patch that goes out, and what a record of it holds: the walk, and what the official reader is fatal on (06 §9.1) |
//! | [`Schema::in_stanza`] | whatever payload stands readable in a client's stanza |
//!
//! Every call gives the findings, none for a good payload; `op` is `payload.` and the message's name. An unknown field
//! number is no finding, an unknown enum number is none either.

mod envelope;
mod fields;
mod message;
mod patch;
mod schema;
mod stanza;
mod walk;

pub use envelope::{Envelope, Labels};
pub use schema::{Schema, parse_enums};

/// The payloads that are judged by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payload {
    /// End-to-end content.
    Message,
    /// A sender key as Signal writes it, without its version byte.
    SenderKeyDistribution,
    /// Who logs in or registers.
    ClientPayload,
    /// How a companion shows itself; inside [`Payload::ClientPayload`].
    DeviceProps,
    /// The HMAC around a signed identity.
    SignedDeviceIdentityHmac,
    /// A companion's identity, signed.
    SignedDeviceIdentity,
    /// What is signed.
    DeviceIdentity,
    /// A change of the app state.
    SyncdPatch,
    /// What a record of the app state holds.
    SyncActionData,
    /// A request for media that can't be loaded any more.
    ServerErrorReceipt,
    /// A chunk of history.
    HistorySync,
}

impl Payload {
    const ALL: [Self; 11] = [
        Self::Message,
        Self::SenderKeyDistribution,
        Self::ClientPayload,
        Self::DeviceProps,
        Self::SignedDeviceIdentityHmac,
        Self::SignedDeviceIdentity,
        Self::DeviceIdentity,
        Self::SyncdPatch,
        Self::SyncActionData,
        Self::ServerErrorReceipt,
        Self::HistorySync,
    ];

    /// The name of its message in the schema.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Message => "Message",
            Self::SenderKeyDistribution => "SenderKeyDistributionMessage",
            Self::ClientPayload => "ClientPayload",
            Self::DeviceProps => "DeviceProps",
            Self::SignedDeviceIdentityHmac => "ADVSignedDeviceIdentityHMAC",
            Self::SignedDeviceIdentity => "ADVSignedDeviceIdentity",
            Self::DeviceIdentity => "ADVDeviceIdentity",
            Self::SyncdPatch => "SyncdPatch",
            Self::SyncActionData => "SyncActionData",
            Self::ServerErrorReceipt => "ServerErrorReceipt",
            Self::HistorySync => "HistorySync",
        }
    }

    /// The `op` of its findings.
    #[must_use]
    pub fn op(self) -> String {
        format!("payload.{}", self.message())
    }

    fn finding(self, path: impl Into<String>, what: super::What, want: impl Into<String>) -> super::Finding {
        super::Finding { op: self.op(), path: path.into(), attr: String::new(), what, want: want.into() }
    }
}
