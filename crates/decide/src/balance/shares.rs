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
    pub(super) fn draw_two(
        &mut self,
        among: &Candidates<'_>,
        random: &mut Random,
    ) -> Option<(Slot, Slot)> {
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
