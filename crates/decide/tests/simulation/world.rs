//! The events of a simulation, in order of time, from the arrival of a request to its end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bascule_decide::balance::Slot;
use bascule_decide::guard::{Lost, Try};
use bascule_decide::pick::{Ask, Taken};
use bascule_decide::random::Random;
use bascule_decide::time::Tick;

use super::balancer::Balancer;
use super::probes::Latencies;
use super::toy::{Ahead, Job, Reply, Working};
use super::waiting::{Turn, Waiters};
use super::{Balancing, Scenario};

/// One request of a client.
#[derive(Clone, Debug)]
pub struct Request {
    pub arrived: Tick,
    pub demand_us: f64,
    pub outcome: Outcome,
    /// When it got its answer, or was given up.
    pub ended: Tick,
    /// Where it has been, in order.
    pub tried: Vec<Slot>,
    balancer: usize,
    thread: usize,
    live: Option<Live>,
    waits: bool,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not.
    Open,
    Answered,
    /// With a failure, or not at all.
    Failed,
    /// Without a try, because every endpoint was full.
    Shed,
}

#[derive(Clone, Debug)]
struct Live {
    attempt: Try,
    generation: usize,
    /// Jobs that the endpoint had before it.
    found: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Change { endpoint: usize, mood: usize },
    Join,
    Endpoint { endpoint: usize, ahead: Ahead },
    TryLimit(Job),
    Arrival,
    Wait,
}

/// A scenario under way.
pub struct World<'a, W> {
    scenario: &'a Scenario,
    balancing: &'a Balancing,
    pub balancers: Vec<Balancer>,
    pub endpoints: Vec<Working>,
    latencies: Vec<Latencies>,
    /// All that have come, in order.
    pub requests: Vec<Request>,
    /// Of the first balancer.
    pub waiters: W,
    pub now: Tick,
    events: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    count: u64,
    traffic: Random,
    turns: Vec<Turn>,
    wakes: Tick,
}

impl<'a, W: Waiters> World<'a, W> {
    pub fn new(scenario: &'a Scenario, balancing: &'a Balancing, waiters: W, seed: u64) -> Self {
        let mut seeds = Random::seeded(seed);
        let traffic = Random::seeded(seeds.next());
        let balancer = |_| Balancer::new(balancing, &scenario.endpoints, seeds.next());
        let mut world = Self {
            scenario,
            balancing,
            balancers: (0..balancing.balancers).map(balancer).collect(),
            endpoints: scenario.endpoints.iter().map(Working::new).collect(),
            latencies: vec![Latencies::default(); scenario.endpoints.len()],
            requests: Vec::new(),
            waiters,
            now: Tick(0),
            events: BinaryHeap::new(),
            count: 0,
            traffic,
            turns: Vec::new(),
            wakes: Tick(u64::MAX),
        };
        for (endpoint, toy) in scenario.endpoints.iter().enumerate() {
            for (mood, (since, _)) in toy.moods.iter().enumerate() {
                world.plan(*since, Event::Change { endpoint, mood });
            }
        }
        let mut joins: Vec<Tick> = scenario.endpoints.iter().map(|toy| toy.joins).collect();
        joins.dedup();
        joins.iter().filter(|at| **at > Tick(0)).for_each(|at| world.plan(*at, Event::Join));
        world.plan_arrival();
        world
    }

    /// Until nothing lies ahead.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// The next event; false when nothing lies ahead.
    pub fn step(&mut self) -> bool {
        let Some(Reverse((at, _, event))) = self.events.pop() else { return false };
        self.now = at;
        match event {
            Event::Arrival => self.arrive(),
            Event::Endpoint { endpoint, ahead } => {
                if let Some((job, reply)) = self.endpoints[endpoint].arrive(ahead, at) {
                    self.answer(job, reply);
                }
                self.look_ahead(endpoint);
            }
            Event::TryLimit(job) => {
                if self.is_live(job) {
                    self.lose(job.request, Lost::Silent);
                }
            }
            Event::Change { endpoint, mood } => self.change(endpoint, mood),
            Event::Join => {
                for balancer in &mut self.balancers {
                    balancer.reload(self.balancing, &self.scenario.endpoints, at);
                }
            }
            Event::Wait => self.wakes = Tick(u64::MAX),
        }
        self.serve_waiters();
        true
    }

