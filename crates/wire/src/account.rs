//! What is counted about each exchange: by one thread each, read by anyone, never locked on the way of a request.

use bascule_contract::stats::{
    Bucket, CodeCount, EndingCount, FlowSeries as FlowSeriesStats, Histogram as HistogramStats,
    Series as SeriesStats,
};
use bascule_decide::grpc::Status;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

macro_rules! endings {
    ($($(#[$doc:meta])* $name:ident => $word:literal,)*) => {
        /// How an exchange ended. Each has a word of its own in the log and in the metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Ending { $($(#[$doc])* $name,)* }

        impl Ending {
            const WORDS: &[&str] = &[$($word,)*];

            /// As it is written in logs and metrics.
            pub(crate) fn word(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }
    };
}

endings! {
    /// The endpoint's response was passed on whole.
    Ok => "ok",
    /// The route answered or redirected by itself.
    Answered => "answered",
    /// The connection was upgraded and the tunnel has ended.
    Tunnelled => "tunnelled",
    /// No route matched.
    NoRoute => "no_route",
    /// The pool has no endpoint that may be used.
    NoEndpoint => "no_endpoint",
    /// The request was malformed.
    BadRequest => "bad_request",
    /// The request came over a TLS connection that is for another host, or asked for another scheme.
    Misdirected => "misdirected",
    /// The request or its body was larger than the limit.
    TooLarge => "too_large",
    /// The client did not send its request in time.
    ClientTooSlow => "client_too_slow",
    /// The client did not read the response in time.
    ClientNotReading => "client_not_reading",
    /// The client's connection broke off.
    ClientAborted => "client_aborted",
    /// The endpoint's port is closed.
    EndpointRefused => "endpoint_refused",
    /// The endpoint could not be reached.
    EndpointUnreachable => "endpoint_unreachable",
    /// The connect took too long.
    ConnectTimedOut => "connect_timed_out",
    /// The TLS handshake with the endpoint failed; the reason says whether its certificate was refused.
    EndpointTlsFailed => "endpoint_tls_failed",
    /// The endpoint broke the connection off before it answered.
    EndpointReset => "endpoint_reset",
    /// The endpoint closed the connection before it answered.
    EndpointClosed => "endpoint_closed",
    /// The endpoint did not take the request in time.
    EndpointNotReading => "endpoint_not_reading",
    /// The endpoint did not begin to answer in time.
    ResponseTimedOut => "response_timed_out",
    /// The endpoint speaks HTTP/2, but has no WebSocket there.
    NoTunnel => "no_tunnel",
    /// The endpoint's answer was malformed.
    BadResponse => "bad_response",
    /// The endpoint broke off in the middle of its response.
    ResponseCut => "response_cut",
    /// The endpoint stopped in the middle of its response.
    ResponseStalled => "response_stalled",
    /// The endpoint's answer counted as a failure, and no other could be asked.
    EndpointFailed => "endpoint_failed",
    /// The endpoint did not begin to answer in the time that one try has.
    TryTimedOut => "try_timed_out",
    /// Every endpoint was full, and so was the queue, or the wait was too long.
    Shed => "shed",
    /// The client has sent too many requests.
    RateLimited => "rate_limited",
    /// Nothing moved in either direction of a flow for too long.
    Idle => "idle",
    /// The endpoint of a flow is down, or gone.
    EndpointDown => "endpoint_down",
    /// The endpoint of a flow drains, and its time was over.
    Drained => "drained",
    /// A flow was silent for longest when another one needed its place.
    Evicted => "evicted",
    /// The address that a flow came to is not served any more.
    Unlistened => "unlistened",
    /// The whole exchange took too long.
    TotalTimedOut => "total_timed_out",
    /// The grace time of a stop ended before the exchange did.
    CutByStop => "cut_by_stop",
    /// A fault of ours; the log of the balancer has more.
    InternalError => "internal_error",
}

/// One for each ending.
#[derive(Debug)]
struct PerEnding<T>([T; Ending::WORDS.len()]);

impl<T: Default> Default for PerEnding<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| T::default()))
    }
}

