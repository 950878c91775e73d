//! What the streams of one client connection share: how far all of them together may be ahead of the client.

use bascule_decide::http2::Ahead;
use bytes::{Buf, Bytes};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// Of one connection.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    ahead: RefCell<Ahead>,
    /// Streams that have payload, a window for it, and no room.
    waiting: RefCell<Vec<Waker>>,
}

/// The part of one stream.
#[derive(Debug)]
pub(crate) struct Share {
    shared: Rc<Shared>,
    taken: Cell<u64>,
    has_loan: Cell<bool>,
}

impl Share {
    pub(crate) fn of(shared: &Rc<Shared>) -> Self {
        Self { shared: Rc::clone(shared), taken: Cell::new(0), has_loan: Cell::new(false) }
    }

    /// Whether a large step may be read for this stream now; then it has it until it is given back.
    pub(crate) fn borrow_step(&self) -> bool {
        let has = self.has_loan.get() || self.shared.ahead.borrow_mut().lend(self.taken.get());
        self.has_loan.set(has);
        has
    }

    /// Nothing that was read for this stream is left.
    pub(crate) fn give_back(&self) {
        if self.has_loan.take() {
            self.shared.ahead.borrow_mut().give_back();
        }
    }

    /// How much payload may be framed now.
    pub(crate) fn room(&self) -> usize {
        self.shared.ahead.borrow().room()
    }

    /// Wakes the task when there may be room again.
    pub(crate) fn wake_when_room(&self, cx: &Context<'_>) {
        self.shared.waiting.borrow_mut().push(cx.waker().clone());
    }

    /// These bytes as payload that counts until it has gone out.
    pub(crate) fn payload(&self, bytes: &[u8]) -> Payload {
        self.taken.set(self.taken.get() + bytes.len() as u64);
        self.shared.ahead.borrow_mut().framed(bytes.len());
        let counted = Some((Rc::clone(&self.shared), bytes.len()));
        Payload { bytes: Bytes::copy_from_slice(bytes), counted }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What `h2` puts into DATA frames. Dropped as soon as it has.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Bytes,
    counted: Option<(Rc<Shared>, usize)>,
}

impl Payload {
    /// Payload that nobody counts.
    pub(crate) fn free(bytes: &[u8]) -> Self {
        Self { bytes: Bytes::copy_from_slice(bytes), counted: None }
    }

    pub(crate) fn none() -> Self {
        Self { bytes: Bytes::new(), counted: None }
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        if let Some((shared, bytes)) = &self.counted
            && shared.ahead.borrow_mut().gone(*bytes)
        {
            shared.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_ends_gives_its_large_step_back() {
        let shared = Rc::default();
        let fast = |_| {
            let share = Share::of(&shared);
            drop(share.payload(&[0; 64 * 1024]));
            share
        };
        let streams: Vec<Share> = (0..10).map(fast).collect();
        let lent = streams.iter().filter(|stream| stream.borrow_step()).count();
        assert!(0 < lent && lent < 10);
        assert!(!fast(0).borrow_step());
        drop(streams);
        let again = fast(0);
        assert!(again.borrow_step() && again.borrow_step());
        again.give_back();
        assert_eq!(
            (0..10).map(fast).collect::<Vec<_>>().iter().filter(|one| one.borrow_step()).count(),
            lent
        );
    }

    #[test]
    fn what_has_gone_out_makes_room_and_wakes_who_waits() {
        let shared = Rc::default();
        let share = Share::of(&shared);
        let mut framed = Vec::new();
        while share.room() > 0 {
            framed.push(share.payload(&vec![0; share.room().min(16 * 1024)]));
        }
        share.wake_when_room(&Context::from_waker(Waker::noop()));
        framed.pop();
        assert_eq!(share.room(), 16 * 1024);
        assert!(shared.waiting.borrow().is_empty());
    }
}
