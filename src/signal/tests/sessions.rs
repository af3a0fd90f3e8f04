//! Bundles, prekeys, pending sessions, simultaneous initiation, identity changes (04 §22 no. 4 to 8, 11).

use super::*;

#[test]
fn without_a_one_time_prekey_a_session_opens() {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    a.process(&b.bundle(None));
    let first = a.send(b"hello");
    assert_eq!(b.opens(&first, b"hello"), OpenedBy::New { consumed_prekey: None });
}

#[test]
fn a_one_time_prekey_that_is_gone_is_unknown_prekey() {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    a.process(&b.bundle(Some(7)));
    b.one_time.remove(&7);
    let first = a.send(b"hello");
    assert_eq!(b.refuses(&first), SignalError::UnknownPreKey);
}

#[test]
fn an_unknown_signed_prekey_is_refused_and_the_previous_one_still_works_after_a_rotation() {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    a.process(&b.bundle(Some(7)));
    let first = a.send(b"hello");
    let rotated = SignedPreKey::generate(2, &b.identity, &mut b.rng);
    b.signed.insert(2, rotated);
    let old = b.signed.remove(&1).unwrap();
    assert_eq!(b.refuses(&first), SignalError::UnknownSignedPreKey);
    b.signed.insert(1, old);
    b.opens(&first, b"hello");
}

#[test]
fn pkmsg_until_the_first_answer_and_msg_after_and_the_prekey_is_needed_once() {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    a.process(&b.bundle(Some(7)));
    let sent: Vec<_> = (0..3_u8).map(|at| a.send(&[at])).collect();
    assert!(sent.iter().all(|sent| sent.kind == CiphertextType::PreKey));
    assert!(b.one_time.contains_key(&7));
    // Any order: the first to arrive makes the session.
    assert_eq!(b.opens(&sent[1], &[1]), OpenedBy::New { consumed_prekey: Some(7) });
    assert!(!b.one_time.contains_key(&7), "the row goes exactly with the first success");
    assert_eq!(b.opens(&sent[2], &[2]), OpenedBy::Current);
    assert_eq!(b.opens(&sent[0], &[0]), OpenedBy::Current);
    assert_eq!(b.refuses(&sent[1]), SignalError::Duplicate, "not unknown_prekey");
    assert!(a.record.is_pending());
    let answer = b.send(b"answer");
    assert_eq!(answer.kind, CiphertextType::Message);
    a.opens(&answer, b"answer");
    assert_eq!(a.send(b"after").kind, CiphertextType::Message);
}

#[test]
fn a_session_pending_for_thirty_days_is_not_sent_on() {
    let (mut a, b) = (Party::new(1), Party::new(2));
    a.process(&b.bundle(Some(7)));
    assert!(a.record.can_send(NOW + 30 * DAY));
    assert!(!a.record.can_send(NOW + 30 * DAY + 1));
    a.now = NOW + 30 * DAY + 1;
    assert_eq!(a.record.encrypt(b"x", a.now).unwrap_err(), SignalError::NoSession);
}

#[test]
fn a_bundle_with_our_own_identity_key_is_refused_and_leaves_no_session() {
    let mut a = Party::new(1);
    let bundle = a.bundle(None);
    let local = Local { identity: &a.identity, registration_id: a.registration_id };
    let result = a.record.process_bundle(local, &bundle, NOW, &mut a.rng);
    assert_eq!(result.unwrap_err(), SignalError::InvalidKey);
    assert!(a.record.is_empty());
}

