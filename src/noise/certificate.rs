//! The server's certificate chain: root, intermediate, leaf (protocol 01 §8). Verifying for clients, issuing for
//! simulated servers.

use prost::Message;
use rand_core::CryptoRng;

use crate::crypto::{KeyPair, PublicKey, ct_eq, random_bytes, xeddsa};
use crate::proto::noise::{self, CertificateDetails, NoiseCertificate};

/// The root key of the production service ("WhatsAppLongTerm1", serial 0).
pub const PRODUCTION_ROOT: PublicKey = PublicKey([
    0x14, 0x23, 0x75, 0x57, 0x4d, 0x0a, 0x58, 0x71, 0x66, 0xaa, 0xe7, 0x1e, 0xbe, 0x51, 0x64, 0x37, 0xc4,
    0xa2, 0x8b, 0x73, 0xe3, 0x69, 0x5c, 0x6c, 0xe1, 0xf7, 0xf9, 0x54, 0x5d, 0xa8, 0xee, 0x6b,
]);

/// The root's serial, which the intermediate names as its issuer.
const ROOT_SERIAL: u32 = 0;

/// Which certificate of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The one that names the server's Noise static key.
    Leaf,
    /// The one between root and leaf.
    Intermediate,
}

/// Why a chain was refused. Everything but the dates means that the server is not who it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No protobuf, a certificate missing, details missing, a signature of another length than 64, or a key of
    /// another length than 32.
    #[error("malformed certificate chain")]
    Malformed,
    /// A signature does not verify under the issuer's key.
    #[error("the signature of the {0:?} certificate is wrong")]
    Signature(Link),
    /// A certificate names another issuer than the next one in the chain.
    #[error("the {0:?} certificate names another issuer")]
    Issuer(Link),
    /// The leaf is for another key than the server used.
    #[error("the leaf certificate is for another server key")]
    ServerKey,
    /// Everything else is right, but now is outside a certificate's dates: either this host's clock is wrong or
    /// the certificate is out of date.
    #[error(
        "clock or certificate: the {link:?} certificate is valid from {not_before} to {not_after}, now is {now}"
    )]
    ClockOrCertificate {
        /// Which certificate.
        link: Link,
        /// Its first second.
        not_before: u64,
        /// Its last second.
        not_after: u64,
        /// This host's time, Unix seconds.
        now: i64,
    },
}

/// What a certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate {
    /// Its number.
    pub serial: u32,
    /// Its issuer's number, 0 for the root.
    pub issuer_serial: u32,
    /// The key that it vouches for.
    pub key: PublicKey,
    /// The first second of its validity, Unix seconds.
    pub not_before: u64,
    /// The last second of its validity, Unix seconds.
    pub not_after: u64,
}

impl Certificate {
    fn parse(details: &[u8]) -> Result<Self, CertificateError> {
        let details = CertificateDetails::decode(details).map_err(|_| CertificateError::Malformed)?;
        Ok(Self {
            serial: details.serial.unwrap_or_default(),
            issuer_serial: details.issuer_serial.unwrap_or_default(),
            key: details.key.as_deref().and_then(PublicKey::from_slice).ok_or(CertificateError::Malformed)?,
            not_before: details.not_before.unwrap_or_default(),
            not_after: details.not_after.unwrap_or_default(),
        })
    }

    /// Signs this certificate with the issuer's key pair. The issuing side does not judge what it signs, so that
    /// simulated servers can make wrong chains.
    #[must_use]
    pub fn issue<R: CryptoRng + ?Sized>(&self, issuer: &KeyPair, rng: &mut R) -> NoiseCertificate {
        let details = CertificateDetails {
            serial: Some(self.serial),
            issuer_serial: Some(self.issuer_serial),
            key: Some(self.key.as_bytes().to_vec()),
            not_before: Some(self.not_before),
            not_after: Some(self.not_after),
        }
        .encode_to_vec();
        let signature = xeddsa::sign(issuer, &[&details], &random_bytes(rng)).to_vec();
        NoiseCertificate { details: Some(details), signature: Some(signature) }
    }

