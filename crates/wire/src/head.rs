//! The head of an endpoint's response: read, judged, and written as the client will read it.

use crate::account::Ending;
use crate::body::Outgoing;
use crate::buffers::Input;
use crate::client::session::Session;
use crate::forward::{Failed, Forward, Sent};
use crate::http2::message::{add_lines, response};
use crate::leg::Held;
use bascule_contract::snapshot::Connect;
use bascule_decide::edits::Edits;
use bascule_decide::grpc::Status;
use bascule_decide::guard::Verdict;
use bascule_decide::http1::response::{BadResponse, Shape, parse};
use bascule_decide::http1::{Field, Framing, ResponseHead, field_room};
use bascule_decide::retry::{Progress, is_failure};
use bascule_decide::template::Facts;
use http::Response;

/// The head of a response, read and rewritten.
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Of a call, when the head tells it already.
    pub(crate) grpc_status: Option<Status>,
    /// What it shows about the endpoint.
    pub(crate) verdict: Verdict,
    pub(crate) framing: Framing,
    pub(crate) written: Written,
    /// Bytes of the endpoint's head.
    pub(crate) length: usize,
    pub(crate) kind: Kind,
    pub(crate) persistent: bool,
    pub(crate) close: bool,
    pub(crate) coding: Outgoing,
}

/// What the client gets.
pub(crate) enum Written {
    /// What the endpoint sent.
    Same,
    Anew(Vec<u8>),
    /// Over HTTP/2.
    Http2(Box<Response<()>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Interim,
    Final,
    Upgrade,
}

/// The head at the front of `input`, if it is complete.
pub(crate) fn read_head(to: &Forward<'_>, held: &Held, input: &Input) -> Result<Option<Head>, BadResponse> {
    let request = to.request;
    let mut room = field_room();
    let bytes = input.bytes();
    let Some(mut head) = parse(bytes, request.is_head, &mut room)? else { return Ok(None) };
    let connected = request.connect == Connect::Forward && !head.is_interim() && head.answers_connect();
    let kind = match (head.is_interim(), head.status) {
        _ if connected => Kind::Upgrade,
        (true, _) => Kind::Interim,
        (false, 101) if request.upgrade.as_deref().is_some_and(|offer| head.accepts(offer)) => Kind::Upgrade,
        (false, 101) => return Err(BadResponse::Unasked),
        (false, _) => Kind::Final,
    };
    if kind != Kind::Interim {
        held.hear(head.fields);
    }
    let grpc_status = request.call.and_then(|_| Status::find(head.fields));
    let verdict = match request.call {
        Some(call) => call.judge(head.status, grpc_status),
        None => Verdict::of(is_failure(head.status)),
    };
    let no_edits = Edits::default();
    let edits =
        request.route().filter(|_| kind == Kind::Final).map_or(&no_edits, |route| &route.response_edits);
    let cookie = if kind == Kind::Interim { Vec::new() } else { session_cookie(to, held, head.fields) };
    if to.client.http2().is_some() {
        let facts = request.facts(to.client_text);
        return Ok(Some(Head {
            status: head.status,
            grpc_status,
            verdict,
            framing: head.framing,
            written: Written::Http2(Box::new(http2_head(&head, bytes, kind, edits, &facts, &cookie))),
            length: head.length,
            kind,
            persistent: head.persistent,
            close: false,
            coding: Outgoing::Frames,
        }));
    }
    let framed = matches!(head.framing, Framing::None | Framing::Length(_)) || request.http11;
    let close = kind == Kind::Final
        && ((to.is_last)() || !request.persistent || !matches!(to.sent.get(), Sent::Wholly(_)) || !framed);
    let shape = Shape {
        http11: request.http11,
        close,
        say_keep_alive: kind == Kind::Final && !request.http11 && !close,
        chunk: head.framing == Framing::Close && request.http11,
    };
    let chunked = request.http11 && matches!(head.framing, Framing::Chunked | Framing::Close);
    let written = if cookie.is_empty() && head.passes_unchanged(shape, edits) {
        Written::Same
    } else {
        let mut out = Vec::with_capacity(head.length + 64 + cookie.len());
        head.write(bytes, shape, edits, &request.facts(to.client_text), &mut out);
        // Before the empty line.
        out.splice(out.len() - 2..out.len() - 2, cookie);
        Written::Anew(out)
    };
    let coding = if chunked { Outgoing::Chunked } else { Outgoing::Plain };
    Ok(Some(Head {
        status: head.status,
        grpc_status,
        verdict,
        framing: head.framing,
        written,
        length: head.length,
        kind,
        persistent: head.persistent,
        close,
        coding,
    }))
}

/// The same head for a client that speaks HTTP/2. A tunnel is opened with 200 there (RFC 8441, 5).
fn http2_head(
    head: &ResponseHead<'_, '_>,
    bytes: &[u8],
    kind: Kind,
    edits: &Edits,
    facts: &Facts<'_>,
    cookie: &[u8],
) -> Response<()> {
    let status = if kind == Kind::Upgrade { 200 } else { head.status };
    let mut written = response(status, &bytes[..head.length], head.kept(edits));
    if kind == Kind::Upgrade {
        written.headers_mut().remove("sec-websocket-accept");
    }
    if !cookie.is_empty() || !edits.is_empty() {
        let mut lines = cookie.to_vec();
        edits.append(facts, &mut lines);
        add_lines(&lines, written.headers_mut());
    }
    written
}

/// What the client has to be told about its session; the application's own cookie is learned on the way.
fn session_cookie(to: &Forward<'_>, held: &Held, fields: &[Field<'_>]) -> Vec<u8> {
    let mut cookie = Vec::new();
    if let Some(session) = &to.request.session {
        Session::learn(held, fields, to.worker);
        session.write_cookie(held, &to.course.tried, to.worker, &mut cookie);
    }
    cookie
}

pub(crate) fn bad_response(bad: BadResponse) -> Failed {
    Failed::Endpoint { ending: Ending::BadResponse, reason: bad.reason(), progress: Progress::Answered }
}
