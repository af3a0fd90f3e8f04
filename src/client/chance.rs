//! The account's source of randomness: the operating system in real runs, a seed in virtual ones. Work that runs
//! elsewhere (a transaction on the store's thread) gets a generator of its own, seeded from it.

use std::sync::{Arc, Mutex, PoisonError};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

use crate::crypto::{os_rng, random_bytes};

/// A source of randomness that can be shared.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<ChaCha20Rng>>);

impl Chance {
    /// Seeded by the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self::seeded(&random_bytes(&mut os_rng()))
    }

    /// A source that repeats itself, for virtual runs.
    #[must_use]
    pub fn seeded(seed: &[u8; 32]) -> Self {
        Self(Arc::new(Mutex::new(ChaCha20Rng::from_seed(*seed))))
    }

    /// A generator of one's own.
    #[must_use]
    pub fn fork(&self) -> ChaCha20Rng {
        let mut source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seed = Zeroizing::new(random_bytes::<32, _>(&mut *source));
        ChaCha20Rng::from_seed(*seed)
    }
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chance(..)")
    }
}
