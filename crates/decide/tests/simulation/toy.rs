//! Toy endpoints: some workers, a queue, and moods that change with time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use bascule_decide::time::Tick;

/// An endpoint as a scenario describes it.
#[derive(Clone, Debug)]
pub struct Toy {
    pub workers: u32,
    pub turns: Turns,
    /// Since when it is how, ascending; the first is since 0.
    pub moods: Vec<(Tick, Mood)>,
    /// When it comes into the pool, by a reload.
    pub joins: Tick,
    /// It is this many times slower when it joins, and less so over the next two seconds.
    pub cold: f64,
    pub weight: u32,
}

/// Whose work is done when there is more than there are workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turns {
    FirstComeFirstServed,
    /// Everybody's, more slowly.
    Sharing,
}

/// What an endpoint does with requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    /// Takes this many times as long as usual.
    Works(f64),
    /// Takes requests and never answers.
    Silent,
    /// Answers 500 after 0.3 ms.
    Fails,
    /// Does so with one of so many requests.
    FailsOneIn(u32),
    /// Refuses connections; what it had is broken off.
    Gone,
}

const FAILS_AFTER_US: u64 = 300;
const REFUSES_AFTER_US: u64 = 200;
const COLD_US: f64 = 2e6;

/// One request's work at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    /// Index of the request.
    pub request: usize,
    /// Which of its tries.
    pub attempt: usize,
}

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Good,
    Failed,
    Broken,
}

/// An endpoint at work. Replies that lie ahead are put into `ahead` with their time.
pub struct Working {
    toy: Toy,
    mood: Mood,
    busy: u32,
    queue: VecDeque<(Job, f64)>,
    /// What it has in hand, to be broken off.
    running: Vec<Job>,
    /// Replies of an earlier era do not come any more.
    era: u64,
    shared: Shared,
    pub ahead: Vec<(Tick, Ahead)>,
}

/// Something of this endpoint that lies ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ahead {
    /// A worker is done with this.
    Done(Job, u64),
    /// The next of those that share may be done.
    Look(u64),
    /// A failure or refusal reaches the balancer.
    Refusal(Job, bool),
}

/// Work that all share: in virtual time every job gets one second per second.
#[derive(Default)]
struct Shared {
    jobs: BinaryHeap<Reverse<(u64, Job)>>,
    /// Virtual microseconds, in thousandths.
    virtually: f64,
    seen: Tick,
    looks: u64,
}

impl Toy {
    /// Four workers of usual speed, from the beginning.
    pub fn usual() -> Self {
        Self {
            workers: 4,
            turns: Turns::FirstComeFirstServed,
            moods: vec![(Tick(0), Mood::Works(1.0))],
            joins: Tick(0),
            cold: 1.0,
            weight: 1,
        }
    }

    /// The same, always so many times slower.
    pub fn slower(self, slowness: f64) -> Self {
        Self { moods: vec![(Tick(0), Mood::Works(slowness))], ..self }
    }

    /// The same, in another mood from `since` on.
    pub fn then(mut self, since: Tick, mood: Mood) -> Self {
        self.moods.push((since, mood));
        self
    }
}

impl Working {
    pub fn new(toy: &Toy) -> Self {
        Self {
            mood: toy.moods[0].1,
            toy: toy.clone(),
            busy: 0,
            queue: VecDeque::new(),
            running: Vec::new(),
            era: 0,
            shared: Shared::default(),
            ahead: Vec::new(),
        }
    }

    /// Jobs it has, those included that nobody waits for any more.
    pub fn jobs(&self) -> usize {
        self.busy as usize + self.queue.len() + self.shared.jobs.len()
    }

