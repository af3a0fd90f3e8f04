//! What the parsers of the Signal layer and the readers of its records allocate, measured (protocol 04 §22 no. 25): never
//! more than the input's size plus a constant, whatever lengths the input claims.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use allocation_counter::measure;
use palomar::crypto::{KeyPair, sha256};
use palomar::signal::{
    Local, PreKeyBundle, PreKeySignalMessage, SenderKey, SenderKeyDistribution, SenderKeyMessage,
    SenderKeyRecord, SessionRecord, SignalMessage, SignedPreKey,
};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Bytes beyond the input's: keys in their decoded form, a table of chains, an error.
const CONSTANT: u64 = 16 * 1024;

/// What every byte of a stored record may cost in memory: a skipped seed is 36 bytes there, and a node of a map here.
const PER_RECORD_BYTE: u64 = 8;

/// Reads `bytes` with each of the four parsers; the most that was held at any time.
fn parsers(bytes: &[u8]) -> u64 {
    let most = |work: &dyn Fn()| measure(work).bytes_max;
    [
        most(&|| _ = SignalMessage::parse(bytes)),
        most(&|| _ = PreKeySignalMessage::parse(bytes)),
        most(&|| _ = SenderKeyMessage::parse(bytes)),
        most(&|| _ = SenderKeyDistribution::parse(bytes)),
    ]
    .into_iter()
    .max()
    .unwrap()
}

/// Reads `bytes` as each of the three stored records.
fn records(bytes: &[u8]) -> u64 {
    let most = |work: &dyn Fn()| measure(work).bytes_max;
    [
        most(&|| _ = SessionRecord::deserialize(bytes)),
        most(&|| _ = SenderKeyRecord::deserialize(bytes)),
        most(&|| _ = SenderKey::deserialize(bytes)),
    ]
    .into_iter()
    .max()
    .unwrap()
}

fn session_record(body: &[u8]) -> Vec<u8> {
    let mut stored = [&[1], body].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&stored);
    stored.extend(crc.sum().to_le_bytes());
    stored
}

fn sender_record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut stored = [&[1, kind], body].concat();
    let sum = sha256(&stored);
    stored.extend(&sum[..8]);
    stored
}

/// A good message of each kind and a good record of each kind.
type Good = (Vec<Vec<u8>>, Vec<Vec<u8>>);

fn good() -> Good {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let (ours, theirs) = (KeyPair::generate(rng), KeyPair::generate(rng));
    let signed = SignedPreKey::generate(1, &theirs, rng);
    let bundle =
        PreKeyBundle::new(7, *theirs.public(), (1, *signed.pair.public(), &signed.signature), None).unwrap();
    let mut sessions = SessionRecord::default();
    let local = Local { identity: &ours, registration_id: 5 };
    for _ in 0..41 {
        sessions.process_bundle(local, &bundle, 1, rng).unwrap();
    }
    let sent = sessions.encrypt(&[7; 100_000], 1).unwrap();
    let inner = PreKeySignalMessage::parse(&sent.bytes).unwrap().inner().to_vec();
    let mut key = SenderKey::generate(rng);
    let distribution = key.distribution().serialize().to_vec();
    let mut received = SenderKeyRecord::new();
    received.process(&SenderKeyDistribution::parse(&distribution).unwrap());
    let mut last = Vec::new();
    for _ in 0..2000 {
        last = key.encrypt(b"text", rng).unwrap();
    }
    received.decrypt(&last).unwrap();
    let group = key.encrypt(&[7; 100_000], rng).unwrap();
    let stored = [sessions.serialize(), received.serialize(), key.serialize()];
    (vec![sent.bytes, inner, distribution, group], stored.iter().map(|record| record.to_vec()).collect())
}

#[test]
fn proves_04_22_25_what_is_good_allocates_no_more_than_its_size_and_a_constant() {
    let (messages, stored) = good();
    for message in &messages {
        let held = parsers(message);
        assert!(held <= message.len() as u64 + CONSTANT, "{held} bytes for {}", message.len());
    }
    for record in &stored {
        let held = records(record);
        assert!(
            held <= PER_RECORD_BYTE * record.len() as u64 + CONSTANT,
            "{held} bytes for {}",
            record.len()
        );
    }
}

#[test]
fn proves_04_22_25_a_claimed_length_allocates_nothing() {
    // A field of four gigabytes, a count of 65,535 seeds, forty archived sessions: announced, and not there.
    let claims: [&[u8]; 3] = [&[0x33, 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 200], &[0x33; 64]];
    for claim in claims {
        assert!(parsers(claim) <= claim.len() as u64 + CONSTANT);
        let forms = [session_record(claim), sender_record(b'R', claim), sender_record(b'S', claim)];
        for form in forms {
            assert!(records(&form) <= PER_RECORD_BYTE * form.len() as u64 + CONSTANT);
        }
    }
    let mut body = vec![0, 40];
    body.extend([0xff; 3000]);
    assert!(records(&session_record(&body)) <= PER_RECORD_BYTE * 3000 + CONSTANT);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn proves_04_22_25_any_bytes_allocate_no_more_than_their_size_and_a_constant(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        version in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = 0x33;
        }
        let size = bytes.len() as u64;
        prop_assert!(parsers(&bytes) <= size + CONSTANT);
        for form in [session_record(&bytes), sender_record(b'R', &bytes), sender_record(b'S', &bytes)] {
            prop_assert!(records(&form) <= PER_RECORD_BYTE * size + CONSTANT);
        }
    }

    #[test]
    fn proves_04_22_25_damaged_messages_and_records_allocate_no_more_either(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (messages, stored) = &*GOOD;
        let mut message = messages[which.index(messages.len())].clone();
        let place = at.index(message.len().min(80));
        message[place] = byte;
        prop_assert!(parsers(&message) <= message.len() as u64 + CONSTANT);
        let record = &stored[which.index(stored.len())];
        let mut damaged = record.clone();
        damaged[at.index(record.len())] = byte;
        prop_assert!(records(&damaged) <= PER_RECORD_BYTE * record.len() as u64 + CONSTANT);
    }
}

static GOOD: std::sync::LazyLock<Good> = std::sync::LazyLock::new(good);
