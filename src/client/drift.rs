//! What the service sends that this build does not know, counted (protocol 09 §23.2): local, by shapes only, and never
//! in the way of anything. The comparison itself is `stanza::judge::drift`.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::client::context::Shared;
use crate::stanza::Element;
use crate::stanza::judge::drift::{Names, Report, Unknown, fingerprint};

/// Known shapes whose fingerprints are kept.
const KNOWN_SHAPES: usize = 1024;

/// The counter of a process. Clones count together; give one to all clients of a process.
#[derive(Debug, Clone, Default)]
pub struct Drift(Arc<Mutex<Counter>>);

#[derive(Debug, Default)]
struct Counter {
    report: Report,
    known: HashSet<u64>,
    /// In the order in which they came.
    order: VecDeque<u64>,
}

/// The known names, read once a process.
fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(Names::built_in)
}

impl Drift {
    /// What was counted so far.
    #[must_use]
    pub fn report(&self) -> Report {
        self.lock().report.clone()
    }

    /// Forgets what was counted.
    pub fn clear(&self) {
        self.lock().report = Report::default();
    }

    /// Compares a stanza of the server, `now` in Unix seconds.
    fn saw<'n>(&self, stanza: impl Element<'n>, now: i64, version: &str) {
        let shape = fingerprint(stanza);
        if self.lock().known.contains(&shape) {
            return;
        }
        let unknown = names().unknown(stanza);
        if unknown.is_empty() {
            self.lock().note_known(shape);
        } else {
            self.count(unknown, now, version);
        }
    }

    fn count(&self, unknown: Vec<Unknown>, now: i64, version: &str) {
        let mut counter = self.lock();
        for shape in unknown {
            let shown = format!("{} {} {}", shape.kind.name(), shape.place, shape.name);
            if counter.report.add(shape, now, version) {
                tracing::info!(shape = shown, "the service sends something that this build does not know");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter {
    fn note_known(&mut self, shape: u64) {
        if !self.known.insert(shape) {
            return;
        }
        self.order.push_back(shape);
        if self.order.len() > KNOWN_SHAPES
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Shared {
    /// Compares a stanza with what is known, after it was answered.
    pub(crate) fn note_shape<'n>(&self, stanza: impl Element<'n>) {
        if let Some(drift) = &self.config.drift {
            drift.saw(stanza, self.clock.wall_s(), &self.config.version.get().to_string());
        }
    }

    /// Counts what was unknown inside a message.
    pub(crate) fn note_unknown(&self, unknown: Vec<Unknown>) {
        if let Some(drift) = &self.config.drift {
            drift.count(unknown, self.clock.wall_s(), &self.config.version.get().to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Node;

    #[test]
    fn drift_known_shapes_are_recognised_and_bounded_and_unknown_ones_counted_each_time() {
        let drift = Drift::default();
        let known = Node::new("ib").child(Node::new("offline").attr("count", "1"));
        let unknown = Node::new("ib").child(Node::new("beam"));
        for _ in 0..3 {
            drift.saw(&known, 5, "2.3000.1");
            drift.saw(&unknown, 5, "2.3000.1");
        }
        assert_eq!(drift.lock().known.len(), 1);
        let report = drift.clone().report();
        assert_eq!((report.entries().len(), report.entries()[0].count), (1, 3));
        drift.clear();
        assert!(drift.report().is_empty());
        let mut counter = drift.lock();
        for shape in 0..5000 {
            counter.note_known(shape);
        }
        assert_eq!((counter.known.len(), counter.order.len()), (KNOWN_SHAPES, KNOWN_SHAPES));
    }
}
