//! The endpoint side of the wire.

pub(crate) mod connect;
pub(crate) mod idle;
