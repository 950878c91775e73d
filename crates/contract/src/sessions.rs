//! What keeps requests together: keys, sessions, and the stores that several balancers share.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::snapshot::Address;

/// Which part of a request is its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyBy {
    /// The client's address, as the listener's trusted networks tell it.
    Client {},
    /// The value of a header.
    Header {
        /// Its name.
        name: String,
    },
    /// The value of a cookie.
    Cookie {
        /// Its name; case counts.
        name: String,
    },
    /// The value of a query parameter.
    Query {
        /// Its name; case counts.
        name: String,
    },
    /// The host that was asked for.
    Host {},
    /// The normalised path.
    Path {},
    /// The normalised path with the query.
    Uri {},
}

/// What keeps a client on one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sessions {
    /// By what a session is known.
    pub by: SessionBy,
    /// Wait (and be shed) rather than move while the endpoint is full.
    pub strict: bool,
}

/// By what a session is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SessionBy {
    /// A cookie that we issue: it names the endpoint, signed, and nothing is remembered here.
    Issued {
        /// What it is like.
        cookie: IssuedCookie,
    },
    /// A cookie that the application issues: we remember which endpoint did.
    Learned {
        /// Its name; case counts.
        cookie: String,
        /// Where it is remembered.
        table: SessionTable,
    },
    /// The value of a part of the request: we remember which endpoint it got first.
    Key {
        /// Which part.
        by: KeyBy,
        /// Where it is remembered.
        table: SessionTable,
    },
}

/// A cookie that we issue (RFC 6265).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuedCookie {
    /// A token.
    pub name: String,
    /// `Path`; begins with `/`.
    pub path: String,
    /// `Domain`; `None`: the host that was asked for.
    pub domain: Option<String>,
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Max-Age`, and how long its word is taken; `None`: until the browser closes.
    pub lifetime_ms: Option<u64>,
    /// The first signs; all are accepted.
    pub keys: Vec<Secret>,
    /// Encrypt it, so that equal endpoints cannot be told from equal cookies.
    pub encrypted: bool,
}

/// When browsers send a cookie (RFC 6265bis).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SameSite {
    /// Within the site only.
    Strict,
    /// Also when a link leads here.
    Lax,
    /// Always; needs `Secure`.
    None,
}

/// Where it is remembered which endpoint a session is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionTable {
    /// A session that is not used for this long is forgotten.
    pub expiry_ms: u64,
    /// Sessions at most; beyond that the one that was used longest ago is forgotten.
    pub entries: u32,
    /// The shared store (its id); `None`: in memory.
    pub store: Option<String>,
}

/// A Redis or Valkey that several balancers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Stable name.
    pub id: String,
    /// Where it is.
    pub address: Address,
    /// `None`: the default user.
    pub username: Option<String>,
    /// `None`: no authentication.
    pub password: Option<Secret>,
    /// Its number.
    pub database: u32,
    /// Before every key.
    pub prefix: String,
    /// A request waits no longer for it; then it goes on without.
    pub wait_ms: u64,
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
