//! What the service limits (protocol 05d §9.1, §9.2): every signal that the simulator can send is shown, obeyed, kept
//! over a restart, and ends at its time.

use std::time::Duration;

use palomar::client::event::SendState;
use palomar::client::limits::{Change, Restriction, SignalKind, Standing};
use palomar::client::send::SendOutcome;
use palomar::client::{Event, Health, Refusal, SendOptions, State, Why};
use palomar::proto::Message;
use palomar::sim::{NewAccount, Restrict, TrafficItem};
use palomar::wire::Jid;
use serde_json::{Value, json};

use crate::world::{ANNA, BERT, Device, World, within};

const CARLA: &str = "15550005555";
const DORA: &str = "15550006666";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A world with four accounts, and Anna's device, ready and past its first questions.
async fn world() -> (World, Device) {
    let world = World::new().await;
    for number in [CARLA, DORA] {
        let new = NewAccount { number: Some(number.to_owned()), ..NewAccount::default() };
        world.sim.admin().create_account(new).await.unwrap();
    }
    let device = world.linked(ANNA, 1).await;
    world.clock.sleep(11 * MINUTE).await;
    (world, device)
}

fn text(text: &str) -> Message {
    Message { conversation: Some(text.to_owned()), ..Message::default() }
}

fn order(order: Value) -> Restrict {
    serde_json::from_value(order).unwrap()
}

impl World {
    async fn restrict(&self, change: Value) {
        self.sim.admin().restrict(ANNA, order(change)).await.unwrap();
        // What was announced has been heard.
        self.clock.sleep(Duration::from_secs(10)).await;
    }

    async fn queries(&self, id: &str) -> Vec<TrafficItem> {
        let asked = self.sent(ANNA, "iq").await.into_iter();
        let is = |item: &TrafficItem| {
            item.node.find("query").is_some_and(|query| query.str("query_id").as_deref() == Some(id))
        };
        asked.filter(is).collect()
    }

    async fn inbox(&self, number: &str) -> usize {
        self.sim.admin().inbox(number, 0).await.unwrap().len()
    }
}

impl Device {
    async fn order(&self, to: &str, key: &str) -> Option<SendOutcome> {
        self.send(to, key, false).await;
        within(self.client.outcome(key)).await.unwrap()
    }

    async fn send(&self, to: &str, key: &str, campaign: bool) {
        let to = Jid::pn(to).unwrap();
        self.client.send_with(&to, text(key), key, SendOptions { campaign }).await.unwrap();
    }

    async fn health(&self) -> Health {
        self.client.health().await.unwrap()
    }

    async fn shows(&self, signal: SignalKind) -> bool {
        self.health().await.signals.iter().any(|shown| shown.signal == signal)
    }

    /// The restriction events so far.
    async fn told(&self) -> Vec<Restriction> {
        let rows = self.store.read(|tx| tx.open_events(0, 1000)).await.unwrap();
        let events = rows.iter().filter_map(|row| Event::read(row.payload.expose()));
        events
            .filter_map(|event| if let Event::Restriction(told) = event { Some(told) } else { None })
            .collect()
    }

    async fn heard(&self, signal: SignalKind, change: Change) -> usize {
        self.told().await.iter().filter(|told| (told.signal, told.change) == (signal, change)).count()
    }

    async fn waits_told(&self, why: Why) -> bool {
        let rows = self.store.read(|tx| tx.open_events(0, 1000)).await.unwrap();
        let events: Vec<Event> = rows.iter().filter_map(|row| Event::read(row.payload.expose())).collect();
        let waits = |event: &Event| matches!(event, Event::Outgoing(p) if matches!(p.state, SendState::Waiting { why: w, .. } if w == why));
        events.iter().any(waits)
    }
}

fn refused(outcome: Option<SendOutcome>) -> Option<Why> {
    match outcome {
        Some(SendOutcome::Failed { why: Refusal::Limited(why), .. }) => Some(why),
        _ => None,
    }
}

fn was_sent(outcome: &Option<SendOutcome>) -> bool {
    matches!(outcome, Some(SendOutcome::Sent { .. }))
}

