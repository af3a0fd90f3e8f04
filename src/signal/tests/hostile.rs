//! Work under hostile input, corrupt records, parsers and prints (04 §17, §22 no. 2, 21, 23, 25).

use proptest::prelude::*;

use super::*;
use crate::crypto::{PublicKey, count};

/// A `msg` on an unknown ratchet key with a wrong code.
fn forged(counter: u32, at: u8) -> Ciphertext {
    let key = KeyPair::from_private([at; 32]);
    let mut bytes = vec![0x33];
    wire::put_bytes(&mut bytes, 1, &key.public().serialize());
    wire::put_uint32(&mut bytes, 2, counter);
    wire::put_uint32(&mut bytes, 3, 0);
    wire::put_bytes(&mut bytes, 4, &[0; 16]);
    bytes.extend([0; 8]);
    Ciphertext { kind: CiphertextType::Message, bytes }
}

fn many_sessions() -> (Party, Party) {
    let (mut a, mut b) = (Party::new(1), Party::new(2));
    for id in 1..=41 {
        a.record = SessionRecord::default();
        a.process(&b.bundle(Some(id)));
        let first = a.send(b"first");
        b.opens(&first, b"first");
    }
    (a, b)
}

#[test]
fn one_message_has_a_budget_of_chain_steps_over_all_sessions() {
    let (_, mut b) = many_sessions();
    let (cost, error) = count::of(|| b.refuses(&forged(2000, 5)));
    assert_eq!(error, SignalError::BadMac);
    assert_eq!(cost.dh, 4, "4 · 2001 steps fit into 10 000");
    let (cost, _) = count::of(|| b.refuses(&forged(0, 5)));
    assert_eq!(cost.dh, 41);
}

#[test]
fn after_twenty_failures_only_the_current_session_is_tried_until_a_message_opens() {
    let (mut a, mut b) = many_sessions();
    for _ in 0..20 {
        b.refuses(&forged(0, 5));
    }
    let (cost, _) = count::of(|| b.refuses(&forged(0, 5)));
    assert_eq!(cost.dh, 1);
    let answer = b.send(b"answer");
    a.opens(&answer, b"answer");
    let good = a.send(b"good");
    b.opens(&good, b"good");
    let (cost, _) = count::of(|| b.refuses(&forged(0, 5)));
    assert_eq!(cost.dh, 41);
}

#[test]
fn a_pkmsg_of_a_known_session_ends_the_strictness_too() {
    let (mut a, mut b) = many_sessions();
    for _ in 0..20 {
        b.refuses(&forged(0, 5));
    }
    let again = a.send(b"again");
    assert_eq!(again.kind, CiphertextType::PreKey);
    assert_eq!(b.opens(&again, b"again"), OpenedBy::Current);
    let (cost, _) = count::of(|| b.refuses(&forged(0, 5)));
    assert_eq!(cost.dh, 41);
}

#[test]
fn after_twenty_failed_base_keys_in_a_minute_further_ones_are_not_looked_at() {
    let mut b = Party::new(2);
    let hostile = |at: u64| {
        let mut a = Party::new(100 + at);
        a.process(&b_bundle());
        let mut first = a.send(b"first");
        // The inner code, five bytes before the two small fields at the end.
        let position = first.bytes.len() - 8;
        first.bytes[position] ^= 1;
        first
    };
    fn b_bundle() -> PreKeyBundle {
        Party::new(2).bundle(None)
    }
    for at in 0..20 {
        assert_eq!(b.refuses(&hostile(at)), SignalError::BadMac);
    }
    let (cost, error) = count::of(|| {
        let message = hostile(30);
        count::of(|| b.refuses(&message))
    })
    .1;
    assert_eq!((cost.dh, error), (0, SignalError::BadMac));
    b.now += 60_000;
    let message = hostile(31);
    let (cost, _) = count::of(|| b.refuses(&message));
    assert!(cost.dh > 0);
}