#[test]
fn simultaneous_initiation_converges_within_one_round_trip() {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    a.process(&b.bundle(Some(1)));
    b.process(&a.bundle(Some(1)));
    let (from_a, from_b) = (a.send(b"a"), b.send(b"b"));
    b.opens(&from_a, b"a");
    a.opens(&from_b, b"b");
    let again = a.send(b"a2");
    assert_eq!(b.opens(&again, b"a2"), OpenedBy::Promoted);
    let answer = b.send(b"b2");
    assert_eq!(a.opens(&answer, b"b2"), OpenedBy::Current);
    assert_eq!(a.record.base_key(), b.record.base_key());
    // From here on every exchange turns the ratchet of one session.
    for _ in 0..3 {
        let ping = a.send(b"ping");
        assert_eq!(b.opens(&ping, b"ping"), OpenedBy::Current);
        let pong = b.send(b"pong");
        assert_eq!(a.opens(&pong, b"pong"), OpenedBy::Current);
    }
}

#[test]
fn crossing_answers_never_lose_a_message() {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    a.process(&b.bundle(Some(1)));
    b.process(&a.bundle(Some(1)));
    for _ in 0..6 {
        let (from_a, from_b) = (a.send(b"a"), b.send(b"b"));
        b.opens(&from_a, b"a");
        a.opens(&from_b, b"b");
    }
}

#[test]
fn a_late_message_on_an_archived_session_leaves_the_current_one_intact() {
    let (mut a, mut b) = pair(1);
    let late = a.send(b"late");
    let old = b.record.base_key().copied();
    // The peer initiates anew with the same identity: the old session is archived here.
    let mut fresh = Party { rng: rng(99), ..Party::new(1) };
    fresh.process(&b.bundle(Some(2)));
    fresh.registration_id = a.registration_id;
    let first = fresh.send(b"new session");
    b.opens(&first, b"new session");
    assert_ne!(b.record.base_key().copied(), old);
    let answer = b.send(b"to the new one");
    assert_eq!(b.opens(&late, b"late"), OpenedBy::Promoted);
    fresh.opens(&answer, b"to the new one");
    let more = fresh.send(b"more");
    b.opens(&more, b"more");
}

#[test]
fn a_retired_session_opens_without_promotion_and_its_pkmsg_brings_no_identity_back() {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    a.process(&b.bundle(Some(1)));
    let first = a.send(b"first");
    let late_prekey = a.send(b"late pkmsg");
    b.opens(&first, b"first");
    let answer = b.send(b"answer");
    a.opens(&answer, b"answer");
    let late = a.send(b"late msg");
    // Another installation of the peer.
    let mut other = Party::new(3);
    other.process(&b.bundle(Some(2)));
    let hello = other.send(b"reinstalled");
    assert_eq!(b.opens(&hello, b"reinstalled"), OpenedBy::New { consumed_prekey: Some(2) });
    let current = b.record.base_key().copied();
    assert_eq!(b.opens(&late, b"late msg"), OpenedBy::Retired);
    assert_eq!(b.opens(&late_prekey, b"late pkmsg"), OpenedBy::Retired);
    assert_eq!(b.record.base_key().copied(), current);
    assert_eq!(b.record.remote_identity(), Some(&IdentityKey(*other.identity.public())));
    let to_other = b.send(b"answer");
    other.opens(&to_other, b"answer");
    // A month later it is gone.
    b.now += 31 * DAY;
    let again = other.send(b"again");
    b.opens(&again, b"again");
    assert!(b.record.archived.is_empty());
}

#[test]
fn another_registration_id_retires_the_sessions_of_the_lost_installation() {
    let (_, mut b) = pair(1);
    let identity = *b.record.remote_identity().unwrap();
    let known = b.record.remote_registration_id().unwrap();
    assert!(!b.record.peer_is(&identity, known, NOW));
    assert!(!b.record.peer_is(&identity, 0, NOW), "an absent id says nothing");
    assert!(b.record.can_send(NOW));
    assert!(b.record.peer_is(&identity, known + 1, NOW));
    assert!(!b.record.can_send(NOW));
    assert_eq!(b.record.encrypt(b"x", NOW).unwrap_err(), SignalError::NoSession);
}

