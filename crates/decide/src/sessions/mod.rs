//! What keeps requests together: their keys, and the endpoints that sessions are on.
//!
//! | question | answered in |
//! |---|---|
//! | Which bytes of this request must stay together? | [`key`] |
//! | Which endpoint does this cookie of ours name, and what does the next one say? | [`cookie`] |
//! | Which endpoint is that in this table? | [`tags`] |
//! | Which endpoint was this session on? | [`table`] |
//! | Which cookies are in these fields? | [`syntax`] |
//! | How does this pool know its sessions? | [`pool`] |
//!
//! A cookie that we issue needs no memory: [`cookie::IssuedCookies::read`] gives a tag, [`tags::Tags::slot`] the
//! endpoint. All else is remembered: [`key::KeySource::find`] or [`syntax::learned_cookie`] gives the bytes that name a
//! session, [`key::SessionKey::of`] what stands for them, and [`table::SessionTable`] the endpoint.

pub mod cookie;
pub mod key;
pub mod pool;
mod recent;
pub mod syntax;
pub mod table;
pub mod tags;
mod token;

pub use self::token::EndpointTag;
