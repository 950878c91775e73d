//! The head of an endpoint's response: read, judged, and written as the client will read it.

use crate::account::Ending;
use crate::body::Outgoing;
use crate::buffers::Input;
use crate::client::session::Session;
use crate::forward::{Failed, Forward, Sent};
use crate::leg::Held;
use bascule_decide::edits::Edits;
use bascule_decide::http1::response::{BadResponse, Shape, parse};
use bascule_decide::http1::{Field, Framing, field_room};
use bascule_decide::retry::Progress;

/// The head of a response, read and rewritten.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// What the client gets; `None` when it is what the endpoint sent.
    pub(crate) written: Option<Vec<u8>>,
    /// Bytes of the endpoint's head.
    pub(crate) length: usize,
    pub(crate) kind: Kind,
    pub(crate) persistent: bool,
    pub(crate) close: bool,
    pub(crate) coding: Outgoing,
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
    let Some(head) = parse(bytes, request.is_head, &mut room)? else { return Ok(None) };
    let kind = match (head.is_interim(), head.status) {
        (true, _) => Kind::Interim,
        (false, 101) if request.upgrade.as_deref().is_some_and(|offer| head.accepts(offer)) => Kind::Upgrade,
        (false, 101) => return Err(BadResponse::Unasked),
        (false, _) => Kind::Final,
    };
    if kind != Kind::Interim {
        held.hear(head.fields);
    }
    let no_edits = Edits::default();
    let edits =
        request.route().filter(|_| kind == Kind::Final).map_or(&no_edits, |route| &route.response_edits);
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
    let cookie = if kind == Kind::Interim { Vec::new() } else { session_cookie(to, held, head.fields) };
    let written = (!cookie.is_empty() || !head.passes_unchanged(shape, edits)).then(|| {
        let mut out = Vec::with_capacity(head.length + 64 + cookie.len());
        head.write(bytes, shape, edits, &request.facts(to.client_text), &mut out);
        // Before the empty line.
        out.splice(out.len() - 2..out.len() - 2, cookie);
        out
    });
    let coding = if chunked { Outgoing::Chunked } else { Outgoing::Plain };
    Ok(Some(Head {
        status: head.status,
        framing: head.framing,
        written,
        length: head.length,
        kind,
        persistent: head.persistent,
        close,
        coding,
    }))
}

/// What the client has to be told about its session; the application's own cookie is learned on the way.
fn session_cookie(to: &Forward<'_>, held: &Held, fields: &[Field<'_>]) -> Vec<u8> {
    let mut cookie = Vec::new();
    if let Some(session) = &to.request.session {
        Session::learn(held, fields, to.worker);
        session.write_cookie(held, to.tried, to.worker, &mut cookie);
    }
    cookie
}

pub(crate) fn bad_response(bad: BadResponse) -> Failed {
    Failed::Endpoint { ending: Ending::BadResponse, reason: bad.reason(), progress: Progress::Answered }
}
