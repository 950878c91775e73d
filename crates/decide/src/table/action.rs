//! What a route does with a request: checked, with its pools found.

use std::sync::Arc;

use bascule_contract::snapshot::{self, Connect, Protocol, Snapshot};

use crate::edits::editable;
use crate::random::Random;
use crate::template::{Template, may_stand_in_a_value};

/// What a route does.
pub enum Action {
    /// Forward to an endpoint of this pool of the table.
    Pool(usize),
    /// Forward to an endpoint of one of several pools.
    Split(Split),
    /// Answer with a `Location`.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The value of the field.
        location: Template,
    },
    /// Answer as written.
    Respond {
        /// 200 to 599.
        status: u16,
        /// None of them frames the message.
        headers: Vec<(String, String)>,
        /// Empty where the status allows no body.
        body: Arc<[u8]>,
    },
}

/// Several pools of a table that share the traffic of a route.
#[derive(Clone, Debug)]
pub struct Split {
    /// Each pool with the sum of the weights up to and including its own.
    shares: Vec<(usize, u64)>,
}

impl Split {
    /// One of the pools, each as often as its weight says.
    pub fn pick(&self, random: &mut Random) -> usize {
        let total = self.shares.last().map_or(0, |(_, end)| *end);
        let drawn = random.below(usize::try_from(total.max(1)).unwrap_or(usize::MAX)) as u64;
        let at = self.shares.partition_point(|(_, end)| *end <= drawn);
        self.shares[at.min(self.shares.len() - 1)].0
    }
}

/// Where copies of requests go.
#[derive(Clone, Copy, Debug)]
pub struct Mirror {
    /// A pool of the table.
    pub pool: usize,
    /// Share of the requests, in thousandths.
    pub permille: u32,
}

fn pool_position(pool: &str, snapshot: &Snapshot) -> Result<usize, String> {
    let position = snapshot.pools.iter().position(|it| it.id == pool);
    position.ok_or_else(|| format!("there is no pool \"{pool}\""))
}

/// Tunnels lead to pools, and raw bytes are not HTTP/2.
pub(super) fn compile_connect(route: &snapshot::Route, snapshot: &Snapshot) -> Result<Connect, String> {
    let pools: Vec<&str> = match &route.action {
        snapshot::Action::Pool { pool } => vec![pool],
        snapshot::Action::Split { shares } => shares.iter().map(|share| share.pool.as_str()).collect(),
        _ if route.connect == Connect::Off => Vec::new(),
        _ => return Err("CONNECT goes to a pool, and this route has none".to_owned()),
    };
    let speaks_http2 =
        |pool: &snapshot::Pool| pools.contains(&pool.id.as_str()) && pool.protocol == Protocol::Http2;
    if route.connect == Connect::Tunnel && snapshot.pools.iter().any(speaks_http2) {
        return Err("a tunnel's bytes are not HTTP/2, which its pool speaks".to_owned());
    }
    Ok(route.connect)
}

pub(super) fn compile_mirror(mirror: &snapshot::Mirror, snapshot: &Snapshot) -> Result<Mirror, String> {
    if mirror.permille > 1000 {
        return Err(format!("{} thousandths are more than all", mirror.permille));
    }
    Ok(Mirror { pool: pool_position(&mirror.pool, snapshot)?, permille: mirror.permille })
}

fn compile_split(shares: &[snapshot::Share], snapshot: &Snapshot) -> Result<Split, String> {
    let mut end = 0;
    let mut compiled = Vec::with_capacity(shares.len());
    for share in shares {
        end += u64::from(share.weight);
        compiled.push((pool_position(&share.pool, snapshot)?, end));
    }
    if end == 0 {
        return Err("the weights of a split are all 0".into());
    }
    Ok(Split { shares: compiled })
}

pub(super) fn compile_action(action: &snapshot::Action, snapshot: &Snapshot) -> Result<Action, String> {
    match action {
        snapshot::Action::Pool { pool } => pool_position(pool, snapshot).map(Action::Pool),
        snapshot::Action::Split { shares } => compile_split(shares, snapshot).map(Action::Split),
        snapshot::Action::Redirect { status, location } => {
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Err(format!(
                    "{status} is not the status of a redirect; use 301, 302, 303, 307 or 308"
                ));
            }
            let location = Template::parse(location).map_err(|problem| format!("location: {problem}"))?;
            Ok(Action::Redirect { status: *status, location })
        }
        snapshot::Action::Respond { status, headers, body } => compile_response(*status, headers, body),
    }
}

fn compile_response(status: u16, headers: &[snapshot::HeaderValue], body: &str) -> Result<Action, String> {
    if !(200..600).contains(&status) {
        return Err(format!("status {status} is not between 200 and 599"));
    }
    if matches!(status, 204 | 304) && !body.is_empty() {
        return Err(format!("an answer with status {status} has no body (RFC 9110, 6.4.1)"));
    }
    for header in headers {
        editable(&header.name)?;
        if !header.value.bytes().all(may_stand_in_a_value) {
            return Err(format!("field \"{}\" has a character that no header value may have", header.name));
        }
    }
    let headers = headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
    Ok(Action::Respond { status, headers, body: body.as_bytes().into() })
}
