//! The handshake's end: registering or logging in, and the login decision (09 §5).

use prost::Message;

use super::connection::{Backlog, Session, State};
use super::timers::Timer;
use super::{Ban, ConnectionId, DeviceRef, Origin, World};
use crate::crypto::PublicKey;
use crate::proto::ClientPayload;
use crate::wire::{Jid, Node};

/// A passive login must say `active` within this time.
const ACTIVE_WITHIN_MS: i64 = 60_000;
/// `<failure>` and then the close.
const CLOSE_AFTER_FAILURE_MS: i64 = 200;
/// `replaced` and then the close.
const CLOSE_AFTER_REPLACED_MS: i64 = 100;
/// A connection that says nothing for this long is closed.
const SILENCE_MS: i64 = 180_000;

/// Why a login is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    reason: u16,
    pub code: Option<u16>,
    /// Seconds.
    pub expire: Option<u64>,
    /// Seconds.
    pub backoff: Option<u64>,
}

impl Failure {
    pub(crate) const fn new(reason: u16) -> Self {
        Self { reason, code: None, expire: None, backoff: None }
    }

    /// A temporary ban.
    pub(crate) const fn banned(code: u16, expire: u64) -> Self {
        Self { reason: 402, code: Some(code), expire: Some(expire), backoff: None }
    }

    fn of(ban: &Ban) -> Self {
        if ban.reason == 402 { Self::banned(ban.code, ban.expire) } else { Self::new(ban.reason) }
    }

    pub(crate) fn node(&self) -> Node {
        Node::new("failure")
            .attr("reason", self.reason)
            .attr("location", "sim")
            .opt_attr("code", self.code)
            .opt_attr("expire", self.expire)
            .opt_attr("backoff", self.backoff)
    }
}

impl World {
    /// The handshake is complete: `payload` is the ClientPayload, `noise` the client's static key.
    pub(crate) fn hello(&mut self, id: ConnectionId, noise: PublicKey, payload: &[u8]) {
        self.judge_client_payload(id, payload, ClientPayload::decode(payload).ok().as_ref());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.noise = Some(noise);
        connection.payload = payload.to_vec();
        match ClientPayload::decode(payload) {
            Ok(payload) if payload.username.is_some() && payload.device_pairing_data.is_none() => {
                self.timers.set(self.now_ms + SILENCE_MS, Timer::Idle(id));
                self.log_in(id, noise, &payload);
            }
            Ok(payload) if payload.username.is_none() && payload.device_pairing_data.is_some() => {
                self.register(id, noise, &payload);
            }
            // Neither, both, or no protobuf (01 §10).
            _ => self.fail(id, &Failure::new(400)),
        }
        self.settle();
    }

    pub(crate) fn fail(&mut self, id: ConnectionId, failure: &Failure) {
        self.end_with(id, Some(failure.node()), CLOSE_AFTER_FAILURE_MS);
    }

    pub(crate) fn refuse_registration(&mut self, id: ConnectionId) {
        self.fail(id, &Failure::new(400));
    }

