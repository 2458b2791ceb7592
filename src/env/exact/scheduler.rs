//! The turns: who may run, who runs next, and what a process asks for within its turn.

use super::area::Hand;
use super::area::slot::{
    AUX, CONNECT, ENDED, EPOLL, FORK, FORKED, KILL, MAIN, NOTED, NOTHING, SLEEP, SLOTS, STRUCK, TELL_EPOLL,
    WAIT, WAITPID,
};
use super::network::Port;
use super::policy::Candidate;
use super::{ExactEnv, FIRST_SLOT, LOOPBACK, exit_of, hang};
use crate::env::{Input, NodeId, Observed, Trouble};
use crate::fault::disk::Blow;
use crate::time::Micros;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A turn costs this much virtual time and up to this much more, besides one microsecond per clock read.
const TURN_US: u64 = 5;
const TURN_US_MORE: u64 = 36;
/// A process that neither parks nor dies is looked at this often, to see whether it has crashed.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Open files without which nothing can be started: above those that the shim gives its own numbers.
const FILES_MIN: u64 = 1024;
/// How the refusal begins.
pub const FEW_FILES: &str = "too few files may be open";
/// How long a process that is on its way out may take.
const END_MAX_MS: u16 = 30_000;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Over,
    /// The process is dead.
    Gone,
}

/// What sets the names of this run's sockets apart from every other run's on the machine. It is no choice of the
/// simulation: no server sees it.
pub fn token() -> io::Result<String> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

/// The id of the `count`-th process of a node.
pub fn pid(node: NodeId, count: i32) -> i32 {
    (i32::from(node.0) + 1) * 10_000 + count
}

/// Keeps this thread, and what it starts, on the processor that it runs on.
pub fn keep_to_one_processor() {
    #[expect(unsafe_code, reason = "a set of processors is plain bytes, for which zero is a value")]
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let processor = libc::sched_getcpu();
        if let Ok(processor) = usize::try_from(processor) {
            libc::CPU_SET(processor, &mut set);
            // Where it is refused, turns are slower and nothing else.
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
        }
    }
}

/// Two sockets per connection and some descriptors per process: as many files as the machine lets us have. An error
/// where they are too few for the numbers that the shim gives its own.
pub fn open_many_files() -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if most < FILES_MIN {
        return Err(io::Error::other(format!("{FEW_FILES} ({most}), and {FILES_MIN} are needed")));
    }
    // Where it is refused, a large cluster fails by name when the files run out.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    Ok(())
}

impl ExactEnv {
    pub(super) fn free_slot(&self) -> Option<usize> {
        (FIRST_SLOT..SLOTS).find(|slot| !self.processes.contains_key(slot))
    }

    /// Among those that may run, the one that the policy has go next.
    pub(super) fn next_runnable(&mut self) -> Option<usize> {
        let mut fds = Vec::new();
        let mut owners = Vec::new();
        let mut runnable = Vec::new();
        let stirred = self.network.take_stirred();
        for (slot, process) in &mut self.processes {
            process.quiet &= !stirred.contains(&process.node.0);
            if process.gone || self.nodes[&process.node].paused {
                continue;
            }
            let candidate = Candidate {
                slot: *slot,
                node: process.node.0,
                pid: process.pid,
                turns: process.turns,
                rank: process.rank,
            };
            if process.forced || process.deadline <= self.now {
                runnable.push(candidate);
                continue;
            }
            let waits_on = self.area.slot(*slot).waits_on.load(Relaxed);
            if waits_on != NOTHING
                && (!process.quiet || cfg!(debug_assertions))
                && let Some(Some(epoll)) = process.epolls.get(waits_on as usize)
            {
                fds.push(PollFd::new(epoll.as_fd(), PollFlags::POLLIN));
                owners.push((candidate, &mut process.quiet));
            }
        }
        if !fds.is_empty() && poll(&mut fds, PollTimeout::ZERO).is_ok() {
            for (fd, (candidate, quiet)) in fds.iter().zip(owners) {
                if fd.any().unwrap_or(false) {
                    debug_assert!(!*quiet, "{candidate:?} was woken by nobody");
                    runnable.push(candidate);
                } else {
                    *quiet = true;
                }
            }
        }
        self.picker.pick(&runnable, self.nodes.keys().map(|node| node.0))
    }