impl<T> Deref for PerEnding<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for PerEnding<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// Adds to a counter that only this thread writes.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

const BUCKETS: usize = 144;

/// Durations in log-linear buckets, four per power of two of a microsecond. Their sum stands elsewhere: see [`Series`].
#[derive(Debug)]
pub(crate) struct Histogram([AtomicU64; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Histogram {
    fn record(&self, took: Duration, sum_us: &AtomicU64) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(sum_us, us);
        add(&self.0[bucket_of(us)], 1);
    }

    fn add_to(&self, sum_us: &AtomicU64, sum: &mut HistogramSum) {
        sum.sum_us += sum_us.load(Relaxed);
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.0) {
            *total += bucket.load(Relaxed);
        }
    }
}

fn bucket_of(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let power = us.ilog2() as usize;
    let quarter = (us >> (power - 2) & 3) as usize;
    ((power - 1) * 4 + quarter).min(BUCKETS - 1)
}

fn upper_us(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64 + 1;
    }
    (bucket as u64 % 4 + 5) << (bucket / 4 - 1)
}

/// Histograms of several threads together.
#[derive(Debug)]
struct HistogramSum {
    sum_us: u64,
    buckets: [u64; BUCKETS],
}

impl Default for HistogramSum {
    fn default() -> Self {
        Self { sum_us: 0, buckets: [0; BUCKETS] }
    }
}

impl HistogramSum {
    fn stats(&self) -> HistogramStats {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        HistogramStats {
            count: self.buckets.iter().sum(),
            sum_us: self.sum_us,
            buckets: filled
                .map(|(bucket, count)| Bucket { upper_us: upper_us(bucket), count: *count })
                .collect(),
        }
    }
}

/// Distinct status codes that one series tells apart; further ones are counted as [`OTHER_CODE`].
const CODES: usize = 16;
const OTHER_CODE: u16 = 999;

/// The counters of one thread for one (listener, route, endpoint).
///
/// What every exchange touches comes first and shares a cache line: with thousands of routes each counter that is
/// touched is far away.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Series {
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    duration_us: AtomicU64,
    response_us: AtomicU64,
    /// The count of [`Ending::Ok`], which has its place among `endings` for nothing.
    ok: AtomicU64,
    codes: [(AtomicU16, AtomicU64); CODES],
    grpc: [AtomicU64; Status::COUNT],
    endings: PerEnding<AtomicU64>,
    duration: Histogram,
    response: Histogram,
}

/// What is to be counted about one exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// 0 when no status was sent.
    pub(crate) status: u16,
    /// Of a call, where it is known.
    pub(crate) grpc_status: Option<Status>,
    pub(crate) ending: Ending,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) duration: Duration,
    pub(crate) response: Option<Duration>,
}

impl Series {
    pub(crate) fn count(&self, counted: &Counted) {
        self.count_code(counted.status);
        if let Some(status) = counted.grpc_status {
            add(&self.grpc[usize::from(status.number())], 1);
        }
        match counted.ending {
            Ending::Ok => add(&self.ok, 1),
            other => add(&self.endings[other as usize], 1),
        }
        add(&self.received_bytes, counted.received_bytes);
        add(&self.sent_bytes, counted.sent_bytes);
        self.duration.record(counted.duration, &self.duration_us);
        if let Some(response) = counted.response {
            self.response.record(response, &self.response_us);
        }
    }

    /// A slot is free while its count is 0; the last one is for all codes that found none.
    fn count_code(&self, status: u16) {
        let (last, own) = (&self.codes[CODES - 1], &self.codes[..CODES - 1]);
        let slot = own.iter().find(|(code, count)| count.load(Relaxed) == 0 || code.load(Relaxed) == status);
        match slot {
            Some((code, count)) => {
                code.store(status, Relaxed);
                add(count, 1);
            }
            None => {
                last.0.store(OTHER_CODE, Relaxed);
                add(&last.1, 1);
            }
        }
    }
}

