//! An exchange with an endpoint that no client waits for: a copy, or a probe.

use crate::body::Incoming;
use crate::buffers::{Buffers, Input, Size};
use crate::endpoint::idle::EndpointConnection;
use bascule_decide::http1::response::{MAX_HEAD, parse};
use bascule_decide::http1::{Framing, field_room};
use bascule_decide::load_report::{Report, find, parse as parse_report};
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

/// Bytes of an answer that are looked at.
const LONGEST_REPORT: usize = 4096;
/// Between two bytes.
const PAUSE: Duration = Duration::from_secs(10);

/// What an endpoint answered.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The connection can serve another request.
    pub(crate) reusable: bool,
    /// What the endpoint said about its load, in a field or as the whole of its answer.
    pub(crate) report: Option<Report>,
}

/// Sends a request, its head and its body, and reads the answer to its end. `None`: the endpoint broke off, or spoke nonsense.
/// The caller limits the time.
pub(crate) async fn exchange(
    connection: &mut EndpointConnection,
    (head, body): (&[u8], &[u8]),
    to_head: bool,
    buffers: &Rc<Buffers>,
) -> Option<Answered> {
    let EndpointConnection { side, deadline } = connection;
    side.ask(head, body, deadline, PAUSE).await.ok()?;
    let mut input = Input::new(Rc::clone(buffers));
    let (status, framing, persistent, mut report) = loop {
        let count = poll_fn(|cx| side.poll_fill(&mut input, Size::Relay, cx)).await.ok()?;
        if count == 0 || input.len() > MAX_HEAD {
            return None;
        }
        let mut room = field_room();
        let Some(head) = parse(input.bytes(), to_head, &mut room).ok()? else { continue };
        let found = (head.status, head.framing, head.persistent, find(head.fields));
        let (length, interim) = (head.length, head.is_interim());
        input.consume(length);
        if !interim {
            break found;
        }
    };
    let mut body = Incoming::new(framing);
    loop {
        let (payload, taken) = body.take(&mut input).ok()?;
        // A report is short, and comes in one piece.
        report = report.or_else(|| parse_report(&input.bytes()[..payload.min(LONGEST_REPORT)]));
        input.consume(taken);
        if body.done {
            let reusable = persistent && input.is_empty() && framing != Framing::Close;
            return Some(Answered { status, reusable, report });
        }
        let count = poll_fn(|cx| side.poll_fill(&mut input, Size::Relay, cx)).await.ok()?;
        if count == 0 {
            return body.end(side).then_some(Answered { status, reusable: false, report });
        }
    }
}
