//! Which endpoint gets this try: the available ones of a pool, then its algorithm.

use crate::balance::{Algorithm, Candidates, Key, Slot};
use crate::endpoint::seen;
use crate::random::Random;
use crate::table::Pool;

/// Picks endpoints of one pool of one table, for one thread.
///
/// Which endpoints are available is worked out when a mark has changed something, not per pick: a
/// pick among a thousand endpoints costs what a pick among ten costs. Nothing is allocated by a pick.
pub struct Picker {
    algorithm: Box<dyn Algorithm>,
    /// The pool's version when `available` was worked out.
    version: u64,
    /// Ascending.
    available: Vec<Slot>,
    /// The available ones that have not been tried; used for retries only.
    untried: Vec<Slot>,
    /// In force, by slot.
    weights: Vec<u32>,
    edition: u64,
    /// `untried` was offered last: the algorithm must be told when the whole set is back.
    was_partial: bool,
}

impl Picker {
    /// A picker for `pool`. The algorithm's state begins anew; the random numbers may decide where.
    ///
    /// # Panics
    /// When the pool's algorithm cannot be built. [`crate::table::Table::compile`] has proved that it can.
    pub fn new(pool: &Pool, random: &mut Random) -> Self {
        let endpoints = pool.endpoints.len();
        let mut picker = Self {
            algorithm: pool
                .algorithm
                .build(pool)
                .expect("the table was compiled with this algorithm"),
            version: 0,
            available: Vec::with_capacity(endpoints),
            untried: Vec::with_capacity(endpoints),
            weights: vec![0; endpoints],
            // Editions of two pickers never matter to each other; a random start would hide it if they did.
            edition: random.next() >> 1,
            was_partial: false,
        };
        picker.refresh(pool, seen(&pool.version));
        picker
    }

    /// An endpoint of `pool` that is not in `tried`; `None` when there is no other that may be used.
    ///
    /// `pool` must be the one this picker was made for. Whoever uses the endpoint counts it in its
    /// `in_flight` and `picked`.
    pub fn pick(
        &mut self,
        pool: &Pool,
        key: Key,
        tried: &[Slot],
        random: &mut Random,
    ) -> Option<Slot> {
        let version = seen(&pool.version);
        if version != self.version {
            self.refresh(pool, version);
        }
        let partial = !tried.is_empty();
        if partial {
            self.untried.clear();
            self.untried
                .extend(self.available.iter().filter(|slot| !tried.contains(slot)));
        }
        if partial || self.was_partial {
            self.edition += 1;
        }
        self.was_partial = partial;
        let slots = if partial {
            &self.untried
        } else {
            &self.available
        };
        let among = Candidates::new(&pool.endpoints, slots, &self.weights, self.edition);
        self.algorithm.pick(&among, key, random)
    }

    /// The endpoints worth trying: those that are up, unless too few are left.
    ///
    /// Below the panic threshold the checks are likelier to be wrong than the endpoints, and sending
    /// everything to the survivors would take them down too. Draining endpoints and those of weight 0
    /// stay out even then: that was somebody's decision, not an observation.
    fn refresh(&mut self, pool: &Pool, version: u64) {
        self.version = version;
        self.edition += 1;
        self.available.clear();
        let mut wanted = 0_u64;
        for (slot, endpoint) in (0..).map(Slot).zip(&pool.endpoints) {
            let weight = endpoint.weight_now();
            self.weights[slot.index()] = weight;
            if weight > 0 && !endpoint.is_draining() {
                wanted += 1;
                if endpoint.is_up() {
                    self.available.push(slot);
                }
            }
        }
        if (self.available.len() as u64) * 100 < u64::from(pool.panic_percent) * wanted {
            self.available.clear();
            let all = (0..).map(Slot).zip(&pool.endpoints);
            let wanted = all.filter(|(slot, endpoint)| {
                self.weights[slot.index()] > 0 && !endpoint.is_draining()
            });
            self.available.extend(wanted.map(|(slot, _)| slot));
        }
    }
}
