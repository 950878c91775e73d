//! Many datagrams by one system call: `recvmmsg` and `sendmmsg`, and trains of equal datagrams as one (GRO, GSO).
//!
//! All that is unsafe about UDP is in this file.

use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
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
/// For an address and a length, each with its header.
const CONTROL: usize = 96;

/// Room for control messages, aligned as they must be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

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

impl Batch {
    /// Takes address space for 4 MiB; memory only as it is used.
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; PLACES * STRIDE],
            names: vec![no_name(); PLACES],
            controls: vec![Control([0; CONTROL]); PLACES],
            parts: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; PLACES],
            heads: vec![no_head(); PLACES],
            came: Vec::with_capacity(PLACES),
            trains: Vec::with_capacity(PLACES),
            leaving: Vec::with_capacity(PLACES),
            leaving_controls: vec![Control([0; CONTROL]); PLACES],
        }
    }

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
        let told =
            read_control(&self.controls[place].0[..(head.msg_hdr.msg_controllen as usize).min(CONTROL)]);
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

/// Sends a train to whom the socket is connected, as one if that can be.
///
/// # Errors
/// Of the first datagram that could not be sent.
pub(crate) fn send_connected(socket: impl AsFd, datagram: Datagram<'_>) -> Result<(), Errno> {
    let plainly =
        |bytes: &[u8]| rustix::net::send(&socket, bytes, rustix::net::SendFlags::empty()).map(|_| ());
    let Some(segment) = datagram.segment else { return plainly(datagram.bytes) };
    match send_message(&socket, datagram.bytes, None, None, Some(segment)) {
        Err(Errno::INVAL | Errno::MSGSIZE | Errno::IO | Errno::OPNOTSUPP) => {
            datagram.each().try_for_each(plainly)
        }
        sent => sent,
    }
}

fn no_name() -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: 0,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    }
}

#[allow(unsafe_code)]
fn no_head() -> libc::mmsghdr {
    // SAFETY: all zeros is a message without name, bytes and control.
    unsafe { std::mem::zeroed() }
}

fn name_length() -> libc::socklen_t {
    size_of::<libc::sockaddr_in6>() as libc::socklen_t
}

fn name_length_of(address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(_) => size_of::<libc::sockaddr_in>() as libc::socklen_t,
        SocketAddr::V6(_) => name_length(),
    }
}

