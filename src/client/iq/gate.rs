//! How often the server may be asked what (protocol 05d §10): so many questions a second, a gap between those of one
//! kind, and no question of a kind that the server has said 429 to before its time. Pure: time is an argument.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rand_core::Rng;
use tokio::time::Instant;

use crate::wire::{Node, NodeRef};

/// Questions in any second.
const PER_SECOND: usize = 20;
const SECOND: Duration = Duration::from_secs(1);

/// Kinds that are asked at most once in this time.
const GAPS: [(&str, Duration); 2] = [("usync", SECOND), ("w:profile:picture/picture", SECOND)];

/// Namespaces of questions that keep the connection alive or end it: nothing holds them back.
const FREE: [&str; 3] = ["w:p", "passive", "md"];

/// A wait that the server gives no number for: the first, the longest.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
/// The longest that a number of the server can mean.
const DAY: u64 = 86_400;

/// The kinds that a question belongs to: usync to one for each protocol that it asks about, all else to its namespace
/// and first child. `None`: it is never held back.
pub(super) fn kinds(question: &Node) -> Option<Vec<String>> {
    let xmlns = question.str("xmlns").unwrap_or_default();
    if FREE.contains(&&*xmlns) {
        return None;
    }
    if xmlns == "usync" {
        let query = question.find("usync").and_then(|usync| usync.find("query"));
        let asked = query.into_iter().flat_map(Node::nodes).map(|protocol| format!("usync/{}", protocol.tag));
        return Some(std::iter::once("usync".to_owned()).chain(asked).collect());
    }
    let child = question.nodes().next().map(|child| child.tag.to_string()).unwrap_or_default();
    Some(vec![format!("{xmlns}/{child}")])
}

/// What the server said about whole kinds: each with its seconds, where it names some.
pub(super) fn refused(kinds: &[String], answer: NodeRef<'_>) -> Vec<(String, Option<u64>)> {
    let limit = |error: NodeRef<'_>| {
        let backoff = error.u64("backoff");
        (error.u64("code") == Some(429) || backoff.is_some()).then_some(backoff)
    };
    if answer.str("type").as_deref() == Some("error") {
        let Some(backoff) = answer.find("error").and_then(limit) else { return Vec::new() };
        // A protocol of usync is a kind of its own; the others may still be asked about.
        let several = kinds.len() > 1;
        let named = kinds.iter().skip(usize::from(several));
        return named.map(|kind| (kind.clone(), backoff)).collect();
    }
    let result = answer.find("usync").and_then(|usync| usync.find("result"));
    let protocols = result.into_iter().flat_map(|result| result.nodes());
    protocols
        .filter_map(|protocol| {
            let backoff = protocol.find("error").and_then(limit)?;
            Some((format!("usync/{}", protocol.tag()), backoff))
        })
        .collect()
}

/// Whether a question may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now; it counts.
    Go,
    /// Ask again then.
    Wait(Instant),
    /// The server wants none of this kind for so long.
    Held(Duration),
}

#[derive(Debug, Default)]
struct Kind {
    next: Option<Instant>,
    held: Option<Instant>,
    last: Duration,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gate {
    lately: VecDeque<Instant>,
    kinds: HashMap<String, Kind>,
}

impl Gate {
    /// For how long the server wants no question of one of these kinds.
    pub fn held(&self, kinds: &[String], now: Instant) -> Option<Duration> {
        let held = kinds.iter().filter_map(|kind| self.kinds.get(kind)?.held);
        held.filter(|until| *until > now).max().map(|until| until - now)
    }

    /// A question wants to be asked.
    pub fn turn(&mut self, kinds: &[String], now: Instant) -> Turn {
        if let Some(wait) = self.held(kinds, now) {
            return Turn::Held(wait);
        }
        while self.lately.front().is_some_and(|at| *at + SECOND <= now) {
            self.lately.pop_front();
        }
        let crowded = self.lately.len().checked_sub(PER_SECOND).and_then(|at| self.lately.get(at));
        let crowded = crowded.map(|at| *at + SECOND);
        let next = kinds.iter().filter_map(|kind| self.kinds.get(kind)?.next);
        if let Some(until) = next.chain(crowded).filter(|until| *until > now).max() {
            return Turn::Wait(until);
        }
        self.lately.push_back(now);
        for (name, gap) in GAPS {
            if kinds.iter().any(|kind| kind == name) {
                self.kinds.entry(name.to_owned()).or_default().next = Some(now + gap);
            }
        }
        Turn::Go
    }

