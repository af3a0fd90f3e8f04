//! The world: accounts, devices, connections, queues, keys, and every decision about them (09 §2). One owner, no
//! IO, no clock of its own: calls come in with the time set, stanzas go out through the connections' queues.
//!
//! | file | subject |
//! |---|---|
//! | `account`, `connection`, `queue`, `timers` | the data |
//! | `login`, `offline` | the login decision, offline delivery |
//! | `pairing` | QR and code, the server's part |
//! | `iq` | the table of IQs |
//! | `keys`, `usync` | key directory, device lists |
//! | `router`, `checks`, `receipts`, `presence` | what passes between devices |
//! | `groups`, `group_settings` | groups |
//! | `notify` | notifications |
//! | `restrict` | restrictions of accounts |
//! | `phones` | the phones' side of the seam |
//! | `limits` | operating rules |
//! | `faults`, `net` | planted faults, a bad network |
//! | `stats` | counters |
//! | `snapshot`, `tracked` | `--state` |

mod account;
mod checks;
mod connection;
mod crude;
mod faults;
mod group_settings;
mod groups;
mod iq;
mod judge;
mod keys;
mod limits;
mod login;
mod net;
mod notify;
mod offline;
mod orders;
mod pairing;
mod phones;
mod presence;
mod receipts;
pub(crate) mod restrict;
mod router;
mod snapshot;
mod stats;
mod tracked;
mod unlink;
mod usync;

mod queue;
mod timers;

use std::collections::{BTreeMap, VecDeque};

pub use account::{Ban, DeviceRef, Namespace, OutboxAck, OutboxItem, OutboxReceipt, OutboxRetry};
pub use connection::{ConnectionId, Peer};
pub use faults::{FaultError, FaultOrder, Scope};
pub use phones::{NewAccount, NewAccountError};
pub use snapshot::SnapshotError;

pub(crate) use account::{Account, Device};
pub(crate) use connection::{Bytes, Connection, Out, State};
pub use net::NetRule;

pub(crate) use faults::Damage;
pub(crate) use iq::{Origin, Refusal};
pub(crate) use limits::Turned;
pub(crate) use net::Pace;
pub(crate) use phones::Outcome;
pub(crate) use stats::state_name;

use super::chain::ServerIdentity;
use super::config::{Profile, SimConfig};
use super::rules::Rules;
use super::seed::{self, SimRng};
use super::shapes::Shapes;
use super::traffic::Traffic;
use super::violations::{Fault, Violations};
use crate::clock::UnixMillis;
use crate::wire::{Jid, Node, NodeRef, Server};
use connection::Session;
use timers::{Timer, Timers};
use tracked::{Accounts, Tracked};

/// Everything that the simulator knows.
pub(crate) struct World {
    pub config: SimConfig,
    pub now_ms: UnixMillis,
    pub accounts: Accounts,
    pub connections: BTreeMap<ConnectionId, Connection>,
    pub violations: Tracked<Violations>,
    pub traffic: Traffic,
    pub rules: Rules,
    pub shapes: Shapes,
    pub stats: stats::Stats,
    limits: limits::Limits,
    faults: faults::Faults,
    net: Vec<NetRule>,
    /// Receipts of group members that wait to be merged: reader and time.
    merging: BTreeMap<receipts::MergeKey, Vec<(Jid, i64)>>,
    pub server: ServerIdentity,
    pub ops: BTreeMap<u64, Outcome>,
    lids: BTreeMap<String, String>,
    groups: Tracked<BTreeMap<String, groups::Group>>,
    restricted: Tracked<BTreeMap<String, restrict::Restricted>>,
    timers: Timers,
    rng: SimRng,
    counters: checks::Counters,
    retries: Tracked<receipts::Retries>,
    phone_in: VecDeque<(DeviceRef, Node)>,
    phone_out: VecDeque<(String, super::seam::FromPhone)>,
    next_connection: ConnectionId,
    next_stanza: u64,
    next_op: u64,
    next_number: u64,
    /// How often this world was begun anew from its state.
    starts: u64,
    /// What must not leave before the state is written; none where nothing is written.
    held: Option<Vec<(ConnectionId, Out)>>,
}

