//! One process under the scheduler: a server, or a child that it forked.

use super::area::slot::{
    FD_AREA, FD_CONTROL, FD_OWN, FD_RANDOM, FD_SETTING, FD_SHIM, FD_SMAPS, FD_STAT, RUNNING, VARIABLE,
};
use super::area::{Area, memory_file};
use crate::entropy::Entropy;
use crate::env::NodeId;
use crate::env::processes::cage::{die_with_us, signals_as_usual};
use crate::env::processes::proc::MARK;
use nix::cmsg_space;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair,
};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// The shared object that `build.rs` made.
static SHIM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/seedfault_exact.so"));
/// What `/dev/urandom` holds for one incarnation: more than any server reads.
const RANDOM_BYTES: usize = 64 * 1024;
/// `/proc/self/stat` as every process reads it: field 24 is the resident set, in pages.
const STAT: &str = "1 (server) R 0 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 0 67108864 4096 18446744073709551615 \
                    0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
/// `/proc/self/smaps`: nothing that a server sums up.
const SMAPS: &str = "Rss: 16384 kB\nPrivate_Dirty: 0 kB\nPrivate_Clean: 0 kB\n";

/// What every file below `/proc/sys` and `/sys` holds.
const SETTING: &str = "65535\n";
/// The allocator's own thread races with the others for what it gives back to the kernel, and how many arenas there
/// are follows from the number of processors; both show in what a server tells of its memory.
const ALLOCATOR: &str = "background_thread:false,narenas:4";
/// The environment is as long wherever the run folder is: servers copy it.
const FILL: usize = 4096;

#[derive(Debug)]
pub struct Process {
    pub node: NodeId,
    pub incarnation: u32,
    /// The id that it believes to have: the same in every run.
    pub pid: i32,
    pub kernel_pid: i32,
    pidfd: OwnedFd,
    /// The slot of its parent, for a child that was forked.
    pub parent: Option<usize>,
    /// Its epoll descriptors, as `slot::MAIN` and `slot::AUX` number them.
    pub epolls: [Option<OwnedFd>; 2],
    /// Turns it has had.
    pub turns: u64,
    /// What decides whether it goes next; drawn when its last turn ended.
    pub rank: u64,
    /// When it wants to run again, if nothing comes before.
    pub deadline: u64,
    /// It is to run whether or not it waits: a signal is to be taken.
    pub forced: bool,
    /// What it waits on had nothing for it, and nothing has changed there since.
    pub quiet: bool,
    /// It is gone, and its parent was not told yet.
    pub gone: bool,
    control: Rc<OwnedFd>,
    child: Option<Child>,
}

/// What a server is started with.
pub struct Launch<'a> {
    pub node: NodeId,
    pub incarnation: u32,
    pub pid: i32,
    pub slot: usize,
    pub argv: &'a [String],
    pub folder: &'a Path,
    pub log: &'a Path,
    pub key: Entropy,
}

/// The shim as a file that a server can be told to load.
pub fn shim() -> io::Result<OwnedFd> {
    memory_file("seedfault-shim", SHIM)
}

impl Process {
    /// Starts a server. It runs at once, until it first waits.
    pub fn launch(launch: &Launch<'_>, area: &Area, shim: &OwnedFd) -> io::Result<Self> {
        let random = random_bytes(launch);
        let random = memory_file("random", &random)?;
        let stat = memory_file("stat", STAT.as_bytes())?;
        let smaps = memory_file("smaps", SMAPS.as_bytes())?;
        let setting = memory_file("setting", SETTING.as_bytes())?;
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::SOCK_CLOEXEC)?;
        let slot = area.slot(launch.slot);
        slot.pid.store(launch.pid, Relaxed);
        slot.signal.store(0, Relaxed);
        slot.loaded.store(0, Relaxed);
        slot.random.store(launch.key.word("getrandom", launch.pid as u64, 0), Relaxed);
        slot.state.store(RUNNING, Relaxed);

