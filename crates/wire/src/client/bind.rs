//! Binds the sockets that clients connect to.

use crate::udp;
use bascule_contract::flows::Carries;
use bascule_contract::snapshot::Bind;
use socket2::{Domain, Protocol, SockAddr, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

const BACKLOG: i32 = 4096;

/// A port that this process serves: alive until the last thread has closed its socket.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) port: Port,
}

/// A port of TCP or of UDP, which are two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    is_udp: bool,
    /// 0: there is none, or the system has chosen it.
    number: u16,
}

impl Port {
    pub(crate) fn is_known(self) -> bool {
        self.number != 0
    }
}

/// A bound socket, not yet in any runtime.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
    Unix(std::os::unix::net::UnixListener),
}

impl Bound {
    /// Binds one socket for each thread, all or none. They share the address (`SO_REUSEPORT`), the kernel spreads
    /// connections and datagrams over them. `ours`: this process serves the port already, so that nobody else can.
    pub(crate) fn bind(bind: &Bind, carries: Carries, threads: usize, ours: bool) -> io::Result<Vec<Self>> {
        match bind {
            Bind::Tcp { address } | Bind::Udp { address } => {
                let asked: SocketAddr = address.parse().map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is not ip:port"))
                })?;
                let first = bind_shared(if ours { asked } else { show_free(asked, carries)? }, carries)?;
                // With port 0 the first socket learns the port and the others join it.
                let address = first.socket_address()?;
                let others = (1..threads).map(|_| bind_shared(address, carries));
                std::iter::once(Ok(first)).chain(others).collect()
            }
            Bind::Unix { path, mode } => {
                let first = bind_unix(path, *mode)?;
                let others = (1..threads)
                    .map(|_| first.try_clone().map(Self::Unix))
                    .collect::<io::Result<Vec<_>>>()?;
                Ok(std::iter::once(Self::Unix(first)).chain(others).collect())
            }
        }
    }

    /// Takes a socket that another process has bound for this.
    pub(crate) fn adopt(bind: &Bind, socket: OwnedFd) -> Self {
        match bind {
            Bind::Tcp { .. } => Self::Tcp(socket.into()),
            Bind::Udp { .. } => Self::Udp(socket.into()),
            Bind::Unix { .. } => Self::Unix(socket.into()),
        }
    }

    /// The same socket once more.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(OwnedFd::from),
            Self::Udp(socket) => socket.try_clone().map(OwnedFd::from),
            Self::Unix(listener) => listener.try_clone().map(OwnedFd::from),
        }
    }

    fn socket_address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
            Self::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// What is served once this is.
    pub(crate) fn port(&self) -> Port {
        let number = self.socket_address().map_or(0, |address| address.port());
        Port { is_udp: matches!(self, Self::Udp(_)), number }
    }

    /// As clients would name it.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(_) | Self::Udp(_) => {
                self.socket_address().map(|address| address.to_string()).unwrap_or_default()
            }
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map(|path| format!("unix:{}", path.display())).unwrap_or_default()
            }
        }
    }
}

/// The address, once it is known that nobody has it. `SO_REUSEPORT` would let a second balancer join in silently and take
/// half of the traffic, so it is asked for only once a plain bind has shown that the address is free.
fn show_free(address: SocketAddr, carries: Carries) -> io::Result<SocketAddr> {
    match socket_for(address, carries) {
        // A machine without IPv6: `[::]` then means every address that there is.
        Err(error) if address.ip().is_unspecified() && is_unsupported(&error) => {
            Ok(SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, address.port())))
        }
        Err(error) => Err(error),
        Ok(probe) => probe.bind(&SockAddr::from(address)).map(|()| address),
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_shared(address: SocketAddr, carries: Carries) -> io::Result<Bound> {
    let socket = socket_for(address, carries)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if carries == Carries::Udp {
        // Before the first datagram comes: what it does not say then it never says.
        udp::prepare(&socket, address);
        socket.bind(&SockAddr::from(address))?;
        return Ok(Bound::Udp(socket.into()));
    }
    // Accepted sockets inherit this on Linux: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    if carries == Carries::Http {
        defer_accept(&socket)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(Bound::Tcp(socket.into()))
}