    fn log_in(&mut self, id: ConnectionId, noise: PublicKey, payload: &ClientPayload) {
        let version =
            payload.user_agent.as_ref().and_then(|agent| agent.app_version.as_ref()).map(|version| {
                [
                    version.primary.unwrap_or_default(),
                    version.secondary.unwrap_or_default(),
                    version.tertiary.unwrap_or_default(),
                ]
            });
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.version = version;
        }
        let number = payload.username.unwrap_or_default().to_string();
        let device = payload.device.and_then(|device| u16::try_from(device).ok()).unwrap_or_default();
        let at = DeviceRef { number, device };
        match self.decide(id, &at, noise, version) {
            Ok(()) => self.welcome(id, at, payload.passive.unwrap_or_default()),
            Err(failure) => self.fail(id, &failure),
        }
    }

    /// The table of 09 §5, first matching row.
    fn decide(
        &mut self,
        id: ConnectionId,
        at: &DeviceRef,
        noise: PublicKey,
        version: Option<[u32; 3]>,
    ) -> Result<(), Failure> {
        self.strike_login(id, at)?;
        self.lift_ended_ban(&at.number);
        let pairing = self.device(at).and_then(|device| device.pairing.as_ref());
        let Some(pairing) = pairing.filter(|_| at.device != 0) else {
            self.judge_dead_login(id, &at.number);
            return Err(Failure::new(401));
        };
        if pairing.noise != *noise.as_bytes() {
            let detail = format!("login as {}:{}", at.number, at.device);
            self.connection_fault(id, "noise-static-changed", detail);
            return Err(Failure::new(401));
        }
        if let Some(ban) = self.accounts.get(&at.number).and_then(|account| account.ban.as_ref()) {
            return Err(Failure::of(ban));
        }
        if let Some(minimum) = self.config.min_version
            && version.is_none_or(|version| version < minimum)
        {
            return Err(Failure::new(405));
        }
        self.judge_login(id, at)
    }

    fn welcome(&mut self, id: ConnectionId, at: DeviceRef, passive: bool) {
        if let Some(old) = self.device(&at).and_then(|device| device.connection) {
            let conflict = Node::new("conflict").attr("type", "replaced");
            self.end_with(old, Some(Node::new("stream:error").child(conflict)), CLOSE_AFTER_REPLACED_MS);
        }
        let session = Session {
            device: at.clone(),
            since_ms: self.now_ms,
            passive,
            active: !passive,
            backlog: Backlog::default(),
            watching: Default::default(),
            presence_available: false,
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = State::Online(session);
        }
        if let Some(device) = self.device_mut(&at) {
            device.connection = Some(id);
        }
        self.stats.logins += 1;
        self.set_pace(id);
        self.write_success(id, &at);
        self.begin_backlog(id, &at);
        if passive && !self.is_crude(&at.number) {
            self.timers.set(self.now_ms + ACTIVE_WITHIN_MS, Timer::NeverActive(id));
        } else {
            self.welcome_new_devices(&at.number);
        }
        if let Some(interval) = self.config.server_ping {
            let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 2);
            self.timers.set(self.now_ms + interval, Timer::Ping(id));
        }
    }

    fn write_success(&mut self, id: ConnectionId, at: &DeviceRef) {
        use base64::Engine;
        let Some(account) = self.accounts.get(&at.number) else { return };
        let lid = account.lid.with_device(at.device);
        let secret = crate::crypto::sha256_parts(&[
            b"companion_enc_static",
            &self.config.seed.to_be_bytes(),
            at.number.as_bytes(),
            &at.device.to_be_bytes(),
        ]);
        let place = self.place(id);
        let struck = self.strike(&["F28"], &place).map(|strike| strike.kind);
        let success = Node::new("success")
            .opt_attr("t", (struck != Some("no-t")).then(|| self.now_s()))
            .opt_attr("lid", (struck != Some("no-lid")).then_some(lid))
            .attr("location", "sim")
            .attr("creation", "1700000000")
            .attr("props", "27")
            .attr("companion_enc_static", base64::engine::general_purpose::STANDARD.encode(secret));
        if struck == Some("duplicate") {
            self.write(id, success.clone());
        }
        self.write(id, success);
        if self.config.edge_routing {
            let info = Node::new("routing_info").bytes([8, 2, 8, 5]);
            let routing = Node::new("edge_routing").child(info);
            self.write(id, Node::new("ib").attr("from", Jid::service()).child(routing));
        }
    }

    /// `<iq xmlns=passive><active/></iq>`.
    pub(crate) fn active(&mut self, origin: &Origin) {
        let Some(id) = origin.connection else { return };
        let Some(session) = self.session_mut(id) else { return };
        let first = !session.active;
        session.active = true;
        if first {
            self.backlog_active(id, &origin.device);
        }
        self.welcome_new_devices(&origin.device.number);
    }

    /// `<passive/>`: live traffic stops until the next `active`.
    pub(crate) fn passive(&mut self, origin: &Origin) {
        if let Some(session) = origin.connection.and_then(|id| self.session_mut(id)) {
            session.active = false;
        }
    }

    pub(crate) fn never_active(&mut self, id: ConnectionId) {
        if self.session(id).is_some_and(|session| session.passive && !session.active) {
            self.connection_fault(
                id,
                "never-active",
                "a passive login without active within 60 s".to_owned(),
            );
        }
    }
}
