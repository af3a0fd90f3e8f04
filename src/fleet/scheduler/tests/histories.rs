//! Random histories: whatever people ask and the network does, no line of sections 2 to 4 of the operations guide is broken.
//! A counterexample is shrunk to its shortest form and printed.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::world::{World, id, known, number, seconds};
use crate::fleet::scheduler::*;
use crate::fleet::{At, Limits};

/// Accounts of a history, three on each of two egresses and one more on the first.
const ACCOUNTS: usize = 7;
/// Fewer numbers than accounts, so that some meet.
const NUMBERS: usize = 5;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Command(usize, Command),
    StartAll,
    See(usize, Seen),
}

fn egress(n: usize) -> &'static str {
    if n.is_multiple_of(2) { "direct" } else { "proxy" }
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        2 => Just(Seen::Step(LinkStep::Qr)),
        2 => Just(Seen::RoundOver),
        3 => (0..NUMBERS).prop_map(|n| Seen::Paired(number(n))),
        4 => Just(Seen::LoggedIn),
        5 => Just(Seen::Ready),
        1 => Just(Seen::Restricted(None)),
        1 => Just(Seen::Free),
        3 => Just(Seen::Closed(Closed::Lost)),
        1 => Just(Seen::Closed(Closed::RateLimited)),
        2 => Just(Seen::Closed(Closed::LoggedOut(LogoutCause::Unlinked))),
        1 => Just(Seen::Closed(Closed::Replaced)),
        1 => Just(Seen::Closed(Closed::Code(499))),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => Just(Command::Start),
        2 => Just(Command::Stop),
        3 => any::<bool>().prop_map(|force| Command::Link { force }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![0..5_000_u64, 5_000..60_000_u64, 60_000..900_000_u64].prop_map(Step::Wait),
        3 => (0..ACCOUNTS, command()).prop_map(|(n, command)| Step::Command(n, command)),
        1 => Just(Step::StartAll),
        10 => (0..ACCOUNTS, seen()).prop_map(|(n, seen)| Step::See(n, seen)),
    ]
}

/// What is remembered beside the scheduler to judge it.
#[derive(Default)]
struct Judge {
    dials_seen: usize,
    last_dial: BTreeMap<&'static str, At>,
    last_first_round: Option<At>,
    rounds: BTreeMap<usize, u32>,
    /// Unlinked, and nobody asked for a link since.
    logged_out: BTreeMap<usize, At>,
    cooldown: BTreeMap<usize, At>,
    links: BTreeMap<usize, Vec<At>>,
    notices_seen: usize,
}

impl Judge {
    fn check(&mut self, world: &World) {
        for notice in &world.notices[self.notices_seen..] {
            if let Notice::LoggedOut { account, cooldown_until, .. } = notice {
                let n = (0..ACCOUNTS).find(|n| id(*n) == *account).unwrap();
                self.logged_out.insert(n, world.now);
                self.cooldown.insert(n, *cooldown_until);
            }
        }
        self.notices_seen = world.notices.len();
        for dial in &world.dials[self.dials_seen..] {
            self.dial(world, dial);
        }
        self.dials_seen = world.dials.len();
        for lane in ["direct", "proxy"] {
            let of_lane = || (0..ACCOUNTS).filter(|n| egress(*n) == lane);
            let connected = of_lane().filter(|n| world.open.contains_key(&id(*n))).count();
            assert!(connected <= 2, "SR-014: {connected} connected on {lane}");
            let connecting =
                of_lane().filter(|n| matches!(world.state(*n), "connecting" | "linking" | "syncing"));
            assert!(connecting.count() <= 2, "SR-013");
        }
        let linking = (0..ACCOUNTS).filter(|n| {
            matches!(
                world.scheduler.state(&id(*n)),
                Some(State::Linking { .. } | State::Connecting { purpose: Purpose::Link })
            )
        });
        assert!(linking.count() <= 1, "SR-033");
        for n in 0..ACCOUNTS {
            let same =
                |other: usize| match (world.scheduler.number(&id(n)), world.scheduler.number(&id(other))) {
                    (Some(a), Some(b)) => a.same(b),
                    _ => false,
                };
            assert!((0..n).all(|other| !same(other)), "SR-037");
        }
    }