impl World {
    pub fn new(config: SimConfig, now_ms: UnixMillis) -> Self {
        let seed = config.seed;
        let traffic = Traffic::new(config.profile != Profile::Bench);
        let rules = Rules::of(config.profile, config.operating_rules);
        Self {
            now_ms,
            accounts: Accounts::default(),
            connections: BTreeMap::new(),
            violations: Tracked::default(),
            traffic,
            rules,
            shapes: Shapes::default(),
            stats: stats::Stats::default(),
            limits: limits::Limits::default(),
            faults: faults::Faults::default(),
            net: Vec::new(),
            merging: BTreeMap::new(),
            server: ServerIdentity::new(seed),
            ops: BTreeMap::new(),
            lids: BTreeMap::new(),
            groups: Tracked::default(),
            restricted: Tracked::default(),
            timers: Timers::default(),
            rng: seed::stream(seed, "world", ""),
            counters: checks::Counters::default(),
            retries: Tracked::default(),
            phone_in: VecDeque::new(),
            phone_out: VecDeque::new(),
            next_connection: 0,
            next_stanza: 0,
            next_op: 0,
            next_number: 0,
            starts: 0,
            held: None,
            config,
        }
    }

    /// The world's time, Unix seconds.
    pub fn now_s(&self) -> i64 {
        self.now_ms.div_euclid(1000)
    }