#[test]
fn type_byte_length_and_order_of_keys_are_enforced_in_every_message() {
    let good = KeyPair::from_private([7; 32]).public().serialize();
    let bad: [&[u8]; 4] = [&good[..32], &[&[6], &good[1..]].concat(), &PublicKey([0; 32]).serialize(), &[]];
    let inner = |key: &[u8]| {
        let mut bytes = vec![0x33];
        wire::put_bytes(&mut bytes, 1, key);
        wire::put_bytes(&mut bytes, 4, &[0; 32]);
        bytes.extend([0; 8]);
        bytes
    };
    let outer = |base: &[u8], identity: &[u8], ratchet: &[u8]| {
        let mut bytes = vec![0x33];
        wire::put_bytes(&mut bytes, 2, base);
        wire::put_bytes(&mut bytes, 3, identity);
        wire::put_bytes(&mut bytes, 4, &inner(ratchet));
        wire::put_uint32(&mut bytes, 6, 1);
        bytes
    };
    let distribution = |key: &[u8]| {
        let mut bytes = vec![0x33];
        wire::put_bytes(&mut bytes, 3, &[1; 32]);
        wire::put_bytes(&mut bytes, 4, key);
        bytes
    };
    assert!(PreKeySignalMessage::parse(&outer(&good, &good, &good)).is_ok());
    assert!(SenderKeyDistribution::parse(&distribution(&good)).is_ok());
    for key in bad {
        let cases = [outer(key, &good, &good), outer(&good, key, &good)];
        for case in cases {
            assert_eq!(PreKeySignalMessage::parse(&case).unwrap_err(), SignalError::InvalidKey);
        }
        if key.len() > 8 {
            let case = outer(&good, &good, key);
            assert_eq!(PreKeySignalMessage::parse(&case).unwrap_err(), SignalError::InvalidKey);
            assert_eq!(SignalMessage::parse(&inner(key)).unwrap_err(), SignalError::InvalidKey);
        }
        assert_eq!(SenderKeyDistribution::parse(&distribution(key)).unwrap_err(), SignalError::InvalidKey);
    }
}

#[test]
fn a_corrupt_record_is_a_typed_error() {
    let (_, b) = pair(1);
    let stored = b.record.serialize();
    for at in 0..stored.len() {
        let mut damaged = stored.to_vec();
        damaged[at] ^= 0x40;
        let error = SessionRecord::deserialize(&damaged).unwrap_err();
        assert_eq!(error, if at == 0 { RecordError::Version } else { RecordError::Checksum });
    }
    for length in 0..stored.len() {
        assert!(SessionRecord::deserialize(&stored[..length]).is_err());
    }
}

#[test]
fn a_printed_key_type_shows_no_byte_of_the_key() {
    let (a, b) = pair(1);
    let mut decrypted = Party::new(2);
    let mut sender = Party::new(1);
    sender.process(&decrypted.bundle(Some(1)));
    let sent = sender.send(b"plaintext");
    let prints = [
        format!("{:?}", a.record),
        format!("{:?}", a.identity),
        format!("{:?}", a.signed),
        format!("{:?}", decrypted.receive(&sent).unwrap()),
        format!("{:?}", Local { identity: &b.identity, registration_id: 1 }),
        format!(
            "{:?}",
            SenderKeyDistribution {
                id: 1,
                iteration: 2,
                chain_key: zeroize::Zeroizing::new([0xab; 32]),
                signing_key: *a.identity.public(),
            }
        ),
    ];
    let session = a.record.current.as_ref().unwrap();
    let secrets: Vec<[u8; 32]> = vec![
        *a.identity.private_bytes(),
        *b.identity.private_bytes(),
        *a.signed[&1].pair.private_bytes(),
        session.root_key.0,
        session.send_chain.as_ref().unwrap().key,
        *session.ratchet_pair.private_bytes(),
        [0xab; 32],
    ];
    for print in &prints {
        for secret in &secrets {
            assert!(
                !print.contains(&hex::encode(secret)) && !print.contains(&format!("{:?}", &secret[..4])[1..])
            );
        }
        assert!(!print.contains("plaintext") && !print.contains("112, 108, 97"));
    }
}

proptest! {
    #[test]
    fn the_four_parsers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), version in any::<bool>()) {
        let mut bytes = bytes;
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = 0x33;
        }
        let _ = SignalMessage::parse(&bytes);
        let _ = PreKeySignalMessage::parse(&bytes);
        let _ = SenderKeyMessage::parse(&bytes);
        let _ = SenderKeyDistribution::parse(&bytes);
        let _ = SessionRecord::deserialize(&bytes);
    }

    #[test]
    fn a_damaged_message_never_panics_and_never_changes_the_record(at in 0_usize..200, bit in 0_u8..8, seed in 0_u64..8) {
        let (mut a, mut b) = (Party::new(seed), Party::new(seed + 50));
        a.process(&b.bundle(Some(1)));
        let mut first = a.send(b"first");
        let at = at % first.bytes.len();
        first.bytes[at] ^= 1 << bit;
        let before = b.record.serialize();
        if b.receive(&first).is_err() {
            prop_assert_eq!(b.record.serialize(), before);
        }
    }

    #[test]
    fn sender_keys_with_a_right_checksum_and_any_content_never_panic(
        own in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut stored = vec![1, if own { b'S' } else { b'R' }];
        stored.extend(bytes);
        let sum = crate::crypto::sha256(&stored);
        stored.extend(&sum[..8]);
        let _ = (SenderKeyRecord::deserialize(&stored), SenderKey::deserialize(&stored));
    }

    #[test]
    fn a_record_with_a_right_checksum_and_any_content_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut record = vec![1];
        record.extend(bytes);
        let mut crc = flate2::Crc::new();
        crc.update(&record);
        record.extend(crc.sum().to_le_bytes());
        let _ = SessionRecord::deserialize(&record);
    }
}
