//! Random numbers from a seed that the caller gives: the same seed, the same numbers.

/// SplitMix64: eight bytes of state, one multiplication chain a number. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that gives the same numbers for the same seed, on every machine.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits, uniform.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless source of numbers is not a sequence to iterate over"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `n - 1`. The bias is below `n / 2^64`.
    ///
    /// # Panics
    /// When `n` is 0, in debug builds; otherwise that gives 0.
    pub fn below(&mut self, n: usize) -> usize {
        debug_assert!(n > 0, "there is no number below zero");
        // Multiply and keep the high half: no division, and no loop as rejection would need.
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Two different numbers below `n`; the same one twice when `n` is 1; `None` when it is 0.
    pub fn pair(&mut self, n: usize) -> Option<(usize, usize)> {
        match n {
            0 => None,
            1 => Some((0, 0)),
            _ => {
                let one = self.below(n);
                let other = self.below(n - 1);
                Some((one, if other < one { other } else { other + 1 }))
            }
        }
    }

    /// Puts `items` into a random order, all orders being equally likely.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn equal_seeds_give_equal_numbers_and_others_do_not() {
        let take = |seed| {
            let mut random = Random::seeded(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
    }

    #[test]
    fn numbers_below_n_are_even_spread() {
        let mut random = Random::seeded(1);
        let mut seen = [0_u32; 7];
        for _ in 0..70_000 {
            seen[random.below(7)] += 1;
        }
        assert!(seen.iter().all(|count| (9_500..10_500).contains(count)), "{seen:?}");
    }

    #[test]
    fn a_pair_is_two_different_numbers_each_pair_as_often() {
        let mut random = Random::seeded(2);
        assert_eq!(random.pair(0), None);
        assert_eq!(random.pair(1), Some((0, 0)));
        let mut seen = [0_u32; 9];
        for _ in 0..60_000 {
            let (one, other) = random.pair(3).unwrap();
            seen[one * 3 + other] += 1;
        }
        for (at, count) in seen.iter().enumerate() {
            let same = at / 3 == at % 3;
            assert!(if same { *count == 0 } else { (9_500..10_500).contains(count) }, "{seen:?}");
        }
    }

    #[test]
    fn shuffling_keeps_every_item_and_reaches_every_place() {
        let mut random = Random::seeded(3);
        let mut first = [0_u32; 5];
        for _ in 0..50_000 {
            let mut items = [0, 1, 2, 3, 4];
            random.shuffle(&mut items);
            first[items[0]] += 1;
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4]);
        }
        assert!(first.iter().all(|count| (9_500..10_500).contains(count)), "{first:?}");
    }
}
