//! Endpoints that take any number of requests at once: whatever their answers take, they are never overloaded.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use bascule_decide::guard::{Lost, Try};
use bascule_decide::pick::{Ask, Taken};
use bascule_decide::random::Random;
use bascule_decide::time::Tick;

use super::Balancing;
use super::balancer::Balancer;
use super::line::InLine;
use super::toy::Toy;
use super::trace::Traffic;
use super::waiting::{Turn, Waiters};

/// What one request takes: to the head of its answer, and to the end, in microseconds.
pub type Takes = fn(Tick, &mut Random) -> (u64, u64);

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub requests: u64,
    pub shed: u64,
    /// Those that had to wait, and the longest wait.
    pub waited: u64,
    pub longest_us: u64,
    /// Times that the pool was taken to be overloaded.
    pub opened: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Head(usize),
    End(usize),
    Wait,
}

struct Request {
    arrived: Tick,
    took_us: (u64, u64),
    attempt: Option<Try>,
    waits: bool,
}

struct Play<'a> {
    balancer: Balancer,
    threads: usize,
    line: InLine,
    traffic: &'a Traffic,
    takes: Takes,
    random: Random,
    requests: Vec<Request>,
    events: BinaryHeap<Reverse<(Tick, usize, Event)>>,
    count: usize,
    now: Tick,
    wakes: Tick,
    counted: Range<Tick>,
    outcomes: Outcomes,
}

/// Requests that come in `counted` are counted.
pub fn play(
    endpoints: usize,
    balancing: &Balancing,
    (traffic, takes): (&Traffic, Takes),
    counted: Range<Tick>,
    seed: u64,
) -> Outcomes {
    let toys = vec![Toy::usual(); endpoints];
    let mut play = Play {
        balancer: Balancer::new(balancing, &toys, seed),
        threads: balancing.threads,
        line: InLine::default(),
        traffic,
        takes,
        random: Random::seeded(seed ^ 0x5eed),
        requests: Vec::new(),
        events: BinaryHeap::new(),
        count: 0,
        now: Tick(0),
        wakes: Tick(u64::MAX),
        counted,
        outcomes: Outcomes::default(),
    };
    play.plan(Tick(0), Event::Arrival);
    while let Some(Reverse((at, _, event))) = play.events.pop() {
        play.now = at;
        play.step(event);
        play.serve_waiters();
        let pool = play.balancer.pool(0);
        play.outcomes.opened += u64::from(pool.state.gate.take_change() == Some(true));
    }
    play.outcomes
}

impl Play<'_> {
    fn plan(&mut self, at: Tick, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, event)));
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Head(number) => {
                let request = &mut self.requests[number];
                let Some(attempt) = &mut request.attempt else { return };
                self.balancer.pool(0).answered(attempt, self.now, false);
                let thread = number % self.threads;
                self.balancer.learn(thread, request.took_us.0, self.now);
            }
            Event::End(number) => {
                if let Some(attempt) = self.requests[number].attempt.take() {
                    self.balancer.pool(0).end(&attempt, self.now, Lost::Abandoned);
                }
            }
            Event::Wait => self.wakes = Tick(u64::MAX),
        }
    }

    fn arrive(&mut self) {
        if let Some(next) = self.traffic.next(self.now, &mut self.random) {
            self.plan(next, Event::Arrival);
        }
        let number = self.requests.len();
        let took_us = (self.takes)(self.now, &mut self.random);
        self.requests.push(Request { arrived: self.now, took_us, attempt: None, waits: false });
        self.outcomes.requests += u64::from(self.counts(number));
        if self.line.must_queue(self.balancer.pool(0), number, self.now) {
            self.wait(number);
        } else {
            self.attempt(number);
        }
    }

    fn counts(&self, number: usize) -> bool {
        self.counted.contains(&self.requests[number].arrived)
    }

    fn attempt(&mut self, number: usize) {
        let ask = Ask { repeatable: true, ..Ask::default() };
        match self.balancer.take(number % self.threads, &ask, self.now) {
            Taken::Endpoint(attempt) => {
                let counts = self.counts(number);
                let request = &mut self.requests[number];
                request.attempt = Some(attempt);
                let (head_us, hold_us) = request.took_us;
                if std::mem::take(&mut request.waits) {
                    let waited_us = self.now.since(request.arrived);
                    if counts {
                        self.outcomes.longest_us = self.outcomes.longest_us.max(waited_us);
                    }
                    self.line.leave(self.balancer.pool(0), number, self.now);
                }
                self.plan(Tick(self.now.0 + head_us), Event::Head(number));
                self.plan(Tick(self.now.0 + hold_us.max(head_us)), Event::End(number));
            }
            Taken::Full => self.wait(number),
            Taken::Nothing => unreachable!("every endpoint is up"),
        }
    }

    fn wait(&mut self, number: usize) {
        let counts = u64::from(self.counts(number));
        if self.line.enter(self.balancer.pool(0), number, self.now) {
            self.outcomes.waited += counts * u64::from(!self.requests[number].waits);
            self.requests[number].waits = true;
        } else {
            self.outcomes.shed += counts;
        }
    }

    fn serve_waiters(&mut self) {
        loop {
            let mut turns = Vec::new();
            let until = self.line.due(self.balancer.pool(0), self.now, &mut turns);
            for turn in &turns {
                match *turn {
                    Turn::Go(number) => self.attempt(number),
                    Turn::Shed(number) => self.outcomes.shed += u64::from(self.counts(number)),
                }
            }
            if !turns.is_empty() {
                continue;
            }
            if let Some(until) = until.filter(|until| *until < self.wakes) {
                self.wakes = until.max(self.now);
                self.plan(self.wakes, Event::Wait);
            }
            return;
        }
    }
}
