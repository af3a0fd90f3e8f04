//! What the benches share: how long they measure, and a source of chance that repeats.

pub mod party;

use std::time::Duration;

use criterion::Criterion;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// The measuring of every bench: half a second to warm up, two seconds for the figure, so that all benches together
/// take about two minutes. Arguments of the command line (`--quick`, a filter, a baseline) win.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
        .configure_from_args()
}

/// Chance that is the same in every run.
pub fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}
