//! Which endpoints of a pool come first: tiers, zones, and parts of very large pools.
//!
//! A pool is cut into levels: by tier, and within a tier into what is in this balancer's zone and what is not.
//! Traffic goes to the first level, and on to the next ones as the earlier ones are no longer healthy enough
//! ([`share_out`]). Most pools have one level, and for those nothing here costs anything per pick.

use std::collections::BTreeMap;

use bascule_contract::snapshot::Subset;

use crate::balance::Slot;
use crate::random::Random;
use crate::table::Pool;

/// A level whose healthy share falls below 1/1.4 passes traffic on: Envoy's overprovisioning factor. What an endpoint
/// gets at most is then 1.4 times what it would get in health.
const SPARE_PERMILLE: u64 = 1_400;
const ALL: u64 = 1_000;

/// Endpoints that are used alike, one of the steps of a pool.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// The tier that they are of.
    pub tier: u32,
    /// The endpoints that this balancer uses, ascending.
    pub members: Vec<Slot>,
    /// All of the level, ascending, where `members` are a part: used while none of the part is healthy.
    pub whole: Option<Vec<Slot>>,
}

/// How much of a level is healthy, in weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// What may get work.
    pub wanted: u64,
    /// What of that can do it.
    pub healthy: u64,
}

/// The levels of `pool` in the order in which they are used; at least one, which may be empty.
///
/// Lower tiers come first, and within a tier the endpoints of this balancer's zone.
pub(crate) fn levels(pool: &Pool) -> Vec<Level> {
    let mut groups = BTreeMap::<(u32, bool), Vec<Slot>>::new();
    for (slot, endpoint) in (0..).map(Slot).zip(&pool.endpoints) {
        let is_far = pool.spread.zone.is_some() && endpoint.zone.as_deref() != pool.spread.zone.as_deref();
        groups.entry((endpoint.tier, is_far)).or_default().push(slot);
    }
    if groups.is_empty() {
        groups.insert((0, false), Vec::new());
    }
    let level = |((tier, _), all): ((u32, bool), Vec<Slot>)| match pool
        .spread
        .subset
        .as_ref()
        .and_then(|subset| part(pool, &all, subset))
    {
        Some(members) => Level { tier, members, whole: Some(all) },
        None => Level { tier, members: all, whole: None },
    };
    groups.into_iter().map(level).collect()
}

/// This balancer's part of `all`; `None` when that is all of them.
///
/// Deterministic subsetting (Site Reliability Engineering, chapter 20): balancers come in rounds, each round shuffles
/// the endpoints its own way and deals them out, so that every endpoint is in nearly equally many parts. The order
/// before the shuffle is that of the ids, whatever order a source lists them in.
fn part(pool: &Pool, all: &[Slot], subset: &Subset) -> Option<Vec<Slot>> {
    let size = subset.size.max(1) as usize;
    if all.len() <= size {
        return None;
    }
    let parts = all.len() / size;
    let (round, place) = (subset.balancer as usize / parts, subset.balancer as usize % parts);
    let mut dealt = all.to_vec();
    dealt.sort_unstable_by_key(|slot| &pool.endpoints[slot.index()].id);
    Random::seeded(round as u64).shuffle(&mut dealt);
    let mut members = dealt[place * size..(place + 1) * size].to_vec();
    members.sort_unstable();
    Some(members)
}

/// Puts into `ends` the running sums of the shares of levels of this health, in thousandths; whether they can carry it all.
///
/// Each level carries 1.4 times its healthy share, at most all; what it cannot carry goes to the next. When all
/// together cannot, they share it in proportion. All are 0 when nothing is healthy.
pub(crate) fn share_out(levels: &[Health], ends: &mut Vec<u32>) -> bool {
    let can_carry = |health: &Health| {
        let permille = (SPARE_PERMILLE * health.healthy).checked_div(health.wanted);
        permille.unwrap_or(0).min(ALL)
    };
    let total: u64 = levels.iter().map(can_carry).sum();
    let mut carried = 0;
    ends.clear();
    ends.extend(levels.iter().map(|health| {
        carried += can_carry(health);
        (if total < ALL { carried * ALL / total.max(1) } else { carried.min(ALL) }) as u32
    }));
    total >= ALL
}

#[cfg(test)]
mod tests {
    use bascule_contract::snapshot::{self, Spread, Subset};

    use super::{Health, Level, levels, share_out};
    use crate::balance::Slot;
    use crate::endpoint::States;
    use crate::samples;
    use crate::table::{Pool, Table};