/// Has the kernel hand a connection over once the client has said something, or after about a second of silence
/// (`TCP_DEFER_ACCEPT`, as Apache does it for HTTP): then the request can be read at once, and a connection that
/// serves one request is never waited for.
#[allow(unsafe_code)]
fn defer_accept(socket: &socket2::Socket) -> io::Result<()> {
    let seconds: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&seconds)).unwrap_or(0);
    // SAFETY: the descriptor is open while `socket` is borrowed; the value is a `c_int` and lives through the call.
    let done = unsafe {
        let value = (&raw const seconds).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, value, size)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn socket_for(address: SocketAddr, carries: Carries) -> io::Result<socket2::Socket> {
    let (kind, protocol) = match carries {
        Carries::Udp => (Type::DGRAM, Protocol::UDP),
        Carries::Http | Carries::Tcp => (Type::STREAM, Protocol::TCP),
    };
    let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    // A UDP socket would share the port with whoever else asks for this.
    socket.set_reuse_address(carries != Carries::Udp)?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// A socket file that nobody listens on is replaced; one in use, or a file that is no socket, is an error.
fn bind_unix(path: &str, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::{UnixListener, UnixStream};
    if let Some(old) = SocketFile::at(path) {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => old.remove(),
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    } else if std::fs::symlink_metadata(path).is_ok() {
        return Err(io::Error::other("there is a file of this name that is not a socket; move it away"));
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A socket in the file system, known by more than its name: another balancer may have taken that over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The socket of this path; `None` when there is none, or a file of another kind.
    fn at(path: &str) -> Option<Self> {
        let found = std::fs::symlink_metadata(path).ok()?;
        let file = Self { path: path.into(), device: found.dev(), inode: found.ino() };
        found.file_type().is_socket().then_some(file)
    }

    /// The file that was made for this bind just now.
    pub(crate) fn of(bind: &Bind) -> Option<Self> {
        match bind {
            Bind::Unix { path, .. } => Self::at(path),
            Bind::Tcp { .. } | Bind::Udp { .. } => None,
        }
    }

    /// Removes the file, if it is still the same one.
    pub(crate) fn remove(&self) {
        if self.path.to_str().and_then(Self::at).as_ref() == Some(self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl From<Bound> for OwnedFd {
    fn from(bound: Bound) -> Self {
        match bound {
            Bound::Tcp(listener) => listener.into(),
            Bound::Udp(socket) => socket.into(),
            Bound::Unix(listener) => listener.into(),
        }
    }
}

/// One name for one address, however it is spelt: `[0:0::1]:80` is `[::1]:80`, and a Unix socket is its path whatever its mode.
/// What carries something else has sockets of its own: they are bound in another way.
pub(crate) fn name_of(bind: &Bind, carries: Carries) -> String {
    let plain = |address: &String| {
        address.parse::<SocketAddr>().map_or_else(|_| address.clone(), |parsed| parsed.to_string())
    };
    match (bind, carries) {
        (Bind::Tcp { address }, Carries::Http) => plain(address),
        (Bind::Tcp { address }, _) => format!("tcp:{}", plain(address)),
        (Bind::Udp { address }, _) => format!("udp:{}", plain(address)),
        (Bind::Unix { path, .. }, _) => format!("unix:{path}"),
    }
}

/// The port that a bind asks for.
pub(crate) fn port_of(bind: &Bind) -> Port {
    let number = |address: &String| address.parse::<SocketAddr>().map_or(0, |parsed| parsed.port());
    match bind {
        Bind::Tcp { address } => Port { is_udp: false, number: number(address) },
        Bind::Udp { address } => Port { is_udp: true, number: number(address) },
        Bind::Unix { .. } => Port { is_udp: false, number: 0 },
    }
}

/// Sets the permissions of a socket file that is served already.
pub(crate) fn set_mode(bind: &Bind) -> io::Result<()> {
    match bind {
        Bind::Unix { path, mode } => std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode)),
        Bind::Tcp { .. } | Bind::Udp { .. } => Ok(()),
    }
}