        let log = OpenOptions::new().create(true).append(true).open(launch.log)?;
        let (program, arguments) =
            launch.argv.split_first().ok_or_else(|| io::Error::other("the command line is empty"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(launch.folder)
            .env_clear()
            .env("LD_PRELOAD", format!("/proc/self/fd/{FD_SHIM}"))
            .env(VARIABLE, launch.slot.to_string())
            .env(MARK, launch.folder)
            .env("MALLOC_CONF", ALLOCATOR)
            .env("SEEDFAULT_FILL", "x".repeat(FILL.saturating_sub(launch.folder.as_os_str().len())))
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        signals_as_usual(&mut command);
        die_with_us(&mut command);
        let given = [
            (area.fd().as_raw_fd(), FD_AREA),
            (theirs.as_raw_fd(), FD_CONTROL),
            (random.as_raw_fd(), FD_RANDOM),
            (stat.as_raw_fd(), FD_STAT),
            (smaps.as_raw_fd(), FD_SMAPS),
            (shim.as_raw_fd(), FD_SHIM),
            (setting.as_raw_fd(), FD_SETTING),
        ];
        inherit(&mut command, given);
        let child = command.spawn()?;
        let kernel_pid = child.id() as i32;
        Ok(Self {
            node: launch.node,
            incarnation: launch.incarnation,
            pid: launch.pid,
            kernel_pid,
            pidfd: pidfd(kernel_pid)?,
            parent: None,
            epolls: [None, None],
            turns: 0,
            rank: 0,
            deadline: u64::MAX,
            forced: false,
            quiet: false,
            gone: false,
            control: Rc::new(ours),
            child: Some(child),
        })
    }

    /// A child that this process forked.
    pub fn forked(&self, own_slot: usize, pid: i32, kernel_pid: i32) -> io::Result<Self> {
        Ok(Self {
            node: self.node,
            incarnation: self.incarnation,
            pid,
            kernel_pid,
            pidfd: pidfd(kernel_pid)?,
            parent: Some(own_slot),
            epolls: [None, None],
            turns: 0,
            rank: 0,
            deadline: 0,
            forced: false,
            quiet: false,
            gone: false,
            control: self.control.clone(),
            child: None,
        })
    }

    /// Whether it is really dead: its descriptors are closed then.
    pub fn is_dead(&self, wait_ms: u16) -> bool {
        let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(wait_ms)).unwrap_or(0) > 0
    }

    pub fn send(&self, signal: i32) {
        #[expect(unsafe_code, reason = "the descriptor names this process and no later one")]
        unsafe {
            let none = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, self.pidfd.as_raw_fd(), signal, none, 0);
        }
    }

    /// How a server that is dead ended.
    pub fn reap(&mut self) -> Option<std::process::ExitStatus> {
        self.child.take().and_then(|mut child| child.wait().ok())
    }

    /// The descriptor that the shim has just sent.
    pub fn receive(&self) -> io::Result<OwnedFd> {
        let mut byte = [0; 1];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let mut space = cmsg_space!(RawFd);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.control.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control
                && let Some(fd) = fds.first()
            {
                #[expect(unsafe_code, reason = "the kernel has just made this descriptor for us")]
                return Ok(unsafe { OwnedFd::from_raw_fd(*fd) });
            }
        }
        Err(io::Error::other("no descriptor came"))
    }
}

/// The same bytes for the same node and incarnation.
fn random_bytes(launch: &Launch<'_>) -> Vec<u8> {
    let mut rng = launch.key.child("urandom").nth(launch.pid as u64).rng();
    (0..RANDOM_BYTES / 8).flat_map(|_| rng.next_u64().to_le_bytes()).collect()
}

/// Open files that every server is told it may have: its own wish for ten thousand clients is met, and no log tells
/// of the limits of this machine.
const FILES: libc::rlim_t = 16_384;

fn inherit(command: &mut Command, given: [(RawFd, RawFd); 7]) {
    let prepare = move || {
        // Numbers of ours may be among those to give: all are first copied to above them.
        let mut copies = [0; 7];
        for (copy, (from, _)) in copies.iter_mut().zip(given) {
            #[expect(unsafe_code, reason = "fcntl of a number that stays open until after the fork")]
            let fd = unsafe { libc::fcntl(from, libc::F_DUPFD_CLOEXEC, FD_OWN) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            *copy = fd;
        }
        for (copy, (_, to)) in copies.into_iter().zip(given) {
            #[expect(unsafe_code, reason = "dup2 of a number that we have just made")]
            if unsafe { libc::dup2(copy, to) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        #[expect(
            unsafe_code,
            reason = "all take numbers or the address of a local; refused, we go on without"
        )]
        unsafe {
            // Whatever else whoever started us left open would shift the numbers of the server's descriptors.
            libc::syscall(libc::SYS_close_range, 3, FD_AREA - 1, libc::CLOSE_RANGE_CLOEXEC);
            libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
                limit.rlim_max = limit.rlim_max.min(FILES);
                limit.rlim_cur = limit.rlim_max;
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "the closure makes system calls and allocates nothing")]
    unsafe {
        command.pre_exec(prepare);
    }
}

fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    #[expect(
        unsafe_code,
        reason = "pidfd_open takes a number and flags; the descriptor it gives is ours alone"
    )]
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(File::from_raw_fd(fd as i32).into()) }
    }
}
