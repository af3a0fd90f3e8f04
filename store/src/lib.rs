//! The key store: one linked device's durable state, and the one way to change it.
//!
//! It knows no protocol. Typed records go in, typed records come out; addresses and JIDs are text keys, and Signal
//! records, stanza bytes and plaintexts are opaque byte strings.
//!
//! * [`Store`] is the handle to one open account: [`Store::write`] runs a closure as one durable transaction,
//!   [`Store::read`] a reading one. Clone it freely.
//! * [`Tx`] is what the closure gets: typed tables (one file of this crate per subject) and nested savepoints.
//! * [`Accounts`] opens, lists and archives accounts: [`memory::MemoryAccounts`] for tests and examples,
//!   [`sqlite::SqliteAccounts`] for everything else.
//! * [`place`] knows the data folder.
//!
//! # Why the tables sit on bytes
//!
//! The typed tables are written once, over a small engine contract ([`rows::Rows`]: ordered byte keys in named
//! tables, with savepoints). An engine holds no rule of its own, so the memory twin can't drift from SQLite, and a
//! database that many daemons share needs only another engine. Every row carries a version and a checksum.

#![forbid(unsafe_code)]

pub mod account;
pub mod accounts;
pub mod app_state;
pub mod chats;
mod codec;
pub mod devices;
mod error;
pub mod held;
pub mod housekeeping;
pub mod inbox;
pub mod memory;
pub mod outbox;
pub mod place;
pub mod prekeys;
pub mod quarantine;
pub mod receipts;
mod restore;
pub mod retries;
pub mod rows;
mod secret;
pub mod sender_keys;
pub mod sessions;
pub mod sqlite;
mod store;
pub mod timers;
pub mod tokens;

pub use account::{
    CachedCert, DeviceProfile, Flag, KeyPairBytes, Keys, Link, Login, Props, ServerChain, StopState,
};
pub use accounts::Accounts;
pub use chats::ChatFacts;
pub use devices::{Device, DeviceList, MappingChange};
pub use error::{Result, StoreError};
pub use held::Held;
pub use housekeeping::{Limits, Pruned, Round};
pub use inbox::{Event, EventState, MessageKey, NewEvent, SecretOf, Seen};
pub use outbox::{Enqueued, Missed, NewOutgoing, Outgoing, OutgoingState, Target};
pub use place::{AccountId, DataDir};
pub use prekeys::{Prekey, PrekeyUse, SignedPrekey, Watermarks};
pub use quarantine::Quarantined;
pub use receipts::OwedReceipt;
pub use retries::{AskedRetry, Placeholder};
pub use secret::{Secret, SecretBytes};
pub use sender_keys::Distribution;
pub use sessions::{Identity, IdentityChange};
pub use store::{Access, Done, Engine, Job, Outcome, Store, Tx, Work};
pub use timers::ChatTimer;
pub use tokens::ContactToken;

/// Milliseconds since the Unix epoch.
pub type UnixMillis = i64;
