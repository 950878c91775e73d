//! Open connections to one endpoint that are free for reuse, of one thread.

use crate::deadline::Deadline;
use crate::endpoint::link::{Lease, Links};
use crate::http2::stream::Stream;
use crate::side::Side;
use crate::tls::endpoint::EndpointTls;
use bascule_decide::table::EndpointState;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// A connection to an endpoint. Its time limit stays with it, so that reuse costs no new timer.
#[derive(Debug)]
pub(crate) struct EndpointConnection {
    /// Shared, because a request goes out while its response comes back.
    pub(crate) side: Rc<Side>,
    pub(crate) deadline: Deadline,
}

impl EndpointConnection {
    /// A stream of a connection that others use as well.
    pub(crate) fn on(lease: Lease) -> Self {
        Self {
            side: Rc::new(Side::Http2(Box::new(Stream::to_endpoint(lease)))),
            deadline: Deadline::default(),
        }
    }
}

/// Idle connections, the one used last on top: the rest can grow old and close.
#[derive(Debug)]
pub(crate) struct IdleConnections {
    state: Arc<EndpointState>,
    /// What all of them speak TLS with.
    tls: Option<Arc<EndpointTls>>,
    open: RefCell<Vec<(EndpointConnection, Instant)>>,
    /// The endpoint is gone; exchanges of an old generation may still be there.
    closed: Cell<bool>,
    /// Those that speak HTTP/2.
    pub(crate) links: Links,
}

impl IdleConnections {
    pub(crate) fn new(state: Arc<EndpointState>, tls: Option<Arc<EndpointTls>>) -> Self {
        let (links, open) = (Links::new(Arc::clone(&state)), RefCell::default());
        Self { links, state, tls, open, closed: Cell::new(false) }
    }

    /// Whether they are what a pool wants that speaks TLS like this: its settings may have changed.
    pub(crate) fn speak(&self, tls: Option<&Arc<EndpointTls>>) -> bool {
        match (&self.tls, tls) {
            (None, None) => true,
            (Some(own), Some(wanted)) => Arc::ptr_eq(own, wanted),
            _ => false,
        }
    }

    /// One that is still open as far as we know. One that said anything, even goodbye, is dropped.
    pub(crate) fn take(&self) -> Option<EndpointConnection> {
        let mut open = self.open.borrow_mut();
        while let Some((connection, _)) = open.pop() {
            self.state.idle.fetch_sub(1, Relaxed);
            if connection.side.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection, unless `limit` are kept already.
    pub(crate) fn put(&self, connection: EndpointConnection, now: Instant, limit: u32) {
        let mut open = self.open.borrow_mut();
        if !self.closed.get() && open.len() < limit as usize && connection.side.is_quiet() {
            open.push((connection, now));
            self.state.idle.fetch_add(1, Relaxed);
        }
    }

    /// Closes all, and keeps none from now on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.sweep(Instant::now(), Duration::ZERO);
    }

    /// Closes those that were idle for too long, and those that the endpoint has closed.
    pub(crate) fn sweep(&self, now: Instant, timeout: Duration) {
        self.links.sweep(now, timeout);
        let mut open = self.open.borrow_mut();
        let before = open.len();
        open.retain(|(connection, since)| now.duration_since(*since) < timeout && connection.side.is_quiet());
        self.state.idle.fetch_sub(u32::try_from(before - open.len()).unwrap_or(0), Relaxed);
    }
}

impl Drop for IdleConnections {
    fn drop(&mut self) {
        let left = u32::try_from(self.open.borrow().len()).unwrap_or(0);
        self.state.idle.fetch_sub(left, Relaxed);
    }
}
