//! What a simulator is started with. Not: rules and faults, which are changed while it runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rules::Mode;
use crate::clock::UnixMillis;

/// How strictly clients are judged (09 §1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Everything is judged, unknown IQs get 501, offline delivery is gated: palomar's own tests.
    #[default]
    Strict,
    /// Faults are recorded but tolerated, everything queued is delivered at once: foreign clients.
    Lenient,
    /// As lenient, without logs: measurements.
    Bench,
    /// As lenient, and a server that behaves worse than the real one: `success` before registration, no restart after
    /// pairing, queries without an answer, device lists without key indexes, no offline queue, a self-signed certificate.
    /// For clients that must live on it.
    Crude,
}

/// Which certificate chain the handshake shows (09 §4); every mode but `Ok` has one defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertMode {
    /// A valid chain.
    #[default]
    Ok,
    /// Both certificates ended yesterday.
    Expired,
    /// Both certificates begin tomorrow.
    Future,
    /// The intermediate is signed by another root.
    WrongRoot,
    /// One bit of the leaf's signature is flipped.
    LeafSig,
    /// The leaf is for another key than the Noise static.
    LeafKey,
    /// The leaf names another issuer than the intermediate.
    LeafSerial,
    /// The intermediate names another issuer than the root.
    InterSerial,
    /// There is no leaf.
    MissingLeaf,
    /// The leaf's signature has 63 bytes.
    ShortSig,
    /// A genuine public chain, which belongs to another static key.
    ReplayedGenuine,
}

/// What the server does with an IK hello (09 §4 no. 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IkMode {
    /// Completes IK where the client holds the right key, else falls back.
    Accept,
    /// Always answers with XXfallback.
    #[default]
    Fallback,
    /// Closes the connection.
    Drop,
}

/// A word that names no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not one of the known names")]
pub struct UnknownName(pub String);

macro_rules! from_kebab {
    ($($name:ty),*) => {$(
        impl FromStr for $name {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|_| UnknownName(text.to_owned()))
            }
        }
    )*};
}
from_kebab!(Profile, CertMode, IkMode, PhoneMode, FailOn, Mode);

/// Where the world's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockMode {
    /// The machine's clock, plus what `clock` calls have added.
    #[default]
    Real,
    /// Starts at this wall time (Unix milliseconds) and moves with the runtime's time and `clock` calls.
    Virtual {
        /// The wall time at the start.
        start: UnixMillis,
    },
}

/// Who plays the phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhoneMode {
    /// Phones with Signal state (09 §20).
    #[default]
    Real,
    /// Phones that take everything and send nothing: transport tests (09 §24).
    Stub,
}

/// Files in place of the judge's built-in tables, of the same columns (09 §23.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgeTables {
    /// Shapes of stanzas.
    pub stanzas: Option<PathBuf>,
    /// Messages of the schema.
    pub schema: Option<PathBuf>,
    /// Enums of the schema.
    pub enums: Option<PathBuf>,
}

/// How the operating rules (R1 to R14) begin; PUT `/v1/rules` changes them later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OperatingRules {
    /// As 09 §1 says of the profile: what `palomar sim run` does.
    OfProfile,
    /// Off: what a simulator inside a program begins with, since tests of throughput and crashes break them on purpose.
    #[default]
    Off,
    /// All of them in this mode.
    All(Mode),
}

/// Which violations make `sim_exit_code`, and that of `palomar sim run`, 1 (09 §23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailOn {
    /// Any.
    #[default]
    Report,
    /// Those of rules in mode `enforce`, and protocol faults.
    Enforce,
    /// Those of severity `critical`.
    Critical,
}

