//! Before stage 2 where connections are passed on by another balancer: the PROXY header says whose they are.

use crate::client::accept::Acceptor;
use crate::client::connection::{Connection, Peer};
use crate::deadline::Deadline;
use crate::endpoint::announce::{Caller, header};
use crate::side::Side;
use crate::socket::Socket;
use crate::worker::Worker;
use bascule_contract::event::What;
use bascule_contract::proxy_protocol::Announce;
use bascule_decide::proxy_protocol::{Header, MAX_BINARY, Origin, Tlvs, read};
use bascule_decide::table::Listener;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

/// What a header has told beside the client's address.
#[derive(Debug)]
pub(crate) struct Told {
    /// Where the client connected to.
    destination: SocketAddr,
    server_name: Option<Box<[u8]>>,
    protocol: Option<Box<[u8]>>,
    unique_id: Option<Box<[u8]>>,
}

impl Told {
    fn new(destination: SocketAddr, tlvs: Tlvs<'_>) -> Self {
        Self {
            destination,
            server_name: tlvs.authority().map(Into::into),
            protocol: tlvs.alpn().map(Into::into),
            unique_id: tlvs.unique_id().map(Into::into),
        }
    }

    fn spoken(&self) -> Spoken<'_> {
        Spoken { server_name: self.server_name.as_deref(), protocol: self.protocol.as_deref() }
    }
}

/// What a client asked for, and agreed on, within TLS.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spoken<'a> {
    pub(crate) server_name: Option<&'a [u8]>,
    pub(crate) protocol: Option<&'a [u8]>,
}

impl Peer {
    /// Whether it passes connections of others on, each with a header.
    pub(crate) fn announces(&self, listener: &Listener) -> bool {
        let proxies = listener.proxies.as_ref();
        !self.is_named && proxies.is_some_and(|proxies| self.ip.is_none_or(|ip| proxies.contains(ip)))
    }

    /// The client that a header of this peer names; `None`: it speaks for itself. No other header is looked for.
    pub(crate) fn named(&self, client: Option<Self>) -> Self {
        Self { is_named: true, ..client.unwrap_or_else(|| self.clone()) }
    }

    /// The header that announces the client of a flow to an endpoint. `came_to` is where it connected to, as we see it;
    /// `spoken` what there is to know of its TLS, where it speaks that.
    pub(crate) fn announcement(
        &self,
        announce: &Announce,
        came_to: Option<SocketAddr>,
        spoken: Option<Spoken<'_>>,
        own_id: &str,
    ) -> Vec<u8> {
        let told = self.told.as_deref();
        // Where it speaks TLS to us, nobody in front can know better.
        let Spoken { server_name, protocol } = spoken.or_else(|| told.map(Told::spoken)).unwrap_or_default();
        let caller = Caller {
            source: self.ip.map(|ip| SocketAddr::new(ip, self.port)),
            destination: told.map(|it| it.destination).or(came_to),
            server_name,
            protocol,
            unique_id: told.and_then(|it| it.unique_id.as_deref()).or(Some(own_id.as_bytes())),
        };
        header(announce, &caller)
    }
}

/// How there is no header.
pub(crate) enum Missing {
    /// In words.
    Refused(&'static str),
    /// Nobody has said anything.
    Silence,
}

impl Missing {
    const TOO_LATE: Self = Self::Refused("it did not come in time");

    /// Counts it, and tells of it; not of those who only looked whether the port is open.
    pub(crate) fn count(&self, worker: &Worker, acceptor: &Acceptor, peer: &Peer) {
        let Self::Refused(reason) = self else { return };
        acceptor.counters.borrow().refused_proxy_headers.fetch_add(1, Relaxed);
        worker.event_of_many(|| What::ProxyHeaderRefused {
            listener: acceptor.listener.borrow().to_string(),
            client: peer.text.to_string(),
            reason: (*reason).to_owned(),
        });
    }
}

impl Connection {
    /// Whether a PROXY header comes first.
    pub(crate) fn is_announced(&self) -> bool {
        let table = self.worker.table();
        let place = self.acceptor.place(table.table());
        place.is_some_and(|place| self.peer.announces(&table.table().listeners[place]))
    }

