//! Stages 3 and 4 of a request's life: its head is decoded and routed, and what the endpoint will read is written.

use crate::access_log::LogFacts;
use crate::answer::{ALLOW, Answer, Ways, render};
use crate::client::connection::Connection;
use crate::client::session::Session;
use crate::local::LocalTable;
use crate::stream::Watch;
use bascule_contract::snapshot::{Connect, HalfClosed, RouteTimeouts};
use bascule_decide::balance::Key;
use bascule_decide::grpc::Call;
use bascule_decide::http1::forwarded::{Onward, Told};
use bascule_decide::http1::request::parse;
use bascule_decide::http1::{Framing, HeadLimits, Malformed, RequestHead, field_room, routing_host};
use bascule_decide::limit::LimitKey;
use bascule_decide::path::{Normal, PathProblem, normalize};
use bascule_decide::request::Request as Routed;
use bascule_decide::retry::is_idempotent;
use bascule_decide::table::{Action, ForwardedPolicy, Listener, Route};
use bascule_decide::template::Facts;
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// A request whose head was read: all that its exchange needs to know. Holds none of the connection's bytes.
#[derive(Debug)]
pub(crate) struct Request {
    /// The table that it was routed by, for the whole exchange.
    pub(crate) table: Rc<LocalTable>,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    pub(crate) listener: usize,
    pub(crate) route: Option<usize>,
    pub(crate) to: Destination,
    pub(crate) framing: Framing,
    pub(crate) http11: bool,
    /// The client allows another request on this connection.
    pub(crate) persistent: bool,
    pub(crate) is_head: bool,
    /// It is a call of gRPC, and expects answers as gRPC gives them.
    pub(crate) call: Option<Call>,
    pub(crate) idempotent: bool,
    pub(crate) expects_continue: bool,
    pub(crate) upgrade: Option<Box<[u8]>>,
    /// What becomes of a CONNECT; off for all other requests.
    pub(crate) connect: Connect,
    pub(crate) began: Instant,
    pub(crate) head_read: Instant,
    pub(crate) head_bytes: usize,
    /// What the templates of the response's edits may say; only where there are any.
    pub(crate) facts: Option<Box<OwnFacts>>,
    /// What must stay together, for algorithms that care.
    pub(crate) key: Key,
    /// Only where the pool keeps sessions.
    pub(crate) session: Option<Box<Session>>,
    /// Where it counts in the rate limits of its route, by their positions; empty for most.
    pub(crate) limits: Box<[(usize, LimitKey)]>,
    /// When the whole exchange is over.
    pub(crate) until: Option<Instant>,
    /// Only while the access log is on.
    pub(crate) log: Option<Box<LogFacts>>,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Destination {
    /// To an endpoint of this pool, with this head.
    Pool(usize, Vec<u8>),
    /// The route's own response, whole.
    Own { status: u16, response: Vec<u8> },
    /// Our answer.
    Answer(Answer),
}

/// A request that is answered without being served.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) answer: Answer,
    pub(crate) began: Instant,
    pub(crate) listener: Option<usize>,
    pub(crate) facts: Option<Box<LogFacts>>,
}

/// [`Facts`] that outlive the head.
#[derive(Debug)]
pub(crate) struct OwnFacts {
    host: Box<[u8]>,
    path: Box<[u8]>,
    query: Option<Box<[u8]>>,
}

impl Request {
    /// What the templates of the response's edits may say.
    pub(crate) fn facts<'a>(&'a self, client: &'a str) -> Facts<'a> {
        let listener = &self.table.table().listeners[self.listener];
        let own = self.facts.as_deref();
        Facts {
            scheme: self.scheme,
            host: own.map_or(&[], |own| &own.host),
            path: own.map_or(&[], |own| &own.path),
            query: own.and_then(|own| own.query.as_deref()),
            client,
            listener: &listener.id,
            route: self.route.map_or("", |route| &listener.routes[route].id),
        }
    }

    /// Whether it may be sent twice although an endpoint may have begun to work on it.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.idempotent && self.framing == Framing::None && self.upgrade.is_none()
    }

    /// What shows that the client has gone, while it waits for the answer.
    pub(crate) fn watch(&self) -> Watch {
        match self.route().map(|route| route.half_closed) {
            Some(HalfClosed::Abort) => Watch::End,
            _ => Watch::Reset,
        }
    }

    pub(crate) fn route(&self) -> Option<&Route> {
        self.route.map(|route| &self.table.table().listeners[self.listener].routes[route])
    }
}

