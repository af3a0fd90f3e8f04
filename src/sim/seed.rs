//! Chance, from the seed: every random byte of a world comes from a named ChaCha stream, so that the same seed
//! and the same calls give the same keys, ids, refs and jitter (09 §1).

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::crypto::sha256_parts;

/// The generator of simulated worlds.
pub type SimRng = ChaCha20Rng;

/// The stream of `label` and `name` in the world of `seed`.
#[must_use]
pub fn stream(seed: u64, label: &str, name: &str) -> SimRng {
    SimRng::from_seed(sha256_parts(&[
        b"palomar sim\0",
        &seed.to_be_bytes(),
        label.as_bytes(),
        b"\0",
        name.as_bytes(),
    ]))
}

/// The LID of a number: `10^14 + BE64(SHA-256("lid" ‖ seed ‖ number)[0..8]) mod 9·10^14`, 15 digits (09 §2).
#[must_use]
pub fn lid_of(seed: u64, number: &str) -> String {
    let hash = sha256_parts(&[b"lid", &seed.to_be_bytes(), number.as_bytes()]);
    let (first, _) = hash.split_at(8);
    let value = first.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    (100_000_000_000_000 + value % 900_000_000_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let word = |seed, label, name| stream(seed, label, name).next_u64();
        assert_eq!(word(1, "keys", "a"), word(1, "keys", "a"));
        assert_ne!(word(1, "keys", "a"), word(2, "keys", "a"));
        assert_ne!(word(1, "keys", "a"), word(1, "keysa", ""));
    }

    #[test]
    fn lids_have_fifteen_digits_and_no_number_in_them() {
        for number in ["15550001000", "15550001001", "4915112345678"] {
            let lid = lid_of(7, number);
            assert_eq!(lid.len(), 15);
            assert_eq!(lid, lid_of(7, number));
            assert_ne!(lid, lid_of(8, number));
            assert!(!lid.contains(number));
        }
    }
}
