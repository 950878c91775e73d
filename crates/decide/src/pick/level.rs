//! One level of a pool as one thread uses it: who is available, and the algorithm that picks among them.

use crate::balance::{Algorithm, Candidates, Key, Said, Slot};
use crate::guard::ejection::Standing;
use crate::random::Random;
use crate::reach::{self, Health};
use crate::table::Pool;
use crate::time::Tick;

/// Those of a level that may be picked, and its own instance of the pool's algorithm.
pub(super) struct Level {
    reach: reach::Level,
    algorithm: Box<dyn Algorithm>,
    /// Ascending.
    pub(super) available: Vec<Slot>,
    /// None of its part is available: the whole level is used.
    uses_whole: bool,
    edition: u64,
    /// Stands for the available ones and their weights.
    print: u64,
    /// A part of the available ones was offered last: the algorithm must be told when all are back.
    was_partial: bool,
}

/// What all levels of a pick have in common.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) pool: &'a Pool,
    /// In force, by slot, in hundredths.
    pub(super) weights: &'a [u32],
    pub(super) now: Tick,
}

impl Level {
    /// # Panics
    /// When the pool's algorithm cannot be built.
    pub(super) fn new(pool: &Pool, reach: reach::Level, edition: u64) -> Self {
        let most = reach.whole.as_ref().unwrap_or(&reach.members).len();
        let algorithm = pool.algorithm.build(pool).expect("the table was compiled with this algorithm");
        let available = Vec::with_capacity(most);
        Self { reach, algorithm, available, uses_whole: false, edition, print: 0, was_partial: false }
    }

    /// Its tier.
    pub(super) fn tier(&self) -> u32 {
        self.reach.tier
    }

    /// One of the available endpoints.
    pub(super) fn pick(&mut self, view: View<'_>, key: Key, random: &mut Random) -> Option<Slot> {
        if self.was_partial {
            self.was_partial = false;
            self.edition += 1;
        }
        let among = view.candidates(&self.available, self.edition);
        self.algorithm.pick(&among, key, random)
    }

    /// One of `some` of the available endpoints.
    pub(super) fn pick_of(
        &mut self,
        some: &[Slot],
        view: View<'_>,
        key: Key,
        random: &mut Random,
    ) -> Option<Slot> {
        self.was_partial = true;
        self.edition += 1;
        self.algorithm.pick(&view.candidates(some, self.edition), key, random)
    }

    /// What the algorithm makes of one of the available endpoints, in words.
    pub(super) fn score(&self, view: View<'_>, slot: Slot) -> Option<String> {
        self.algorithm.score(&view.candidates(&self.available, self.edition), slot)
    }

    /// Adds those that the algorithm wants to hear from.
    pub(super) fn wants_probes(&mut self, view: View<'_>, random: &mut Random, wanted: &mut Vec<Slot>) {
        self.algorithm.wants_probes(&view.candidates(&self.available, self.edition), random, wanted);
    }

    /// Tells the algorithm what an endpoint has said, if it is one of this level.
    pub(super) fn hear(&mut self, view: View<'_>, slot: Slot, said: &Said, random: &mut Random) {
        let among = view.candidates(&self.available, self.edition);
        if among.contains(slot) {
            self.algorithm.hear(&among, slot, said, random);
        }
    }

    /// Works out who is available; adds those that have to prove themselves to `proving`.
    ///
    /// Of a level that is used in part, all is used while none of the part is available.
    pub(super) fn refresh(&mut self, view: View<'_>, proving: &mut Vec<Slot>) -> Health {
        let proving_before = proving.len();
        let health = find_available(&self.reach.members, view, &mut self.available, proving);
        self.uses_whole = self.available.is_empty() && self.reach.whole.is_some();
        if !self.uses_whole {
            return health;
        }
        proving.truncate(proving_before);
        let all = self.reach.whole.as_ref().unwrap_or(&self.reach.members);
        find_available(all, view, &mut self.available, proving)
    }

    /// Uses all that may get work, whatever checks and traffic say, when fewer than `percent` of them are available.
    pub(super) fn panic_below(&mut self, percent: u32, pool: &Pool) {
        let members = self.reach.whole.as_ref().filter(|_| self.uses_whole).unwrap_or(&self.reach.members);
        let wanted = members.iter().filter(|slot| is_wanted(pool, **slot)).count();
        if self.available.len() * 100 < percent as usize * wanted {
            self.available.clear();
            self.available.extend(members.iter().filter(|slot| is_wanted(pool, **slot)));
        }
    }

    /// Begins a new edition if anything has changed. To be called when the available ones are settled.
    pub(super) fn settle(&mut self, weights: &[u32]) {
        let print = self.available.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |print, slot| {
            let both = u64::from(slot.0) << 32 | u64::from(weights[slot.index()]);
            (print.rotate_left(23) ^ both).wrapping_mul(0xbf58_476d_1ce4_e5b9)
        });
        if print != self.print {
            self.print = print;
            self.edition += 1;
        }
    }
}

impl<'a> View<'a> {
    fn candidates(self, slots: &'a [Slot], edition: u64) -> Candidates<'a> {
        Candidates::new(self.pool, slots, self.weights, edition).at(self.now)
    }
}

/// Draining endpoints and those of weight 0 stay out even in a panic: that was somebody's decision, not an observation.
fn is_wanted(pool: &Pool, slot: Slot) -> bool {
    let endpoint = &pool.endpoints[slot.index()];
    endpoint.weight_now() > 0 && !endpoint.is_draining()
}

fn find_available(
    members: &[Slot],
    view: View<'_>,
    available: &mut Vec<Slot>,
    proving: &mut Vec<Slot>,
) -> Health {
    available.clear();
    let mut health = Health::default();
    for slot in members.iter().copied().filter(|slot| is_wanted(view.pool, *slot)) {
        let endpoint = &view.pool.endpoints[slot.index()];
        let weight = u64::from(endpoint.weight_now());
        health.wanted += weight;
        if !endpoint.is_up() {
            continue;
        }
        match endpoint.state.record.standing(view.now) {
            Standing::Good => {
                health.healthy += weight;
                available.push(slot);
            }
            Standing::Proving => proving.push(slot),
            Standing::Ejected => {}
        }
    }
    health
}

#[cfg(test)]
mod tests {
    use super::{Level, View};
    use crate::endpoint::States;
    use crate::random::Random;
    use crate::time::Tick;
    use crate::{reach, samples};

    #[test]
    fn an_edition_lasts_until_the_candidates_or_their_weights_change() {
        let pools = vec![samples::pool("p", "random", &[1, 1, 1])];
        let table =
            crate::table::Table::compile(&samples::snapshot(vec![], pools), &mut States::new()).unwrap();
        let pool = &table.pools[0];
        let mut level = Level::new(pool, reach::levels(pool).remove(0), Random::seeded(1).next());
        let mut refresh = |weights: &[u32]| {
            level.refresh(View { pool, weights, now: Tick(0) }, &mut Vec::new());
            level.settle(weights);
            level.edition
        };
        let first = refresh(&[100, 100, 100]);
        assert_eq!(refresh(&[100, 100, 100]), first);
        let second = refresh(&[100, 100, 90]);
        assert_ne!(second, first);
        pool.endpoints[0].state.draining.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_ne!(refresh(&[100, 100, 90]), second);
    }
}
