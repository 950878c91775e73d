//! The endpoint side of the wire.

pub(crate) mod announce;
pub(crate) mod connect;
pub(crate) mod idle;
pub(crate) mod link;
pub(crate) mod open;
pub(crate) mod pulse;
pub(crate) mod transparent;
