//! Error aversion: an endpoint that fails fast looks idle and quick, and must not draw requests for that.

/// What an endpoint's requests came to of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    failures: u64,
    picked: u64,
    /// Share of failures, in thousandths; old requests count ever less.
    permille: u32,
}

/// Requests after which the share is wholly that of the newest.
const WINDOW: u64 = 32;
/// An endpoint that fails this share of its requests is used only when there is no other.
const BAD_PERMILLE: u32 = 200;
/// One that fails all of its requests counts as so many times slower and busier.
const MOST_WORSE: u64 = 20;

impl Faults {
    /// The endpoint's counters are now these.
    pub(super) fn look(&mut self, failures: u64, picked: u64) {
        let (failed, new) = (failures.saturating_sub(self.failures), picked.saturating_sub(self.picked));
        (self.failures, self.picked) = (failures, picked);
        // A failure may be counted a moment before the next look at what was picked.
        let new = new.max(failed);
        if new == 0 {
            return;
        }
        let now = failed * 1_000 / new;
        let share = new.min(WINDOW);
        self.permille = ((u64::from(self.permille) * (WINDOW - share) + now * share) / WINDOW) as u32;
    }

    pub(super) fn is_bad(&self) -> bool {
        self.permille >= BAD_PERMILLE
    }

    /// `value`, and more the more requests fail.
    pub(super) fn raise(&self, value: u64) -> u64 {
        value.saturating_mul(1_000 + u64::from(self.permille) * (MOST_WORSE - 1)) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::Faults;

    #[test]
    fn failures_make_an_endpoint_bad_and_successes_forgive_them() {
        let mut faults = Faults::default();
        faults.look(0, 100);
        assert_eq!((faults.is_bad(), faults.raise(10)), (false, 10));
        faults.look(16, 116);
        assert!(faults.is_bad());
        assert_eq!(faults.raise(1_000), 10_500);
        for picked in 117..200 {
            faults.look(16, picked);
        }
        assert!(!faults.is_bad());
    }

    #[test]
    fn counters_that_stand_still_or_begin_anew_change_nothing() {
        let mut faults = Faults::default();
        faults.look(50, 50);
        let before = faults.raise(1_000);
        faults.look(50, 50);
        faults.look(0, 0);
        assert_eq!(faults.raise(1_000), before);
    }
}
