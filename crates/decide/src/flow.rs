//! Where a flow goes: by what its TLS hello asks for, and by its client.

pub mod lifetime;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bascule_contract::flows;
use foldhash::fast::FixedState;

use crate::limit::RateLimit;
use crate::networks::Networks;
use crate::request::Request;

/// The routes of a listener's flows. Looking one up costs the same for ten names and for ten thousand.
#[derive(Debug, Default)]
pub struct FlowRoutes {
    routes: Vec<FlowRoute>,
    /// Routes that ask for a name, by that name, in their order.
    exact: Positions,
    /// The same by what follows `*.`.
    below: Positions,
    /// Routes that take any name, and flows without one.
    any: Vec<usize>,
    reads_hello: bool,
}

type Positions = HashMap<Box<str>, Vec<usize>, FixedState>;

/// What becomes of the flows that match.
#[derive(Debug)]
pub struct FlowRoute {
    /// Stable name, unique within the listener.
    pub id: Arc<str>,
    /// Of the table.
    pub pool: usize,
    /// All must let a new flow through.
    pub limits: Vec<RateLimit>,
    /// Who waits in a queue: higher ones go first. 0 to 9.
    pub priority: u32,
    /// Silence in both directions after which it is closed, in milliseconds.
    pub idle_ms: u64,
    /// The whole of it, in milliseconds.
    pub total_ms: Option<u64>,
    alpn: Vec<Box<[u8]>>,
    clients: Networks,
}

/// What is known of a flow when its route is looked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening<'a> {
    /// The name that it asks for, in lower case; `None` where it asks for none, or is not TLS.
    pub server_name: Option<&'a str>,
    /// The protocols that it offers.
    pub alpn: &'a [&'a [u8]],
    /// Its address; `None` on Unix sockets.
    pub client: Option<IpAddr>,
}

impl Opening<'_> {
    /// As pools and limits see it: the name is the host.
    pub fn request(&self) -> Request<'_> {
        Request {
            method: "",
            host: self.server_name.unwrap_or(""),
            path: b"",
            query: None,
            fields: &[],
            client: self.client,
            identity: None,
        }
    }
}

impl FlowRoutes {
    /// Whether a route can be told only once the client has said its TLS hello, if it says one.
    pub fn read_hello(&self) -> bool {
        self.reads_hello
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The first route that takes the flow.
    pub fn find(&self, opening: &Opening<'_>) -> Option<usize> {
        let fits = |at: &&usize| self.routes[**at].takes(opening);
        let first = |some: Option<&Vec<usize>>| some.and_then(|some| some.iter().find(fits)).copied();
        let mut found = first(Some(&self.any));
        if let Some(name) = opening.server_name {
            let parents = std::iter::successors(name.split_once('.'), |(_, parent)| parent.split_once('.'));
            let below = parents.filter_map(|(_, parent)| first(self.below.get(parent)));
            found = found.into_iter().chain(first(self.exact.get(name))).chain(below).min();
        }
        found
    }

    /// The route at this position.
    pub fn at(&self, position: usize) -> &FlowRoute {
        &self.routes[position]
    }

    /// Every route, in order.
    pub fn iter(&self) -> impl Iterator<Item = &FlowRoute> {
        self.routes.iter()
    }

    /// Compiles routes. `pool` finds a pool's position, `limits` compiles the rate limits of a route.
    ///
    /// # Errors
    /// Everything that is wrong, in words.
    pub(crate) fn compile(
        wanted: &[flows::FlowRoute],
        pool: impl Fn(&str) -> Option<usize>,
        mut limits: impl FnMut(&flows::FlowRoute) -> Result<Vec<RateLimit>, String>,
    ) -> Result<Self, Vec<String>> {
        let (mut compiled, mut problems, mut ids) = (Self::default(), Vec::new(), BTreeSet::new());
        for route in wanted {
            let problem = |what: String| format!("flow \"{}\": {what}", route.id);
            if !ids.insert(&route.id) {
                problems.push(problem("is there twice".to_owned()));
            }
            match FlowRoute::compile(route, &pool, &mut limits) {
                Ok(route_compiled) => compiled.add(route, route_compiled),
                Err(what) => problems.push(problem(what)),
            }
        }
        if problems.is_empty() { Ok(compiled) } else { Err(problems) }
    }

    fn add(&mut self, wanted: &flows::FlowRoute, route: FlowRoute) {
        let at = self.routes.len();
        self.reads_hello |= !wanted.server_names.is_empty() || !route.alpn.is_empty();
        for name in &wanted.server_names {
            let name = name.to_ascii_lowercase();
            let (map, key) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.below, parent),
                None => (&mut self.exact, name.as_str()),
            };
            map.entry(key.into()).or_default().push(at);
        }
        if wanted.server_names.is_empty() {
            self.any.push(at);
        }
        self.routes.push(route);
    }
}