/// An address of either family, in the room of the larger one: family, port, and then each its own.
fn read_name(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    let port = u16::from_be(name.sin6_port);
    match i32::from(name.sin6_family) {
        // `sin_addr` lies where `sin6_flowinfo` does.
        libc::AF_INET => Some((Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes()), port).into()),
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, port, 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn write_name(address: SocketAddr) -> libc::sockaddr_in6 {
    let mut name = no_name();
    name.sin6_port = address.port().to_be();
    match address {
        SocketAddr::V4(v4) => {
            name.sin6_family = libc::AF_INET as libc::sa_family_t;
            name.sin6_flowinfo = u32::from_ne_bytes(v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            name.sin6_addr.s6_addr = v6.ip().octets();
            name.sin6_scope_id = v6.scope_id();
        }
    }
    name
}

#[derive(Default)]
struct Told {
    segment: Option<u16>,
    to: Option<IpAddr>,
}

const HEADER: usize = size_of::<libc::cmsghdr>();
/// Control messages begin at multiples of this.
const ALIGN: usize = size_of::<usize>();

/// Reads control messages from their bytes: a length, a level and a kind before each.
fn read_control(mut control: &[u8]) -> Told {
    let mut told = Told::default();
    while let Some(header) = control.get(..HEADER) {
        let number = |at: usize| i32::from_ne_bytes(header[at..at + 4].try_into().unwrap_or_default());
        let length = usize::from_ne_bytes(header[..ALIGN].try_into().unwrap_or_default());
        let Some(body) = control.get(HEADER..length) else { break };
        match (number(ALIGN), number(ALIGN + 4)) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if body.len() >= 12 => {
                // `ipi_spec_dst`, after an index: an address of ours even where many were sent to.
                let address: [u8; 4] = body[4..8].try_into().unwrap_or_default();
                told.to = Some(Ipv4Addr::from(address).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if body.len() >= 16 => {
                let address: [u8; 16] = body[..16].try_into().unwrap_or_default();
                told.to = Some(Ipv6Addr::from(address).into());
            }
            (libc::SOL_UDP, libc::UDP_GRO) if body.len() >= 4 => {
                let size = i32::from_ne_bytes(body[..4].try_into().unwrap_or_default());
                told.segment = u16::try_from(size).ok();
            }
            _ => {}
        }
        control = control.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    told
}

/// Writes the address to send from, and the length of a train's segments; how many bytes that takes.
fn write_control(control: &mut Control, from: Option<IpAddr>, segment: Option<u16>) -> usize {
    let mut at = 0;
    let mut write = |level: i32, kind: i32, body: &[u8]| {
        let length = HEADER + body.len();
        let bytes = &mut control.0[at..];
        bytes[..ALIGN].copy_from_slice(&length.to_ne_bytes());
        bytes[ALIGN..ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
        bytes[ALIGN + 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        bytes[HEADER..length].copy_from_slice(body);
        at += length.next_multiple_of(ALIGN);
    };
    match from {
        Some(IpAddr::V4(ip)) => {
            // An index of 0, and `ipi_spec_dst`.
            let mut body = [0; 12];
            body[4..8].copy_from_slice(&ip.octets());
            write(libc::IPPROTO_IP, libc::IP_PKTINFO, &body);
        }
        Some(IpAddr::V6(ip)) => {
            let mut body = [0; 20];
            body[..16].copy_from_slice(&ip.octets());
            write(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &body);
        }
        None => {}
    }
    if let Some(segment) = segment {
        write(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }
    at
}

#[allow(unsafe_code)]
fn receive_many(socket: impl AsFd, heads: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
    let count = heads.len() as libc::c_uint;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: every head points to a name, a part and control that live in the batch, which is borrowed with them.
    let taken = unsafe {
        libc::recvmmsg(socket, heads.as_mut_ptr(), count, libc::MSG_DONTWAIT as _, ptr::null_mut())
    };
    usize::try_from(taken).map_err(|_| last_error())
}

#[allow(unsafe_code)]
fn send_many(socket: &impl AsFd, heads: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
    let count = heads.len() as libc::c_uint;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: every head points to a name, parts and control that outlive the call; the system only reads them.
    let sent = unsafe { libc::sendmmsg(socket, heads.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).map_err(|_| last_error())
}

#[allow(unsafe_code)]
fn send_message(
    socket: &impl AsFd,
    bytes: &[u8],
    to: Option<SocketAddr>,
    from: Option<IpAddr>,
    segment: Option<u16>,
) -> Result<(), Errno> {
    let mut name = to.map(write_name);
    let mut control = Control([0; CONTROL]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut head = no_head().msg_hdr;
    if let (Some(name), Some(to)) = (&mut name, to) {
        (head.msg_name, head.msg_namelen) = ((&raw mut *name).cast(), name_length_of(to));
    }
    (head.msg_iov, head.msg_iovlen) = (&raw mut part, 1);
    let length = write_control(&mut control, from, segment);
    if length > 0 {
        (head.msg_control, head.msg_controllen) = (control.0.as_mut_ptr().cast(), length as _);
    }
    // SAFETY: name, part and control outlive the call, which only reads what they point to.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const head, libc::MSG_DONTWAIT) };
    if sent < 0 { Err(last_error()) } else { Ok(()) }
}

/// Has the socket tell where datagrams were sent to, and hand over trains of them as one.
pub(crate) fn tell_more(socket: impl AsFd, where_to: bool, is_ipv6: bool, trains: bool) {
    let socket = socket.as_fd().as_raw_fd();
    match (where_to, is_ipv6) {
        (true, true) => set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        (true, false) => set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO),
        (false, _) => {}
    }
    if trains {
        // Where the system cannot do that, datagrams come one by one.
        set(socket, libc::SOL_UDP, libc::UDP_GRO);
    }
}

#[allow(unsafe_code)]
fn set(socket: i32, level: libc::c_int, option: libc::c_int) {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the value is a `c_int` and lives through the call.
    unsafe { libc::setsockopt(socket, level, option, (&raw const on).cast(), size) };
}

/// Takes away to whom a datagram socket is connected, and with that its port.
#[allow(unsafe_code)]
pub(crate) fn disconnect(socket: impl AsFd) -> Result<(), Errno> {
    let mut name = no_name();
    name.sin6_family = libc::AF_UNSPEC as libc::sa_family_t;
    // SAFETY: the name is a whole one and lives through the call.
    let done = unsafe { libc::connect(socket.as_fd().as_raw_fd(), (&raw const name).cast(), name_length()) };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair() -> (UdpSocket, UdpSocket) {
        let one = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let other = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        one.connect(other.local_addr().expect("an address")).expect("a peer");
        (one, other)
    }

    fn address(socket: &UdpSocket) -> SocketAddr {
        socket.local_addr().expect("an address")
    }

    #[test]
    fn datagrams_come_whole_with_their_senders_empty_ones_and_the_longest_too() {
        let (sender, receiver) = pair();
        let longest = vec![7; 65_507];
        for bytes in [&b"one"[..], b"", &longest] {
            sender.send(bytes).expect("sent");
        }
        let mut batch = Batch::new();
        let places = batch.receive(&receiver, PLACES, true).expect("datagrams");
        let came: Vec<&[u8]> = places.map(|place| batch.at(place).bytes).collect();
        assert_eq!(came, [&b"one"[..], b"", &longest]);
        assert_eq!(batch.at(1).from, Some(address(&sender)));
        assert_eq!(batch.receive(&receiver, 1, true).unwrap_err(), Errno::AGAIN);
    }

    #[test]
    fn what_goes_the_same_way_goes_as_trains_and_arrives_as_it_was() {
        let (sender, receiver) = pair();
        let (client, balancer) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let sizes = [100, 100, 100, 40, 100, 0, 100, 2000, 2000];
        for (at, size) in sizes.iter().enumerate() {
            sender.send(&vec![at as u8; *size]).expect("sent");
        }
        let mut batch = Batch::new();
        let places = batch.receive(&receiver, PLACES, false).expect("datagrams");
        let trains = batch.gather(places);
        assert_eq!(trains, [0, 4, 5, 6, 7, 8], "equal ones, and a shorter one at the end");
        trains.iter().for_each(|place| batch.answer(*place, address(&client), None));
        assert_eq!(batch.flush(&balancer), Flushed { sent: 9, lost: 0 });
        let mut bytes = [0; 4096];
        for (at, size) in sizes.iter().enumerate() {
            let length = client.recv(&mut bytes).expect("a datagram");
            assert_eq!((length, bytes[..length].iter().all(|byte| *byte == at as u8)), (*size, true));
        }
    }

    #[test]
    fn datagrams_of_two_clients_make_no_train() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for client in [&clients[0], &clients[0], &clients[1], &clients[0]] {
            client.send_to(b"same", address(&receiver)).unwrap();
        }
        let mut batch = Batch::new();
        let places = batch.receive(&receiver, PLACES, true).expect("datagrams");
        let trains = batch.gather(places);
        assert_eq!(trains, [0, 2, 3]);
        assert_eq!((batch.at(0).count(), batch.at(0).bytes), (2, &b"samesame"[..]));
    }

    #[test]
    fn a_train_comes_as_one_and_goes_on_as_one_or_singly() {
        let (sender, receiver) = pair();
        tell_more(&receiver, false, false, true);
        let bytes: Vec<u8> = (0..250_u8).collect();
        send_connected(&sender, Datagram { segment: Some(100), ..Datagram::single(&bytes) })
            .expect("a train");
        let mut batch = Batch::new();
        let places = batch.receive(&receiver, PLACES, true).expect("a train");
        assert_eq!(places, 0..1);
        let train = batch.at(0);
        assert_eq!((train.segment, train.count()), (Some(100), 3));
        let sizes: Vec<usize> = train.each().map(<[u8]>::len).collect();
        assert_eq!(sizes, [100, 100, 50]);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        batch.answer(0, address(&client), None);
        assert_eq!(batch.flush(&receiver), Flushed { sent: 3, lost: 0 });
        let mut singly = Flushed::default();
        batch.send_singly(&&receiver, Leaving { place: 0, to: address(&client), from: None }, &mut singly);
        assert_eq!(singly, Flushed { sent: 3, lost: 0 });
        let mut into = [0; 300];
        let came: Vec<usize> = (0..6).map(|_| client.recv(&mut into).unwrap()).collect();
        assert_eq!(came, [100, 100, 50, 100, 100, 50]);
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        for (bind, asked) in [("0.0.0.0:0", "127.0.0.9"), ("[::]:0", "127.0.0.9"), ("[::]:0", "::1")] {
            let balancer = UdpSocket::bind(bind).unwrap();
            tell_more(&balancer, true, bind.starts_with('['), true);
            let asked: IpAddr = asked.parse().unwrap();
            let client = UdpSocket::bind((if asked.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).unwrap();
            client.connect((asked, address(&balancer).port())).unwrap();
            client.send(b"who").unwrap();
            let mut batch = Batch::new();
            batch.receive(&balancer, 1, true).expect("a datagram");
            let came = batch.at(0);
            let (from, to) = (came.from.expect("a sender"), came.to.expect("an address"));
            assert_eq!(to.to_canonical(), asked);
            batch.answer(0, from, Some(to));
            assert_eq!(batch.flush(&balancer).sent, 1, "{bind} {asked}");
            // A connected socket hears nobody else.
            assert_eq!(client.recv(&mut [0; 9]).unwrap(), 3);
        }
    }

    #[test]
    fn a_socket_that_is_used_again_has_another_port() {
        let (socket, peer) = pair();
        let before = address(&socket);
        let fresh = UdpSocket::from(std::os::fd::OwnedFd::from(
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap(),
        ));
        let mut ports = std::collections::HashSet::from([before.port()]);
        for _ in 0..5 {
            disconnect(&fresh).expect("disconnected");
            fresh.connect(address(&peer)).expect("connected");
            ports.insert(address(&fresh).port());
        }
        assert!(ports.len() > 3, "{ports:?}");
    }
}
