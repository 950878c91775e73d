//! The endpoint where an answer is expected soonest.

use super::least_busy::load_in_words;
use super::smooth::Smooth;
use super::windows::{WINDOW, Windows};
use super::{Algorithm, Candidates, Key, Random, Registration, Slot, no_options, refuse_options};

pub(super) const REGISTRATION: Registration = Registration {
    name: "fastest",
    summary: "Use the endpoint that is expected to answer soonest: requests in flight times how slow it has been.",
    advice: "Right for endpoints of different speed, and for those that slow down in the middle: it learns from the answers \
             how slow each endpoint is at equal load, and sends it less. Endpoints within a band of the median count as \
             equal, and among equals it is least_busy exactly. An endpoint that is avoided gets four requests a second \
             at most, and no more than one in twenty, to see whether it is better. Failures count as slowness where the \
             other endpoints fail less. With tens of balancers before the same endpoints each sees too little of them: use \
             prequal with probes.",
    follows_weights: true,
    options: no_options,
    build: |pool, options| {
        refuse_options(options)?;
        pool.state.fleet.ask();
        let tied = Vec::with_capacity(WINDOW);
        let windows = Windows::default();
        Ok(Box::new(Fastest { windows, turns: Smooth::default(), tied, mean: 1.0, since_probation: 0 }))
    },
};

/// An avoided endpoint that has had nothing for this long gets the next request.
const PROBATION_US: u64 = 250_000;
/// One of so many requests at most goes to an avoided endpoint: where requests are rare, each would come after the
/// time above, and all would go to the slowest.
const PER_PROBATION: u32 = 20;
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
    /// Picks since an avoided endpoint got one.
    since_probation: u32,
}

/// What comes of looking at a window.
struct Found {
    tier: i32,
    /// The most avoided endpoint of those that have had nothing for a while.
    avoided: Option<(i32, Slot)>,
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
        let found = find_fastest(among, window, self.mean, &mut self.tied);
        self.since_probation = self.since_probation.saturating_add(1);
        if let Some((tier, slot)) = found.avoided
            && tier > found.tier
            && self.since_probation >= PER_PROBATION
        {
            self.since_probation = 0;
            return Some(slot);
        }
        if let [only] = self.tied[..] {
            return Some(only);
        }
        let tied = self.tied.iter();
        let winner = self.turns.turn(tied.map(|slot| (slot.index(), u64::from(among.weight(*slot)))))?;
        Some(Slot(winner as u32))
    }

    fn score(&self, among: &Candidates<'_>, slot: Slot) -> Option<String> {
        let pace = &among.state(slot).pace;
        let load = load_in_words(among, slot);
        let Some(usual_us) = pace.usual_us() else { return Some(format!("{load}; not measured yet")) };
        let avoided = if pace.tier() > 0 { "; avoided: slower than the others, or failing" } else { "" };
        Some(format!("{load}; answers usually take {:.1} ms{avoided}", usual_us as f64 / 1000.0))
    }
}

/// Leaves in `tied` those of `window` than which none is expected to be faster; of those, of the lowest tier.
fn find_fastest(among: &Candidates<'_>, window: &[Slot], mean: f32, tied: &mut Vec<Slot>) -> Found {
    tied.clear();
    // Avoided is who is slower than the fastest, not than the median: where most have become slow or fail, nobody
    // would be above the median, and the others would get everything for ever.
    let mut found = Found { tier: i32::MAX, avoided: None };
    let fleet = &among.pool().state.fleet;
    let mut least = (f32::MAX, i32::MAX, f32::MAX);
    for slot in window {
        let pace = &among.state(*slot).pace;
        let tier = pace.tier();
        let in_flight = among.in_flight(*slot);
        found.tier = found.tier.min(tier);
        if in_flight == 0
            && found.avoided.is_none_or(|(most, _)| tier > most)
            && among.now().since(pace.begun()) > PROBATION_US
        {
            found.avoided = Some((tier, *slot));
        }
        let depth = in_flight as f32 * mean / among.weight(*slot) as f32;
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
    found
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use crate::balance::Key;
    use crate::endpoint::States;
    use crate::guard::Lost;
    use crate::pick::{Ask, Picker, Taken};
    use crate::random::Random;
    use crate::samples;
    use crate::table::Table;
    use crate::time::Tick;

    fn table(algorithm: &str, weights: &[u32]) -> Table {
        let pools = vec![samples::pool("p", algorithm, weights)];
        Table::compile(&samples::snapshot(vec![], pools), &mut States::new()).unwrap()
    }

    #[test]
    fn while_nothing_speaks_for_a_difference_picks_are_those_of_least_busy() {
        let weights = [1, 2, 3, 1, 5, 1, 1];
        let tables = [table("fastest", &weights), table("least_busy", &weights)];
        let mut random = Random::seeded(1);
        let mut pickers = tables.each_ref().map(|it| Picker::new(&it.pools[0], &mut Random::seeded(7)));
        for round in 0..5_000 {
            let loads = weights.map(|_| random.below(6) as u32);
            let picks = [0, 1].map(|it| {
                let pool = &tables[it].pools[0];
                pool.endpoints
                    .iter()
                    .zip(loads)
                    .for_each(|(to, load)| to.state.in_flight.store(load, Relaxed));
                pickers[it].pick(pool, Key::NONE, &[], &mut Random::seeded(round))
            });
            assert_eq!(picks[0], picks[1], "{loads:?}");
        }
    }

    /// Requests that come one at a time; how many the first endpoint gets, which takes eight times as long.
    fn to_the_slow_one(requests: usize, every_us: u64) -> usize {
        let table = table("fastest", &[1; 3]);
        let pool = &table.pools[0];
        let mut random = Random::seeded(1);
        let mut picker = Picker::new(pool, &mut random);
        let mut tries = 0;
        for number in 0..1_000 + requests {
            let now = Tick((1 + number as u64) * every_us);
            let Taken::Endpoint(mut attempt) = picker.take(pool, &Ask::default(), now, &mut random) else {
                panic!("there is room");
            };
            let answered = Tick(now.0 + if attempt.slot.0 == 0 { 8_000 } else { 1_000 });
            pool.answered(&mut attempt, answered, false);
            pool.end(&attempt, answered, Lost::Abandoned);
            tries += usize::from(number >= 1_000 && attempt.slot.0 == 0);
        }
        tries
    }

    #[test]
    fn where_requests_are_rare_the_slow_endpoint_gets_one_in_twenty() {
        for every_us in [1_000_000, 60_000_000] {
            let tries = to_the_slow_one(1_000, every_us);
            assert!((1..=50).contains(&tries), "{tries} of 1000, one every {every_us} us");
        }
    }

    #[test]
    fn an_avoided_endpoint_gets_four_requests_a_second_at_most() {
        let tries = to_the_slow_one(10_000, 10_000);
        assert!((200..=400).contains(&tries), "{tries} in 100 s");
    }
}
