//! The client side of the wire.

pub(crate) mod accept;
pub(crate) mod announced;
pub(crate) mod bind;
pub(crate) mod connection;
pub(crate) mod http1;
pub(crate) mod secure;
pub(crate) mod session;
