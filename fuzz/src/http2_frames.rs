//! Laws of HTTP/2: whatever frames a client sends, what reaches the other side is one request of HTTP/1 for each, or none.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bascule_decide::http1::request::parse;
use bascule_decide::http1::{Framing, HeadLimits, field_room};
use bascule_decide::http2::message::{compose_trailers, is_of_connection};
use bascule_decide::http2::{Asked, Flood, Meter, compose};
use bascule_decide::time::Tick;
use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::{Builder, SendResponse};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::strict::{self, is_token};
use crate::{LONGEST, cuts};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GENEROUS: HeadLimits = HeadLimits { head_bytes: 1 << 20, headers: 256, target_bytes: 1 << 20 };
const NONCE: &str = "bm9uY2Ugb2YgdGVzdHMhIQ==";
/// Turns of a connection that does not end by itself; enough for all pieces of the longest input.
const TURNS: usize = 600;
const PIECE: usize = 64;

/// Plays `bytes` as what a client says behind its preface.
pub fn http2_frames(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    is_counted_alike(bytes);
    serve(bytes);
}

/// The meter counts the same frames however they arrive, and says no once and for all within one moment.
fn is_counted_alike(bytes: &[u8]) {
    let verdict = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut meter = Meter::new(0, Tick(0));
        let mut flooded = false;
        for piece in pieces {
            let now = meter.read(piece, || Tick(0)) == Err(Flood);
            flooded |= now;
        }
        flooded
    };
    let by_byte = verdict(&mut bytes.chunks(1));
    assert!(by_byte || !verdict(&mut std::iter::once(bytes)), "what passes byte by byte passes at once");
    // A whole read may be paid for by its own end; a byte more or less makes no other difference.
    for cut in cuts(bytes.len()).step_by(16) {
        let halves = verdict(&mut [&bytes[..cut], &bytes[cut..]].into_iter());
        assert!(by_byte || !halves, "cut at {cut}");
    }
}

/// A client that says a piece at a time, and takes all that it is told.
struct Said<'a> {
    left: &'a [u8],
    pauses: usize,
}

impl AsyncRead for Said<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Only who waits now and then is asked for what it was told before all is over.
        self.pauses += 1;
        if self.pauses % 2 == 1 || self.left.is_empty() && self.pauses < 2 * TURNS - 10 {
            return Poll::Pending;
        }
        let (now, later) = self.left.split_at(self.left.len().min(into.remaining()).min(PIECE));
        into.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Said<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What our server does with a connection, but for sockets: the same settings, the same translation.
fn serve(bytes: &[u8]) {
    let said = [PREFACE, bytes].concat();
    let mut cx = Context::from_waker(Waker::noop());
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(100)
        .max_header_list_size(32_768 + 100 * 32)
        .initial_window_size(65_536)
        .initial_connection_window_size(6_553_600)
        .max_send_buffer_size(64 * 1024)
        .max_pending_accept_reset_streams(100)
        .max_local_error_reset_streams(Some(100))
        .enable_connect_protocol();
    let mut shaking = pin!(builder.handshake::<_, Bytes>(Said { left: &said, pauses: 0 }));
    let shaken = (0..TURNS).find_map(|_| match shaking.as_mut().poll(&mut cx) {
        Poll::Ready(shaken) => Some(shaken),
        Poll::Pending => None,
    });
    let Some(Ok(mut server)) = shaken else { return };
    let mut open = Vec::new();
    for _ in 0..TURNS {
        match server.poll_accept(&mut cx) {
            Poll::Ready(Some(Ok((request, respond)))) => open.push(begin(request, respond)),
            Poll::Ready(Some(Err(_)) | None) => break,
            Poll::Pending => {}
        }
        open.retain_mut(|body| goes_on(body, &mut cx));
    }
}

/// The request as HTTP/1 has it; every other one is answered at once.
fn begin(request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) -> h2::RecvStream {
    let (head, body) = request.into_parts();
    let head = Request::from_parts(head, ());
    assert!(!is_of_connection(Some("gopher"), true));
    let mut out = Vec::new();
    if compose(&asked(&head, body.is_end_stream()), || fields(head.headers()), &mut out).is_ok() {
        means_one_thing(&head, &out, body.is_end_stream());
    }
    if out.len() % 2 == 0
        && let Ok(mut sending) = respond.send_response(Response::new(()), false)
    {
        let _ = sending.send_data(Bytes::from_static(b"ok"), true);
    }
    body
}

fn asked(request: &Request<()>, ends: bool) -> Asked<'_> {
    let uri = request.uri();
    Asked {
        method: request.method().as_str(),
        authority: uri.authority().map(|authority| authority.as_str().as_bytes()),
        path: uri.path_and_query().map_or(&b""[..], |path| path.as_str().as_bytes()),
        protocol: request.extensions().get::<Protocol>().map(Protocol::as_str),
        ends,
        nonce: NONCE,
    }
}

fn fields(map: &http::HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// One head, whose words and fields are those of the request and no more.
fn means_one_thing(request: &Request<()>, out: &[u8], ends: bool) {
    let read = strict::Head::read(out);
    let words: Vec<&[u8]> = read.start.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { panic!("three words make a request line: {words:?}") };
    let switches = request.extensions().get::<Protocol>().is_some();
    assert_eq!(method, if switches { b"GET" } else { request.method().as_str().as_bytes() });
    let connects = method == b"CONNECT";
    assert!(is_token(method));
    match request.uri().path_and_query() {
        Some(path) => assert_eq!(target, path.as_str().as_bytes()),
        None => assert!(connects && Some(target) == request.uri().authority().map(|it| it.as_str().as_bytes())),
    }
    assert_eq!(version, b"HTTP/1.1");
    let map = request.headers();
    let crumbs = map.get_all("cookie").iter().count();
    let hosts = map.get_all("host").iter().count();
    assert_eq!(read.values("host").len(), 1);
    assert_eq!(read.values("cookie").len(), usize::from(crumbs > 0));
    let framed = !switches && !connects && !ends && !map.contains_key("content-length");
    let added = if switches { 3 } else { usize::from(framed) };
    assert_eq!(read.fields.len(), map.len() - hosts - crumbs + 1 + usize::from(crumbs > 0) + added);
    assert_eq!(read.values("transfer-encoding").len(), usize::from(framed));
    assert_eq!(read.values("upgrade").len(), usize::from(switches));
    let mut room = field_room();
    if let Ok(head) = parse(out, GENEROUS, &mut room) {
        let head = head.expect("what was composed is a whole head");
        assert_eq!(head.length, out.len(), "and nothing comes behind it");
        assert_eq!(framed, head.framing == Framing::Chunked);
        assert!(switches || head.upgrade.is_none());
    }
}

/// Takes what there is of a body. False at its end; what trailers say there is one line for each.
fn goes_on(body: &mut h2::RecvStream, cx: &mut Context<'_>) -> bool {
    loop {
        match body.poll_data(cx) {
            Poll::Ready(Some(Ok(payload))) => drop(body.flow_control().release_capacity(payload.len())),
            Poll::Ready(Some(Err(_))) => return false,
            Poll::Ready(None) => break,
            Poll::Pending => return true,
        }
    }
    if let Poll::Ready(Ok(Some(trailers))) = body.poll_trailers(cx) {
        let mut lines = Vec::new();
        if compose_trailers(fields(&trailers), &mut lines).is_ok() {
            assert_eq!(strict::lines(&lines).len(), trailers.len() + 1);
        }
    }
    false
}