    /// When the next process wants to run of itself.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.processes
            .values()
            .filter(|process| !process.gone && !self.nodes[&process.node].paused)
            .map(|process| process.deadline)
            .min()
            .filter(|deadline| *deadline != u64::MAX)
    }

    /// Gives the process of this slot a turn.
    pub(super) fn turn(&mut self, slot: usize) -> Turn {
        let process = self.processes.get_mut(&slot).expect("the caller chose it");
        process.forced = false;
        let node = &self.nodes[&process.node];
        node.clock.show(self.now, self.area.slot(slot));
        self.area.hand_over(slot);
        self.finish_turn(slot)
    }

    /// Follows a turn that has begun to its end, and answers what is asked within it.
    pub(super) fn finish_turn(&mut self, slot: usize) -> Turn {
        loop {
            if self.await_stop(slot) == Turn::Gone {
                return Turn::Gone;
            }
            let cause = self.area.slot(slot).cause.load(Relaxed);
            if !self.answer(slot, cause) {
                return Turn::Over;
            }
            self.area.hand_over(slot);
        }
    }

    fn await_stop(&mut self, slot: usize) -> Turn {
        let process = &self.processes[&slot];
        let mut began = None;
        let (mut worked, mut stuck) = (Duration::ZERO, Duration::ZERO);
        loop {
            match self.area.take_back(slot, LOOK_EVERY) {
                Hand::Parked => return Turn::Over,
                Hand::Running if process.is_dead(0) => return Turn::Gone,
                Hand::Ending => {
                    if !process.is_dead(END_MAX_MS) {
                        process.send(libc::SIGKILL);
                        process.is_dead(END_MAX_MS);
                    }
                    return Turn::Gone;
                }
                Hand::Running => {}
            }
            let time = hang::processor_time(process.kernel_pid);
            let taken = time.saturating_sub(*began.get_or_insert(time));
            stuck = if taken > worked || !hang::waits(process.kernel_pid) {
                Duration::ZERO
            } else {
                stuck + LOOK_EVERY
            };
            worked = taken;
            if worked > self.turn_max || stuck > hang::STUCK_MAX {
                break;
            }
        }
        let (node, pid) = (process.node, process.pid);
        let stack = hang::stack(process.kernel_pid);
        let what = if worked > self.turn_max {
            "works and does not come back"
        } else {
            "waits for what never comes"
        };
        let why = format!("{node} (pid {pid}) {what}: {}", hang::innermost(&stack));
        let stack = stack.lines().map(String::from).collect();
        process.send(libc::SIGKILL);
        process.is_dead(END_MAX_MS);
        // The end that follows is our doing and no crash.
        let (event, what) = ("hang".into(), format!("{node} is ended, because it hangs"));
        self.observe(Observed::Struck { node, event, blow: Some(Blow::Kill), what });
        self.trouble.get_or_insert(Trouble::Hang { node, why, stack });
        Turn::Gone
    }

    /// Answers a question; `false`: it was none, the turn is over.
    fn answer(&mut self, slot: usize, cause: u32) -> bool {
        let arguments = [0, 1].map(|n: usize| self.area.slot(slot).arguments[n].load(Relaxed));
        let answer = match cause {
            TELL_EPOLL => self.take_epoll(slot, arguments[0] as u32),
            CONNECT => self.connect(slot, arguments),
            FORK => self.free_slot().map_or(-1, |free| self.reserve(free)),
            FORKED => self.forked(slot, arguments),
            WAITPID => self.ended_child(slot, arguments[0] as i32),
            KILL => self.kill_child(slot, arguments),
            STRUCK => self.struck(slot, arguments),
            NOTED => {
                self.take_notes(slot);
                0
            }
            ENDED => i64::from(self.network.reset_pending(arguments[0] as u64, arguments[1] as usize)),
            _ => return false,
        };
        self.area.slot(slot).answer.store(answer, Relaxed);
        true
    }

    fn take_epoll(&mut self, slot: usize, which: u32) -> i64 {
        let process = self.processes.get_mut(&slot).expect("it runs");
        if let (Ok(fd), true) = (process.receive(), which == MAIN || which == AUX) {
            process.epolls[which as usize] = Some(fd);
        }
        0
    }

    fn connect(&mut self, slot: usize, arguments: [i64; 2]) -> i64 {
        let process = &self.processes[&slot];
        let node = process.node;
        let Ok(fd) = process.receive() else { return -i64::from(Errno::EBADF as i32) };
        let (address, port) = (arguments[0] as u32, arguments[1] as u16);
        let owner = self
            .nodes
            .iter()
            .find(|(_, node)| address == LOOPBACK && (node.port == port || node.bus_port == port))
            .map(|(id, node)| Port { node: *id, bus: node.bus_port == port });
        match self.network.connect(self.now, node, &fd, (address, port), owner) {
            Ok(()) => 0,
            Err(error) => -i64::from(error as i32),
        }
    }

    fn reserve(&mut self, free: usize) -> i64 {
        let slot = self.area.slot(free);
        slot.state.store(super::area::slot::RUNNING, Relaxed);
        slot.signal.store(0, Relaxed);
        free as i64
    }

    /// The child is under us from its first step on.
    fn forked(&mut self, slot: usize, arguments: [i64; 2]) -> i64 {
        let (child, kernel_pid) = (arguments[0] as usize, arguments[1] as i32);
        if kernel_pid < 0 {
            return -1;
        }
        let parent = &self.processes[&slot];
        let id = parent.node;
        let node = self.nodes.get_mut(&id).expect("its process runs");
        node.processes += 1;
        let pid = pid(id, node.processes);
        let Ok(mut process) = parent.forked(slot, pid, kernel_pid) else { return -1 };
        process.deadline = self.now;
        process.rank = self.key.word("next", pid as u64, 0);
        let home = self.area.slot(slot).home.load(Relaxed);
        let page = self.area.slot(child);
        page.pid.store(pid, Relaxed);
        page.waits_on.store(NOTHING, Relaxed);
        page.home.store(home, Relaxed);
        page.random.store(self.key.word("getrandom", pid as u64, 0), Relaxed);
        self.processes.insert(child, process);
        if self.await_stop(child) == Turn::Gone
            && let Some(process) = self.processes.get_mut(&child)
        {
            process.gone = true;
        }
        i64::from(pid)
    }

    /// `waitpid` for any child, or for one.
    fn ended_child(&mut self, slot: usize, wanted: i32) -> i64 {
        let mut any = false;
        let mut found = None;
        for (number, child) in self.processes.iter().filter(|(_, child)| child.parent == Some(slot)) {
            if wanted != -1 && wanted != child.pid {
                continue;
            }
            any = true;
            if child.gone && found.is_none_or(|(pid, _, _)| child.pid < pid) {
                found = Some((child.pid, child.kernel_pid, *number));
            }
        }
        match found {
            Some((pid, kernel_pid, number)) => {
                self.area.slot(slot).arguments[0].store(i64::from(kernel_pid), Relaxed);
                self.processes.remove(&number);
                i64::from(pid)
            }
            None if any => 0,
            None => -i64::from(Errno::ECHILD as i32),
        }
    }

    fn kill_child(&mut self, slot: usize, arguments: [i64; 2]) -> i64 {
        let (pid, signal) = (arguments[0] as i32, arguments[1] as i32);
        let node = self.processes[&slot].node;
        let Some((number, process)) =
            self.processes.iter_mut().find(|(_, process)| process.node == node && process.pid == pid)
        else {
            return -i64::from(Errno::ESRCH as i32);
        };
        if process.gone || signal == 0 {
            return 0;
        }
        if signal == libc::SIGKILL {
            process.send(signal);
            process.is_dead(END_MAX_MS);
            process.gone = true;
        } else {
            self.area.slot(*number).signal.store(signal as u32, Relaxed);
            process.forced = true;
        }
        0
    }

    /// What follows from a turn: time has passed, bytes were written, lines logged, a process may be dead.
    pub(super) fn after_turn(&mut self, slot: usize, turn: Turn) {
        self.turns += 1;
        self.take_notes(slot);
        let page = self.area.slot(slot);
        let (reads, cause) = (page.reads.load(Relaxed), page.cause.load(Relaxed));
        let (deadline, waits_on) = (page.deadline.load(Relaxed), page.waits_on.load(Relaxed));
        let touched = page.touched.swap(0, Relaxed) != 0;
        let Some(process) = self.processes.get_mut(&slot) else { return };
        let (id, pid, number) = (process.node, process.pid, process.turns);
        process.turns += 1;
        process.rank = self.key.word("next", pid as u64, process.turns);
        let began = self.now;
        let cost = TURN_US + self.key.word("turn", pid as u64, number) % TURN_US_MORE;
        self.now += cost + reads;
        let node = &self.nodes[&id];
        process.deadline = match cause {
            EPOLL | WAIT | SLEEP => node.clock.when(deadline),
            _ => self.now,
        };
        let (deadline, rank) = (process.deadline, process.rank >> 32);
        if touched || turn.is_over() {
            self.read_log(id, turn.is_over());
        }
        self.network.pump(self.now, id);
        self.tell_messages();
        let carried = self.network.hasher.finalize();
        self.network.hasher.reset();
        self.trace.line(format_args!(
            "{began} {id} pid {pid} turn {number} cost {cost} cause {cause} on {waits_on} reads {reads} until {deadline} \
             rank {rank:08x} carried {}",
            &carried.to_hex()[..12]
        ));
        if turn.is_over() {
            self.bury(slot);
        }
        self.fall(id);
    }

    fn read_log(&mut self, id: NodeId, last: bool) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let mut lines = Vec::new();
        // A log that cannot be read now is read at the next turn.
        while node.tail.lines(&mut lines).unwrap_or(false) {}
        if last {
            node.tail.last_words(&mut lines);
        }
        for line in lines {
            self.observe(Observed::Log { node: id, line });
        }
    }

    /// A process is dead. A child waits for its parent to hear of it; a server takes its children along.
    fn bury(&mut self, slot: usize) {
        let Some(process) = self.processes.get_mut(&slot) else { return };
        process.gone = true;
        let id = process.node;
        if process.parent.is_none() {
            self.kill_family(id);
        }
    }

    /// Ends all processes of a node, which has a server, and tells of it.
    pub(super) fn kill_family(&mut self, id: NodeId) {
        if self.loses_power(id) {
            self.network.vanish(self.now, id);
        }
        let slots: Vec<usize> =
            self.processes.iter().filter(|(_, process)| process.node == id).map(|(slot, _)| *slot).collect();
        for slot in &slots {
            let process = &self.processes[slot];
            process.send(libc::SIGKILL);
        }
        let mut ended = None;
        for slot in slots {
            let Some(mut process) = self.processes.remove(&slot) else { continue };
            if process.parent.is_none() {
                process.is_dead(END_MAX_MS);
                ended = Some((process.incarnation, process.pid, exit_of(process.reap())));
            } else if !process.gone {
                process.is_dead(END_MAX_MS);
            }
        }
        self.read_log(id, true);
        self.network.pump(self.now, id);
        self.unmount(id);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.server = None;
        (node.paused, node.doomed) = (false, false);
        let waiting = std::mem::take(&mut node.waiting);
        if let Some((incarnation, pid, exit)) = ended {
            let (started, now) = (Micros(node.started), Micros(self.now));
            node.folder.note_exit(&format!(
                "incarnation {incarnation}: pid {pid}, started {started}, ended {now}, {exit}\n"
            ));
            self.trace.line(format_args!("{} {id} ended by {exit}", self.now));
            self.observe(Observed::Exited { node: id, incarnation, exit });
        }
        if self.closed {
            return;
        }
        for (who, action) in waiting {
            if let Some(done) = self.act(who, id, action) {
                self.tell(who, Input::Applied(done));
            }
        }
    }
}
