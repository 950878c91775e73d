//! Where keys belong in a pool: built once for all of its endpoints, shared by its threads and later tables.

use std::sync::Arc;

use super::fixed;
use super::maglev::Maglev;
use super::ring::Ring;
use crate::balance::{Candidates, Key, Slot};
use crate::shared::Shared;
use crate::table::Pool;

/// Places of a table that are looked at for a key.
const LOOKS: u64 = 32;

/// What a table is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rendezvous,
    Maglev,
    Ring { points: u32 },
}

/// One endpoint as tables know it: up or down, its place is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) hash: u64,
    /// The snapshot's. Marks and slow starts thin out what comes by the table, and leave the table alone.
    pub(super) weight: u32,
}

impl Member {
    pub(super) fn of(id: &str, weight: u32) -> Self {
        Self { hash: fixed::hash_of(id), weight }
    }
}

/// Where keys belong.
#[derive(Debug)]
pub(super) struct Places {
    kind: Kind,
    members: Vec<Member>,
    /// By slot.
    hashes: Vec<u64>,
    table: Table,
}

#[derive(Debug)]
enum Table {
    Rendezvous,
    Maglev(Maglev),
    Ring(Ring),
}

/// The places of a pool, kept from one table to the next.
#[derive(Debug, Default)]
pub(crate) struct KeptPlaces(Shared<Option<Arc<Places>>>);

#[cfg(test)]
impl KeptPlaces {
    /// Tells the kept ones from others.
    pub(super) fn address(&self) -> Option<usize> {
        self.0.wait(|kept| kept.as_ref().map(|places| Arc::as_ptr(places).addr()))
    }
}

impl Places {
    /// Those of `pool`: the ones that are kept for it, or new ones when its endpoints or their weights have changed.
    pub(super) fn of(pool: &Pool, kind: Kind) -> Arc<Self> {
        let endpoints = pool.endpoints.iter();
        let members: Vec<_> = endpoints.map(|endpoint| Member::of(&endpoint.id, endpoint.weight)).collect();
        let KeptPlaces(kept) = &pool.state.places;
        let known = kept.wait(|kept| kept.clone());
        if let Some(known) = known.filter(|known| known.kind == kind && known.members == members) {
            return known;
        }
        let places = Arc::new(Self::build(members, kind));
        kept.wait(|kept| *kept = Some(Arc::clone(&places)));
        places
    }

    fn build(members: Vec<Member>, kind: Kind) -> Self {
        let table = match kind {
            Kind::Rendezvous => Table::Rendezvous,
            Kind::Maglev => Table::Maglev(Maglev::build(&members)),
            Kind::Ring { points } => Table::Ring(Ring::build(&members, points)),
        };
        Self { kind, hashes: members.iter().map(|member| member.hash).collect(), members, table }
    }

    /// What stands for each endpoint, by slot.
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The first endpoint in the key's own order that is a candidate, takes as many keys as it should now, and suits.
    ///
    /// `most` is the largest share of a candidate's weight that is in force. `None` when nothing was found soon, which
    /// is when few candidates suit: [`super::rendezvous::Rendezvous::find`] is then as cheap, and finds one if there is any.
    pub(super) fn find(
        &self,
        key: Key,
        among: &Candidates<'_>,
        most: f64,
        mut suits: impl FnMut(Slot) -> bool,
    ) -> Option<Slot> {
        let mut fits = |(look, slot): &(u64, Slot)| {
            let takes_it = || {
                let share = self.share_in_force(*slot, among);
                share >= most || self.draw(key, *look, *slot) * most < share
            };
            among.contains(*slot) && takes_it() && suits(*slot)
        };
        let found = match &self.table {
            Table::Rendezvous => None,
            Table::Maglev(table) => (0..LOOKS).zip(table.order(key.0)).find(&mut fits),
            Table::Ring(ring) => (0..LOOKS).zip(ring.order(key.0)).find(&mut fits),
        };
        found.map(|(_, slot)| slot)
    }

    /// How much of the weight that the table knows is in force.
    pub(super) fn share_in_force(&self, slot: Slot, among: &Candidates<'_>) -> f64 {
        f64::from(among.weight(slot)) / f64::from(self.members[slot.index()].weight)
    }

    /// A number in [0, 1) for this look at the endpoint: below the share of its weight that is in force, it takes the key.
    ///
    /// It is a matter of the key, the look and the endpoint alone: as the weight grows, keys only come.
    fn draw(&self, key: Key, look: u64, slot: Slot) -> f64 {
        let drawn = fixed::follow(key.0 ^ self.hashes[slot.index()], 1 + look) >> 11;
        drawn as f64 / (1_u64 << 53) as f64
    }
}
