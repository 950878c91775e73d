//! Cuts many candidates into windows, so that looking at all of a window costs the same for any pool.

use super::smooth::Smooth;
use super::{Candidates, Slot};
use crate::random::Random;

/// Up to this many candidates are all looked at. Sampling throws knowledge away: this many cost less than a microsecond.
pub(super) const WINDOW: usize = 64;

/// Candidates in random order, cut into as few windows of nearly equal size as there must be.
///
/// The windows take turns by the sum of their weights. Which endpoint is in which window is random,
/// so that a slow half of a pool is spread over all of them; each thread has its own windows.
#[derive(Default)]
pub(super) struct Windows {
    edition: Option<u64>,
    order: Vec<Slot>,
    /// Where each window ends in `order`, and the sum of its weights.
    windows: Vec<(usize, u64)>,
    turns: Smooth,
}

impl Windows {
    /// Cuts anew if the candidates have changed; whether they had.
    pub(super) fn follow(&mut self, among: &Candidates<'_>, random: &mut Random) -> bool {
        if self.edition == Some(among.edition()) {
            return false;
        }
        self.edition = Some(among.edition());
        self.reserve(among.places());
        self.order.clear();
        self.order.extend_from_slice(among.slots());
        random.shuffle(&mut self.order);
        self.windows.clear();
        let count = self.order.len().div_ceil(WINDOW);
        let total: u64 = self.order.iter().map(|slot| u64::from(among.weight(*slot))).sum();
        let mut begin = 0;
        for window in 0..count {
            let end = self.order.len() * (window + 1) / count;
            let weight = self.order[begin..end].iter().map(|slot| u64::from(among.weight(*slot))).sum();
            self.windows.push((end, weight));
            self.turns.limit(window, total);
            begin = end;
        }
        true
    }

    /// Makes room for so many candidates.
    pub(super) fn reserve(&mut self, places: usize) {
        let most = places.div_ceil(WINDOW);
        self.order.reserve(places.saturating_sub(self.order.len()));
        self.windows.reserve(most.saturating_sub(self.windows.len()));
        self.turns.reserve(most);
    }

    /// The window whose turn it is; empty when there are no candidates.
    pub(super) fn next(&mut self) -> &[Slot] {
        if self.windows.len() <= 1 {
            return &self.order;
        }
        let weights = self.windows.iter().map(|(_, weight)| *weight).enumerate();
        let Some(window) = self.turns.turn(weights) else {
            return &[];
        };
        &self.order[self.begin(window)..self.windows[window].0]
    }

    /// Every candidate with the sum of the weights of its window.
    pub(super) fn members(&self) -> impl Iterator<Item = (Slot, u64)> + '_ {
        self.windows.iter().enumerate().flat_map(|(window, (end, weight))| {
            self.order[self.begin(window)..*end].iter().map(|slot| (*slot, *weight))
        })
    }

    fn begin(&self, window: usize) -> usize {
        window.checked_sub(1).map_or(0, |before| self.windows[before].0)
    }
}
