//! XEdDSA: signatures under X25519 keys, in the variant that carries the sign bit of the public point in
//! the signature (protocol 04 §3). Verifying accepts the published variant too.

use curve25519_dalek::{EdwardsPoint, MontgomeryPoint, Scalar};
use sha2::{Digest, Sha512};
use zeroize::Zeroize;

use super::{KeyPair, PublicKey, ct_eq};

/// The length of a signature in bytes.
pub const SIGNATURE_LENGTH: usize = 64;

/// The little-endian number 2^256 - 2, which separates the hash of the nonce from the hash of any point.
const NONCE_PREFIX: [u8; 32] = {
    let mut prefix = [0xff; 32];
    prefix[0] = 0xfe;
    prefix
};

/// Signs the concatenation of `message` (04 §3.1). `random64` must be fresh for each signature.
#[must_use]
pub fn sign(pair: &KeyPair, message: &[&[u8]], random64: &[u8; 64]) -> [u8; SIGNATURE_LENGTH] {
    #[cfg(test)]
    super::count::add(|count| count.signed += 1);
    // The base point has order L, so the reduced scalar gives the same point as the clamped one.
    let mut key = Scalar::from_bytes_mod_order(*pair.private_bytes());
    let public = EdwardsPoint::mul_base(&key).compress().0;

    let mut nonce_hash = Sha512::new_with_prefix(NONCE_PREFIX);
    nonce_hash.update(pair.private_bytes());
    message.iter().for_each(|part| nonce_hash.update(part));
    nonce_hash.update(random64);
    let mut nonce = reduce(nonce_hash);

    let commitment = EdwardsPoint::mul_base(&nonce).compress().0;
    let mut proof = (nonce + challenge(&commitment, &public, message) * key).to_bytes();
    key.zeroize();
    nonce.zeroize();

    proof[31] |= public[31] & 0x80;
    let mut signature = [0; SIGNATURE_LENGTH];
    signature[..32].copy_from_slice(&commitment);
    signature[32..].copy_from_slice(&proof);
    signature
}

/// Whether `signature` is one of `key` over the concatenation of `message` (04 §3.3). Bit 255 of the key is
/// ignored; keys of low order, keys that are not canonical, and scalars that are not reduced never verify.
#[must_use]
pub fn verify(key: &PublicKey, message: &[&[u8]], signature: &[u8]) -> bool {
    #[cfg(test)]
    super::count::add(|count| count.verified += 1);
    let Ok(signature) = <&[u8; SIGNATURE_LENGTH]>::try_from(signature) else { return false };
    let (mut commitment, mut proof) = ([0; 32], [0; 32]);
    commitment.copy_from_slice(&signature[..32]);
    proof.copy_from_slice(&signature[32..]);
    let sign = proof[31] >> 7;
    proof[31] &= 0x7f;
    let Some(proof) = Option::<Scalar>::from(Scalar::from_canonical_bytes(proof)) else { return false };

    let mut u = *key.as_bytes();
    u[31] &= 0x7f;
    if !is_canonical(&u) || key.is_low_order() {
        return false;
    }
    let Some(point) = MontgomeryPoint(u).to_edwards(sign) else { return false };
    let public = point.compress().0;
    let h = challenge(&commitment, &public, message);
    let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&h, &-point, &proof);
    ct_eq(&expected.compress().0, &commitment)
}

fn challenge(commitment: &[u8; 32], public: &[u8; 32], message: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new_with_prefix(commitment);
    hash.update(public);
    message.iter().for_each(|part| hash.update(part));
    reduce(hash)
}

fn reduce(hash: Sha512) -> Scalar {
    let mut wide: [u8; 64] = hash.finalize().into();
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}

/// Whether a masked coordinate is below p = 2^255 - 19.
fn is_canonical(u: &[u8; 32]) -> bool {
    !(u[31] == 0x7f && u[1..31].iter().all(|byte| *byte == 0xff) && u[0] >= 0xed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{os_rng, random_bytes};

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does() {
        let rng = &mut os_rng();
        for _ in 0..8 {
            let pair = KeyPair::generate(rng);
            let signature = sign(&pair, &[b"mess", b"age"], &random_bytes(rng));
            assert!(verify(pair.public(), &[b"message"], &signature));
            assert!(!verify(pair.public(), &[b"messagf"], &signature));
            for bit in 0..512 {
                let mut damaged = signature;
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(!verify(pair.public(), &[b"message"], &damaged), "bit {bit}");
            }
            assert!(!verify(pair.public(), &[b"message"], &signature[..63]));
        }
    }

    #[test]
    fn the_same_message_is_never_signed_twice_with_one_nonce() {
        let rng = &mut os_rng();
        let pair = KeyPair::generate(rng);
        let one = sign(&pair, &[b"m"], &random_bytes(rng));
        let other = sign(&pair, &[b"m"], &random_bytes(rng));
        assert_ne!(one[..32], other[..32]);
    }
}
