//! The padding of a serialized `Message` (protocol 04 §11.1), for `enc` nodes of version 2. The padding inside
//! CBC is another one and lives with the cipher.

use rand_core::CryptoRng;

use crate::crypto::random_bytes;

/// The padding is wrong: the message is undecodable, although its decryption was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wrong message padding")]
pub struct PaddingError;

/// Appends 1 to 16 bytes, each with the value of the count, drawn uniformly.
#[must_use]
pub fn pad<R: CryptoRng + ?Sized>(plaintext: &[u8], rng: &mut R) -> Vec<u8> {
    let [byte] = random_bytes(rng);
    pad_with(plaintext, byte)
}

/// Appends the padding that the random `byte` selects: `(byte & 15) + 1` bytes.
#[must_use]
pub fn pad_with(plaintext: &[u8], byte: u8) -> Vec<u8> {
    let count = (byte & 0x0f) + 1;
    let mut out = Vec::with_capacity(plaintext.len() + usize::from(count));
    out.extend_from_slice(plaintext);
    out.resize(plaintext.len() + usize::from(count), count);
    out
}

/// Strips the padding. Counts of 17 to 255 are well-formed too.
///
/// # Errors
/// [`PaddingError`] if the input is empty, the count is 0 or larger than the input, or a padding byte differs.
pub fn unpad(padded: &[u8]) -> Result<&[u8], PaddingError> {
    let &count = padded.last().ok_or(PaddingError)?;
    let at = padded.len().checked_sub(usize::from(count)).ok_or(PaddingError)?;
    match padded.split_at_checked(at) {
        Some((plain, padding)) if count != 0 && padding.iter().all(|&byte| byte == count) => Ok(plain),
        _ => Err(PaddingError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn padding_length_is_uniform_over_1_to_16() {
        let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(1);
        let mut counts = [0_u32; 17];
        for _ in 0..16_000 {
            let padded = pad(b"x", &mut rng);
            assert_eq!(unpad(&padded).unwrap(), b"x");
            counts[padded.len() - 1] += 1;
        }
        assert_eq!(counts[0], 0);
        let chi: f64 = counts[1..].iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        // 15 degrees of freedom: 37.7 is the 0.1 % point.
        assert!(chi < 37.7, "chi-square {chi}, {counts:?}");
    }

    #[test]
    fn wrong_padding_is_refused() {
        for bad in [&[][..], &[1, 2, 0], &[1, 2, 9], &[1, 3, 2, 3], &[0]] {
            assert_eq!(unpad(bad), Err(PaddingError), "{bad:?}");
        }
    }
}
