//! How far a connection may be ahead of its peer: what was read for its streams, and the peer has not taken yet.
//!
//! Each stream has a small step of its own, so that none waits for what another one's reader leaves lying. Large steps
//! are lent: to few streams at a time, and to those alone whose reader has shown that it takes what it is sent.

/// Large steps that are lent at a time.
const LOANS: usize = 3;
/// What a reader takes before a large step is lent for it.
const EARNED: u64 = 64 * 1024;
/// Payload that is framed, or is to be, and has not gone out. Whoever has a window for it waits for the same socket.
const UNSENT: usize = 256 * 1024;

/// What one connection is ahead by.
#[derive(Debug, Default)]
pub struct Ahead {
    lent: usize,
    unsent: usize,
}

impl Ahead {
    /// Lends a large step to a stream whose reader has taken so many bytes, if it may have one now. It has to be given
    /// back.
    pub fn lend(&mut self, taken: u64) -> bool {
        let may = taken >= EARNED && self.lent < LOANS;
        self.lent += usize::from(may);
        may
    }

    /// A large step is not needed any more.
    pub fn give_back(&mut self) {
        self.lent = self.lent.saturating_sub(1);
    }

    /// How much payload may be framed now.
    pub fn room(&self) -> usize {
        UNSENT.saturating_sub(self.unsent)
    }

    /// So much payload is to go out.
    pub fn framed(&mut self, bytes: usize) {
        self.unsent += bytes;
    }

    /// So much of it has gone out, or never will. True when there is room again, and was none.
    pub fn gone(&mut self, bytes: usize) -> bool {
        let was_full = self.room() == 0;
        self.unsent = self.unsent.saturating_sub(bytes);
        was_full && self.room() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_step_is_earned_and_few_have_one_at_a_time() {
        let mut ahead = Ahead::default();
        assert!(!ahead.lend(EARNED - 1));
        assert_eq!((0..10).filter(|_| ahead.lend(EARNED)).count(), LOANS);
        ahead.give_back();
        assert!(ahead.lend(EARNED));
        assert!(!ahead.lend(u64::MAX));
    }

    #[test]
    fn whoever_waits_for_room_is_told_of_it_once() {
        let mut ahead = Ahead::default();
        ahead.framed(UNSENT - 10);
        assert_eq!(ahead.room(), 10);
        assert!(!ahead.gone(5), "nobody had to wait");
        ahead.framed(15);
        assert_eq!(ahead.room(), 0);
        assert!(ahead.gone(1));
        assert!(!ahead.gone(1));
        assert_eq!(ahead.room(), 2);
    }
}
