//! What routing may look at in a request.

use crate::identity::Identity;
use std::net::IpAddr;

/// A request as the matchers see it. Nothing here is copied: it borrows from the head that was read.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// A token (RFC 9110, 9.1), case-sensitive.
    pub method: &'a str,
    /// Lower case, without port and trailing dot; empty when absent. IPv6 keeps its brackets.
    pub host: &'a str,
    /// The routed form of [`crate::path::normalize`]; `*` for a request about the server itself.
    pub path: &'a [u8],
    /// What follows the `?`, as it was sent.
    pub query: Option<&'a [u8]>,
    /// In the order in which they were sent, trailers excluded.
    pub fields: &'a [httparse::Header<'a>],
    /// The client's address; `None` on Unix sockets.
    pub client: Option<IpAddr>,
    /// Whom its certificate names, where it has shown one.
    pub identity: Option<&'a Identity>,
}