    pub fn take(&mut self, job: Job, demand_us: f64, now: Tick) {
        match self.mood {
            Mood::Silent => {}
            Mood::Fails => self.ahead.push((Tick(now.0 + FAILS_AFTER_US), Ahead::Refusal(job, false))),
            Mood::Gone => self.ahead.push((Tick(now.0 + REFUSES_AFTER_US), Ahead::Refusal(job, true))),
            Mood::FailsOneIn(many) if job.request.is_multiple_of(many as usize) => {
                self.ahead.push((Tick(now.0 + FAILS_AFTER_US), Ahead::Refusal(job, false)));
            }
            _ if self.toy.turns == Turns::Sharing => {
                self.flow(now);
                let ends = (self.shared.virtually + demand_us * 1e3) as u64;
                self.shared.jobs.push(Reverse((ends, job)));
                self.look_ahead(now);
            }
            _ if self.busy < self.toy.workers => self.start(job, demand_us, now),
            _ => self.queue.push_back((job, demand_us)),
        }
    }

    /// What has come of something that lay ahead until now: a reply, if it was one.
    pub fn arrive(&mut self, ahead: Ahead, now: Tick) -> Option<(Job, Reply)> {
        match ahead {
            Ahead::Refusal(job, true) => Some((job, Reply::Broken)),
            Ahead::Refusal(job, false) => Some((job, Reply::Failed)),
            Ahead::Done(_, era) if era != self.era => None,
            Ahead::Done(job, _) => {
                self.busy -= 1;
                self.running.retain(|it| *it != job);
                if let Some((next, demand)) = self.queue.pop_front() {
                    self.start(next, demand, now);
                }
                Some((job, Reply::Good))
            }
            Ahead::Look(look) if look != self.shared.looks => None,
            Ahead::Look(_) => {
                self.flow(now);
                let Reverse((ends, _)) = *self.shared.jobs.peek()?;
                // A look comes up to a microsecond early.
                let done = self.shared.virtually + 1e3 >= ends as f64;
                let job = if done { self.shared.jobs.pop().map(|Reverse((_, job))| job) } else { None };
                self.look_ahead(now);
                job.map(|job| (job, Reply::Good))
            }
        }
    }

    /// Its mood changes; these jobs are broken off.
    pub fn change(&mut self, mood: Mood, now: Tick) -> Vec<Job> {
        self.flow(now);
        self.mood = mood;
        if matches!(mood, Mood::Works(_) | Mood::FailsOneIn(_)) {
            self.look_ahead(now);
            return Vec::new();
        }
        self.era += 1;
        self.shared.looks += 1;
        self.busy = 0;
        let mut had = std::mem::take(&mut self.running);
        had.extend(self.queue.drain(..).map(|(job, _)| job));
        had.extend(self.shared.jobs.drain().map(|Reverse((_, job))| job));
        if mood == Mood::Gone { had } else { Vec::new() }
    }

    fn start(&mut self, job: Job, demand_us: f64, now: Tick) {
        self.busy += 1;
        self.running.push(job);
        let took = (demand_us * self.slowness(now)) as u64;
        self.ahead.push((Tick(now.0 + took), Ahead::Done(job, self.era)));
    }

    fn slowness(&self, now: Tick) -> f64 {
        let Mood::Works(slowness) = self.mood else { return 1.0 };
        let warmth = (now.since(self.toy.joins) as f64 / COLD_US).min(1.0);
        slowness * (self.toy.cold - (self.toy.cold - 1.0) * warmth)
    }

    fn speed(&self, now: Tick) -> f64 {
        let share = f64::from(self.toy.workers) / self.shared.jobs.len().max(1) as f64;
        share.min(1.0) / self.slowness(now)
    }

    fn flow(&mut self, now: Tick) {
        self.shared.virtually += now.since(self.shared.seen) as f64 * 1e3 * self.speed(self.shared.seen);
        self.shared.seen = now;
    }

    fn look_ahead(&mut self, now: Tick) {
        self.shared.looks += 1;
        if let Some(Reverse((ends, _))) = self.shared.jobs.peek() {
            let left = (*ends as f64 - self.shared.virtually).max(0.0) / 1e3 / self.speed(now);
            self.ahead.push((Tick(now.0 + left as u64), Ahead::Look(self.shared.looks)));
        }
    }
}
