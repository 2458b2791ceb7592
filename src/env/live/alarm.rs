//! A timer that wakes a thread up at its epoll, and that is set anew only where it has to go off at another time.
//!
//! A processor that sleeps wakes up late. So the timer goes off a little before the time too: its owner finds nothing due,
//! sets it again, and a processor that has so little time to sleep does not do so deeply.

use nix::sys::time::TimeSpec;
use nix::sys::timer::TimerSetTimeFlags;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How long before the time it goes off the first time: about twice what a processor takes to wake up.
const EARLY_US: u64 = 200;

#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    /// When it will go off, in the owner's microseconds.
    at: Option<u64>,
}

impl Alarm {
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, at: None })
    }

    /// It has gone off. It is read, so that it can do so again.
    pub fn rang(&mut self) {
        let _ = self.timer.wait();
        self.at = None;
    }

    /// Has it go off then, or not at all.
    pub fn set(&mut self, at: Option<u64>, now: u64) {
        if at == self.at {
            return;
        }
        let set = match at {
            // A timer that is set to nothing never goes off.
            Some(at) => {
                let wait = at.saturating_sub(now);
                let wait = if wait > 2 * EARLY_US { wait - EARLY_US } else { wait.max(1) };
                let wait = Duration::from_micros(wait);
                let expiration = Expiration::OneShot(TimeSpec::from_duration(wait));
                self.timer.set(expiration, TimerSetTimeFlags::empty())
            }
            None => self.timer.unset(),
        };
        if set.is_ok() {
            self.at = at;
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(alarm: &Alarm) -> Duration {
        match alarm.timer.get() {
            Ok(Some(Expiration::OneShot(left))) => left.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_goes_off_early_once_and_then_at_its_time() {
        let minute = 60_000_000;
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(minute), 0);
        assert!(left(&alarm) <= Duration::from_micros(minute - EARLY_US));
        alarm.rang();
        alarm.set(Some(minute), minute - 2 * EARLY_US);
        assert!(left(&alarm) <= Duration::from_micros(2 * EARLY_US));
    }
}
