//! A node as the scheduler sees it: its folder, its clock, and what it is to do.

use super::area::slot::Slot;
use super::disk::Disk;
use crate::env::processes::folder::Folder;
use crate::env::processes::tail::Tail;
use crate::env::{ActorId, NodeAction, NodeSpec};
use crate::time::Millis;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

/// What a monotonic clock shows when a run begins: not so little that "an hour ago" would be before its zero.
const BEGIN_US: u64 = 1_000_000_000_000;
/// The wall clock at that time: the beginning of 2026.
pub const WALL_US: u64 = 1_767_225_600_000_000;

#[derive(Debug)]
pub struct Node {
    pub spec: NodeSpec,
    pub folder: Folder,
    pub tail: Tail,
    pub port: u16,
    pub bus_port: u16,
    pub incarnations: u32,
    /// When the last of them began.
    pub started: u64,
    /// Processes that it has had, its forked children too.
    pub processes: i32,
    /// The slot of the server while it lives.
    pub server: Option<usize>,
    pub paused: bool,
    /// It was sent a signal that may end it.
    pub doomed: bool,
    pub clock: Clock,
    pub disk: Disk,
    /// Actions that wait for the end of the process.
    pub waiting: VecDeque<(ActorId, NodeAction)>,
}

/// A node's clocks: a straight line since they were last set; the wall clock also jumps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    set_at: u64,
    shown: u64,
    rate: u64,
    wall: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { set_at: 0, shown: BEGIN_US, rate: 100, wall: WALL_US - BEGIN_US }
    }
}

impl Clock {
    pub fn at(&self, now: u64) -> u64 {
        self.shown + (now - self.set_at) * self.rate / 100
    }

    /// The true time at which it shows this.
    pub fn when(&self, shown: u64) -> u64 {
        if shown == u64::MAX {
            return u64::MAX;
        }
        self.set_at + (shown.saturating_sub(self.shown) * 100).div_ceil(self.rate)
    }

    /// Moves the wall clock ahead and back, not to before the epoch, and runs both clocks at another rate.
    pub fn change(&mut self, now: u64, (ahead, behind): (Millis, Millis), rate: u16) {
        let wall = (self.wall + ahead.micros().0).saturating_sub(behind.micros().0);
        *self = Self { set_at: now, shown: self.at(now), rate: u64::from(rate.max(1)), wall };
    }

    /// Sets the clocks of a process that is about to run.
    pub fn show(&self, now: u64, slot: &Slot) {
        slot.clock.store(self.at(now), Relaxed);
        slot.reads.store(0, Relaxed);
        slot.wall.store(self.wall as i64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_another_rate_says_when_it_will_show_a_time() {
        let mut clock = Clock::default();
        clock.change(1_000, (Millis(0), Millis(0)), 300);
        let shown = clock.at(5_000);
        assert_eq!(shown, BEGIN_US + 1_000 + 12_000);
        assert_eq!(clock.when(shown), 5_000);
        assert_eq!(clock.at(clock.when(shown + 1)).max(shown + 1), clock.at(clock.when(shown + 1)));
        assert_eq!(clock.when(u64::MAX), u64::MAX);
    }

    #[test]
    fn only_the_wall_clock_goes_back() {
        let mut clock = Clock::default();
        let before = clock;
        clock.change(1_000, (Millis(2), Millis(5)), 100);
        assert_eq!((clock.at(1_000), clock.wall), (before.at(1_000), before.wall - 3_000));
        clock.change(2_000, (Millis(0), Millis(u64::MAX / 1_000)), 100);
        assert_eq!(clock.wall, 0);
    }
}
