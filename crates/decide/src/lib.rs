//! Bascule's decisions: which route, which endpoint, which path, which fields.
//!
//! Nothing here does I/O, reads a clock, starts a thread or makes up a random number: what is not an
//! argument is not known. Therefore the simulator, the property tests, the fuzzers and production
//! make the same decisions (`clippy.toml` beside this crate's manifest keeps it so).
//!
//! | question | asked once per | answered in |
//! |---|---|---|
//! | What does this snapshot mean? | snapshot | [`table`] |
//! | Whose connection is it, says who passes it on? | connection | [`proxy_protocol`] |
//! | Which name does it ask for, before TLS is taken off? | connection | [`client_hello`] |
//! | Is this one unambiguous message, and how does it end? | head | [`http1`], [`headers`] |
//! | Who is this, by its certificate? | TLS handshake | [`identity`] |
//! | The same over HTTP/2, and is it too much? | head, frame | [`http2`] |
//! | Is it a gRPC call? | request | [`grpc`] |
//! | Which path is this, whoever reads it? | request | [`path`] |
//! | Which route takes it? | request | [`route`] |
//! | What keeps it together with others? | request | [`sessions`] |
//! | Which endpoint gets it? | try | [`pick`], by an algorithm of [`balance`] |
//! | Is it too much, does it fail, is it slow? | try and its end | [`guard`] |
//! | Where does a flow go? | flow | [`flow`] |
//! | Whose flow is it, and has it ended? | datagram | [`datagrams`] |
//! | Does its key ask too often? | request | [`limit`] |
//! | Is a shared store asked? | request | [`store`] |
//! | May it be tried again? | failed try | [`retry`] |
//! | Which certificates are for this name? | TLS handshake | [`server_names`] |
//! | What is sent instead of what came? | request | [`rewrite`], [`edits`], [`template`] |
//! | What would become of a request, and why? | question | [`explain`] |
//! | What can be configured? | start | [`catalog`] |

#![forbid(unsafe_code)]

pub mod balance;
pub mod catalog;
pub mod client_hello;
pub mod datagrams;
pub mod edits;
pub mod endpoint;
pub mod explain;
pub mod flow;
pub mod grpc;
pub mod guard;
pub mod headers;
pub mod http1;
pub mod http2;
pub mod identity;
pub mod limit;
pub mod load_report;
pub mod networks;
pub mod path;
mod pattern;
pub mod pick;
pub mod proxy_protocol;
pub mod random;
mod reach;
pub mod request;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod server_names;
pub mod sessions;
pub mod shared;
pub mod store;
pub mod table;
pub mod template;
pub mod time;

#[cfg(test)]
mod cases;

#[cfg(test)]
#[path = "../tests/samples/mod.rs"]
mod samples;
