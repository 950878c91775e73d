//! What is counted of datagrams: per listener, by all threads.

use bascule_contract::stats::{Datagrams, DroppedDatagrams};
use bascule_decide::datagrams::quic::ConnectionIds;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $word:literal,)*) => {
        /// Why a datagram was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Dropped { $($(#[$doc])* $name,)* }

        impl Dropped {
            /// As they are written in metrics.
            pub(crate) const WORDS: &[&str] = &[$($word,)*];
        }
    };
}

reasons! {
    /// No route takes the client.
    NoRoute => "no_route",
    /// The pool has no endpoint that may be used.
    NoEndpoint => "no_endpoint",
    /// The client has begun too many flows.
    RateLimited => "rate_limited",
    /// Every endpoint has as many flows as it may have.
    Full => "full",
    /// The process has no descriptor for another flow.
    NoDescriptor => "no_descriptor",
    /// The endpoint could not be reached, and no other could be asked.
    Unreachable => "unreachable",
    /// The system had no room to send it, or it is longer than the way allows.
    NotSent => "not_sent",
    /// An answer that came when its flow was over.
    Late => "late",
    /// The listener is about to close: no new flows.
    Closing => "closing",
}

/// Datagrams of one listener.
#[derive(Debug, Default)]
pub(crate) struct DatagramCounters {
    /// The endpoints of QUIC connections, where the listener carries QUIC.
    pub(crate) ids: OnceLock<ConnectionIds>,
    received: AtomicU64,
    sent: AtomicU64,
    dropped: [AtomicU64; Dropped::WORDS.len()],
}

impl DatagramCounters {
    /// As the control plane reads them.
    pub(crate) fn stats(&self) -> Datagrams {
        let dropped = Dropped::WORDS.iter().zip(&self.dropped).map(|(reason, count)| DroppedDatagrams {
            reason: (*reason).to_owned(),
            count: count.load(Relaxed),
        });
        Datagrams {
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            dropped: dropped.filter(|dropped| dropped.count > 0).collect(),
        }
    }
}

/// The same of one thread since it was last told.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    dropped: [u64; Dropped::WORDS.len()],
    has_dropped: bool,
}

impl Tally {
    pub(crate) fn drop(&mut self, count: u64, why: Dropped) {
        self.dropped[why as usize] += count;
        self.has_dropped = true;
    }

    /// Adds it all to what the listener counts.
    pub(crate) fn tell(&mut self, counters: &DatagramCounters) {
        let add = |counter: &AtomicU64, more: u64| {
            if more > 0 {
                counter.fetch_add(more, Relaxed);
            }
        };
        add(&counters.received, self.received);
        add(&counters.sent, self.sent);
        if self.has_dropped {
            counters.dropped.iter().zip(self.dropped).for_each(|(counter, more)| add(counter, more));
        }
        *self = Self::default();
    }
}
