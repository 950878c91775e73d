//! What is known about the session of a request.

use bascule_decide::balance::Slot;

/// The session of a request.
#[derive(Debug, Default)]
pub(crate) struct Session {
    stay: Option<Stay>,
}

/// Where a session is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    pub(crate) slot: Slot,
    /// It waits rather than moves while the endpoint is full.
    pub(crate) strict: bool,
}

impl Session {
    /// Where it is, if it is anywhere.
    pub(crate) fn stay(&self) -> Option<Stay> {
        self.stay
    }
}
