//! Every cell of the table of 05d §9.2, the budget of §10, and group operations.

use super::decide::{CapProps, Chat, Cost, Message, NewChats, Verdict, Why, decide};
use super::groups::{GroupAction, refused};
use super::record::{Capped, DAY, HOUR, Lock, MINUTE, Pause, Restrictions, Since, Source, Text, Unit};
use super::signals::SignalKind;
use crate::client::line::IqError;
use crate::client::send::release::Times;
use crate::stanza::restrictions::{Cap, CapStatus, Challenge, Exception, LockKind, Verified};
use crate::stanza::restrictions::{RateLimit, Scope};
use crate::store::memory::MemoryAccounts;
use crate::store::{AccountId, Accounts as _, UnixMillis};
use crate::wire::Jid;

const NOW: UnixMillis = 1_786_000_000_000;
const PROPS: CapProps = CapProps { quota: 0, lifetime: HOUR };
const FREE: Verdict = Verdict::Go(Cost { new_chat: false, quota: false });
const NEW: Verdict = Verdict::Go(Cost { new_chat: true, quota: false });
const NEW_OF_QUOTA: Verdict = Verdict::Go(Cost { new_chat: true, quota: true });
const ONE_OF_QUOTA: Verdict = Verdict::Go(Cost { new_chat: false, quota: true });

fn exempt() -> Chat {
    Chat { exempt: true, exempt_from_cap: true, ..Chat::default() }
}

fn known() -> Chat {
    Chat { known: true, ..Chat::default() }
}

fn new() -> Chat {
    Chat::default()
}

fn message(chat: Chat, campaign: bool) -> Message<'static> {
    Message { chat, name: "5@lid", campaign, created_at: NOW, paid: false, text: Some(7) }
}

fn single(kept: &Restrictions, chat: Chat) -> Verdict {
    decide(kept, &NewChats::default(), PROPS, &message(chat, false), NOW)
}

fn campaign(kept: &Restrictions, chat: Chat) -> Verdict {
    decide(kept, &NewChats::default(), PROPS, &message(chat, true), NOW)
}

fn locked(until: Option<UnixMillis>) -> Restrictions {
    let lock = Lock { kind: LockKind::Default, since: NOW - HOUR, until, source: Source::Query };
    Restrictions { timelock: Some(lock), ..Restrictions::default() }
}

/// A cap of 20 of which `used` are gone, with ten days to go; the answer is fresh.
fn capped(used: u32, status: CapStatus) -> Restrictions {
    let told = Cap {
        total: 20,
        used,
        cycle_start: NOW / 1000 - 20 * 86_400,
        cycle_end: NOW / 1000 + 10 * 86_400,
        sent: 1,
        status,
        exception: Exception::default(),
        verified: Verified::default(),
    };
    let cap = Capped { told, at: NOW - MINUTE, until: Some(NOW + 10 * DAY), source: Source::Query };
    Restrictions { cap: Some(cap), asked_cap: Some(NOW - MINUTE), ..Restrictions::default() }
}

fn begun(ago: &[UnixMillis]) -> Vec<Unit> {
    ago.iter().map(|ago| Unit { at: NOW - ago, new: true }).collect()
}

#[test]
fn restriction_table_without_one_only_new_chats_cost() {
    let kept = Restrictions::default();
    for send in [single, campaign] {
        assert_eq!(send(&kept, exempt()), FREE);
        assert_eq!(send(&kept, known()), FREE);
        assert_eq!(send(&kept, new()), NEW);
    }
}

#[test]
fn restriction_table_time_lock_closes_all_but_exempt_chats_known_or_not() {
    let until = Some(NOW + HOUR);
    let kept = locked(until);
    assert_eq!((single(&kept, exempt()), campaign(&kept, exempt())), (FREE, FREE));
    for chat in [known(), new()] {
        assert_eq!(single(&kept, chat), Verdict::Refuse(Why::Timelock, until));
        assert_eq!(campaign(&kept, chat), Verdict::Wait(Why::Timelock, until));
    }
    assert_eq!(single(&locked(None), known()), Verdict::Refuse(Why::Timelock, None), "no end is known");
    assert_eq!(single(&locked(Some(NOW)), known()), FREE, "it is over");
}

