//! The primitives behind one small boundary: AES-GCM, AES-CBC, AES-CTR, SHA-256, HMAC, HKDF, X25519, XEdDSA.
//!
//! Pure: bytes in, bytes out; randomness is an argument. Protocol knowledge (who derives what from what)
//! lives in `noise`, `signal` and `media`.

mod cipher;
#[cfg(test)]
pub(crate) mod count;
mod dh;
mod hash;
mod stream;
pub mod xeddsa;

pub use cipher::{
    AeadError, BlockError, aes_cbc_decrypt, aes_cbc_encrypt, aes_cbc_encrypt_into, aes_ctr, aes_gcm_open,
    aes_gcm_seal, cbc_length, gcm,
};
pub use dh::{KeyPair, LowOrderPoint, PublicKey, SharedSecret};
pub use hash::{hkdf_sha256, hmac_sha256, md5, pbkdf2_sha256, sha1, sha256, sha256_parts, sha512_parts};
pub use stream::{CbcOpen, CbcSeal, HmacStream, Sha256Stream, hmac_sha512_32, pkcs7_length};

use rand_core::CryptoRng;

/// Compares two byte strings in time that depends on their lengths only.
#[must_use]
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    a.ct_eq(b).into()
}

/// `N` bytes from the given source. Every random byte of the project comes through a source that is passed
/// in: the operating system in production, a seeded ChaCha in virtual runs.
#[must_use]
pub fn random_bytes<const N: usize, R: CryptoRng + ?Sized>(rng: &mut R) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// The operating system's source of randomness, reseeding a ChaCha generator of the thread.
#[must_use]
pub fn os_rng() -> impl CryptoRng + Send {
    // `StdRng` rather than `ThreadRng`, because a caller may hold it across an await.
    rand::make_rng::<rand::rngs::StdRng>()
}
