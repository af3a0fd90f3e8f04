//! Section 4 of the operations guide, and what the operator sees of it: disconnects, log-outs, cooldowns, backoff.

use super::world::{World, id, known, number, seconds};
use crate::fleet::Limits;
use crate::fleet::scheduler::*;

const LOGOUT: Seen = Seen::Closed(Closed::LoggedOut(LogoutCause::Unlinked));

fn cooldown(world: &World, n: usize) -> crate::fleet::At {
    match world.scheduler.state(&id(n)) {
        Some(State::LoggedOut { cooldown_until, .. }) => *cooldown_until,
        other => panic!("not logged out: {other:?}"),
    }
}

#[test]
fn sr_050_after_a_logout_nothing_dials_until_a_person_asks() {
    let mut world = World::linked(1);
    world.let_all_succeed(1, seconds(60));
    world.see(0, LOGOUT);
    world.wait(seconds(7 * 86_400));
    assert_eq!((world.dials.len(), world.state(0)), (1, "logged_out"));
    let answer = world.command(0, Command::Start);
    assert_eq!(answer.outcome, Outcome::Refused(Refusal::NotLinked), "a start is no link");
    world.wait(seconds(3_600));
    assert_eq!(world.dials.len(), 1);
    world.command(0, Command::Link { force: false });
    world.wait_dial(0);
}

#[test]
fn sr_051_a_logout_is_told_with_the_account_and_that_nothing_follows() {
    let mut world = World::linked(1);
    world.let_all_succeed(1, seconds(60));
    world.see(0, LOGOUT);
    let cooldown_until = cooldown(&world, 0);
    let notice = Notice::LoggedOut { account: id(0), cause: LogoutCause::Unlinked, cooldown_until };
    assert_eq!(world.notices, [notice]);
}

#[test]
fn sr_052_a_link_in_the_cooldown_is_refused_with_the_time_that_is_left() {
    let mut drawn = Vec::new();
    for seed in 0..200 {
        let mut world = World::with(Limits::default(), seed, false);
        world.scheduler.add(id(0), known("direct", Some(number(0))), world.now);
        world.let_all_succeed(1, seconds(10));
        world.see(0, LOGOUT);
        let until = cooldown(&world, 0);
        let length = until.since(world.now);
        assert!(length >= seconds(300) && length <= seconds(600), "{length:?}");
        drawn.push(length);
        let refused = Outcome::Refused(Refusal::Cooldown { until });
        assert_eq!(world.command(0, Command::Link { force: true }).outcome, refused);
        world.wait(until.since(world.now) - std::time::Duration::from_millis(1));
        assert_eq!(world.command(0, Command::Link { force: true }).outcome, refused, "drawn once");
        world.wait(std::time::Duration::from_millis(1));
        assert!(matches!(world.command(0, Command::Link { force: false }).outcome, Outcome::Queued(_)));
    }
    drawn.sort();
    drawn.dedup();
    assert!(drawn.len() > 150, "it is random");
}

#[test]
fn sr_053_a_cooldown_outlives_stops_and_restarts() {
    let mut world = World::linked(1);
    world.let_all_succeed(1, seconds(60));
    world.see(0, LOGOUT);
    world.command(0, Command::Stop);
    assert_eq!(world.state(0), "logged_out");
    let stored = world.scheduler.known(&id(0)).unwrap();
    let mut again = World::with(Limits::default(), 9, false);
    again.now = world.now;
    again.scheduler.add(id(0), stored, again.now);
    assert_eq!(cooldown(&again, 0), cooldown(&world, 0));
    let answer = again.command(0, Command::Link { force: true });
    assert!(matches!(answer.outcome, Outcome::Refused(Refusal::Cooldown { .. })));
}

#[test]
fn sr_055_a_logout_right_after_ready_has_its_own_cause() {
    for (after, cause) in [
        (10, LogoutCause::RightAfterLinking),
        (30, LogoutCause::RightAfterLinking),
        (31, LogoutCause::Unlinked),
    ] {
        let mut world = World::linked(1);
        world.wait_dial(0);
        world.succeed(0);
        world.wait(seconds(after));
        world.see(0, LOGOUT);
        assert!(
            matches!(world.scheduler.state(&id(0)), Some(State::LoggedOut { cause: said, .. }) if *said == cause)
        );
    }
}

#[test]
fn sr_056_every_other_loss_reconnects_without_a_tight_loop() {
    let mut world = World::linked(1);
    let start = world.now;
    while world.now.since(start) < seconds(3_600) {
        world.wait(seconds(1));
        world.see(0, Seen::Closed(Closed::Lost));
    }
    assert!(world.dials.len() > 5, "it goes on trying");
    assert!(world.dials.len() <= 30, "{} dials in an hour", world.dials.len());
    world.wait_dial_within(seconds(3_600));
}

