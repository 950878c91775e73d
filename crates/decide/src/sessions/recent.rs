//! A map of sessions that knows which of them was used longest ago.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::quality::FixedState;

use crate::sessions::key::SessionKey;
use crate::time::Tick;

/// Sessions in the order of their use. Everything costs the same however many there are.
#[derive(Debug)]
pub(super) struct Recent {
    places: HashMap<SessionKey, u32, FixedState>,
    /// Without gaps; linked from the newest to the oldest and back.
    sessions: Vec<Session>,
    newest: u32,
    oldest: u32,
}

/// One session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) key: SessionKey,
    pub(super) endpoint: Arc<str>,
    pub(super) used: Tick,
    newer: u32,
    older: u32,
}

/// There is none.
const NONE: u32 = u32::MAX;

impl Recent {
    /// `seed` should not be known to clients: those that know it could choose keys that fall on one place of the map.
    pub(super) fn new(seed: u64) -> Self {
        let places = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { places, sessions: Vec::new(), newest: NONE, oldest: NONE }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The one that was used longest ago.
    pub(super) fn oldest(&self) -> Option<&Session> {
        self.sessions.get(self.oldest as usize)
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> &[Session] {
        &self.sessions
    }

    /// The session of this key. It does not count as used by that.
    pub(super) fn find(&self, key: SessionKey) -> Option<&Session> {
        self.places.get(&key).map(|place| &self.sessions[*place as usize])
    }

    /// The session of this key, which is now the newest.
    pub(super) fn touch(&mut self, key: SessionKey, now: Tick) -> Option<&mut Session> {
        let place = *self.places.get(&key)?;
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
        let session = &mut self.sessions[place as usize];
        // Another thread's clock may be a little ahead.
        session.used = session.used.max(now);
        Some(session)
    }

    /// Puts the session on this endpoint, as the newest.
    ///
    /// # Panics
    /// When there are as many sessions as `u32` can count.
    pub(super) fn put(&mut self, key: SessionKey, endpoint: Arc<str>, now: Tick) {
        if let Some(known) = self.touch(key, now) {
            known.endpoint = endpoint;
            return;
        }
        let place = u32::try_from(self.sessions.len()).ok().filter(|place| *place != NONE);
        let place = place.expect("whoever puts sessions in bounds their number");
        self.sessions.push(Session { key, endpoint, used: now, newer: NONE, older: NONE });
        self.places.insert(key, place);
        self.link(place);
    }

    /// Forgets the session of this key; whether there was one.
    pub(super) fn remove(&mut self, key: SessionKey) -> bool {
        let Some(place) = self.places.remove(&key) else { return false };
        self.unlink(place);
        self.sessions.swap_remove(place as usize);
        if let Some(moved) = self.sessions.get(place as usize) {
            // The last one has taken its place: whoever pointed to it follows.
            let Session { key, newer, older, .. } = *moved;
            self.places.insert(key, place);
            self.point(newer, older, place, place);
        }
        true
    }

    /// Takes a session out of the order.
    fn unlink(&mut self, place: u32) {
        let Session { newer, older, .. } = self.sessions[place as usize];
        self.point(newer, older, older, newer);
    }

    /// Makes a session that is not in the order the newest.
    fn link(&mut self, place: u32) {
        let older = self.newest;
        let session = &mut self.sessions[place as usize];
        (session.newer, session.older) = (NONE, older);
        self.point(NONE, older, place, place);
    }

    /// What follows `newer` becomes `next`, and what goes before `older` becomes `previous`.
    fn point(&mut self, newer: u32, older: u32, next: u32, previous: u32) {
        match self.sessions.get_mut(newer as usize) {
            Some(session) => session.older = next,
            None => self.newest = next,
        }
        match self.sessions.get_mut(older as usize) {
            Some(session) => session.newer = previous,
            None => self.oldest = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Recent;
    use crate::cases;
    use crate::sessions::key::SessionKey;
    use crate::time::Tick;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Put(u8),
        Touch(u8),
        Remove(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..12).prop_map(Step::Put),
            (0_u8..12).prop_map(Step::Touch),
            (0_u8..12).prop_map(Step::Remove),
        ]
    }

    fn key(number: u8) -> SessionKey {
        SessionKey::of("p", &[number])
    }

    /// From the oldest to the newest, as the links say, forth and back.
    fn order(recent: &Recent) -> Vec<(SessionKey, String, Tick)> {
        let mut order = Vec::new();
        let mut at = recent.oldest;
        let mut before = super::NONE;
        while let Some(session) = recent.sessions.get(at as usize) {
            assert_eq!(session.older, before);
            order.push((session.key, session.endpoint.to_string(), session.used));
            (before, at) = (at, session.newer);
        }
        assert_eq!(recent.newest, before);
        order
    }

    proptest! {
        #![proptest_config(cases::fixed(500))]

        #[test]
        fn sessions_stand_in_the_order_of_their_use(steps in prop::collection::vec(step(), 0..60)) {
            let mut recent = Recent::new(1);
            let mut model: Vec<(SessionKey, String, Tick)> = Vec::new();
            for (time, step) in (0..).map(Tick).zip(steps) {
                let (Step::Put(number) | Step::Touch(number) | Step::Remove(number)) = step;
                let key = key(number);
                let known = model.iter().position(|(it, ..)| *it == key).map(|at| model.remove(at));
                prop_assert_eq!(recent.find(key).is_some(), known.is_some());
                match step {
                    Step::Put(_) => {
                        recent.put(key, time.0.to_string().into(), time);
                        model.push((key, time.0.to_string(), time));
                    }
                    Step::Touch(_) => {
                        prop_assert_eq!(recent.touch(key, time).is_some(), known.is_some());
                        model.extend(known.map(|(key, endpoint, _)| (key, endpoint, time)));
                    }
                    Step::Remove(_) => prop_assert_eq!(recent.remove(key), known.is_some()),
                }
                prop_assert_eq!(&order(&recent), &model);
                prop_assert_eq!(recent.len(), model.len());
                prop_assert_eq!(recent.oldest().map(|it| it.key), model.first().map(|it| it.0));
            }
        }
    }
}
