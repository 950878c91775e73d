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
        Ok(Box::new(RoundRobin { last: None, position: 0 }))
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

#[cfg(test)]
mod tests {
    use bascule_contract::mark::Mark;

    use crate::balance::{Key, Slot};
    use crate::endpoint::States;
    use crate::pick::Picker;
    use crate::random::Random;
    use crate::samples;
    use crate::table::Table;

    #[test]
    fn turns_go_on_where_they_were_when_an_endpoint_leaves_and_returns() {
        let mut states = States::new();
        let pools = vec![samples::pool("p", "round_robin", &[1, 1, 1, 1])];
        let table = Table::compile(&samples::snapshot(vec![], pools), &mut states).unwrap();
        let mut random = Random::seeded(5);
        let mut picker = Picker::new(&table.pools[0], &mut random);
        let mut pick =
            |tried: &[Slot]| picker.pick(&table.pools[0], Key::NONE, tried, &mut random).unwrap().0;

        let first = pick(&[]);
        let then = |steps: u32| (first + steps) % 4;
        assert_eq!([pick(&[]), pick(&[])], [then(1), then(2)]);
        states.mark(&[Mark { up: Some(false), ..samples::mark("p", then(3) as usize) }]);
        assert_eq!([pick(&[]), pick(&[])], [then(0), then(1)]);
        states.mark(&[Mark { up: Some(true), ..samples::mark("p", then(3) as usize) }]);
        assert_eq!([pick(&[]), pick(&[])], [then(2), then(3)]);
        assert_eq!(pick(&[Slot(then(0))]), then(1), "what was tried is skipped");
        assert_eq!(pick(&[]), then(2));
        states.mark(&[Mark { up: Some(false), ..samples::mark("p", then(1) as usize) }]);
        assert_eq!(pick(&[]), then(3), "another one leaving repeats no turn");
    }

    #[test]
    fn threads_begin_in_different_places() {
        let mut states = States::new();
        let pools = vec![samples::pool("p", "round_robin", &[1; 8])];
        let table = Table::compile(&samples::snapshot(vec![], pools), &mut states).unwrap();
        let mut random = Random::seeded(1);
        let first =
            |_| Picker::new(&table.pools[0], &mut random).pick(&table.pools[0], Key::NONE, &[], &mut random);
        let starts: std::collections::BTreeSet<_> = (0..16).map(first).collect();
        assert!(starts.len() >= 4, "{starts:?}");
    }
}
