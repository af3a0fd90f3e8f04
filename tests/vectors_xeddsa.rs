//! `xeddsa.json`: signatures under X25519 keys and the agreement (protocol 04 §3, §22 no. 1).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::vectors::{File, array, bytes, known_keys, name, text};
use palomar::crypto::xeddsa::{sign, verify};
use palomar::crypto::{KeyPair, PublicKey, os_rng, random_bytes};
use serde_json::Value;

#[test]
fn vectors_xeddsa() {
    let mut file = File::open("xeddsa");
    for case in file.section("sign") {
        known_keys(&case, &["private_key", "public_key", "message", "random64", "signature", "sign_bit"]);
        let pair = KeyPair::from_private(array(&case, "private_key"));
        assert_eq!(pair.public().0, array(&case, "public_key"));
        let (message, expected) = (bytes(&case, "message"), bytes(&case, "signature"));
        let signature = sign(&pair, &[&message], &array(&case, "random64"));
        assert_eq!(hex::encode(signature), hex::encode(&expected));
        assert_eq!(u64::from(signature[63] >> 7), case["sign_bit"].as_u64().unwrap());
        assert!(verify(pair.public(), &[&message], &signature));
    }
    for case in file.section("verify") {
        known_keys(&case, &["name", "public_key", "message", "signature", "required"]);
        let answer = verify(
            &PublicKey(array(&case, "public_key")),
            &[&bytes(&case, "message")],
            &bytes(&case, "signature"),
        );
        match &case["required"] {
            Value::Bool(required) => assert_eq!(answer, *required, "{}", name(&case)),
            Value::Null => {}
            other => panic!("unknown requirement {other}"),
        }
    }
    for case in file.section("dh") {
        known_keys(&case, &["private_key", "public_key", "shared", "required"]);
        let pair = KeyPair::from_private(array(&case, "private_key"));
        let answer = pair.agree(&PublicKey(array(&case, "public_key")));
        let required = text(&case, "required");
        if required.starts_with("ok") {
            assert_eq!(answer.unwrap().as_bytes(), &array(&case, "shared"));
        } else if required.starts_with("reject") {
            assert!(answer.is_err(), "{case}");
        } else {
            panic!("unknown requirement {required}");
        }
    }
    file.finish();
}

/// The order L of the base point, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn a_thousand_round_trips_with_both_sign_bits_and_every_damage_fails() {
    let rng = &mut os_rng();
    let mut signs = [0; 2];
    for _ in 0..1000 {
        let pair = KeyPair::generate(rng);
        let message = random_bytes::<24, _>(rng);
        let good = sign(&pair, &[&message], &random_bytes(rng));
        signs[usize::from(good[63] >> 7)] += 1;
        assert!(verify(pair.public(), &[&message], &good));

        let mut flipped = good;
        flipped[63] ^= 0x80;
        assert!(!verify(pair.public(), &[&message], &flipped), "the sign bit is authoritative");
        assert!(!verify(pair.public(), &[&message], &plus_l(good)), "s + L is malleable");
        assert!(!verify(pair.public(), &[&message], &good[..63]));
        assert!(!verify(pair.public(), &[&message], &[&good[..], &[0]].concat()));
    }
    assert!(signs.iter().all(|count| *count > 300), "{signs:?}");
}

fn plus_l(mut signature: [u8; 64]) -> [u8; 64] {
    let sign = signature[63] & 0x80;
    signature[63] &= 0x7f;
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
    signature[63] |= sign;
    signature
}

#[test]
fn the_published_signing_variant_verifies() {
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use sha2::{Digest, Sha512};

    let rng = &mut os_rng();
    for _ in 0..64 {
        let pair = KeyPair::generate(rng);
        let mut scalar = Scalar::from_bytes_mod_order(*pair.private_bytes());
        if EdwardsPoint::mul_base(&scalar).compress().0[31] & 0x80 != 0 {
            scalar = -scalar;
        }
        let public = EdwardsPoint::mul_base(&scalar).compress().0;
        let nonce = Scalar::from_bytes_mod_order_wide(&random_bytes(rng));
        let commitment = EdwardsPoint::mul_base(&nonce).compress().0;
        let hash: [u8; 64] =
            Sha512::new_with_prefix(commitment).chain_update(public).chain_update(b"text").finalize().into();
        let proof = nonce + Scalar::from_bytes_mod_order_wide(&hash) * scalar;
        let signature = [commitment, proof.to_bytes()].concat();
        assert_eq!(signature[63] >> 7, 0);
        assert!(verify(pair.public(), &[b"text"], &signature));
    }
}

#[test]
fn no_low_order_key_verifies_the_neutral_signature() {
    let mut low: Vec<[u8; 32]> = Vec::new();
    for first in [0_u8, 1] {
        low.push(std::array::from_fn(|at| if at == 0 { first } else { 0 }));
    }
    for first in [0xec_u8, 0xed, 0xee] {
        low.push(std::array::from_fn(|at| match at {
            0 => first,
            31 => 0x7f,
            _ => 0xff,
        }));
    }
    for text in [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ] {
        low.push(hex::decode(text).unwrap().try_into().unwrap());
    }
    let mut neutral = [0; 64];
    neutral[0] = 1;
    for key in low {
        for top in [0, 0x80] {
            let mut key = key;
            key[31] |= top;
            assert!(PublicKey(key).is_low_order());
            for message in 0..16_u8 {
                assert!(!verify(&PublicKey(key), &[&[message]], &neutral));
            }
        }
    }
}
