//! Which route takes a request: the first that matches, found without looking at the others.
//!
//! Hosts and paths are indexed: ten thousand of them cost what ten cost. Only routes whose host and
//! path fit are looked at, in their order, and asked about the rest.

mod index;
pub mod matcher;
mod matchers;
mod value_test;

use bascule_contract::snapshot;

use self::index::Hosts;
use self::matcher::{Keys, Matcher};
use crate::request::Request;

/// The routes of a listener, indexed.
pub struct Routes {
    hosts: Hosts,
    /// By route: what the index has not answered.
    tests: Vec<Vec<Box<dyn Matcher>>>,
}

/// A route with more combinations of hosts and paths than this is indexed by its hosts only.
const MOST_COMBINATIONS: usize = 65_536;

impl Routes {
    /// Indexes `routes`. Each problem names the route and the matcher.
    pub fn compile(routes: &[snapshot::Route], seed: u64) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut compiled = Self {
            hosts: Hosts::new(seed),
            tests: Vec::with_capacity(routes.len()),
        };
        for (number, route) in (0..).zip(routes) {
            let mut matchers = Vec::with_capacity(route.matchers.len());
            for wanted in &route.matchers {
                match matcher::build(wanted) {
                    Ok(matcher) => matchers.push(matcher),
                    Err(problem) => {
                        problems.push(format!(
                            "route \"{}\": matcher \"{}\": {problem}",
                            route.id, wanted.name
                        ));
                    }
                }
            }
            compiled.insert(number, matchers);
        }
        if problems.is_empty() {
            Ok(compiled)
        } else {
            Err(problems)
        }
    }

    /// The position of the first route that matches, in the order of the snapshot.
    ///
    /// Pure, total on any bytes, and allocates nothing unless a query parameter has to be decoded.
    pub fn find(&self, request: &Request<'_>) -> Option<usize> {
        self.hosts.first(request, &|route| {
            self.tests[route as usize]
                .iter()
                .all(|test| test.matches(request))
        })
    }

    /// Puts a route into the index; what the index cannot answer stays a test.
    fn insert(&mut self, route: u32, mut matchers: Vec<Box<dyn Matcher>>) {
        let by_host = matchers
            .iter()
            .position(|it| matches!(it.keys(), Keys::Hosts(_)));
        let by_host = by_host.map(|at| matchers.remove(at));
        let by_path = matchers
            .iter()
            .position(|it| matches!(it.keys(), Keys::Paths(_)));
        let by_path = by_path.map(|at| matchers.remove(at));
        let hosts = match by_host.as_ref().map(|it| it.keys()) {
            Some(Keys::Hosts(hosts)) => hosts,
            _ => &[],
        };
        let paths = match by_path.as_ref().map(|it| it.keys()) {
            Some(Keys::Paths(paths)) => paths,
            _ => &[],
        };
        if hosts.len().saturating_mul(paths.len()) > MOST_COMBINATIONS {
            self.hosts.insert(route, hosts, &[]);
            matchers.extend(by_path);
        } else {
            self.hosts.insert(route, hosts, paths);
        }
        self.tests.push(matchers);
    }
}
