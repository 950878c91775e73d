//! How long a flow may go on: while something moves, while its time is not over, and while its endpoint may be used.

use bascule_contract::flows::{OnDown, PoolFlows};

use crate::balance::Slot;
use crate::flow::FlowRoute;
use crate::table::Pool;
use crate::time::Tick;

/// A flow is looked at so often in the time that it may be silent: it ends at most that part too late.
const LOOKS: u64 = 8;
/// Looks are not closer to each other than this.
const CLOSEST_US: u64 = 50_000;
/// Nor farther.
const FARTHEST_US: u64 = 3_600_000_000;

/// The time that one flow has.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// When it was last known to move.
    moved: Tick,
    until: Tick,
    drained: Tick,
}

/// How the endpoint of a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// New flows may go there.
    Serving,
    /// It gets no new ones, or is in maintenance.
    Draining,
    /// The live configuration does not have it any more.
    Gone,
    /// Its checks fail.
    Down,
}

/// Why a flow may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing moved for too long.
    Idle,
    /// The whole of it took too long.
    Total,
    /// Its endpoint is down or gone, and the pool wants its flows closed.
    Down,
    /// Its endpoint drains or is gone, and the time that its flows have then is over.
    Drained,
}

impl Lifetime {
    /// Of a flow that begins now.
    pub fn new(route: &FlowRoute, now: Tick) -> Self {
        Self {
            moved: now,
            until: route.total_ms.map_or(Tick(u64::MAX), |ms| now.after_ms(ms)),
            drained: Tick(u64::MAX),
        }
    }

    /// When it was last known to move; at first, when it began.
    pub fn moved(&self) -> Tick {
        self.moved
    }

    /// What follows for a flow that is looked at: when to look again, or why it is over. `moved`: bytes were read or
    /// taken since the last look. `idle_ms` is the route's.
    ///
    /// # Errors
    /// Why it may not go on.
    pub fn look(
        &mut self,
        now: Tick,
        moved: bool,
        standing: Standing,
        (idle_ms, policy): (u64, &PoolFlows),
    ) -> Result<Tick, Over> {
        let idle_us = idle_ms.saturating_mul(1000);
        if moved {
            self.moved = now;
        }
        let closes = policy.on_down == OnDown::Close;
        if closes && matches!(standing, Standing::Down | Standing::Gone) {
            return Err(Over::Down);
        }
        self.drained = match (standing, policy.drain_ms) {
            (Standing::Draining | Standing::Gone, Some(ms)) => self.drained.min(now.after_ms(ms)),
            // It is taken back into service, or the verdict is about something else.
            _ => Tick(u64::MAX),
        };
        let silent = Tick(self.moved.0.saturating_add(idle_us));
        let ends = [(self.drained, Over::Drained), (self.until, Over::Total), (silent, Over::Idle)];
        if let Some((_, over)) = ends.into_iter().find(|(at, _)| *at <= now) {
            return Err(over);
        }
        let soon = Tick(now.0.saturating_add((idle_us / LOOKS).clamp(CLOSEST_US, FARTHEST_US)));
        Ok(soon.min(silent).min(self.until).min(self.drained))
    }
}

impl Pool {
    /// How an endpoint that the live configuration has stands for the flows that are there.
    pub fn flow_standing(&self, slot: Slot) -> Standing {
        let endpoint = &self.endpoints[slot.index()];
        match () {
            () if !endpoint.is_up() => Standing::Down,
            () if endpoint.is_draining() => Standing::Draining,
            () => Standing::Serving,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;

    /// A flow that may be silent for eight seconds.
    const IDLE_MS: u64 = 8_000;

    fn lifetime(total_ms: Option<u64>) -> Lifetime {
        let until = total_ms.map_or(Tick(u64::MAX), |ms| Tick(ms * MS));
        Lifetime { moved: Tick(0), until, drained: Tick(u64::MAX) }
    }

    fn at(ms: u64) -> Tick {
        Tick(ms * MS)
    }

    /// Looks whenever it is told to, moving at each of these times; when and why it is over.
    fn play(mut flow: Lifetime, moves: &[u64]) -> (u64, Over) {
        let (policy, mut now, mut moves) = (PoolFlows::default(), at(0), moves.iter().peekable());
        loop {
            let mut moved = false;
            while moves.next_if(|it| at(**it) <= now).is_some() {
                moved = true;
            }
            match flow.look(now, moved, Standing::Serving, (IDLE_MS, &policy)) {
                Ok(next) => {
                    assert!(next > now);
                    now = next;
                }
                Err(over) => return (now.0 / MS, over),
            }
        }
    }

    #[test]
    fn silence_ends_a_flow_and_at_most_an_eighth_too_late() {
        assert_eq!(play(lifetime(None), &[]), (8_000, Over::Idle));
        let (ended, over) = play(lifetime(None), &[100, 7_500, 7_900]);
        assert_eq!(over, Over::Idle);
        assert!((15_900..=16_900).contains(&ended), "{ended}");
    }

    #[test]
    fn the_whole_ends_to_the_moment_however_much_moves() {
        let moves: Vec<u64> = (0..100).map(|it| it * 100).collect();
        assert_eq!(play(lifetime(Some(3_210)), &moves), (3_210, Over::Total));
    }

    #[test]
    fn an_endpoint_that_is_down_or_gone_takes_its_flows_along_only_where_that_is_wanted() {
        let close = PoolFlows { on_down: OnDown::Close, ..PoolFlows::default() };
        for standing in [Standing::Down, Standing::Gone] {
            assert_eq!(lifetime(None).look(at(1), true, standing, (IDLE_MS, &close)), Err(Over::Down));
            assert!(lifetime(None).look(at(1), true, standing, (IDLE_MS, &PoolFlows::default())).is_ok());
        }
        assert!(lifetime(None).look(at(1), true, Standing::Draining, (IDLE_MS, &close)).is_ok());
    }

    #[test]
    fn a_drain_has_its_time_from_its_begin_and_can_be_taken_back() {
        let policy = PoolFlows { drain_ms: Some(500), ..PoolFlows::default() };
        let mut flow = lifetime(None);
        assert_eq!(flow.look(at(100), true, Standing::Draining, (IDLE_MS, &policy)), Ok(at(600)));
        assert_eq!(flow.look(at(300), true, Standing::Draining, (IDLE_MS, &policy)), Ok(at(600)));
        assert_eq!(flow.look(at(400), true, Standing::Serving, (IDLE_MS, &policy)), Ok(at(1_400)));
        assert_eq!(flow.look(at(700), true, Standing::Gone, (IDLE_MS, &policy)), Ok(at(1_200)));
        assert_eq!(flow.look(at(1_200), true, Standing::Gone, (IDLE_MS, &policy)), Err(Over::Drained));
    }
}
