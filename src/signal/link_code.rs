//! The cryptography of pairing by code (protocol 02 §8), both roles. Stanzas, timers and how often one may try
//! live in `client` and `sim`.
//!
//! [`wrap`] and [`unwrap`] run PBKDF2 with 131,072 rounds (tens of milliseconds): keep them off the event loop.

use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::adv::AdvSecret;
use crate::crypto::{
    KeyPair, PublicKey, aes_ctr, aes_gcm_open, aes_gcm_seal, ct_eq, hkdf_sha256, pbkdf2_sha256, random_bytes,
};

/// Rounds of PBKDF2.
const ROUNDS: u32 = 131_072;
/// The letters and digits of a code.
const ALPHABET: &[u8; 32] = b"123456789ABCDEFGHJKLMNPQRSTVWXYZ";
/// Length of a wrapped ephemeral key: salt, iv, key.
pub const WRAPPED_LENGTH: usize = 32 + 16 + 32;
/// Length of a wrapped bundle: salt, nonce, ciphertext, tag.
pub const BUNDLE_LENGTH: usize = 32 + 12 + 96 + 16;

/// The eight characters that a person types on the phone.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Code([u8; 8]);

secret_equality!(Code);

impl Code {
    /// A fresh code.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self::from_bytes(random_bytes(rng))
    }

    /// The code of 40 bits, five for each character, the most significant first.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 5]) -> Self {
        let bits = bytes.iter().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
        Self(std::array::from_fn(|at| {
            let index = (bits >> (35 - 5 * at)) & 31;
            ALPHABET.get(index as usize).copied().unwrap_or(b'1')
        }))
    }

    /// The 40 bits of the code.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 5] {
        let bits = self.0.iter().fold(0_u64, |bits, char| {
            let index = ALPHABET.iter().position(|known| known == char).unwrap_or(0);
            bits << 5 | index as u64
        });
        let [_, _, _, bytes @ ..] = bits.to_be_bytes();
        bytes
    }

    /// What a person typed, or chose: eight characters of the alphabet, in any case, dashes and blanks anywhere.
    /// `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut chars =
            text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')).map(|b| b.to_ascii_uppercase());
        let mut code = Self([0; 8]);
        for slot in &mut code.0 {
            *slot = chars.next().filter(|char| ALPHABET.contains(char))?;
        }
        chars.next().is_none().then_some(code)
    }

    /// The eight characters without the dash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As it is shown: `XXXX-XXXX`.
    #[must_use]
    pub fn display(&self) -> String {
        let (first, second) = self.as_str().split_at(4);
        format!("{first}-{second}")
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(..)")
    }
}

/// The digits of an international phone number; `None` if there are fewer than seven or it begins with 0.
#[must_use]
pub fn phone_number(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    (digits.len() >= 7 && !digits.starts_with('0')).then_some(digits)
}

/// Why a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkCodeError {
    /// A value has the wrong length: ignore the stanza.
    #[error("a value of the code pairing has the wrong length")]
    Length,
    /// A key agreement gives zeros: abort the flow.
    #[error("a key of the code pairing is of low order")]
    LowOrder,
    /// The bundle does not open: the code that was typed is another one.
    #[error("wrong pairing code")]
    WrongCode,
    /// The bundle names other identities than the stanzas did: abort the flow.
    #[error("the identities of the code pairing do not agree")]
    Identity,
}

/// Wraps an ephemeral public key under the code: salt, iv, encrypted key.
#[must_use]
pub fn wrap(public: &PublicKey, code: &Code, salt: &[u8; 32], iv: &[u8; 16]) -> [u8; WRAPPED_LENGTH] {
    let mut key = *public.as_bytes();
    apply(code, salt, iv, &mut key);
    let mut out = [0; WRAPPED_LENGTH];
    let parts = salt.iter().chain(iv).chain(&key);
    out.iter_mut().zip(parts).for_each(|(out, byte)| *out = *byte);
    out
}

/// Opens a wrapped key. Not authenticated: a wrong code gives a random key, never an error.
///
/// # Errors
/// [`LinkCodeError::Length`] if there are not 80 bytes.
pub fn unwrap(wrapped: &[u8], code: &Code) -> Result<PublicKey, LinkCodeError> {
    let (salt, rest) = wrapped.split_first_chunk::<32>().ok_or(LinkCodeError::Length)?;
    let (iv, key) = rest.split_first_chunk::<16>().ok_or(LinkCodeError::Length)?;
    let mut key: [u8; 32] = key.try_into().map_err(|_| LinkCodeError::Length)?;
    apply(code, salt, iv, &mut key);
    Ok(PublicKey(key))
}

