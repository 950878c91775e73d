//! Stage 6 and 7: the request goes to the endpoint while its response comes back, both with back-pressure.

use crate::account::Ending;
use crate::answer::Answer;
use crate::buffers::Input;
use crate::client::accept::ListenerCounters;
use crate::client::connection::After;
use crate::client::http1::Request;
use crate::course::Course;
use crate::deadline::Deadline;
use crate::download::Download;
use crate::leg::Leg;
use crate::side::Side;
use crate::upload::{Body, UploadStop, upload, upload_failed};
use crate::worker::Worker;
use bascule_decide::grpc::Status;
use bascule_decide::retry::Progress;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// What one forwarding needs to know.
pub(crate) struct Forward<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) client: &'a Side,
    pub(crate) request: &'a Request,
    pub(crate) client_text: &'a str,
    pub(crate) counters: &'a ListenerCounters,
    /// Whether the client's connection ends with this response; asked when its head is written.
    pub(crate) is_last: &'a dyn Fn() -> bool,
    /// The status, once the client was sent the first byte of the response.
    pub(crate) began: &'a Cell<u16>,
    pub(crate) moved: &'a Moved,
    /// Where the request has failed before, and what it may still do.
    pub(crate) course: &'a Course,
    /// How far the request has gone out on this leg.
    pub(crate) sent: &'a Cell<Sent>,
}

/// What one exchange has moved so far: known also when it is cut off.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Of the request's body, or from the client in a tunnel.
    pub(crate) received: Cell<u64>,
    /// To the client, head and body.
    pub(crate) sent: Cell<u64>,
    /// Of the response that has begun; 0 before.
    pub(crate) status: Cell<u16>,
}

impl Moved {
    pub(crate) fn receive(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
    }

    pub(crate) fn send(&self, bytes: u64) {
        self.sent.set(self.sent.get() + bytes);
    }
}

/// A forwarding that failed before the client was sent anything.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The endpoint's fault; perhaps another one does better.
    Endpoint { ending: Ending, reason: &'static str, progress: Progress },
    /// Its answer counts as a failure, and another one is to be asked.
    Judged(Ending),
    /// The client's fault, and it may be told.
    Client(Answer),
    /// Nobody is left to tell.
    ClientGone,
}

impl Failed {
    /// The endpoint did nothing with the request, and said so.
    pub(crate) fn refused() -> Self {
        Self::Endpoint { ending: Ending::EndpointReset, reason: "", progress: Progress::Refused }
    }

    pub(crate) fn not_connected(ending: Ending, reason: &'static str) -> Self {
        Self::Endpoint { ending, reason, progress: Progress::NotConnected }
    }
}

/// A forwarding whose response has begun to reach the client.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) status: u16,
    /// Of a call, once it is known.
    pub(crate) grpc_status: Option<Status>,
    pub(crate) ending: Ending,
    pub(crate) reason: &'static str,
    /// From the request sent to the head of the response.
    pub(crate) response: Option<Duration>,
    pub(crate) ended: Instant,
    /// The endpoint's connection can serve another request.
    pub(crate) reusable: bool,
    pub(crate) after: After,
}

impl Relayed {
    /// A response that broke off: both connections end, so that nobody takes it for a whole one.
    pub(crate) fn cut(status: u16, ending: Ending) -> Self {
        Self { after: After::Cut, ..Self::ended(status, ending, Instant::now()) }
    }

    /// After which neither connection is used again, unless the caller says so.
    pub(crate) fn ended(status: u16, ending: Ending, ended: Instant) -> Self {
        Self {
            status,
            grpc_status: None,
            ending,
            reason: "",
            response: None,
            ended,
            reusable: false,
            after: After::Close,
        }
    }
}

/// How far the request has gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing yet.
    Nothing,
    /// The body is on its way.
    Partly,
    /// All of it.
    Wholly(Instant),
    /// The endpoint stopped taking it. It may have answered all the same.
    Broken(Instant),
}

/// Uploads and downloads at once: the endpoint may answer before it has read everything, or because of what it has read.
pub(crate) async fn both(
    to: &Forward<'_>,
    leg: &mut Leg,
    head: &[u8],
    (input, deadline): (&mut Input, &mut Deadline),
    body: &mut Body,
) -> Result<Relayed, Failed> {
    let so_far = body.so_far();
    let mut nothing = Input::new(Rc::clone(&to.worker.buffers));
    let endpoint = Rc::clone(&leg.connection().side);
    to.sent.set(Sent::Partly);
    let mut download = Download::new(to, leg, deadline).of_call(&so_far);
    let mut uploading = pin!(upload(to, &endpoint, head, input, body));
    let mut downloading = pin!(download.run(&mut nothing));
    poll_fn(|cx| {
        if to.sent.get() == Sent::Partly
            && let Poll::Ready(uploaded) = uploading.as_mut().poll(cx)
        {
            match uploaded {
                Ok(()) => to.sent.set(Sent::Wholly(Instant::now())),
                Err(UploadStop::Endpoint) => to.sent.set(Sent::Broken(Instant::now())),
                Err(stop) => return Poll::Ready(upload_failed(stop, to.began.get())),
            }
        }
        let downloaded = downloading.as_mut().poll(cx);
        if to.began.get() != 0 {
            so_far.forget();
        }
        downloaded
    })
    .await
}

pub(crate) fn endpoint_failed(ending: Ending) -> Failed {
    Failed::Endpoint { ending, reason: "", progress: Progress::Sent }
}

impl Forward<'_> {
    pub(crate) fn listener(&self) -> &bascule_decide::table::Listener {
        &self.request.table.table().listeners[self.request.listener]
    }

    /// Has the runtime know both sides, which a long body needs: only then does it share the thread fairly.
    /// A side that cannot be known fails at its next read or write.
    pub(crate) fn know_both(&self, endpoint: &Side) {
        let _ = self.client.register();
        let _ = endpoint.register();
    }

    /// Between two reads or writes on the endpoint's side.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.request.route().map_or(60_000, |route| route.timeouts.idle_ms))
    }

    pub(crate) fn response_limit(&self) -> Duration {
        Duration::from_millis(self.request.route().map_or(30_000, |route| route.timeouts.response_ms))
    }

    pub(crate) fn tunnel_limit(&self) -> Duration {
        Duration::from_millis(self.request.route().map_or(3_600_000, |route| route.timeouts.tunnel_ms))
    }

    /// Between two writes that the client takes.
    pub(crate) fn send(&self) -> Duration {
        Duration::from_millis(self.listener().timeouts.send_ms)
    }
}
