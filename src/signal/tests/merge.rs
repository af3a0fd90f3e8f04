//! The migration of a PN record into the LID record (04 §11.3, §22 no. 16; the transaction around it is the
//! client's).

use super::*;

/// A peer that has a confirmed session with us under each address, one of them with a skipped seed.
struct Split {
    /// The peer; what it sends goes over the session of the LID address.
    peer: Party,
    /// Ours.
    pn: SessionRecord,
    lid: SessionRecord,
    /// A message that was skipped in the PN session.
    skipped: Ciphertext,
}

fn split() -> Split {
    let (mut peer, mut us) = pair(1);
    let skipped = peer.send(b"skipped under the PN");
    let next = peer.send(b"next");
    us.opens(&next, b"next");
    let pn = std::mem::take(&mut us.record);
    peer.process(&us.bundle(Some(2)));
    let first = peer.send(b"first");
    us.opens(&first, b"first");
    let answer = us.send(b"answer");
    peer.opens(&answer, b"answer");
    Split { peer, pn, lid: us.record, skipped }
}

fn identity(party: &Party) -> IdentityKey {
    IdentityKey(*party.identity.public())
}

#[test]
fn messages_of_both_records_open_after_the_migration() {
    let Split { mut peer, pn, lid, skipped } = split();
    let merged = SessionRecord::merge(lid.clone(), pn, &identity(&peer), NOW);
    let mut us = Party { record: merged, ..Party::new(1001) };
    assert_eq!(us.record.base_key(), lid.base_key(), "the LID record's current leads");
    let under_lid = peer.send(b"under the LID");
    assert_eq!(us.opens(&under_lid, b"under the LID"), OpenedBy::Current);
    assert_eq!(us.opens(&skipped, b"skipped under the PN"), OpenedBy::Promoted);
}

#[test]
fn migrating_twice_gives_the_same_record() {
    let Split { peer, pn, lid, .. } = split();
    let once = SessionRecord::merge(lid, pn.clone(), &identity(&peer), NOW);
    let again = SessionRecord::merge(once.clone(), pn, &identity(&peer), NOW);
    assert_eq!(again.serialize(), once.serialize());
    let moved = SessionRecord::merge(once.clone(), SessionRecord::default(), &identity(&peer), NOW);
    assert_eq!(moved.serialize(), once.serialize());
}

#[test]
fn without_a_lid_record_the_pn_record_moves() {
    let Split { peer, pn, .. } = split();
    let merged = SessionRecord::merge(SessionRecord::default(), pn.clone(), &identity(&peer), NOW);
    assert_eq!(merged.serialize(), pn.serialize());
}

#[test]
fn a_pending_lid_session_gives_way_to_the_confirmed_one_of_the_pn() {
    let Split { peer, pn, .. } = split();
    let mut us = Party { rng: rng(99), ..Party::new(1001) };
    us.process(&peer.bundle(Some(9)));
    let pending = us.record;
    let merged = SessionRecord::merge(pending.clone(), pn.clone(), &identity(&peer), NOW);
    assert_eq!(merged.base_key(), pn.base_key());
    let alone = SessionRecord::merge(pending.clone(), SessionRecord::default(), &identity(&peer), NOW);
    assert_eq!(alone.base_key(), pending.base_key(), "without a PN session the pending one stays");
}

#[test]
fn sessions_with_another_identity_than_the_kept_one_are_retired() {
    let Split { pn, lid, .. } = split();
    let merged = SessionRecord::merge(lid, pn, &identity(&Party::new(77)), NOW);
    assert!(merged.base_key().is_none() && !merged.can_send(NOW));
    assert!(merged.archived.iter().all(|session| session.retired_at == Some(NOW)));
}

#[test]
fn two_copies_of_one_chain_never_stay_and_the_lid_copy_does() {
    let (_, mut b) = pair(1);
    let stale = b.record.clone();
    b.skip(3);
    let merged = SessionRecord::merge(b.record.clone(), stale, b.record.remote_identity().unwrap(), NOW);
    assert_eq!(merged.serialize(), b.record.serialize());
}
