//! The endpoint with the fewest exchanges in flight for its weight.

use super::smooth::Smooth;
use super::windows::{WINDOW, Windows};
use super::{
    Algorithm, Candidates, Key, Random, Registration, Slot, is_less_busy, no_options, refuse_options,
};

pub(super) const REGISTRATION: Registration = Registration {
    name: "least_busy",
    summary: "Use the endpoint with the fewest requests in flight for its weight.",
    advice: "Right for nearly everything: slow endpoints get less by themselves. Equally busy endpoints take turns by weight. \
             Up to 64 candidates are all compared; of more, 64 at a time. Among equal endpoints fastest is the same; prefer that \
             one where some are slower than others, and this one where endpoints divide themselves among all requests, or where \
             it must be easy to foresee. An endpoint that fails fast is never busy and draws requests until it is ejected. With \
             ten or more balancers before the same endpoints each sees too little: see prequal and two_choices.",
    follows_weights: true,
    options: no_options,
    build: |pool, options| {
        refuse_options(options)?;
        Ok(Box::new(LeastBusy::with_room(pool.endpoints.len())))
    },
};

pub(super) struct LeastBusy {
    windows: Windows,
    /// Turns among equally busy ones, so that weights also hold while nearly all are idle.
    turns: Smooth,
    tied: Vec<Slot>,
}

impl LeastBusy {
    /// An instance for a pool of so many endpoints.
    pub(super) fn with_room(places: usize) -> Self {
        let (mut windows, mut turns) = (Windows::default(), Smooth::default());
        windows.reserve(places);
        turns.reserve(places);
        Self { windows, turns, tied: Vec::with_capacity(WINDOW) }
    }
}

impl Algorithm for LeastBusy {
    fn pick(&mut self, among: &Candidates<'_>, _key: Key, random: &mut Random) -> Option<Slot> {
        if self.windows.follow(among, random) {
            self.turns.reserve(among.places());
            for (slot, sum) in self.windows.members() {
                self.turns.limit(slot.index(), sum);
            }
        }
        find_least_busy(among, self.windows.next(), &mut self.tied);
        if let [only] = self.tied[..] {
            return Some(only);
        }
        let tied = self.tied.iter();
        let winner = self.turns.turn(tied.map(|slot| (slot.index(), u64::from(among.weight(*slot)))))?;
        Some(Slot(winner as u32))
    }

    fn score(&self, among: &Candidates<'_>, slot: Slot) -> Option<String> {
        Some(load_in_words(among, slot))
    }
}

/// What comparing loads makes of a candidate.
pub(super) fn load_in_words(among: &Candidates<'_>, slot: Slot) -> String {
    let (in_flight, weight) = (among.in_flight(slot), among.weight(slot));
    format!("{in_flight} in flight for weight {}", f64::from(weight) / 100.0)
}

/// Leaves in `tied` those of `window` than which none is less busy.
fn find_least_busy(among: &Candidates<'_>, window: &[Slot], tied: &mut Vec<Slot>) {
    tied.clear();
    let mut least = (u32::MAX, 1);
    for slot in window {
        let load = (among.in_flight(*slot), among.weight(*slot));
        if is_less_busy(load, least) {
            tied.clear();
            least = load;
        } else if is_less_busy(least, load) {
            continue;
        }
        tied.push(*slot);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::Ordering::Relaxed;

    use crate::balance::{Key, Slot};
    use crate::endpoint::States;
    use crate::pick::Picker;
    use crate::random::Random;
    use crate::samples;
    use crate::table::{Endpoint, Table};

    fn table(weights: &[u32]) -> Table {
        let pools = vec![samples::pool("p", "least_busy", weights)];
        Table::compile(&samples::snapshot(vec![], pools), &mut States::new()).unwrap()
    }

    fn set(endpoints: &[Endpoint], loads: &[u32]) {
        endpoints
            .iter()
            .zip(loads)
            .for_each(|(endpoint, load)| endpoint.state.in_flight.store(*load, Relaxed));
    }

    #[test]
    fn load_is_compared_per_weight() {
        let table = table(&[1, 2, 3]);
        let pool = &table.pools[0];
        let mut random = Random::seeded(1);
        let mut picker = Picker::new(pool, &mut random);
        for (loads, least) in [
            ([1, 1, 2], 1),
            ([1, 2, 2], 2),
            ([0, 1, 1], 0),
            ([2, 4, 5], 2),
            ([4_000_000_000, 4_100_000_000, 4_200_000_000], 2),
        ] {
            set(&pool.endpoints, &loads);
            assert_eq!(picker.pick(pool, Key::NONE, &[], &mut random), Some(Slot(least)), "{loads:?}");
        }
    }

    #[test]
    fn all_of_64_are_looked_at() {
        let table = table(&[1; 64]);
        let pool = &table.pools[0];
        let mut random = Random::seeded(1);
        let mut picker = Picker::new(pool, &mut random);
        for least in 0..64 {
            set(&pool.endpoints, &[3; 64]);
            pool.endpoints[least].state.in_flight.store(2, Relaxed);
            assert_eq!(picker.pick(pool, Key::NONE, &[], &mut random), Some(Slot(least as u32)));
        }
    }

    #[test]
    fn beyond_64_a_slow_half_still_gets_less() {
        let table = table(&[1; 200]);
        let pool = &table.pools[0];
        let mut random = Random::seeded(1);
        let mut picker = Picker::new(pool, &mut random);
        // Endpoints below 100 never finish; the others do at once.
        let mut stuck = VecDeque::new();
        for _ in 0..4_000 {
            let slot = picker.pick(pool, Key::NONE, &[], &mut random).unwrap();
            if slot.0 < 100 {
                pool.endpoints[slot.index()].state.in_flight.fetch_add(1, Relaxed);
                stuck.push_back(slot);
            }
        }
        assert!(stuck.len() <= 100, "{} went to endpoints that never answer", stuck.len());
    }
}
