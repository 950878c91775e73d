//! What a picker thinks of each endpoint, in words.

use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::explain::EndpointSeen;

use super::{Ask, Picker};
use crate::balance::Slot;
use crate::guard::ejection::Standing;
use crate::pick::level::View;
use crate::random::Random;
use crate::table::Pool;
use crate::time::Tick;

/// Places that [`Picker::order`] names.
const PLACES: usize = 4;

impl Picker {
    /// Every endpoint of `pool`, and why it is a candidate or not.
    pub(crate) fn candidates(&mut self, pool: &Pool, now: Tick) -> Vec<EndpointSeen> {
        self.now = now;
        self.follow(pool);
        let slots = (0..).map(Slot).take(pool.endpoints.len());
        slots.map(|slot| self.candidate(pool, slot)).collect()
    }

    /// Where a request would go now, and where then, if each of them failed. Takes nothing.
    pub(crate) fn order(&mut self, pool: &Pool, ask: &Ask<'_>, random: &mut Random) -> Vec<Slot> {
        let stay = ask.stay.filter(|slot| pool.keeps_sessions(*slot, self.now));
        let mut order: Vec<Slot> = stay.into_iter().collect();
        while order.len() < PLACES
            && let Some(next) = self.pick(pool, ask.key, &order, random)
        {
            order.push(next);
        }
        order
    }

    fn candidate(&self, pool: &Pool, slot: Slot) -> EndpointSeen {
        let endpoint = &pool.endpoints[slot.index()];
        let (in_flight, limit) = (endpoint.state.in_flight.load(Relaxed), pool.limit(slot));
        let view = View { pool, weights: &self.weights, now: self.now };
        let level = self.levels.iter().position(|level| level.available.contains(&slot));
        let excluded = match level {
            None => Some(self.why_not(pool, slot)),
            Some(level) => self.why_not_this_level(level).or_else(|| {
                (in_flight >= limit).then(|| format!("full: {in_flight} in flight, its limit is {limit}"))
            }),
        };
        EndpointSeen {
            endpoint: endpoint.id.to_string(),
            weight: self.weights[slot.index()],
            in_flight: in_flight.into(),
            limit: (limit != u32::MAX).then(|| limit.into()),
            score: level.and_then(|level| self.levels[level].score(view, slot)),
            excluded,
        }
    }

    fn why_not(&self, pool: &Pool, slot: Slot) -> String {
        let endpoint = &pool.endpoints[slot.index()];
        if endpoint.is_in_maintenance() {
            return "in maintenance".to_owned();
        }
        if endpoint.is_draining() {
            return "draining: only its sessions go there".to_owned();
        }
        if endpoint.weight_now() == 0 {
            return "its weight is 0".to_owned();
        }
        if !endpoint.is_up() {
            return "down: its check fails".to_owned();
        }
        let record = &endpoint.state.record;
        match record.standing(self.now) {
            Standing::Ejected => {
                let until = record.changes_at(self.now).unwrap_or(self.now);
                format!("ejected for its failures, for {} ms more", until.since(self.now) / 1000)
            }
            Standing::Proving => "was ejected: one request at a time shows whether it works again".to_owned(),
            Standing::Good => "not in the part of the pool that this balancer uses".to_owned(),
        }
    }

    /// Why a level gets nothing while those before it suffice.
    fn why_not_this_level(&self, level: usize) -> Option<String> {
        let before = level.checked_sub(1).map_or(0, |before| self.ends[before]);
        let panics = self.ends.last().is_some_and(|end| *end == 0);
        if self.ends[level] > before || panics {
            return None;
        }
        let tier = self.levels[level].tier();
        Some(if tier > 0 {
            format!("in tier {tier}, which is used as the tiers before it fail")
        } else {
            "in another zone, and enough of this zone is healthy".to_owned()
        })
    }
}
