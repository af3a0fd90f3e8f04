//! The safety number that two users compare (protocol 04 §14). For display only, never for a decision.

use crate::crypto::{PublicKey, sha512_parts};

const ROUNDS: usize = 5200;

/// One account's half, 30 digits: its phone number's digits and the identity keys of all its devices, in any
/// order.
#[must_use]
pub fn half(identifier: &str, identities: &[PublicKey]) -> String {
    let mut keys: Vec<[u8; 33]> = identities.iter().map(PublicKey::serialize).collect();
    keys.sort_unstable();
    let keys = keys.concat();
    let mut hash = sha512_parts(&[&[0, 0], &keys, identifier.as_bytes(), &keys]);
    for _ in 1..ROUNDS {
        hash = sha512_parts(&[&hash, &keys]);
    }
    hash.chunks_exact(5).take(6).map(group).collect()
}

/// Five bytes, big-endian, as the last five digits.
fn group(bytes: &[u8]) -> String {
    let number = bytes.iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
    format!("{:05}", number % 100_000)
}

/// The 60 digits of two halves; both users get the same.
#[must_use]
pub fn display(local: &str, remote: &str) -> String {
    let (first, second) = if local <= remote { (local, remote) } else { (remote, local) };
    format!("{first}{second}")
}
