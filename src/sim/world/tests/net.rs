//! A bad network towards clients (09 §21 `net`).

use super::super::testing::{Companion, Lab};
use crate::sim::world::{NetRule, Scope};
use crate::wire::Node;

fn lab() -> (Lab, Companion, Companion, String) {
    let mut lab = Lab::new();
    let (a, b) = (lab.account(), lab.account());
    let (one, two) = (lab.companion(&a, 20), lab.companion(&b, 20));
    (lab, one, two, b)
}

fn write(lab: &mut Lab, from: &mut Companion, to: &Companion, id: u32) {
    let to = to.jid.clone().unwrap();
    let message = from.message(&id.to_string(), &to.without_device(), &[to]);
    from.send(lab, message.attr("device_fanout", "false"));
}

fn ids(companion: &mut Companion) -> Vec<u32> {
    let messages = companion.drain().into_iter().filter(|node| node.tag == "message");
    // What the phone sends its new companion has other ids.
    messages.filter_map(|node| node.str("id").unwrap().parse().ok()).collect()
}

fn to(account: &str) -> Scope {
    Scope { account: Some(account.to_owned()), ..Scope::default() }
}

#[test]
fn latency_delays_and_keeps_the_order_whatever_the_jitter() {
    let (mut lab, mut one, mut two, b) = lab();
    lab.world.set_net(NetRule { scope: to(&b), latency_ms: 1000, jitter_ms: 900, ..NetRule::default() });
    (0..50).for_each(|id| write(&mut lab, &mut one, &two, id));
    assert!(one.take("ack").get("error").is_none(), "others are not slowed down");
    assert_eq!(ids(&mut two), [0; 0]);
    lab.later(1900);
    assert_eq!(ids(&mut two), (0..50).collect::<Vec<_>>());
    lab.world.set_net(NetRule { scope: to(&b), ..NetRule::default() });
    write(&mut lab, &mut one, &two, 50);
    assert_eq!(ids(&mut two), [50], "lifted");
}

#[test]
fn what_is_lost_comes_at_the_next_login_and_no_iq_is_lost() {
    let (mut lab, mut one, mut two, b) = lab();
    lab.world.set_net(NetRule { scope: to(&b), loss: 0.5, ..NetRule::default() });
    (0..100).for_each(|id| write(&mut lab, &mut one, &two, id));
    let came = ids(&mut two);
    assert!((20..80).contains(&came.len()), "{}", came.len());
    for _ in 0..20 {
        two.iq(&mut lab, "w:p", "get", Node::new("ping"));
    }
    lab.world.set_net(NetRule { scope: to(&b), ..NetRule::default() });
    two.login(&mut lab, false);
    lab.later(600);
    assert_eq!(ids(&mut two), (0..100).collect::<Vec<_>>(), "nothing of it was answered");
}

#[test]
fn reordering_changes_the_order_and_loses_nothing() {
    let (mut lab, mut one, mut two, b) = lab();
    lab.world.set_net(NetRule { scope: to(&b), reorder: 0.3, ..NetRule::default() });
    (0..40).for_each(|id| write(&mut lab, &mut one, &two, id));
    lab.later(1000);
    let mut came = ids(&mut two);
    assert_ne!(came, (0..40).collect::<Vec<_>>());
    came.sort_unstable();
    assert_eq!(came, (0..40).collect::<Vec<_>>());
}

#[test]
fn impossible_figures_are_seen() {
    let rule = |loss, latency_ms| NetRule { loss, latency_ms, ..NetRule::default() };
    assert!(rule(1.0, 0).is_possible());
    assert!(!rule(1.1, 0).is_possible() && !rule(f64::NAN, 0).is_possible() && !rule(0.0, -1).is_possible());
}