    fn dial(&mut self, world: &World, dial: &super::world::Dial) {
        let n = (0..ACCOUNTS).find(|n| id(*n) == dial.account).unwrap();
        if let Some(last) = self.last_dial.insert(egress(n), dial.at) {
            assert!(dial.at.since(last) >= seconds(3), "SR-012, SR-018: {:?}", dial.at.since(last));
        }
        assert!(!self.logged_out.contains_key(&n), "SR-050: a dial after a log-out that nobody asked for");
        if dial.purpose == Purpose::Link {
            self.link_dial(n, dial.at);
        }
        let hour = |other: &&super::world::Dial| {
            other.account == dial.account && dial.at.since(other.at) < seconds(3_600) && other.at <= dial.at
        };
        assert!(world.dials.iter().filter(hour).count() <= 30, "SR-056");
    }

    fn link_dial(&mut self, n: usize, at: At) {
        let round = self.rounds.entry(n).or_default();
        *round += 1;
        assert!(*round <= 5, "SR-032: round {round}");
        if *round == 1
            && let Some(last) = self.last_first_round.replace(at)
        {
            assert!(at.since(last) >= seconds(30), "SR-034: {:?}", at.since(last));
        }
        assert!(self.cooldown.get(&n).is_none_or(|until| *until <= at), "SR-052");
    }

    fn commanded(&mut self, n: usize, command: Command, answer: &Answer, now: At) {
        let accepted = matches!(answer.outcome, Outcome::Queued(_) | Outcome::Done);
        if accepted && matches!(command, Command::Link { .. }) {
            self.logged_out.remove(&n);
            self.rounds.insert(n, 0);
            let links = self.links.entry(n).or_default();
            links.push(now);
            let recent = links.iter().filter(|at| now.since(**at) < seconds(3_600)).count();
            assert!(recent <= 3, "SR-044: {recent} links in an hour");
        }
    }
}

fn run(steps: &[Step], seed: u64) {
    let mut world = World::with(Limits { connected: 2, connecting: 2, ..Limits::default() }, seed, false);
    for n in 0..ACCOUNTS {
        let linked = (n < 3).then(|| number(n));
        world.scheduler.add(id(n), known(egress(n), linked), world.now);
    }
    world.act();
    let mut judge = Judge::default();
    judge.check(&world);
    for step in steps {
        match step {
            Step::Wait(millis) => {
                // In pieces, so that the judge sees every moment at which something is done.
                world.wait_judged(Duration::from_millis(*millis), |world| judge.check(world));
            }
            Step::Command(n, command) => {
                let answer = world.command(*n, *command);
                judge.commanded(*n, *command, &answer, world.now);
            }
            Step::StartAll => {
                world.scheduler.start_all(world.now);
                world.act();
            }
            Step::See(n, seen) => {
                let others = |world: &World| -> Vec<_> {
                    let still = |m: &usize| *m != *n && world.scheduler.place(&id(*m), world.now).is_none();
                    (0..ACCOUNTS).filter(still).map(|m| (m, world.scheduler.state(&id(m)).cloned())).collect()
                };
                let before = others(&world);
                world.see(*n, seen.clone());
                for (m, state) in before {
                    assert_eq!(
                        state,
                        world.scheduler.state(&id(m)).cloned(),
                        "SR-058: {seen:?} of another account"
                    );
                }
            }
        }
        judge.check(&world);
    }
    everybody_stops(&mut world);
}

/// However it went: when all are stopped, nothing is open and nothing dials any more.
fn everybody_stops(world: &mut World) {
    for n in 0..ACCOUNTS {
        world.command(n, Command::Stop);
    }
    world.close_ordered();
    let dials = world.dials.len();
    world.wait(seconds(7_200));
    assert!(world.open.is_empty(), "{:?}", world.open);
    assert_eq!(world.dials.len(), dials, "a stopped account dials");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn sr_lines_of_sections_2_to_4_hold_in_10_000_random_histories(steps in proptest::collection::vec(step(), 1..60), seed in 0..64_u64) {
        run(&steps, seed);
    }
}
