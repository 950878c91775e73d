//! A ring: endpoints stand at many random points, and a key belongs to the next one (Karger et al. 1997; ketama).
//!
//! A look-up is a binary search. Nothing moves without need, but shares are as uneven as points are few.

use super::fixed;
use super::places::Member;
use crate::balance::Slot;

/// Points in ascending order, and whose they are.
#[derive(Debug)]
pub(super) struct Ring {
    points: Box<[u64]>,
    owners: Box<[Slot]>,
}

impl Ring {
    /// A ring of about `points` points for a member of average weight, up to twice as many, and never none.
    ///
    /// Points of an endpoint are a series that its weight makes longer or shorter, so that a change moves only what it
    /// has to. The unit of weights is the average rounded down to a power of two: it seldom changes.
    pub(super) fn build(members: &[Member], points: u32) -> Self {
        let total: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
        let average = (total / (members.len() as u64).max(1)).max(1);
        let unit = 1 << average.ilog2();
        let mut all = Vec::new();
        for (slot, member) in (0..).map(Slot).zip(members) {
            let count = (u64::from(points) * u64::from(member.weight) / unit).max(1);
            all.extend((1..=count).map(|step| (fixed::follow(member.hash, step), member.hash, slot)));
        }
        // By hash where two points are the same, whatever order a source lists endpoints in.
        all.sort_unstable();
        Self {
            points: all.iter().map(|(point, ..)| *point).collect(),
            owners: all.iter().map(|(.., owner)| *owner).collect(),
        }
    }

    /// The endpoints to which a key belongs, in its own order: those that stand at the next points. They repeat.
    pub(super) fn order(&self, key: u64) -> impl Iterator<Item = Slot> + '_ {
        let begin = self.points.partition_point(|point| *point < fixed::scatter(key));
        self.owners[begin..].iter().chain(&self.owners[..begin]).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use crate::balance::hash::places::Member;

    #[test]
    fn points_go_with_weights_and_nobody_has_none() {
        let weights = [1, 2, 3, 2];
        let members: Vec<Member> = weights
            .iter()
            .enumerate()
            .map(|(number, weight)| Member::of(&format!("e{number}"), *weight))
            .collect();
        let mut counts = [0; 4];
        Ring::build(&members, 10).owners.iter().for_each(|slot| counts[slot.index()] += 1);
        assert_eq!(counts, [5, 10, 15, 10]);
        let far = Ring::build(&[Member::of("a", 1), Member::of("b", 65_535)], 10);
        assert_eq!(far.owners.iter().filter(|slot| slot.0 == 0).count(), 1);
        assert_eq!(Ring::build(&[], 10).order(7).next(), None);
    }

    #[test]
    fn a_key_goes_round_the_whole_ring_once() {
        let ring = Ring::build(&[Member::of("a", 1), Member::of("b", 1)], 50);
        assert_eq!(ring.order(u64::MAX).count(), 100);
        let begin = ring.points.partition_point(|point| *point < super::fixed::scatter(9));
        assert_eq!(ring.order(9).next(), Some(ring.owners[begin % 100]));
    }
}
