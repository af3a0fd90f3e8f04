//! Section 3 of the operations guide: linking.

use super::world::{World, id, known, number, seconds};
use crate::fleet::Limits;
use crate::fleet::scheduler::*;

const LINK: Command = Command::Link { force: false };

#[test]
fn sr_032_rounds_of_codes_are_bounded_and_leave_no_socket() {
    let mut world = World::unlinked(1);
    world.command(0, LINK);
    for round in 1..=5 {
        world.wait_dial(0);
        world.see(0, Seen::Step(LinkStep::Qr));
        assert_eq!(world.scheduler.state(&id(0)), Some(&State::Linking { step: LinkStep::Qr, round }));
        world.see(0, Seen::RoundOver);
        world.close_ordered();
    }
    assert_eq!(world.state(0), "link_expired");
    world.wait(seconds(3_600));
    assert_eq!(world.dials.len(), 5, "a new connection for each round, and none after the last");
    assert!(world.open.is_empty());
    assert!(matches!(world.command(0, LINK).outcome, Outcome::Queued(_)), "on request it begins anew");
}

#[test]
fn sr_033_links_go_one_after_another() {
    let mut world = World::unlinked(2);
    world.command(0, LINK);
    world.command(1, LINK);
    world.wait(seconds(300));
    assert_eq!(world.dials.len(), 1, "the second waits for the first, whatever time it takes");
    world.see(0, Seen::Step(LinkStep::Qr));
    world.see(0, Seen::RoundOver);
    world.wait(seconds(30));
    assert!(world.open.contains_key(&id(0)), "between its rounds it keeps its turn");
    world.see(0, Seen::Paired(number(0)));
    world.succeed(0);
    world.wait_dial(1);
}

#[test]
fn sr_034_links_start_half_a_minute_apart() {
    let mut world = World::unlinked(4);
    for n in 0..4 {
        world.command(n, LINK);
    }
    for n in 0..4 {
        world.wait_dial(n);
        world.see(n, Seen::Paired(number(n)));
        world.succeed(n);
    }
    let gaps: Vec<_> = world.dials.windows(2).map(|pair| pair[1].at.since(pair[0].at)).collect();
    assert!(gaps.iter().all(|gap| *gap >= seconds(30)), "{gaps:?}");
}

#[test]
fn sr_035_after_a_logout_links_are_a_minute_or_two_apart() {
    let mut world = World::unlinked(3);
    for n in 0..2 {
        world.link(n, number(n));
    }
    world.see(0, Seen::Closed(Closed::LoggedOut(LogoutCause::Unlinked)));
    world.wait(seconds(60));
    world.link(2, number(2));
    let ended = world.now;
    world.command(1, Command::Stop);
    world.close_ordered();
    world.command(1, Command::Link { force: true });
    world.wait_dial(1);
    assert!(world.now.since(ended) >= seconds(60), "{:?}", world.now.since(ended));
}

#[test]
fn sr_036_after_a_clean_wipe_the_first_link_waits_a_minute() {
    let mut world = World::with(Limits::default(), 1, true);
    world.scheduler.add(id(0), known("direct", None), world.now);
    let start = world.now;
    world.command(0, LINK);
    world.wait_dial(0);
    assert!(world.now.since(start) >= seconds(60));
}

#[test]
fn sr_037_a_number_that_another_account_holds_is_refused_by_either_address() {
    let held = number(0);
    let lid_only = Number { pn: None, ..number(0) };
    let pn_only = Number { lid: None, ..number(0) };
    for fresh in [held.clone(), lid_only, pn_only] {
        let mut world = World::unlinked(2);
        world.link(0, held.clone());
        world.command(1, LINK);
        world.wait_dial(1);
        world.see(1, Seen::Paired(fresh));
        assert_eq!(world.refused, [id(1)]);
        world.close_ordered();
        assert_eq!((world.state(0), world.state(1)), ("ready", "failed"));
        assert_eq!(world.scheduler.number(&id(1)), None);
        world.wait(seconds(3_600));
        assert_eq!(world.dials.len(), 2, "and it does not try again");
    }
}

#[test]
fn sr_038_the_operator_is_told_who_holds_the_number() {
    let mut world = World::unlinked(2);
    world.link(0, number(0));
    world.command(1, LINK);
    world.wait_dial(1);
    world.see(1, Seen::Paired(number(0)));
    assert!(world.notices.contains(&Notice::SameNumber { account: id(1), holder: id(0) }));
    let state = world.scheduler.state(&id(1)).unwrap();
    assert_eq!(*state, State::Failed(Failure::SameNumber { holder: id(0) }));
    assert_eq!(state.to_string(), "failed", "the word that a tenant reads names nobody");
}

#[test]
fn sr_039_a_forced_link_is_ignored_while_ready_and_says_why() {
    let mut world = World::unlinked(1);
    world.link(0, number(0));
    let answer = world.command(0, Command::Link { force: true });
    assert!(matches!(answer.outcome, Outcome::Ignored(why) if why.contains("ready")), "{answer:?}");
    world.wait(seconds(600));
    assert_eq!((world.dials.len(), world.state(0)), (1, "ready"));
}

#[test]
fn sr_040_a_start_while_one_is_under_way_begins_no_second() {
    let mut world = World::linked(1);
    world.wait_dial(0);
    assert_eq!(world.command(0, Command::Start).outcome, Outcome::UnderWay);
    world.see(0, Seen::LoggedIn);
    assert_eq!(world.command(0, Command::Start).outcome, Outcome::UnderWay);
    world.see(0, Seen::Ready);
    assert_eq!(world.command(0, Command::Start).outcome, Outcome::Done);
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn sr_041_a_hundred_starts_make_one_dial_and_equal_answers() {
    let mut world = World::with(Limits::default(), 1, false);
    world.scheduler.add(
        id(0),
        Known { desired: Desired::Stopped, ..known("direct", Some(number(0))) },
        world.now,
    );
    let first = world.command(0, Command::Start);
    let states: Vec<_> = (1..100).map(|_| world.command(0, Command::Start).state).collect();
    assert!(states.iter().all(|state| *state == first.state), "{states:?}");
    world.let_all_succeed(1, seconds(60));
    assert_eq!(world.dials.len(), 1);
}

#[test]
fn sr_044_more_than_three_links_in_an_hour_are_refused_with_the_time_to_wait() {
    let mut world = World::unlinked(1);
    let start = world.now;
    for _ in 0..3 {
        assert!(matches!(world.command(0, LINK).outcome, Outcome::Queued(_)));
        world.command(0, Command::Stop);
        world.wait(seconds(60));
    }
    let until = start + seconds(3_600);
    assert_eq!(world.command(0, LINK).outcome, Outcome::Refused(Refusal::TooManyLinks { until }));
    world.wait(until.since(world.now));
    assert!(matches!(world.command(0, LINK).outcome, Outcome::Queued(_)));
    let stored = world.scheduler.known(&id(0)).unwrap();
    assert_eq!(stored.links.len(), 3, "kept over a restart");
}
