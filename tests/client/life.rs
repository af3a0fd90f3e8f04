//! Connection life (protocol 01 §22).

use std::time::Duration;

use palomar::client::{State, Stop};
use palomar::sim::{Ban, Direction, Kick, TrafficFilter};
use palomar::wire::{Jid, Node};

use crate::world::{ANNA, World, within};

#[tokio::test(start_paused = true)]
async fn a_restart_logs_in_again_with_the_same_keys_and_without_active() {
    let world = World::new().await;
    let mut device = world.linked(ANNA, 1).await;
    let before = world.sent(ANNA, "iq").await.len();
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    let iqs = world.sent(ANNA, "iq").await;
    let active = iqs.iter().skip(before).filter(|item| item.node.find("active").is_some());
    assert_eq!(active.count(), 0, "a login with passive=false sends no <active/>");
    let count = iqs.iter().filter(|item| item.node.find("count").is_some()).count();
    assert_eq!(count, 0, "no <count/> at login");
    let login = device.store.read(|tx| tx.login()).await.unwrap();
    assert_eq!(login.counter, 2, "the next login writes lc 2");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_515_reconnects_within_a_second() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let logins = world.logins().await;
    world.sim.admin().kick(ANNA, None, Kick::StreamError, Some(515)).await.unwrap();
    world.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(world.logins().await, logins + 1);
    within(device.client.ready()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn replaced_stops_without_a_reconnect_and_a_person_can_resume() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let logins = world.logins().await;
    world.sim.admin().kick(ANNA, None, Kick::Replaced, None).await.unwrap();
    assert_eq!(device.stops().await, Stop::Replaced);
    world.clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(world.logins().await, logins);
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_401_without_conflict_is_confirmed_by_one_login_and_life_goes_on() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let logins = world.logins().await;
    world.sim.admin().kick(ANNA, None, Kick::StreamError, Some(401)).await.unwrap();
    device.becomes(|state| *state != State::Ready).await;
    within(device.client.ready()).await.unwrap();
    world.clock.sleep(Duration::from_secs(120)).await;
    assert_eq!(world.logins().await, logins + 1);
    assert!(device.store.read(|tx| tx.link()).await.unwrap().is_some());
    assert_eq!(device.open_events("stopped").await, 0);
}

#[tokio::test(start_paused = true)]
async fn lost_connections_come_back_by_themselves() {
    for how in [Kick::Close, Kick::Reset, Kick::Xmlstreamend] {
        let world = World::new().await;
        let device = world.linked(ANNA, 1).await;
        world.clock.sleep(Duration::from_secs(40)).await;
        world.sim.admin().kick(ANNA, None, how, None).await.unwrap();
        device.becomes(|state| *state != State::Ready).await;
        within(device.client.ready()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_is_noticed_within_20_s_and_one_interval() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    world.clock.sleep(Duration::from_secs(5)).await;
    let logins = world.logins().await;
    world.sim.admin().kick(ANNA, None, Kick::Halfopen, None).await.unwrap();
    world.clock.sleep(Duration::from_secs(51)).await;
    assert_eq!(world.logins().await, logins + 1, "dead, and dialled again at once");
    within(device.client.ready()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_healthy_quiet_server_is_not_left_for_hours() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let logins = world.logins().await;
    world.clock.sleep(Duration::from_secs(6 * 3600)).await;
    assert_eq!(world.logins().await, logins);
    assert_eq!(*device.client.state().borrow(), State::Ready);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn a_temporary_ban_stops_until_its_end_and_can_be_resumed_then() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    device.client.disconnect().await.unwrap();
    let ban = Ban { reason: 402, code: 101, expire: 3600 };
    world.sim.admin().ban(ANNA, ban).await.unwrap();
    device.client.connect().await.unwrap();
    assert!(matches!(device.stops().await, Stop::TempBanned { code: 101, .. }));
    assert!(device.client.connect().await.is_err());
    world.clock.sleep(Duration::from_secs(3601)).await;
    world.sim.admin().unban(ANNA).await.unwrap();
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_locked_account_is_logged_out() {
    for reason in [403, 406] {
        let world = World::new().await;
        let device = world.linked(ANNA, 1).await;
        device.client.disconnect().await.unwrap();
        world.sim.admin().ban(ANNA, Ban { reason, code: 0, expire: 0 }).await.unwrap();
        device.client.connect().await.unwrap();
        assert!(matches!(device.stops().await, Stop::LoggedOut { .. }));
        assert_eq!(device.open_events("stopped").await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_ping_is_answered_in_every_form() {
    let world = World::new().await;
    let _device = world.linked(ANNA, 1).await;
    let connection = world.connection().await;
    let ping = || Node::new("iq").attr("from", Jid::service());
    let forms = [
        ping().attr("type", "get").attr("xmlns", "urn:xmpp:ping").attr("id", "p1"),
        ping().attr("type", "get").attr("xmlns", "urn:xmpp:ping"),
        ping().attr("xmlns", "urn:xmpp:ping"),
        ping().attr("type", "get").attr("id", "p2").child(Node::new("ping")),
        ping().child(Node::new("ping")),
    ];
    for form in forms {
        let cursor = world.sim.admin().cursor();
        let id = form.str("id").map(|id| id.into_owned());
        world.sim.admin().inject(connection, form.clone()).await;
        world.clock.sleep(Duration::from_secs(1)).await;
        let filter = TrafficFilter { since: cursor, tag: Some("iq".to_owned()), ..TrafficFilter::default() };
        let items = world.sim.admin().traffic(&filter).await;
        let pong = items.iter().find(|item| {
            item.direction == Direction::In && item.node.str("type").as_deref() == Some("result")
        });
        let pong = pong.unwrap_or_else(|| panic!("no answer to {form:?}"));
        assert_eq!(pong.node.str("id").map(|id| id.into_owned()), id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_frame_is_dropped_and_bad_compression_ends_the_connection() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let connection = world.connection().await;
    world.sim.admin().inject_bytes(connection, vec![0, 0xf4], true).await;
    world.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(*device.client.state().borrow(), State::Ready);
    world.sim.admin().inject_bytes(connection, vec![2, 1, 2, 3], true).await;
    device.becomes(|state| *state != State::Ready).await;
    within(device.client.ready()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_interrupts_a_waiting_delay_at_once() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    world.sim.admin().kick(ANNA, None, Kick::Reset, None).await.unwrap();
    device.becomes(|state| matches!(state, State::Waiting { .. })).await;
    let before = world.clock.now();
    device.client.disconnect().await.unwrap();
    assert_eq!(world.clock.now(), before);
    device.becomes(|state| *state == State::Offline).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_is_passive_by_default_and_shows_its_name_once() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    world.clock.sleep(Duration::from_secs(10)).await;
    assert!(world.sent(ANNA, "presence").await.is_empty());
    device.client.set_push_name("Anna").await.unwrap();
    world.clock.sleep(Duration::from_secs(10)).await;
    let sent = world.sent(ANNA, "presence").await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].node.str("type").as_deref(), Some("unavailable"));
    device.client.set_available(true);
    world.clock.sleep(Duration::from_secs(10)).await;
    let sent = world.sent(ANNA, "presence").await;
    assert_eq!(sent[1].node.str("type").as_deref(), Some("available"));
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_notification_is_refused_with_488_and_shown() {
    let world = World::new().await;
    let device = world.linked(ANNA, 1).await;
    let connection = world.connection().await;
    let notification = |kind: &'static str, id: &'static str| {
        Node::new("notification")
            .attr("from", Jid::service())
            .attr("type", kind)
            .attr("id", id)
            .attr("t", "1")
    };
    world.sim.admin().inject(connection, notification("something_new", "n1")).await;
    world.sim.admin().inject(connection, notification("psa", "n2")).await;
    world.clock.sleep(Duration::from_secs(1)).await;
    let acks = world.sent(ANNA, "ack").await;
    let answer = |id: &str| {
        let found: Vec<_> = acks.iter().filter(|item| item.node.str("id").as_deref() == Some(id)).collect();
        assert_eq!(found.len(), 1, "{id} is answered exactly once");
        found[0].node.str("error").map(|error| error.into_owned())
    };
    assert_eq!(answer("n1").as_deref(), Some("488"));
    assert_eq!(answer("n2"), None);
    assert_eq!(device.open_events("notice").await, 2);
}
