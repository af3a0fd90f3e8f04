//! How long to wait before the next dial (protocol 01 §19). Pure: no clock, chance comes in.

use std::time::Duration;

use rand::RngExt as _;
use rand_core::CryptoRng;

/// The longest delay, before jitter.
const CAP: Duration = Duration::from_secs(900);
/// Extra steps of a rate limit.
pub const RATE_LIMIT_STEPS: u32 = 5;
/// A connection that stayed authenticated this long resets the count.
pub const STABLE_AFTER: Duration = Duration::from_secs(30);

/// The count of failures, and the penalty of a rate limit. One for failed opens, failed handshakes and lost
/// connections alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    penalty: Penalty,
}

/// A rate limit's extra steps outlive the reset that their own connection has earned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Penalty {
    #[default]
    None,
    /// Given on the connection that is just ending.
    Fresh,
    /// Given on an earlier one.
    Standing,
}

impl Backoff {
    /// Failures since the last stable connection.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The service said "too much": five more steps until a later connection is stable.
    pub fn penalise(&mut self) {
        self.penalty = Penalty::Fresh;
    }

    /// A connection ended that had been authenticated for at least [`STABLE_AFTER`].
    pub fn was_stable(&mut self) {
        self.failures = 0;
        if self.penalty == Penalty::Standing {
            self.penalty = Penalty::None;
        }
    }

    /// Counts one failure and gives the delay that follows it: never below `minimum` (what the service named),
    /// never above 900 s by itself, lengthened by up to a tenth.
    pub fn fail<R: CryptoRng + ?Sized>(&mut self, extra: u32, minimum: Duration, rng: &mut R) -> Duration {
        let penalty = if self.penalty == Penalty::None { 0 } else { RATE_LIMIT_STEPS };
        if self.penalty == Penalty::Fresh {
            self.penalty = Penalty::Standing;
        }
        let base = fibonacci(self.failures.saturating_add(penalty).saturating_add(extra));
        self.failures = self.failures.saturating_add(1);
        let jitter = base.mul_f64(rng.random_range(0.0..=0.1));
        (base + jitter).max(minimum)
    }
}

/// 1, 1, 2, 3, 5, 8 … seconds, at most [`CAP`].
fn fibonacci(step: u32) -> Duration {
    let (mut this, mut next) = (1_u64, 1_u64);
    for _ in 0..step.min(32) {
        (this, next) = (next, this + next);
    }
    Duration::from_secs(this).min(CAP)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn delays(backoff: &mut Backoff, count: usize, rng: &mut ChaCha20Rng) -> Vec<Duration> {
        (0..count).map(|_| backoff.fail(0, Duration::ZERO, rng)).collect()
    }

    fn within(delay: Duration, seconds: u64) -> bool {
        let base = Duration::from_secs(seconds);
        delay >= base && delay <= base.mul_f64(1.1)
    }

    #[test]
    fn backoff_follows_the_sequence_with_jitter_bounds_and_a_cap() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let expected = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 900, 900, 900];
        let got = delays(&mut Backoff::default(), expected.len(), &mut rng);
        for (delay, seconds) in got.iter().zip(expected) {
            assert!(within(*delay, seconds), "{delay:?} is not {seconds} s and up to a tenth");
        }
        let mut many = Backoff::default();
        assert!(delays(&mut many, 5000, &mut rng).iter().all(|delay| *delay <= CAP.mul_f64(1.1)));
    }

    #[test]
    fn a_stable_connection_resets_the_count() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut backoff = Backoff::default();
        delays(&mut backoff, 6, &mut rng);
        backoff.was_stable();
        assert!(within(backoff.fail(0, Duration::ZERO, &mut rng), 1));
    }

    #[test]
    fn a_rate_limit_survives_the_reset_of_its_own_connection_and_not_the_next() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut backoff = Backoff::default();
        backoff.penalise();
        backoff.was_stable();
        assert!(within(backoff.fail(0, Duration::ZERO, &mut rng), 8));
        assert!(within(backoff.fail(0, Duration::ZERO, &mut rng), 13));
        backoff.was_stable();
        assert!(within(backoff.fail(0, Duration::ZERO, &mut rng), 1));
    }

    #[test]
    fn what_the_service_names_is_a_minimum() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let named = Duration::from_secs(120);
        assert_eq!(Backoff::default().fail(0, named, &mut rng), named);
        assert!(within(Backoff::default().fail(RATE_LIMIT_STEPS, Duration::ZERO, &mut rng), 8));
    }
}
