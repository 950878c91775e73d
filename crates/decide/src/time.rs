//! Points in time as decisions know them: told by the caller, never read from a clock.

/// Microseconds since the plane started. Never goes back within one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// Microseconds from `earlier` to here; 0 when `earlier` is later, as it may be across threads.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `ms` milliseconds later; the last one there is when that is too far.
    pub fn after_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1000)))
    }
}

#[cfg(test)]
mod tests {
    use super::Tick;

    #[test]
    fn time_between_ticks_is_never_negative_and_never_overflows() {
        assert_eq!(Tick(5_000).since(Tick(2_000)), 3_000);
        assert_eq!(Tick(2_000).since(Tick(5_000)), 0);
        assert_eq!(Tick(1).after_ms(2), Tick(2_001));
        assert_eq!(Tick(1).after_ms(u64::MAX), Tick(u64::MAX));
    }
}