/// Decodes and routes the request at the front of the connection's input and takes its head out.
/// `None`: the head is not complete yet.
pub(crate) fn read_request(
    connection: &mut Connection,
    began: Instant,
    now: Instant,
) -> Result<Option<Box<Request>>, Refusal> {
    let table = connection.worker.table();
    let place = connection.acceptor.place(table.table());
    let refuse = |answer| Refusal { answer, began, listener: place, facts: None };
    // The listener went away in a reload: the client may try again elsewhere.
    let Some(place) = place else { return Err(refuse(Answer::NoRoute)) };
    let listener = &table.table().listeners[place];
    let mut room = field_room();
    let bytes = connection.input.bytes();
    let head = match parse(bytes, limits(listener), &mut room) {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(None),
        Err(malformed) => return Err(refuse(Answer::Refused(malformed))),
    };
    let path = path_of(&head).map_err(|problem| refuse(Answer::Refused(Malformed::Path(problem))))?;
    let client = || head.client(connection.peer.ip, &listener.forwarded.trusted);
    let log = connection
        .worker
        .log_is_on()
        .then(|| Box::new(log_facts(&head, client(), connection.side.http2().is_some())));
    if announces_too_much(&head, listener) {
        return Err(Refusal { answer: Answer::BodyTooLarge, began, listener: Some(place), facts: log });
    }
    connection.acceptor.counters.borrow().requests.fetch_add(1, Relaxed);
    let host = routing_host(head.authority);
    if connection.secure.as_ref().is_some_and(|secure| secure.is_misdirected(&host)) {
        return Err(Refusal { answer: Answer::Misdirected, began, listener: Some(place), facts: log });
    }
    let asked = Routed {
        method: head.method,
        host: &host,
        path: &path.routed,
        query: head.target.query,
        fields: head.fields,
        client: client(),
        identity: connection.identity(),
    };
    let route = listener.index.find(&asked);
    let connect = if head.is_connect() {
        route.map_or(Connect::Off, |route| listener.routes[route].connect)
    } else {
        Connect::Off
    };
    if head.is_connect() && connect == Connect::Off {
        let answer = Answer::Refused(Malformed::Connect);
        return Err(Refusal { answer, began, listener: Some(place), facts: log });
    }
    let trusted = is_trusted(connection, listener);
    let call = connection.side.http2().and_then(|_| Call::read(head.fields));
    let until =
        route.and_then(|route| until(&head, &listener.routes[route].timeouts, began, (trusted, call)));
    let reading = Reading { connection, listener, head: &head, path: &path.forwarded, bytes, until, trusted };
    let (to, facts) = match route.map(|route| &listener.routes[route]) {
        None => (Destination::Answer(Answer::NoRoute), None),
        Some(route) => {
            (reading.destination(route), (!route.response_edits.is_empty()).then(|| reading.own_facts()))
        }
    };
    let (key, session) = match &to {
        Destination::Pool(pool, _) => {
            let pool = &table.table().pools[*pool];
            (pool.key(&asked), Session::read(pool, &asked, &connection.worker))
        }
        _ => (Key::NONE, None),
    };
    let limits = route.map_or(&[][..], |route| &listener.routes[route].limits).iter().enumerate();
    let limits = limits.filter_map(|(at, limit)| Some((at, limit.key(&asked)?))).collect();
    let request = Request {
        scheme: connection.scheme(),
        listener: place,
        route,
        to,
        framing: head.framing,
        http11: head.http11,
        // What follows a CONNECT that was refused may be meant for its tunnel (RFC 9931).
        persistent: head.persistent && !head.is_connect(),
        connect,
        is_head: head.method == "HEAD",
        call,
        idempotent: is_idempotent(head.method),
        expects_continue: head.expects_continue,
        upgrade: head.upgrade.map(Into::into),
        began,
        head_read: now,
        head_bytes: head.length,
        facts,
        key,
        session,
        limits,
        until,
        log,
        table: Rc::clone(&table),
    };
    let length = head.length;
    connection.input.consume(length);
    Ok(Some(Box::new(request)))
}

/// Whether the client is believed what it says about others: whoever may open our Unix socket is on this machine.
pub(crate) fn is_trusted(connection: &Connection, listener: &Listener) -> bool {
    connection.peer.ip.is_none_or(|ip| listener.forwarded.trusted.contains(ip))
}

/// When the whole exchange is over: as the route says, or sooner when a trusted client says so, or a gRPC call.
fn until(
    head: &RequestHead<'_, '_>,
    timeouts: &RouteTimeouts,
    began: Instant,
    (trusted, call): (bool, Option<Call>),
) -> Option<Instant> {
    let told = timeouts.deadline_header.as_deref().filter(|_| trusted).and_then(|name| {
        let field = head.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok()?.trim().parse::<u64>().ok()
    });
    let called = call.and_then(|call| call.timeout_us).map(Duration::from_micros);
    let least = timeouts.total_ms.into_iter().chain(told).map(Duration::from_millis).chain(called).min()?;
    began.checked_add(least)
}

fn limits(listener: &Listener) -> HeadLimits {
    HeadLimits {
        head_bytes: listener.limits.head_bytes as usize,
        headers: listener.limits.headers as usize,
        target_bytes: listener.limits.target_bytes as usize,
    }
}

/// Whether the body is longer than the listener allows, by its own word.
fn announces_too_much(head: &RequestHead<'_, '_>, listener: &Listener) -> bool {
    matches!((head.framing, listener.limits.body_bytes), (Framing::Length(length), Some(limit)) if length > limit)
}

