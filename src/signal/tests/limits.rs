//! The bounds of a session and a record (04 §22 no. 10, 12; §17).

use super::*;
use crate::crypto::count;

#[test]
fn the_41st_archived_session_drops_the_oldest() {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    let firsts: Vec<_> = (1..=42)
        .map(|id| {
            a.record = SessionRecord::default();
            a.process(&b.bundle(Some(id)));
            let (first, second) = (a.send(b"first"), a.send(b"second"));
            b.opens(&first, b"first");
            second
        })
        .collect();
    assert_eq!(b.record.archived.len(), 40);
    assert_eq!(b.refuses(&firsts[0]), SignalError::UnknownPreKey, "its session is gone");
    assert_eq!(b.opens(&firsts[1], b"second"), OpenedBy::Promoted);
}

#[test]
fn a_sixth_receive_chain_drops_the_oldest() {
    let (mut a, mut b) = pair(1);
    let mut kept = Vec::new();
    for _ in 0..7 {
        let (late, now) = (a.send(b"late"), a.send(b"now"));
        b.opens(&now, b"now");
        kept.push(late);
        let answer = b.send(b"turn");
        a.opens(&answer, b"turn");
    }
    assert_eq!(b.refuses(&kept[0]), SignalError::BadMac);
    assert_eq!(b.refuses(&kept[1]), SignalError::BadMac);
    for late in &kept[2..] {
        b.opens(late, b"late");
    }
}

#[test]
fn the_2001st_skipped_seed_drops_the_oldest() {
    let (mut a, mut b) = pair(1);
    let early: Vec<_> = (0..2).map(|_| a.send(b"early")).collect();
    a.skip(1997);
    let far = a.send(b"far");
    b.opens(&far, b"far");
    assert_eq!(b.record.current.as_ref().unwrap().receive_chains.last().unwrap().skipped.len(), 1999);
    a.skip(2);
    let farther = a.send(b"farther");
    b.opens(&farther, b"farther");
    assert_eq!(b.record.current.as_ref().unwrap().receive_chains.last().unwrap().skipped.len(), 2000);
    assert_eq!(b.refuses(&early[0]), SignalError::Duplicate);
    b.opens(&early[1], b"early");
}

#[test]
fn a_jump_of_1999_opens_and_of_2001_is_too_far_and_costs_nothing() {
    for known in [true, false] {
        let (mut a, mut b) = pair(1);
        if known {
            let first = a.send(b"chain");
            b.opens(&first, b"chain");
        }
        let mut copy = Party { record: a.record.clone(), rng: rng(9), ..Party::new(1) };
        a.skip(1999);
        let near = a.send(b"near");
        copy.skip(2001);
        let far = copy.send(b"far");
        let message = SignalMessage::parse(&far.bytes).unwrap();
        let receive = Receive { now: NOW, own_account: false };
        let (cost, result) = count::of(|| {
            b.record.decrypt_message(&message, receive, &mut Guard::default(), &mut b.rng).unwrap_err()
        });
        assert_eq!((cost, result), (count::Count::default(), SignalError::TooFar), "known chain: {known}");
        b.opens(&near, b"near");
    }
}

#[test]
fn a_device_of_our_own_account_may_jump_by_25_000_and_keeps_2000_seeds() {
    let (mut a, mut b) = pair(1);
    b.own_account = true;
    a.skip(24_999);
    let near = a.send(b"near");
    a.skip(25_001);
    let far = a.send(b"far");
    b.opens(&near, b"near");
    assert_eq!(b.record.current.as_ref().unwrap().receive_chains.last().unwrap().skipped.len(), 2000);
    assert_eq!(b.refuses(&far), SignalError::TooFar);
}

#[test]
fn a_counter_at_its_end_does_not_wrap() {
    let (mut a, mut b) = pair(1);
    a.record.current.as_mut().unwrap().send_chain.as_mut().unwrap().index = u32::MAX - 1;
    let last = a.send(b"last");
    assert_eq!(SignalMessage::parse(&last.bytes).unwrap().counter(), u32::MAX - 1);
    let before = a.record.serialize();
    let mut out = vec![1, 2, 3];
    assert_eq!(a.record.encrypt_into(b"x", NOW, &mut out).unwrap_err(), SignalError::CounterExhausted);
    assert_eq!((a.record.serialize(), &out[..]), (before, &[1, 2, 3][..]));
    assert!(!a.record.can_send(NOW));
    assert_eq!(b.refuses(&last), SignalError::TooFar);
}

#[test]
fn a_record_stays_below_two_mebibytes_by_dropping_the_oldest_archived() {
    use crate::crypto::PublicKey;
    let (mut a, mut b) = pair(1);
    let message = a.send(b"x");
    b.opens(&message, b"x");
    let full = {
        let session = b.record.current.as_mut().unwrap();
        let chain = session.receive_chains.last_mut().unwrap();
        chain.chain.index = 2000;
        chain.skipped = (0..2000).map(|at| (at, super::message_key::Seed([1; 32]))).collect();
        session.receive_chains = vec![session.receive_chains.last().unwrap().clone(); 5];
        session.clone()
    };
    b.record.archived = (0..40)
        .map(|at| {
            let mut session = full.clone();
            session.base_key = PublicKey([at; 32]);
            session
        })
        .collect();
    b.record.archive_current();
    let stored = b.record.serialize();
    assert!(stored.len() <= 2 * 1024 * 1024);
    let kept = SessionRecord::deserialize(&stored).unwrap();
    assert_eq!(kept.archived.len(), 5);
    assert_eq!(kept.archived[0].base_key, full.base_key, "the newest stay");
}
