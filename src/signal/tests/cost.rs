//! The cost of each operation (04 §18, §22 no. 24), counted by a wrapper around the primitives.

use super::*;
use crate::crypto::count::{self, Count};

fn cost<T>(work: impl FnOnce() -> T) -> Count {
    count::of(work).0
}

#[test]
fn a_bundle_costs_what_the_table_says() {
    for (one_time, dh) in [(Some(1), 5), (None, 4)] {
        let (mut a, b) = (Party::new(1), Party::new(2));
        let cost = cost(|| a.process(&b.bundle(one_time)));
        assert_eq!(cost, Count { dh, key_pairs: 2, verified: 1, signed: 0, hmac: 6 });
    }
}

#[test]
fn encrypting_costs_seven_hashes_and_the_first_send_is_the_sum() {
    let (mut a, b) = (Party::new(1), Party::new(2));
    let first = cost(|| {
        a.process(&b.bundle(Some(1)));
        a.send(b"text");
    });
    assert_eq!(first, Count { dh: 5, key_pairs: 2, verified: 1, signed: 0, hmac: 13 });
    let next = cost(|| a.send(b"text"));
    assert_eq!(next, Count { hmac: 7, ..Count::default() });
}

#[test]
fn the_first_receive_costs_what_the_table_says() {
    for (one_time, dh) in [(Some(1), 6), (None, 5)] {
        let (mut a, mut b) = (Party::new(1), Party::new(2));
        a.process(&b.bundle(one_time));
        let first = a.send(b"text");
        let cost = cost(|| b.opens(&first, b"text"));
        assert_eq!(cost, Count { dh, key_pairs: 1, hmac: 16, ..Count::default() });
    }
}

#[test]
fn receiving_in_a_chain_with_a_gap_and_a_skipped_message_cost_hashes_only() {
    let (mut a, mut b) = pair(1);
    let first = a.send(b"0");
    b.opens(&first, b"0");
    let (one, skipped) = (a.send(b"1"), a.send(b"2"));
    a.skip(9);
    let far = a.send(b"far");
    let hashes = |hmac| Count { hmac, ..Count::default() };
    assert_eq!(cost(|| b.opens(&one, b"1")), hashes(7));
    assert_eq!(cost(|| b.opens(&far, b"far")), hashes(7 + 2 * 10));
    assert_eq!(cost(|| b.opens(&skipped, b"2")), hashes(5));
}

#[test]
fn a_turn_costs_two_agreements_and_one_key_pair() {
    let (mut a, mut b) = pair(1);
    let turn = a.send(b"turn");
    let cost = cost(|| b.opens(&turn, b"turn"));
    assert_eq!(cost, Count { dh: 2, key_pairs: 1, hmac: 13, ..Count::default() });
}

#[test]
fn a_failed_attempt_costs_one_agreement_and_no_key_pair() {
    let (_, mut b) = pair(1);
    let (mut other, _) = pair(7);
    other.skip(3);
    let foreign = other.send(b"foreign");
    let cost = cost(|| b.refuses(&foreign));
    assert_eq!(cost, Count { dh: 1, hmac: 10 + 2 * 3, ..Count::default() });
}

#[test]
fn a_one_time_prekey_costs_one_key_pair() {
    let cost = cost(|| KeyPair::generate(&mut rng(1)));
    assert_eq!(cost, Count { key_pairs: 1, ..Count::default() });
}

#[test]
fn fan_out_to_devices_with_sessions_costs_seven_hashes_for_each() {
    let mut devices: Vec<Party> = (1..=6).map(|seed| pair(seed).0).collect();
    let cost = cost(|| devices.iter_mut().for_each(|device| drop(device.send(b"text"))));
    assert_eq!(cost, Count { hmac: 7 * 6, ..Count::default() });
}

#[test]
fn group_messages_cost_what_the_table_says() {
    let mut rng = rng(1);
    let mut own = SenderKey::generate(&mut rng);
    let mut record = SenderKeyRecord::new();
    record.process(&own.distribution());
    let (sending, sent) = count::of(|| own.encrypt(b"text", &mut rng).unwrap());
    assert_eq!(sending, Count { signed: 1, hmac: 5, ..Count::default() });
    let opening = cost(|| record.decrypt(&sent).unwrap());
    assert_eq!(opening, Count { verified: 1, hmac: 5, ..Count::default() });
    for _ in 0..4 {
        own.encrypt(b"never sent", &mut rng).unwrap();
    }
    let far = own.encrypt(b"far", &mut rng).unwrap();
    let gap = cost(|| record.decrypt(&far).unwrap());
    assert_eq!(gap, Count { verified: 1, hmac: 5 + 2 * 4, ..Count::default() });
}

#[test]
fn add_ons_bot_replies_and_reporting_tokens_cost_two_four_and_three_hashes() {
    let secret = addon::MessageSecret::from_slice(&[1; 32]).unwrap();
    let hashes = |hmac| Count { hmac, ..Count::default() };
    let context = addon::Context { message_id: "ID", original_sender: "1@lid", modification_sender: "2@lid" };
    let seal = || addon::seal_with(&secret, addon::Use::PollVote, &context, b"vote", [7; 12]).unwrap();
    assert_eq!(cost(seal), hashes(2));
    let reply = bot::Reply { reply_id: "ID", target_sender: "1@lid", bot: "2@bot" };
    assert_eq!(cost(|| reply.key(&secret)), hashes(4));
    let token = || reporting::token(&secret, "ID", "1@lid", "2@lid", &[0x0a, 1, b'a']).unwrap();
    assert_eq!(cost(token), hashes(3));
}
