//! Bounded load: no endpoint gets more than its share and a little, however popular its keys are.
//!
//! Mirrokni, Thorup and Zadimoghaddam 2018: an endpoint may have `c` times its share of all requests in flight, rounded
//! up; what finds it full goes to the next in the key's own order.

use crate::balance::{Candidates, Slot};

/// Endpoints whose requests are counted anew at each pick. Of more, the counts are a few picks old.
const LOOKS: usize = 64;

/// The most that each candidate may have, kept up to date as requests come and go.
pub(super) struct Bound {
    percent: u64,
    /// As they were when last looked at, by slot.
    in_flight: Vec<u32>,
    total: u64,
    weight: u64,
    next: usize,
}

impl Bound {
    /// At most `percent` of what would be a candidate's share, more than 100; for a pool of so many endpoints.
    pub(super) fn new(percent: u64, places: usize) -> Self {
        Self { percent, in_flight: vec![0; places], total: 0, weight: 0, next: 0 }
    }

    /// The candidates have changed.
    pub(super) fn begin(&mut self, among: &Candidates<'_>) {
        self.weight = among.slots().iter().map(|slot| u64::from(among.weight(*slot))).sum();
        self.total = 0;
        for slot in among.slots() {
            let count = among.in_flight(*slot);
            self.in_flight[slot.index()] = count;
            self.total += u64::from(count);
        }
    }

    /// Counts anew, some of them. To be called before each pick.
    pub(super) fn look(&mut self, among: &Candidates<'_>) {
        for _ in 0..among.len().min(LOOKS) {
            self.next = if self.next + 1 < among.len() { self.next + 1 } else { 0 };
            let slot = among.slot(self.next);
            let count = among.in_flight(slot);
            let before = std::mem::replace(&mut self.in_flight[slot.index()], count);
            self.total = self.total + u64::from(count) - u64::from(before);
        }
    }

    /// Whether the candidate may have one more: `in flight < ⌈c · (total + 1) · its share of the weight⌉`.
    pub(super) fn has_room(&self, slot: Slot, among: &Candidates<'_>) -> bool {
        let has = u128::from(among.in_flight(slot)) * u128::from(100 * self.weight);
        let may_have = u128::from(self.percent * (self.total + 1)) * u128::from(among.weight(slot));
        has < may_have
    }
}
