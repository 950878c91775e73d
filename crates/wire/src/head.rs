//! The head of an endpoint's response: read, judged, and written as the client will read it.

use crate::account::Ending;
use crate::body::Outgoing;
use crate::buffers::Input;
use crate::forward::{Failed, Forward, Sent};
use bascule_decide::edits::Edits;
use bascule_decide::http1::response::{BadResponse, Shape, parse};
use bascule_decide::http1::{Framing, field_room};
use bascule_decide::retry::Progress;
use bascule_decide::table::Pool;

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
pub(crate) fn read_head(to: &Forward<'_>, _pool: &Pool, input: &Input) -> Result<Option<Head>, BadResponse> {
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
    let written = (!head.passes_unchanged(shape, edits)).then(|| {
        let mut out = Vec::with_capacity(head.length + 64);
        head.write(bytes, shape, edits, &request.facts(to.client_text), &mut out);
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

pub(crate) fn bad_response(bad: BadResponse) -> Failed {
    Failed::Endpoint { ending: Ending::BadResponse, reason: bad.reason(), progress: Progress::Answered }
}