    /// An answer came: these were refused, the others of `asked` were not. Returns the longest wait.
    pub fn answered(
        &mut self,
        asked: &[String],
        refused: &[(String, Option<u64>)],
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Duration> {
        for kind in asked.iter().filter(|kind| refused.iter().all(|(other, _)| other != *kind)) {
            if let Some(kind) = self.kinds.get_mut(kind) {
                kind.last = Duration::ZERO;
            }
        }
        let hold = |(name, backoff): &(String, Option<u64>)| {
            let kind = self.kinds.entry(name.clone()).or_default();
            let wait = match backoff {
                Some(seconds) => Duration::from_secs((*seconds).min(DAY)),
                None => {
                    kind.last = (kind.last * 2).clamp(FIRST, LONGEST);
                    // A fifth more or less.
                    kind.last.mul_f64(0.8 + 0.4 * f64::from(rng.next_u32()) / f64::from(u32::MAX))
                }
            };
            kind.held = Some(now + wait);
            wait
        };
        refused.iter().map(hold).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Arena, decode, encode};
    use rand_core::SeedableRng;

    fn kind(name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    fn rng() -> rand_chacha::ChaCha20Rng {
        rand_chacha::ChaCha20Rng::seed_from_u64(1)
    }

    #[test]
    fn twenty_go_in_any_second_and_usync_goes_once() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        let mut went = Vec::new();
        for at in 0..50 {
            let now = now + Duration::from_millis(at * 20);
            went.push(gate.turn(&kind("encrypt/key"), now) == Turn::Go);
        }
        assert_eq!(went.iter().filter(|went| **went).count(), 20);
        let mut gate = Gate::default();
        let usync = vec!["usync".to_owned(), "usync/lid".to_owned()];
        assert_eq!(gate.turn(&usync, now), Turn::Go);
        assert_eq!(gate.turn(&usync, now), Turn::Wait(now + SECOND));
        assert_eq!(gate.turn(&kind("encrypt/key"), now), Turn::Go);
        assert_eq!(gate.turn(&usync, now + SECOND), Turn::Go);
    }

    #[test]
    fn after_a_429_with_30_none_of_that_kind_goes_within_30_seconds_and_others_do() {
        let (mut gate, now) = (Gate::default(), Instant::now());
        let refused = [("encrypt/key".to_owned(), Some(30))];
        gate.answered(&kind("encrypt/key"), &refused, now, &mut rng());
        let almost = now + Duration::from_millis(29_999);
        assert_eq!(gate.turn(&kind("encrypt/key"), almost), Turn::Held(Duration::from_millis(1)));
        assert_eq!(gate.turn(&kind("encrypt/count"), almost), Turn::Go);
        assert_eq!(gate.turn(&kind("encrypt/key"), now + Duration::from_secs(30)), Turn::Go);
    }

    #[test]
    fn without_a_number_the_wait_doubles_from_a_minute_to_an_hour_until_an_answer_comes() {
        let (mut gate, now, mut rng) = (Gate::default(), Instant::now(), rng());
        let asked = kind("privacy/tokens");
        let refused = [("privacy/tokens".to_owned(), None)];
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = gate.answered(&asked, &refused, now, &mut rng).unwrap().as_secs_f64();
            let middle = f64::from(minutes * 60);
            assert!((middle * 0.8..=middle * 1.2).contains(&wait), "{wait} for {middle}");
        }
        assert_eq!(gate.answered(&asked, &[], now, &mut rng), None);
        let wait = gate.answered(&asked, &refused, now, &mut rng).unwrap().as_secs();
        assert!((48..=72).contains(&wait));
    }

    #[test]
    fn a_protocol_of_usync_is_refused_alone() {
        let query = Node::new("query").child(Node::new("devices")).child(Node::new("lid"));
        let question = Node::new("iq").attr("xmlns", "usync").child(Node::new("usync").child(query));
        let asked = kinds(&question).unwrap();
        assert_eq!(asked, ["usync", "usync/devices", "usync/lid"]);
        let error = Node::new("error").attr("code", "429").attr("backoff", "7");
        let result =
            Node::new("result").child(Node::new("devices").child(error.clone())).child(Node::new("lid"));
        let answer = Node::new("iq").attr("type", "result").child(Node::new("usync").child(result));
        let whole = Node::new("iq").attr("type", "error").child(error);
        let read = |answer: &Node| {
            let bytes = encode(answer).unwrap();
            let mut arena = Arena::new();
            refused(&asked, decode(&bytes, &mut arena).unwrap())
        };
        assert_eq!(read(&answer), [("usync/devices".to_owned(), Some(7))]);
        assert_eq!(read(&whole).len(), 2);
        let plain = Node::new("iq").attr("type", "error").child(Node::new("error").attr("code", "404"));
        assert!(read(&plain).is_empty());
        for free in ["w:p", "passive", "md"] {
            assert_eq!(kinds(&Node::new("iq").attr("xmlns", free)), None);
        }
    }
}
