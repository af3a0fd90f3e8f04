//! The keys of a link that is to be: made once, before its first registration connection, and all new for every
//! new link (protocol 01 §12, 02 §3).

use crate::client::profile::DeviceProfile;
use crate::crypto::{KeyPair, PublicKey};
use crate::signal::{SignedPreKey, generate_registration_id};
use crate::store::{KeyPairBytes, Keys, Secret, SignedPrekey, StoreError, Tx, UnixMillis};

use rand_core::CryptoRng;

/// The first signed prekey's id.
const FIRST_SIGNED_PREKEY: u32 = 1;

/// An account's own keys, ready to use.
#[derive(Debug)]
pub(crate) struct OwnKeys {
    pub noise: KeyPair,
    pub identity: KeyPair,
    pub registration_id: u32,
}

impl OwnKeys {
    pub fn from_record(keys: &Keys) -> Self {
        Self {
            noise: KeyPair::from_private(*keys.noise.private.expose()),
            identity: KeyPair::from_private(*keys.identity.private.expose()),
            registration_id: keys.registration_id,
        }
    }
}

/// What a registration needs of the store.
#[derive(Debug)]
pub(crate) struct Registering {
    pub keys: OwnKeys,
    pub profile: DeviceProfile,
    pub signed_prekey: (u32, PublicKey, [u8; 64]),
}

/// Loads keys, profile and signed prekey, and makes what is not there yet.
pub(crate) fn ensure<R: CryptoRng + ?Sized>(
    tx: &mut Tx<'_>,
    now: UnixMillis,
    rng: &mut R,
) -> Result<Registering, StoreError> {
    let keys = match tx.keys()? {
        Some(keys) => keys,
        None => {
            let keys = make(rng);
            tx.set_keys(&keys)?;
            keys
        }
    };
    let keys = OwnKeys::from_record(&keys);
    let profile = match tx.profile()?.as_ref().and_then(DeviceProfile::from_record) {
        Some(profile) => profile,
        None => {
            let profile = DeviceProfile::draw(rng);
            tx.set_profile(&profile.record())?;
            profile
        }
    };
    let prekey = match tx.current_signed_prekey()? {
        Some(prekey) => prekey,
        None => {
            let made = SignedPreKey::generate(FIRST_SIGNED_PREKEY, &keys.identity, rng);
            let prekey = SignedPrekey {
                id: made.id,
                keys: pair_bytes(&made.pair),
                signature: made.signature,
                created_at: now,
            };
            tx.set_signed_prekey(&prekey)?;
            prekey
        }
    };
    let signed_prekey = (prekey.id, PublicKey(prekey.keys.public), prekey.signature);
    Ok(Registering { keys, profile, signed_prekey })
}

fn make<R: CryptoRng + ?Sized>(rng: &mut R) -> Keys {
    Keys {
        identity: pair_bytes(&KeyPair::generate(rng)),
        noise: pair_bytes(&KeyPair::generate(rng)),
        registration_id: generate_registration_id(rng),
    }
}

fn pair_bytes(pair: &KeyPair) -> KeyPairBytes {
    KeyPairBytes { public: *pair.public().as_bytes(), private: Secret::new(*pair.private_bytes()) }
}
