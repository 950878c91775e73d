//! The flows of one UDP socket: by who speaks to which address, and by how long they have been silent.
//!
//! Everything that is done for a datagram takes the same time however many flows there are; expiry looks only at those
//! that have expired.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::FixedState;
use slab::Slab;

use crate::time::Tick;

/// Who speaks to whom: what a flow is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parties {
    /// Whose datagrams they are, and where answers go.
    pub client: SocketAddr,
    /// The address that the client has sent to; answers come from there.
    pub local: IpAddr,
}

/// A flow of one table, from [`FlowTable::begin`] until [`FlowTable::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId(u32);

/// How long a flow may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Milliseconds, for a conversation that goes on.
    Open(u64),
    /// Milliseconds, for one that is over: it is the first to make room.
    Over(u64),
}

impl Patience {
    fn ms(self) -> u64 {
        match self {
            Self::Open(ms) | Self::Over(ms) => ms,
        }
    }
}

/// Flows with what the caller knows of each.
///
/// Flows of the same patience stand in one line, the longest silent one first. There are as many lines as there are
/// patiences in use: one or two, as a rule.
#[derive(Debug)]
pub struct FlowTable<V> {
    by_parties: HashMap<Parties, FlowId, FixedState>,
    flows: Slab<Flow<V>>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Flow<V> {
    parties: Parties,
    heard: Tick,
    line: usize,
    before: u32,
    after: u32,
    value: V,
}

#[derive(Debug)]
struct Line {
    patience: Patience,
    first: u32,
    last: u32,
}

/// Where a line ends.
const NOBODY: u32 = u32::MAX;

impl<V> FlowTable<V> {
    /// No flows. Clients that know the seed could make looking flows up slow.
    pub fn seeded(seed: u64) -> Self {
        Self {
            by_parties: HashMap::with_hasher(FixedState::with_seed(seed)),
            flows: Slab::new(),
            lines: Vec::new(),
        }
    }

    /// How many there are, with those that are over.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// The flow between the two.
    pub fn find(&self, parties: &Parties) -> Option<FlowId> {
        self.by_parties.get(parties).copied()
    }

    /// A flow between two who have none.
    pub fn begin(&mut self, parties: Parties, patience: Patience, now: Tick, value: V) -> FlowId {
        let flow = Flow { parties, heard: now, line: 0, before: NOBODY, after: NOBODY, value };
        let id = FlowId(u32::try_from(self.flows.insert(flow)).unwrap_or(NOBODY));
        let known = self.by_parties.insert(parties, id);
        debug_assert!(known.is_none(), "two who have a flow do not get another");
        self.join(id, patience);
        id
    }

    /// Who speaks to whom.
    pub fn parties(&self, id: FlowId) -> Parties {
        self.at(id).parties
    }

    /// What the caller knows of it.
    pub fn value(&self, id: FlowId) -> &V {
        &self.at(id).value
    }

    /// The same, to be changed.
    pub fn value_mut(&mut self, id: FlowId) -> &mut V {
        &mut self.at_mut(id).value
    }

    /// Something was said in it just now.
    pub fn hear(&mut self, id: FlowId, now: Tick) {
        self.at_mut(id).heard = now;
        let line = self.at(id).line;
        if self.lines[line].last != id.0 {
            self.leave(id);
            self.stand_last(id, line);
        }
    }

    /// It has another patience from now on.
    pub fn change(&mut self, id: FlowId, patience: Patience, now: Tick) {
        self.at_mut(id).heard = now;
        self.leave(id);
        self.join(id, patience);
    }

    /// The flow that is to make room: one that is over, else the one that has been silent for longest.
    pub fn least_missed(&self) -> Option<FlowId> {
        self.longest_over().or_else(|| self.heads().min_by_key(|head| self.at(*head).heard))
    }

