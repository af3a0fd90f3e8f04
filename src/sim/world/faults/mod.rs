//! Planted faults (09 §22): what is armed, when it strikes, how often. Where it strikes is the hook that asks
//! [`World::strike`]; what it does there is `effects`, or stands at the hook where that is one line. Nothing of it is
//! part of the written state.

mod effects;
mod order;

use serde_json::{Map, Value, json};

pub(crate) use effects::Damage;
use order::{Condition, Count};
pub use order::{FaultError, FaultOrder, Scope};

use super::timers::Timer;
use super::{ConnectionId, DeviceRef, World};
use crate::clock::UnixMillis;
use crate::wire::Node;

/// How many may be armed at once.
const MAX_ARMED: usize = 1000;

/// All armed and spent faults of a run.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Armed>,
    next: u64,
    /// F07: until when nobody is let in.
    down_until: UnixMillis,
}

#[derive(Debug)]
struct Armed {
    id: u64,
    order: FaultOrder,
    /// Strikes that are left; none is without end.
    left: Option<u64>,
    fired: u64,
    /// Which of the fault's alternatives comes next.
    turn: usize,
    armed_ms: UnixMillis,
    /// Stanzas of clients in scope since it was armed.
    seen: u64,
    matched: bool,
    last_ms: Option<UnixMillis>,
    last_connection: Option<ConnectionId>,
}

/// Where a fault may strike now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub connection: Option<ConnectionId>,
    pub device: Option<DeviceRef>,
    pub source: Option<String>,
}

/// A strike: the fault, and its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    pub fault: String,
    pub params: Map<String, Value>,
    /// `params.kind`, or the alternative whose turn it is.
    pub kind: &'static str,
}

impl Strike {
    pub fn number(&self, key: &str, default: u64) -> u64 {
        self.params.get(key).and_then(Value::as_u64).unwrap_or(default)
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.params.get(key).and_then(Value::as_str)
    }
}

impl Armed {
    fn covers(&self, place: &Place) -> bool {
        self.order.scope.covers(place)
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        let after = match &self.order.after {
            Condition::Now => true,
            Condition::Stanzas(count) => self.seen >= *count,
            Condition::Ms(ms) => now - self.armed_ms >= *ms,
            Condition::Match { .. } => self.matched,
        };
        after && self.left != Some(0)
    }

    fn show(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "fault": self.order.fault,
            "scope": self.order.scope,
            "params": self.order.params,
            "fired": self.fired,
            "left": self.left.map_or_else(|| json!("always"), |left| json!(left)),
            "last_at": self.last_ms.map(|ms| ms.div_euclid(1000).to_string()),
            "last_connection": self.last_connection.map(|id| id.to_string()),
        })
    }
}

impl World {
    /// Arms a fault; one that strikes live connections does so at once if nothing is to be waited for.
    pub(crate) fn arm(&mut self, order: FaultOrder) -> Result<u64, FaultError> {
        if self.faults.armed.len() >= MAX_ARMED {
            return Err(FaultError::TooMany);
        }
        let left = match order.count {
            Count::Times(times) => Some(times),
            Count::Always => None,
        };
        self.faults.next += 1;
        let id = self.faults.next;
        let wait = match order.after {
            Condition::Ms(ms) => Some(ms),
            _ => None,
        };
        self.faults.armed.push(Armed {
            id,
            order,
            left,
            fired: 0,
            turn: 0,
            armed_ms: self.now_ms,
            seen: 0,
            matched: false,
            last_ms: None,
            last_connection: None,
        });
        match wait {
            Some(ms) => self.timers.set(self.now_ms + ms, Timer::Faults),
            None => self.strike_live(),
        }
        Ok(id)
    }

    /// All faults of the run, as JSON (09 §21).
    pub(crate) fn faults_json(&self) -> Vec<Value> {
        self.faults.armed.iter().map(Armed::show).collect()
    }

    /// Disarms a fault; whether there was one.
    pub(crate) fn disarm(&mut self, id: u64) -> bool {
        let before = self.faults.armed.len();
        self.faults.armed.retain(|armed| armed.id != id);
        self.faults.armed.len() < before
    }

    /// How often faults have struck, by fault.
    pub(crate) fn faults_fired(&self) -> std::collections::BTreeMap<String, u64> {
        let mut fired = std::collections::BTreeMap::new();
        for armed in &self.faults.armed {
            *fired.entry(armed.order.fault.clone()).or_default() += armed.fired;
        }
        fired
    }

    /// The place of a connection.
    pub(crate) fn place(&self, id: ConnectionId) -> Place {
        let connection = self.connections.get(&id);
        Place {
            connection: Some(id),
            device: connection.and_then(|c| c.session()).map(|session| session.device.clone()),
            source: connection.map(|connection| connection.peer.source.clone()),
        }
    }

    /// A client's stanza, for the faults that wait for stanzas; then those that strike live connections.
    pub(crate) fn faults_see(&mut self, id: ConnectionId, node: &Node) {
        if self.faults.armed.is_empty() {
            return;
        }
        let place = self.place(id);
        for armed in self.faults.armed.iter_mut().filter(|armed| armed.order.scope.covers(&place)) {
            armed.seen += 1;
            armed.matched |= armed.order.after.matches(node);
        }
        self.strike_live();
    }

    /// The first armed fault among `names` that is due here, struck once. `fits` looks at its parameters.
    pub(crate) fn strike_if(
        &mut self,
        names: &[&str],
        place: &Place,
        fits: impl Fn(&Map<String, Value>) -> bool,
    ) -> Option<Strike> {
        if self.faults.armed.is_empty() {
            return None;
        }
        let now = self.now_ms;
        let due = self.faults.armed.iter().position(|armed| {
            names.contains(&&*armed.order.fault)
                && armed.covers(place)
                && armed.is_due(now)
                && fits(&armed.order.params)
        })?;
        let probability = self.faults.armed.get(due)?.order.probability;
        if probability < 1.0 {
            let drawn = u32::from_be_bytes(self.random());
            if f64::from(drawn) >= probability * f64::from(u32::MAX) {
                return None;
            }
        }
        let armed = self.faults.armed.get_mut(due)?;
        armed.left = armed.left.map(|left| left.saturating_sub(1));
        armed.fired += 1;
        armed.last_ms = Some(now);
        armed.last_connection = place.connection;
        let kinds = order::kinds(&armed.order.fault);
        let named = armed.order.params.get("kind").and_then(Value::as_str);
        let kind = match kinds.iter().find(|kind| Some(**kind) == named) {
            Some(kind) => kind,
            None => kinds.get(armed.turn % kinds.len().max(1)).copied().unwrap_or(""),
        };
        armed.turn += 1;
        Some(Strike { fault: armed.order.fault.clone(), params: armed.order.params.clone(), kind })
    }

    /// As [`World::strike_if`], whatever the parameters.
    pub(crate) fn strike(&mut self, names: &[&str], place: &Place) -> Option<Strike> {
        self.strike_if(names, place, |_| true)
    }
}