#[test]
fn after_a_restore_every_session_opens_and_none_is_sent_on() {
    let (mut a, mut b) = pair(1);
    let sent = a.send(b"to the restored one");
    assert!(b.record.retire_all(NOW));
    assert!(!b.record.can_send(NOW));
    assert_eq!(b.opens(&sent, b"to the restored one"), OpenedBy::Retired);
    assert!(!b.record.can_send(NOW));
}

#[test]
fn an_error_leads_to_the_answer_of_its_class() {
    use RetryReason::{BadMac, FutureMessage, InvalidKey, NoSession};
    let table = [
        (SignalError::Duplicate, Answer::AsSeen),
        (SignalError::NoSession, Answer::Retry(Some(NoSession))),
        (SignalError::NoSenderKey, Answer::Retry(Some(NoSession))),
        (SignalError::InvalidKey, Answer::Retry(Some(InvalidKey))),
        (SignalError::UnknownPreKey, Answer::Retry(None)),
        (SignalError::UnknownSignedPreKey, Answer::Retry(None)),
        (SignalError::Malformed, Answer::Retry(None)),
        (SignalError::Version, Answer::Retry(None)),
        (SignalError::TooFar, Answer::Retry(Some(FutureMessage))),
        (SignalError::BadSignature, Answer::Retry(Some(InvalidKey))),
        (SignalError::BadMac, Answer::Retry(Some(BadMac))),
        (SignalError::CounterExhausted, Answer::Renew),
    ];
    for (error, answer) in table {
        assert_eq!(error.answer(), answer, "{error}");
    }
    let codes = [NoSession, InvalidKey, FutureMessage, BadMac, RetryReason::Identity].map(RetryReason::code);
    assert_eq!(codes, [1, 2, 6, 7, 12]);
}

#[test]
fn wrong_padding_commits_the_ratchet_and_is_not_retried() {
    let (mut a, mut b) = pair(1);
    let sent = a.send(&[1, 2, 0]);
    let before = b.record.serialize();
    let opened = b.receive(&sent).unwrap();
    assert_eq!(padding::unpad(&opened.plaintext), Err(padding::PaddingError));
    assert_ne!(b.record.serialize(), before, "the ratchet is committed");
    let again = b.refuses(&sent);
    assert_eq!((again, again.answer()), (SignalError::Duplicate, Answer::AsSeen), "never a retry receipt");
    let next = a.send(b"next");
    b.opens(&next, b"next");
}

#[test]
fn an_identity_change_in_an_invalid_pkmsg_changes_nothing() {
    let (mut a, mut b) = pair(1);
    let mut other = Party::new(3);
    other.process(&b.bundle(Some(2)));
    let mut hello = other.send(b"reinstalled");
    // The inner code stands before the two small fields at the end.
    let position = hello.bytes.len() - 8;
    hello.bytes[position] ^= 1;
    let identity = b.record.remote_identity().copied();
    assert_eq!(b.refuses(&hello), SignalError::BadMac);
    assert!(b.one_time.contains_key(&2), "its one-time prekey is still there");
    assert_eq!(b.record.remote_identity().copied(), identity);
    let next = a.send(b"next");
    assert_eq!(b.opens(&next, b"next"), OpenedBy::Current);
}

#[test]
fn a_corrupt_session_row_is_no_session_and_the_next_pkmsg_works() {
    let (mut a, mut b) = pair(1);
    let mut row = b.record.serialize();
    row[40] ^= 1;
    // What does not read is set aside, and counts as no record.
    assert_eq!(SessionRecord::deserialize(&row).unwrap_err(), RecordError::Checksum);
    b.record = SessionRecord::default();
    let lost = a.send(b"lost");
    assert_eq!(b.refuses(&lost), SignalError::NoSession);
    a.record.archive_current();
    a.process(&b.bundle(Some(2)));
    let resent = a.send(b"resent");
    assert_eq!(b.opens(&resent, b"resent"), OpenedBy::New { consumed_prekey: Some(2) });
}
