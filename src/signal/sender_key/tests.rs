use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::signal::{SenderKeyDistribution, SignalError};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

/// A chain and the record of a member who got its first distribution.
fn pair(rng: &mut ChaCha20Rng) -> (SenderKey, SenderKeyRecord) {
    let own = SenderKey::generate(rng);
    let mut record = SenderKeyRecord::new();
    record.process(&reparsed(&own));
    (own, record)
}

fn reparsed(own: &SenderKey) -> SenderKeyDistribution {
    SenderKeyDistribution::parse(&own.distribution().serialize()).unwrap()
}

fn send(own: &mut SenderKey, rng: &mut ChaCha20Rng, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| own.encrypt(&i.to_be_bytes(), rng).unwrap()).collect()
}

#[test]
fn messages_open_in_any_order_and_only_once() {
    let rng = &mut rng();
    let (mut own, mut record) = pair(rng);
    let sent = send(&mut own, rng, 5);
    for i in [3, 0, 4, 2, 1_usize] {
        assert_eq!(record.decrypt(&sent[i]).unwrap(), i.to_be_bytes());
        let before = record.serialize();
        assert_eq!(record.decrypt(&sent[i]), Err(SignalError::Duplicate));
        assert_eq!(record.serialize(), before);
    }
}

#[test]
fn five_states_are_kept_and_the_sixth_drops_the_oldest() {
    let rng = &mut rng();
    let mut record = SenderKeyRecord::new();
    let mut chains: Vec<SenderKey> = (0..6).map(|_| SenderKey::generate(rng)).collect();
    chains.iter().for_each(|own| record.process(&reparsed(own)));
    let mut opened = chains.iter_mut().map(|own| {
        let message = own.encrypt(b"m", rng).unwrap();
        record.decrypt(&message)
    });
    assert_eq!(opened.next().unwrap(), Err(SignalError::NoSenderKey));
    assert!(opened.all(|result| result.is_ok()));
}

#[test]
fn redistribution_does_not_rewind() {
    let rng = &mut rng();
    let (mut own, mut record) = pair(rng);
    let first = reparsed(&own);
    let sent = send(&mut own, rng, 3);
    record.decrypt(&sent[2]).unwrap();
    record.process(&first);
    assert_eq!(record.decrypt(&sent[2]), Err(SignalError::Duplicate));
    assert_eq!(record.decrypt(&sent[0]).unwrap(), 0_usize.to_be_bytes());
}

#[test]
fn redistribution_more_than_2000_ahead_moves_forward_and_2000_does_not() {
    let rng = &mut rng();
    for (ahead, moves) in [(2000, false), (2001, true)] {
        let (mut own, mut record) = pair(rng);
        for _ in 0..ahead {
            own.chain.advance();
        }
        record.process(&reparsed(&own));
        own.chain.advance();
        let far = own.encrypt(b"far", rng).unwrap();
        assert_eq!(record.decrypt(&far).is_ok(), moves, "{ahead}");
    }
}

#[test]
fn the_same_key_id_under_another_signing_key_replaces_the_state() {
    let rng = &mut rng();
    let (mut old, mut record) = pair(rng);
    let mut new = SenderKey::generate(rng);
    new.id = old.id;
    record.process(&reparsed(&new));
    let (late, fresh) = (old.encrypt(b"late", rng).unwrap(), new.encrypt(b"fresh", rng).unwrap());
    assert_eq!(record.decrypt(&late), Err(SignalError::BadSignature));
    assert_eq!(record.decrypt(&fresh).unwrap(), b"fresh");
}

#[test]
fn signature_is_checked_before_derivation() {
    let rng = &mut rng();
    let (mut own, mut record) = pair(rng);
    own.chain.iteration = 5000;
    let mut far = own.encrypt(b"far", rng).unwrap();
    assert_eq!(record.decrypt(&far), Err(SignalError::TooFar));
    *far.last_mut().unwrap() ^= 0x40;
    let before = record.serialize();
    assert_eq!(record.decrypt(&far), Err(SignalError::BadSignature));
    assert_eq!(record.serialize(), before);
}