#[test]
fn restriction_table_cap_reached_closes_all_but_exempt_chats_to_the_end_of_its_cycle() {
    let kept = capped(20, CapStatus::Capped);
    let until = Some(NOW + 10 * DAY);
    assert_eq!(single(&kept, exempt()), FREE);
    for chat in [known(), new()] {
        assert_eq!(single(&kept, chat), Verdict::Refuse(Why::Capped, until));
        assert_eq!(campaign(&kept, chat), Verdict::Wait(Why::Capped, until));
    }
    let hosted = Chat { exempt_from_cap: true, ..known() };
    assert_eq!(single(&kept, hosted), FREE, "hosted businesses are exempt from the cap alone");
    let mut both = kept.clone();
    both.timelock = locked(until).timelock;
    assert_eq!(single(&both, hosted), Verdict::Refuse(Why::Timelock, until));
    let mut over = kept;
    if let Some(cap) = &mut over.cap {
        cap.until = Some(NOW);
    }
    assert_eq!(single(&over, known()), FREE, "past its end the status counts as none");
    assert_eq!(single(&capped(20, CapStatus::None), known()), Verdict::Refuse(Why::Capped, until));
}

#[test]
fn restriction_table_a_refused_chat_is_closed_for_its_day_and_no_other() {
    let until = Some(NOW + 5 * HOUR);
    let kept = Restrictions::default();
    for chat in [known(), new()] {
        let refused = Chat { refused_until: until, ..chat };
        assert_eq!(single(&kept, refused), Verdict::Refuse(Why::ChatRefused, until));
        assert_eq!(campaign(&kept, refused), Verdict::Wait(Why::ChatRefused, until));
        assert!(matches!(single(&kept, Chat { refused_until: Some(NOW), ..chat }), Verdict::Go(_)));
    }
}

#[test]
fn restriction_table_cap_in_force_counts_new_chats_and_the_first_message_to_those_who_were_silent() {
    let kept = capped(10, CapStatus::None);
    assert_eq!(single(&kept, exempt()), FREE);
    let heard = Chat { heard_at: Some(NOW - 5 * DAY), ..known() };
    assert_eq!(single(&kept, heard), FREE, "they wrote to us in this cycle");
    let silent = Chat { heard_at: Some(NOW - 25 * DAY), ..known() };
    assert_eq!(single(&kept, silent), ONE_OF_QUOTA, "they wrote before it");
    let counted = Chat { counted_at: Some(NOW - DAY), ..silent };
    assert_eq!(single(&kept, counted), FREE, "it was counted in this cycle");
    assert_eq!(single(&kept, new()), NEW_OF_QUOTA);
}

#[test]
fn restriction_table_what_is_left_of_the_cap_is_spread_evenly() {
    // Ten left when the server counted, ten days: one a day.
    let mut kept = capped(10, CapStatus::None);
    kept.units = begun(&[3 * HOUR]);
    if let Some(cap) = &mut kept.cap {
        cap.at = NOW - 4 * HOUR;
    }
    let wait = Verdict::Wait(Why::Spread, Some(NOW - 3 * HOUR + DAY));
    assert_eq!(single(&kept, new()), wait);
    kept.units = begun(&[25 * HOUR]);
    assert_eq!(single(&kept, new()), NEW_OF_QUOTA);
    assert_eq!(single(&kept, known()), ONE_OF_QUOTA, "only new chats are spread");
}

#[test]
fn restriction_table_first_warning_halves_the_daily_number() {
    // 20 left, ten days: two a day.
    let with = |status, ago: &[UnixMillis]| {
        let mut kept = capped(0, status);
        if let Some(cap) = &mut kept.cap {
            cap.at = NOW - 3 * DAY;
        }
        kept.units = begun(ago);
        single(&kept, new())
    };
    assert_eq!(with(CapStatus::None, &[HOUR + 1]), NEW_OF_QUOTA);
    let one_a_day = Verdict::Wait(Why::Spread, Some(NOW - HOUR - 1 + DAY));
    assert_eq!(with(CapStatus::FirstWarning, &[HOUR + 1]), one_a_day);
    assert_eq!(with(CapStatus::FirstWarning, &[DAY + HOUR]), NEW_OF_QUOTA);
}

#[test]
fn restriction_table_second_warning_leaves_only_what_a_person_asked_for() {
    let kept = capped(17, CapStatus::SecondWarning);
    assert_eq!(single(&kept, new()), NEW_OF_QUOTA);
    assert_eq!(campaign(&kept, new()), Verdict::Wait(Why::NearlyCapped, Some(NOW + 10 * DAY)));
    assert_eq!(campaign(&kept, known()), ONE_OF_QUOTA);
    assert_eq!(campaign(&kept, exempt()), FREE);
}

