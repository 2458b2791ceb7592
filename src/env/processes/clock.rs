//! The logical clock of a live run: paced by the wall clock, held back when we are late.
//!
//! Servers run in real time, so logical time follows it. When *we* fall behind (an operation that was due is
//! not issued because the machine had no time for us), logical time waits for us, so that the timeline keeps
//! its order and distances; how much it waited is reported, since the servers' own timers did not. Silence of
//! the cluster never holds the clock. Pure: wall time comes in as a number.

use crate::time::{Micros, Millis};

/// How late due work may be delivered before logical time waits for it.
pub const LATE_MAX: Millis = Millis(200);

/// Logical time as a function of wall time. It stands still between steps, so that what is decided in one turn
/// has one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    now: Micros,
    /// Wall time that logical time left out.
    held: u64,
}

impl Clock {
    /// The time that the last step ended at.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// How long from `wall` until logical time is `until`.
    pub fn wait(&self, wall: Micros, until: Micros) -> Micros {
        until.since(self.at(wall))
    }

    /// Moves on to what `wall` says, given that work is due at `until`. Answers by how much logical time was
    /// held back, if it was: it then stands at `until`, or where it was if that is later.
    pub fn advance(&mut self, wall: Micros, until: Micros) -> Option<Millis> {
        let reached = self.at(wall);
        let due = until.max(self.now);
        let late = reached.since(due);
        if late > LATE_MAX.micros() {
            self.held += late.0;
            self.now = due;
            return Some(late.millis());
        }
        self.now = reached.max(self.now);
        None
    }

    fn at(&self, wall: Micros) -> Micros {
        Micros(wall.0.saturating_sub(self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const MS: u64 = 1000;

    #[test]
    fn logical_time_follows_the_wall_clock() {
        let mut clock = Clock::default();
        assert_eq!(clock.advance(Micros(50 * MS), Micros(60 * MS)), None);
        assert_eq!(clock.now(), Micros(50 * MS));
        assert_eq!(clock.wait(Micros(50 * MS), Micros(60 * MS)), Micros(10 * MS));
        assert_eq!(clock.advance(Micros(61 * MS), Micros(60 * MS)), None);
        assert_eq!(clock.now(), Micros(61 * MS), "a little late is not worth a stretch");
    }

    #[test]
    fn being_late_holds_it_at_the_work_that_was_due() {
        let mut clock = Clock::default();
        clock.advance(Micros(10 * MS), Micros(20 * MS));
        assert_eq!(clock.advance(Micros(520 * MS), Micros(20 * MS)), Some(Millis(500)));
        assert_eq!(clock.now(), Micros(20 * MS));
        // From there it runs at the old pace, and the distance between two events is kept.
        assert_eq!(clock.wait(Micros(520 * MS), Micros(30 * MS)), Micros(10 * MS));
        assert_eq!(clock.advance(Micros(530 * MS), Micros(30 * MS)), None);
        assert_eq!(clock.now(), Micros(30 * MS));
    }

    #[test]
    fn waiting_long_for_a_silent_cluster_is_not_being_late() {
        let mut clock = Clock::default();
        assert_eq!(clock.advance(Micros(60_000 * MS), Micros(60_000 * MS)), None);
        assert_eq!(clock.now(), Micros(60_000 * MS));
    }

    #[test]
    fn it_never_goes_back() {
        let mut clock = Clock::default();
        clock.advance(Micros(100 * MS), Micros(100 * MS));
        assert_eq!(clock.advance(Micros(400 * MS), Micros(0)), Some(Millis(300)));
        assert_eq!(clock.now(), Micros(100 * MS));
    }
}
