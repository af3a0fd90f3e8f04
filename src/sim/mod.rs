//! The simulated server and its phones: a loopback program that plays WhatsApp for unmodified clients
//! (protocol chapter 09). This file is the front door: [`Simulator`], its configuration and its admin handle.
//!
//! `world` holds all state and decides everything; `listen` speaks WebSocket and Noise and hands decoded
//! stanzas to the world; `admin` is the same set of calls twice, as typed methods and as HTTP. The phone role
//! lives in `phone`, behind `seam`. Nothing here uses `client`.

mod admin;
mod chain;
mod config;
mod listen;
mod phone;
mod pki;
mod rules;
mod seam;
mod seed;
mod shapes;
mod shared;
mod simulator;
mod state;
mod stub;
mod traffic;
mod violations;
mod world;

pub use admin::{
    AccountInfo, Admin, AdminError, ConnectionInfo, DeviceInfo, Expectation, GroupChange, GroupSettings,
    Info, Kick, Linked, PhoneInfo, ProfileChange, Sent, TrafficFilter,
};
pub use config::{
    CertMode, ClockMode, ConfigError, FailOn, IkMode, JudgeTables, OperatingRules, PhoneMode, Profile,
    SimConfig,
};
pub use pki::{Pki, PkiError};
pub use rules::{
    AlwaysOnline, Attempts, BulkIdentical, Cooldown, DoubleLink, DoubleLinkPolicy, GroupRate,
    LiveConnections, MessageRate, Mode, Outreach, Reconnects, RetryExcess, Rule, Rules, RulesError, Spacing,
    UsyncRate,
};
pub use seam::{
    Corrupt, FromPhone, InboxItem, OpenedMessage, Phone, PhoneCommand, PhoneContent, PhoneContext,
    PhoneError, PhoneEvent, PhoneSetup,
};
pub use seed::SimRng;
pub use shapes::{Payload, StanzaTable, TablesError};
pub use simulator::{Simulator, StartError};
pub use state::SaveError;
pub use traffic::{Direction, TrafficItem};
pub use violations::{Severity, Violation, Violations};
pub use world::restrict::{
    BrigadingOrder, CapOrder, ChallengeOrder, ExpiryOrder, GroupBlockOrder, GroupLimitOrder,
    MessageBackoffOrder, Restrict, TimelockOrder, UsyncBackoffOrder,
};
pub use world::{
    Ban, ConnectionId, DeviceRef, FaultError, FaultOrder, Namespace, NetRule, NewAccount, NewAccountError,
    OutboxAck, OutboxItem, OutboxReceipt, OutboxRetry, Peer, Scope, SnapshotError,
};

#[cfg(test)]
mod tests;