impl FlowRoute {
    fn compile(
        wanted: &flows::FlowRoute,
        pool: impl Fn(&str) -> Option<usize>,
        limits: impl FnOnce(&flows::FlowRoute) -> Result<Vec<RateLimit>, String>,
    ) -> Result<Self, String> {
        Ok(Self {
            id: wanted.id.as_str().into(),
            pool: pool(&wanted.pool).ok_or_else(|| format!("there is no pool \"{}\"", wanted.pool))?,
            limits: limits(wanted)?,
            priority: wanted.priority,
            idle_ms: wanted.idle_ms,
            total_ms: wanted.total_ms,
            alpn: wanted.alpn.iter().map(|protocol| protocol.as_bytes().into()).collect(),
            clients: Networks::parse(&wanted.clients)?,
        })
    }

    fn takes(&self, opening: &Opening<'_>) -> bool {
        let offered = |protocol: &&[u8]| self.alpn.iter().any(|wanted| **wanted == **protocol);
        (self.alpn.is_empty() || opening.alpn.iter().any(offered))
            && (self.clients.is_empty() || opening.client.is_some_and(|client| self.clients.contains(client)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(id: &str, server_names: &[&str], alpn: &[&str], clients: &[&str]) -> flows::FlowRoute {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        flows::FlowRoute {
            id: id.to_owned(),
            server_names: owned(server_names),
            alpn: owned(alpn),
            clients: owned(clients),
            pool: "p".to_owned(),
            limits: Vec::new(),
            priority: 5,
            idle_ms: 1,
            total_ms: None,
        }
    }

    fn compiled(routes: &[flows::FlowRoute]) -> FlowRoutes {
        FlowRoutes::compile(routes, |_| Some(0), |_| Ok(Vec::new())).expect("routes")
    }

    fn named(name: &str) -> Opening<'_> {
        Opening { server_name: Some(name), ..Opening::default() }
    }

    #[test]
    fn the_first_route_that_takes_a_name_wins_however_it_is_written() {
        let routes = compiled(&[
            route("below", &["*.a.example"], &[], &[]),
            route("exact", &["x.a.example", "B.example"], &[], &[]),
            route("rest", &[], &[], &[]),
            route("late", &["c.example"], &[], &[]),
        ]);
        let ask = |name| routes.find(&named(name)).map(|at| &*routes.at(at).id);
        assert_eq!(ask("x.a.example"), Some("below"));
        assert_eq!(ask("y.x.a.example"), Some("below"));
        assert_eq!(ask("b.example"), Some("exact"));
        assert_eq!(ask("a.example"), Some("rest"));
        assert_eq!(ask("c.example"), Some("rest"));
        assert_eq!(routes.find(&Opening::default()), Some(2));
    }

    #[test]
    fn all_conditions_of_a_route_must_hold() {
        let routes = compiled(&[route("all", &["a.example"], &["h2", "xmpp"], &["10.0.0.0/8"])]);
        let inside = Some(IpAddr::from([10, 1, 2, 3]));
        let whole = Opening { server_name: Some("a.example"), alpn: &[b"http/1.1", b"xmpp"], client: inside };
        assert_eq!(routes.find(&whole), Some(0));
        assert_eq!(routes.find(&Opening { server_name: None, ..whole }), None);
        assert_eq!(routes.find(&Opening { alpn: &[b"http/1.1"], ..whole }), None);
        assert_eq!(routes.find(&Opening { client: Some(IpAddr::from([11, 0, 0, 1])), ..whole }), None);
        assert_eq!(routes.find(&Opening { client: None, ..whole }), None);
    }

    #[test]
    fn the_hello_is_read_only_where_a_route_asks_for_it() {
        assert!(!compiled(&[route("all", &[], &[], &["10.0.0.0/8"])]).read_hello());
        assert!(compiled(&[route("name", &["a"], &[], &[])]).read_hello());
        assert!(compiled(&[route("protocol", &[], &["h2"], &[])]).read_hello());
    }

    #[test]
    fn everything_that_is_wrong_is_said() {
        let wrong = [route("a", &[], &[], &["10.0.0.0/33"]), route("a", &[], &[], &[])];
        let problems = FlowRoutes::compile(&wrong, |_| None, |_| Ok(Vec::new())).expect_err("wrong");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
