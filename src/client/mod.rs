//! One account's life: connect, pair, log in, send, receive, retry, sync. [`Client`] is the handle to one account;
//! behind it runs one task.
//!
//! | folder or file | subject |
//! |---|---|
//! | `handle`, `pairing`, `delivery` | what the application holds: [`Client`], [`Pairing`], [`Events`] |
//! | `life` | dial, log in, start-up, ends and what follows them |
//! | `pair` | linking: QR, code, passkey gate |
//! | `dispatch` | the one loop of stanzas |
//! | `contacts` | whether phone numbers are registered |
//! | `iq`, `link`, `heads`, `line` | asking the server, writing to it, and what the messaging rooms see of both |
//! | `messaging`, `send`, `receive`, `devices`, `prekeys`, `daily` | messages, and the keys that they need |
//! | `limits` | what the service and the account itself allow |
//! | `net` | from an egress to decrypted frames |
//! | `event`, `state`, `error` | what the application is told |
//! | `config`, `profile`, `payload`, `version` | what a client is, and how it presents itself |
//! | `recorder` | shapes and times of all stanzas, for a file |
//! | `drift` | what the service sends that nobody has told us of |
//! | `context`, `chance`, `properties`, `once` | what all parts share |

pub mod chance;
pub mod config;
mod contacts;
mod context;
mod daily;
mod delivery;
pub mod devices;
mod dispatch;
mod drift;
mod error;
pub mod event;
mod handle;
mod heads;
pub mod iq;
pub mod life;
pub mod limits;
pub mod line;
mod link;
mod messaging;
pub mod net;
mod once;
pub mod pair;
mod pairing;
pub mod payload;
pub mod prekeys;
pub mod profile;
mod properties;
mod receive;
mod recorder;
pub mod send;
pub mod state;
pub mod version;

pub use config::Config;
pub use contacts::{CheckError, Registration};
pub use delivery::{Delivery, Events};
pub use drift::Drift;
pub use error::ClientError;
pub use event::Event;
pub use handle::Client;
pub use limits::{Health, Language, Restriction, Why};
pub use pair::PairEvent;
pub use pairing::Pairing;
pub use profile::DeviceProfile;
pub use recorder::Recorder;
pub use send::{Accepted, Refusal, SendError, SendOptions, SendOutcome};
pub use state::{LogOut, State, Stop};

#[cfg(test)]
mod world;
