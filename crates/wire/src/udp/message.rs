//! One system call for many datagrams, and what is said beside them: addresses, and the lengths of trains.
//!
//! All that is unsafe about UDP is in this file.

use crate::udp::batch::Datagram;
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// For an address and a length, each with its header.
pub(super) const CONTROL: usize = 96;

/// Room for control messages, aligned as they must be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control(pub(super) [u8; CONTROL]);

impl Control {
    pub(super) fn empty() -> Self {
        Self([0; CONTROL])
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

pub(super) fn no_name() -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: 0,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
        sin6_scope_id: 0,
    }
}

#[allow(unsafe_code)]
pub(super) fn no_head() -> libc::mmsghdr {
    // SAFETY: all zeros is a message without name, bytes and control.
    unsafe { std::mem::zeroed() }
}

pub(super) fn name_length() -> libc::socklen_t {
    size_of::<libc::sockaddr_in6>() as libc::socklen_t
}

pub(super) fn name_length_of(address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(_) => size_of::<libc::sockaddr_in>() as libc::socklen_t,
        SocketAddr::V6(_) => name_length(),
    }
}

/// An address of either family, in the room of the larger one: family, port, and then each its own.
pub(super) fn read_name(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
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

pub(super) fn write_name(address: SocketAddr) -> libc::sockaddr_in6 {
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

/// What a control message tells.
#[derive(Default)]
pub(super) struct Told {
    pub(super) segment: Option<u16>,
    pub(super) to: Option<IpAddr>,
}

const HEADER: usize = size_of::<libc::cmsghdr>();
/// Control messages begin at multiples of this.
const ALIGN: usize = size_of::<usize>();

/// Reads control messages from their bytes: a length, a level and a kind before each.
pub(super) fn read_control(mut control: &[u8]) -> Told {
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
pub(super) fn write_control(control: &mut Control, from: Option<IpAddr>, segment: Option<u16>) -> usize {
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
pub(super) fn receive_many(socket: impl AsFd, heads: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
    let count = heads.len() as libc::c_uint;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: every head points to a name, a part and control that live in the batch, which is borrowed with them.
    let taken = unsafe {
        libc::recvmmsg(socket, heads.as_mut_ptr(), count, libc::MSG_DONTWAIT as _, ptr::null_mut())
    };
    usize::try_from(taken).map_err(|_| last_error())
}

#[allow(unsafe_code)]
pub(super) fn send_many(socket: &impl AsFd, heads: &mut [libc::mmsghdr]) -> Result<usize, Errno> {
    let count = heads.len() as libc::c_uint;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: every head points to a name, parts and control that outlive the call; the system only reads them.
    let sent = unsafe { libc::sendmmsg(socket, heads.as_mut_ptr(), count, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).map_err(|_| last_error())
}

#[allow(unsafe_code)]
pub(super) fn send_message(
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