fn path_of<'a>(head: &RequestHead<'a, '_>) -> Result<Normal<'a>, PathProblem> {
    if head.is_connect() {
        return Ok(Normal { routed: Cow::Borrowed(b"/"), forwarded: Cow::Borrowed(head.authority) });
    }
    if head.target.path == b"*" {
        return Ok(Normal { routed: Cow::Borrowed(b"*"), forwarded: Cow::Borrowed(b"*") });
    }
    normalize(head.target.path)
}

/// What there is to see while the head is still in the connection's input.
struct Reading<'a> {
    connection: &'a Connection,
    listener: &'a Listener,
    head: &'a RequestHead<'a, 'a>,
    path: &'a [u8],
    bytes: &'a [u8],
    until: Option<Instant>,
    trusted: bool,
}

impl Reading<'_> {
    fn destination(&self, route: &Route) -> Destination {
        if self.head.hops_left == Some(0) {
            return self.own(route, 200, &[("Allow", ALLOW)], b"");
        }
        match &route.action {
            Action::Pool(pool) => Destination::Pool(*pool, self.onward(route)),
            Action::Split(split) => {
                Destination::Pool(self.connection.worker.split(split), self.onward(route))
            }
            Action::Redirect { status, location } => {
                let mut rendered = Vec::new();
                location.render(&self.facts(route), &mut rendered);
                let location = String::from_utf8_lossy(&rendered);
                self.own(route, *status, &[("Location", &location)], b"")
            }
            Action::Respond { status, headers, body } => {
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                self.own(route, *status, &headers, body)
            }
        }
    }

    fn own(&self, route: &Route, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Destination {
        let facts = self.facts(route);
        let added: Vec<(&str, String)> = route
            .response_edits
            .add
            .iter()
            .map(|(name, template)| {
                let mut value = Vec::new();
                template.render(&facts, &mut value);
                (&**name, String::from_utf8_lossy(&value).into_owned())
            })
            .collect();
        let kept = headers.iter().copied().filter(|(name, _)| !route.response_edits.removes(name.as_bytes()));
        let all = kept.chain(added.iter().map(|(name, value)| (*name, value.as_str())));
        let close = self.closes();
        let ways =
            Ways { close, keep_alive: !close && !self.head.http11, with_body: self.head.method != "HEAD" };
        Destination::Own { status, response: render(status, all, body, ways) }
    }

    /// After a response that does not wait for the request's body the framing of what follows is unknown.
    fn closes(&self) -> bool {
        !self.head.persistent || self.head.framing != Framing::None || self.connection.is_last(self.listener)
    }

    fn onward(&self, route: &Route) -> Vec<u8> {
        let policy: &ForwardedPolicy = &self.listener.forwarded;
        let told = Told {
            client: &self.connection.peer.text,
            scheme: self.connection.scheme(),
            trusted: self.trusted,
            x_forwarded: policy.x_forwarded,
            rfc7239: policy.rfc7239,
            identity: self.connection.identity(),
        };
        let rewritten = match &route.rewrite {
            Some(rewriter) if self.path != b"*" && !self.head.is_connect() => rewriter.apply(self.path),
            _ => Cow::Borrowed(self.path),
        };
        let fallback =
            if self.head.authority.is_empty() { self.connection.side.local_text() } else { String::new() };
        let onward = Onward {
            path: &rewritten,
            fallback_host: &fallback,
            edits: &route.request_edits,
            facts: self.facts(route),
            deadline: self.deadline(route),
        };
        let mut out = Vec::with_capacity(self.head.length + 256);
        self.head.write(self.bytes, &onward, &told, &mut out);
        out
    }

    /// The field that tells the endpoint how long anybody will wait, in milliseconds from now.
    fn deadline<'b>(&self, route: &'b Route) -> Option<(&'b str, u64)> {
        let name = route.timeouts.deadline_header.as_deref()?;
        let left = self.until.map_or(0, |until| until.saturating_duration_since(Instant::now()).as_millis());
        Some((name, u64::try_from(left).unwrap_or(u64::MAX)))
    }

    fn facts<'b>(&'b self, route: &'b Route) -> Facts<'b> {
        Facts {
            scheme: self.connection.scheme(),
            host: self.head.authority,
            path: self.path,
            query: self.head.target.query,
            client: &self.connection.peer.text,
            listener: &self.listener.id,
            route: &route.id,
        }
    }

    fn own_facts(&self) -> Box<OwnFacts> {
        Box::new(OwnFacts {
            host: self.head.authority.into(),
            path: self.path.into(),
            query: self.head.target.query.map(Into::into),
        })
    }
}

fn log_facts(head: &RequestHead<'_, '_>, client: Option<IpAddr>, http2: bool) -> LogFacts {
    let field = |name: &str| {
        head.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value.to_vec())
    };
    let mut target = if head.is_connect() { head.authority } else { head.target.path }.to_vec();
    if let Some(query) = head.target.query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    LogFacts {
        client: client.map(|client| client.to_string()).unwrap_or_default(),
        method: head.method.to_owned(),
        host: String::from_utf8_lossy(head.authority).into_owned(),
        target,
        protocol: match head.http11 {
            _ if http2 => "HTTP/2.0",
            true => "HTTP/1.1",
            false => "HTTP/1.0",
        },
        user_agent: field("user-agent"),
        referer: field("referer"),
    }
}
