//! One balancer: the real tables, pickers and pools, with its own view of the endpoints.

use bascule_decide::balance::Slot;
use bascule_decide::endpoint::States;
use bascule_decide::load_report::Report;
use bascule_decide::pick::{Ask, Picker, Taken};
use bascule_decide::random::Random;
use bascule_decide::table::{Pool, Table};
use bascule_decide::time::Tick;

use super::Balancing;
use super::toy::Toy;
use crate::samples;

/// A balancer with all the tables it ever had: tries that are under way keep the one they began with.
pub struct Balancer {
    pub states: States,
    tables: Vec<Table>,
    /// One per thread, of the latest table.
    pickers: Vec<Picker>,
    random: Random,
    wanted: Vec<Slot>,
}

impl Balancer {
    /// A balancer that knows the endpoints which are there at the beginning.
    pub fn new(balancing: &Balancing, endpoints: &[Toy], seed: u64) -> Self {
        let random = Random::seeded(seed);
        let mut balancer =
            Self { states: States::new(), tables: vec![], pickers: vec![], random, wanted: vec![] };
        balancer.reload(balancing, endpoints, Tick(0));
        balancer
    }

    /// A new table with the endpoints that have joined by now; they are the first ones of the list.
    pub fn reload(&mut self, balancing: &Balancing, endpoints: &[Toy], now: Tick) {
        let here = endpoints.iter().filter(|toy| toy.joins <= now);
        let weights: Vec<u32> = here.map(|toy| toy.weight).collect();
        let mut pool = samples::pool("p", balancing.algorithm, &weights);
        pool.algorithm.options = balancing.options.clone();
        pool.protection = balancing.protection.clone();
        let snapshot = samples::snapshot(vec![], vec![pool]);
        let table = Table::compile(&snapshot, &mut self.states).expect("a sound snapshot");
        for (endpoint, toy) in table.pools[0].endpoints.iter().zip(endpoints) {
            if toy.joins == now {
                endpoint.state.record.begins(now);
            }
        }
        let random = &mut self.random;
        self.pickers = (0..balancing.threads).map(|_| Picker::new(&table.pools[0], random)).collect();
        self.tables.push(table);
    }

    /// The generation of the latest table.
    pub fn generation(&self) -> usize {
        self.tables.len() - 1
    }

    pub fn pool(&self, generation: usize) -> &Pool {
        &self.tables[generation].pools[0]
    }

    /// Asks the picker of a thread.
    pub fn take(&mut self, thread: usize, ask: &Ask<'_>, now: Tick) -> Taken {
        let generation = self.generation();
        self.pickers[thread].take(&self.tables[generation].pools[0], ask, now, &mut self.random)
    }

    /// Asks those endpoints that the algorithm wants to hear from; `said` answers for them.
    pub fn probe(&mut self, thread: usize, now: Tick, said: impl Fn(Slot) -> Report) {
        let pool = &self.tables[self.tables.len() - 1].pools[0];
        let picker = &mut self.pickers[thread];
        self.wanted.clear();
        picker.wants_probes(pool, &mut self.random, &mut self.wanted);
        self.wanted.iter().for_each(|slot| picker.hear(pool, *slot, &said(*slot), now, &mut self.random));
    }

    /// An answer came after this long.
    pub fn learn(&mut self, thread: usize, took_us: u64, now: Tick) {
        let generation = self.generation();
        self.pickers[thread].learn(&self.tables[generation].pools[0], took_us, now);
    }
}
