//! The endpoint where an answer is expected soonest.

use super::smooth::Smooth;
use super::windows::{WINDOW, Windows};
use super::{Algorithm, Candidates, Key, Random, Registration, Slot, no_options, refuse_options};

pub(super) const REGISTRATION: Registration = Registration {
    name: "fastest",
    summary: "Use the endpoint that is expected to answer soonest: requests in flight times how slow it has been.",
    advice: "Right for endpoints of different speed, and for those that slow down in the middle: it learns from the answers \
             how slow each endpoint is at equal load, and sends it less. Endpoints within a band of the median count as \
             equal, and among equals it is least_busy exactly. An endpoint that is avoided gets a request four times a \
             second, to see whether it is better. Failures count as slowness. With tens of balancers before the same \
             endpoints each sees too little of them: use prequal with probes, or least_busy.",
    follows_weights: true,
    options: no_options,
    build: |pool, options| {
        refuse_options(options)?;
        pool.state.fleet.ask();
        let tied = Vec::with_capacity(WINDOW);
        Ok(Box::new(Fastest { windows: Windows::default(), turns: Smooth::default(), tied, mean: 1.0 }))
    },
};

/// An avoided endpoint that has had nothing for this long gets the next request.
const PROBATION_US: u64 = 250_000;
/// Doublings of the expected time per tier: less than a tier's width, because what is avoided for its slowness is also
/// emptier.
const PER_TIER: f32 = 0.4375;

struct Fastest {
    windows: Windows,
    /// Turns among those that are expected to be equally fast, by weight.
    turns: Smooth,
    tied: Vec<Slot>,
    /// Mean weight of the candidates.
    mean: f32,
}

impl Algorithm for Fastest {
    fn pick(&mut self, among: &Candidates<'_>, _key: Key, random: &mut Random) -> Option<Slot> {
        let fleet = &among.pool().state.fleet;
        fleet.refresh(among.pool(), among.now());
        if self.windows.follow(among, random) {
            self.turns.reserve(among.places());
            for (slot, sum) in self.windows.members() {
                self.turns.limit(slot.index(), sum);
            }
            let total: u64 = among.slots().iter().map(|slot| u64::from(among.weight(*slot))).sum();
            self.mean = total as f32 / among.len().max(1) as f32;
        }
        let window = self.windows.next();
        if let Some(slot) = window.iter().find(|slot| is_on_probation(among, **slot)) {
            return Some(*slot);
        }
        find_fastest(among, window, self.mean, &mut self.tied);
        if let [only] = self.tied[..] {
            return Some(only);
        }
        let tied = self.tied.iter();
        let winner = self.turns.turn(tied.map(|slot| (slot.index(), u64::from(among.weight(*slot)))))?;
        Some(Slot(winner as u32))
    }
}

/// Whether it has been avoided for so long that it is time to see how it is.
fn is_on_probation(among: &Candidates<'_>, slot: Slot) -> bool {
    let pace = &among.state(slot).pace;
    pace.tier() > 0 && among.in_flight(slot) == 0 && among.now().since(pace.begun()) > PROBATION_US
}

/// Leaves in `tied` those of `window` than which none is expected to be faster; of those, of the lowest tier.
fn find_fastest(among: &Candidates<'_>, window: &[Slot], mean: f32, tied: &mut Vec<Slot>) {
    tied.clear();
    let fleet = &among.pool().state.fleet;
    let mut least = (f32::MAX, i32::MAX, f32::MAX);
    for slot in window {
        let pace = &among.state(*slot).pace;
        let tier = pace.tier();
        let depth = among.in_flight(*slot) as f32 * mean / among.weight(*slot) as f32;
        let cost = pace.expected_us(depth, fleet) * (PER_TIER * tier as f32).exp2();
        // Where deeper depths have not been measured yet, costs are equal and the emptier one is better.
        let load = (cost, tier, depth);
        if load < least {
            tied.clear();
            least = load;
        } else if load > least {
            continue;
        }
        tied.push(*slot);
    }
}
