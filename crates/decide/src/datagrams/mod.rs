//! UDP conversations: which flow a datagram belongs to, and when a flow has ended.
//!
//! | question | answered in |
//! |---|---|
//! | Whose flow is it, which have expired, which is given up? | [`table`] |
//! | Have all answers come? | [`talk`] |

pub mod table;
pub mod talk;
