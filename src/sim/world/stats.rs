//! What the world counts for `/v1/metrics` (09 §24), as Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::World;
use super::connection::State;

/// Tags that are counted by name; others are `other`, so that clients can't make the table grow.
const TAGS: [&str; 12] = [
    "ack",
    "call",
    "chatstate",
    "failure",
    "ib",
    "iq",
    "message",
    "notification",
    "presence",
    "receipt",
    "stream:error",
    "success",
];

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Successful logins.
    pub logins: u64,
    /// Stanzas by direction and tag.
    stanzas: BTreeMap<(&'static str, &'static str), u64>,
}

impl Stats {
    pub fn count(&mut self, direction: &'static str, tag: &str) {
        let tag = TAGS.iter().find(|known| **known == tag).copied().unwrap_or("other");
        *self.stanzas.entry((direction, tag)).or_default() += 1;
    }
}

impl World {
    /// The counters and the present state.
    pub(crate) fn metrics(&self) -> String {
        let mut text = Text::default();
        let mut states = BTreeMap::from([
            ("handshake", 0),
            ("registering", 0),
            ("passive", 0),
            ("active", 0),
            ("closing", 0),
        ]);
        let (mut bytes_in, mut bytes_out) = (0, 0);
        for connection in self.connections.values() {
            *states.entry(state_name(&connection.state)).or_default() += 1;
            let (received, sent) = connection.bytes.get();
            bytes_in += received;
            bytes_out += sent;
        }
        text.family("sim_connections", "gauge", "Connections by state.");
        states
            .into_iter()
            .for_each(|(state, count)| text.line("sim_connections", &format!("state={state:?}"), count));
        text.family("sim_logins_total", "counter", "Successful logins.");
        text.line("sim_logins_total", "", self.stats.logins);
        text.family("sim_stanzas_total", "counter", "Stanzas by tag and direction, seen from the server.");
        for ((direction, tag), count) in &self.stats.stanzas {
            text.line("sim_stanzas_total", &format!("dir={direction:?},tag={tag:?}"), *count);
        }
        text.family("sim_live_bytes", "gauge", "Bytes of frames of the live connections.");
        text.line("sim_live_bytes", "dir=\"in\"", bytes_in);
        text.line("sim_live_bytes", "dir=\"out\"", bytes_out);
        self.device_metrics(&mut text);
        text.family("sim_violations_total", "counter", "What clients did wrong, by code.");
        self.violations.by_code().into_iter().for_each(|(code, count)| {
            text.line("sim_violations_total", &format!("code={code:?}"), count);
        });
        text.family("sim_faults_fired_total", "counter", "Planted faults that struck.");
        self.faults_fired().into_iter().for_each(|(fault, count)| {
            text.line("sim_faults_fired_total", &format!("fault={fault:?}"), count);
        });
        text.0
    }

    fn device_metrics(&self, text: &mut Text) {
        let devices = self.accounts.values().flat_map(|account| {
            account
                .companions()
                .map(|(id, device)| (format!("account=\"{}\",device=\"{id}\"", account.number), device))
        });
        let devices: Vec<_> = devices.collect();
        text.family("sim_queue_length", "gauge", "Stanzas that wait for a device or for its answer.");
        devices
            .iter()
            .for_each(|(labels, device)| text.line("sim_queue_length", labels, device.queue.len() as u64));
        text.family("sim_prekeys_left", "gauge", "Unused one-time prekeys of a device.");
        for (labels, device) in &devices {
            if let Some(keys) = device.keys.as_ref() {
                text.line("sim_prekeys_left", labels, keys.one_time.len() as u64);
            }
        }
    }
}

/// The name of a connection's state (09 §21 `connection`).
pub(crate) fn state_name(state: &State) -> &'static str {
    match state {
        State::Handshake => "handshake",
        State::Registering(_) => "registering",
        State::Online(session) if session.active => "active",
        State::Online(_) => "passive",
        State::Closing => "closing",
    }
}

/// Prometheus' text format.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}
