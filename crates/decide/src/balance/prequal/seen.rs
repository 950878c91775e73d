//! How busy endpoints were of late: the line between cold and hot.

/// Replies that the line is drawn from.
const WINDOW: usize = 128;
/// Counts from here on are alike.
const MOST: usize = 1_024;

/// The in-flight counts of the latest replies.
pub(super) struct Seen {
    percent: usize,
    latest: Vec<u16>,
    next: usize,
    /// How many of the latest have each count.
    counts: Box<[u16; MOST]>,
}

impl Seen {
    /// The line lies at this share of the counts.
    pub(super) fn new(percent: u64) -> Self {
        Self {
            percent: percent as usize,
            latest: Vec::with_capacity(WINDOW),
            next: 0,
            counts: Box::new([0; MOST]),
        }
    }

    /// A reply came.
    pub(super) fn add(&mut self, in_flight: u32) {
        let count = in_flight.min(MOST as u32 - 1) as u16;
        self.counts[usize::from(count)] += 1;
        if self.latest.len() < WINDOW {
            self.latest.push(count);
            return;
        }
        let gone = std::mem::replace(&mut self.latest[self.next], count);
        self.counts[usize::from(gone)] -= 1;
        self.next = (self.next + 1) % WINDOW;
    }

    /// The count that the share of the latest ones is not above; more is hot. Everything is hot at a share of 0.
    pub(super) fn threshold(&self) -> u32 {
        let wanted = (self.latest.len() * self.percent).div_ceil(100);
        let mut sum = 0;
        let found = self.counts.iter().position(|count| {
            sum += usize::from(*count);
            sum >= wanted
        });
        found.unwrap_or(MOST) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn the_line_is_at_the_share_of_the_latest_counts() {
        let mut seen = Seen::new(84);
        (0..100).for_each(|count| seen.add(count));
        assert_eq!(seen.threshold(), 83);
        (0..128).for_each(|_| seen.add(7));
        assert_eq!(seen.threshold(), 7, "what came before is forgotten");
        (0..128).for_each(|_| seen.add(u32::MAX));
        assert_eq!(seen.threshold(), 1_023);
    }

    #[test]
    fn the_median_is_a_line_too() {
        let mut seen = Seen::new(50);
        [4, 2, 1, 3].into_iter().for_each(|count| seen.add(count));
        assert_eq!(seen.threshold(), 2);
    }
}