#[test]
fn restriction_of_the_property_bounds_without_any_answer() {
    let props = CapProps { quota: 3, lifetime: HOUR };
    let kept = Restrictions {
        units: begun(&[2 * DAY, 3 * DAY, 4 * DAY]),
        asked_cap: Some(NOW),
        ..Restrictions::default()
    };
    let ask = |kept: &Restrictions, campaign| {
        decide(kept, &NewChats::default(), props, &message(new(), campaign), NOW)
    };
    assert_eq!(ask(&kept, false), Verdict::Refuse(Why::Capped, None));
    let fewer = Restrictions { units: begun(&[2 * DAY]), ..kept.clone() };
    assert_eq!(ask(&fewer, false), NEW_OF_QUOTA);
    let stale = Restrictions { asked_cap: Some(NOW - 2 * HOUR), ..fewer };
    assert_eq!(ask(&stale, true), Verdict::Wait(Why::AskingCap, None), "a campaign asks first");
    assert_eq!(ask(&stale, false), NEW_OF_QUOTA);
}

#[test]
fn restriction_of_ones_own_five_new_chats_an_hour_and_twenty_a_day() {
    let kept = |ago: &[UnixMillis]| Restrictions { units: begun(ago), ..Restrictions::default() };
    let minutes: Vec<_> = (1..=5).rev().map(|n| n * 10 * MINUTE).collect();
    let wait = |at| Verdict::Wait(Why::NewChats, Some(at));
    assert_eq!(single(&kept(&minutes), new()), wait(NOW + 10 * MINUTE));
    assert_eq!(single(&kept(&minutes[1..]), new()), NEW);
    assert_eq!(single(&kept(&minutes), known()), FREE);
    assert_eq!(single(&kept(&minutes), exempt()), FREE);
    let hours: Vec<_> = (1..=20).rev().map(|n| n * HOUR + MINUTE).collect();
    assert_eq!(single(&kept(&hours), new()), wait(NOW + 4 * HOUR - MINUTE));
    let nothing = NewChats { per_hour: 0, ..NewChats::default() };
    let verdict = decide(&kept(&[]), &nothing, PROPS, &message(new(), false), NOW);
    assert_eq!(verdict, wait(NOW + HOUR));
}

#[test]
fn restriction_of_identical_texts_refuses_the_sixth_new_chat_of_an_hour() {
    let text = |n: i64| Text { hash: 7, chat: format!("{n}@lid"), at: NOW - n * MINUTE };
    let mut kept = Restrictions { texts: (10..15).map(text).collect(), ..Restrictions::default() };
    let refused = Verdict::Refuse(Why::SameText, Some(NOW - 14 * MINUTE + HOUR));
    assert_eq!((single(&kept, new()), campaign(&kept, new())), (refused, refused));
    assert_eq!(single(&kept, known()), FREE, "known chats don't count");
    kept.texts[0].hash = 8;
    assert_eq!(single(&kept, new()), NEW);
    let other = Message { text: Some(9), ..message(new(), false) };
    kept.texts[0].hash = 7;
    assert_eq!(decide(&kept, &NewChats::default(), PROPS, &other, NOW), NEW);
}

#[test]
fn restriction_challenge_lets_only_what_was_ordered_this_minute() {
    let challenge = Some(Since { what: Challenge::Captcha, since: NOW });
    let kept = Restrictions { challenge, ..Restrictions::default() };
    let waits = Verdict::Wait(Why::Challenge, None);
    for chat in [exempt(), known(), new()] {
        assert_eq!(campaign(&kept, chat), waits);
        assert!(matches!(single(&kept, chat), Verdict::Go(_)));
        let old = Message { created_at: NOW - MINUTE - 1, ..message(chat, false) };
        assert_eq!(decide(&kept, &NewChats::default(), PROPS, &old, NOW), waits);
    }
}

#[test]
fn restriction_pauses_and_blocks_hold_every_chat() {
    let pause = Pause { since: NOW, until: NOW + HOUR };
    let kept = Restrictions { messages: Some(pause), ..Restrictions::default() };
    for chat in [exempt(), known(), new()] {
        assert_eq!(single(&kept, chat), Verdict::Wait(Why::Paused, Some(NOW + HOUR)));
        let blocked = Chat { blocked: true, ..chat };
        assert_eq!(single(&kept, blocked), Verdict::Refuse(Why::Blocked, None));
        assert_eq!(campaign(&Restrictions::default(), blocked), Verdict::Refuse(Why::Blocked, None));
    }
    let companions = Some(Since { what: LockKind::WebCompanionOnly, since: NOW });
    let kept = Restrictions { companions, ..Restrictions::default() };
    assert_eq!(single(&kept, known()), FREE);
    assert_eq!(campaign(&kept, known()), Verdict::Wait(Why::Companions, None));
}

