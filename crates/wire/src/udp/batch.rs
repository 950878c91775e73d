//! Many datagrams by one system call: `recvmmsg` and `sendmmsg`, and trains of equal datagrams as one (GRO, GSO).
//!
//! All that is unsafe about UDP is in this file.

use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// Datagrams, or trains of them, that there is room for at a time.
pub(crate) const PLACES: usize = 64;
/// The longest datagram, and the longest train.
const LONGEST: usize = 65_536;
/// Not a power of two: the beginnings of all places would share a few lines of the cache.
const STRIDE: usize = LONGEST + 192;
/// Datagrams that the system takes as one train.
const TRAIN: usize = 64;
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
    pub(crate) bytes: u64,
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
    /// Places in use.
    filled: usize,
    leaving: Vec<Leaving>,
    /// Scratch for [`Batch::flush`].
    out_parts: Vec<libc::iovec>,
    out_names: Vec<libc::sockaddr_in6>,
    out_controls: Vec<Control>,
}

/// An answer on its way: places `first` and the `places - 1` after it.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    first: usize,
    places: usize,
    to: SocketAddr,
    from: Option<IpAddr>,
    segment: Option<u16>,
    count: u64,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("filled", &self.filled).finish_non_exhaustive()
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
            filled: 0,
            leaving: Vec::with_capacity(PLACES),
            out_parts: Vec::with_capacity(PLACES),
            out_names: Vec::with_capacity(PLACES),
            out_controls: Vec::with_capacity(PLACES),
        }
    }

    /// Forgets what came. What leaves must be flushed before.
    pub(crate) fn clear(&mut self) {
        debug_assert!(self.leaving.is_empty(), "answers that were not sent");
        self.filled = 0;
    }

    /// Places that are free.
    pub(crate) fn room(&self) -> usize {
        PLACES - self.filled
    }

    /// Takes up to `most` datagrams from a socket that does not block; the places that they are in. Fewer than `most`
    /// say that there were no more.
    ///
    /// # Errors
    /// As of `recvmmsg`: `AGAIN` when there is none, or an error that the socket has learnt of.
    pub(crate) fn receive(
        &mut self,
        socket: impl AsFd,
        most: usize,
        named: bool,
    ) -> Result<std::ops::Range<usize>, Errno> {
        let (first, most) = (self.filled, most.min(self.room()));
        for place in first..first + most {
            self.prepare(place, named);
        }
        let taken = receive_many(socket, &mut self.heads[first..first + most])?;
        self.filled += taken;
        Ok(first..self.filled)
    }

    fn prepare(&mut self, place: usize, named: bool) {
        let at = place * STRIDE;
        let bytes = &mut self.bytes[at..at + LONGEST];
        self.parts[place] = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: LONGEST };
        let head = &mut self.heads[place].msg_hdr;
        head.msg_iov = &raw mut self.parts[place];
        head.msg_iovlen = 1;
        (head.msg_name, head.msg_namelen) = if named {
            ((&raw mut self.names[place]).cast(), name_length())
        } else {
            (ptr::null_mut(), 0)
        };
        head.msg_control = self.controls[place].0.as_mut_ptr().cast();
        head.msg_controllen = CONTROL as _;
        head.msg_flags = 0;
    }

    /// What is in a place.
    pub(crate) fn at(&self, place: usize) -> Datagram<'_> {
        let head = &self.heads[place];
        let control = &self.controls[place].0[..(head.msg_hdr.msg_controllen as usize).min(CONTROL)];
        let told = read_control(control);
        let length = (head.msg_len as usize).min(LONGEST);
        Datagram {
            bytes: &self.bytes[place * STRIDE..][..length],
            segment: told.segment.filter(|segment| usize::from(*segment) < length && *segment > 0),
            from: (!head.msg_hdr.msg_name.is_null()).then(|| read_name(&self.names[place])).flatten(),
            to: told.to,
        }
    }

    /// What is in a place leaves for a client with the next flush, from this address of ours where one is given.
    pub(crate) fn answer(&mut self, place: usize, to: SocketAddr, from: Option<IpAddr>) {
        let datagram = self.at(place);
        let (length, segment, count) = (datagram.bytes.len(), datagram.segment, datagram.count());
        if let Some(last) = self.leaving.last_mut()
            && last.to == to
            && last.from == from
            && last.first + last.places == place
            && segment.is_none()
            && let Some(train) = joins(last, length, &self.heads)
        {
            last.segment = Some(train);
            last.places += 1;
            last.count += 1;
            return;
        }
        self.leaving.push(Leaving { first: place, places: 1, to, from, segment, count });
    }

    /// Sends what leaves.
    pub(crate) fn flush(&mut self, socket: impl AsFd) -> Flushed {
        let mut flushed = Flushed::default();
        let leaving = std::mem::take(&mut self.leaving);
        let mut done = 0;
        while done < leaving.len() {
            let rest = &leaving[done..];
            match self.send(&socket, rest) {
                Ok(sent) => {
                    rest[..sent].iter().for_each(|one| self.count(one, &mut flushed));
                    done += sent;
                }
                Err(Errno::AGAIN | Errno::NOBUFS) => {
                    flushed.lost += rest.iter().map(|one| one.count).sum::<u64>();
                    break;
                }
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.send_singly(&socket, rest[0], &mut flushed);
                    done += 1;
                }
            }
        }
        self.leaving = leaving;
        self.leaving.clear();
        flushed
    }

    fn count(&self, one: &Leaving, flushed: &mut Flushed) {
        flushed.sent += one.count;
        flushed.bytes += self.length(one);
    }

    fn length(&self, one: &Leaving) -> u64 {
        self.heads[one.first..one.first + one.places].iter().map(|head| u64::from(head.msg_len)).sum()
    }

    /// A train that the way to the client does not take as one.
    fn send_singly(&mut self, socket: &impl AsFd, train: Leaving, flushed: &mut Flushed) {
        for place in train.first..train.first + train.places {
            let (bytes, segment) = (self.at(place).bytes.len(), train.segment);
            let datagram = Datagram { segment: segment.filter(|_| train.places == 1), ..self.at(place) };
            let sizes: Vec<usize> = datagram.each().map(<[u8]>::len).collect();
            let mut at = place * STRIDE;
            debug_assert_eq!(sizes.iter().sum::<usize>(), bytes);
            for size in sizes {
                let part = &self.bytes[at..at + size];
                match send_to(socket, part, train.to, train.from) {
                    Ok(()) => {
                        flushed.sent += 1;
                        flushed.bytes += size as u64;
                    }
                    Err(_) => flushed.lost += 1,
                }
                at += size;
            }
        }
    }

    /// As many as the system takes, at least one.
    fn send(&mut self, socket: &impl AsFd, leaving: &[Leaving]) -> Result<usize, Errno> {
        self.out_parts.clear();
        self.out_names.clear();
        self.out_controls.clear();
        for one in leaving {
            for place in one.first..one.first + one.places {
                let length = self.heads[place].msg_len as usize;
                let bytes = self.bytes[place * STRIDE..][..length].as_mut_ptr().cast();
                self.out_parts.push(libc::iovec { iov_base: bytes, iov_len: length });
            }
            self.out_names.push(write_name(one.to));
            self.out_controls.push(Control([0; CONTROL]));
        }
        let mut heads = [no_head(); PLACES];
        let mut part = 0;
        for (at, one) in leaving.iter().enumerate().take(PLACES) {
            let head = &mut heads[at].msg_hdr;
            head.msg_name = (&raw mut self.out_names[at]).cast();
            head.msg_namelen = name_length_of(one.to);
            head.msg_iov = &raw mut self.out_parts[part];
            head.msg_iovlen = one.places as _;
            part += one.places;
            let control = &mut self.out_controls[at];
            let length = write_control(control, one.from, one.segment);
            if length > 0 {
                head.msg_control = control.0.as_mut_ptr().cast();
                head.msg_controllen = length as _;
            }
        }
        send_many(socket, &mut heads[..leaving.len().min(PLACES)])
    }
}

