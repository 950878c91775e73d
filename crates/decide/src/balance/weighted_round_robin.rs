//! Turns by weight, spread out evenly.

use super::smooth::Smooth;
use super::windows::Windows;
use super::{Algorithm, Candidates, Key, Random, Registration, Slot, no_options, refuse_options};

pub(super) const REGISTRATION: Registration = Registration {
    name: "weighted_round_robin",
    summary: "Use the endpoints in turn, each as often as its weight says, evenly spread.",
    advice: "Good where capacities are known and requests are alike: exact shares without bursts. It does not see load, so \
             that weights that are wrong, or an endpoint that slows down, make queues; prefer least_busy, which keeps to the \
             weights as well while there is little to do.",
    follows_weights: true,
    options: no_options,
    build: |_pool, options| {
        refuse_options(options)?;
        Ok(Box::new(WeightedRoundRobin::default()))
    },
};

/// nginx's rule among the candidates; beyond one window, among the windows and then within one. Shares
/// are exact either way, and a turn costs the same with a thousand endpoints.
#[derive(Default)]
struct WeightedRoundRobin {
    windows: Windows,
    turns: Smooth,
}

impl Algorithm for WeightedRoundRobin {
    fn pick(&mut self, among: &Candidates<'_>, _key: Key, random: &mut Random) -> Option<Slot> {
        if self.windows.follow(among, random) {
            self.turns.reserve(among.places());
            for (slot, sum) in self.windows.members() {
                self.turns.limit(slot.index(), sum);
            }
        }
        let window = self.windows.next().iter();
        let winner = self.turns.turn(window.map(|slot| (slot.index(), u64::from(among.weight(*slot)))))?;
        Some(Slot(winner as u32))
    }
}

#[cfg(test)]
mod tests {
    use bascule_contract::mark::Mark;

    use crate::balance::{Key, Slot};
    use crate::endpoint::States;
    use crate::pick::Picker;
    use crate::random::Random;
    use crate::samples;
    use crate::table::Table;

    struct Turns {
        states: States,
        table: Table,
        picker: Picker,
        random: Random,
    }

    impl Turns {
        fn new(weights: &[u32], seed: u64) -> Self {
            let mut states = States::new();
            let pools = vec![samples::pool("p", "weighted_round_robin", weights)];
            let table = Table::compile(&samples::snapshot(vec![], pools), &mut states).unwrap();
            let mut random = Random::seeded(seed);
            let picker = Picker::new(&table.pools[0], &mut random);
            Self { states, table, picker, random }
        }

        fn take(&mut self, count: usize) -> Vec<Slot> {
            let mut pick =
                || self.picker.pick(&self.table.pools[0], Key::NONE, &[], &mut self.random).unwrap();
            (0..count).map(|_| pick()).collect()
        }
    }

    #[test]
    fn a_heavy_endpoint_is_spread_out_and_not_served_in_bursts() {
        for seed in 0..8 {
            let heavy: String = Turns::new(&[5, 1, 1], seed)
                .take(14)
                .iter()
                .map(|slot| if slot.0 == 0 { 'a' } else { '-' })
                .collect();
            assert_eq!(heavy, "aa-a-aaaa-a-aa");
        }
    }

    #[test]
    fn every_round_gives_exactly_the_weights_however_many_endpoints() {
        for places in [3, 64, 65, 200] {
            let weights: Vec<u32> = (0..places).map(|number| 1 + number % 5).collect();
            let round: u32 = weights.iter().sum();
            let mut turns = Turns::new(&weights, 9);
            for _ in 0..3 {
                let mut counts = vec![0; weights.len()];
                turns.take(round as usize).iter().for_each(|slot| counts[slot.index()] += 1);
                assert_eq!(counts, weights, "{places} endpoints");
            }
        }
    }

    #[test]
    fn an_endpoint_that_returns_gets_no_burst() {
        let mut turns = Turns::new(&[1, 1, 1, 1], 4);
        turns.take(6);
        turns.states.mark(&[Mark { up: Some(false), ..samples::mark("p", 2) }]);
        turns.take(300);
        turns.states.mark(&[Mark { up: Some(true), ..samples::mark("p", 2) }]);
        let after = turns.take(8);
        let returned = after.iter().filter(|slot| slot.0 == 2).count();
        assert!((1..=3).contains(&returned), "{after:?}");
    }
}
