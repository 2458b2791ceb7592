//! How many runs go side by side. Where time is virtual, runs only take longer when there are many; in real time they
//! hold one another up, and what they then see is the machine's doing. So it is measured: a run whose logical clock was
//! held back takes one away, and some that were not give one back.

/// By more than so many thousandths of its length a run is held up.
const HELD_UP: u64 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Side by side now.
    pub allowed: usize,
    most: usize,
    /// Runs in a row that were not held up.
    good: usize,
    fixed: bool,
}

impl Pace {
    /// `jobs` as somebody said, or by measurement in real time, and else one for each processor.
    pub fn new(jobs: Option<usize>, processors: usize, real_time: bool) -> Self {
        match jobs {
            Some(jobs) => Self { allowed: jobs, most: jobs, good: 0, fixed: true },
            None if real_time => Self { allowed: processors, most: processors * 8, good: 0, fixed: false },
            None => Self { allowed: processors, most: processors, good: 0, fixed: true },
        }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// A run of this length was held up by so much. Answers whether the number changed.
    pub fn hear(&mut self, length_ms: u64, stretched_ms: u64) -> bool {
        if self.fixed {
            return false;
        }
        let before = self.allowed;
        if stretched_ms * 1000 > length_ms * HELD_UP {
            self.good = 0;
            self.allowed = (self.allowed - 1).max(1);
        } else {
            self.good += 1;
            if self.good >= 2 * self.allowed && self.allowed < self.most {
                self.good = 0;
                self.allowed += 1;
            }
        }
        self.allowed != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_are_held_up_take_one_away_and_good_ones_give_it_back() {
        let mut pace = Pace::new(None, 2, true);
        assert_eq!(pace.allowed, 2);
        for _ in 0..3 {
            assert!(!pace.hear(10_000, 100));
        }
        assert!(pace.hear(10_000, 0), "four good ones in a row");
        assert_eq!(pace.allowed, 3);
        assert!(pace.hear(10_000, 500));
        assert!(pace.hear(10_000, 500));
        assert!(!pace.hear(10_000, 10_000), "one is the least");
        assert_eq!(pace.allowed, 1);
        for _ in 0..1000 {
            pace.hear(10_000, 0);
        }
        assert_eq!(pace.allowed, pace.most());
    }

    #[test]
    fn what_was_said_stays() {
        for mut pace in [Pace::new(Some(5), 2, true), Pace::new(None, 5, false)] {
            assert!(!pace.hear(1, 1_000_000));
            assert_eq!(pace.allowed, 5);
        }
    }
}
