//! What a node's clock shows of the time of day: a straight line since it was last set. Pure.

use crate::time::Millis;

/// Nanoseconds since the epoch, and how far from them the clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// True time when it was last set.
    pub base: i64,
    /// What the clock showed more than the true time then.
    pub offset: i64,
    /// In per cent of true time.
    pub rate: u16,
}

impl Default for Line {
    fn default() -> Self {
        Self { base: 0, offset: 0, rate: 100 }
    }
}

fn nanos(time: Millis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

impl Line {
    /// How far the clock is from the true time.
    pub fn offset_at(&self, now: i64) -> i64 {
        let lean = i128::from(now - self.base) * i128::from(i64::from(self.rate) - 100) / 100;
        self.offset.saturating_add(i64::try_from(lean).unwrap_or(i64::MAX))
    }

    /// The line after a jump, not to before the epoch, and at another rate. That of a clock that would never reach
    /// its next second is one per cent.
    pub fn change(&self, now: i64, (ahead, behind): (Millis, Millis), rate: u16) -> Self {
        let offset = self.offset_at(now).saturating_add(nanos(ahead)).saturating_sub(nanos(behind));
        Self { base: now, offset: offset.max(-now), rate: rate.max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000_000_000;

    #[test]
    fn a_jump_stays_and_a_rate_adds_up() {
        let ahead = Line::default().change(NOW, (Millis(5), Millis(0)), 100);
        assert_eq!(ahead.offset_at(NOW + 1_000_000_000), 5_000_000);
        let fast = ahead.change(NOW, (Millis(0), Millis(2)), 300);
        assert_eq!(fast.offset_at(NOW), 3_000_000);
        assert_eq!(fast.offset_at(NOW + 1_000), 3_002_000);
        let again = fast.change(NOW + 1_000, (Millis(0), Millis(0)), 100);
        assert_eq!(again.offset_at(NOW + 7_000), 3_002_000);
        let slow = Line::default().change(NOW, (Millis(0), Millis(0)), 50);
        assert_eq!(slow.offset_at(NOW + 1_000), -500);
    }

    #[test]
    fn no_clock_goes_to_before_the_epoch_or_stands_still() {
        let first = Line::default().change(NOW, (Millis(0), Millis(u64::MAX)), 0);
        assert_eq!((first.offset, first.rate), (-NOW, 1));
    }
}
