//! What holds for every input of the parsers around sender keys and pairing, and for every order of group messages
//! (protocol 04 §22, 02 §16). Hostile bytes give an error, never a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use palomar::crypto::PublicKey;
use palomar::signal::addon::MessageSecret;
use palomar::signal::adv::{AdvSecret, companion, key_index, verify};
use palomar::signal::link_code::Code;
use palomar::signal::qr::Qr;
use palomar::signal::{
    SenderKey, SenderKeyDistribution, SenderKeyMessage, SenderKeyRecord, SignalError, bot, padding, reporting,
};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// A chain, a record that has its distribution, and the first `count` messages.
fn chain(seed: u64, count: usize) -> (SenderKeyRecord, Vec<Vec<u8>>) {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let mut own = SenderKey::generate(rng);
    let mut record = SenderKeyRecord::new();
    record.process(&SenderKeyDistribution::parse(&own.distribution().serialize()).unwrap());
    let sent = (0..count).map(|i| own.encrypt(&[i as u8], rng).unwrap()).collect();
    (record, sent)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any order, loss and repetition: every first copy opens, every second one is `duplicate`.
    #[test]
    fn group_messages_open_once_in_any_order(seed: u64, picks in prop::collection::vec(0_usize..40, 0..80)) {
        let (mut record, sent) = chain(seed, 40);
        let mut opened = std::collections::BTreeSet::new();
        for pick in picks {
            let result = record.decrypt(&sent[pick]);
            if opened.insert(pick) {
                prop_assert_eq!(result, Ok(vec![pick as u8]));
            } else {
                prop_assert_eq!(result, Err(SignalError::Duplicate));
            }
        }
    }

    /// A damaged message opens nothing and changes nothing.
    #[test]
    fn a_damaged_group_message_changes_nothing(seed: u64, at: prop::sample::Index, bit in 0_u8..8) {
        let (mut record, sent) = chain(seed, 1);
        let mut damaged = sent[0].clone();
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        let before = record.serialize();
        prop_assert!(record.decrypt(&damaged).is_err());
        prop_assert_eq!(record.serialize(), before);
    }

    #[test]
    fn hostile_bytes_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = SenderKeyMessage::parse(&bytes);
        let _ = SenderKeyDistribution::parse(&bytes);
        let _ = reporting::content(&bytes);
        let _ = padding::unpad(&bytes);
        let _ = key_index::Signed::parse(&bytes);
        prop_assert!(SenderKeyRecord::deserialize(&bytes).is_err());
        prop_assert!(SenderKey::deserialize(&bytes).is_err());
        let key = PublicKey([9; 32]);
        prop_assert!(companion::verify(&bytes, &AdvSecret::new([1; 32]), &key, None).is_err());
        prop_assert!(verify::device(&bytes, &key, Some(&key)).is_err());
        let _ = verify::Offer::parse(&bytes);
        let reply = bot::Reply { reply_id: "1", target_sender: "2@lid", bot: "3@bot" };
        prop_assert!(bot::open(&MessageSecret::from_slice(&[1; 32]).unwrap(), &reply, &bytes).is_err());
    }

    /// Bytes after a right version byte get further into the parsers.
    #[test]
    fn hostile_bytes_behind_a_right_version_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [&[0x33], &bytes[..]].concat();
        let _ = SenderKeyMessage::parse(&bytes);
        let _ = SenderKeyDistribution::parse(&bytes);
        let (mut record, _) = chain(1, 0);
        prop_assert!(record.decrypt(&bytes).is_err());
    }

    #[test]
    fn hostile_texts_are_errors(text in "\\PC{0,120}") {
        let _ = Qr::parse(&text);
        let _ = Code::parse(&text);
    }

    #[test]
    fn codes_and_their_bytes_are_one_to_one(bytes: [u8; 5]) {
        let code = Code::from_bytes(bytes);
        prop_assert_eq!(code.to_bytes(), bytes);
        let again = Code::parse(&code.display()).unwrap();
        prop_assert_eq!(again.as_str(), code.as_str());
    }

    #[test]
    fn padding_comes_off_again(plain in prop::collection::vec(any::<u8>(), 0..100), byte: u8) {
        let padded = padding::pad_with(&plain, byte);
        prop_assert!((1..=16).contains(&(padded.len() - plain.len())));
        prop_assert_eq!(padding::unpad(&padded).unwrap(), plain);
    }
}
