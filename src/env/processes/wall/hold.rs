//! Getting hold of a process's clock: it is stopped where its program begins, before it has looked up any function.
//!
//! The process asks to be traced (`ptrace(2)`) and is stopped by the kernel at `exec`. It is made to map the
//! [`page`](super::page), the [`stub`](super::stub) is written behind its vDSO and into the table of symbols that the
//! program is about to read, and it is let go for good. What it forks has all of that; what begins by another `exec`
//! has not.

use super::image::{self, Symbol};
use super::page::{NAME, PAGE_BYTES};
use super::stub::{Stub, stub};
use nix::errno::Errno;
use nix::libc::{self, user_regs_struct};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// How long a process may take to its next stop: it has nothing to wait for.
const STOP_MAX: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_micros(20);

/// What the command starts is to be taken hold of, with the page under this descriptor.
pub fn ask(command: &mut Command, page: RawFd) {
    let ask = move || {
        // The descriptor is the new process's copy; it is closed there as soon as it is mapped.
        #[expect(unsafe_code, reason = "the page outlives the command, and is open in its child")]
        let page = unsafe { BorrowedFd::borrow_raw(page) };
        nix::fcntl::fcntl(page, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))?;
        // Where it is forbidden the process runs with the clock as it is, which is then said.
        let _ = ptrace::traceme();
        Ok(())
    };
    #[expect(unsafe_code, reason = "the closure makes two system calls and allocates nothing")]
    unsafe {
        command.pre_exec(ask);
    }
}

/// Takes hold of a process that was started by such a command, and lets it run.
pub fn take(pid: i32, page: RawFd) -> Result<(), String> {
    let process = Pid::from_raw(pid);
    if !is_traced(pid) {
        return Err("the kernel forbids to trace it".into());
    }
    let mut late = None;
    let taken = stopped(process, &mut late).and_then(|()| Held::new(process)?.change(page, &mut late));
    // A signal that came meanwhile is delivered now. Where the process is gone there is nothing to let go.
    match ptrace::detach(process, late) {
        Ok(()) | Err(Errno::ESRCH) => taken,
        Err(error) => taken.and(Err(format!("letting it go: {}", error.desc()))),
    }
}

/// Whether a process reads this page, or has gone: one that runs and does not began by an `exec` of its own.
pub fn holds(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/maps"))
        .is_ok_and(|maps| maps.is_empty() || maps.contains(&format!("/memfd:{NAME}")))
}

