//! Two legs of one request at the same time: the first takes long, a second is sent elsewhere, the better answer wins.

use crate::course::{Course, Retrying, within_budget};
use crate::forward::{Failed, Forward};
use crate::head::Head;
use crate::leg::{Held, Leg};
use crate::local::LocalTable;
use bascule_decide::guard::{Lost, Verdict};
use bascule_decide::pick::{Ask, Taken};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at whether an endpoint is quiet.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// When something is done about a try that has no answer yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Milestones {
    /// It takes unusually long: a second copy may help.
    pub(crate) hedge: Option<Instant>,
    /// It takes longer than any usual one: the endpoint is taken to be silent.
    pub(crate) late: Option<Instant>,
}

impl Milestones {
    pub(crate) fn first(self) -> Option<Instant> {
        self.hedge.into_iter().chain(self.late).min()
    }

    /// Those that lie ahead.
    fn after(self, now: Instant) -> Self {
        Self { hedge: self.hedge.filter(|at| *at > now), late: self.late.filter(|at| *at > now) }
    }

    /// Whether something is to be done now that the first is reached: a copy helps when the endpoint is the reason. A
    /// request that takes long by itself would take as long elsewhere, and twice the work is what makes queues.
    pub(crate) fn is_due(self, held: &Held, now: Instant) -> bool {
        held.would_do_better() || self.late.is_some_and(|late| late <= now)
    }

    /// The same, to be looked at again after half as long.
    pub(crate) fn postponed(self, held: &Held, now: Instant) -> Self {
        let pause = (now.duration_since(held.began()) / 2).max(SHORTEST_PAUSE);
        Self { hedge: self.hedge.map(|_| now + pause), late: self.late.filter(|at| *at > now) }
    }
}

/// What the legs of one request have in common.
pub(crate) struct Race<'a> {
    pub(crate) table: &'a Rc<LocalTable>,
    pub(crate) course: &'a Course,
    pub(crate) ask: Ask<'static>,
    /// Of the first leg and of the second.
    pub(crate) to: &'a [Forward<'a>; 2],
    pub(crate) head: &'a [u8],
    pub(crate) milestones: Milestones,
}

/// The leg whose answer goes to the client.
pub(crate) struct Won {
    pub(crate) leg: Leg,
    pub(crate) answer: Head,
    /// 0 for the first leg, 1 for the second.
    pub(crate) second: usize,
}

type Asked = (Leg, Result<Option<Head>, Failed>);
type Asking<'a> = Pin<Box<dyn Future<Output = Asked> + 'a>>;

/// Asks on, and gives the leg back.
fn asking<'a>(mut leg: Leg, to: &'a Forward<'a>, head: &'a [u8], until: Option<Instant>) -> Asking<'a> {
    Box::pin(async move {
        let asked = leg.ask(to, head, until).await;
        (leg, asked)
    })
}

impl Race<'_> {
    /// `first` has come to a milestone without an answer.
    pub(crate) async fn run(self, mut first: Leg) -> Result<Won, Failed> {
        let fate = Rc::new(Cell::new(Lost::Abandoned));
        first.held.decided_by(&fate);
        let mut retrying = None;
        let mut legs = [None, self.reached(&mut first, &mut retrying)];
        let next = self.milestones.after(Instant::now()).first();
        legs[0] = Some(asking(first, &self.to[0], self.head, next));
        let mut failed = None;
        loop {
            let Some((which, (mut leg, asked))) = poll_fn(|cx| poll_either(&mut legs, cx)).await else {
                return Err(failed.unwrap_or(Failed::ClientGone));
            };
            let other = legs[1 - which].is_some();
            match asked {
                // The other one may do better.
                Ok(Some(answer)) if other && answer.verdict == Verdict::Failed => drop(leg),
                Ok(Some(answer)) => {
                    if which == 1 {
                        fate.set(Lost::Outpaced);
                        leg.held.pool().state.counted.hedges_won.fetch_add(1, Relaxed);
                    }
                    return Ok(Won { leg, answer, second: which });
                }
                Ok(None) => {
                    if !other {
                        legs[1] = self.reached(&mut leg, &mut retrying);
                    } else if self.is_late() {
                        leg.held.is_late(Instant::now());
                    }
                    let next = self.milestones.after(Instant::now()).first();
                    legs[0] = Some(asking(leg, &self.to[0], self.head, next));
                }
                Err(gone @ (Failed::Client(_) | Failed::ClientGone)) => return Err(gone),
                Err(failure) => {
                    drop(leg);
                    failed = Some(failure);
                }
            }
        }
    }

    fn is_late(&self) -> bool {
        self.milestones.late.is_some_and(|late| late <= Instant::now())
    }

    /// A milestone is reached: a second leg, if there is something to pay it with.
    fn reached(&self, first: &mut Leg, retrying: &mut Option<Retrying>) -> Option<Asking<'_>> {
        let worker = self.to[0].worker;
        let pool = first.held.pool();
        if self.is_late() {
            first.held.is_late(Instant::now());
            if !within_budget(pool, worker) {
                return None;
            }
            *retrying = Some(Retrying::begin(worker));
        } else if pool.state.gate.is_open() || !self.table.spend_hedge(self.course.pool) {
            return None;
        }
        let tried: Vec<_> = self.course.tried.iter().copied().chain([first.held.place().1]).collect();
        let ask = Ask { tried: &tried, stay: None, ..self.ask };
        let Taken::Endpoint(attempt) = self.table.take(self.course.pool, &ask, worker.now()) else {
            return None;
        };
        pool.state.counted.hedged.fetch_add(1, Relaxed);
        let second = Leg::new(Held::new(worker, self.table, self.course.pool, attempt), first.caller.clone());
        Some(asking(second, &self.to[1], self.head, None))
    }
}

/// The first of the legs that has something to say; `None` when there is none left.
fn poll_either(legs: &mut [Option<Asking<'_>>; 2], cx: &mut Context<'_>) -> Poll<Option<(usize, Asked)>> {
    for (which, leg) in legs.iter_mut().enumerate() {
        if let Some(asking) = leg
            && let Poll::Ready(asked) = asking.as_mut().poll(cx)
        {
            *leg = None;
            return Poll::Ready(Some((which, asked)));
        }
    }
    if legs.iter().all(Option::is_none) { Poll::Ready(None) } else { Poll::Pending }
}
