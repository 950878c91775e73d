//! Equal turns, one after the other.

use super::{Algorithm, Candidates, Key, Random, Registration, Slot, no_options, refuse_options};

pub(super) const REGISTRATION: Registration = Registration {
    name: "round_robin",
    summary: "Use the endpoints one after the other, with equal turns.",
    advice: "Good for equal endpoints and equal requests, and where an even count matters more than speed. It ignores \
             weights (weighted_round_robin does not) and load: a slow endpoint gets as many requests as a fast one.",
    follows_weights: false,
    options: no_options,
    build: |_pool, options| {
        refuse_options(options)?;
        Ok(Box::new(RoundRobin {
            last: None,
            position: 0,
        }))
    },
};

struct RoundRobin {
    last: Option<Slot>,
    /// Where `last` was among the candidates: right until they change.
    position: usize,
}

impl Algorithm for RoundRobin {
    fn pick(&mut self, among: &Candidates<'_>, _key: Key, random: &mut Random) -> Option<Slot> {
        if among.is_empty() {
            return None;
        }
        let next = match self.last {
            // Threads that all began with the first endpoint would give it as many requests at once.
            None => random.below(among.len()),
            Some(last) if among.slots().get(self.position) == Some(&last) => self.position + 1,
            // By slot, so that a turn is neither lost nor doubled when endpoints come and go.
            Some(last) => among.slots().partition_point(|slot| *slot <= last),
        };
        self.position = if next < among.len() { next } else { 0 };
        let slot = among.slot(self.position);
        self.last = Some(slot);
        Some(slot)
    }
}
