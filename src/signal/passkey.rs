//! The derivations of the passkey gate (protocol 02 §9), companion side. Its stanzas, events and times live in
//! `client`; the assertion comes from a real authenticator.

use prost::Message;
use rand_core::CryptoRng;

use super::adv::AdvSecret;
use super::link_code::Code;
use crate::crypto::{
    AeadError, KeyPair, LowOrderPoint, PublicKey, aes_gcm_seal, hkdf_sha256, hmac_sha256, random_bytes,
    sha256_parts,
};
use crate::proto;

/// The companion's half of the exchange. The nonce is a secret until step 5.
pub struct Companion {
    /// Its ephemeral key.
    pub ephemeral: KeyPair,
    /// Its nonce, published in step 5 and committed to in step 4.
    pub nonce: [u8; 32],
    /// The platform type of its device properties, as number.
    pub device_type: i32,
    /// The reference that the server gave.
    pub reference: String,
}

impl Companion {
    /// With a fresh key and nonce.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(device_type: i32, reference: &str, rng: &mut R) -> Self {
        Self {
            ephemeral: KeyPair::generate(rng),
            nonce: random_bytes(rng),
            device_type,
            reference: reference.to_owned(),
        }
    }

    /// The serialized `CompanionEphemeralIdentity`.
    #[must_use]
    pub fn identity(&self) -> Vec<u8> {
        proto::CompanionEphemeralIdentity {
            public_key: Some(self.ephemeral.public().as_bytes().to_vec()),
            device_type: Some(self.device_type),
            r#ref: Some(self.reference.clone()),
        }
        .encode_to_vec()
    }

    /// The commitment to identity and nonce.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        sha256_parts(&[&self.identity(), &self.nonce])
    }

    /// The serialized `ProloguePayload`.
    #[must_use]
    pub fn prologue(&self) -> Vec<u8> {
        proto::ProloguePayload {
            companion_ephemeral_identity: Some(self.identity()),
            commitment: Some(proto::CompanionCommitment { hash: Some(self.commitment().to_vec()) }),
        }
        .encode_to_vec()
    }

    /// The code that both sides show, from the primary's key and nonce.
    #[must_use]
    pub fn verification_code(&self, primary: &PublicKey, primary_nonce: &[u8; 32]) -> Code {
        let digest = sha256_parts(&[&self.nonce, primary.as_bytes()]);
        let mut bytes = [0; 5];
        for (out, (nonce, digest)) in bytes.iter_mut().zip(primary_nonce.iter().zip(digest)) {
            *out = nonce ^ digest;
        }
        Code::from_bytes(bytes)
    }

    /// The key of the pairing request.
    ///
    /// # Errors
    /// [`LowOrderPoint`]: end the flow.
    pub fn encryption_key(&self, primary: &PublicKey) -> Result<[u8; 32], LowOrderPoint> {
        let shared = self.ephemeral.agree(primary)?;
        let salt = format!("Companion Pairing {} with ref {}", self.device_type, self.reference);
        Ok(hkdf_sha256(shared.as_bytes(), salt.as_bytes(), b"Pairing Information Encryption Key"))
    }
}

impl std::fmt::Debug for Companion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { device_type, reference, .. } = self;
        f.debug_struct("Companion")
            .field("device_type", device_type)
            .field("reference", reference)
            .finish_non_exhaustive()
    }
}

/// The key that proves that this companion's code was just used, from the secret of that code.
#[must_use]
pub fn handoff_key(old: &AdvSecret) -> [u8; 32] {
    hkdf_sha256(old.as_bytes(), &[0; 32], b"shortcake-passkey-handoff-v1")
}

/// The proof over the prologue.
#[must_use]
pub fn handoff_proof(key: &[u8; 32], prologue: &[u8]) -> [u8; 32] {
    hmac_sha256(key, &[prologue])
}

/// The serialized `PairingRequest`: our Noise and identity keys and the new secret.
#[must_use]
pub fn pairing_request(noise: &PublicKey, identity: &PublicKey, adv_secret: &AdvSecret) -> Vec<u8> {
    proto::PairingRequest {
        companion_public_key: Some(noise.as_bytes().to_vec()),
        companion_identity_key: Some(identity.as_bytes().to_vec()),
        adv_secret: Some(adv_secret.as_bytes().to_vec()),
    }
    .encode_to_vec()
}

/// Seals a pairing request: the serialized `EncryptedPairingRequest`. The key is zeroized by the caller.
///
/// # Errors
/// [`AeadError`] if the request is longer than GCM allows.
pub fn seal(key: &[u8; 32], iv: [u8; 12], request: &[u8]) -> Result<Vec<u8>, AeadError> {
    let payload = aes_gcm_seal(key, &iv, &[], request)?;
    let request = proto::EncryptedPairingRequest { encrypted_payload: Some(payload), iv: Some(iv.to_vec()) };
    Ok(request.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_the_companion_shows_no_byte_of_its_nonce_and_keys() {
        let companion = Companion {
            ephemeral: KeyPair::from_private([1; 32]),
            nonce: [0xab; 32],
            device_type: 1,
            reference: "ref".to_owned(),
        };
        assert_eq!(format!("{companion:?}"), r#"Companion { device_type: 1, reference: "ref", .. }"#);
    }
}
