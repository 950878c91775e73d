//! Rendezvous hashing: every endpoint draws a number for the key, the best one wins.
//!
//! Nothing is built, and nothing moves without need: an endpoint that goes loses its own keys only, one that comes
//! takes only what becomes its own, and a weight that grows only draws keys in. Thaler and Ravishankar 1998; weights
//! after Schindelhauer and Schomaker 2005: the shortest of waiting times whose rates are the weights.

use super::fixed;
use crate::balance::{Candidates, Key, Slot};

/// What a number out of 53 random bits is divided by to lie in [0, 1).
const UNIT: f64 = (1_u64 << 53) as f64;

/// The candidates side by side, as one look over all of them wants to find them.
#[derive(Default)]
pub(super) struct Rendezvous {
    entries: Vec<Entry>,
}

struct Entry {
    hash: u64,
    weight: f64,
    slot: Slot,
}

impl Rendezvous {
    /// Makes room for so many candidates.
    pub(super) fn with_room(places: usize) -> Self {
        Self { entries: Vec::with_capacity(places) }
    }

    /// The candidates have changed; `hashes` is by slot.
    pub(super) fn begin(&mut self, hashes: &[u64], among: &Candidates<'_>) {
        self.entries.clear();
        self.entries.extend(among.slots().iter().map(|slot| Entry {
            hash: hashes[slot.index()],
            weight: f64::from(among.weight(*slot)),
            slot: *slot,
        }));
    }

    /// The candidate to which `key` belongs among those that suit; `None` when none does.
    ///
    /// Looks at all candidates: about a nanosecond for each.
    pub(super) fn find(&self, key: Key, mut suits: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let mut best: Option<(f64, u64, Slot)> = None;
        // The shortest time so far; until there is one, everything is shorter.
        let mut shortest = f64::INFINITY;
        for Entry { hash, weight, slot } in &self.entries {
            let drawn = (fixed::meet(key.0, *hash) >> 11) as f64;
            // `t <= -ln(1 - t)`: most are out of the question without a logarithm.
            if drawn > shortest * weight {
                continue;
            }
            let time = fixed::waiting_time(drawn / UNIT) * UNIT / weight;
            let is_better = best.is_none_or(|(least, other, _)| (time, *hash) < (least, other));
            if is_better && suits(*slot) {
                best = Some((time, *hash, *slot));
                shortest = time;
            }
        }
        best.map(|(_, _, slot)| slot)
    }
}
