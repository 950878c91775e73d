//! How property tests run here: from a fixed seed, so that a test that passed will pass again.

use proptest::test_runner::{Config, RngSeed};

/// `count` generated cases, the same ones in every run.
pub(crate) fn fixed(count: u32) -> Config {
    Config { cases: count, rng_seed: RngSeed::Fixed(0xba5c), failure_persistence: None, ..Config::default() }
}
