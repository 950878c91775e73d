//! What HTTP/2 adds to HTTP/1 (RFC 9113): how its messages read as HTTP/1, and how much of it costs too much.
//!
//! A head that came over HTTP/2 is written as one of HTTP/1 and then read by [`crate::http1`]: there is one set of
//! rules for what a request may be, and what cannot be said in HTTP/1 cannot slip through.

pub mod ahead;
pub mod flood;
pub mod message;

pub use ahead::Ahead;
pub use flood::{Flood, Meter};
pub use message::{Asked, compose};