fn apply(code: &Code, salt: &[u8; 32], iv: &[u8; 16], data: &mut [u8; 32]) {
    let mut key = pbkdf2_sha256(&code.0, salt, ROUNDS);
    aes_ctr(&key, iv, data);
    key.zeroize();
}

/// The random values of the companion's last step. A secret: `adv` goes into the secret that the phone's answer is
/// checked with.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct FinishRandom {
    /// `r`, which goes into the secret.
    pub adv: [u8; 32],
    /// Salt of the bundle's key.
    pub salt: [u8; 32],
    /// Nonce of the bundle.
    pub nonce: [u8; 12],
}

impl FinishRandom {
    /// Fresh values.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self { adv: random_bytes(rng), salt: random_bytes(rng), nonce: random_bytes(rng) }
    }
}

impl std::fmt::Debug for FinishRandom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FinishRandom(..)")
    }
}

/// What the companion sends and keeps after a `primary_hello`.
#[derive(Debug)]
pub struct Finish {
    /// `link_code_pairing_wrapped_key_bundle`.
    pub bundle: [u8; BUNDLE_LENGTH],
    /// To be stored before the bundle is sent.
    pub adv_secret: AdvSecret,
}

/// The companion's last step: from its own keys and a `primary_hello` to bundle and secret.
///
/// # Errors
/// [`LinkCodeError::Length`], [`LinkCodeError::LowOrder`].
pub fn companion_finish(
    code: &Code,
    ephemeral: &KeyPair,
    identity: &KeyPair,
    wrapped_primary: &[u8],
    primary_identity: &PublicKey,
    random: &FinishRandom,
) -> Result<Finish, LinkCodeError> {
    let shared = Shared::new(ephemeral, identity, &unwrap(wrapped_primary, code)?, primary_identity)?;
    let mut plain = [*identity.public().as_bytes(), *primary_identity.as_bytes(), random.adv].concat();
    let sealed = aes_gcm_seal(&shared.bundle_key(&random.salt), &random.nonce, &[], &plain);
    plain.zeroize();
    let sealed = sealed.map_err(|_| LinkCodeError::Length)?;
    let bundle = [&random.salt[..], &random.nonce, &sealed].concat();
    Ok(Finish {
        bundle: bundle.try_into().map_err(|_| LinkCodeError::Length)?,
        adv_secret: shared.adv_secret(&random.adv),
    })
}

/// The primary's last step: opens the companion's bundle with the code that was typed.
///
/// # Errors
/// [`LinkCodeError`]; after [`LinkCodeError::WrongCode`] another code may be tried.
pub fn primary_finish(
    code: &Code,
    ephemeral: &KeyPair,
    identity: &KeyPair,
    wrapped_companion: &[u8],
    companion_identity: &PublicKey,
    bundle: &[u8],
) -> Result<AdvSecret, LinkCodeError> {
    let (salt, rest) = bundle.split_first_chunk::<32>().ok_or(LinkCodeError::Length)?;
    let (nonce, sealed) = rest.split_first_chunk::<12>().ok_or(LinkCodeError::Length)?;
    if sealed.len() != 112 {
        return Err(LinkCodeError::Length);
    }
    let shared = Shared::new(ephemeral, identity, &unwrap(wrapped_companion, code)?, companion_identity)?;
    let mut plain =
        aes_gcm_open(&shared.bundle_key(salt), nonce, &[], sealed).map_err(|_| LinkCodeError::WrongCode)?;
    let agreed = [companion_identity.as_bytes().as_slice(), identity.public().as_bytes()].concat();
    let result = match plain.split_at_checked(64) {
        Some((identities, random)) if ct_eq(identities, &agreed) => {
            random.try_into().map(|random| shared.adv_secret(random)).map_err(|_| LinkCodeError::Length)
        }
        _ => Err(LinkCodeError::Identity),
    };
    plain.zeroize();
    result
}

/// The two key agreements, which both roles share.
#[derive(ZeroizeOnDrop)]
struct Shared {
    ephemeral: [u8; 32],
    identity: [u8; 32],
}

impl Shared {
    fn new(
        ephemeral: &KeyPair,
        identity: &KeyPair,
        their_ephemeral: &PublicKey,
        their_identity: &PublicKey,
    ) -> Result<Self, LinkCodeError> {
        let ephemeral = ephemeral.agree(their_ephemeral).map_err(|_| LinkCodeError::LowOrder)?;
        let identity = identity.agree(their_identity).map_err(|_| LinkCodeError::LowOrder)?;
        Ok(Self { ephemeral: *ephemeral.as_bytes(), identity: *identity.as_bytes() })
    }

