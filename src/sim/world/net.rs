//! A bad network towards clients (09 §21 `net`): latency, loss and reordering of stanzas before they are encrypted, so that
//! what is lost uses no counter; rate and pieces are the writer's.

use serde::{Deserialize, Serialize};

use super::faults::{Place, Scope};
use super::timers::Timer;
use super::{ConnectionId, Out, World};
use crate::clock::UnixMillis;
use crate::wire::Node;

/// How much later than its turn a stanza that is reordered comes.
const OVERTAKEN_MS: i64 = 200;
/// Rules at once.
const MAX_RULES: usize = 100;

/// How stanzas travel to the clients in scope. All zero: as if there were no rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetRule {
    /// To whom.
    pub scope: Scope,
    /// How late a stanza comes.
    pub latency_ms: i64,
    /// By how much at most that varies, both ways.
    pub jitter_ms: i64,
    /// The share of stanzas that are lost; never an IQ or what a connection hangs on.
    pub loss: f64,
    /// Bytes per second of frames; 0 is no limit.
    pub rate_bytes_s: u64,
    /// The size of the WebSocket messages that a frame is cut into; 0 leaves it whole.
    pub chunk: usize,
    /// The share of stanzas that are overtaken by those behind them.
    pub reorder: f64,
}

/// What the writer does with frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    pub rate_bytes_s: u64,
    pub chunk: usize,
}

impl NetRule {
    /// Whether every figure can be.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let time = |ms: i64| (0..=600_000).contains(&ms);
        share(self.loss) && share(self.reorder) && time(self.latency_ms) && time(self.jitter_ms)
    }

    fn is_nothing(&self) -> bool {
        *self == Self { scope: self.scope.clone(), ..Self::default() }
    }

    fn pace(&self) -> Pace {
        Pace { rate_bytes_s: self.rate_bytes_s, chunk: self.chunk }
    }
}

impl World {
    /// Sets the rule of a scope, or lifts it.
    pub(crate) fn set_net(&mut self, rule: NetRule) {
        self.net.retain(|known| known.scope != rule.scope);
        if !rule.is_nothing() && self.net.len() < MAX_RULES {
            self.net.push(rule);
        }
        let live: Vec<ConnectionId> = self.connections.keys().copied().collect();
        live.into_iter().for_each(|id| self.set_pace(id));
    }

    /// Tells the writer of a connection how to write.
    pub(crate) fn set_pace(&mut self, id: ConnectionId) {
        let place = self.place(id);
        let pace = self.net_rule(&place).map(NetRule::pace).unwrap_or_default();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if std::mem::replace(&mut connection.pace, pace) != pace {
            self.out(id, Out::Pace(pace));
        }
    }

    /// The last rule that covers a place.
    fn net_rule(&self, place: &Place) -> Option<&NetRule> {
        self.net.iter().rev().find(|rule| rule.scope.covers(place))
    }

    /// When a stanza to a client leaves: none if it is lost, later than now if the timer brings it.
    pub(crate) fn leaves_at(&mut self, id: ConnectionId, node: &Node) -> Option<UnixMillis> {
        let now = self.now_ms;
        if self.net.is_empty() {
            return Some(now);
        }
        let place = self.place(id);
        let Some(rule) = self.net_rule(&place).cloned() else { return Some(now) };
        let loose = matches!(
            &*node.tag,
            "message" | "receipt" | "ack" | "notification" | "presence" | "chatstate" | "call"
        );
        if loose && self.happens(rule.loss) {
            return None;
        }
        let spread = rule.jitter_ms.saturating_mul(2).saturating_add(1);
        let drawn = i64::from(u32::from_be_bytes(self.random()));
        let late = (rule.latency_ms + drawn % spread - rule.jitter_ms).max(0);
        let overtaken = loose && self.happens(rule.reorder);
        let connection = self.connections.get_mut(&id)?;
        // Whatever the jitter, one stream keeps its order.
        let at = (now + late).max(connection.last_leaves_ms);
        if overtaken {
            return Some(at + OVERTAKEN_MS);
        }
        connection.last_leaves_ms = at;
        Some(at)
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && f64::from(u32::from_be_bytes(self.random())) < share * f64::from(u32::MAX)
    }

    /// Keeps a stanza back until its time.
    pub(crate) fn keep_back(&mut self, id: ConnectionId, at: UnixMillis, node: Node) {
        self.timers.set(at, Timer::Write(id, Box::new(node)));
    }
}
