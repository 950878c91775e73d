//! Who passes connections on to us, and how we pass them on: the PROXY protocol.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a listener is told whose connection it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Announced {
    /// Networks (CIDR) whose connections begin with a PROXY header, version 1 or 2; those of all others do not.
    pub from: Vec<String>,
}

/// How the endpoints of a pool are told whose connection it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Announce {
    /// Which header connections begin with.
    pub version: ProxyVersion,
    /// What else it tells, in this order; version 2 alone.
    pub tlvs: Vec<ProxyTlv>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a header of version 2 can tell beyond addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyTlv {
    /// The protocol that the client agreed on within TLS.
    Alpn,
    /// The name that the client asked for within TLS.
    Sni,
    /// What tells this client connection from all others.
    UniqueId,
    /// A checksum over the header.
    Crc32c,
}
