//! Connections to endpoints that come from the client's address, as far as the endpoint can see.

use bascule_contract::snapshot::Snapshot;
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

/// `IP_BIND_ADDRESS_NO_PORT` of linux/in.h.
const BIND_ADDRESS_NO_PORT: libc::c_int = 24;

/// Has a socket to `endpoint`, not connected yet, come from `client`. Its port is the system's choice.
///
/// # Errors
/// `InvalidInput`: the client's address is of another family than the endpoint's. `PermissionDenied`: the process may not
/// speak for others.
pub(crate) fn come_from(socket: &Socket, client: IpAddr, endpoint: IpAddr) -> io::Result<()> {
    if client.is_ipv4() != endpoint.is_ipv4() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    allow(socket, client.is_ipv4())?;
    choose_port_late(socket);
    socket.bind(&SockAddr::from(SocketAddr::new(client, 0)))
}

fn allow(socket: &Socket, is_ipv4: bool) -> io::Result<()> {
    if is_ipv4 { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) }
}

/// With the destination: otherwise each client could have as many connections in all as there are ports.
#[allow(unsafe_code)]
fn choose_port_late(socket: &Socket) {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    let descriptor = socket.as_raw_fd();
    // SAFETY: the value is a `c_int` and lives through the call. A system that does not know the option says so, which is fine.
    unsafe {
        libc::setsockopt(descriptor, libc::IPPROTO_IP, BIND_ADDRESS_NO_PORT, (&raw const on).cast(), size)
    };
}

/// Why a snapshot with transparent pools cannot go live in this process.
pub(crate) fn problem(snapshot: &Snapshot) -> Option<String> {
    let pool = snapshot.pools.iter().find(|pool| pool.flows.transparent)?;
    let tried = Socket::new(Domain::IPV4, Type::DGRAM, None).and_then(|socket| allow(&socket, true));
    let error = tried.err()?;
    let what = format!("pool \"{}\" is transparent, and this process may not speak for its clients", pool.id);
    Some(if Errno::from_io_error(&error) == Some(Errno::PERM) {
        format!(
            "{what}: give it CAP_NET_ADMIN (systemd: AmbientCapabilities=CAP_NET_ADMIN), or remove `transparent`"
        )
    } else {
        format!("{what}: {error}")
    })
}
