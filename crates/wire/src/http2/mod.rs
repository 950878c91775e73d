//! HTTP/2 on either side: streams as sides of exchanges, on connections that many of them share.

pub(crate) mod ahead;
pub(crate) mod gather;
pub(crate) mod message;
mod serve;
pub(crate) mod stream;

pub(crate) use serve::{PREFACE, serve};
