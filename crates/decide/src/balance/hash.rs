//! Equal keys go to the same endpoint, on every balancer and after every restart.

mod bound;
mod fixed;
mod maglev;
mod options;
pub(crate) mod places;
mod rendezvous;
mod ring;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bascule_contract::sessions::KeyBy;

use self::bound::Bound;
use self::options::Options;
use self::places::{Kind, Places};
use self::rendezvous::Rendezvous;
use super::least_busy::LeastBusy;
use super::{Algorithm, Candidates, Key, Random, Registration, Slot};
use crate::sessions::key::KeySource;

pub(super) const REGISTRATION: Registration = Registration {
    name: "hash",
    summary: "Keep requests of the same client, header, cookie, path or query on the same endpoint.",
    advice: "For endpoints that remember: caches, shards, sessions in memory. A key stays while its endpoint stays; when one \
             fails, only its keys move, each to its own next endpoint, and they return when it does. All balancers agree, also \
             after restarts, because only the key and the ids of the endpoints count. Prefer least_busy where nothing is \
             remembered: a hash sees no load, and at best shares are as even as keys are many and equally popular. Say \
             bound_percent: 125 where a few keys are very popular. The rendezvous table moves nothing without need and is right \
             up to some hundred endpoints; maglev costs the same for any number and is the most even, and moves a few keys \
             besides when endpoints come or go for good; ring is there for those who come from one. Reported load does not \
             change where keys go.",
    follows_weights: true,
    options: options::schema,
    build: |pool, options| {
        let Options { by, kind, bound_percent } = Options::read(options)?;
        KeySource::compile(&by)?;
        if kind == Kind::Maglev && pool.endpoints.len() > maglev::MOST_MEMBERS {
            return Err(format!(
                "a maglev table has room for {} endpoints and there are {}; use table: ring",
                maglev::MOST_MEMBERS,
                pool.endpoints.len()
            ));
        }
        Ok(Box::new(Hash {
            by,
            places: Places::of(pool, kind),
            rendezvous: Rendezvous::with_room(pool.endpoints.len()),
            bound: bound_percent.map(|percent| Bound::new(percent, pool.endpoints.len())),
            keyless: LeastBusy::with_room(pool.endpoints.len()),
            edition: None,
            most: 1.0,
        }))
    },
};

struct Hash {
    by: KeyBy,
    places: Arc<Places>,
    rendezvous: Rendezvous,
    bound: Option<Bound>,
    /// For requests without a key.
    keyless: LeastBusy,
    edition: Option<u64>,
    /// The largest share of a candidate's weight in the table that is in force.
    most: f64,
}

impl Algorithm for Hash {
    fn pick(&mut self, among: &Candidates<'_>, key: Key, random: &mut Random) -> Option<Slot> {
        if key == Key::NONE {
            return self.keyless.pick(among, key, random);
        }
        if self.edition != Some(among.edition()) {
            self.begin(among);
        }
        if let Some(bound) = &mut self.bound {
            bound.look(among);
        }
        let has_room = |slot| self.bound.as_ref().is_none_or(|bound| bound.has_room(slot, among));
        // Nobody has room only when the counts are out of date: then the key's own endpoint takes it.
        self.find(key, among, has_room).or_else(|| self.find(key, among, |_| true))
    }

    fn key_by(&self) -> Option<&KeyBy> {
        Some(&self.by)
    }
}

impl Hash {
    fn begin(&mut self, among: &Candidates<'_>) {
        self.edition = Some(among.edition());
        let shares = among.slots().iter().map(|slot| self.places.share_in_force(*slot, among));
        self.most = shares.fold(0.0, f64::max);
        self.rendezvous.begin(self.places.hashes(), among);
        if let Some(bound) = &mut self.bound {
            bound.begin(among);
        }
    }

    fn find(&self, key: Key, among: &Candidates<'_>, suits: impl Fn(Slot) -> bool) -> Option<Slot> {
        let found = self.places.find(key, among, self.most, &suits);
        found.or_else(|| self.rendezvous.find(key, suits))
    }
}
