//! A timer that wakes a thread up at its epoll, and that is set anew only where it has to go off at another time.

use nix::sys::time::TimeSpec;
use nix::sys::timer::TimerSetTimeFlags;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

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
                let wait = Duration::from_micros(at.saturating_sub(now).max(1));
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
