//! Host, then path → the routes that are worth a look, in ascending order.

use std::collections::HashMap;

use foldhash::quality::FixedState;

use crate::request::Request;

/// One host that a route is for. Lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKey {
    /// This host.
    Exact(Box<str>),
    /// All hosts below this one, by one label or more: `example.com` for `*.example.com`.
    Below(Box<str>),
}

/// One path that a route is for, in routed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathKey {
    /// This path.
    Exact(Box<[u8]>),
    /// This path, and all below it. Has no slash at the end: the root is empty.
    Prefix(Box<[u8]>),
}

/// The keys are the operator's, so that no client can choose colliding ones: a fixed seed is enough.
type Map<K, V> = HashMap<K, V, FixedState>;

/// By host.
pub(super) struct Hosts {
    seed: u64,
    exact: Map<Box<str>, Paths>,
    below: Map<Box<str>, Paths>,
    /// Length of the longest key of `below`: longer suffixes need no look.
    longest_below: usize,
    any: Paths,
}

/// By path, within one host.
struct Paths {
    exact: Map<Box<[u8]>, Vec<u32>>,
    prefix: Map<Box<[u8]>, Vec<u32>>,
    /// Length of the longest key of `prefix`: a long path must not cost a look per segment.
    longest_prefix: usize,
    any: Vec<u32>,
    /// The lowest route in here: where a lower one has been found already, there is nothing to gain.
    lowest: u32,
}

impl Hosts {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, exact: empty_map(seed), below: empty_map(seed), longest_below: 0, any: Paths::new(seed) }
    }

    /// Adds a route, which must be higher than all before it. No hosts means all hosts, no paths all paths.
    pub(super) fn insert(&mut self, route: u32, hosts: &[HostKey], paths: &[PathKey]) {
        let seed = self.seed;
        if hosts.is_empty() {
            self.any.insert(route, paths);
        }
        for host in hosts {
            let bucket = match host {
                HostKey::Exact(host) => self.exact.entry(host.clone()),
                HostKey::Below(parent) => {
                    self.longest_below = self.longest_below.max(parent.len());
                    self.below.entry(parent.clone())
                }
            };
            bucket.or_insert_with(|| Paths::new(seed)).insert(route, paths);
        }
    }

    /// The lowest route whose host and path fit and that `accepts`.
    pub(super) fn first(&self, request: &Request<'_>, accepts: &dyn Fn(u32) -> bool) -> Option<usize> {
        let mut best = u32::MAX;
        if let Some(paths) = self.exact.get(request.host) {
            best = paths.first(request.path, best, accepts);
        }
        if !self.below.is_empty() {
            for parent in parents(request.host).filter(|parent| parent.len() <= self.longest_below) {
                if let Some(paths) = self.below.get(parent) {
                    best = paths.first(request.path, best, accepts);
                }
            }
        }
        best = self.any.first(request.path, best, accepts);
        (best != u32::MAX).then_some(best as usize)
    }
}

impl Paths {
    fn new(seed: u64) -> Self {
        Self {
            exact: empty_map(seed),
            prefix: empty_map(seed),
            longest_prefix: 0,
            any: Vec::new(),
            lowest: u32::MAX,
        }
    }

    fn insert(&mut self, route: u32, paths: &[PathKey]) {
        self.lowest = self.lowest.min(route);
        if paths.is_empty() {
            push(&mut self.any, route);
        }
        for path in paths {
            let bucket = match path {
                PathKey::Exact(path) => self.exact.entry(path.clone()),
                PathKey::Prefix(path) => {
                    self.longest_prefix = self.longest_prefix.max(path.len());
                    self.prefix.entry(path.clone())
                }
            };
            push(bucket.or_default(), route);
        }
    }

    /// The lowest route here below `best`, or `best`.
    fn first(&self, path: &[u8], mut best: u32, accepts: &dyn Fn(u32) -> bool) -> u32 {
        if self.lowest >= best {
            return best;
        }
        if let Some(routes) = self.exact.get(path) {
            best = first(routes, best, accepts);
        }
        if !self.prefix.is_empty() {
            for prefix in prefixes(path).take_while(|prefix| prefix.len() <= self.longest_prefix) {
                if let Some(routes) = self.prefix.get(prefix) {
                    best = first(routes, best, accepts);
                }
            }
        }
        first(&self.any, best, accepts)
    }
}

fn empty_map<K, V>(seed: u64) -> Map<K, V> {
    Map::with_hasher(FixedState::with_seed(seed))
}

/// A host or path may be written twice in one route; it is one route all the same.
fn push(routes: &mut Vec<u32>, route: u32) {
    if routes.last() != Some(&route) {
        routes.push(route);
    }
}

fn first(routes: &[u32], best: u32, accepts: &dyn Fn(u32) -> bool) -> u32 {
    let worthwhile = routes.iter().copied().take_while(|route| *route < best);
    worthwhile.into_iter().find(|route| accepts(*route)).unwrap_or(best)
}

/// What follows each dot of `host`, longest first, provided that something precedes the dot.
pub(super) fn parents(host: &str) -> impl Iterator<Item = &str> {
    let dots = memchr::memchr_iter(b'.', host.as_bytes()).filter(|at| *at > 0);
    dots.map(|at| &host[at + 1..])
}

/// What precedes each slash of `path`, shortest first, and then `path` itself.
pub(super) fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr::memchr_iter(b'/', path).chain(std::iter::once(path.len()));
    ends.map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::{parents, prefixes};

    #[test]
    fn parents_are_the_names_above_a_host() {
        assert_eq!(parents("a.b.example.com").collect::<Vec<_>>(), ["b.example.com", "example.com", "com"]);
        assert_eq!(parents(".example.com").collect::<Vec<_>>(), ["com"]);
        assert_eq!(parents("localhost").count() + parents("").count(), 0);
    }

    #[test]
    fn prefixes_end_where_segments_end() {
        let of =
            |path: &'static str| prefixes(path.as_bytes()).map(String::from_utf8_lossy).collect::<Vec<_>>();
        assert_eq!(of("/v1/x"), ["", "/v1", "/v1/x"]);
        assert_eq!(of("/v1/"), ["", "/v1", "/v1/"]);
        assert_eq!(of("/"), ["", "/"]);
        assert_eq!(of("*"), ["*"]);
        assert_eq!(of(""), [""]);
    }
}
