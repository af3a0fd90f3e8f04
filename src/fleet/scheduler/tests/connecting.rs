//! Section 2 of the operations guide: staggered start and the queue.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::world::{World, id, known, number, seconds};
use crate::fleet::scheduler::queue::between;
use crate::fleet::scheduler::*;
use crate::fleet::{At, Limits};

fn gaps(world: &World) -> Vec<Duration> {
    world.dials.windows(2).map(|pair| pair[1].at.since(pair[0].at)).collect()
}

#[test]
fn sr_010_every_dial_follows_a_random_delay() {
    let mut firsts = Vec::new();
    for seed in 0..50 {
        let mut world = World::with(Limits::default(), seed, false);
        let start = world.now;
        world.scheduler.add(id(0), known("direct", Some(number(0))), start);
        world.wait(seconds(4));
        firsts.push(world.dials[0].at.since(start));
    }
    assert!(firsts.iter().all(|delay| *delay >= seconds(1) && *delay <= seconds(3)), "{firsts:?}");
    firsts.sort();
    firsts.dedup();
    assert!(firsts.len() > 40, "the delay is drawn anew: {firsts:?}");
}

#[test]
fn sr_011_the_delay_is_uniform_and_can_be_replayed() {
    let draw = |seed| {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        (0..10_000).map(|_| between(&mut rng, &Limits::default().connect_delay)).collect::<Vec<_>>()
    };
    let draws = draw(1);
    assert_eq!(draws, draw(1));
    assert!(draws.iter().all(|delay| *delay >= seconds(1) && *delay <= seconds(3)));
    let mean = draws.iter().sum::<Duration>() / 10_000;
    assert!(mean >= Duration::from_millis(1_900) && mean <= Duration::from_millis(2_100), "{mean:?}");
}

#[test]
fn sr_012_the_queue_pauses_between_two_accounts() {
    let mut world = World::linked(5);
    world.let_all_succeed(5, seconds(60));
    assert_eq!(world.dials.len(), 5);
    assert!(gaps(&world).iter().all(|gap| *gap >= seconds(3) && *gap <= seconds(6)), "{:?}", gaps(&world));
}

#[test]
fn sr_013_at_most_three_are_connecting() {
    let mut world = World::linked(5);
    world.wait(seconds(600));
    assert_eq!(world.dials.len(), 3, "nobody became ready, so nobody else dials");
    world.succeed(0);
    world.wait(seconds(10));
    assert_eq!(world.dials.len(), 4);
}

#[test]
fn sr_014_the_sixth_is_queued_and_told_so() {
    let mut world = World::linked(6);
    world.let_all_succeed(6, seconds(120));
    assert_eq!((world.dials.len(), world.state(5)), (5, "queued"));
    assert_eq!(world.scheduler.place(&id(5), world.now), Some(Place { position: 1, expected: None }));
    world.command(0, Command::Stop);
    world.let_all_succeed(6, seconds(10));
    assert_eq!(world.state(5), "ready");
}

#[test]
fn sr_016_with_one_account_only_a_second_start_is_refused() {
    let limits = Limits { multi: false, ..Limits::default() };
    let mut world = World::with(limits, 1, false);
    for k in 0..2 {
        world.scheduler.add(id(k), known("direct", Some(number(k))), world.now);
    }
    world.let_all_succeed(2, seconds(60));
    assert_eq!((world.state(0), world.state(1)), ("ready", "stopped"));
    let answer = world.command(1, Command::Start);
    assert_eq!(answer.outcome, Outcome::Refused(Refusal::SingleAccount));
    world.command(0, Command::Stop);
    world.close_ordered();
    assert!(matches!(world.command(1, Command::Start).outcome, Outcome::Queued(_)));
}

#[test]
fn sr_017_who_fails_goes_to_the_back_and_blocks_nobody() {
    let mut world = World::linked(4);
    world.wait_dial(0);
    world.see(0, Seen::Closed(Closed::Lost));
    assert_eq!(world.state(0), "backoff");
    world.let_all_succeed(4, seconds(60));
    let order: Vec<_> = world.dials.iter().map(|dial| dial.account.clone()).collect();
    assert_eq!(order, [0, 1, 2, 3, 0].map(id), "first in, first out; the failed one again at the end");
}

#[test]
fn sr_018_dials_of_a_start_are_three_seconds_apart() {
    let mut world = World::with(Limits { connected: 40, connecting: 40, ..Limits::default() }, 3, false);
    let start = world.now;
    for k in 0..30 {
        world.scheduler.add(id(k), known("direct", Some(number(k))), start);
    }
    world.wait(seconds(300));
    assert_eq!(world.dials.len(), 30);
    for (k, dial) in world.dials.iter().enumerate() {
        assert!(
            dial.at.since(start) >= seconds(3) * k as u32 + seconds(1),
            "dial {k} at {:?}",
            dial.at.since(start)
        );
    }
    assert!(gaps(&world).iter().all(|gap| *gap >= seconds(1)));
}

#[test]
fn sr_019_place_and_expected_start_are_told_and_come_true() {
    let mut world = World::linked(3);
    let places: Vec<_> = (0..3).map(|n| world.scheduler.place(&id(n), world.now).unwrap()).collect();
    assert_eq!(places.iter().map(|place| place.position).collect::<Vec<_>>(), [1, 1, 2]);
    let expected: Vec<At> = places.iter().map(|place| place.expected.unwrap()).collect();
    world.let_all_succeed(3, seconds(30));
    for (dial, expected) in world.dials.iter().zip(&expected) {
        let off = dial.at.since(*expected).max(expected.since(dial.at));
        assert!(off <= seconds(4), "{} dialled {off:?} off what was expected", dial.account);
    }
    assert_eq!(world.scheduler.place(&id(0), world.now), None);
}

#[test]
fn sr_020_more_than_five_on_one_egress_raises_a_warning_that_names_it() {
    let crowded = |n| World::linked(n).notices;
    assert_eq!(crowded(5), []);
    let egress = Egress("direct".into());
    assert_eq!(crowded(6), [Notice::CrowdedEgress { egress, accounts: 6 }]);
}

#[test]
fn sr_021_limits_are_per_egress() {
    let mut world = World::with(Limits::default(), 2, false);
    for k in 0..20 {
        world.scheduler.add(id(k), known(&format!("proxy-{}", k / 5), Some(number(k))), world.now);
    }
    world.let_all_succeed(20, seconds(40));
    assert!((0..20).all(|n| world.state(n) == "ready"));
    for lane in 0..4 {
        let of_lane: Vec<_> =
            world.dials.iter().filter(|dial| (0..5).any(|k| dial.account == id(lane * 5 + k))).collect();
        assert!(of_lane.windows(2).all(|pair| pair[1].at.since(pair[0].at) >= seconds(3)));
    }
}

#[test]
fn sr_022_starting_all_goes_through_the_queue() {
    let mut world = World::with(Limits::default(), 2, false);
    for k in 0..5 {
        let known = Known { desired: Desired::Stopped, ..known("direct", Some(number(k))) };
        world.scheduler.add(id(k), known, world.now);
    }
    world.wait(seconds(60));
    assert_eq!(world.dials, []);
    let answers = world.scheduler.start_all(world.now);
    assert!(answers.iter().all(|(_, answer)| matches!(answer.outcome, Outcome::Queued(_))), "{answers:?}");
    world.let_all_succeed(5, seconds(60));
    assert!(gaps(&world).iter().all(|gap| *gap >= seconds(3)));
    assert!((0..5).all(|n| world.state(n) == "ready"));
}
