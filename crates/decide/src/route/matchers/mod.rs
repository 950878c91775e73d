//! One file per matcher; they are listed in [`super::matcher::MATCHERS`].

pub(super) mod client;
pub(super) mod client_certificate;
pub(super) mod header;
pub(super) mod host;
pub(super) mod method;
pub(super) mod path;
pub(super) mod query;
