//! UDP conversations: which flow a datagram belongs to, and when a flow has ended.
//!
//! | question | answered in |
//! |---|---|
//! | Whose flow is it, which have expired, which is given up? | [`table`] |
//! | Have all answers come? | [`talk`] |
//! | Which endpoint knows this QUIC connection? | [`quic`] |

pub mod quic;
pub mod table;
pub mod talk;
