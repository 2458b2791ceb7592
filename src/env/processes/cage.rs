//! Nothing outlives the run: the run's process as process 1 of a PID namespace of its own.
//!
//! The kernel kills a node when the thread that started it dies (`PR_SET_PDEATHSIG`), but not what the node had
//! started: the server behind a wrapper script that does not `exec` would live on. When process 1 of a PID
//! namespace dies, the kernel kills everything inside (`pid_namespaces(7)`), so the run's process makes itself
//! one, as root or through a user namespace, and is itself killed when its parent dies. Where the machine
//! forbids that, orphans at least come to us (`PR_SET_CHILD_SUBREAPER`), and what a `kill -9` of everything
//! leaves is for [`super::heals::sweep`].
//!
//! ```text
//!  fuzz ──> waiter (passes on signals and the exit status) ──> process 1: the run ──> nodes
//! ```

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getegid, geteuid, pipe};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How the run's process holds what it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cage {
    /// We are process 1 of our own PID namespace, and have these walls around us.
    Namespace(Walls),
    /// We are not, for this reason; orphans come to us.
    Subreaper(String),
}

/// What the cage has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walls {
    /// Processes and mounts.
    Processes,
    /// The network, the shared memory and the host's name as well.
    Network,
}

impl Walls {
    fn flags(self) -> CloneFlags {
        let processes = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
        match self {
            Self::Processes => processes,
            Self::Network => {
                processes | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS
            }
        }
    }
}

/// The exit status of a run that could not be set up after the probe had succeeded.
const BROKEN: i32 = 5;

/// To be called once, by the run's process, before any thread exists and before anything is opened that should
/// not be open twice. On success it returns in a new process; the old one waits for it, passes on its signals,
/// and ends as it ends.
pub fn enter(walls: Walls) -> Cage {
    // Our own parent's death ends us, and us everything.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    match try_enter(walls) {
        Ok(()) => Cage::Namespace(walls),
        Err(why) => {
            let _ = prctl::set_child_subreaper(true);
            Cage::Subreaper(why)
        }
    }
}

fn try_enter(walls: Walls) -> Result<(), String> {
    let threads = fs::read_dir("/proc/self/task").map(Iterator::count).map_err(|error| error.to_string())?;
    if threads != 1 {
        return Err(format!("{threads} threads exist already"));
    }
    let mut whys = Vec::new();
    for with_user in ways() {
        match probe(walls, *with_user) {
            Ok(()) => return enter_for_good(walls, *with_user),
            Err(why) => whys.push(why),
        }
    }
    Err(whys.join("; "))
}

/// With a user namespace or without: root keeps its right to other users' files where it needs none.
fn ways() -> &'static [bool] {
    if geteuid().is_root() { &[false, true] } else { &[true] }
}

/// Whether [`enter`] would do; otherwise the step that fails, and the kernel's word for it.
pub fn holds(walls: Walls) -> Result<(), String> {
    inside(walls, &|| Ok(()))
}

/// What something comes to in a cage, in a process that is gone afterwards.
pub fn inside(walls: Walls, act: &dyn Fn() -> Result<(), String>) -> Result<(), String> {
    let mut whys = Vec::new();
    for with_user in ways() {
        match probe_with(walls, *with_user, act) {
            Ok(()) => return Ok(()),
            Err(why) => whys.push(why),
        }
    }
    Err(whys.join("; "))
}

/// Does in a child what [`enter_for_good`] will do, to see whether it works here: namespaces cannot be left.
pub fn probe(walls: Walls, with_user: bool) -> Result<(), String> {
    probe_with(walls, with_user, &|| Ok(()))
}

fn probe_with(walls: Walls, with_user: bool, act: &dyn Fn() -> Result<(), String>) -> Result<(), String> {
    let (reader, writer) = pipe().map_err(|error| error.to_string())?;
    match fork_here().map_err(|error| error.to_string())? {
        ForkResult::Child => {
            let result =
                unshare_all(walls, with_user).and_then(|()| match fork_here().map_err(said("fork"))? {
                    ForkResult::Child => {
                        let done = mount_proc().and_then(|()| act());
                        if let Err(why) = &done {
                            let _ = nix::unistd::write(&writer, why.as_bytes());
                        }
                        exit_now(i32::from(done.is_err()));
                    }
                    ForkResult::Parent { child } => waitpid(child, None).map(drop).map_err(said("wait")),
                });
            if let Err(why) = &result {
                let _ = nix::unistd::write(&writer, why.as_bytes());
            }
            exit_now(0);
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let why = io::read_to_string(fs::File::from(reader)).map_err(|error| error.to_string())?;
            waitpid(child, None).map_err(|error| error.to_string())?;
            if why.is_empty() { Ok(()) } else { Err(why) }
        }
    }
}

fn enter_for_good(walls: Walls, with_user: bool) -> Result<(), String> {
    // Blocked before the fork, so that a signal is either passed on or seen by the new process itself.
    let old_mask = SigSet::thread_get_mask().map_err(|error| error.to_string())?;
    let passed_on = signals_passed_on();
    passed_on.thread_block().map_err(|error| error.to_string())?;
    let (reader, writer) = pipe().map_err(|error| error.to_string())?;
    // A failure from here on was not foreseen by the probe; half inside is no place to go on from.
    if let Err(why) = unshare_all(walls, with_user) {
        give_up(&why);
    }
    match fork_here() {
        Err(error) => give_up(&format!("fork: {error}")),
        Ok(ForkResult::Parent { child }) => {
            drop(reader);
            wait_and_end_alike(child, &passed_on);
        }
        Ok(ForkResult::Child) => {
            drop(writer);
            let set_up = prctl::set_pdeathsig(Signal::SIGKILL)
                .map_err(said("set_pdeathsig"))
                .and_then(|()| mount_proc())
                .and_then(|()| old_mask.thread_set_mask().map_err(said("signal mask")));
            if let Err(why) = set_up {
                give_up(&why);
            }
            // The waiter may have died before it could be asked to take us along.
            if hung_up(&reader) {
                exit_now(BROKEN);
            }
            Ok(())
        }
    }
}

