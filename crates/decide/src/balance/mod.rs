//! How an endpoint is picked: what an algorithm is given, and what it gives back.
//!
//! To add one: write its file here, and name it in [`registry`]. The laws in `laws.rs`, the check of
//! its options, the catalogue and the reference page come by themselves.

mod fastest;
mod first;
mod hash;
mod least_busy;
mod prequal;
mod random;
pub mod registry;
mod round_robin;
mod shares;
mod smooth;
mod two_choices;
mod weighted_round_robin;
mod windows;

#[cfg(test)]
mod laws;

use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::sessions::KeyBy;
use serde_json::{Map, Value, json};

pub(crate) use self::hash::places::KeptPlaces;
use crate::random::Random;
use crate::table::{EndpointState, Pool};
use crate::time::Tick;

/// Position of an endpoint within one pool of one table. Meaningless in any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// For indexing [`Pool::endpoints`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What must stay together, hashed. Algorithms without affinity ignore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

impl Key {
    /// Nothing must stay together.
    pub const NONE: Self = Self(0);
}

/// How busy an endpoint says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Requests that it works at, of all balancers.
    pub in_flight: Option<u32>,
    /// What its requests take now.
    pub latency_us: Option<u64>,
}

/// A balancing method at work. There is one instance per thread and pool, so that it may keep state.
pub trait Algorithm: Send {
    /// One of `among`; `None` exactly when there is none. Must not allocate once it has run for a while.
    fn pick(&mut self, among: &Candidates<'_>, key: Key, random: &mut Random) -> Option<Slot>;

    /// The path at which endpoints are to be asked how busy they are, for [`Algorithm::hear`]; `None`: they are not.
    fn probe_path(&self) -> Option<&str> {
        None
    }

    /// Whether what endpoints say about their load in responses matters to it.
    fn reads_reports(&self) -> bool {
        false
    }

    /// Adds the candidates that should be asked now to `wanted`. To be called after each pick.
    fn wants_probes(&mut self, _among: &Candidates<'_>, _random: &mut Random, _wanted: &mut Vec<Slot>) {}

    /// A candidate has said this just now, asked or unasked.
    fn hear(&mut self, _among: &Candidates<'_>, _slot: Slot, _said: &Said, _random: &mut Random) {}

    /// What it makes of a candidate, in words, for those who ask why; `None`: it compares nothing.
    fn score(&self, _among: &Candidates<'_>, _slot: Slot) -> Option<String> {
        None
    }

    /// What part of requests is the key that it goes by; `None`: it goes by none.
    fn key_by(&self) -> Option<&KeyBy> {
        None
    }
}

/// An instance that starts afresh, or what is wrong with the options.
pub type Built = Result<Box<dyn Algorithm>, String>;

/// An algorithm as the registry, the catalogue and the configuration know it.
#[derive(Debug)]
pub struct Registration {
    /// As it is written in configurations.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// When to use it and when not.
    pub advice: &'static str,
    /// Whether an endpoint of twice the weight gets twice the requests while nothing is busy.
    pub follows_weights: bool,
    /// JSON Schema of its options.
    pub options: fn() -> Value,
    /// An instance that starts afresh, or what is wrong with the options.
    pub build: fn(&Pool, &Map<String, Value>) -> Built,
}

/// The endpoints that may be picked now: up, not draining, of some weight, not tried before.
pub struct Candidates<'a> {
    pool: &'a Pool,
    now: Tick,
    slots: &'a [Slot],
    weights: &'a [u32],
    edition: u64,
}

impl<'a> Candidates<'a> {
    /// `slots` of `pool` in ascending order, with the weights in force (1 or more) of all its endpoints.
    ///
    /// `edition` must change whenever `slots` or `weights` do.
    pub fn new(pool: &'a Pool, slots: &'a [Slot], weights: &'a [u32], edition: u64) -> Self {
        debug_assert!(slots.is_sorted(), "candidates come in ascending order");
        debug_assert_eq!(pool.endpoints.len(), weights.len());
        Self { pool, now: Tick(0), slots, weights, edition }
    }

    /// The same, at this time.
    pub fn at(self, now: Tick) -> Self {
        Self { now, ..self }
    }

    /// Now.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// The pool that they are endpoints of.
    pub fn pool(&self) -> &'a Pool {
        self.pool
    }

    /// What is known about one of them.
    pub fn state(&self, slot: Slot) -> &'a EndpointState {
        &self.pool.endpoints[slot.index()].state
    }

    /// Whether this endpoint of the pool is one of them.
    pub fn contains(&self, slot: Slot) -> bool {
        self.slots.len() == self.places() || self.slots.binary_search(&slot).is_ok()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All of them, ascending.
    pub fn slots(&self) -> &'a [Slot] {
        self.slots
    }

    /// The one at a position below [`Candidates::len`].
    pub fn slot(&self, position: usize) -> Slot {
        self.slots[position]
    }

    /// Endpoints in the pool, candidates or not: room for a state per slot.
    pub fn places(&self) -> usize {
        self.pool.endpoints.len()
    }

    /// Tries at this endpoint now, of all threads. May be out of date by the time it is compared.
    pub fn in_flight(&self, slot: Slot) -> u32 {
        self.state(slot).in_flight.load(Relaxed)
    }

    /// In force now, in hundredths of what was set: 1 to 65,535,000.
    pub fn weight(&self, slot: Slot) -> u32 {
        self.weights[slot.index()]
    }

    /// What [`Candidates::weight`] is when nothing lessens it.
    pub fn full_weight(&self, slot: Slot) -> u32 {
        self.pool.endpoints[slot.index()].weight_now().saturating_mul(100)
    }

    /// Changes whenever the candidates or their weights do: what was worked out from them holds until then.
    pub fn edition(&self) -> u64 {
        self.edition
    }
}

/// Whether `one` has less to do for its weight than `other`: `a/x < b/y` is `a*y < b*x`.
fn is_less_busy(one: (u32, u32), other: (u32, u32)) -> bool {
    let ((a, x), (b, y)) = (one, other);
    u64::from(a) * u64::from(y) < u64::from(b) * u64::from(x)
}

/// The schema of an algorithm that has nothing to set.
fn no_options() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

/// Refuses every option.
fn refuse_options(options: &Map<String, Value>) -> Result<(), String> {
    match options.keys().next() {
        Some(name) => Err(format!("unknown option \"{name}\"; there are none")),
        None => Ok(()),
    }
}
