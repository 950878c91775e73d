//! The endpoint with the fewest exchanges in flight for its weight.

use super::smooth::Smooth;
use super::windows::{WINDOW, Windows};
use super::{
    Algorithm, Candidates, Key, Random, Registration, Slot, is_less_busy, no_options,
    refuse_options,
};

pub(super) const REGISTRATION: Registration = Registration {
    name: "least_busy",
    summary: "Use the endpoint with the fewest requests in flight for its weight.",
    advice: "The default, and right for nearly everything: slow endpoints get less by themselves. Equally busy endpoints \
             take turns by weight. Up to 64 candidates are all compared; of more, 64 at a time. Use it with a check: an \
             endpoint that fails fast is never busy and draws requests. With several balancers before the same endpoints, \
             each sees its own requests only; two_choices then avoids that all of them pick the same one.",
    follows_weights: true,
    options: no_options,
    build: |_pool, options| {
        refuse_options(options)?;
        let tied = Vec::with_capacity(WINDOW);
        Ok(Box::new(LeastBusy {
            windows: Windows::default(),
            turns: Smooth::default(),
            tied,
        }))
    },
};

struct LeastBusy {
    windows: Windows,
    /// Turns among equally busy ones, so that weights also hold while nearly all are idle.
    turns: Smooth,
    tied: Vec<Slot>,
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
        let winner = self
            .turns
            .turn(tied.map(|slot| (slot.index(), u64::from(among.weight(*slot)))))?;
        Some(Slot(winner as u32))
    }
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
