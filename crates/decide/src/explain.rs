//! What would become of a request, and why: the decisions of production, with their reasons in words.
//!
//! Nothing is counted and nothing is taken; what is shared (requests in flight, standings, sessions) is read as it is now.

use std::borrow::Cow;
use std::net::IpAddr;

use bascule_contract::explain::{Deed, Explanation, PoolSeen, Question, Refusal, RouteSeen, Seen};
use bascule_contract::snapshot::{self, Snapshot};
use serde_json::Value;

use crate::balance::Slot;
use crate::http1::request::{HeadLimits, Malformed, parse};
use crate::http1::{RequestHead, field_room, routing_host};
use crate::path::normalize;
use crate::pick::{Ask, Picker};
use crate::random::Random;
use crate::request::Request;
use crate::route::matcher;
use crate::sessions::cookie::Claim;
use crate::sessions::pool::{KnownBy, Said};
use crate::table::{Action, Listener, Pool, Table};
use crate::template::Facts;
use crate::time::Tick;

/// Routes that are named on the way to the one that matches; of thousands the last ones say the most.
const MOST_ROUTES: usize = 50;

/// Thinks a request through. `table` must be compiled from `snapshot`.
///
/// # Errors
/// The question makes no sense: there is no such listener, or it carries no HTTP.
pub fn explain(
    table: &Table,
    snapshot: &Snapshot,
    question: &Question,
    (now, random): (Tick, &mut Random),
) -> Result<Explanation, String> {
    let place = table.listener(&question.listener);
    let place = place.ok_or_else(|| format!("there is no listener \"{}\"", question.listener))?;
    let listener = &table.listeners[place];
    let peer = question.client.as_deref().map(str::parse::<IpAddr>).transpose();
    let peer = peer.map_err(|_| format!("{:?} is not an IP address", question.client))?;
    let mut room = field_room();
    let head = match parse(question.head.as_bytes(), limits(listener), &mut room) {
        Ok(Some(head)) => head,
        Ok(None) => return Ok(refused(Malformed::Syntax)),
        Err(malformed) => return Ok(refused(malformed)),
    };
    let path = if head.target.path == b"*" {
        (Cow::Borrowed(&b"*"[..]), Cow::Borrowed(&b"*"[..]))
    } else {
        match normalize(head.target.path) {
            Ok(normal) => (normal.routed, normal.forwarded),
            Err(problem) => return Ok(refused(Malformed::Path(problem))),
        }
    };
    let host = routing_host(head.authority);
    let asked = Request {
        method: head.method,
        host: &host,
        path: &path.0,
        query: head.target.query,
        fields: head.fields,
        client: head.client(peer, &listener.forwarded.trusted),
        identity: None,
    };
    let wanted = &snapshot.listeners[place];
    let mut explanation = Explanation { seen: Some(seen(&asked)), ..Explanation::default() };
    let route = listener.index.find(&asked);
    explanation.routes = routes_seen(wanted, &asked, route);
    if let Some(route) = route {
        let facts = facts(&head, &path.1, listener, (route, wanted.tls.is_some()));
        explanation.deed = Some(deed(&listener.routes[route].action, &facts));
        for (pool, permille) in pools_of(&wanted.routes[route].action, table) {
            let pool = &table.pools[pool];
            explanation.pools.push(pool_seen(pool, (&asked, permille), question.now_s, (now, random)));
        }
    }
    Ok(explanation)
}

fn limits(listener: &Listener) -> HeadLimits {
    HeadLimits {
        head_bytes: listener.limits.head_bytes as usize,
        headers: listener.limits.headers as usize,
        target_bytes: listener.limits.target_bytes as usize,
    }
}

fn refused(malformed: Malformed) -> Explanation {
    let (status, reason) = (malformed.status(), malformed.reason().to_owned());
    Explanation { refused: Some(Refusal { status, reason }), ..Explanation::default() }
}

fn seen(asked: &Request<'_>) -> Seen {
    Seen {
        host: asked.host.to_owned(),
        path: String::from_utf8_lossy(asked.path).into_owned(),
        client: asked.client.map(|client| client.to_string()),
    }
}

/// Those before the one that takes it, each with what does not hold; the last ones of very many.
fn routes_seen(wanted: &snapshot::Listener, asked: &Request<'_>, taken: Option<usize>) -> Vec<RouteSeen> {
    let looked_at = taken.map_or(wanted.routes.len(), |taken| taken + 1);
    let routes = wanted.routes[..looked_at].iter().skip(looked_at.saturating_sub(MOST_ROUTES));
    let missed = |route: &snapshot::Route| {
        let fails = |it: &&snapshot::Matcher| matcher::build(it).is_ok_and(|built| !built.matches(asked));
        route.matchers.iter().filter(fails).map(condition).collect()
    };
    routes.map(|route| RouteSeen { route: route.id.clone(), missed: missed(route) }).collect()
}