#[test]
fn restriction_of_a_new_chat_lets_one_message_wait_for_the_word_on_the_other_and_paid_is_paid() {
    let kept = Restrictions { units: begun(&[1, 2, 3, 4, 5]), ..Restrictions::default() };
    let under_way = Chat { under_way: true, ..new() };
    assert_eq!(single(&kept, under_way), Verdict::Wait(Why::FirstMessage, None));
    let paid = Message { paid: true, ..message(under_way, false) };
    assert_eq!(decide(&kept, &NewChats::default(), PROPS, &paid, NOW), FREE);
}

/// What a refused group operation leaves in the record.
async fn after(
    action: GroupAction,
    group: Option<&Jid>,
    code: u32,
    rate_limit: Option<RateLimit>,
) -> Restrictions {
    let store = MemoryAccounts::new().create(&AccountId::new("a").unwrap(), NOW).unwrap();
    let error = IqError::Refused { code, text: String::new(), backoff: None, rate_limit };
    let (group, times) = (group.cloned(), Times { now: NOW, server_s: NOW / 1000 });
    store.write(move |tx| refused(tx, action, group.as_ref(), &error, times)).await.unwrap();
    store.read(Restrictions::load).await.unwrap()
}

#[tokio::test]
async fn restriction_of_group_operations_holds_what_it_says_and_as_long_as_it_says() {
    let group: Jid = "120363000000000001@g.us".parse().unwrap();
    let other: Jid = "120363000000000002@g.us".parse().unwrap();
    let limited = |kept: &Restrictions, action, group: &Jid, people, at| {
        kept.group_action(action, Some(group), people, at).err().map(|limited| limited.signal)
    };
    use GroupAction::{Add, Create, Link, Role, Send};
    let backoff = |scope| Some(RateLimit::Backoff { scope, seconds: 60 });

    let user = after(Add, Some(&group), 429, backoff(Scope::User)).await;
    for action in [Add, Create] {
        assert_eq!(limited(&user, action, &other, 1, NOW), Some(SignalKind::GroupAdds));
        assert_eq!(limited(&user, action, &other, 1, NOW + MINUTE), None, "it is over");
    }
    assert_eq!(limited(&user, Role, &group, 1, NOW), None);

    let one = after(Add, Some(&group), 429, backoff(Scope::Group)).await;
    assert_eq!(limited(&one, Add, &group, 1, NOW), Some(SignalKind::GroupAdds));
    assert_eq!(limited(&one, Add, &other, 1, NOW), None);

    let few = after(Create, None, 429, Some(RateLimit::Participants(3))).await;
    assert_eq!(limited(&few, Add, &group, 4, NOW), Some(SignalKind::GroupParticipants));
    assert_eq!(limited(&few, Add, &group, 3, NOW), None);

    let block = after(Role, Some(&group), 486, None).await;
    for action in [Add, Create, Role] {
        assert_eq!(limited(&block, action, &other, 1, NOW + HOUR), Some(SignalKind::GroupBlock));
        assert_eq!(limited(&block, action, &other, 1, NOW + DAY), None);
    }
    assert_eq!(limited(&block, Send, &group, 1, NOW), None);

    let locked = after(Link, Some(&group), 436, Some(RateLimit::Locked(NOW / 1000 + 3600))).await;
    assert_eq!(limited(&locked, Link, &group, 1, NOW), Some(SignalKind::GroupLocked));
    assert_eq!(limited(&locked, Link, &group, 1, NOW + HOUR + 1000), None);
    let suspended = after(Send, Some(&group), 416, None).await;
    assert_eq!(limited(&suspended, Send, &group, 1, NOW + 99 * DAY), Some(SignalKind::GroupSuspended));
    assert_eq!(limited(&suspended, Send, &other, 1, NOW), None);

    let companions = Some(Since { what: LockKind::RestrictAllCompanions, since: NOW });
    let kept = Restrictions { companions, ..Restrictions::default() };
    assert_eq!(limited(&kept, Create, &group, 1, NOW), Some(SignalKind::Companions));
    assert_eq!(limited(&kept, Add, &group, 1, NOW), None);
}
