//! Which QR code is shown when, and every change of the advSecret (protocol 02 §3, §3.1). Pure: times and chance
//! come in, steps go out, in the order in which they must be taken. The text of a code is made by the caller.

use std::time::Duration;

use rand_core::CryptoRng;
use tokio::time::Instant;

use crate::signal::adv::AdvSecret;

/// How long the first ref is shown, and each later one.
const FIRST: Duration = Duration::from_secs(60);
const LATER: Duration = Duration::from_secs(20);

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Store this advSecret before anything that follows.
    NewSecret(AdvSecret),
    /// Show the code of this ref, for so long.
    Show {
        /// The server's reference.
        reference: String,
        /// From now.
        valid_for: Duration,
    },
    /// All refs are used up.
    Exhausted,
}

/// The refs of one registration connection.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    refs: Vec<String>,
    /// The ref whose time it is, and when that ends; `None` before the first and after the last.
    turn: Option<(usize, Instant)>,
    /// From companion_finish or the passkey gate on, no code is shown, while the time of the refs runs on.
    hidden: bool,
    told_exhausted: bool,
}

impl Rotation {
    /// `<pair-device>` brought refs: they replace what there was.
    pub fn pair_device<R: CryptoRng + ?Sized>(
        &mut self,
        refs: Vec<String>,
        now: Instant,
        rng: &mut R,
    ) -> Vec<Step> {
        self.refs = refs;
        self.told_exhausted = false;
        self.turn = (!self.refs.is_empty()).then(|| (0, now + FIRST));
        if self.hidden {
            // Pair-success depends on the secret of the flow.
            return Vec::new();
        }
        let mut steps = vec![Step::NewSecret(AdvSecret::generate(rng))];
        steps.extend(self.show(now));
        steps
    }

    /// `companion_reg_refresh`: same ref, same remaining time, new secret; nothing while a flow depends on it.
    pub fn refresh<R: CryptoRng + ?Sized>(&mut self, now: Instant, rng: &mut R) -> Vec<Step> {
        if self.hidden {
            return Vec::new();
        }
        let mut steps = vec![Step::NewSecret(AdvSecret::generate(rng))];
        steps.extend(self.show(now));
        steps
    }

    /// A derived secret, or that of the passkey gate, takes over: nothing is shown from here on.
    pub fn hide(&mut self, secret: AdvSecret) -> Step {
        self.hidden = true;
        Step::NewSecret(secret)
    }

    /// A code flow ended without pair-success.
    pub fn flow_ended<R: CryptoRng + ?Sized>(&mut self, now: Instant, rng: &mut R) -> Vec<Step> {
        if !self.hidden {
            return Vec::new();
        }
        self.hidden = false;
        let mut steps = vec![Step::NewSecret(AdvSecret::generate(rng))];
        match self.turn {
            Some(_) => steps.extend(self.show(now)),
            None => steps.extend(self.exhausted()),
        }
        steps
    }