    /// Of those that are over, the one that has been for longest.
    pub fn longest_over(&self) -> Option<FlowId> {
        let over = self.lines.iter().filter(|line| matches!(line.patience, Patience::Over(_)));
        let heads = over.filter(|line| line.first != NOBODY).map(|line| FlowId(line.first));
        heads.min_by_key(|head| self.at(*head).heard)
    }

    /// A flow whose patience has ended.
    pub fn expired(&self, now: Tick) -> Option<FlowId> {
        self.heads().find(|head| self.expires(*head) <= now)
    }

    /// When the next one expires, if nothing is said until then.
    pub fn next_expiry(&self) -> Option<Tick> {
        self.heads().map(|head| self.expires(head)).min()
    }

    /// It has ended: it is not known any more.
    pub fn end(&mut self, id: FlowId) -> V {
        self.leave(id);
        let flow = self.flows.remove(id.0 as usize);
        self.by_parties.remove(&flow.parties);
        flow.value
    }

    /// All of them, in no order.
    pub fn ids(&self) -> impl Iterator<Item = FlowId> {
        self.flows.iter().map(|(at, _)| FlowId(u32::try_from(at).unwrap_or(NOBODY)))
    }

    fn at(&self, id: FlowId) -> &Flow<V> {
        &self.flows[id.0 as usize]
    }

    fn at_mut(&mut self, id: FlowId) -> &mut Flow<V> {
        &mut self.flows[id.0 as usize]
    }

    fn heads(&self) -> impl Iterator<Item = FlowId> {
        self.lines.iter().filter(|line| line.first != NOBODY).map(|line| FlowId(line.first))
    }

    fn expires(&self, id: FlowId) -> Tick {
        let flow = self.at(id);
        flow.heard.after_ms(self.lines[flow.line].patience.ms())
    }

    /// Puts it at the end of the line of its patience.
    fn join(&mut self, id: FlowId, patience: Patience) {
        let same = self.lines.iter().position(|line| line.patience == patience);
        let line = same.or_else(|| self.lines.iter().position(|line| line.first == NOBODY));
        let line = line.unwrap_or_else(|| {
            self.lines.push(Line { patience, first: NOBODY, last: NOBODY });
            self.lines.len() - 1
        });
        self.lines[line].patience = patience;
        self.stand_last(id, line);
    }

    fn stand_last(&mut self, id: FlowId, line: usize) {
        let last = std::mem::replace(&mut self.lines[line].last, id.0);
        let flow = self.at_mut(id);
        (flow.line, flow.before, flow.after) = (line, last, NOBODY);
        match last {
            NOBODY => self.lines[line].first = id.0,
            last => self.at_mut(FlowId(last)).after = id.0,
        }
    }

