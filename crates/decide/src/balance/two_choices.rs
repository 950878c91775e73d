//! Two endpoints at random; the less busy one wins.

use super::shares::Shares;
use super::{
    Algorithm, Candidates, Key, Random, Registration, Slot, is_less_busy, no_options,
    refuse_options,
};

pub(super) const REGISTRATION: Registration = Registration {
    name: "two_choices",
    summary: "Compare two random endpoints and use the less busy one.",
    advice: "Good where several balancers share the endpoints, or where there are hundreds of them: no balancer follows \
             another to the same endpoint. On a single balancer least_busy waits less, because it compares them all.",
    follows_weights: true,
    options: no_options,
    build: |_pool, options| {
        refuse_options(options)?;
        Ok(Box::new(TwoChoices::default()))
    },
};

/// Both draws are by weight: with nothing to compare (all idle), the first one is right as it is.
#[derive(Default)]
struct TwoChoices {
    shares: Shares,
}

impl Algorithm for TwoChoices {
    fn pick(&mut self, among: &Candidates<'_>, _key: Key, random: &mut Random) -> Option<Slot> {
        let (one, other) = self.shares.draw_two(among, random)?;
        let load = |slot| (among.in_flight(slot), among.weight(slot));
        Some(if is_less_busy(load(other), load(one)) {
            other
        } else {
            one
        })
    }
}
