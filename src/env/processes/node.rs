//! One node: its folder, its place, and the process that it is at the moment.
//!
//! Actions are attempts: each is called again, with how long it has waited, until it is in force or has failed,
//! so that nothing here ever blocks. What is answered was read back from the kernel.

use super::cage::{die_with_us, signals_as_usual};
use super::folder::{Folder, LOG};
use super::ground::{Ground, Spot};
use super::heals::{Heal, Heals, kill_family};
use super::proc::{self, Identity, Stat};
use super::resources::{Resources, files_as_we_began};
use super::tail::Tail;
use super::wall::Wall;
use crate::env::{EnvError, Evidence, Exit, NodeId, NodeSpec};
use crate::fault::kill::Signal as Fatal;
use crate::fault::resource::ResourceRule;
use crate::fault::restart::RestartData;
use crate::time::{Micros, Millis};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long an ended process may take to be gone before a start gives up. A server that was asked to end may
/// save its data first.
pub const END_MAX: Duration = Duration::from_secs(20);
/// How long a killed or crashed process may take: it may print a report of the crash and test its memory.
const DEATH_MAX: Duration = Duration::from_secs(10);
/// How long a signal that may be handled is watched for its effect before it is reported as handled.
const HANDLED_AFTER: Duration = Duration::from_millis(250);
/// How long until every thread of a node has stopped or goes on.
const STATE_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Node {
    pub id: NodeId,
    pub spec: NodeSpec,
    pub folder: Folder,
    pub spot: Spot,
    /// Its wall clock, where that can be set. It outlasts the processes.
    wall: Option<Wall>,
    pub process: Option<Process>,
    /// What faults take away from it. They outlast the processes.
    resources: Resources,
    pub tail: Tail,
    incarnations: u32,
}

/// A running process, or one whose helpers have yet to go.
#[derive(Debug)]
pub struct Process {
    pub pid: i32,
    pub incarnation: u32,
    /// Readable when it has ended.
    pidfd: Option<OwnedFd>,
    started: Micros,
    /// A signal that may end it was sent.
    doomed: bool,
    /// The leader is gone, but not all that it had started.
    exit: Option<(Exit, Micros)>,
}

/// What came of an attempt; `None`: not yet.
pub type Attempt = Result<Option<Evidence>, EnvError>;

impl Process {
    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.exit.is_none()
    }

    /// Becomes readable at its end; nothing to wait for once that was seen.
    pub fn end_fd(&self) -> Option<&OwnedFd> {
        self.pidfd.as_ref().filter(|_| self.exit.is_none())
    }
}

impl Node {
    pub fn new(id: NodeId, spec: NodeSpec, folder: Folder, spot: Spot, wall: Option<Wall>) -> Self {
        let tail = Tail::new(folder.path.join(LOG));
        let place = SocketAddrV4::new(spot.address, spot.port);
        let resources = Resources::new(folder.path.clone(), place);
        Self { id, spec, folder, spot, wall, process: None, resources, tail, incarnations: 0 }
    }

    /// Starts it once the last incarnation is gone.
    pub fn start(
        &mut self,
        data: RestartData,
        waited: Duration,
        now: Micros,
        ground: &mut dyn Ground,
        heals: &mut Heals,
    ) -> Attempt {
        if let Some(process) = &self.process {
            if !process.doomed && process.exit.is_none() {
                return Err(EnvError::AlreadyRunning { node: self.id });
            }
            if waited < END_MAX {
                return Ok(None);
            }
            let why = format!("pid {} has not ended within {} s", process.pid, END_MAX.as_secs());
            return Err(self.failed("starting", why));
        }
        self.folder.prepare(data, &self.spec).map_err(|error| {
            self.failed(
                "preparing the folder of",
                format!("{} data: {error}", crate::yaml::fields::Field::write(&data)),
            )
        })?;
        if data != RestartData::Kept {
            ground.furnished(self.id).map_err(|error| self.failed("starting", error.to_string()))?;
        }
        ground.is_free(self.spot).map_err(|why| self.failed("starting", why))?;
        let pid =
            self.spawn(now, ground, heals).map_err(|error| self.failed("starting", error.to_string()))?;
        Ok(Some(format!("pid {pid}, incarnation {}", self.incarnations)))
    }

