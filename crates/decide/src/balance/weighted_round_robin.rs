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
        let winner = self
            .turns
            .turn(window.map(|slot| (slot.index(), u64::from(among.weight(*slot)))))?;
        Some(Slot(winner as u32))
    }
}