    fn bundle_key(&self, salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(hkdf_sha256(&self.ephemeral, salt, b"link_code_pairing_key_bundle_encryption_key"))
    }

    fn adv_secret(&self, random: &[u8; 32]) -> AdvSecret {
        let mut material = [self.ephemeral, self.identity, *random].concat();
        let secret = AdvSecret::new(hkdf_sha256(&material, &[0; 32], b"adv_secret"));
        material.zeroize();
        secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn display_form_and_dash_insensitive_input() {
        let code = Code::from_bytes([0x00, 0x44, 0x32, 0x14, 0xc7]);
        assert_eq!(code.as_str(), "12345678");
        assert_eq!(code.display(), "1234-5678");
        for typed in ["12345678", "1234-5678", " 1234 - 5678 "] {
            assert_eq!(Code::parse(typed), Some(code.clone()));
        }
        assert_eq!(Code::parse("abcd-efgh").unwrap().as_str(), "ABCDEFGH");
        for wrong in ["", "1234567", "123456789", "1234567O", "0234-5678", "1234-567I", "1234567é"] {
            assert_eq!(Code::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn wrong_code_on_the_phone_fails_to_open_the_bundle() {
        let rng = &mut rand_chacha::ChaCha20Rng::seed_from_u64(1);
        let [ce, ci, pe, pi] = std::array::from_fn(|_| KeyPair::generate(rng));
        let (code, wrong) = (Code::generate(rng), Code::generate(rng));
        let companion = wrap(ce.public(), &code, &random_bytes(rng), &random_bytes(rng));
        for (typed, fits) in [(&code, true), (&wrong, false)] {
            let primary = wrap(pe.public(), typed, &random_bytes(rng), &random_bytes(rng));
            let random = FinishRandom::generate(rng);
            let finish = companion_finish(&code, &ce, &ci, &primary, pi.public(), &random).unwrap();
            let opened = primary_finish(typed, &pe, &pi, &companion, ci.public(), &finish.bundle);
            match opened {
                Ok(secret) => assert!(fits && secret.as_bytes() == finish.adv_secret.as_bytes()),
                Err(error) => assert!(!fits && error == LinkCodeError::WrongCode),
            }
        }
    }

    #[test]
    fn a_bundle_for_another_identity_is_refused() {
        let rng = &mut rand_chacha::ChaCha20Rng::seed_from_u64(2);
        let [ce, ci, pe, pi] = std::array::from_fn(|_| KeyPair::generate(rng));
        let code = Code::generate(rng);
        let companion = wrap(ce.public(), &code, &[1; 32], &[2; 16]);
        let primary = wrap(pe.public(), &code, &[3; 32], &[4; 16]);
        let random = FinishRandom::generate(rng);
        let finish = companion_finish(&code, &ce, &ci, &primary, pi.public(), &random).unwrap();
        let opened = primary_finish(&code, &pe, &pi, &companion, pe.public(), &finish.bundle);
        assert_eq!(opened.unwrap_err(), LinkCodeError::Identity);
        let cut = primary_finish(&code, &pe, &pi, &companion, ci.public(), &finish.bundle[..155]);
        assert_eq!(cut.unwrap_err(), LinkCodeError::Length);
    }

    #[test]
    fn low_order_points_abort_the_flow() {
        let rng = &mut rand_chacha::ChaCha20Rng::seed_from_u64(3);
        let [ce, ci] = std::array::from_fn(|_| KeyPair::generate(rng));
        let code = Code::generate(rng);
        let primary = wrap(&PublicKey([0; 32]), &code, &[3; 32], &[4; 16]);
        let random = FinishRandom::generate(rng);
        let finish = companion_finish(&code, &ce, &ci, &primary, ce.public(), &random);
        assert_eq!(finish.unwrap_err(), LinkCodeError::LowOrder);
        let low = companion_finish(&code, &ce, &ci, &primary, &PublicKey([0; 32]), &random);
        assert_eq!(low.unwrap_err(), LinkCodeError::LowOrder);
    }

    #[test]
    fn phone_numbers_are_reduced_to_digits() {
        assert_eq!(phone_number("+1 (555) 000-3333").as_deref(), Some("15550003333"));
        for wrong in ["", "123456", "0155500033", "abc"] {
            assert_eq!(phone_number(wrong), None);
        }
    }

    #[test]
    fn debug_of_a_code_and_of_random_values_shows_nothing_of_them() {
        assert_eq!(format!("{:?}", Code::from_bytes([1; 5])), "Code(..)");
        let random = FinishRandom { adv: [1; 32], salt: [2; 32], nonce: [3; 12] };
        assert_eq!(format!("{random:?}"), "FinishRandom(..)");
    }
}
