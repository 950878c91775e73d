//! Memory for bytes on their way, lent to a task only while it has some, so that idle connections hold none.

use crate::socket::Socket;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Room for a head and what came with it.
const HEAD_BYTES: usize = 16 * 1024;
/// Room for what a client may send ahead on a stream of HTTP/2, as long as nobody has set it higher.
const STREAM_BYTES: usize = 64 * 1024;
/// Room for a body on its way, and for a head of any size that the limits allow.
pub(crate) const RELAY_BYTES: usize = 256 * 1024;
/// Buffers of each size that are kept for reuse, per thread.
const SPARE: usize = 64;

/// Which size a task asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Size {
    Head,
    Stream,
    Relay,
}

impl Size {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Head => HEAD_BYTES,
            Self::Stream => STREAM_BYTES,
            Self::Relay => RELAY_BYTES,
        }
    }
}

/// The spare buffers of one thread. The one given back last is lent first: it is still in the cache.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    head: RefCell<Vec<Box<[u8]>>>,
    stream: RefCell<Vec<Box<[u8]>>>,
    relay: RefCell<Vec<Box<[u8]>>>,
}

impl Buffers {
    fn shelf(&self, length: usize) -> &RefCell<Vec<Box<[u8]>>> {
        match length {
            HEAD_BYTES => &self.head,
            STREAM_BYTES => &self.stream,
            _ => &self.relay,
        }
    }

    fn lend(&self, size: Size) -> Box<[u8]> {
        let length = size.bytes();
        self.shelf(length).borrow_mut().pop().unwrap_or_else(|| vec![0; length].into_boxed_slice())
    }

    fn take_back(&self, bytes: Box<[u8]>) {
        let mut shelf = self.shelf(bytes.len()).borrow_mut();
        if shelf.len() < SPARE {
            shelf.push(bytes);
        }
    }
}

/// Bytes that were read and not yet used. Holds a buffer only while there are some.
#[derive(Debug)]
pub(crate) struct Input {
    buffers: Rc<Buffers>,
    lent: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn new(buffers: Rc<Buffers>) -> Self {
        Self { buffers, lent: None, start: 0, end: 0 }
    }

    /// Takes all of it, and leaves nothing.
    pub(crate) fn take(&mut self) -> Self {
        let nothing = Self::new(Rc::clone(&self.buffers));
        std::mem::replace(self, nothing)
    }

    /// Puts as many of `bytes` behind those there are as there is room for; returns how many.
    pub(crate) fn append(&mut self, size: Size, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while !left.is_empty() {
            self.make_room(size);
            let Some(lent) = &mut self.lent else { break };
            let count = left.len().min(lent.len() - self.end);
            if count == 0 {
                break;
            }
            lent[self.end..self.end + count].copy_from_slice(&left[..count]);
            self.end += count;
            left = &left[count..];
        }
        bytes.len() - left.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.lent.as_ref().map_or(&[], |lent| &lent[self.start..self.end])
    }

    /// Calls `look` as if the first `skipped` bytes were not there.
    pub(crate) fn behind<T>(&mut self, skipped: usize, look: impl FnOnce(&mut Self) -> T) -> T {
        self.start += skipped;
        let seen = look(self);
        self.start -= skipped;
        seen
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.lent.as_mut().map_or(&mut [], |lent| &mut lent[self.start..self.end])
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the first `count` bytes; gives the buffer back with the last one.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.is_empty() {
            self.release();
        }
    }

    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        if let Some(lent) = self.lent.take() {
            self.buffers.take_back(lent);
        }
    }

    /// Makes sure that there is room behind the bytes: a buffer, the larger buffer, or the front of the one there is.
    fn make_room(&mut self, size: Size) {
        let Some(lent) = &mut self.lent else {
            self.lent = Some(self.buffers.lend(size));
            return;
        };
        if self.end < lent.len() {
            return;
        }
        if self.start > 0 {
            lent.copy_within(self.start..self.end, 0);
        } else if lent.len() < RELAY_BYTES {
            let mut larger = self.buffers.lend(Size::Relay);
            larger[..self.end].copy_from_slice(lent);
            let smaller = std::mem::replace(lent, larger);
            self.buffers.take_back(smaller);
            return;
        }
        (self.start, self.end) = (0, self.end - self.start);
    }

    /// Reads once from `socket` behind the bytes there are. Ready with how many came; 0 is the end of the stream.
    ///
    /// The buffer holds [`RELAY_BYTES`] at most; a caller that never consumes has to stop before.
    pub(crate) fn poll_fill(
        &mut self,
        socket: &Socket,
        size: Size,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room(size);
        let Some(lent) = &mut self.lent else { return Poll::Ready(Ok(0)) };
        let read = socket.poll_read(cx, &mut lent[self.end..]);
        if let Poll::Ready(Ok(count)) = read {
            self.end += count;
        }
        if self.is_empty() {
            self.release();
        }
        read
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_without_bytes_holds_no_buffer() {
        let buffers = Rc::new(Buffers::default());
        let mut input = Input::new(Rc::clone(&buffers));
        input.make_room(Size::Head);
        input.end = 10;
        input.consume(10);
        assert!(input.lent.is_none());
        assert_eq!(buffers.head.borrow().len(), 1);
    }

    #[test]
    fn a_full_buffer_grows_and_keeps_its_bytes() {
        let mut input = Input::new(Rc::default());
        input.make_room(Size::Head);
        input.end = HEAD_BYTES;
        input.bytes_mut()[HEAD_BYTES - 1] = 7;
        input.make_room(Size::Head);
        assert_eq!(input.lent.as_ref().map(|lent| lent.len()), Some(RELAY_BYTES));
        assert_eq!(input.bytes()[HEAD_BYTES - 1], 7);
    }
}