    /// When [`tick`](Self::tick) is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.turn.map(|(_, until)| until)
    }

    /// The time of a ref is over.
    pub fn tick(&mut self, now: Instant) -> Option<Step> {
        let (at, until) = self.turn.filter(|(_, until)| now >= *until)?;
        let next = at + 1;
        if next < self.refs.len() {
            self.turn = Some((next, until + LATER));
            return self.show(now);
        }
        self.turn = None;
        self.exhausted()
    }

    /// No ref is left.
    pub fn is_exhausted(&self) -> bool {
        self.turn.is_none()
    }

    fn exhausted(&mut self) -> Option<Step> {
        let tell = !self.hidden && !self.told_exhausted;
        self.told_exhausted |= tell;
        tell.then_some(Step::Exhausted)
    }

    fn show(&self, now: Instant) -> Option<Step> {
        let (at, until) = self.turn.filter(|_| !self.hidden)?;
        let reference = self.refs.get(at)?.clone();
        Some(Step::Show { reference, valid_for: until.saturating_duration_since(now) })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn refs(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("ref{n}")).collect()
    }

    /// Steps as short texts; secrets as `secret`.
    fn words(steps: impl IntoIterator<Item = Step>) -> Vec<String> {
        let word = |step| match step {
            Step::NewSecret(_) => "secret".to_owned(),
            Step::Show { reference, valid_for } => format!("{reference}/{}", valid_for.as_secs()),
            Step::Exhausted => "exhausted".to_owned(),
        };
        steps.into_iter().map(word).collect()
    }

    fn secret(steps: &[Step]) -> [u8; 32] {
        let found = steps.iter().find_map(|step| match step {
            Step::NewSecret(secret) => Some(*secret.as_bytes()),
            _ => None,
        });
        found.unwrap()
    }

    struct Bench {
        rotation: Rotation,
        start: Instant,
        rng: ChaCha20Rng,
    }

    impl Bench {
        fn new() -> Self {
            let rng = ChaCha20Rng::seed_from_u64(1);
            Self { rotation: Rotation::default(), start: Instant::now(), rng }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn pair_device(&mut self, count: usize, seconds: u64) -> Vec<Step> {
            let now = self.at(seconds);
            self.rotation.pair_device(refs(count), now, &mut self.rng)
        }

        /// Every step up to that second, with its time.
        fn run(&mut self, until: u64) -> Vec<(u64, String)> {
            let mut log = Vec::new();
            while let Some(due) = self.rotation.deadline().filter(|due| *due <= self.at(until)) {
                let steps = words(self.rotation.tick(due));
                log.extend(steps.into_iter().map(|step| ((due - self.start).as_secs(), step)));
            }
            log
        }
    }

    #[test]
    fn sixty_seconds_then_twenty_and_exhausted_after_the_sixth() {
        let mut bench = Bench::new();
        assert_eq!(words(bench.pair_device(6, 0)), ["secret", "ref1/60"]);
        let log = bench.run(1000);
        let expected = [
            (60, "ref2/20"),
            (80, "ref3/20"),
            (100, "ref4/20"),
            (120, "ref5/20"),
            (140, "ref6/20"),
            (160, "exhausted"),
        ];
        assert_eq!(log, expected.map(|(at, step)| (at, step.to_owned())));
        assert!(bench.rotation.is_exhausted());
    }

    #[test]
    fn each_pair_device_brings_a_new_secret_and_its_first_ref() {
        let mut bench = Bench::new();
        let first = secret(&bench.pair_device(6, 0));
        bench.run(70);
        let again = bench.pair_device(3, 75);
        assert_ne!(first, secret(&again));
        assert_eq!(words(again), ["secret", "ref1/60"]);
    }

    #[test]
    fn a_refresh_changes_the_secret_and_not_the_deadline() {
        let mut bench = Bench::new();
        let first = secret(&bench.pair_device(6, 0));
        let now = bench.at(45);
        let steps = bench.rotation.refresh(now, &mut bench.rng);
        assert_ne!(first, secret(&steps));
        assert_eq!(words(steps), ["secret", "ref1/15"]);
        assert_eq!(bench.rotation.deadline(), Some(bench.at(60)));
    }

    #[test]
    fn after_companion_finish_nothing_changes_the_secret_and_nothing_is_shown() {
        let mut bench = Bench::new();
        bench.pair_device(6, 0);
        let derived = AdvSecret::new([7; 32]);
        assert_eq!(words([bench.rotation.hide(derived)]), ["secret"]);
        assert_eq!(bench.run(70), []);
        let now = bench.at(71);
        assert_eq!(words(bench.rotation.refresh(now, &mut bench.rng)), [""; 0]);
        assert_eq!(words(bench.pair_device(6, 72)), [""; 0]);
        assert_eq!(bench.run(90), []);
        assert_eq!(bench.rotation.deadline(), Some(bench.at(132)));
    }

    #[test]
    fn a_flow_that_ends_after_companion_finish_brings_a_new_secret_and_the_current_ref() {
        let mut bench = Bench::new();
        bench.pair_device(6, 0);
        bench.rotation.hide(AdvSecret::new([7; 32]));
        bench.run(85);
        let now = bench.at(90);
        assert_eq!(words(bench.rotation.flow_ended(now, &mut bench.rng)), ["secret", "ref3/10"]);
        bench.rotation.hide(AdvSecret::new([8; 32]));
        assert_eq!(bench.run(400), []);
        let now = bench.at(400);
        assert_eq!(words(bench.rotation.flow_ended(now, &mut bench.rng)), ["secret", "exhausted"]);
    }

    #[test]
    fn a_flow_that_ends_before_companion_finish_changes_nothing() {
        let mut bench = Bench::new();
        bench.pair_device(6, 0);
        let now = bench.at(10);
        assert_eq!(words(bench.rotation.flow_ended(now, &mut bench.rng)), [""; 0]);
    }
}