    fn compile(pool: snapshot::Pool) -> Pool {
        let table = Table::compile(&samples::snapshot(vec![], vec![pool]), &mut States::new()).unwrap();
        table.pools.into_iter().next().unwrap()
    }

    fn slots(level: &Level) -> Vec<u32> {
        level.members.iter().map(|slot| slot.0).collect()
    }

    #[test]
    fn tiers_come_first_and_then_the_own_zone() {
        let mut pool = samples::pool("p", "random", &[1; 6]);
        let places = [(1, "a"), (0, "b"), (0, "a"), (1, "b"), (0, ""), (7, "b")];
        for (endpoint, (tier, zone)) in pool.endpoints.iter_mut().zip(places) {
            endpoint.tier = tier;
            endpoint.zone = (!zone.is_empty()).then(|| zone.into());
        }
        let levels_of = |pool: &snapshot::Pool| levels(&compile(pool.clone()));
        let by_tier: Vec<_> = levels_of(&pool).iter().map(slots).collect();
        assert_eq!(by_tier, [vec![1, 2, 4], vec![0, 3], vec![5]]);
        pool.spread.zone = Some("b".into());
        let by_zone: Vec<_> = levels_of(&pool).iter().map(slots).collect();
        assert_eq!(by_zone, [vec![1], vec![2, 4], vec![3], vec![0], vec![5]]);
        pool.endpoints.clear();
        assert_eq!(levels_of(&pool), [Level { tier: 0, members: vec![], whole: None }]);
    }

    fn part_of(balancer: u32, endpoints: usize, size: u32) -> Level {
        let mut pool = samples::pool("p", "random", &vec![1; endpoints]);
        pool.spread = Spread { zone: None, subset: Some(Subset { size, balancer }) };
        levels(&compile(pool)).remove(0)
    }

    #[test]
    fn the_parts_of_all_balancers_cover_every_endpoint_evenly() {
        let mut counts = [0_u32; 100];
        for balancer in 0..40 {
            let level = part_of(balancer, 100, 20);
            assert_eq!((level.members.len(), level.whole.as_ref().map(Vec::len)), (20, Some(100)));
            level.members.iter().for_each(|slot| counts[slot.index()] += 1);
        }
        assert_eq!(counts, [8; 100], "five balancers deal all endpoints out once");
        assert_ne!(part_of(0, 100, 20).members, part_of(5, 100, 20).members, "rounds differ");
    }

    #[test]
    fn a_part_is_the_same_in_whatever_order_the_endpoints_come() {
        let mut pool = samples::pool("p", "random", &[1; 30]);
        pool.spread.subset = Some(Subset { size: 7, balancer: 2 });
        let ids = |pool: &snapshot::Pool| {
            let pool = compile(pool.clone());
            let members = levels(&pool).remove(0).members;
            let mut ids: Vec<_> =
                members.iter().map(|slot| pool.endpoints[slot.index()].id.clone()).collect();
            ids.sort();
            ids
        };
        let before = ids(&pool);
        pool.endpoints.reverse();
        assert_eq!(ids(&pool), before);
    }

    #[test]
    fn a_pool_that_is_no_larger_than_a_part_is_used_whole() {
        assert_eq!(part_of(3, 20, 20).whole, None);
        assert_eq!(part_of(3, 0, 1).members, Vec::<Slot>::new());
    }

    #[test]
    fn a_level_passes_on_what_it_cannot_carry() {
        let shares = |healthy: &[u64]| {
            let levels: Vec<_> =
                healthy.iter().map(|healthy| Health { wanted: 10, healthy: *healthy }).collect();
            let mut ends = Vec::new();
            let whole = share_out(&levels, &mut ends);
            (ends, whole)
        };
        assert_eq!(shares(&[10, 10]), (vec![1000, 1000], true));
        assert_eq!(shares(&[8, 10]), (vec![1000, 1000], true), "1.4 times 80 % is enough");
        assert_eq!(shares(&[7, 10]), (vec![980, 1000], true));
        assert_eq!(shares(&[5, 2, 10]), (vec![700, 980, 1000], true));
        assert_eq!(shares(&[0, 10]), (vec![0, 1000], true));
        assert_eq!(shares(&[2, 1]), (vec![666, 1000], false), "all are short: in proportion");
        assert_eq!(shares(&[5]), (vec![1000], false));
        assert_eq!(shares(&[0, 0]), (vec![0, 0], false));
    }
}
