//! State that threads share: looked at when nobody else does, so that requests do not wait for another thread. Two do: for
//! one look-up where sessions are remembered, and in the line of a pool.

#![allow(clippy::disallowed_types, reason = "the one place: attempts never wait, and only rare paths do")]

use std::sync::{Mutex, PoisonError, TryLockError};

/// A value that one thread at a time may see and change.
#[derive(Debug, Default)]
pub struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    /// Shares `value`.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Sees or changes it, unless another thread is at it just now: then nothing happens, and the answer is `None`.
    ///
    /// For what is measured: a sample that is missed now and then changes nothing.
    pub fn attempt<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        match self.0.try_lock() {
            Ok(mut held) => Some(work(&mut held)),
            Err(TryLockError::Poisoned(poisoned)) => Some(work(&mut poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Sees or changes it, after other threads if need be. For what is rare and must not be missed; `work` must be short.
    pub fn wait<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::Shared;

    #[test]
    fn what_is_being_changed_is_left_alone() {
        let shared = Shared::new(1);
        let inner = shared.wait(|held| {
            *held += 1;
            shared.attempt(|held| *held += 10)
        });
        assert_eq!(inner, None);
        assert_eq!(shared.attempt(|held| *held), Some(2));
    }
}
