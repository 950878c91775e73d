//! Draws candidates at random, each as often as its weight says.

use super::{Candidates, Slot};
use crate::random::Random;

/// Running sums of the candidates' weights, kept until the candidates change. A draw is a binary search.
#[derive(Default)]
pub(super) struct Shares {
    edition: Option<u64>,
    /// `ends[i]` is the sum of the weights up to and including candidate `i`.
    ends: Vec<u64>,
}

impl Shares {
    /// One candidate; `None` when there is none.
    pub(super) fn draw(&mut self, among: &Candidates<'_>, random: &mut Random) -> Option<Slot> {
        self.follow(among);
        let total = *self.ends.last()?;
        Some(among.slot(self.at(random.below(total as usize) as u64)))
    }

    /// Two different candidates; the same one twice when there is but one.
    ///
    /// The first is drawn by weight among all, the second by weight among the rest.
    pub(super) fn draw_two(&mut self, among: &Candidates<'_>, random: &mut Random) -> Option<(Slot, Slot)> {
        self.follow(among);
        let total = *self.ends.last()?;
        let one = self.at(random.below(total as usize) as u64);
        if among.len() == 1 {
            return Some((among.slot(one), among.slot(one)));
        }
        // The second draw is made on the line of weights with the first one's piece cut out.
        let begin = one.checked_sub(1).map_or(0, |before| self.ends[before]);
        let piece = self.ends[one] - begin;
        let point = random.below((total - piece) as usize) as u64;
        let other = self.at(if point < begin { point } else { point + piece });
        Some((among.slot(one), among.slot(other)))
    }

    fn follow(&mut self, among: &Candidates<'_>) {
        if self.edition == Some(among.edition()) {
            return;
        }
        self.edition = Some(among.edition());
        self.ends.clear();
        self.ends.reserve(among.places());
        let mut sum = 0;
        self.ends.extend(among.slots().iter().map(|slot| {
            sum += u64::from(among.weight(*slot));
            sum
        }));
    }

    fn at(&self, point: u64) -> usize {
        self.ends.partition_point(|end| *end <= point)
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;
    use crate::balance::{Candidates, Slot};
    use crate::endpoint::States;
    use crate::random::Random;
    use crate::samples;
    use crate::table::Table;

    #[test]
    fn two_draws_are_different_and_the_second_is_by_weight_among_the_rest() {
        let weights = [1, 2, 3];
        let pools = vec![samples::pool("p", "random", &weights)];
        let table = Table::compile(&samples::snapshot(vec![], pools), &mut States::new()).unwrap();
        let slots = [Slot(0), Slot(1), Slot(2)];
        let among = Candidates::new(&table.pools[0], &slots, &weights, 1);
        let mut random = Random::seeded(1);
        let mut shares = Shares::default();
        let mut counts = [[0_u32; 3]; 3];
        for _ in 0..60_000 {
            let (one, other) = shares.draw_two(&among, &mut random).unwrap();
            counts[one.index()][other.index()] += 1;
        }
        // Of 60,000: the first takes w/6 of them, the second w/(6 - first) of those.
        let expected = [[0, 4_000, 6_000], [5_000, 0, 15_000], [10_000, 20_000, 0]];
        for (got, expected) in counts.as_flattened().iter().zip(expected.as_flattened()) {
            assert!(got.abs_diff(*expected) <= expected / 20, "{counts:?}");
        }
    }
}
