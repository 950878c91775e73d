//! The pool of replies: the latest of a few endpoints.

use crate::balance::Slot;
use crate::time::Tick;

/// Replies that are kept (the paper's m).
pub(super) const MOST: usize = 16;

/// What is known of an endpoint from a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) slot: Slot,
    /// Then, and those that were sent there because of this reply.
    pub(super) in_flight: u32,
    pub(super) latency_us: Option<u64>,
    pub(super) at: Tick,
    pub(super) uses: u32,
}

/// At most [`MOST`], one of each endpoint.
pub(super) struct Replies(Vec<Reply>);

impl Default for Replies {
    fn default() -> Self {
        Self(Vec::with_capacity(MOST))
    }
}

impl Replies {
    /// Keeps a reply in place of an earlier one of the endpoint, or else of the oldest when there are too many.
    pub(super) fn put(&mut self, reply: Reply, candidates: usize) {
        let Self(replies) = self;
        let same = replies.iter().position(|it| it.slot == reply.slot);
        let is_full = replies.len() >= MOST.min(candidates.max(1));
        let oldest = || replies.iter().enumerate().min_by_key(|(_, it)| it.at).map(|(at, _)| at);
        match same.or_else(|| if is_full { oldest() } else { None }) {
            Some(at) => replies[at] = reply,
            None => replies.push(reply),
        }
    }

    /// Forgets those that are older.
    pub(super) fn expire(&mut self, now: Tick, oldest_us: u64) {
        self.0.retain(|reply| now.since(reply.at) <= oldest_us);
    }

    /// All, with their positions.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &Reply)> {
        self.0.iter().enumerate()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sends a request to the endpoint of the reply at this position; the reply leaves after so many uses.
    pub(super) fn use_one(&mut self, at: usize, most: u32) -> Slot {
        let reply = &mut self.0[at];
        reply.in_flight = reply.in_flight.saturating_add(1);
        reply.uses += 1;
        let Reply { slot, uses, .. } = *reply;
        if uses >= most {
            self.remove(at);
        }
        slot
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.0.swap_remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Replies, Reply};
    use crate::balance::Slot;
    use crate::time::Tick;

    fn reply(slot: u32, at: u64) -> Reply {
        Reply { slot: Slot(slot), in_flight: 0, latency_us: None, at: Tick(at), uses: 0 }
    }

    fn slots(replies: &Replies) -> Vec<u32> {
        let mut slots: Vec<u32> = replies.all().map(|(_, reply)| reply.slot.0).collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn an_endpoint_has_one_reply_and_the_oldest_makes_room() {
        let mut replies = Replies::default();
        (0..MOST as u32).for_each(|slot| replies.put(reply(slot, u64::from(10 + slot)), 100));
        replies.put(reply(0, 50), 100);
        assert_eq!(replies.len(), MOST);
        replies.put(reply(99, 51), 100);
        assert_eq!(slots(&replies), [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 99]);
    }

    #[test]
    fn a_reply_counts_its_uses_and_leaves_after_the_last() {
        let mut replies = Replies::default();
        replies.put(reply(7, 1), 100);
        assert_eq!(replies.use_one(0, 2), Slot(7));
        assert_eq!(replies.all().map(|(_, reply)| reply.in_flight).collect::<Vec<_>>(), [1]);
        assert_eq!(replies.use_one(0, 2), Slot(7));
        assert_eq!(replies.len(), 0);
    }

    #[test]
    fn old_replies_are_forgotten() {
        let mut replies = Replies::default();
        [5, 900, 1_000].into_iter().zip(0..).for_each(|(at, slot)| replies.put(reply(slot, at), 100));
        replies.expire(Tick(1_500), 600);
        assert_eq!(slots(&replies), [1, 2]);
    }
}