fn is_traced(pid: i32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = text.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

/// Waits until it stands still, at its program's beginning or after one instruction. What else stops it is kept.
fn stopped(process: Pid, late: &mut Option<Signal>) -> Result<(), String> {
    let mut waited = Duration::ZERO;
    loop {
        let look = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(process), look) {
            Ok(WaitStatus::Stopped(_, signal) | WaitStatus::PtraceEvent(_, signal, _)) => {
                // The look is made good: the next one is to see the next stop.
                let _ = waitid(Id::Pid(process), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG);
                if signal == Signal::SIGTRAP {
                    return Ok(());
                }
                *late = Some(signal);
                ptrace::step(process, None).map_err(said("going on"))?;
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
            Ok(_) => return Err("it ended at once".into()),
            Err(error) => return Err(format!("waiting for it: {}", error.desc())),
        }
        if waited > STOP_MAX {
            return Err("it did not stop where its program begins".into());
        }
        std::thread::sleep(LOOK);
        waited += LOOK;
    }
}

fn said(what: &'static str) -> impl Fn(Errno) -> String {
    move |error| format!("{what}: {}", error.desc())
}

/// A process that stands still, and its vDSO.
struct Held {
    process: Pid,
    memory: File,
    base: u64,
    image: Vec<u8>,
}

impl Held {
    fn new(process: Pid) -> Result<Self, String> {
        let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).map_err(failed("its mappings"))?;
        let (base, end) = maps
            .lines()
            .filter(|line| line.ends_with("[vdso]"))
            .find_map(|line| line.split_whitespace().next()?.split_once('-'))
            .and_then(|(base, end)| {
                Some((u64::from_str_radix(base, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
            })
            .ok_or("it has no vDSO")?;
        let memory = File::options().read(true).write(true).open(format!("/proc/{process}/mem"));
        let memory = memory.map_err(failed("its memory"))?;
        let mut image = vec![0; (end - base) as usize];
        memory.read_exact_at(&mut image, base).map_err(failed("reading its vDSO"))?;
        Ok(Self { process, memory, base, image })
    }

    fn change(&self, page: RawFd, late: &mut Option<Signal>) -> Result<(), String> {
        let functions = image::functions(&self.image)?;
        let real = |name: &str| {
            let found = functions.iter().find(|symbol| symbol.name == format!("__vdso_{name}"));
            found.map(|symbol| symbol.value).ok_or_else(|| format!("its vDSO has no {name}"))
        };
        let (clock_gettime, gettimeofday, time) =
            (real("clock_gettime")?, real("gettimeofday")?, real("time")?);
        let registers = ptrace::getregs(self.process).map_err(said("its registers"))?;
        let map = [0, PAGE_BYTES as u64, libc::PROT_READ as u64, libc::MAP_SHARED as u64, page as u64, 0];
        let mapped = self.call(&registers, libc::SYS_mmap, map, late);
        let closed = mapped
            .is_ok()
            .then(|| self.call(&registers, libc::SYS_close, [page as u64, 0, 0, 0, 0, 0], late));
        ptrace::setregs(self.process, registers).map_err(said("its registers"))?;
        let mapped = mapped?;
        closed.transpose()?;
        let made = stub(self.base + clock_gettime, self.base + gettimeofday, mapped);
        let at = image::room(&self.image, made.code.len()).ok_or("there is no room behind its vDSO")?;
        let write = |at: usize, bytes: &[u8]| {
            let written = self.memory.write_all_at(bytes, self.base + at as u64);
            written.map_err(|error| format!("writing its vDSO: {error}"))
        };
        write(at, &made.code)?;
        for symbol in &functions {
            if let Some(place) = function_of(symbol, [clock_gettime, gettimeofday, time], &made) {
                write(symbol.entry, &((at + place) as u64).to_le_bytes())?;
            }
        }
        Ok(())
    }

    /// Makes the process call the kernel.
    fn call(
        &self,
        registers: &user_regs_struct,
        number: libc::c_long,
        arguments: [u64; 6],
        late: &mut Option<Signal>,
    ) -> Result<u64, String> {
        let place = image::system_call(&self.image).ok_or("its vDSO makes no system call")?;
        let [rdi, rsi, rdx, r10, r8, r9] = arguments;
        // No system call is under way that the kernel would have to begin again.
        let rip = self.base + place as u64;
        let call = user_regs_struct {
            rip,
            rax: number as u64,
            orig_rax: u64::MAX,
            rdi,
            rsi,
            rdx,
            r10,
            r8,
            r9,
            ..*registers
        };
        ptrace::setregs(self.process, call).map_err(said("its registers"))?;
        ptrace::step(self.process, None).map_err(said("one step"))?;
        stopped(self.process, late)?;
        let after = ptrace::getregs(self.process).map_err(said("its registers"))?;
        let answer = after.rax as i64;
        if (-4095..0).contains(&answer) {
            return Err(format!(
                "system call {number} in its place: {}",
                Errno::from_raw(-answer as i32).desc()
            ));
        }
        Ok(after.rax)
    }
}

/// Where in the stub a function of the vDSO is, if it is one that is moved: each has two names.
fn function_of(symbol: &Symbol, real: [u64; 3], made: &Stub) -> Option<usize> {
    let ours = [made.clock_gettime, made.gettimeofday, made.time];
    real.into_iter().zip(ours).find_map(|(value, ours)| (symbol.value == value).then_some(ours))
}