/// The length of the segments of a train that a datagram of this length may join.
fn joins(train: &Leaving, length: usize, heads: &[libc::mmsghdr]) -> Option<u16> {
    let of = |place: usize| heads[place].msg_len as usize;
    let segment = train.segment.map_or_else(|| of(train.first), usize::from);
    let fits = (1..=LONGEST_IN_TRAIN).contains(&segment)
        && (1..=segment).contains(&length)
        && train.places < TRAIN
        // Only the last one may be shorter, and a train that came as one place is left as it is.
        && of(train.first + train.places - 1) == segment;
    fits.then(|| u16::try_from(segment).ok()).flatten()
}

/// Sends a train to whom the socket is connected, as one if that can be.
///
/// # Errors
/// Of the first datagram that could not be sent.
pub(crate) fn send_connected(socket: impl AsFd, datagram: Datagram<'_>) -> Result<(), Errno> {
    let plainly = |bytes: &[u8]| {
        rustix::net::send(&socket, bytes, rustix::net::SendFlags::empty()).map(|_| ())
    };
    let Some(segment) = datagram.segment else { return plainly(datagram.bytes) };
    match send_train(&socket, datagram.bytes, segment) {
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
        let number = |at: usize| {
            i32::from_ne_bytes(header[at..at + 4].try_into().unwrap_or_default())
        };
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

fn send_to(socket: &impl AsFd, bytes: &[u8], to: SocketAddr, from: Option<IpAddr>) -> Result<(), Errno> {
    send_message(socket, bytes, Some(to), from, None)
}

fn send_train(socket: &impl AsFd, bytes: &[u8], segment: u16) -> Result<(), Errno> {
    send_message(socket, bytes, None, None, Some(segment))
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
    let done = unsafe {
        libc::connect(socket.as_fd().as_raw_fd(), (&raw const name).cast(), name_length())
    };
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
    fn answers_reach_their_clients_in_order_also_those_that_go_as_a_train() {
        let (sender, receiver) = pair();
        let (client, balancer) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let sizes = [100, 100, 100, 40, 100, 0, 100, 2000, 2000];
        for (at, size) in sizes.iter().enumerate() {
            sender.send(&vec![at as u8; *size]).expect("sent");
        }
        let mut batch = Batch::new();
        for place in batch.receive(&receiver, PLACES, false).expect("datagrams") {
            batch.answer(place, address(&client), None);
        }
        let trains: Vec<usize> = batch.leaving.iter().map(|one| one.places).collect();
        assert_eq!(trains, [4, 1, 1, 1, 1, 1], "equal ones, and a shorter one at the end");
        let flushed = batch.flush(&balancer);
        assert_eq!(flushed, Flushed { sent: 9, bytes: 4540, lost: 0 });
        let mut bytes = [0; 4096];
        for (at, size) in sizes.iter().enumerate() {
            let length = client.recv(&mut bytes).expect("a datagram");
            assert_eq!((length, bytes[..length].iter().all(|byte| *byte == at as u8)), (*size, true));
        }
    }

    #[test]
    fn a_train_comes_as_one_and_goes_on_as_one_or_singly() {
        let (sender, receiver) = pair();
        tell_more(&receiver, false, false, true);
        let bytes: Vec<u8> = (0..250_u8).collect();
        send_train(&sender, &bytes, 100).expect("a train");
        let mut batch = Batch::new();
        let places = batch.receive(&receiver, PLACES, true).expect("a train");
        assert_eq!(places, 0..1);
        let train = batch.at(0);
        assert_eq!((train.segment, train.count()), (Some(100), 3));
        let sizes: Vec<usize> = train.each().map(<[u8]>::len).collect();
        assert_eq!(sizes, [100, 100, 50]);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        batch.answer(0, address(&client), None);
        assert_eq!(batch.flush(&receiver), Flushed { sent: 3, bytes: 250, lost: 0 });
        let leaving = Leaving { first: 0, places: 1, to: address(&client), from: None, segment: Some(100), count: 3 };
        let mut singly = Flushed::default();
        batch.send_singly(&&receiver, leaving, &mut singly);
        assert_eq!(singly, Flushed { sent: 3, bytes: 250, lost: 0 });
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
        let fresh = UdpSocket::from(std::os::fd::OwnedFd::from(socket2::Socket::new(
            socket2::Domain::IPV4,
            socket2::Type::DGRAM,
            None,
        ).unwrap()));
        let mut ports = std::collections::HashSet::from([before.port()]);
        for _ in 0..5 {
            disconnect(&fresh).expect("disconnected");
            fresh.connect(address(&peer)).expect("connected");
            ports.insert(address(&fresh).port());
        }
        assert!(ports.len() > 3, "{ports:?}");
    }
}
