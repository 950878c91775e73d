//! What TLS needs: how listeners and pools speak it, and what they do it with.
//!
//! Certificates, keys and authorities are no part of a snapshot, which only names them: they are given as
//! [`Material`] before the first snapshot that does. A snapshot may be printed, recorded and compared.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sessions::Secret;

/// What snapshots name by its id. Kept from when it is given until the live snapshot names it no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Material {
    /// A certificate with its key.
    Certificate {
        /// Another content has another id.
        id: String,
        /// PEM: the certificate first, then those that lead to its authority.
        chain: String,
        /// PEM, not encrypted.
        key: Secret,
    },
    /// Whom to trust.
    Authorities {
        /// Another content has another id.
        id: String,
        /// PEM.
        certificates: String,
        /// Revocation lists, PEM; empty: nothing is revoked.
        revoked: String,
    },
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// Several may have the same name: the first that the client can verify is used.
    pub certificates: Vec<ServedCertificate>,
    /// Ids of those for clients that name no host, or one that nobody has; empty: they are refused.
    pub defaults: Vec<String>,
    /// Older versions are refused.
    pub oldest: TlsVersion,
    /// What is spoken within, most preferred first: `h2`, `http/1.1`.
    pub alpn: Vec<String>,
    /// How sessions are resumed; `None`: they are not.
    pub tickets: Option<Tickets>,
    /// What clients show; `None`: they are not asked.
    pub clients: Option<ClientCertificates>,
    /// For clients that offer `acme-tls/1` and nothing else: authorities that look whether a name is ours (RFC 8737).
    #[serde(default)]
    pub challenges: Vec<ServedCertificate>,
}

/// A certificate and the names that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServedCertificate {
    /// Of the material.
    pub id: String,
    /// Lower case; `*.` in front stands for one label.
    pub names: Vec<String>,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// Tickets that clients show to resume a session: nothing is remembered here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tickets {
    /// The first encrypts, all are accepted; none: keys of this process, which change by themselves.
    pub keys: Vec<Secret>,
}

/// How clients prove who they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificates {
    /// Who shows none is refused.
    pub required: bool,
    /// Id of the authorities that they are issued by.
    pub authorities: String,
}

/// How TLS is spoken to the endpoints of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolTls {
    /// Id of the authorities that certificates of endpoints are issued by; `None`: any certificate is accepted.
    pub authorities: Option<String>,
    /// The name that is asked for, and that certificates must have; `None`: the address of each endpoint.
    pub server_name: Option<String>,
    /// Id of the certificate that we show when asked.
    pub certificate: Option<String>,
    /// What we offer to speak within, most preferred first.
    pub alpn: Vec<String>,
}
