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
pub(crate) use self::matchers::query::query_values;
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
        let mut compiled = Self { hosts: Hosts::new(seed), tests: Vec::with_capacity(routes.len()) };
        for (number, route) in (0..).zip(routes) {
            let mut matchers = Vec::with_capacity(route.matchers.len());
            for wanted in &route.matchers {
                match matcher::build(wanted) {
                    Ok(matcher) => matchers.push(matcher),
                    Err(problem) => {
                        problems
                            .push(format!("route \"{}\": matcher \"{}\": {problem}", route.id, wanted.name));
                    }
                }
            }
            compiled.insert(number, matchers);
        }
        if problems.is_empty() { Ok(compiled) } else { Err(problems) }
    }

    /// The position of the first route that matches, in the order of the snapshot.
    ///
    /// Pure, total on any bytes, and allocates nothing unless a query parameter has to be decoded.
    pub fn find(&self, request: &Request<'_>) -> Option<usize> {
        self.hosts
            .first(request, &|route| self.tests[route as usize].iter().all(|test| test.matches(request)))
    }

    /// Puts a route into the index; what the index cannot answer stays a test.
    fn insert(&mut self, route: u32, mut matchers: Vec<Box<dyn Matcher>>) {
        let by_host = matchers.iter().position(|it| matches!(it.keys(), Keys::Hosts(_)));
        let by_host = by_host.map(|at| matchers.remove(at));
        let by_path = matchers.iter().position(|it| matches!(it.keys(), Keys::Paths(_)));
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bascule_contract::snapshot;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Routes, matcher};
    use crate::cases;
    use crate::request::Request;
    use crate::samples;

    fn compile(routes: &[snapshot::Route]) -> Routes {
        Routes::compile(routes, 1).unwrap()
    }

    fn request<'a>(host: &'a str, path: &'a [u8]) -> Request<'a> {
        Request { method: "GET", host, path, query: None, fields: &[], client: None, identity: None }
    }

    fn hosts(hosts: &[&str]) -> snapshot::Matcher {
        samples::matcher("host", json!({"hosts": hosts}))
    }

    fn prefix(path: &str) -> snapshot::Matcher {
        samples::matcher("path", json!({"paths": [{"kind": "prefix", "value": path}]}))
    }

    #[test]
    fn the_first_match_wins_whatever_is_more_specific() {
        let routes = [
            samples::route("a", vec![hosts(&["x.example.com"]), prefix("/v1/deep")], "p"),
            samples::route("b", vec![hosts(&["*.example.com"]), prefix("/v1")], "p"),
            samples::route("c", vec![hosts(&["x.example.com"])], "p"),
            samples::route("d", vec![prefix("/v1/deep/er")], "p"),
        ];
        let routes = compile(&routes);
        for (host, path, expected) in [
            ("x.example.com", "/v1/deep/er", Some(0)),
            ("x.example.com", "/v1/x", Some(1)),
            ("y.example.com", "/v1/deep/er", Some(1)),
            ("x.example.com", "/v2", Some(2)),
            ("other", "/v1/deep/er", Some(3)),
            ("other", "/v1/deep", None),
            ("", "/", None),
        ] {
            assert_eq!(routes.find(&request(host, path.as_bytes())), expected, "{host}{path}");
        }
    }

    #[test]
    fn a_route_whose_other_matchers_fail_lets_later_ones_have_the_request() {
        let post = samples::matcher("method", json!({"methods": ["POST"]}));
        let routes = compile(&[
            samples::route("a", vec![prefix("/v1"), post], "p"),
            samples::route("b", vec![prefix("/v1")], "p"),
        ]);
        assert_eq!(routes.find(&request("", b"/v1")), Some(1));
        assert_eq!(routes.find(&Request { method: "POST", ..request("", b"/v1") }), Some(0));
    }

    #[test]
    fn two_matchers_of_one_kind_must_both_hold() {
        let routes = compile(&[samples::route(
            "a",
            vec![prefix("/a"), prefix("/a/b"), hosts(&["x", "y"]), hosts(&["y", "z"])],
            "p",
        )]);
        assert_eq!(routes.find(&request("y", b"/a/b/c")), Some(0));
        assert_eq!(routes.find(&request("y", b"/a")), None);
        assert_eq!(routes.find(&request("x", b"/a/b")), None);
    }

    #[test]
    fn a_route_with_very_many_hosts_and_paths_is_found_too() {
        let names: Vec<String> = (0..400).map(|number| format!("h{number}.example.com")).collect();
        let paths: Vec<Value> =
            (0..400).map(|number| json!({"kind": "exact", "value": format!("/p{number}")})).collect();
        let routes = compile(&[samples::route(
            "a",
            vec![
                samples::matcher("host", json!({"hosts": names})),
                samples::matcher("path", json!({"paths": paths})),
            ],
            "p",
        )]);
        assert_eq!(routes.find(&request("h399.example.com", b"/p399")), Some(0));
        assert_eq!(routes.find(&request("h399.example.com", b"/p400")), None);
        assert_eq!(routes.find(&request("h400.example.com", b"/p1")), None);
    }

    #[test]
    fn mistakes_name_their_route_and_matcher_all_at_once() {
        let routes = [
            samples::route("a", vec![samples::matcher("hots", json!({}))], "p"),
            samples::route("b", vec![hosts(&[]), prefix("v1")], "p"),
            samples::route("c", vec![samples::matcher("host", json!({"host": ["x"]}))], "p"),
        ];
        let problems = Routes::compile(&routes, 1).err().unwrap();
        for (problem, expected) in problems.iter().zip([
            "route \"a\": matcher \"hots\": there is no such matcher; there are host, path, method, header, query, client, client_certificate",
            "route \"b\": matcher \"host\": \"hosts\" is empty; leave the matcher out to match everything",
            "route \"b\": matcher \"path\": no request can have the path \"v1\": the path does not begin with a slash",
            "route \"c\": matcher \"host\": unknown field `host`, expected `hosts`",
        ]) {
            assert_eq!(problem, expected);
        }
        assert_eq!(problems.len(), 4);
    }

    /// What the documentation says about hosts and paths, without any of the index's code.
    fn holds(wanted: &snapshot::Matcher, request: &Request<'_>) -> bool {
        let texts = |list: &str| wanted.options[list].as_array().unwrap().clone();
        match wanted.name.as_str() {
            "host" => texts("hosts").iter().any(|host| match host.as_str().unwrap().strip_prefix('*') {
                Some(dotted) => request.host.len() > dotted.len() && request.host.ends_with(dotted),
                None => host == request.host,
            }),
            "path" => texts("paths").iter().any(|path| {
                let value = path["value"].as_str().unwrap();
                match path["kind"].as_str().unwrap() {
                    "exact" => request.path == value.as_bytes(),
                    "prefix" => {
                        let stem = value.trim_end_matches('/');
                        request.path == stem.as_bytes()
                            || request.path.starts_with(format!("{stem}/").as_bytes())
                    }
                    _ => regex::bytes::Regex::new(value).unwrap().is_match(request.path),
                }
            }),
            _ => matcher::build(wanted).unwrap().matches(request),
        }
    }

    fn find_naively(routes: &[snapshot::Route], request: &Request<'_>) -> Option<usize> {
        routes.iter().position(|route| route.matchers.iter().all(|wanted| holds(wanted, request)))
    }

    fn host_names() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "example", "com"]), 1..4)
            .prop_map(|labels| labels.join("."))
    }

    fn path_names() -> impl Strategy<Value = String> {
        let segments = prop::collection::vec(prop::sample::select(vec!["a", "b", "v1", "v10"]), 0..4);
        (segments, any::<bool>()).prop_map(|(segments, slash)| {
            let path = format!("/{}", segments.join("/"));
            if slash && path.len() > 1 { path + "/" } else { path }
        })
    }

    fn matchers() -> impl Strategy<Value = snapshot::Matcher> {
        let host = (host_names(), any::<bool>())
            .prop_map(|(host, wild)| if wild { format!("*.{host}") } else { host });
        let path = prop_oneof![
            4 => (prop::sample::select(vec!["exact", "prefix"]), path_names()),
            1 => (Just("regex"), prop::sample::select(vec!["^/a", "v1/?$", "(?-u)\\xff"]).prop_map(String::from)),
        ]
        .prop_map(|(kind, value)| json!({"kind": kind, "value": value}));
        let test = prop::sample::select(vec![
            json!({"kind": "present"}),
            json!({"kind": "absent"}),
            json!({"kind": "exact", "value": "1"}),
            json!({"kind": "regex", "value": "^1"}),
        ]);
        prop_oneof![
            3 => prop::collection::vec(host, 1..4).prop_map(|hosts| samples::matcher("host", json!({"hosts": hosts}))),
            3 => prop::collection::vec(path, 1..4).prop_map(|paths| samples::matcher("path", json!({"paths": paths}))),
            1 => Just(samples::matcher("method", json!({"methods": ["GET"]}))),
            1 => test.clone().prop_map(|test| samples::matcher("header", json!({"name": "x-a", "test": test}))),
            1 => test.prop_map(|test| samples::matcher("query", json!({"name": "q", "test": test}))),
            1 => Just(samples::matcher("client", json!({"networks": ["10.0.0.0/8"]}))),
        ]
    }

    fn odd<T: Strategy<Value = String>>(usual: T) -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![6 => usual.prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 0..12)]
    }

    proptest! {
        #![proptest_config(cases::fixed(400))]

        #[test]
        fn routes_vs_naive(
            routes in prop::collection::vec(prop::collection::vec(matchers(), 0..4), 0..12),
            requests in prop::collection::vec((prop_oneof![6 => host_names(), 1 => ".{0,6}"], odd(path_names()), odd(Just("q=1".into())), any::<(bool, bool, bool)>()), 30),
        ) {
            let routes: Vec<_> = routes.into_iter().map(|matchers| samples::route("r", matchers, "p")).collect();
            let index = compile(&routes);
            for (host, path, query, (get, header, client)) in &requests {
                let fields = [httparse::Header { name: "X-A", value: b" 1" }];
                let request = Request {
                    method: if *get { "GET" } else { "POST" },
                    host,
                    path,
                    query: Some(query),
                    fields: if *header { &fields } else { &[] },
                    client: client.then_some(IpAddr::from([10, 0, 0, 1])),
                    identity: None,
                };
                prop_assert_eq!(index.find(&request), find_naively(&routes, &request), "{:?}", request);
            }
        }
    }
}
