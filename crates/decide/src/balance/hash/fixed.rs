//! Numbers that are the same on every machine, for every balancer and in every version.
//!
//! Where a key belongs follows from these alone. Changing anything here moves nearly every key of every user.

use xxhash_rust::xxh3::xxh3_64;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What stands for an endpoint: XXH3 (64 bits, seed 0) of its id.
pub(super) fn hash_of(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

/// SplitMix64's finaliser: every bit of the result depends on every bit of `number`.
pub(super) fn scatter(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The number that an endpoint draws for a key: both halves of a product, as in wyhash. Both are hashes already, so that
/// one multiplication is enough.
pub(super) fn meet(key: u64, endpoint: u64) -> u64 {
    let product = u128::from(key ^ 0xa076_1d64_78bd_642f) * u128::from(endpoint ^ 0xe703_7ed1_a0b4_28db);
    (product >> 64) as u64 ^ product as u64
}

/// The `step`th of the numbers that follow from `number`.
pub(super) fn follow(number: u64, step: u64) -> u64 {
    scatter(number.wrapping_add(step.wrapping_mul(GOLDEN)))
}

/// `number` as a place among `places`.
pub(super) fn place(number: u64, places: usize) -> usize {
    ((u128::from(number) * places as u128) >> 64) as usize
}

/// `-ln(1 - t)` for `t` in [0, 1), to twelve digits.
///
/// The standard library's logarithm may differ in its last bits between machines. This is made of sums, products and
/// quotients, which IEEE 754 defines to the last bit.
pub(super) fn waiting_time(t: f64) -> f64 {
    let rest = 1.0 - t;
    let bits = rest.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh((m - 1) / (m + 1)), and that argument is below 0.172 here.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..8).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    -(2.0 * s * series + exponent as f64 * std::f64::consts::LN_2)
}

#[cfg(test)]
mod tests {
    use super::{follow, hash_of, meet, place, scatter, waiting_time};

    #[test]
    fn numbers_never_change() {
        assert_eq!(hash_of("user-1"), 0x7c76_15c1_1438_e5c9);
        assert_eq!(scatter(1), 0x5692_161d_100b_05e5);
        assert_eq!(follow(7, 3), 0xe698_4080_bab1_2a02);
        assert_eq!(meet(7, 3), 0xcc72_fd6b_6b52_40d1);
        assert_eq!([place(0, 10), place(u64::MAX, 10), place(1 << 63, 10)], [0, 9, 5]);
    }

    #[test]
    fn a_waiting_time_is_a_logarithm() {
        for t in [0.0, 1e-12, 0.001, 0.1, 0.29, 0.3, 0.5, 0.75, 0.9, 0.999_999, 1.0 - f64::EPSILON] {
            let truth = -(-t).ln_1p();
            let told = waiting_time(t);
            assert!((told - truth).abs() <= 1e-11 * truth.max(1e-4), "{t}: {told}, not {truth}");
        }
    }
}