    fn check_dates(&self, link: Link, now: i64) -> Result<(), CertificateError> {
        let Self { not_before, not_after, .. } = *self;
        let inside = u64::try_from(now).is_ok_and(|now| (not_before..=not_after).contains(&now));
        if inside {
            Ok(())
        } else {
            Err(CertificateError::ClockOrCertificate { link, not_before, not_after, now })
        }
    }

    /// The half-open test of IK (protocol 01 §6).
    fn covers(&self, now: i64) -> bool {
        u64::try_from(now).is_ok_and(|now| (self.not_before..self.not_after).contains(&now))
    }
}

/// A verified chain, as it is cached for IK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertChain {
    /// For the server's Noise static key.
    pub leaf: Certificate,
    /// Its issuer.
    pub intermediate: Certificate,
}

impl CertChain {
    /// Verifies a serialised chain against the root's key, the static key that the server used in the handshake,
    /// and the time (Unix seconds). Signatures are over the exact bytes received; the dates are judged last.
    ///
    /// # Errors
    /// [`CertificateError`]: the first check of protocol 01 §8 that failed.
    pub fn verify(
        chain: &[u8],
        root: &PublicKey,
        server_static: &PublicKey,
        now: i64,
    ) -> Result<Self, CertificateError> {
        let chain = noise::CertChain::decode(chain).map_err(|_| CertificateError::Malformed)?;
        let (leaf_details, leaf_signature) = signed_parts(chain.leaf.as_ref())?;
        let (details, signature) = signed_parts(chain.intermediate.as_ref())?;

        if !xeddsa::verify(root, &[details], signature) {
            return Err(CertificateError::Signature(Link::Intermediate));
        }
        let intermediate = Certificate::parse(details)?;
        if intermediate.issuer_serial != ROOT_SERIAL {
            return Err(CertificateError::Issuer(Link::Intermediate));
        }
        if !xeddsa::verify(&intermediate.key, &[leaf_details], leaf_signature) {
            return Err(CertificateError::Signature(Link::Leaf));
        }
        let leaf = Certificate::parse(leaf_details)?;
        if leaf.issuer_serial != intermediate.serial {
            return Err(CertificateError::Issuer(Link::Leaf));
        }
        if !ct_eq(leaf.key.as_bytes(), server_static.as_bytes()) {
            return Err(CertificateError::ServerKey);
        }
        intermediate.check_dates(Link::Intermediate, now)?;
        leaf.check_dates(Link::Leaf, now)?;
        Ok(Self { leaf, intermediate })
    }

    /// Whether IK may use this chain now: `[notBefore, notAfter)` of both certificates (protocol 01 §6).
    #[must_use]
    pub fn is_valid_at(&self, now: i64) -> bool {
        self.leaf.covers(now) && self.intermediate.covers(now)
    }
}

fn signed_parts(certificate: Option<&NoiseCertificate>) -> Result<(&[u8], &[u8]), CertificateError> {
    let certificate = certificate.ok_or(CertificateError::Malformed)?;
    match (certificate.details.as_deref(), certificate.signature.as_deref()) {
        (Some(details @ [_, ..]), Some(signature)) if signature.len() == 64 => Ok((details, signature)),
        _ => Err(CertificateError::Malformed),
    }
}

/// A serialised chain: `intermediate` signed by the root, `leaf` signed by the intermediate's key pair.
#[must_use]
pub fn issue_chain<R: CryptoRng + ?Sized>(
    root: &KeyPair,
    intermediate_pair: &KeyPair,
    intermediate: &Certificate,
    leaf: &Certificate,
    rng: &mut R,
) -> Vec<u8> {
    let intermediate = Some(intermediate.issue(root, rng));
    let leaf = Some(leaf.issue(intermediate_pair, rng));
    noise::CertChain { leaf, intermediate }.encode_to_vec()
}