/// The counters of one thread for the flows of one (listener, route, endpoint).
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct FlowSeries {
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    duration_us: AtomicU64,
    connect_us: AtomicU64,
    endings: PerEnding<AtomicU64>,
    duration: Histogram,
    connect: Histogram,
}

impl FlowSeries {
    /// So many bytes more have been taken by the endpoint, and by the client.
    pub(crate) fn carry(&self, received: u64, sent: u64) {
        add(&self.received_bytes, received);
        add(&self.sent_bytes, sent);
    }

    /// A flow has ended. `connect`: what it took to have a connection, where there was one.
    pub(crate) fn count(&self, ending: Ending, duration: Duration, connect: Option<Duration>) {
        add(&self.endings[ending as usize], 1);
        self.duration.record(duration, &self.duration_us);
        if let Some(connect) = connect {
            self.connect.record(connect, &self.connect_us);
        }
    }
}

/// Whose counters a series holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    pub(crate) listener: Arc<str>,
    pub(crate) route: Arc<str>,
    /// Pool and endpoint.
    pub(crate) endpoint: Option<(Arc<str>, Arc<str>)>,
}

/// All series of one thread. The thread itself finds them by its table's positions; this is only locked for a new one.
#[derive(Debug, Default)]
pub(crate) struct SeriesBook {
    exchanges: Shelf<Series>,
    flows: Shelf<FlowSeries>,
}

type Shelf<T> = Mutex<HashMap<SeriesKey, Arc<T>>>;

fn locked<T>(shelf: &Shelf<T>) -> std::sync::MutexGuard<'_, HashMap<SeriesKey, Arc<T>>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SeriesBook {
    pub(crate) fn series(&self, key: SeriesKey) -> Arc<Series> {
        Arc::clone(locked(&self.exchanges).entry(key).or_default())
    }

    pub(crate) fn flow_series(&self, key: SeriesKey) -> Arc<FlowSeries> {
        Arc::clone(locked(&self.flows).entry(key).or_default())
    }

    /// Drops the series that `keep` does not name and no table uses.
    pub(crate) fn prune(&self, keep: impl Fn(&SeriesKey) -> bool) {
        locked(&self.exchanges).retain(|key, series| Arc::strong_count(series) > 1 || keep(key));
        locked(&self.flows).retain(|key, series| Arc::strong_count(series) > 1 || keep(key));
    }
}

#[derive(Default)]
struct Sum {
    codes: std::collections::BTreeMap<u16, u64>,
    grpc: [u64; Status::COUNT],
    endings: PerEnding<u64>,
    received_bytes: u64,
    sent_bytes: u64,
    duration: HistogramSum,
    response: HistogramSum,
}

/// The series of all threads, added up and in a stable order.
pub(crate) fn sum<'a>(books: impl Iterator<Item = &'a SeriesBook>) -> Vec<SeriesStats> {
    let mut sums = std::collections::BTreeMap::<SeriesKey, Sum>::new();
    for book in books {
        for (key, series) in locked(&book.exchanges).iter() {
            add_series(sums.entry(key.clone()).or_default(), series);
        }
    }
    sums.into_iter().map(|(key, sum)| series_stats(&key, &sum)).collect()
}

fn add_series(sum: &mut Sum, series: &Series) {
    for (code, count) in &series.codes {
        let count = count.load(Relaxed);
        if count > 0 {
            *sum.codes.entry(code.load(Relaxed)).or_default() += count;
        }
    }
    for (total, count) in sum.grpc.iter_mut().zip(&series.grpc) {
        *total += count.load(Relaxed);
    }
    for (total, ending) in sum.endings.iter_mut().zip(series.endings.iter()) {
        *total += ending.load(Relaxed);
    }
    sum.endings[Ending::Ok as usize] += series.ok.load(Relaxed);
    sum.received_bytes += series.received_bytes.load(Relaxed);
    sum.sent_bytes += series.sent_bytes.load(Relaxed);
    series.duration.add_to(&series.duration_us, &mut sum.duration);
    series.response.add_to(&series.response_us, &mut sum.response);
}