#[test]
fn sr_057_backoff_grows_and_is_reset_only_after_a_stable_time() {
    let mut world = World::linked(1);
    let mut waits = Vec::new();
    for _ in 0..8 {
        world.wait_dial(0);
        let lost = world.now;
        world.see(0, Seen::LoggedIn);
        world.see(0, Seen::Ready);
        world.see(0, Seen::Closed(Closed::Lost));
        match world.scheduler.state(&id(0)) {
            Some(State::Backoff { retry_at, code: BackoffCode::Lost }) => waits.push(retry_at.since(lost)),
            other => panic!("{other:?}"),
        }
    }
    assert!(waits[7] >= seconds(21) && waits[7] > waits[4] && waits[4] > waits[2], "{waits:?}");
    world.wait_dial(0);
    world.succeed(0);
    world.wait(seconds(31));
    world.see(0, Seen::Closed(Closed::Lost));
    let Some(State::Backoff { retry_at, .. }) = world.scheduler.state(&id(0)) else { panic!() };
    assert!(retry_at.since(world.now) <= seconds(2));
}

#[test]
fn a_temporary_ban_is_sat_out() {
    let mut world = World::linked(1);
    world.wait_dial(0);
    let until = world.now + seconds(7_200);
    world.see(0, Seen::Closed(Closed::TempBanned { until }));
    world.wait(seconds(7_100));
    assert_eq!((world.dials.len(), world.state(0)), (1, "backoff"));
    world.wait_dial(0);
    assert!(world.now >= until);
}

#[test]
fn sr_058_a_logout_changes_nothing_for_the_others() {
    let mut world = World::linked(4);
    world.let_all_succeed(4, seconds(60));
    let before: Vec<_> = (1..4).map(|n| world.scheduler.state(&id(n)).cloned()).collect();
    let dials = world.dials.len();
    world.see(0, LOGOUT);
    world.wait(seconds(86_400));
    let after: Vec<_> = (1..4).map(|n| world.scheduler.state(&id(n)).cloned()).collect();
    assert_eq!((before, dials), (after, world.dials.len()));
}

#[test]
fn sr_059_linking_one_never_unlinks_another() {
    let mut world = World::unlinked(3);
    for n in 0..3 {
        world.link(n, number(n));
    }
    assert!((0..3).all(|n| world.state(n) == "ready" && world.scheduler.number(&id(n)) == Some(&number(n))));
}

#[test]
fn what_ends_a_connection_for_good_waits_for_a_person() {
    let ends = [
        (Closed::Replaced, "replaced"),
        (Closed::Outdated, "failed"),
        (Closed::Refused, "failed"),
        (Closed::Code(499), "failed"),
        (Closed::Store, "failed"),
    ];
    for (closed, state) in ends {
        let mut world = World::linked(1);
        world.wait_dial(0);
        world.see(0, Seen::Closed(closed));
        world.wait(seconds(86_400));
        assert_eq!((world.dials.len(), world.state(0)), (1, state));
        assert!(matches!(world.command(0, Command::Start).outcome, Outcome::Queued(_)));
    }
}

#[test]
fn a_restriction_is_shown_and_ends() {
    let mut world = World::linked(1);
    world.wait_dial(0);
    world.see(0, Seen::Restricted(None));
    assert_eq!(world.state(0), "connecting", "only what is ready can be restricted");
    world.succeed(0);
    let until = Some(world.now + seconds(60));
    world.see(0, Seen::Restricted(until));
    assert_eq!(world.state(0), "restricted");
    world.see(0, Seen::Free);
    assert_eq!(world.state(0), "ready");
}

#[test]
fn what_an_older_connection_says_is_dropped() {
    let mut world = World::linked(1);
    world.wait_dial(0);
    let old = world.open[&id(0)];
    world.see(0, Seen::Closed(Closed::Lost));
    world.wait_dial(0);
    world.scheduler.seen(&id(0), old, LOGOUT, world.now);
    assert_eq!(world.state(0), "connecting");
}

#[test]
fn a_removed_account_is_closed_and_gone() {
    let mut world = World::linked(2);
    world.let_all_succeed(2, seconds(30));
    world.scheduler.remove(&id(0), world.now);
    world.act();
    world.close_ordered();
    assert_eq!((world.state(0), world.state(1)), ("gone", "ready"));
    assert!(!world.open.contains_key(&id(0)));
}

#[test]
fn sr_086_the_last_twenty_disconnects_are_kept() {
    let mut world = World::linked(1);
    for _ in 0..25 {
        world.wait(seconds(1_000));
        world.see(0, Seen::Closed(Closed::Lost));
    }
    let kept: Vec<_> = world.scheduler.disconnects().collect();
    assert_eq!(kept.len(), 20);
    assert!(kept.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

#[test]
fn sr_088_three_logouts_in_an_hour_on_one_egress_raise_a_warning() {
    let mut world = World::linked(3);
    world.let_all_succeed(3, seconds(60));
    for n in 0..3 {
        world.see(n, LOGOUT);
        world.wait(seconds(600));
    }
    let egress = Egress("direct".into());
    assert!(world.notices.contains(&Notice::LogoutPattern { egress, logouts: 3 }), "{:?}", world.notices);
}