/// The configuration of one simulator. A listener whose address is `None` is off.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Fixes keys, ids, refs and jitter.
    pub seed: u64,
    /// How strictly clients are judged; an account may have its own.
    pub profile: Profile,
    /// Chat over plain WebSocket (`/ws/chat`).
    pub chat: Option<SocketAddr>,
    /// Chat over TLS.
    pub chat_tls: Option<SocketAddr>,
    /// HTTP CONNECT proxy to the TLS listeners.
    pub proxy: Option<SocketAddr>,
    /// The admin API.
    pub admin: Option<SocketAddr>,
    /// Bearer token that the admin API demands.
    pub admin_token: Option<String>,
    /// Allows other addresses than loopback ones.
    pub allow_non_loopback: bool,
    /// The certificate chain shown.
    pub cert: CertMode,
    /// What happens to an IK hello.
    pub ik: IkMode,
    /// The world's time.
    pub clock: ClockMode,
    /// Snapshots go to and come from this folder; also the PKI's files.
    pub state_dir: Option<PathBuf>,
    /// Offline delivery waits for the first `active` after a passive login (09 §5).
    pub hold_until_active: bool,
    /// `<ib><edge_routing>` after each login.
    pub edge_routing: bool,
    /// Pings from the server at this interval.
    pub server_ping: Option<Duration>,
    /// Clients below this version get failure 405.
    pub min_version: Option<[u32; 3]>,
    /// A code hello for an unknown number makes the account.
    pub auto_accounts: bool,
    /// Key bundles of companions carry the account signature key (09 §9).
    pub bundle_account_key: bool,
    /// Stanzas above this many bytes are compressed.
    pub compress_above: Option<usize>,
    /// How many companions an account may have unless it says otherwise.
    pub companions_max: usize,
    /// A device list that the asker holds already is left out of a usync answer (09 §10.1).
    pub usync_delta: bool,
    /// More usync queries of an account in a minute get error 429 (09 §10.1).
    pub usync_per_min: Option<usize>,
    /// How fresh a chat state must be to be delivered at a login, seconds; 0 queues none (09 §12).
    pub chatstate_ttl_s: i64,
    /// Receipts of several members for one message go to its author in one stanza (09 §13).
    pub group_receipts: bool,
    /// Groups that clients make are LID addressed (09 §14).
    pub lid_only_groups: bool,
    /// Who plays the phones.
    pub phones: PhoneMode,
    /// How the operating rules begin.
    pub operating_rules: OperatingRules,
    /// Which violations make `sim_exit_code` 1.
    pub fail_on: FailOn,
    /// What clients are judged by.
    pub judge: JudgeTables,
}

impl Default for SimConfig {
    /// The standard ports of 09 §3 on 127.0.0.1, strict, real time.
    fn default() -> Self {
        let at = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        Self {
            seed: 1,
            profile: Profile::Strict,
            chat: at(8099),
            chat_tls: at(8443),
            proxy: at(8445),
            admin: at(8098),
            admin_token: None,
            allow_non_loopback: false,
            cert: CertMode::Ok,
            ik: IkMode::Fallback,
            clock: ClockMode::Real,
            state_dir: None,
            hold_until_active: false,
            edge_routing: true,
            server_ping: None,
            min_version: None,
            auto_accounts: false,
            bundle_account_key: false,
            compress_above: None,
            companions_max: 4,
            usync_delta: false,
            usync_per_min: None,
            chatstate_ttl_s: 0,
            group_receipts: false,
            lid_only_groups: false,
            phones: PhoneMode::Real,
            operating_rules: OperatingRules::Off,
            fail_on: FailOn::Report,
            judge: JudgeTables::default(),
        }
    }
}

impl SimConfig {
    /// Everything on loopback ports that the system chooses: tests and the demo.
    #[must_use]
    pub fn ephemeral(seed: u64) -> Self {
        let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { seed, chat: any, chat_tls: any, proxy: any, admin: any, ..Self::default() }
    }

    /// No sockets at all, virtual time from `start`: clients come through [`super::Simulator::connect`].
    #[must_use]
    pub fn in_memory(seed: u64, start: UnixMillis) -> Self {
        let clock = ClockMode::Virtual { start };
        Self { seed, chat: None, chat_tls: None, proxy: None, admin: None, clock, ..Self::default() }
    }

    /// Refuses addresses that are not loopback ones (09 §1).
    ///
    /// # Errors
    /// [`ConfigError::NotLoopback`] names the first such address.
    pub fn check(&self) -> Result<(), ConfigError> {
        let listeners = [self.chat, self.chat_tls, self.proxy, self.admin];
        match listeners.into_iter().flatten().find(|at| !at.ip().is_loopback()) {
            Some(at) if !self.allow_non_loopback => Err(ConfigError::NotLoopback(at)),
            _ => Ok(()),
        }
    }
}

/// A configuration that the simulator refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Choose a loopback address.
    #[error("{0} is not a loopback address; the simulator listens on 127.0.0.0/8 and ::1 only")]
    NotLoopback(SocketAddr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proves_09_27_01_refuses_to_bind_a_non_loopback_address() {
        let outside: SocketAddr = "192.0.2.1:8099".parse().unwrap();
        let config = SimConfig { admin: Some(outside), ..SimConfig::ephemeral(1) };
        assert_eq!(config.check(), Err(ConfigError::NotLoopback(outside)));
        assert_eq!(SimConfig { allow_non_loopback: true, ..config }.check(), Ok(()));
        assert_eq!(SimConfig::ephemeral(1).check(), Ok(()));
    }

    #[test]
    fn modes_are_read_by_the_names_of_the_specification() {
        assert_eq!("replayed-genuine".parse(), Ok(CertMode::ReplayedGenuine));
        assert_eq!("strict".parse(), Ok(Profile::Strict));
        assert!("Strict".parse::<Profile>().is_err());
    }
}
