//! Whether a disk is well, seen from the node's side: a process under the node's filter, in its folder, writes a file,
//! syncs it and renames it. What it comes to is told by the kernel, not by who put the rules there.

use super::filter::Filter;
use super::supervisor::greeting;
use crate::env::NodeId;
use crate::fault::disk::transfer;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// The file, before and after its rename.
const NAMES: [&str; 2] = ["disk-trial.tmp", "disk-trial"];
/// A real disk that is busy takes its time to sync.
const TRIAL_MAX: Duration = Duration::from_secs(15);
/// One of them is not disturbed by other work of the machine.
const WRITES: u32 = 8;
/// So many that a write can be short.
const BYTES: usize = 2;
/// A write that is to tell a narrow disk from another would take so long, or be so long.
const BULK: (u64, u64) = (100, 4 << 20);
/// What no errno is.
const SLOW: i32 = 255;

/// Why a disk is not well.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    #[error("{}", .0.desc())]
    Call(Errno),
    #[error("each write or read takes as long as it did")]
    Slow,
    #[error("they take longer than {0} s")]
    Late(u64),
    #[error("who tried it was ended by {0}")]
    Ended(Signal),
    #[error("who tried it cannot be asked: {0}")]
    Lost(String),
}

/// How long each write and each read has taken, where they were slow: now they must be quicker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slow {
    pub write: Option<Duration>,
    pub read: Option<Duration>,
    /// The rate of its writes, in thousand bytes a second, where it had one.
    pub rate: u32,
}

#[derive(Debug)]
pub struct Trial {
    process: Pid,
    over: bool,
}

impl Trial {
    pub fn begin(
        filter: &Filter,
        supervisor: RawFd,
        node: NodeId,
        folder: &Path,
        slow: Slow,
    ) -> io::Result<Self> {
        let [first, second] = NAMES;
        let name = |name: &str| CString::new(folder.join(name).as_os_str().as_bytes());
        let (first, second) = (name(first)?, name(second)?);
        // Before the fork: the child allocates nothing.
        let bulk = vec![0; (u64::from(slow.rate) * BULK.0).min(BULK.1) as usize];
        #[expect(
            unsafe_code,
            reason = "the child makes system calls alone, allocates nothing and does not return"
        )]
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { process: child, over: false }),
            ForkResult::Child => {
                let done = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
                    .map_err(io::Error::from)
                    .and_then(|()| filter.put_on(supervisor, greeting(node, true, std::process::id())))
                    .and_then(|()| write(&first, &second, &bulk, slow));
                let code = match done {
                    Ok(true) => 0,
                    Ok(false) => SLOW,
                    Err(error) => error.raw_os_error().unwrap_or(libc::EINVAL),
                };
                unsafe { libc::_exit(code) }
            }
        }
    }

    /// What it came to; `None`: not yet.
    pub fn look(&mut self, waited: Duration) -> Option<Result<(), Failed>> {
        let came = match waitpid(self.process, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if waited < TRIAL_MAX => return None,
            Ok(WaitStatus::StillAlive) => return Some(Err(Failed::Late(TRIAL_MAX.as_secs()))),
            Ok(WaitStatus::Exited(_, 0)) => Ok(()),
            Ok(WaitStatus::Exited(_, SLOW)) => Err(Failed::Slow),
            Ok(WaitStatus::Exited(_, errno)) => Err(Failed::Call(Errno::from_raw(errno))),
            Ok(WaitStatus::Signaled(_, signal, _)) => Err(Failed::Ended(signal)),
            other => Err(Failed::Lost(format!("{other:?}"))),
        };
        self.over = true;
        Some(came)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.over {
            let _ = kill(self.process, Signal::SIGKILL);
            let _ = waitpid(self.process, None);
        }
    }
}

/// Whether it went quickly enough. Between fork and the end: system calls alone.
#[expect(unsafe_code, reason = "system calls with names and bytes that live until they return")]
fn write(first: &CStr, second: &CStr, bulk: &[u8], slow: Slow) -> io::Result<bool> {
    let done = |result: i64| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    let (mut quickest, mut quickest_read) = (Duration::MAX, Duration::MAX);
    let mut quickest_bulk = Duration::MAX;
    let mut bytes = [0u8; BYTES];
    unsafe {
        let fd =
            done(libc::open(first.as_ptr(), libc::O_CREAT | libc::O_RDWR | libc::O_TRUNC, 0o600).into())?;
        for _ in 0..WRITES {
            let before = now();
            done(libc::write(fd as i32, first.as_ptr().cast(), BYTES) as i64)?;
            quickest = quickest.min(now().saturating_sub(before));
            let before = now();
            done(libc::pread(fd as i32, bytes.as_mut_ptr().cast(), BYTES, 0) as i64)?;
            quickest_read = quickest_read.min(now().saturating_sub(before));
        }
        for _ in 0..if bulk.is_empty() { 0 } else { WRITES } {
            let before = now();
            done(libc::pwrite(fd as i32, bulk.as_ptr().cast(), bulk.len(), 0) as i64)?;
            quickest_bulk = quickest_bulk.min(now().saturating_sub(before));
        }
        done(libc::fsync(fd as i32).into())?;
        done(libc::rename(first.as_ptr(), second.as_ptr()).into())?;
        done(libc::unlink(second.as_ptr()).into())?;
    }
    let quick = slow.write.is_none_or(|slow| quickest < slow);
    let narrow = Duration::from_micros(transfer(bulk.len() as u64, slow.rate));
    Ok(quick
        && (bulk.is_empty() || quickest_bulk < narrow)
        && slow.read.is_none_or(|slow| quickest_read < slow))
}

fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the kernel fills in a plain structure")]
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
