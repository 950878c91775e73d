//! Binds the sockets that clients connect to.

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
    /// 0 for Unix sockets.
    pub(crate) port: u16,
}

/// A bound socket, not yet in any runtime.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Bound {
    /// Binds one socket for each thread, all or none. TCP sockets share the address (`SO_REUSEPORT`), the kernel spreads
    /// connections over them. `ours`: this process serves the port already, so that nobody else can.
    pub(crate) fn bind(bind: &Bind, threads: usize, ours: bool) -> io::Result<Vec<Self>> {
        match bind {
            Bind::Tcp { address } => {
                let asked: SocketAddr = address.parse().map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is not ip:port"))
                })?;
                let first = if ours { bind_tcp(asked)? } else { bind_first(asked)? };
                // With port 0 the first socket learns the port and the others join it.
                let address = first.local_addr()?;
                let others = (1..threads).map(|_| bind_tcp(address).map(Self::Tcp));
                std::iter::once(Ok(Self::Tcp(first))).chain(others).collect()
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

    /// As clients would name it.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
            }
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map(|path| format!("unix:{}", path.display())).unwrap_or_default()
            }
        }
    }
}

/// The first socket of an address. `SO_REUSEPORT` would let a second balancer join in silently and take half of
/// the traffic, so it is asked for only once a plain bind has shown that the address is free.
fn bind_first(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let address = match tcp_socket(address) {
        // A machine without IPv6: `[::]` then means every address that there is.
        Err(error) if address.ip().is_unspecified() && is_unsupported(&error) => {
            SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, address.port()))
        }
        Err(error) => return Err(error),
        Ok(probe) => {
            probe.bind(&SockAddr::from(address))?;
            address
        }
    };
    bind_tcp(address)
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = tcp_socket(address)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit this on Linux: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    defer_accept(&socket)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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

fn tcp_socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
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
            Bind::Tcp { .. } => None,
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
            Bound::Unix(listener) => listener.into(),
        }
    }
}

/// One name for one address, however it is spelt: `[0:0::1]:80` is `[::1]:80`, and a Unix socket is its path whatever its mode.
pub(crate) fn name_of(bind: &Bind) -> String {
    match bind {
        Bind::Tcp { address } => {
            address.parse::<SocketAddr>().map_or_else(|_| address.clone(), |parsed| parsed.to_string())
        }
        Bind::Unix { path, .. } => format!("unix:{path}"),
    }
}

/// The port that a bind asks for; 0 when it has none or leaves it to the system.
pub(crate) fn port_of(address: &str) -> u16 {
    address.parse::<SocketAddr>().map_or(0, |parsed| parsed.port())
}

/// Sets the permissions of a socket file that is served already.
pub(crate) fn set_mode(bind: &Bind) -> io::Result<()> {
    match bind {
        Bind::Unix { path, mode } => std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode)),
        Bind::Tcp { .. } => Ok(()),
    }
}
