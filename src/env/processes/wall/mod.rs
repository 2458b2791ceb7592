//! The wall clock of a node, which can be set: real time moved ahead or back, or run at another rate, while the
//! node runs and without its help.
//!
//! A program asks the time of day of its vDSO, code that the kernel maps into every process. What stands there is
//! changed in the process before its first instruction ([`hold`]), so that it works alike for static and dynamic
//! programs, with any C library or none, and takes no privilege. The clock belongs to the node and outlasts its
//! processes. What counts time from the boot, and with it the kernel's timers, stays true.

#[cfg(target_arch = "x86_64")]
mod hold;
#[cfg(target_arch = "x86_64")]
mod image;
mod line;
mod page;
#[cfg(target_arch = "x86_64")]
mod stub;

#[cfg(not(target_arch = "x86_64"))]
#[path = "elsewhere.rs"]
mod hold;

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

use crate::time::Millis;
use line::Line;
use nix::time::{ClockId, clock_gettime};
use page::Page;
use std::io;
use std::process::Command;

/// The wall clock of a node.
#[derive(Debug)]
pub struct Wall {
    page: Page,
    line: Line,
    /// Why the clock of the last process that was started is out of reach.
    out_of_reach: Option<String>,
}

impl Wall {
    pub fn new() -> io::Result<Self> {
        let (mut page, line) = (Page::new()?, Line::default());
        page.write(&line)?;
        Ok(Self { page, line, out_of_reach: None })
    }

    /// What the command starts is to have this clock. It stands still then until it is taken hold of.
    pub fn ask(&self, command: &mut Command) {
        hold::ask(command, self.page.fd());
    }

    /// Gives a process that was just started this clock, and lets it run. Where that fails it runs all the same, and
    /// the answer is why.
    pub fn take(&mut self, pid: i32) -> Option<&str> {
        self.out_of_reach = hold::take(pid, self.page.fd()).err();
        self.out_of_reach.as_deref()
    }

    /// Why some of these processes, all of one node, do not have this clock.
    pub fn missed_by(&self, pids: impl IntoIterator<Item = i32>) -> Option<String> {
        let missed = pids.into_iter().find(|pid| !hold::holds(*pid))?;
        let exec = "it began by an exec of its own, after the node's program had been started";
        Some(format!(
            "the clock of pid {missed} cannot be set: {}",
            self.out_of_reach.as_deref().unwrap_or(exec)
        ))
    }

    /// Jumps, and runs at this rate in per cent from now on. Answers how far it is from the true time.
    pub fn change(&mut self, jump: (Millis, Millis), rate: u16) -> io::Result<String> {
        let now = true_time()?;
        let line = self.line.change(now, jump, rate);
        self.page.write(&line)?;
        self.line = line;
        let seconds = line.offset as f64 / 1e9;
        Ok(format!("{seconds:+.6} s from the true time, {} per cent", line.rate))
    }
}

/// The machine's wall clock, in nanoseconds since the epoch.
fn true_time() -> io::Result<i64> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    Ok(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}
