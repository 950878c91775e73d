//! Bascule's wire: sockets and protocols. Does what `bascule-decide` says and decides nothing itself.
//!
//! The life of a request; read the files in this order:
//!
//! | stage | file | decides in |
//! |---|---|---|
//! | 1 accept | `client/accept.rs` | limits of the listener: `decide/table.rs` |
//! | 2 connection | `client/connection.rs`; `client/announced.rs`; `client/secure.rs`, `tls/`; `http2/serve.rs` | `decide/proxy_protocol`, `decide/server_names.rs`, `decide/http2/{flood,ahead}.rs` |
//! | 3 decode | `client/http1.rs`, `http2/message.rs` | `decide/http1/request.rs`, `decide/http2/message.rs`, `decide/path.rs` |
//! | 4 route | called from `client/http1.rs` | `decide/route/mod.rs` |
//! | 5 pick | `tries.rs`, `course.rs`, `wait.rs` | `decide/pick.rs` → `decide/balance/*`, `decide/guard/*` |
//! | 6 forward | `leg.rs`, `race.rs`, `forward.rs`, `upload.rs`, `body.rs`, `endpoint/*` | `decide/retry.rs`, `decide/http1/forwarded.rs` |
//! | 7 respond | `head.rs`, `download.rs` or `answer.rs`, `tunnel.rs` | `decide/http1/response.rs` |
//! | 8 account | `account.rs`, `access_log.rs`, `log_writer.rs` | – |
//!
//! Connections that are carried as they are (TCP, or TLS that is passed on) have a life of their own: `flow/mod.rs`.
//!
//! Datagrams have a life of their own: `udp/mod.rs`.
//!
//! The client and the endpoint are two sides (`side.rs`); only they know which version of HTTP is spoken.
//!
//! Each thread (`worker.rs`) has its own runtime, listeners, idle connections and counters. The threads share
//! one pointer to the live table (`plane.rs`) and the atomics of each endpoint; nothing is locked on the way of a request.

mod access_log;
mod account;
mod answer;
mod binds;
mod body;
mod buffers;
mod client;
mod course;
mod deadline;
mod download;
mod endpoint;
mod events;
mod exchange;
mod flow;
mod forward;
mod head;
mod http2;
mod leg;
mod local;
mod log_writer;
mod mirror;
mod plane;
mod probe;
mod quiet;
mod race;
mod side;
mod socket;
mod stats;
mod store;
mod stream;
mod tls;
mod tries;
mod tunnel;
mod udp;
mod upload;
mod wait;
mod worker;

pub use binds::Sockets;
pub use plane::Plane;