    /// Reads the header, and takes the client that it names for the one whose connection this is. False: there is none
    /// to be relied on, or that client has connections enough; the connection ends.
    pub(crate) async fn hear_whose(&mut self) -> bool {
        self.deadline.set(self.time_limit(None));
        let Self { side: Side::Http1(socket), worker, deadline, .. } = self else { return true };
        match hear(socket, worker, deadline).await {
            Ok(client) => {
                self.peer = self.peer.named(client);
                self.take_seat()
            }
            Err(missing) => {
                missing.count(&self.worker, &self.acceptor, &self.peer);
                false
            }
        }
    }

    /// The header that announces this client to an endpoint.
    pub(crate) fn announcement(&self, announce: &Announce) -> Rc<[u8]> {
        let told = self.peer.told.as_deref();
        let secure = self.secure.as_deref();
        let agreed = match (&self.side, secure) {
            (_, Some(secure)) if secure.http2 => Some(&b"h2"[..]),
            (Side::Http1(socket), Some(_)) if socket.has_agreed_on(b"http/1.1") => Some(&b"http/1.1"[..]),
            _ => None,
        };
        let own_id = format!("{}-{:x}", self.worker.name, self.serial);
        let or_told = |own: Option<&'_ [u8]>, of: fn(&Told) -> Option<&[u8]>| {
            // Where the client speaks TLS to us, nobody in front can know better.
            if secure.is_some() { own.map(<[u8]>::to_vec) } else { told.and_then(of).map(<[u8]>::to_vec) }
        };
        let server_name = or_told(secure.and_then(|it| it.server_name()).map(str::as_bytes), |it| {
            it.server_name.as_deref()
        });
        let protocol = or_told(agreed, |it| it.protocol.as_deref());
        let caller = Caller {
            source: self.peer.ip.map(|ip| SocketAddr::new(ip, self.peer.port)),
            destination: told.map(|it| it.destination).or(self.local).or_else(|| self.side.local_address()),
            server_name: server_name.as_deref(),
            protocol: protocol.as_deref(),
            unique_id: told.and_then(|it| it.unique_id.as_deref()).or(Some(own_id.as_bytes())),
        };
        header(announce, &caller).into()
    }
}

/// Takes the header from the connection to its last byte and no further, for what follows may be TLS. Gives the client
/// that it names; `None`: whoever sent it.
pub(crate) async fn hear(
    socket: &Socket,
    worker: &Worker,
    deadline: &mut Deadline,
) -> Result<Option<Peer>, Missing> {
    let mut seen = 0;
    poll_fn(|cx| match poll_header(socket, &mut worker.scratch.borrow_mut(), &mut seen, cx) {
        Poll::Ready(heard) => Poll::Ready(heard),
        Poll::Pending => deadline.poll(cx).map(|()| Err(Missing::TOO_LATE)),
    })
    .await
}

/// Ready with the client that it names; `None`: whoever sent it. `seen`, 0 at first, is kept from call to call; `room` is
/// used within the call alone.
fn poll_header(
    socket: &Socket,
    room: &mut Vec<u8>,
    seen: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Peer>, Missing>> {
    room.resize(MAX_BINARY, 0);
    loop {
        let arrived = match ready!(socket.poll_peek(cx, room, *seen)) {
            Ok(arrived) if arrived > *seen => arrived,
            Ok(_) if *seen > 0 => {
                return Poll::Ready(Err(Missing::Refused("the connection ended before it was complete")));
            }
            _ => return Poll::Ready(Err(Missing::Silence)),
        };
        *seen = arrived;
        match read(&room[..arrived]) {
            Ok(None) => {}
            Err(refusal) => return Poll::Ready(Err(Missing::Refused(refusal.reason()))),
            Ok(Some((header, length))) => {
                let client = client_of(&header);
                let taken = socket.poll_read(cx, &mut room[..length]);
                let whole = matches!(taken, Poll::Ready(Ok(taken)) if taken == length);
                return Poll::Ready(if whole { Ok(client) } else { Err(Missing::Silence) });
            }
        }
    }
}

/// The client that a header names; `None`: whoever sent it.
fn client_of(header: &Header<'_>) -> Option<Peer> {
    match header.origin {
        Origin::Internet { source, destination, .. } => {
            let told = Rc::new(Told::new(destination, header.tlvs));
            Some(Peer { told: Some(told), ..Peer::tcp(source) })
        }
        Origin::Local | Origin::Unknown | Origin::Unix { .. } => None,
    }
}