#[test]
fn a_jump_of_2000_opens_and_of_2001_is_too_far() {
    let rng = &mut rng();
    for (jump, opens) in [(1999, true), (2000, true), (2001, false)] {
        let (mut own, mut record) = pair(rng);
        for _ in 0..jump {
            own.chain.advance();
        }
        let message = own.encrypt(b"m", rng).unwrap();
        let expected = if opens { Ok(b"m".to_vec()) } else { Err(SignalError::TooFar) };
        assert_eq!(record.decrypt(&message), expected, "{jump}");
    }
}

#[test]
fn the_2001st_skipped_seed_drops_the_oldest() {
    let rng = &mut rng();
    let (mut own, mut record) = pair(rng);
    let sent = send(&mut own, rng, 2002);
    // 1500 skipped, one opened, 500 skipped, one opened: 2000 kept; one more skipped drops number 0.
    record.decrypt(&sent[1500]).unwrap();
    record.decrypt(&sent[2001]).unwrap();
    assert_eq!(record.states[0].skipped.len(), MAX_SKIPPED);
    own.chain.advance();
    let later = own.encrypt(b"later", rng).unwrap();
    record.decrypt(&later).unwrap();
    assert_eq!(record.states[0].skipped.len(), MAX_SKIPPED);
    assert_eq!(record.decrypt(&sent[0]), Err(SignalError::Duplicate));
    assert_eq!(record.decrypt(&sent[1]).unwrap(), 1_usize.to_be_bytes());
}

#[test]
fn a_chain_at_its_end_does_not_wrap() {
    let rng = &mut rng();
    let mut own = SenderKey::generate(rng);
    own.chain.iteration = LAST_ITERATION - 1;
    assert!(own.encrypt(b"last", rng).is_ok());
    assert_eq!(own.encrypt(b"over", rng), Err(SignalError::CounterExhausted));
    own.chain.iteration = u32::MAX;
    assert_eq!(own.encrypt(b"over", rng), Err(SignalError::CounterExhausted));
}

#[test]
fn records_of_pn_and_lid_merge_by_key_id() {
    let rng = &mut rng();
    let (mut lid_chain, mut lid) = pair(rng);
    let (mut pn_chain, mut pn) = pair(rng);
    pn.process(&reparsed(&lid_chain));
    lid.merge(pn);
    assert_eq!(lid.states.len(), 2);
    for own in [&mut lid_chain, &mut pn_chain] {
        assert!(lid.decrypt(&own.encrypt(b"m", rng).unwrap()).is_ok());
    }
}

#[test]
fn stored_records_read_back_and_damage_is_noticed() {
    let rng = &mut rng();
    let (mut own, mut record) = pair(rng);
    let sent = send(&mut own, rng, 4);
    record.decrypt(&sent[3]).unwrap();
    let (own_bytes, bytes) = (own.serialize(), record.serialize());
    let mut again = SenderKeyRecord::deserialize(&bytes).unwrap();
    assert_eq!(again.serialize(), bytes);
    assert!(again.decrypt(&sent[1]).is_ok());
    assert_eq!(SenderKey::deserialize(&own_bytes).unwrap().serialize(), own_bytes);
    assert!(SenderKey::deserialize(&bytes).is_err() && SenderKeyRecord::deserialize(&own_bytes).is_err());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(SenderKeyRecord::deserialize(&damaged).is_err(), "bit {bit}");
    }
    for length in 0..own_bytes.len() {
        assert!(SenderKey::deserialize(&own_bytes[..length]).is_err());
    }
}

#[test]
fn debug_of_sender_keys_shows_no_byte_of_a_key() {
    let rng = &mut rng();
    let (own, record) = pair(rng);
    assert_eq!(format!("{own:?}"), format!("SenderKey {{ id: {}, iteration: 0, .. }}", own.id()));
    assert_eq!(format!("{record:?}"), format!("SenderKeyRecord {{ ids: [{}], .. }}", own.id()));
}