#[tokio::test(start_paused = true)]
async fn restriction_timelock_is_told_obeyed_kept_and_ends_at_its_time() {
    let (world, mut device) = world().await;
    world.restrict(json!({"timelock": {"type": "DEFAULT", "ends_in_s": 7200}})).await;
    assert_eq!(device.heard(SignalKind::Timelock, Change::Began).await, 1);
    let health = device.health().await;
    assert_eq!(health.standing, Standing::Limited);
    let shown = &health.signals[0];
    assert_eq!((shown.signal, shown.value.as_deref()), (SignalKind::Timelock, Some("DEFAULT")));
    let left = shown.until.unwrap() - world.clock.wall_ms();
    assert!((7_180_000..=7_202_000).contains(&left), "{left}");

    assert_eq!(refused(device.order(BERT, "single").await), Some(Why::Timelock));
    device.send(CARLA, "campaign", true).await;
    world.clock.sleep(MINUTE).await;
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    assert!(device.shows(SignalKind::Timelock).await, "kept over the restart");
    assert_eq!(refused(device.order(DORA, "after").await), Some(Why::Timelock));
    world.clock.sleep(MINUTE).await;
    assert_eq!(device.health().await.waiting.get("timelock"), Some(&1));
    assert!(device.waits_told(Why::Timelock).await);
    assert_eq!(world.inbox(CARLA).await, 0);

    world.clock.sleep(2 * HOUR).await;
    assert!(!device.shows(SignalKind::Timelock).await);
    assert_eq!(device.heard(SignalKind::Timelock, Change::Ended).await, 1);
    assert!(was_sent(&within(device.client.outcome("campaign")).await.unwrap()), "it resumes by itself");
    assert_eq!((world.inbox(BERT).await, world.inbox(CARLA).await), (0, 1), "nothing refused is sent again");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_timelock_that_nobody_told_is_found_by_the_question_once_after_ready() {
    let (world, mut device) = world().await;
    let timelock = "23983697327930364";
    assert_eq!(world.queries(timelock).await.len(), 1);
    world.restrict(json!({"timelock": {"ends_in_s": 86_400}, "silent": true})).await;
    assert!(!device.shows(SignalKind::Timelock).await);
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    let ready = world.clock.wall_ms();
    within(async {
        while !device.shows(SignalKind::Timelock).await {
            world.clock.sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let after = world.clock.wall_ms() - ready;
    assert!((5_000..=61_000).contains(&after), "spread over 5 to 60 s: {after}");
    // A quiet day with three reconnects: once for each, never twice in ten minutes.
    for _ in 0..3 {
        device.client.disconnect().await.unwrap();
        device.client.connect().await.unwrap();
        within(device.client.ready()).await.unwrap();
        world.clock.sleep(MINUTE).await;
    }
    world.clock.sleep(6 * HOUR).await;
    let asked = world.queries(timelock).await;
    assert!(asked.len() <= 4, "{}", asked.len());
    let close = asked.windows(2).any(|two| two[1].at_ms - two[0].at_ms < 600_000);
    assert!(!close, "at most once in ten minutes");
    assert!(world.queries("27910975521856601").await.is_empty(), "no cap, no question");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_timelock_lets_a_chat_through_whose_token_arrives() {
    let (world, device) = world().await;
    let bert = world.linked(BERT, 2).await;
    world.restrict(json!({"timelock": {"ends_in_s": 86_400}})).await;
    device.send(BERT, "waits", true).await;
    world.clock.sleep(MINUTE).await;
    assert_eq!(device.health().await.waiting.get("timelock"), Some(&1));
    // His message alone does not open it; the token that comes with it does.
    bert.send(ANNA, "hello", false).await;
    assert!(was_sent(&within(device.client.outcome("waits")).await.unwrap()));
    assert!(was_sent(&device.order(BERT, "now").await));
    assert_eq!(refused(device.order(CARLA, "other").await), Some(Why::Timelock));
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_timelock_without_an_end_is_asked_about_again_and_lifted() {
    let (world, device) = world().await;
    world.restrict(json!({"timelock": {"type": "BIZ_QUALITY"}})).await;
    assert_eq!(refused(device.order(BERT, "single").await), Some(Why::Timelock));
    world.sim.admin().restrict(ANNA, order(json!({"timelock": null, "silent": true}))).await.unwrap();
    world.clock.sleep(15 * MINUTE).await;
    assert!(!device.shows(SignalKind::Timelock).await, "the next answer lifts it");
    assert!(was_sent(&device.order(BERT, "again").await));
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_timelock_of_linked_devices_stops_campaigns_until_a_person_has_looked() {
    let (world, mut device) = world().await;
    world.restrict(json!({"timelock": {"type": "WEB_COMPANION_ONLY", "ends_in_s": 60}})).await;
    let alarms = device.told().await.into_iter().filter(|told| told.alarm);
    assert_eq!(alarms.map(|told| told.signal).collect::<Vec<_>>(), [SignalKind::Companions]);
    world.clock.sleep(5 * MINUTE).await;
    assert!(!device.shows(SignalKind::Timelock).await);
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    assert_eq!(device.health().await.standing, Standing::Alarm);
    assert!(was_sent(&device.order(BERT, "single").await));
    device.send(BERT, "campaign", true).await;
    world.clock.sleep(MINUTE).await;
    assert_eq!(device.health().await.waiting.get("companions"), Some(&1));
    assert!(device.client.clear_restrictions().await.unwrap());
    assert!(was_sent(&within(device.client.outcome("campaign")).await.unwrap()));
    assert_eq!(device.health().await.standing, Standing::Fine);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_463_without_a_lock_closes_this_chat_for_a_day_and_no_other() {
    let (world, device) = world().await;
    let strict = NewAccount { number: Some("15550007777".into()), restricted: true, ..NewAccount::default() };
    world.sim.admin().create_account(strict).await.unwrap();
    let outcome = device.order("15550007777", "first").await;
    assert!(matches!(outcome, Some(SendOutcome::Failed { why: Refusal::NotTrusted, .. })), "{outcome:?}");
    let asked = world.queries("23983697327930364").await.len();
    for n in 0..3 {
        let key = format!("again {n}");
        assert_eq!(refused(device.order("15550007777", &key).await), Some(Why::ChatRefused));
    }
    device.send("15550007777", "campaign", true).await;
    assert!(was_sent(&device.order(BERT, "other").await));
    world.clock.sleep(23 * HOUR).await;
    let to = |item: &TrafficItem| item.node.jid("to").map(|to| to.to_string());
    let first = world.sent(ANNA, "message").await;
    let strict = to(&first[0]);
    let count = |items: &[TrafficItem]| items.iter().filter(|item| to(item) == strict).count();
    assert_eq!(count(&first), 1, "no resend in 23 hours");
    let tokens = world.sent(ANNA, "iq").await;
    let tokens = tokens.iter().filter(|item| item.node.find("tokens").is_some()).count();
    assert_eq!(tokens, 2, "one for each contact");
    assert!(world.queries("23983697327930364").await.len() <= asked + 1);
    world.clock.sleep(2 * HOUR).await;
    let sent = world.sent(ANNA, "message").await;
    assert_eq!(count(&sent), 2, "what a campaign queued tries once more after the day");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_cap_is_asked_spread_and_closes_when_it_is_used_up() {
    let (world, mut device) = world().await;
    world.restrict(json!({"cap": {"quota": 2, "used": 0, "cycle_end_in_s": 172_800}})).await;
    assert!(was_sent(&device.order(BERT, "first").await));
    world.clock.sleep(MINUTE).await;
    let health = device.health().await;
    assert_eq!(health.signals[0].value.as_deref(), Some("FIRST_WARNING"));
    assert_eq!(health.quota.map(|quota| (quota.total, quota.used)), Some((2, 1)));
    // One a day, half of that at the first warning: the second waits to the day after tomorrow's eve.
    device.send(CARLA, "second", false).await;
    world.clock.sleep(MINUTE).await;
    assert_eq!(device.health().await.waiting.get("spread"), Some(&1));
    assert!(was_sent(&device.order(BERT, "known").await), "his chat was counted");
    world.restrict(json!({"cap": {"quota": 2, "used": 2, "cycle_end_in_s": 86_400}})).await;
    assert_eq!(device.health().await.signals[0].value.as_deref(), Some("CAPPED"));
    assert_eq!(refused(within(device.client.outcome("second")).await.unwrap()), Some(Why::Capped));
    device.send(DORA, "campaign", true).await;
    world.clock.sleep(MINUTE).await;
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    assert_eq!(refused(device.order(DORA, "third").await), Some(Why::Capped));
    world.clock.sleep(25 * HOUR).await;
    assert!(!device.shows(SignalKind::Cap).await, "the cycle is over");
    assert!(was_sent(&within(device.client.outcome("campaign")).await.unwrap()));
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_475_counts_as_capped_although_nobody_told_and_is_asked_about() {
    let (world, device) = world().await;
    let capped = json!({"cap": {"quota": 5, "used": 5, "cycle_end_in_s": 86_400}, "silent": true});
    world.restrict(capped).await;
    let outcome = device.order(BERT, "first").await;
    assert!(matches!(outcome, Some(SendOutcome::Failed { why: Refusal::ChatCap, .. })), "{outcome:?}");
    assert_eq!(refused(device.order(CARLA, "second").await), Some(Why::Capped));
    world.clock.sleep(15 * MINUTE).await;
    assert_eq!(world.queries("27910975521856601").await.len(), 1);
    let shown =
        device.health().await.signals.into_iter().find(|shown| shown.signal == SignalKind::Cap).unwrap();
    let left = shown.until.unwrap() - world.clock.wall_ms();
    assert!(left < 86_402_000 && left > 80_000_000, "the cycle's end was learned: {left}");
    assert_eq!(world.sent(ANNA, "message").await.len(), 1);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_challenge_stops_what_nobody_ordered_and_is_never_answered() {
    let (world, mut device) = world().await;
    world.restrict(json!({"challenge": {"type": "CAPTCHA"}})).await;
    device.send(BERT, "campaign", true).await;
    assert!(was_sent(&device.order(CARLA, "ordered").await));
    world.clock.sleep(HOUR).await;
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    world.clock.sleep(HOUR).await;
    let health = device.health().await;
    assert_eq!(health.standing, Standing::Alarm);
    assert_eq!(health.signals[0].value.as_deref(), Some("CAPTCHA"));
    assert_eq!(health.waiting.get("challenge"), Some(&1));
    assert!(device.told().await.iter().any(|told| told.signal == SignalKind::Challenge && told.alarm));
    assert!(world.queries("26230331493320650").await.is_empty());
    assert!(device.client.clear_restrictions().await.unwrap());
    assert!(was_sent(&within(device.client.outcome("campaign")).await.unwrap()));
    assert!(!device.client.clear_restrictions().await.unwrap(), "there is nothing left to clear");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_brigading_is_shown_and_changes_nothing() {
    let (world, device) = world().await;
    world.restrict(json!({"brigading": {"state": "DETECTED"}})).await;
    assert!(device.shows(SignalKind::Brigading).await);
    assert!(was_sent(&device.order(BERT, "text").await));
    world.restrict(json!({"brigading": null})).await;
    assert!(!device.shows(SignalKind::Brigading).await);
    assert_eq!(device.heard(SignalKind::Brigading, Change::Ended).await, 1);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_client_expiry_is_told_and_shown() {
    let (world, mut device) = world().await;
    world.restrict(json!({"client_expiry": {"in_s": 864_000}})).await;
    assert_eq!(device.open_events("client_expires").await, 1);
    world.restart(&mut device).await;
    let shown = device.health().await.signals;
    assert_eq!(shown[0].signal, SignalKind::ClientExpiry);
    let left = shown[0].until.unwrap() - world.clock.wall_ms();
    assert!((860_000_000..=864_000_000).contains(&left), "{left}");
    assert_eq!(device.health().await.standing, Standing::Limited);
}

#[tokio::test(start_paused = true)]
async fn restriction_message_backoff_pauses_every_send_also_over_a_restart() {
    let (world, mut device) = world().await;
    world.restrict(json!({"message_backoff": {"error": 429, "backoff_s": 1800}})).await;
    let start = world.clock.wall_ms();
    device.send(BERT, "first", false).await;
    world.clock.sleep(MINUTE).await;
    assert!(device.shows(SignalKind::Messages).await);
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    device.send(CARLA, "second", false).await;
    world.clock.sleep(MINUTE).await;
    assert_eq!(world.sent(ANNA, "message").await.len(), 1);
    for key in ["first", "second"] {
        let outcome = tokio::time::timeout(HOUR, device.client.outcome(key)).await.unwrap().unwrap();
        assert!(was_sent(&outcome), "{outcome:?}");
        assert!(world.clock.wall_ms() - start >= 1_780_000);
    }
    assert_eq!(device.heard(SignalKind::Messages, Change::Ended).await, 1);
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_usync_backoff_holds_only_questions_of_that_protocol_over_a_restart() {
    let (world, mut device) = world().await;
    world.restrict(json!({"usync_backoff": {"protocol": "devices", "backoff_s": 600}})).await;
    let before = usyncs(&world).await;
    device.send(BERT, "first", false).await;
    world.clock.sleep(MINUTE).await;
    assert!(device.shows(SignalKind::Usync).await);
    assert_eq!(usyncs(&world).await, before + 1);
    world.restart(&mut device).await;
    device.client.connect().await.unwrap();
    within(device.client.ready()).await.unwrap();
    world.clock.sleep(5 * MINUTE).await;
    assert_eq!(usyncs(&world).await, before + 1, "nothing is asked before the end");
    let outcome = tokio::time::timeout(HOUR, device.client.outcome("first")).await.unwrap().unwrap();
    assert!(was_sent(&outcome), "{outcome:?}");
    assert!(!device.shows(SignalKind::Usync).await);
    world.assert_no_violations().await;
}

async fn usyncs(world: &World) -> usize {
    world.sent(ANNA, "iq").await.iter().filter(|item| item.node.find("usync").is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn restriction_ban_and_logout_are_shown_with_their_end() {
    let (world, device) = world().await;
    let ban = palomar::sim::Ban { reason: 402, code: 101, expire: 3600 };
    world.sim.admin().ban(ANNA, ban).await.unwrap();
    device.becomes(|state| matches!(state, State::Stopped(_))).await;
    let health = device.health().await;
    assert_eq!(health.standing, Standing::Stopped);
    assert_eq!(
        (health.signals[0].signal, health.signals[0].value.as_deref()),
        (SignalKind::Ban, Some("101"))
    );
    assert!(health.signals[0].until.is_some_and(|until| until > world.clock.wall_ms()));
}

#[tokio::test(start_paused = true)]
async fn restriction_of_ones_own_spreads_new_chats_and_refuses_the_same_text_to_many() {
    let (world, device) = world().await;
    let numbers: Vec<String> = (0..7).map(|n| format!("1555001000{n}")).collect();
    for number in &numbers {
        let new = NewAccount { number: Some(number.clone()), ..NewAccount::default() };
        world.sim.admin().create_account(new).await.unwrap();
    }
    for (n, number) in numbers.iter().take(6).enumerate() {
        let to = Jid::pn(number).unwrap();
        device.client.send_text(&to, "the same", &format!("same {n}")).await.unwrap();
    }
    let last = within(device.client.outcome("same 5")).await.unwrap();
    assert_eq!(refused(last), Some(Why::SameText));
    device.client.send_text(&Jid::pn(&numbers[6]).unwrap(), "another", "other").await.unwrap();
    world.clock.sleep(MINUTE).await;
    assert_eq!(device.health().await.waiting.get("new_chats"), Some(&1));
    assert_eq!(device.health().await.new_chats, (5, 5));
    world.clock.sleep(HOUR).await;
    assert!(was_sent(&within(device.client.outcome("other")).await.unwrap()), "after the hour it goes");
    world.assert_no_violations().await;
}

#[tokio::test(start_paused = true)]
async fn restriction_ignored_by_a_client_is_a_violation_and_one_that_is_kept_is_none() {
    let (world, _device) = world().await;
    let admin = world.sim.admin();
    world.restrict(json!({"timelock": {"ends_in_s": 600}})).await;
    assert_eq!(admin.restrictions(ANNA).await.unwrap()["timelock"]["type"], "DEFAULT");
    world.clock.sleep(11 * MINUTE).await;
    assert_eq!(admin.restrictions(ANNA).await.unwrap()["timelock"], Value::Null, "it ends by itself");
    world.assert_no_violations().await;
}