    fn leave(&mut self, id: FlowId) {
        let Flow { line, before, after, .. } = *self.at(id);
        match before {
            NOBODY => self.lines[line].first = after,
            before => self.at_mut(FlowId(before)).after = after,
        }
        match after {
            NOBODY => self.lines[line].last = before,
            after => self.at_mut(FlowId(after)).before = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FlowTable, Parties, Patience};
    use crate::cases;
    use crate::time::Tick;

    fn parties(client: u8) -> Parties {
        Parties { client: ([127, 0, 0, client], 53).into(), local: [127, 0, 0, 1].into() }
    }

    #[test]
    fn one_port_of_two_addresses_is_two_flows_and_so_are_two_addresses_of_ours() {
        let mut table = FlowTable::seeded(7);
        let one = table.begin(parties(1), Patience::Open(1), Tick(0), 'a');
        assert_eq!(table.find(&parties(1)), Some(one));
        assert_eq!(table.find(&parties(2)), None);
        assert_eq!(table.find(&Parties { local: [127, 0, 0, 9].into(), ..parties(1) }), None);
        assert_eq!(table.end(one), 'a');
        assert_eq!(table.find(&parties(1)), None);
    }

    #[test]
    fn what_is_over_makes_room_before_what_is_only_silent() {
        let mut table = FlowTable::seeded(7);
        let silent = table.begin(parties(1), Patience::Open(9), Tick(0), ());
        let later = table.begin(parties(2), Patience::Open(1), Tick(5), ());
        assert_eq!(
            table.least_missed(),
            Some(silent),
            "it has been silent for longest, whatever its patience"
        );
        table.change(later, Patience::Over(1), Tick(9));
        assert_eq!((table.longest_over(), table.least_missed()), (Some(later), Some(later)));
    }

    /// What happens to a table.
    #[derive(Clone, Debug)]
    enum Step {
        Hear(u8, u64),
        Change(u8, bool, u64),
        End(u8),
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let patience = prop_oneof![Just(2_u64), Just(3), Just(50)];
        let step = prop_oneof![
            6 => (0_u8..12, patience.clone()).prop_map(|(client, ms)| Step::Hear(client, ms)),
            2 => (0_u8..12, any::<bool>(), patience).prop_map(|(client, over, ms)| Step::Change(client, over, ms)),
            1 => (0_u8..12).prop_map(Step::End),
            4 => (0_u64..4_000).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 1..200)
    }

    /// The same, told plainly: each flow with its patience and when it was heard last, in that order.
    #[derive(Default)]
    struct Told(Vec<(u8, Patience, Tick)>);

    impl Told {
        fn take(&mut self, client: u8) -> Option<(u8, Patience, Tick)> {
            let at = self.0.iter().position(|flow| flow.0 == client)?;
            Some(self.0.remove(at))
        }

        fn is_expired((_, patience, heard): &(u8, Patience, Tick), now: Tick) -> bool {
            heard.after_ms(patience.ms()) <= now
        }
    }

    proptest! {
        #![proptest_config(cases::fixed(300))]

        #[test]
        fn a_table_does_what_a_plain_list_does(steps in steps()) {
            let (mut table, mut told, mut now) = (FlowTable::seeded(7), Told::default(), Tick(0));
            for step in steps {
                match step {
                    Step::Hear(client, ms) => {
                        let flow = match (told.take(client), table.find(&parties(client))) {
                            (Some((_, patience, _)), Some(id)) => {
                                table.hear(id, now);
                                (client, patience, now)
                            }
                            (None, None) => {
                                table.begin(parties(client), Patience::Open(ms), now, client);
                                (client, Patience::Open(ms), now)
                            }
                            differ => panic!("{differ:?}"),
                        };
                        told.0.push(flow);
                    }
                    Step::Change(client, over, ms) => {
                        let patience = if over { Patience::Over(ms) } else { Patience::Open(ms) };
                        if let Some(id) = table.find(&parties(client)) {
                            table.change(id, patience, now);
                            told.take(client);
                            told.0.push((client, patience, now));
                        }
                    }
                    Step::End(client) => {
                        let ended = table.find(&parties(client)).map(|id| table.end(id));
                        prop_assert_eq!(ended, told.take(client).map(|flow| flow.0));
                    }
                    Step::Wait(us) => now = Tick(now.0 + us),
                }
                prop_assert_eq!(table.len(), told.0.len());
                let over = |flow: &&(u8, Patience, Tick)| matches!(flow.1, Patience::Over(_));
                let heard = |id| table.flows[table.find(&table.parties(id)).unwrap().0 as usize].heard;
                let longest = told.0.iter().find(over).or(told.0.first());
                prop_assert_eq!(table.least_missed().map(heard), longest.map(|flow| flow.2));
                let expiry = told.0.iter().map(|flow| flow.2.after_ms(flow.1.ms())).min();
                prop_assert_eq!(table.next_expiry(), expiry);
                while let Some(id) = table.expired(now) {
                    let client = table.end(id);
                    let flow = told.take(client).unwrap();
                    prop_assert!(Told::is_expired(&flow, now));
                }
                prop_assert!(!told.0.iter().any(|flow| Told::is_expired(flow, now)));
            }
            let all = table.ids().count();
            prop_assert_eq!(all, told.0.len());
        }
    }
}