fn unshare_all(walls: Walls, with_user: bool) -> Result<(), String> {
    if with_user {
        let (user, group) = (geteuid(), getegid());
        unshare(CloneFlags::CLONE_NEWUSER).map_err(said("a user namespace"))?;
        let write = |file: &str, text: String| {
            fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("{file}: {error}"))
        };
        write("setgroups", "deny".into())?;
        // We stay who we are: files belong to the same user inside and outside.
        write("uid_map", format!("{user} {user} 1"))?;
        write("gid_map", format!("{group} {group} 1"))?;
    }
    let what = match walls {
        Walls::Processes => "a PID namespace",
        Walls::Network => "a PID and a network namespace",
    };
    unshare(walls.flags()).map_err(said(what))
}

/// Process 1 needs a `/proc` that shows its own namespace; the outer one stays as it is.
fn mount_proc() -> Result<(), String> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(said("private mounts"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, none).map_err(said("mounting /proc"))
}

/// The old process: passes on what it is sent until the run has ended, then ends in the same way.
fn wait_and_end_alike(child: Pid, passed_on: &SigSet) -> ! {
    let signals = SignalFd::with_flags(passed_on, SfdFlags::SFD_CLOEXEC);
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => exit_now(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                // The default action of the same signal; if it does not end us, the shell's way to say it does.
                SigSet::empty().thread_set_mask().ok();
                let _ = raise(signal);
                exit_now(128 + signal as i32);
            }
            Err(Errno::ECHILD) => exit_now(BROKEN),
            Ok(_) | Err(_) => {}
        }
        match signals.as_ref().map(SignalFd::read_signal) {
            Ok(Ok(Some(info))) => {
                // What the terminal sends goes to the whole foreground group: the run has it already.
                let from_terminal = info.ssi_code == libc::SI_KERNEL;
                if let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
                    && signal != Signal::SIGCHLD
                    && !from_terminal
                {
                    let _ = kill(child, signal);
                }
            }
            // Without a signalfd the wait is a plain one.
            _ => drop(waitpid_peek(child)),
        }
    }
}

/// Waits for the end without taking the status away.
fn waitpid_peek(child: Pid) -> nix::Result<WaitStatus> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    nix::sys::wait::waitid(nix::sys::wait::Id::Pid(child), flags)
}

fn signals_passed_on() -> SigSet {
    let mut signals = requests_to_stop();
    signals.add(Signal::SIGCHLD);
    signals
}

fn requests_to_stop() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// The kernel kills what the command starts when the thread that started it ends, however that comes about: to
/// be asked for every process of the tool and every node, and from a thread that lives as long as the run.
///
/// Between fork
/// and this call the parent may have died already; then the process ends before it becomes a server.
pub fn die_with_us(command: &mut Command) {
    let parent = Pid::this();
    let ask = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if Pid::parent() == parent { Ok(()) } else { Err(io::Error::from(Errno::ECHILD)) }
    };
    #[expect(unsafe_code, reason = "the closure makes two system calls and allocates nothing")]
    unsafe {
        command.pre_exec(ask);
    }
}

/// What the command starts takes signals as any process does. A mask and ignored signals outlive `exec`: ours
/// would keep `TERM` from a server, and those of a background job `INT`.
pub fn signals_as_usual(command: &mut Command) {
    let reset = || {
        SigSet::empty().thread_set_mask()?;
        for signal in requests_to_stop().iter().chain([Signal::SIGQUIT]) {
            #[expect(unsafe_code, reason = "the default action runs no code of ours")]
            unsafe {
                nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl)?;
            }
        }
        Ok(())
    };
    #[expect(unsafe_code, reason = "the closure makes system calls and allocates nothing")]
    unsafe {
        command.pre_exec(reset);
    }
}

/// A descriptor that becomes readable when the user asks to stop (Ctrl-C, `TERM`, a lost terminal), for
/// [`super::Options::interrupt`]. From here on these signals do nothing else.
pub fn interrupts() -> io::Result<OwnedFd> {
    let signals = requests_to_stop();
    signals.thread_block()?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    SignalFd::with_flags(&signals, flags)?.as_fd().try_clone_to_owned()
}

fn hung_up(reader: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap_or(0) > 0
}

fn fork_here() -> nix::Result<ForkResult> {
    #[expect(
        unsafe_code,
        reason = "one thread exists, so the child is a whole copy of us and may do anything"
    )]
    unsafe {
        fork()
    }
}

fn said(what: &'static str) -> impl Fn(Errno) -> String {
    move |error| format!("{what}: {}", error.desc())
}

fn give_up(why: &str) -> ! {
    eprintln!("error: failed to enter the run's namespaces: {why}");
    exit_now(BROKEN)
}

/// Ends without running what the process we are a copy of had registered for its own end.
fn exit_now(code: i32) -> ! {
    #[expect(unsafe_code, reason = "_exit takes a number and does not return")]
    unsafe {
        libc::_exit(code)
    }
}