    fn spawn(&mut self, now: Micros, ground: &mut dyn Ground, heals: &mut Heals) -> io::Result<i32> {
        let log = OpenOptions::new().create(true).append(true).open(self.folder.path.join(LOG))?;
        let (program, arguments) =
            self.spec.argv.split_first().ok_or_else(|| io::Error::other("the command line is empty"))?;
        // A relative path means the folder that the tool was called in, not the node's.
        let program = if program.contains('/') { std::path::absolute(program)? } else { program.into() };
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .current_dir(&self.folder.path)
            .env(proc::MARK, &self.folder.path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        signals_as_usual(&mut command);
        die_with_us(&mut command);
        files_as_we_began(&mut command);
        ground.place(self.id, &self.folder.path, &mut command)?;
        if let Some(wall) = &self.wall {
            wall.ask(&mut command);
        }
        heals.write(&Heal::Starting { node: self.id.to_string() })?;
        let child = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        let pid = child.id() as i32;
        if let Some(wall) = &mut self.wall {
            wall.take(pid);
        }
        if let Some(process) = Identity::of(pid) {
            heals.write(&Heal::KillGroup { node: self.id.to_string(), process })?;
        }
        self.incarnations += 1;
        self.process = Some(Process {
            pid,
            incarnation: self.incarnations,
            pidfd: pidfd(pid),
            started: now,
            doomed: false,
            exit: None,
        });
        self.resources.started(pid);
        Ok(pid)
    }

    /// Sends a signal and watches what it does.
    pub fn signal(&mut self, fatal: Fatal, waited: Option<Duration>) -> Attempt {
        let signal = signal_of(fatal);
        let Some(waited) = waited else {
            let Some(process) = self.process.as_mut().filter(|process| process.exit.is_none()) else {
                return Err(EnvError::NotRunning { node: self.id });
            };
            process.doomed = true;
            kill_family(process.pid, &proc::family(process.pid, &self.folder.path), signal);
            return Ok(None);
        };
        let Some(process) = &self.process else {
            return Ok(Some(format!("{signal} sent, the process is gone")));
        };
        let deadly = matches!(fatal, Fatal::Kill | Fatal::Abrt | Fatal::Segv);
        if process.exit.is_none() && !deadly && waited > HANDLED_AFTER {
            let state = Stat::of(process.pid).map_or('?', |stat| stat.state);
            return Ok(Some(format!("{signal} sent, pid {} still runs (state {state})", process.pid)));
        }
        if waited > DEATH_MAX {
            let why = format!("pid {} lives {} s after {signal}", process.pid, DEATH_MAX.as_secs());
            return Err(self.failed("ending", why));
        }
        Ok(None)
    }

    /// Stops every thread of every process of the node, and sees that they stand still.
    /// Threads of which a call is `kept` wait in it.
    pub fn pause(&mut self, waited: Duration, kept: bool) -> Attempt {
        self.resources.hold();
        let still = |state| matches!(state, 'T' | 'Z' | 'X') || (kept && state == 'D');
        self.switch(Signal::SIGSTOP, waited, "pausing", &still)
    }

    pub fn resume(&mut self, waited: Duration) -> Attempt {
        // Whoever stops it in a rhythm does not meanwhile.
        self.resources.hold();
        let resumed = self.switch(Signal::SIGCONT, waited, "resuming", &|state| state != 'T');
        if !matches!(resumed, Ok(None)) {
            self.resources.release(resumed.is_ok());
        }
        resumed
    }

    /// Takes something away from it in the name of an event, or gives it back.
    pub fn resource(
        &mut self,
        event: &str,
        rule: Option<&ResourceRule>,
        waited: Option<Duration>,
        crowd: Option<Ipv4Addr>,
    ) -> Attempt {
        let runs = self.process.as_ref().is_some_and(Process::is_running);
        match rule {
            Some(_) if !runs => Err(EnvError::NotRunning { node: self.id }),
            Some(rule) => self
                .resources
                .take(event, rule, waited.unwrap_or_default(), crowd)
                .map_err(|why| self.failed("taking resources of", why)),
            None => {
                let waited = waited.unwrap_or_default();
                self.resources
                    .give_back(event, waited)
                    .map_err(|why| self.failed("giving resources back to", why))
            }
        }
    }

    fn switch(
        &mut self,
        signal: Signal,
        waited: Duration,
        doing: &str,
        is: &dyn Fn(char) -> bool,
    ) -> Attempt {
        let Some(process) = self.process.as_ref().filter(|process| process.exit.is_none()) else {
            return Err(EnvError::NotRunning { node: self.id });
        };
        // Sent again at each look: a process may have forked while it was being stopped.
        let members = proc::family(process.pid, &self.folder.path);
        kill_family(process.pid, &members, signal);
        let states: Vec<(i32, char)> = members
            .iter()
            .flat_map(|stat| proc::thread_states(stat.pid).into_iter().map(|state| (stat.pid, state)))
            .collect();
        match states.iter().find(|(_, state)| !is(*state)) {
            None if states.is_empty() => Ok(None),
            None => {
                let leader = Stat::of(process.pid).map_or('?', |stat| stat.state);
                Ok(Some(format!("pid {}: state {leader}, {} threads", process.pid, states.len())))
            }
            Some((pid, state)) if waited > STATE_MAX => {
                Err(self.failed(doing, format!("pid {pid} is in state {state}")))
            }
            Some(_) => Ok(None),
        }
    }

    /// Sets its wall clock: that of its processes, and of those that it will have.
    pub fn set_clock(&mut self, jump: (Millis, Millis), rate: u16) -> Attempt {
        let Some(wall) = &mut self.wall else {
            return Err(EnvError::Unable { what: "change a node's clock".into() });
        };
        // Most have no children, and then not every process of the machine need be looked at.
        let mut pids = Vec::new();
        if let Some(process) = self.process.as_ref().filter(|process| process.exit.is_none()) {
            pids.push(process.pid);
            if proc::has_children(process.pid) {
                pids.extend(proc::family(process.pid, &self.folder.path).iter().map(|stat| stat.pid));
            }
        }
        if let Some(why) = wall.missed_by(pids) {
            return Err(self.failed("setting the clock of", why));
        }
        match wall.change(jump, rate) {
            Ok(evidence) => Ok(Some(evidence)),
            Err(error) => Err(self.failed("setting the clock of", error.to_string())),
        }
    }

    /// Looks after what is taken away from it. Answers the events that have killed it, and how.
    pub fn look(&mut self) -> Vec<(String, String)> {
        let struck = self.resources.look();
        if !struck.is_empty() {
            self.kill();
        }
        struck
    }

    /// Copies the folder as it is at one instant, for a later start.
    pub fn keep_copy(&mut self) -> Attempt {
        let copied = self.still(|node| node.folder.keep_copy());
        self.copied(copied)
    }

    /// Puts a copy of what it has learned into another's folder.
    pub fn lend(&mut self, to: &Folder, other: &NodeSpec) -> Attempt {
        let copied = self.still(|node| node.folder.lend(&node.spec, to, other));
        self.copied(copied)
    }

    fn copied(&self, copied: io::Result<(u64, u64)>) -> Attempt {
        let (files, bytes) =
            copied.map_err(|error| self.failed("copying the folder of", error.to_string()))?;
        Ok(Some(format!("{files} files, {bytes} bytes")))
    }

    /// Does something while the process stands still.
    fn still<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let pid = self.process.as_ref().filter(|process| process.exit.is_none()).map(|process| process.pid);
        let held = self.resources.is_held();
        self.resources.hold();
        let stopped = pid.filter(|pid| Stat::of(*pid).is_some_and(|stat| stat.state != 'T'));
        let hold = |signal| {
            if let Some(pid) = stopped {
                kill_family(pid, &proc::family(pid, &self.folder.path), signal);
            }
        };
        hold(Signal::SIGSTOP);
        let done = act(self);
        if let Some(pid) = stopped {
            kill_family(pid, &proc::family(pid, &self.folder.path), Signal::SIGCONT);
        }
        if !held {
            self.resources.release(stopped.is_some());
        }
        done
    }

