//! A time limit that is moved often and reached rarely: moving it later costs a store, not a timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// One time limit of one task. Made without a timer; the timer comes with the first wait.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    /// The timer rings at or before `at`; when it rings early it is wound up again.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Sets the limit to a moment.
    pub(crate) fn set(&mut self, at: Instant) {
        self.at = Some(at);
    }

    /// Sets the limit to a time from now.
    pub(crate) fn start(&mut self, after: Duration) {
        self.set(Instant::now() + after);
    }

    /// Whether the limit is set, and not before `at`.
    pub(crate) fn is_later_than(&self, at: Instant) -> bool {
        self.at.is_none_or(|own| own > at)
    }

    /// Takes the limit away.
    pub(crate) fn clear(&mut self) {
        self.at = None;
    }

    /// Ready once the limit is reached; wakes the task when it is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
        Poll::Pending
    }
}
