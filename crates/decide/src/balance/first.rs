//! The first endpoint in the order of the pool that is not full: as few as possible are used.

use bascule_contract::protection::Limit;
use serde_json::{Map, Value, json};

use super::least_busy::LeastBusy;
use super::{Algorithm, Candidates, Key, Random, Registration, Slot};
use crate::table::Pool;

pub(super) const REGISTRATION: Registration = Registration {
    name: "first",
    summary: "Fill one endpoint before the next, in the order of the pool.",
    advice: "For few endpoints rather than short waits: those at the end of the list stay idle, so that they can be switched \
             off or are not paid for. An endpoint is full at the option requests, or at the limit of the pool or of its own. Where \
             the pool's limit is learned there must be the option: an endpoint that is never filled never shows what it can do. \
             When all are full the least busy one gets more. Prefer least_busy for everything else: the endpoint that is being \
             filled always works at its limit. It ignores weights.",
    follows_weights: false,
    options: || {
        json!({
            "type": "object",
            "properties": {
                "requests": {
                    "description": "An endpoint is full when it has this many requests. May be left out where the pool has a fixed limit.",
                    "type": "integer", "minimum": 1, "maximum": u32::MAX,
                },
            },
            "additionalProperties": false,
        })
    },
    build: |pool, options| {
        Ok(Box::new(First {
            requests: read(pool, options)?,
            full: LeastBusy::with_room(pool.endpoints.len()),
        }))
    },
};

struct First {
    requests: u32,
    /// For when all are full.
    full: LeastBusy,
}

impl Algorithm for First {
    fn pick(&mut self, among: &Candidates<'_>, key: Key, random: &mut Random) -> Option<Slot> {
        let has_room = |slot: &Slot| {
            let count = among.in_flight(*slot);
            count < self.requests && count < among.pool().limit(*slot)
        };
        let first = among.slots().iter().copied().find(has_room);
        first.or_else(|| self.full.pick(among, key, random))
    }
}

/// When an endpoint is full; as good as never where only its limit says it.
fn read(pool: &Pool, options: &Map<String, Value>) -> Result<u32, String> {
    if let Some(name) = options.keys().find(|name| *name != "requests") {
        return Err(format!("unknown option \"{name}\"; there is requests"));
    }
    if let Some(requests) = options.get("requests") {
        let requests = requests.as_u64().and_then(|requests| u32::try_from(requests).ok());
        let requests = requests.filter(|requests| *requests > 0);
        return requests.ok_or_else(|| "requests is a whole number of at least 1".into());
    }
    // Limits of endpoints would not do: the next one that is found may have none.
    if matches!(pool.protection.limit, Limit::Fixed { .. }) {
        return Ok(u32::MAX);
    }
    Err("it has to be told when an endpoint is full: set its option requests, or a fixed limit for the pool"
        .into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use bascule_contract::protection::Limit;
    use bascule_contract::snapshot;
    use serde_json::json;

    use crate::balance::Key;
    use crate::endpoint::States;
    use crate::pick::{Ask, Picker, Taken};
    use crate::random::Random;
    use crate::samples;
    use crate::table::Table;
    use crate::time::Tick;

    fn pool(endpoints: usize) -> snapshot::Pool {
        let mut pool = samples::pool("p", "first", &vec![1; endpoints]);
        pool.algorithm.options.clear();
        pool
    }

    fn compile(pool: snapshot::Pool) -> Result<Table, Vec<String>> {
        Table::compile(&samples::snapshot(vec![], vec![pool]), &mut States::new())
    }

    /// Where so many requests go that all stay.
    fn takes(pool: snapshot::Pool, count: usize) -> Vec<u32> {
        let table = compile(pool).unwrap();
        let mut random = Random::seeded(1);
        let mut picker = Picker::new(&table.pools[0], &mut random);
        let mut take = |_| match picker.take(&table.pools[0], &Ask::default(), Tick(1), &mut random) {
            Taken::Endpoint(attempt) => Some(attempt.slot.0),
            _ => None,
        };
        (0..count).map_while(&mut take).collect()
    }

    #[test]
    fn one_is_filled_before_the_next_and_then_the_least_busy_gets_more() {
        let mut pool = pool(3);
        pool.algorithm.options.insert("requests".into(), json!(2));
        let mut taken = takes(pool, 9);
        assert_eq!(taken[..6], [0, 0, 1, 1, 2, 2]);
        taken[6..].sort_unstable();
        assert_eq!(taken[6..], [0, 1, 2]);
    }

    #[test]
    fn limits_say_when_an_endpoint_is_full() {
        let mut fixed = pool(3);
        fixed.protection.limit = Limit::Fixed { requests: 3 };
        fixed.endpoints[0].limit = Some(1);
        assert_eq!(takes(fixed, 9), [0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn room_at_the_front_is_used_at_once() {
        let mut pool = pool(3);
        pool.algorithm.options.insert("requests".into(), json!(1));
        let table = compile(pool).unwrap();
        let pool = &table.pools[0];
        pool.endpoints[..2].iter().for_each(|endpoint| endpoint.state.in_flight.store(1, Relaxed));
        let mut random = Random::seeded(1);
        let mut picker = Picker::new(pool, &mut random);
        let mut pick = || picker.pick(pool, Key::NONE, &[], &mut random).unwrap().0;
        assert_eq!(pick(), 2);
        pool.endpoints[0].state.in_flight.store(0, Relaxed);
        assert_eq!(pick(), 0);
    }

    #[test]
    fn who_does_not_say_when_an_endpoint_is_full_is_told_how() {
        let problem = |pool| compile(pool).err().unwrap().remove(0);
        let (mut learned, mut own) = (pool(2), pool(2));
        learned.protection.limit = Limit::Learned {};
        own.endpoints.iter_mut().for_each(|endpoint| endpoint.limit = Some(1));
        for untold in [pool(0), learned, own] {
            assert!(problem(untold).contains("set its option requests, or a fixed limit for the pool"));
        }
        let mut zero = pool(2);
        zero.algorithm.options.insert("requests".into(), json!(0));
        assert!(problem(zero).ends_with("requests is a whole number of at least 1"));
    }
}
