//! How fast an account writes (protocol 05d §10): a pause between two messages, and so many in a minute. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use rand_core::Rng;
use tokio::time::Instant;

/// The limits. They are below the service's; loosening them is for servers of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// The least time between two messages.
    pub gap: Duration,
    /// A random time up to this is added.
    pub jitter: Duration,
    /// Messages in any sixty seconds.
    pub per_minute: usize,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { gap: Duration::from_secs(2), jitter: Duration::from_secs(1), per_minute: 30 }
    }
}

/// What was sent lately.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    sent: VecDeque<Instant>,
    next: Option<Instant>,
}

impl Pace {
    /// When the next message may go.
    pub(crate) fn due(&self, pacing: &Pacing, now: Instant) -> Instant {
        let minute = self.sent.len().checked_sub(pacing.per_minute).and_then(|at| self.sent.get(at));
        let minute = minute.map_or(now, |sent| *sent + Duration::from_secs(60));
        self.next.map_or(now, |next| next.max(now)).max(minute)
    }

    /// A message goes.
    pub(crate) fn sends(&mut self, pacing: &Pacing, now: Instant, rng: &mut impl Rng) {
        let jitter = u64::try_from(pacing.jitter.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        self.next = Some(now + pacing.gap + Duration::from_millis(rng.next_u64() % jitter.max(1)));
        self.sent.push_back(now);
        while self.sent.len() > pacing.per_minute.max(1) {
            self.sent.pop_front();
        }
    }
}

/// Resends that retry receipts ask for: twenty at once, ten a minute, for each chat (05b §10).
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    tokens: f64,
    at: Instant,
}

const BURST: f64 = 20.0;
const PER_SECOND: f64 = 10.0 / 60.0;

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: BURST, at: now }
    }

    /// Takes a token now, or says how long to wait for it; a waiting one is taken in advance, so that order is kept.
    pub(crate) fn take(&mut self, now: Instant) -> Duration {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND;
        self.tokens = (self.tokens + gained).min(BURST) - 1.0;
        self.at = now;
        Duration::from_secs_f64((-self.tokens).max(0.0) / PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn two_messages_are_at_least_the_gap_apart_and_thirty_a_minute_go() {
        let (pacing, mut pace) = (Pacing::default(), Pace::default());
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
        let start = Instant::now();
        let (mut now, mut times) = (start, Vec::new());
        for _ in 0..100 {
            now = pace.due(&pacing, now);
            times.push(now);
            pace.sends(&pacing, now, &mut rng);
        }
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= pacing.gap));
        assert!(times.windows(31).all(|part| part[30] - part[0] >= Duration::from_secs(60)));
    }

    #[test]
    fn a_hundred_resends_at_once_are_twenty_and_the_rest_waits() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now);
        let waits: Vec<Duration> = (0..100).map(|_| bucket.take(now)).collect();
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 20);
        assert!(waits[20] > Duration::from_secs(5) && waits[99] > waits[20]);
    }
}
