//! How one pool knows its sessions: compiled with its table.

use std::collections::HashMap;
use std::sync::Arc;

use bascule_contract::sessions::{self, KeyBy, SessionBy, Sessions};
use foldhash::fast::FixedState;

use crate::balance::Slot;
use crate::endpoint::{Endpoint, States};
use crate::request::Request;
use crate::sessions::cookie::{Claim, IssuedCookies};
use crate::sessions::key::{KeySource, SessionKey};
use crate::sessions::syntax;
use crate::sessions::table::SessionTable;
use crate::sessions::tags::Tags;

/// The sessions of one pool of one table.
#[derive(Debug)]
pub struct PoolSessions {
    /// Wait rather than move while the endpoint is full.
    pub strict: bool,
    /// By what they are known.
    pub by: KnownBy,
}

/// By what a pool's sessions are known.
#[derive(Debug)]
pub enum KnownBy {
    /// A cookie that we issue.
    Issued {
        /// How it is written and read.
        cookies: IssuedCookies,
        /// What it calls the endpoints.
        tags: Tags,
    },
    /// What is remembered.
    Remembered(Remembered),
}

/// Sessions that are remembered.
#[derive(Debug)]
pub struct Remembered {
    /// What names them.
    pub named_by: NamedBy,
    /// Where they are remembered; shared by all tables and threads.
    pub table: Arc<SessionTable>,
    /// The shared store that remembers them as well.
    pub store: Option<Arc<str>>,
    /// A session that is not used for this long is forgotten.
    pub expiry_ms: u64,
    slots: HashMap<Arc<str>, Slot, FixedState>,
}

/// What names a session that is remembered.
#[derive(Debug)]
pub enum NamedBy {
    /// A cookie of the application: its name.
    Cookie(Box<[u8]>),
    /// A part of the request.
    Part(KeySource),
}

/// What the cookies or another part of a request say about its session.
#[derive(Clone, Debug, Default)]
pub enum Said {
    /// Nothing: it has no session yet.
    #[default]
    Nothing,
    /// A cookie of ours.
    Cookie(Claim),
    /// The name of a session that may be remembered.
    Name(SessionKey),
}

impl PoolSessions {
    /// Compiles the sessions of a pool; what is remembered stays.
    pub(crate) fn compile(
        wanted: &Sessions,
        pool: &str,
        endpoints: &[Endpoint],
        states: &mut States,
    ) -> Result<Self, String> {
        let ids = || endpoints.iter().map(|endpoint| &*endpoint.id);
        let mut remembered = |named_by, table: &sessions::SessionTable| {
            let mut slots = HashMap::with_hasher(FixedState::default());
            slots.extend(endpoints.iter().map(|it| Arc::clone(&it.id)).zip((0..).map(Slot)));
            Ok::<_, String>(KnownBy::Remembered(Remembered {
                named_by,
                table: states.session_table(pool, table)?,
                store: table.store.as_deref().map(Into::into),
                expiry_ms: table.expiry_ms,
                slots,
            }))
        };
        let by = match &wanted.by {
            SessionBy::Issued { cookie } => {
                let cookies = IssuedCookies::compile(cookie, pool)?;
                let tags = Tags::compile(&cookies, ids());
                KnownBy::Issued { cookies, tags }
            }
            SessionBy::Learned { cookie, table } => {
                KeySource::compile(&KeyBy::Cookie { name: cookie.clone() })?;
                remembered(NamedBy::Cookie(cookie.as_bytes().into()), table)?
            }
            SessionBy::Key { by, table } => remembered(NamedBy::Part(KeySource::compile(by)?), table)?,
        };
        Ok(Self { strict: wanted.strict, by })
    }

    /// How they are remembered, if they are.
    pub fn remembered(&self) -> Option<&Remembered> {
        match &self.by {
            KnownBy::Remembered(remembered) => Some(remembered),
            KnownBy::Issued { .. } => None,
        }
    }

    /// What a request says about its session, at this time in seconds since 1970.
    pub fn read(&self, asked: &Request<'_>, pool: &str, now_s: u64) -> Said {
        match &self.by {
            KnownBy::Issued { cookies, .. } => Said::Cookie(cookies.read(asked.fields, now_s)),
            KnownBy::Remembered(remembered) => match &remembered.named_by {
                NamedBy::Cookie(name) => syntax::values(asked.fields, name)
                    .next()
                    .map_or(Said::Nothing, |value| Said::Name(SessionKey::of(pool, value))),
                NamedBy::Part(source) => {
                    source.find(asked).map_or(Said::Nothing, |key| Said::Name(SessionKey::of(pool, &key)))
                }
            },
        }
    }
}

impl Remembered {
    /// The endpoint of this id; `None` when the pool has it no more.
    pub fn slot(&self, endpoint: &str) -> Option<Slot> {
        self.slots.get(endpoint).copied()
    }
}

#[cfg(test)]
mod tests {
    use bascule_contract::sessions::{SessionBy, SessionTable, Sessions};

    use super::PoolSessions;
    use crate::endpoint::States;

    #[test]
    fn a_cookie_that_cannot_be_is_not_learned() {
        let learn = |cookie: &str| {
            let table = SessionTable { expiry_ms: 1_000, entries: 9, store: None };
            let by = SessionBy::Learned { cookie: cookie.into(), table };
            PoolSessions::compile(&Sessions { by, strict: false }, "p", &[], &mut States::new())
        };
        assert!(learn("SID").is_ok());
        for (cookie, problem) in
            [("", "\"\" is not a name of a cookie"), ("SID=1", "\"SID=1\" is not a name of a cookie")]
        {
            let refused = learn(cookie).unwrap_err();
            assert!(refused.contains(problem), "{refused}");
        }
    }
}