    /// Moves the world's time on and does what has become due. Time never goes back.
    pub fn advance_to(&mut self, now_ms: UnixMillis) {
        while let Some((at, timer)) = self.timers.pop(now_ms) {
            self.now_ms = self.now_ms.max(at);
            self.due(timer);
            self.settle();
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// When [`World::advance_to`] has something to do next.
    pub fn next_deadline(&self) -> Option<UnixMillis> {
        self.timers.next_deadline()
    }

    fn due(&mut self, timer: Timer) {
        match timer {
            Timer::Close(id) => self.out(id, Out::Close(1000)),
            Timer::RefExpired(id) => self.ref_expired(id),
            Timer::PairingTimeout(id) => self.pairing_timed_out(id),
            Timer::HelloExpired(id) => self.hello_expired(id),
            Timer::OfflineFallback(id, signs) => self.offline_fallback(id, signs),
            Timer::NeverActive(id) => self.never_active(id),
            Timer::Unanswered { device, entry, connection } => self.unanswered(&device, entry, connection),
            Timer::Idle(id) => self.idle(id),
            Timer::Restriction(number) => self.restriction_due(&number),
            Timer::Ping(id) => self.server_ping(id),
            Timer::MergedReceipt(key) => self.merged_receipt(&key),
            Timer::Faults => self.strike_live(),
            Timer::NetEnds(scope) => self.set_net(NetRule { scope, ..NetRule::default() }),
            Timer::Write(id, node) => self.write_now(id, *node),
            Timer::AlwaysOnline(number, since) => self.always_online(&number, since),
        }
    }

    /// A client's stanza out of its frame: it is judged as it was written (09 §23.1).
    pub fn received(&mut self, id: ConnectionId, stanza: NodeRef<'_>) {
        let device = self.session(id).map(|session| session.device.clone());
        let written = self.judges(device.as_ref()).then(|| stanza.to_node_as_written());
        self.take(id, stanza.to_node(), written.as_ref());
    }

    /// A client's stanza, which is as it was written.
    #[cfg(test)]
    pub fn stanza(&mut self, id: ConnectionId, node: Node) {
        let written = node.clone();
        self.take(id, node, Some(&written));
    }

    fn take(&mut self, id: ConnectionId, node: Node, written: Option<&Node>) {
        let now = self.now_ms;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.stanzas_in += 1;
        self.stats.count("in", &node.tag);
        connection.last_in_ms = now;
        connection.last_in = Some(node.tag.to_string());
        let device = connection.session().map(|session| session.device.clone());
        self.judge_stanza(id, device.as_ref(), (&node, written));
        self.faults_see(id, &node);
        let Some(connection) = self.connections.get(&id) else { return };
        match (&connection.state, device) {
            (State::Online(_), Some(device)) => {
                let origin = Origin { device, connection: Some(id) };
                self.device_stanza(&origin, &node);
            }
            (State::Registering(_), _) => self.registering_stanza(id, &node),
            _ => {}
        }
        self.settle();
    }

    /// A stanza of a logged-in companion or of a phone.
    fn device_stanza(&mut self, origin: &Origin, node: &Node) {
        match &*node.tag {
            "iq" => self.iq(origin, node),
            "message" => self.message(origin, node),
            "receipt" => self.receipt(origin, node),
            "ack" => self.ack(origin, node),
            "presence" => self.presence(origin, node),
            "chatstate" => self.chatstate(origin, node),
            "ib" => self.info(origin, node),
            "call" => self.call(origin, node),
            "notification" | "stream:error" | "failure" | "success" => {
                self.fault(origin, "unknown-stanza", format!("a client sent <{}>", node.tag));
            }
            _ => {}
        }
    }

    /// The device that an address means, whether linked or not; `None` for unknown users and other servers.
    pub fn resolve(&self, jid: &Jid) -> Option<DeviceRef> {
        let number = match jid.server() {
            Server::Pn | Server::CUs | Server::Hosted => self.accounts.get_key_value(jid.user())?.0,
            Server::Lid | Server::HostedLid => self.lids.get(jid.user())?,
            _ => return None,
        };
        Some(DeviceRef::new(number, jid.device()))
    }

    pub fn device(&self, at: &DeviceRef) -> Option<&Device> {
        self.accounts.get(&at.number)?.devices.get(&at.device)
    }

    pub fn device_mut(&mut self, at: &DeviceRef) -> Option<&mut Device> {
        self.accounts.get_mut(&at.number)?.devices.get_mut(&at.device)
    }

    /// The profile that an account is judged by.
    pub fn profile(&self, number: &str) -> Profile {
        self.accounts.get(number).and_then(|account| account.profile).unwrap_or(self.config.profile)
    }

    pub fn is_strict(&self, number: &str) -> bool {
        self.profile(number) == Profile::Strict
    }

    /// Records a fault of a logged-in client (R15: off in `bench`).
    pub fn fault(&mut self, origin: &Origin, code: &'static str, detail: String) {
        let judged = self.rules.records_faults() && self.profile(&origin.device.number) != Profile::Bench;
        if origin.connection.is_none() || !judged {
            return;
        }
        let fault = Fault {
            account: Some(&origin.device.number),
            connection: origin.connection,
            code,
            detail,
            sample: self.traffic.last_cursor(),
        };
        self.violations.record(self.now_ms, fault);
    }

    /// Records a fault of a connection, logged in or not.
    pub fn connection_fault(&mut self, id: ConnectionId, code: &'static str, detail: String) {
        if self.config.profile == Profile::Bench || !self.rules.records_faults() {
            return;
        }
        let number = self.session(id).map(|session| session.device.number.clone());
        let fault = Fault {
            account: number.as_deref(),
            connection: Some(id),
            code,
            detail,
            sample: self.traffic.last_cursor(),
        };
        self.violations.record(self.now_ms, fault);
    }

    /// An id for an IQ or a notification of the server: decimal, never one that a client makes.
    pub fn next_id(&mut self) -> String {
        self.next_stanza += 1;
        self.next_stanza.to_string()
    }

    /// The world's own stream of chance.
    pub fn chance(&mut self) -> &mut SimRng {
        &mut self.rng
    }

    /// Bytes of the world's own stream.
    pub fn random<const N: usize>(&mut self) -> [u8; N] {
        crate::crypto::random_bytes(&mut self.rng)
    }

    fn idle(&mut self, id: ConnectionId) {
        const SILENCE_MS: i64 = 180_000;
        let Some(connection) = self.connections.get(&id) else { return };
        let ends = connection.last_in_ms + SILENCE_MS;
        if ends <= self.now_ms {
            self.end_with(id, None, 0);
        } else {
            self.timers.set(ends, Timer::Idle(id));
        }
    }

    fn server_ping(&mut self, id: ConnectionId) {
        let Some(interval) = self.config.server_ping else { return };
        if self.session(id).is_none() {
            return;
        }
        let ping = Node::new("iq")
            .attr("from", Jid::service())
            .attr("id", self.next_id())
            .attr("type", "get")
            .attr("xmlns", "urn:xmpp:ping");
        self.write(id, ping);
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 2);
        self.timers.set(self.now_ms + interval, Timer::Ping(id));
    }

    /// The sessions that are live now.
    fn sessions(&self) -> impl Iterator<Item = (ConnectionId, &Session)> {
        self.connections.iter().filter_map(|(id, connection)| Some((*id, connection.session()?)))
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