/// A condition as one would say it: `host a.example or *.b.example`.
fn condition(wanted: &snapshot::Matcher) -> String {
    let option = |name: &str| wanted.options.get(name).cloned().unwrap_or_default();
    match wanted.name.as_str() {
        "host" => format!("host {}", any_of(&option("hosts"))),
        "method" => format!("method {}", any_of(&option("methods"))),
        "client" => format!("client in {}", any_of(&option("networks"))),
        "path" => format!("path {}", any_of(&option("paths"))),
        "header" | "query" => {
            let name = option("name");
            format!("{} {} {}", wanted.name, name.as_str().unwrap_or_default(), any_of(&option("test")))
        }
        name => format!("{name} {}", Value::Object(wanted.options.clone())),
    }
}

fn any_of(value: &Value) -> String {
    match value {
        Value::Array(all) => all.iter().map(any_of).collect::<Vec<_>>().join(" or "),
        Value::String(text) => text.clone(),
        Value::Object(test) => {
            let part = |name: &str| test.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{} {}", part("kind"), part("value")).trim_end().to_owned()
        }
        other => other.to_string(),
    }
}

fn facts<'a>(
    head: &RequestHead<'a, '_>,
    path: &'a [u8],
    listener: &'a Listener,
    (route, secure): (usize, bool),
) -> Facts<'a> {
    Facts {
        scheme: if secure { "https" } else { "http" },
        host: head.authority,
        path,
        query: head.target.query,
        client: "",
        listener: &listener.id,
        route: &listener.routes[route].id,
    }
}

fn deed(action: &Action, facts: &Facts<'_>) -> Deed {
    match action {
        Action::Pool(_) | Action::Split(_) => Deed::Forward {},
        Action::Redirect { status, location } => {
            let mut written = Vec::new();
            location.render(facts, &mut written);
            Deed::Redirect { status: *status, location: String::from_utf8_lossy(&written).into_owned() }
        }
        Action::Respond { status, .. } => Deed::Respond { status: *status },
    }
}

/// The pools that an action forwards to, each with its share in thousandths.
fn pools_of(action: &snapshot::Action, table: &Table) -> Vec<(usize, u32)> {
    let position = |id: &str| table.pool(id);
    match action {
        snapshot::Action::Pool { pool } => position(pool).map(|pool| (pool, 1000)).into_iter().collect(),
        snapshot::Action::Split { shares } => {
            let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
            let permille = |weight: u32| (u64::from(weight) * 1000 / total.max(1)) as u32;
            let pool = |share: &snapshot::Share| Some((position(&share.pool)?, permille(share.weight)));
            shares.iter().filter(|share| share.weight > 0).filter_map(pool).collect()
        }
        _ => Vec::new(),
    }
}

fn pool_seen(
    pool: &Pool,
    (asked, permille): (&Request<'_>, u32),
    now_s: u64,
    (now, random): (Tick, &mut Random),
) -> PoolSeen {
    let (session, stay) = session(pool, asked, now_s, now);
    let mut picker = Picker::new(pool, random);
    let endpoints = picker.candidates(pool, now);
    let key = pool.key(asked);
    let ask = Ask { key, stay, ..Ask::default() };
    let order = picker.order(pool, &ask, random);
    let keeps = stay.is_some_and(|stay| order.first() == Some(&stay));
    PoolSeen {
        pool: pool.id.to_string(),
        permille,
        algorithm: pool.algorithm.registration.name.to_owned(),
        session,
        why: why(pool, &order, (keeps, endpoints.iter().all(|it| it.excluded.is_some()))),
        endpoints,
        order: order.iter().map(|slot| pool.endpoints[slot.index()].id.to_string()).collect(),
    }
}

fn why(pool: &Pool, order: &[Slot], (keeps, all_excluded): (bool, bool)) -> String {
    let registration = pool.algorithm.registration;
    if order.is_empty() {
        return "no endpoint may be used: the answer is 503".to_owned();
    }
    if keeps {
        return "its session is there".to_owned();
    }
    if all_excluded {
        return "every endpoint is full: it waits in the queue, or is shed".to_owned();
    }
    let part = if pool.key_by.is_some() { ", by the key of the request" } else { "" };
    format!("{}{part}: {}", registration.name, registration.summary)
}

/// What a request says of its session, and where that is.
fn session(pool: &Pool, asked: &Request<'_>, now_s: u64, now: Tick) -> (Option<String>, Option<Slot>) {
    let Some(sessions) = &pool.sessions else { return (None, None) };
    let named = |slot: Slot| &pool.endpoints[slot.index()].id;
    let (said, stay) = match (sessions.read(asked, &pool.id, now_s), &sessions.by) {
        (Said::Cookie(Claim::Endpoint { tag, .. }), KnownBy::Issued { tags, .. }) => match tags.slot(tag) {
            Some(slot) => (format!("its cookie names endpoint {}", named(slot)), Some(slot)),
            None => ("its cookie names an endpoint that is gone".to_owned(), None),
        },
        (Said::Cookie(Claim::Refused), _) => {
            ("its cookie is not ours, was changed, or is too old".to_owned(), None)
        }
        (Said::Name(key), KnownBy::Remembered(remembered)) => {
            let slot = remembered.table.find(key, now).and_then(|endpoint| remembered.slot(&endpoint));
            match slot {
                Some(slot) => (format!("remembered on endpoint {}", named(slot)), Some(slot)),
                None => ("not remembered here: it begins".to_owned(), None),
            }
        }
        _ => ("none yet: it begins with the answer".to_owned(), None),
    };
    (Some(said), stay)
}

#[cfg(test)]
mod tests;
