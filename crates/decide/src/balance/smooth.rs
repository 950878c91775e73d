//! Smooth weighted round robin, nginx's rule: heavy ones come often, but never in a row without need.

/// Whose turn it is. Each turn, all taking part gain their weight, the richest wins and pays the sum.
///
/// Turns may be among different sets and weights each time: what one has gained it keeps.
#[derive(Default)]
pub(super) struct Smooth {
    credit: Vec<i64>,
}

impl Smooth {
    /// Makes room for positions below `places`. New ones begin without credit.
    pub(super) fn reserve(&mut self, places: usize) {
        if self.credit.len() < places {
            self.credit.resize(places, 0);
        }
    }

    /// One turn among `(position, weight)`; `None` when there are none. Ties go to whoever comes first.
    pub(super) fn turn(&mut self, among: impl Iterator<Item = (usize, u64)>) -> Option<usize> {
        let mut total = 0;
        let mut richest: Option<(usize, i64)> = None;
        for (position, weight) in among {
            let weight = weight as i64;
            total += weight;
            let credit = self.credit[position] + weight;
            self.credit[position] = credit;
            if richest.is_none_or(|(_, most)| credit > most) {
                richest = Some((position, credit));
            }
        }
        let (winner, _) = richest?;
        self.credit[winner] -= total;
        Some(winner)
    }

    /// Cuts credit and debt to `most`.
    ///
    /// A set that always has the same weights never goes beyond the sum of them. After weights were
    /// lowered, an old debt would keep its owner waiting for as long as the old weights say.
    pub(super) fn limit(&mut self, position: usize, most: u64) {
        let most = most as i64;
        self.credit[position] = self.credit[position].clamp(-most, most);
    }
}

#[cfg(test)]
mod tests {
    use super::Smooth;

    fn turns(smooth: &mut Smooth, weights: &[u64], count: usize) -> String {
        let turn = |_| smooth.turn(weights.iter().copied().enumerate()).unwrap();
        (0..count).map(turn).map(|position| char::from(b'a' + position as u8)).collect()
    }

    #[test]
    fn turns_are_those_of_nginx() {
        let mut smooth = Smooth::default();
        smooth.reserve(3);
        assert_eq!(turns(&mut smooth, &[5, 1, 1], 14), "aabacaaaabacaa");
    }

    #[test]
    fn a_debt_from_heavier_times_is_cut() {
        let mut smooth = Smooth::default();
        smooth.reserve(2);
        turns(&mut smooth, &[60_000, 59_000], 1);
        for position in 0..2 {
            smooth.limit(position, 2);
        }
        let taken = turns(&mut smooth, &[1, 1], 8);
        assert!(taken.matches('a').count() >= 2, "{taken}");
    }

    #[test]
    fn nobody_has_no_turn() {
        assert_eq!(Smooth::default().turn(std::iter::empty()), None);
    }
}