    /// Notices the end of the process. It counts as ended when all that it had started is gone too: at once
    /// where it ended by itself (what is left is killed), and where it was asked to, when they have followed.
    pub fn reap(&mut self, now: Micros) -> Option<(u32, Exit)> {
        let process = self.process.as_mut()?;
        if process.exit.is_none() {
            let exit = match waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Exit::Code(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Exit::Signal(signal as i32),
                // Somebody else reaped it; how it ended is lost.
                Err(Errno::ECHILD) => Exit::Code(-1),
                Ok(_) | Err(_) => return None,
            };
            process.exit = Some((exit, now));
            self.resources.gone();
        }
        let (exit, since) = process.exit?;
        let left = proc::family(process.pid, &self.folder.path);
        if !left.is_empty() {
            let patient = process.doomed && now.since(since).0 < END_MAX.as_micros() as u64 / 2;
            if !patient {
                kill_family(process.pid, &left, Signal::SIGKILL);
            }
            return None;
        }
        let incarnation = process.incarnation;
        let line = format!(
            "incarnation {incarnation}: pid {}, started {}, ended {since}, {exit}\n",
            process.pid, process.started
        );
        self.process = None;
        self.folder.note_exit(&line);
        Some((incarnation, exit))
    }

    /// Kills all there is, for the end of the run.
    pub fn kill(&mut self) {
        if let Some(process) = &mut self.process {
            process.doomed = false;
            kill_family(process.pid, &proc::family(process.pid, &self.folder.path), Signal::SIGKILL);
        }
    }

    pub fn failed(&self, doing: &str, why: impl Into<String>) -> EnvError {
        EnvError::Failed { what: format!("{doing} {}", self.id), why: why.into() }
    }

    pub fn path(&self) -> &Path {
        &self.folder.path
    }
}

/// A descriptor that becomes readable when the process ends. Kernels before 5.3 have none; then the end is
/// noticed at the next look.
fn pidfd(pid: i32) -> Option<OwnedFd> {
    #[expect(
        unsafe_code,
        reason = "pidfd_open takes a number and flags; the descriptor it gives is ours alone"
    )]
    unsafe {
        let fd = nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd as i32))
    }
}

fn signal_of(fatal: Fatal) -> Signal {
    match fatal {
        Fatal::Kill => Signal::SIGKILL,
        Fatal::Term => Signal::SIGTERM,
        Fatal::Int => Signal::SIGINT,
        Fatal::Abrt => Signal::SIGABRT,
        Fatal::Segv => Signal::SIGSEGV,
        Fatal::Hup => Signal::SIGHUP,
    }
}
