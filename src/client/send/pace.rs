//! How fast an account writes (protocol 05d §10): a pause between two messages, so many in a minute, and the
//! server's own word. Time is an argument; what is kept across restarts is [`Kept`].

use std::collections::VecDeque;
use std::time::Duration;

use rand_core::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::store::{StoreError, Tx, UnixMillis};

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

/// What was sent lately, and what the server said to it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    sent: VecDeque<Instant>,
    next: Option<Instant>,
    /// The server wants nothing before.
    paused: Option<Instant>,
    /// The last pause that the server gave no number for, or gave.
    last_pause: Duration,
}

/// The longest pause that a server's number can mean.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// So many times are kept across a restart: more than a minute may hold at the allowed pace. Somebody who loosens it on a
/// server of his own does not pay for thousands with every message.
const MOST_KEPT: usize = 64;

/// A sliding window.
const MINUTE: Duration = Duration::from_secs(60);

/// A [`Pace`] as the store keeps it, so that a restart does not begin anew. Wall times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    sent: Vec<UnixMillis>,
    next: Option<UnixMillis>,
    paused: Option<UnixMillis>,
    last_pause_s: u64,
}

const SETTING: &str = "send.pace";

impl Kept {
    /// What the store has; a damaged one counts as none.
    pub(crate) fn load(tx: &Tx<'_>) -> Result<Self, StoreError> {
        let kept = tx.setting(SETTING)?;
        Ok(kept.and_then(|kept| serde_json::from_slice(kept.expose()).ok()).unwrap_or_default())
    }

    /// The server wants no message before.
    pub(crate) fn paused(&self) -> Option<UnixMillis> {
        self.paused
    }

    /// Writes it, in the transaction of what leaves.
    pub(crate) fn save(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        // Plain data: writing it can't fail.
        tx.set_setting(SETTING, Some(&serde_json::to_vec(self).unwrap_or_default()))
    }
}

impl Pace {
    /// Goes on where another process stopped. A wall clock that was set in between can make waiting longer by at most
    /// the time that is waited for anyway.
    pub(crate) fn resumed(kept: &Kept, pacing: &Pacing, now: Instant, wall: UnixMillis) -> Self {
        let span = |ms: i64, most: Duration| Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(most);
        let ahead = |at: UnixMillis, most| now + span(at.saturating_sub(wall), most);
        let sent = kept.sent.iter().filter(|at| wall.saturating_sub(**at) < 60_000);
        let ago = |at: &UnixMillis| now.checked_sub(span(wall.saturating_sub(*at), MINUTE)).unwrap_or(now);
        Self {
            sent: sent.map(ago).collect(),
            next: kept.next.map(|at| ahead(at, pacing.gap + pacing.jitter)),
            paused: kept.paused.map(|at| ahead(at, LONGEST_PAUSE)),
            last_pause: Duration::from_secs(kept.last_pause_s),
        }
    }

    /// For the store.
    pub(crate) fn kept(&self, now: Instant, wall: UnixMillis) -> Kept {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let wall_of = |at: &Instant| {
            let (ahead, ago) = (at.saturating_duration_since(now), now.saturating_duration_since(*at));
            wall.saturating_add(millis(ahead)).saturating_sub(millis(ago))
        };
        let lately = |at: &&Instant| now.saturating_duration_since(**at) < MINUTE;
        let older = self.sent.len().saturating_sub(MOST_KEPT);
        Kept {
            sent: self.sent.iter().skip(older).filter(lately).map(wall_of).collect(),
            next: self.next.as_ref().map(wall_of),
            paused: self.paused.as_ref().filter(|until| **until > now).map(wall_of),
            last_pause_s: self.last_pause.as_secs(),
        }
    }

