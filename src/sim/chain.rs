//! The server's Noise identity: root, intermediate and static key of one world, and the certificate chain with
//! each of the defects of 09 §4. Not: the handshake, which is `listen`.

use prost::Message;

use super::config::CertMode;
use super::seed::{self, SimRng};
use crate::crypto::{KeyPair, PublicKey};
use crate::noise::Certificate;
use crate::proto::noise::{CertChain, NoiseCertificate};

const DAY: i64 = 86_400;
/// The serial number of the root, which is never sent: what the intermediate names as its issuer.
pub(crate) const ROOT_SERIAL: u32 = 0;
const INTERMEDIATE_SERIAL: u32 = 3;
const LEAF_SERIAL: u32 = 7;

/// A chain that the production service once showed in public; its leaf is for a key that nobody here holds.
const GENUINE: &str = concat!(
    "0a770a3308e30210031a20912a0eca8358aee024ae9702c16b15f9d5379fc3a5571a066a72be4e11b5c84620d0d386ce0628d08d",
    "9fd3061240df8063f368c01e12e909604d5419469c50e279a99df3ed77f12e7bb8cb7d91ef66ae7e6be3e55ea7004f2848078e86",
    "fa6d1ef4ae50a658393166ff827d58c80312760a32080310001a201c51a9ac303994c6c8d0b92ea1878a533476599cc599fbea35",
    "997d9aa90cce62208091aebe0628ffdeb7dc061240270f294648539fed4870e25054dd4e95983aba29189c2ba6c8eeda7055555f",
    "753740f5ec192ab64c26c26d6ade6d20b9f774aee37120a6b20395f53c66058507"
);

/// Keys of one world, from its seed.
#[derive(Debug, Clone)]
pub(crate) struct ServerIdentity {
    seed: u64,
    root: KeyPair,
    intermediate: KeyPair,
    noise: KeyPair,
}

impl ServerIdentity {
    pub fn new(seed: u64) -> Self {
        let key = |name| KeyPair::generate(&mut seed::stream(seed, "server", name));
        Self { seed, root: key("root"), intermediate: key("intermediate"), noise: key("noise") }
    }

    /// The key that clients under test must trust.
    pub fn root_key(&self) -> PublicKey {
        *self.root.public()
    }

    pub fn noise_static(&self) -> &KeyPair {
        &self.noise
    }

    /// The chain as it goes into the ServerHello at `now` (Unix seconds).
    pub fn chain(&self, mode: CertMode, now: i64) -> Vec<u8> {
        if mode == CertMode::ReplayedGenuine {
            return hex::decode(GENUINE).unwrap_or_default();
        }
        let mut rng = seed::stream(self.seed, "chain", &format!("{mode:?} {now}"));
        let (from, intermediate_to, leaf_to) = match mode {
            CertMode::Expired => (now - 30 * DAY, now - DAY, now - DAY),
            CertMode::Future => (now + DAY, now + 365 * DAY, now + 30 * DAY),
            _ => (now - DAY, now + 364 * DAY, now + 29 * DAY),
        };
        let intermediate = Certificate {
            serial: INTERMEDIATE_SERIAL,
            issuer_serial: if mode == CertMode::InterSerial { ROOT_SERIAL + 1 } else { ROOT_SERIAL },
            key: *self.intermediate.public(),
            not_before: seconds(from),
            not_after: seconds(intermediate_to),
        };
        let leaf = Certificate {
            serial: LEAF_SERIAL,
            issuer_serial: if mode == CertMode::LeafSerial {
                INTERMEDIATE_SERIAL + 1
            } else {
                INTERMEDIATE_SERIAL
            },
            key: if mode == CertMode::LeafKey {
                *KeyPair::generate(&mut rng).public()
            } else {
                *self.noise.public()
            },
            not_before: seconds(from),
            not_after: seconds(leaf_to),
        };
        let root = if mode == CertMode::WrongRoot { KeyPair::generate(&mut rng) } else { self.root.clone() };
        let intermediate = intermediate.issue(&root, &mut rng);
        CertChain { leaf: self.leaf(&leaf, mode, &mut rng), intermediate: Some(intermediate) }.encode_to_vec()
    }

    fn leaf(&self, leaf: &Certificate, mode: CertMode, rng: &mut SimRng) -> Option<NoiseCertificate> {
        let mut signed = leaf.issue(&self.intermediate, rng);
        match mode {
            CertMode::MissingLeaf => return None,
            CertMode::ShortSig => {
                signed.signature.as_mut().and_then(Vec::pop);
            }
            CertMode::LeafSig => {
                if let Some(byte) = signed.signature.as_mut().and_then(|signature| signature.first_mut()) {
                    *byte ^= 1;
                }
            }
            _ => {}
        }
        Some(signed)
    }
}

fn seconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{CertChain as Chain, CertificateError, Link};

    const NOW: i64 = 1_786_000_000;

    fn verdict(mode: CertMode) -> Result<Chain, CertificateError> {
        let server = ServerIdentity::new(1);
        Chain::verify(&server.chain(mode, NOW), &server.root_key(), server.noise_static().public(), NOW)
    }

    #[test]
    fn proves_09_27_03_each_certificate_mode_produces_exactly_the_defect_it_names() {
        let chain = verdict(CertMode::Ok).unwrap();
        assert_eq!((chain.leaf.serial, chain.intermediate.serial), (7, 3));
        let cases = [
            (CertMode::WrongRoot, CertificateError::Signature(Link::Intermediate)),
            (CertMode::ReplayedGenuine, CertificateError::Signature(Link::Intermediate)),
            (CertMode::InterSerial, CertificateError::Issuer(Link::Intermediate)),
            (CertMode::LeafSig, CertificateError::Signature(Link::Leaf)),
            (CertMode::LeafSerial, CertificateError::Issuer(Link::Leaf)),
            (CertMode::LeafKey, CertificateError::ServerKey),
            (CertMode::MissingLeaf, CertificateError::Malformed),
            (CertMode::ShortSig, CertificateError::Malformed),
        ];
        for (mode, expected) in cases {
            assert_eq!(verdict(mode), Err(expected), "{mode:?}");
        }
        for mode in [CertMode::Expired, CertMode::Future] {
            assert!(matches!(verdict(mode), Err(CertificateError::ClockOrCertificate { .. })), "{mode:?}");
        }
    }

    #[test]
    fn the_replayed_genuine_chain_is_valid_under_the_production_root() {
        let chain = hex::decode(GENUINE).unwrap();
        let leaf = hex::decode("912a0eca8358aee024ae9702c16b15f9d5379fc3a5571a066a72be4e11b5c846").unwrap();
        let key = PublicKey::from_slice(&leaf).unwrap();
        Chain::verify(&chain, &crate::noise::PRODUCTION_ROOT, &key, 1_780_000_000).unwrap();
    }
}
