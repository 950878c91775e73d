//! Many datagrams by one system call: `recvmmsg` and `sendmmsg`, and trains of equal datagrams as one (GRO, GSO).
//!
//! `message.rs` has the system calls.

use crate::udp::message::{
    CONTROL, Control, name_length, name_length_of, no_head, no_name, read_control, read_name, receive_many,
    send_many, send_message, write_control, write_name,
};
use rustix::io::Errno;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;
use std::ptr;

/// Datagrams, or trains of them, that there is room for at a time.
pub(crate) const PLACES: usize = 64;
/// The longest datagram, and the longest train.
const LONGEST: usize = 65_536;
/// Not a power of two: the beginnings of all places would share a few lines of the cache.
const STRIDE: usize = LONGEST + 192;
/// Datagrams that the system takes as one train, and their length together.
const TRAIN: usize = 64;
const LONGEST_TRAIN: usize = 65_000;
/// Longer ones may not fit the way to the client, and then a train of them cannot be sent.
const LONGEST_IN_TRAIN: usize = 1452;

/// What came to one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) bytes: &'a [u8],
    /// The length of each datagram of a train but the last one, which may be shorter.
    pub(crate) segment: Option<u16>,
    /// Who sent it; `None` when the socket is connected.
    pub(crate) from: Option<SocketAddr>,
    /// Where it was sent to, where the socket tells.
    pub(crate) to: Option<IpAddr>,
}

impl<'a> Datagram<'a> {
    /// One that is no train.
    pub(crate) fn single(bytes: &'a [u8]) -> Self {
        Self { bytes, segment: None, from: None, to: None }
    }

    /// How many there are in the train; 1 when it is none.
    pub(crate) fn count(&self) -> u64 {
        self.segment.map_or(1, |segment| self.bytes.len().div_ceil(segment.into()).max(1) as u64)
    }

    /// Each for itself. An empty datagram is one, too.
    pub(crate) fn each(self) -> impl Iterator<Item = &'a [u8]> {
        let length = self.segment.map_or(LONGEST, usize::from);
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(length))
    }
}

/// What became of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flushed {
    pub(crate) sent: u64,
    /// The system had no room for them, or no way.
    pub(crate) lost: u64,
}

/// Places for datagrams, and a list of those that go to clients with the next [`Batch::flush`].
pub(crate) struct Batch {
    bytes: Vec<u8>,
    names: Vec<libc::sockaddr_in6>,
    controls: Vec<Control>,
    parts: Vec<libc::iovec>,
    heads: Vec<libc::mmsghdr>,
    came: Vec<Came>,
    /// Scratch of [`Batch::gather`].
    trains: Vec<usize>,
    leaving: Vec<Leaving>,
    /// Control messages of what leaves.
    leaving_controls: Vec<Control>,
}

/// What is known of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Came {
    length: usize,
    segment: Option<u16>,
    from: Option<SocketAddr>,
    to: Option<IpAddr>,
}

/// An answer on its way.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    place: usize,
    to: SocketAddr,
    from: Option<IpAddr>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("came", &self.came.len()).finish_non_exhaustive()
    }
}

impl Default for Batch {
    /// Takes address space for 4 MiB; memory only as it is used.
    fn default() -> Self {
        Self {
            bytes: vec![0; PLACES * STRIDE],
            names: vec![no_name(); PLACES],
            controls: vec![Control::empty(); PLACES],
            parts: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; PLACES],
            heads: vec![no_head(); PLACES],
            came: Vec::with_capacity(PLACES),
            trains: Vec::with_capacity(PLACES),
            leaving: Vec::with_capacity(PLACES),
            leaving_controls: vec![Control::empty(); PLACES],
        }
    }
}

impl Batch {
    /// Forgets what came. What leaves must be flushed before.
    pub(crate) fn clear(&mut self) {
        debug_assert!(self.leaving.is_empty(), "answers that were not sent");
        self.came.clear();
    }

    /// Places that are free.
    pub(crate) fn room(&self) -> usize {
        PLACES - self.came.len()
    }

    /// Takes up to `most` datagrams from a socket that does not block; the places that they are in. Fewer than `most`
    /// say that there were no more. `named`: the socket is not connected.
    ///
    /// # Errors
    /// As of `recvmmsg`: `AGAIN` when there is none, or an error that the socket has learnt of.
    pub(crate) fn receive(
        &mut self,
        socket: impl AsFd,
        most: usize,
        named: bool,
    ) -> Result<Range<usize>, Errno> {
        let (first, most) = (self.came.len(), most.min(self.room()));
        for place in first..first + most {
            self.prepare(place, named);
        }
        let taken = receive_many(socket, &mut self.heads[first..first + most])?;
        for place in first..first + taken {
            self.came.push(self.read(place, named));
        }
        Ok(first..first + taken)
    }