    /// When the next message may go.
    pub(crate) fn due(&self, pacing: &Pacing, now: Instant) -> Instant {
        let minute = self.sent.len().checked_sub(pacing.per_minute).and_then(|at| self.sent.get(at));
        let minute = minute.map_or(now, |sent| *sent + MINUTE);
        [self.next, self.paused].into_iter().flatten().fold(now, Instant::max).max(minute)
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

    /// The server took no message (429): nothing before `backoff` seconds are over; without a number 60 s, doubling to
    /// an hour.
    pub(crate) fn pause(&mut self, backoff: Option<u64>, now: Instant) {
        let doubled = (self.last_pause * 2).clamp(MINUTE, Duration::from_secs(3600));
        self.last_pause = backoff.map_or(doubled, |s| Duration::from_secs(s).min(LONGEST_PAUSE));
        self.paused = Some(now + self.last_pause);
    }

    /// The server takes messages again: the next pause begins small. Whether that is news.
    pub(crate) fn is_taken(&mut self) -> bool {
        !std::mem::take(&mut self.last_pause).is_zero()
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

/// So many may wait in one chat; the last one of them then waits less than half an hour.
const MOST_WAITING: f64 = 256.0;

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: BURST, at: now }
    }

    /// Takes a token now, or says how long to wait for it; a waiting one is taken in advance, so that order is kept.
    /// `None`: too many wait already.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Duration> {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND;
        self.tokens = (self.tokens + gained).min(BURST);
        self.at = now;
        if self.tokens - 1.0 < -MOST_WAITING {
            return None;
        }
        self.tokens -= 1.0;
        Some(Duration::from_secs_f64((-self.tokens).max(0.0) / PER_SECOND))
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
        let waits: Vec<Duration> = (0..100).map(|_| bucket.take(now).unwrap()).collect();
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 20);
        assert!(waits[20] > Duration::from_secs(5) && waits[99] > waits[20]);
        let more = (0..1000).filter_map(|_| bucket.take(now)).count();
        assert_eq!(more, 256 - 80, "no more than that wait");
    }

    #[test]
    fn what_was_sent_before_a_restart_counts_after_it() {
        let pacing = Pacing { per_minute: 3, ..Pacing::default() };
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
        let mut pace = Pace::default();
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        for s in [0, 10, 20] {
            pace.sends(&pacing, at(s), &mut rng);
        }
        let kept = pace.kept(at(21), 1_000_021_000);
        let bytes = serde_json::to_vec(&kept).unwrap();
        let kept: Kept = serde_json::from_slice(&bytes).unwrap();
        // Ten seconds later, in another process with another monotonic clock.
        let (now, wall) = (at(500), 1_000_031_000);
        let resumed = Pace::resumed(&kept, &pacing, now, wall);
        assert_eq!(resumed.due(&pacing, now), now + Duration::from_secs(29));
        // A clock that was set back makes nobody wait longer than a minute.
        let resumed = Pace::resumed(&kept, &pacing, now, wall - 86_400_000);
        assert!(resumed.due(&pacing, now) <= now + Duration::from_secs(60));
    }

    #[test]
    fn what_is_kept_stays_small_at_any_pace() {
        let pacing = Pacing { gap: Duration::ZERO, jitter: Duration::ZERO, per_minute: 100_000 };
        let (now, mut pace) = (Instant::now(), Pace::default());
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
        (0..10_000).for_each(|_| pace.sends(&pacing, now, &mut rng));
        assert_eq!(pace.kept(now, 0).sent.len(), MOST_KEPT);
    }

    #[test]
    fn a_pause_without_a_number_doubles_until_a_message_is_taken_and_outlives_a_restart() {
        let (pacing, now) = (Pacing::default(), Instant::now());
        let mut pace = Pace::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            pace.pause(None, now);
            waits.push((pace.due(&pacing, now) - now).as_secs());
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        let resumed = Pace::resumed(&pace.kept(now, 5_000), &pacing, now, 5_000);
        assert_eq!(resumed.due(&pacing, now), now + Duration::from_secs(3600));
        assert!(pace.is_taken() && !pace.is_taken());
        pace.pause(None, now);
        assert_eq!(pace.due(&pacing, now), now + Duration::from_secs(60));
        pace.pause(Some(1_000_000), now);
        assert_eq!(pace.due(&pacing, now), now + LONGEST_PAUSE);
    }
}