    fn plan(&mut self, at: Tick, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, event)));
    }

    fn plan_arrival(&mut self) {
        if let Some(at) = self.scenario.traffic.next(self.now, &mut self.traffic) {
            self.plan(at, Event::Arrival);
        }
    }

    fn look_ahead(&mut self, endpoint: usize) {
        while let Some((at, ahead)) = self.endpoints[endpoint].ahead.pop() {
            self.plan(at, Event::Endpoint { endpoint, ahead });
        }
    }

    fn arrive(&mut self) {
        let demand_us = self.scenario.traffic.demand.draw(&mut self.traffic);
        let number = self.requests.len();
        self.requests.push(Request {
            arrived: self.now,
            demand_us,
            outcome: Outcome::Open,
            ended: self.now,
            tried: Vec::new(),
            balancer: self.traffic.below(self.balancing.balancers),
            thread: self.traffic.below(self.balancing.threads),
            live: None,
            waits: false,
        });
        self.plan_arrival();
        let balancer = &self.balancers[self.requests[number].balancer];
        let pool = balancer.pool(balancer.generation());
        if self.waiters.must_queue(pool, number, self.now) {
            self.wait(number);
        } else {
            self.attempt(number);
        }
    }

    fn attempt(&mut self, number: usize) {
        let request = &mut self.requests[number];
        let ask = Ask { tried: &request.tried, repeatable: true, ..Ask::default() };
        let balancer = &mut self.balancers[request.balancer];
        match balancer.take(request.thread, &ask, self.now) {
            Taken::Endpoint(attempt) => {
                let generation = balancer.generation();
                let job = Job { request: number, attempt: request.tried.len() };
                request.tried.push(attempt.slot);
                let found = self.endpoints[attempt.slot.index()].jobs();
                request.live = Some(Live { attempt, generation, found });
                if std::mem::take(&mut request.waits) {
                    self.waiters.leave(balancer.pool(generation), number, self.now);
                }
                let endpoint = attempt.slot.index();
                balancer.probe(request.thread, self.now, |slot| {
                    self.latencies[slot.index()].report(self.endpoints[slot.index()].jobs())
                });
                self.endpoints[endpoint].take(job, request.demand_us, self.now);
                self.look_ahead(endpoint);
                self.plan(Tick(self.now.0 + self.balancing.try_limit_us), Event::TryLimit(job));
            }
            Taken::Full => self.wait(number),
            Taken::Nothing => self.finish(number, Outcome::Failed),
        }
    }

    fn wait(&mut self, number: usize) {
        let balancer = &self.balancers[self.requests[number].balancer];
        let pool = balancer.pool(balancer.generation());
        if self.waiters.enter(pool, number, self.now) {
            self.requests[number].waits = true;
        } else {
            self.finish(number, Outcome::Shed);
        }
    }

    fn serve_waiters(&mut self) {
        loop {
            let pool = self.balancers[0].pool(self.balancers[0].generation());
            let mut turns = std::mem::take(&mut self.turns);
            let until = self.waiters.due(pool, self.now, &mut turns);
            if turns.is_empty() {
                self.turns = turns;
                if let Some(until) = until.filter(|until| *until < self.wakes) {
                    self.wakes = until.max(self.now);
                    self.plan(self.wakes, Event::Wait);
                }
                return;
            }
            for turn in turns.drain(..) {
                match turn {
                    Turn::Go(number) => self.attempt(number),
                    Turn::Shed(number) => self.finish(number, Outcome::Shed),
                }
            }
            self.turns = turns;
        }
    }

    fn is_live(&self, job: Job) -> bool {
        let request = &self.requests[job.request];
        request.live.is_some() && request.tried.len() == job.attempt + 1
    }

    fn answer(&mut self, job: Job, reply: Reply) {
        if !self.is_live(job) {
            return;
        }
        if reply == Reply::Broken {
            return self.lose(job.request, Lost::Broken);
        }
        let request = &mut self.requests[job.request];
        let Some(Live { mut attempt, generation, found }) = request.live.take() else { return };
        let balancer = &mut self.balancers[request.balancer];
        let pool = balancer.pool(generation);
        pool.answered(&mut attempt, self.now, reply == Reply::Failed);
        pool.end(&attempt, self.now, Lost::Abandoned);
        if reply == Reply::Good {
            let took_us = self.now.since(attempt.began);
            balancer.learn(request.thread, took_us, self.now);
            self.latencies[attempt.slot.index()].note(found, took_us);
            return self.finish(job.request, Outcome::Answered);
        }
        self.retry(job.request);
    }

    fn lose(&mut self, number: usize, lost: Lost) {
        let request = &mut self.requests[number];
        let Some(Live { attempt, generation, .. }) = request.live.take() else { return };
        self.balancers[request.balancer].pool(generation).end(&attempt, self.now, lost);
        self.retry(number);
    }

    fn retry(&mut self, number: usize) {
        if self.requests[number].tried.len() <= self.balancing.retries {
            self.attempt(number);
        } else {
            self.finish(number, Outcome::Failed);
        }
    }

    fn finish(&mut self, number: usize, outcome: Outcome) {
        let request = &mut self.requests[number];
        request.outcome = outcome;
        request.ended = self.now;
        request.waits = false;
    }

    fn change(&mut self, endpoint: usize, mood: usize) {
        let (_, mood) = self.scenario.endpoints[endpoint].moods[mood];
        for job in self.endpoints[endpoint].change(mood, self.now) {
            self.answer(job, Reply::Broken);
        }
        self.look_ahead(endpoint);
    }
}
