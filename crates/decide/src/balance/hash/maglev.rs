//! Maglev hashing: a table that every endpoint fills in its own order, in turns (Eisenbud et al., NSDI 2016).
//!
//! A look-up costs the same for any number of endpoints, and shares are even to a table's place. When endpoints come
//! or go the table is filled anew, which moves a few keys without need.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::fixed;
use super::places::Member;
use crate::balance::Slot;

/// Sizes of tables: primes. One is used up to a hundredth of it in endpoints, for even shares; when a pool grows past
/// that, nearly all of its keys move, once. Therefore there are few. Twice the usual 65,537 to begin with: a third
/// fewer moves.
const SIZES: [usize; 3] = [131_101, 1_048_583, 8_388_617];
const PLACES_PER_ENDPOINT: usize = 100;
/// Slots take two bytes, so that a table of the first size takes 256 KiB.
pub(super) const MOST_MEMBERS: usize = u16::MAX as usize;
const FREE: u16 = u16::MAX;

/// The endpoint of each place.
#[derive(Debug)]
pub(super) struct Maglev {
    places: Box<[u16]>,
}

/// Where one endpoint goes next.
struct Walk {
    at: usize,
    skip: usize,
}

impl Maglev {
    /// Fills a table for at most [`MOST_MEMBERS`], which are by slot. Costs ten milliseconds for a hundred.
    pub(super) fn build(members: &[Member]) -> Self {
        if members.is_empty() {
            return Self { places: Box::default() };
        }
        let size = SIZES.into_iter().find(|size| members.len() * PLACES_PER_ENDPOINT <= *size);
        let size = size.unwrap_or(SIZES[SIZES.len() - 1]);
        let mut places = vec![FREE; size].into_boxed_slice();
        let mut walks: Vec<Walk> = members.iter().map(|member| Walk::of(member.hash, size)).collect();
        let mut turns = turns(members);
        for _ in 0..size {
            let mut turn = turns.peek_mut().expect("there is a member");
            let slot = turn.0.slot;
            let walk = &mut walks[slot.index()];
            while places[walk.at] != FREE {
                walk.step(size);
            }
            places[walk.at] = slot.0 as u16;
            walk.step(size);
            turn.0.number += 2;
        }
        Self { places }
    }

    /// The endpoints to which a key belongs, in its own order: each place holds one, and they repeat.
    pub(super) fn order(&self, key: u64) -> impl Iterator<Item = Slot> + '_ {
        let steps = if self.places.is_empty() { 0 } else { u64::MAX };
        let place = move |step| fixed::place(fixed::follow(key, step), self.places.len());
        (0..steps).map(move |step| Slot(u32::from(self.places[place(step)])))
    }
}

impl Walk {
    fn of(hash: u64, size: usize) -> Self {
        Self {
            at: fixed::place(fixed::follow(hash, 1), size),
            skip: 1 + fixed::place(fixed::follow(hash, 2), size - 1),
        }
    }

    fn step(&mut self, size: usize) {
        self.at += self.skip;
        if self.at >= size {
            self.at -= size;
        }
    }
}

/// A turn of one endpoint. Its turns come at the times 1/2w, 3/2w, 5/2w …, so that weights are spread evenly.
#[derive(PartialEq, Eq)]
struct Turn {
    number: u64,
    weight: u64,
    hash: u64,
    slot: Slot,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // number/weight; what comes at the same time goes by hash, whatever order a source lists endpoints in.
        let (one, two) = (self.number * other.weight, other.number * self.weight);
        one.cmp(&two).then(self.hash.cmp(&other.hash)).then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn turns(members: &[Member]) -> BinaryHeap<Reverse<Turn>> {
    let turn = |(slot, member): (u32, &Member)| {
        Reverse(Turn { number: 1, weight: u64::from(member.weight), hash: member.hash, slot: Slot(slot) })
    };
    (0..).zip(members).map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::{Maglev, SIZES};
    use crate::balance::hash::places::Member;

    fn members(weights: &[u32]) -> Vec<Member> {
        weights
            .iter()
            .enumerate()
            .map(|(number, weight)| Member::of(&format!("e{number}"), *weight))
            .collect()
    }

    fn counts(weights: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; weights.len()];
        Maglev::build(&members(weights)).places.iter().for_each(|slot| counts[usize::from(*slot)] += 1);
        counts
    }

    #[test]
    fn shares_are_those_of_the_weights_to_a_place() {
        let equal = counts(&[1; 100]);
        assert!(equal.iter().all(|count| count.abs_diff(131_101 / 100) <= 1), "{equal:?}");
        let weights: Vec<u32> = (0..50).map(|number| 1 + number % 7).collect();
        let total: u32 = weights.iter().sum();
        for (count, weight) in counts(&weights).iter().zip(&weights) {
            let wanted = 131_101 * *weight as usize / total as usize;
            assert!(count.abs_diff(wanted) <= 1, "{count} for weight {weight}");
        }
        let far = counts(&[1, 65_535]);
        assert_eq!(far, [2, 131_099]);
    }

    #[test]
    fn hardly_anything_moves_that_need_not() {
        let all = members(&[1; 100]);
        let before = Maglev::build(&all);
        let mut needless = 0;
        for gone in 0..20 {
            let mut rest = all.clone();
            rest.remove(gone);
            let after = Maglev::build(&rest);
            let moved = |(was, is): &(&u16, &u16)| {
                let (was, is) = (usize::from(**was), usize::from(**is));
                was != gone && all[was].hash != rest[is].hash
            };
            needless += before.places.iter().zip(&after.places).filter(moved).count();
        }
        let share = needless as f64 / 20.0 / before.places.len() as f64;
        assert!(share <= 0.004, "{share} of all places changed hands without need");
    }

    #[test]
    fn sizes_are_prime() {
        for size in SIZES {
            let is_composite = (2..).take_while(|it| it * it <= size).any(|it| size % it == 0);
            assert!(!is_composite, "{size}");
        }
    }
}