#[derive(Default)]
struct FlowSum {
    endings: PerEnding<u64>,
    received_bytes: u64,
    sent_bytes: u64,
    duration: HistogramSum,
    connect: HistogramSum,
}

/// The same for flows.
pub(crate) fn sum_flows<'a>(books: impl Iterator<Item = &'a SeriesBook>) -> Vec<FlowSeriesStats> {
    let mut sums = std::collections::BTreeMap::<SeriesKey, FlowSum>::new();
    for book in books {
        for (key, series) in locked(&book.flows).iter() {
            let sum = sums.entry(key.clone()).or_default();
            for (total, ending) in sum.endings.iter_mut().zip(series.endings.iter()) {
                *total += ending.load(Relaxed);
            }
            sum.received_bytes += series.received_bytes.load(Relaxed);
            sum.sent_bytes += series.sent_bytes.load(Relaxed);
            series.duration.add_to(&series.duration_us, &mut sum.duration);
            series.connect.add_to(&series.connect_us, &mut sum.connect);
        }
    }
    let stats = sums.into_iter().map(|(key, sum)| FlowSeriesStats {
        listener: key.listener.to_string(),
        route: key.route.to_string(),
        pool: key.endpoint.as_ref().map(|(pool, _)| pool.to_string()),
        endpoint: key.endpoint.as_ref().map(|(_, endpoint)| endpoint.to_string()),
        endings: ending_counts(&sum.endings),
        received_bytes: sum.received_bytes,
        sent_bytes: sum.sent_bytes,
        duration: sum.duration.stats(),
        connect: sum.connect.stats(),
    });
    stats.collect()
}

fn ending_counts(endings: &[u64]) -> Vec<EndingCount> {
    let seen = Ending::WORDS.iter().zip(endings).filter(|(_, count)| **count > 0);
    seen.map(|(ending, count)| EndingCount { ending: (*ending).to_owned(), count: *count }).collect()
}

fn series_stats(key: &SeriesKey, sum: &Sum) -> SeriesStats {
    let grpc = (0..).zip(sum.grpc).filter(|(_, count)| *count > 0);
    SeriesStats {
        listener: key.listener.to_string(),
        route: key.route.to_string(),
        pool: key.endpoint.as_ref().map(|(pool, _)| pool.to_string()),
        endpoint: key.endpoint.as_ref().map(|(_, endpoint)| endpoint.to_string()),
        codes: sum.codes.iter().map(|(code, count)| CodeCount { code: *code, count: *count }).collect(),
        endings: ending_counts(&sum.endings),
        received_bytes: sum.received_bytes,
        sent_bytes: sum.sent_bytes,
        duration: sum.duration.stats(),
        response: sum.response.stats(),
        grpc_codes: grpc.map(|(code, count)| CodeCount { code, count }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_below_its_bucket_and_not_below_the_one_before() {
        for us in
            (0..5_000).chain((0..36).flat_map(|power| [(1_u64 << power) - 1, 1 << power, (1 << power) + 1]))
        {
            let bucket = bucket_of(us);
            assert!(us < upper_us(bucket), "{us}");
            assert!(bucket == 0 || us >= upper_us(bucket - 1), "{us}");
        }
    }

    #[test]
    fn powers_of_two_are_bounds_so_that_prometheus_buckets_are_exact() {
        let uppers: Vec<u64> = (0..BUCKETS).map(upper_us).collect();
        assert!((0..36).all(|power| uppers.contains(&(1 << power))));
    }

    #[test]
    fn an_endpoint_that_invents_codes_does_not_invent_metrics() {
        let series = Series::default();
        for status in 100..400 {
            series.count_code(status);
        }
        let mut sum = Sum::default();
        add_series(&mut sum, &series);
        assert_eq!(sum.codes.len(), CODES);
        assert_eq!(sum.codes.values().sum::<u64>(), 300);
        assert_eq!(sum.codes[&OTHER_CODE], 300 - 15);
    }
}