    fn prepare(&mut self, place: usize, named: bool) {
        let at = place * STRIDE;
        let bytes = &mut self.bytes[at..at + LONGEST];
        self.parts[place] = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: LONGEST };
        let head = &mut self.heads[place].msg_hdr;
        (head.msg_iov, head.msg_iovlen) = (&raw mut self.parts[place], 1);
        (head.msg_name, head.msg_namelen) =
            if named { ((&raw mut self.names[place]).cast(), name_length()) } else { (ptr::null_mut(), 0) };
        (head.msg_control, head.msg_controllen) = (self.controls[place].0.as_mut_ptr().cast(), CONTROL as _);
    }

    fn read(&self, place: usize, named: bool) -> Came {
        let head = &self.heads[place];
        let length = (head.msg_len as usize).min(LONGEST);
        let told = read_control(&self.controls[place].0[..head.msg_hdr.msg_controllen.min(CONTROL)]);
        Came {
            length,
            segment: told.segment.filter(|segment| usize::from(*segment) < length && *segment > 0),
            from: named.then(|| read_name(&self.names[place])).flatten(),
            to: told.to,
        }
    }

    /// What is in a place.
    pub(crate) fn at(&self, place: usize) -> Datagram<'_> {
        let Came { length, segment, from, to } = self.came[place];
        Datagram { bytes: &self.bytes[place * STRIDE..][..length], segment, from, to }
    }

    /// Makes trains of datagrams that follow each other, are of one length (the last may be shorter), and go the same way:
    /// the system takes a train as one. The places that are left, in order; to be given back to [`Batch::gathered`].
    pub(crate) fn gather(&mut self, places: Range<usize>) -> Vec<usize> {
        let mut trains = std::mem::take(&mut self.trains);
        trains.clear();
        // What the last train may take on, if it may: datagrams of this length or shorter.
        let mut open: Option<usize> = None;
        for place in places {
            let came = self.came[place];
            let single = came.segment.is_none() && (1..=LONGEST_IN_TRAIN).contains(&came.length);
            if let (Some(segment), Some(train)) = (open, trains.last().copied())
                && single
                && came.length <= segment
                && self.couple(train, place, segment)
            {
                open = open.filter(|segment| came.length == *segment);
                continue;
            }
            open = single.then_some(came.length);
            trains.push(place);
        }
        trains
    }

    /// See [`Batch::gather`].
    pub(crate) fn gathered(&mut self, trains: Vec<usize>) {
        self.trains = trains;
    }

    /// Puts what is in `place` behind the train, unless that goes another way or is long enough.
    fn couple(&mut self, train: usize, place: usize, segment: usize) -> bool {
        let (Came { length, from, to, .. }, last) = (self.came[train], self.came[place]);
        let fits = length < segment * TRAIN && length + last.length <= LONGEST_TRAIN;
        if !fits || from != last.from || to != last.to {
            return false;
        }
        let begin = place * STRIDE;
        self.bytes.copy_within(begin..begin + last.length, train * STRIDE + length);
        let train = &mut self.came[train];
        train.length += last.length;
        train.segment = u16::try_from(segment).ok();
        true
    }

    /// Leaves so many datagrams of a train, at least one.
    pub(crate) fn shorten(&mut self, place: usize, count: u64) {
        let came = &mut self.came[place];
        if let Some(segment) = came.segment {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            came.length = came.length.min(count.saturating_mul(segment.into()));
        }
    }

    /// What is in a place leaves for a client with the next flush, from this address of ours where one is given.
    pub(crate) fn answer(&mut self, place: usize, to: SocketAddr, from: Option<IpAddr>) {
        self.leaving.push(Leaving { place, to, from });
    }

    /// Sends what leaves.
    pub(crate) fn flush(&mut self, socket: impl AsFd) -> Flushed {
        let (mut flushed, mut done) = (Flushed::default(), 0);
        while done < self.leaving.len() {
            match self.send(&socket, done) {
                Ok(sent) => {
                    for leaving in &self.leaving[done..done + sent] {
                        flushed.sent += self.at(leaving.place).count();
                    }
                    done += sent;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => {
                    let lost = self.leaving[done..].iter().map(|leaving| self.at(leaving.place).count());
                    flushed.lost += lost.sum::<u64>();
                    break;
                }
                Err(_) => {
                    self.send_singly(&socket, self.leaving[done], &mut flushed);
                    done += 1;
                }
            }
        }
        self.leaving.clear();
        flushed
    }

    /// A train that the way to the client does not take as one.
    fn send_singly(&self, socket: &impl AsFd, train: Leaving, flushed: &mut Flushed) {
        for datagram in self.at(train.place).each() {
            match send_message(socket, datagram, Some(train.to), train.from, None) {
                Ok(()) => flushed.sent += 1,
                Err(_) => flushed.lost += 1,
            }
        }
    }

    /// Sends what leaves from `first` on: as much as the system takes, at least one.
    fn send(&mut self, socket: &impl AsFd, first: usize) -> Result<usize, Errno> {
        let leaving = &self.leaving[first..];
        for (at, Leaving { place, to, from }) in leaving.iter().enumerate() {
            let Came { length, segment, .. } = self.came[*place];
            let bytes = self.bytes[*place * STRIDE..][..length].as_mut_ptr().cast();
            self.parts[at] = libc::iovec { iov_base: bytes, iov_len: length };
            self.names[at] = write_name(*to);
            let control = &mut self.leaving_controls[at];
            let written = write_control(control, *from, segment);
            let head = &mut self.heads[at].msg_hdr;
            (head.msg_name, head.msg_namelen) = ((&raw mut self.names[at]).cast(), name_length_of(*to));
            (head.msg_iov, head.msg_iovlen) = (&raw mut self.parts[at], 1);
            (head.msg_control, head.msg_controllen) = if written > 0 {
                (control.0.as_mut_ptr().cast(), written as _)
            } else {
                (ptr::null_mut(), 0)
            };
        }
        send_many(socket, &mut self.heads[..leaving.len()])
    }
}

#[cfg(test)]
mod tests;
