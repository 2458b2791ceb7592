//! The thread that answers calls to the nodes' disks, as their [`Rules`] say.
//!
//! A call that is watched waits in the kernel until it is answered here, so nothing here waits for anything: what is to
//! last is answered when its time has come. Whoever is under no rule is told to go on at once; else the file is looked
//! up, and only those of the node's own folder are its disk.
//!
//! Where the thread ended, every call that is watched would fail in a way that no fault asked for: it takes the nodes
//! with it.

use super::super::alarm::Alarm;
use super::filter::{self, Kind};
use super::kernel::{self, Answer, Waiting};
use super::rules::{Call, Fate, Hit, Rules};
use crate::env::processes::folder::LOG;
use crate::env::processes::{heals, proc};
use crate::env::{NodeId, Observed};
use crate::fault::disk::{Blow, DiskErrno};
use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What epoll says of the descriptors that are no listener.
const STOP: u64 = 1 << 32;
const TIMER: u64 = 1 << 33;
const GREETING: u64 = 1 << 34;
const EVENTS: usize = 64;
/// `PATH_MAX`.
const PATH_LENGTH_MAX: usize = 4096;
const PAGE: u64 = 4096;

/// What a process says when it has put its filter on: the node, whether it only tries the disk, and its number.
pub fn greeting(node: NodeId, tries: bool, process: u32) -> [u8; 8] {
    let word = u64::from(node.0) | u64::from(tries) << 16 | u64::from(process) << 32;
    word.to_ne_bytes()
}

/// What became of a node's calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Calls that came by, to whatever file or socket.
    pub writes: u64,
    pub syncs: u64,
    pub renames: u64,
    pub reads: u64,
    pub failed: u64,
    pub short: u64,
    pub delayed: u64,
    pub struck: u64,
}

/// The disk of one node.
#[derive(Debug, Default)]
pub struct Disk {
    /// Without symbolic links, as the kernel tells paths.
    pub folder: PathBuf,
    pub rules: Rules,
    pub counts: Counts,
}

/// A process that put a filter on, and all that it has started.
#[derive(Debug)]
struct Listener {
    fd: OwnedFd,
    node: NodeId,
    leader: i32,
    tries: bool,
}

/// A call that is answered later.
#[derive(Debug)]
struct Later {
    listener: u64,
    node: NodeId,
    waiting: Waiting,
    fate: Fate,
}

#[derive(Debug)]
pub struct Inner {
    pub disks: BTreeMap<NodeId, Disk>,
    listeners: BTreeMap<u64, Listener>,
    next: u64,
    /// By when they are due, and a number.
    later: BTreeMap<(u64, u64), Later>,
    /// Those of nodes that are stopped.
    held: Vec<Later>,
    pub observed: Vec<Observed>,
    /// Nodes that have lost their power at a call, by which event.
    pub power: BTreeMap<NodeId, String>,
    /// What could not be done as it was asked for.
    pub trouble: Option<String>,
    /// Goes off when the next answer is due.
    alarm: Alarm,
}

/// What the thread and the run have in common.
#[derive(Debug)]
pub struct Shared {
    inner: Mutex<Inner>,
    epoll: Epoll,
    pub stop: EventFd,
    /// Readable when there is something to be told.
    pub told: EventFd,
    greetings: OwnedFd,
    began: Instant,
}

impl Shared {
    /// `greetings` is where the nodes' listeners come from.
    pub fn new(greetings: OwnedFd) -> io::Result<Arc<Self>> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let event = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let (stop, told) = (event()?, event()?);
        let alarm = Alarm::new()?;
        epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        epoll.add(&alarm, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(&greetings, EpollEvent::new(EpollFlags::EPOLLIN, GREETING))?;
        #[expect(clippy::disallowed_methods, reason = "the supervisor is the border: delays are real")]
        let began = Instant::now();
        Ok(Arc::new(Self { inner: Mutex::new(Inner::new(alarm)), epoll, stop, told, greetings, began }))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// The thread.
    pub fn run(&self) {
        let _last = Last(self);
        let mut events = [EpollEvent::empty(); EVENTS];
        loop {
            // Interrupted by a signal: the next turn asks again.
            let count = self.epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
            let mut inner = self.lock();
            for event in &events[..count] {
                match event.data() {
                    STOP => return,
                    TIMER => inner.alarm.rang(),
                    GREETING => self.greet(&mut inner),
                    token if event.events().contains(EpollFlags::EPOLLIN) => self.take(&mut inner, token),
                    // Nobody is left under this filter.
                    token => inner.forget(token),
                }
            }
            self.answer_due(&mut inner);
        }
    }

    /// A process has put its filter on.
    fn greet(&self, inner: &mut Inner) {
        let Some((word, fd)) = received(self.greetings.as_raw_fd()) else { return };
        let token = inner.next;
        inner.next += 1;
        kernel::hand_over(&fd);
        if let Err(error) = self.epoll.add(&fd, EpollEvent::new(EpollFlags::EPOLLIN, token)) {
            inner.trouble = Some(format!("a node's calls cannot be watched: {error}"));
            return;
        }
        let (node, tries) = (NodeId(word as u16), word >> 16 & 1 == 1);
        inner.listeners.insert(token, Listener { fd, node, leader: (word >> 32) as i32, tries });
    }

    fn take(&self, inner: &mut Inner, token: u64) {
        let now = self.now();
        let Some(listener) = inner.listeners.get(&token) else { return };
        // Who made it has died meanwhile.
        let Ok(waiting) = kernel::receive(&listener.fd) else { return };
        let disk = inner.disks.entry(listener.node).or_default();
        let Some(kind) = filter::kind(waiting.number) else {
            return kernel::answer(&listener.fd, waiting.id, Answer::Make);
        };
        if !listener.tries {
            disk.counts.saw(kind);
        }
        if disk.rules.is_empty() || !is_about(&waiting, kind, &disk.folder) {
            return kernel::answer(&listener.fd, waiting.id, Answer::Make);
        }
        // Memory that cannot be read is the kernel's to refuse.
        let (true, Ok((length, in_parts))) = (kernel::waits(&listener.fd, waiting.id), waiting.length())
        else {
            return kernel::answer(&listener.fd, waiting.id, Answer::Make);
        };
        let reserves = waiting.number == libc::SYS_fallocate;
        let verdict = disk.rules.judge(Call { kind, length, in_parts, reserves }, now);
        if !listener.tries {
            disk.counts.add(verdict.fate, verdict.delay);
        }
        let (node, leader) = (listener.node, listener.leader);
        // Told before it ends.
        if let Some(hit) = verdict.hits.iter().find(|hit| hit.blow == Some(Blow::Power)) {
            inner.power.insert(node, hit.event.clone());
        }
        let hits: Vec<Observed> =
            verdict.hits.into_iter().map(|hit| told(hit, node, kind, leader, &waiting)).collect();
        if !hits.is_empty() {
            inner.observed.extend(hits);
            let _ = self.told.write(1);
        }
        let later = Later { listener: token, node, waiting, fate: verdict.fate };
        match verdict.fate {
            Fate::End(part) => inner.end(&later, part),
            Fate::Hold => inner.hold(later),
            _ if verdict.delay == 0 => inner.answer(&later),
            _ => {
                let due = now.saturating_add(verdict.delay);
                inner.next += 1;
                inner.later.insert((due, inner.next), later);
            }
        }
    }

    /// Answers what is due, and sees to it that the next is answered in time.
    fn answer_due(&self, inner: &mut Inner) {
        let now = self.now();
        while let Some(entry) = inner.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let later = entry.remove();
            inner.answer(&later);
        }
        let next = inner.later.keys().next().map(|(due, _)| *due);
        inner.alarm.set(next, now);
    }

    /// No rule slows this node any more: what lasts has lasted long enough.
    pub fn hurry(&self, inner: &mut Inner, node: NodeId) {
        let (ours, others) =
            std::mem::take(&mut inner.later).into_iter().partition(|(_, later)| later.node == node);
        inner.later = others;
        let ours: BTreeMap<(u64, u64), Later> = ours;
        ours.values().for_each(|later| inner.answer(later));
        self.answer_due(inner);
    }
}

impl Inner {
    fn new(alarm: Alarm) -> Self {
        Self {
            disks: BTreeMap::new(),
            listeners: BTreeMap::new(),
            next: 0,
            later: BTreeMap::new(),
            held: Vec::new(),
            observed: Vec::new(),
            power: BTreeMap::new(),
            trouble: None,
            alarm,
        }
    }

    /// Whether a process of this node has put its filter on and lives.
    pub fn watches(&self, node: NodeId) -> bool {
        self.listeners.values().any(|listener| listener.node == node && !listener.tries)
    }

    /// Whether calls of a node wait here: their threads do nothing, though they are not stopped.
    pub fn keeps(&self, node: NodeId) -> bool {
        self.held.iter().chain(self.later.values()).any(|later| later.node == node)
    }

    /// A node goes on: so do the calls at which it was stopped.
    pub fn release(&mut self, node: NodeId) {
        let (ours, others) = std::mem::take(&mut self.held).into_iter().partition(|later| later.node == node);
        self.held = others;
        let ours: Vec<Later> = ours;
        for later in ours {
            self.answer(&Later { fate: Fate::Done, ..later });
        }
    }

    fn forget(&mut self, token: u64) {
        self.listeners.remove(&token);
        self.held.retain(|later| later.listener != token);
        self.later.retain(|_, later| later.listener != token);
    }

    fn answer(&mut self, later: &Later) {
        let Some(listener) = self.listeners.get(&later.listener) else { return };
        let answer = match later.fate {
            Fate::Done | Fate::End(_) | Fate::Hold => Answer::Make,
            Fate::Error(DiskErrno::Io) => Answer::Error(Errno::EIO),
            Fate::Error(DiskErrno::NoSpace) => Answer::Error(Errno::ENOSPC),
            Fate::Short(part) => match write_part(&later.waiting, part) {
                Ok(done) => Answer::Done(done),
                Err(error) => {
                    self.trouble = Some(format!("a short write of {}: {error}", later.node));
                    Answer::Error(Errno::EIO)
                }
            },
        };
        kernel::answer(&listener.fd, later.waiting.id, answer);
    }

    /// Ends the node of a call that waits; the call is never made.
    fn end(&mut self, later: &Later, part: u64) {
        if part > 0
            && let Err(error) = write_part(&later.waiting, part)
        {
            self.trouble = Some(format!("a torn write of {}: {error}", later.node));
        }
        self.signal(later, Signal::SIGKILL);
    }

    fn hold(&mut self, later: Later) {
        self.signal(&later, Signal::SIGSTOP);
        self.held.push(later);
    }

    fn signal(&self, later: &Later, signal: Signal) {
        let Some(listener) = self.listeners.get(&later.listener) else { return };
        let Some(disk) = self.disks.get(&later.node) else { return };
        heals::kill_family(listener.leader, &proc::family(listener.leader, &disk.folder), signal);
    }
}

impl Counts {
    fn saw(&mut self, kind: Kind) {
        match kind {
            Kind::Write => self.writes += 1,
            Kind::Sync => self.syncs += 1,
            Kind::Rename => self.renames += 1,
            Kind::Read => self.reads += 1,
        }
    }

    fn add(&mut self, fate: Fate, delay: u64) {
        self.delayed += u64::from(delay > 0);
        match fate {
            Fate::Done => {}
            Fate::Short(_) => self.short += 1,
            Fate::Error(_) => self.failed += 1,
            Fate::End(_) | Fate::Hold => self.struck += 1,
        }
    }
}

/// The thread ends, as it is asked to or by a mistake of ours.
struct Last<'a>(&'a Shared);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for listener in self.0.lock().listeners.values() {
                heals::kill_family(listener.leader, &[], Signal::SIGKILL);
            }
        }
    }
}

/// A greeting, and the listener that came with it.
fn received(from: RawFd) -> Option<(u64, OwnedFd)> {
    let mut word = [0; 8];
    let mut room = nix::cmsg_space!(RawFd);
    let mut parts = [IoSliceMut::new(&mut word)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(from, &mut parts, Some(&mut room), flags).ok()?;
    let fd = message.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    })?;
    #[expect(unsafe_code, reason = "the kernel has just made this descriptor for us")]
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Some((u64::from_ne_bytes(word), fd))
}

fn told(hit: Hit, node: NodeId, kind: Kind, leader: i32, waiting: &Waiting) -> Observed {
    let call = match kind {
        Kind::Sync => "an fsync",
        Kind::Rename => "a rename",
        Kind::Write => "a write",
        Kind::Read => "a read",
    };
    let whose = if process_of(waiting.thread) == Some(leader) { "" } else { " of a forked child" };
    let Hit { event, blow, what } = hit;
    let what = match blow {
        None => format!("{call}{whose} of {node} {what}"),
        Some(_) => format!("{node} {what} {call}{whose}"),
    };
    Observed::Struck { node, event, blow, what }
}

/// The process that a thread belongs to.
fn process_of(thread: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

fn write_part(waiting: &Waiting, part: u64) -> io::Result<u64> {
    let process = process_of(waiting.thread).ok_or(Errno::ESRCH)?;
    kernel::write_part(process, waiting, part)
}

/// Whether a call is about a file of the node that is not the server's log.
fn is_about(waiting: &Waiting, kind: Kind, folder: &Path) -> bool {
    let thread = waiting.thread;
    if kind == Kind::Rename {
        return renamed(waiting).is_some_and(|path| path.starts_with(folder));
    }
    let Some(fd) = waiting.file() else {
        let path = mapped(thread, waiting.arguments[0]);
        return path.is_some_and(|path| path.starts_with(folder));
    };
    let place = format!("/proc/{thread}/fd/{fd}");
    // A socket or a pipe has a name that is no path.
    let Ok(path) = fs::read_link(&place) else { return false };
    path.starts_with(folder)
        && path != folder.join(LOG)
        && fs::metadata(&place).is_ok_and(|file| file.is_file())
}

/// The file that is mapped at an address.
fn mapped(thread: i32, address: u64) -> Option<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{thread}/maps")).ok()?;
    let holds = |line: &&str| {
        let bounds = line.split(' ').next().and_then(|bounds| bounds.split_once('-'));
        let number = |text| u64::from_str_radix(text, 16).ok();
        bounds.is_some_and(|(from, to)| {
            number(from).is_some_and(|from| from <= address) && number(to).is_some_and(|to| address < to)
        })
    };
    let line = maps.lines().find(holds)?;
    line.find('/').map(|at| PathBuf::from(&line[at..]))
}

/// The name that a file has before a rename.
fn renamed(waiting: &Waiting) -> Option<PathBuf> {
    #[cfg(target_arch = "x86_64")]
    let is_plain = waiting.number == libc::SYS_rename;
    #[cfg(not(target_arch = "x86_64"))]
    let is_plain = false;
    let [first, second, ..] = waiting.arguments;
    let (from, address) = if is_plain { (libc::AT_FDCWD, first) } else { (first as i32, second) };
    let name = text(waiting.thread, address)?;
    let thread = waiting.thread;
    let base = if from == libc::AT_FDCWD {
        format!("/proc/{thread}/cwd")
    } else {
        format!("/proc/{thread}/fd/{from}")
    };
    // An absolute name replaces what it is joined to.
    Some(fs::read_link(base).ok()?.join(name))
}

/// Text in the memory of another process, up to the zero at its end. Read page by page: what follows may not be there.
fn text(thread: i32, address: u64) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes: Vec<u8> = Vec::new();
    while bytes.len() < PATH_LENGTH_MAX {
        let at = address + bytes.len() as u64;
        let mut page = vec![0; (PAGE - at % PAGE) as usize];
        kernel::read_memory(thread, at, &mut page).ok()?;
        if let Some(end) = page.iter().position(|byte| *byte == 0) {
            bytes.extend_from_slice(&page[..end]);
            return Some(std::ffi::OsString::from_vec(bytes).into());
        }
        bytes.append(&mut page);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::os::unix::process::CommandExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    fn shared() -> Arc<Shared> {
        let (ours, _) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .expect("sockets");
        Shared::new(ours).expect("descriptors")
    }

    #[test]
    fn a_supervisor_that_fails_takes_its_nodes_along() {
        let shared = shared();
        let mut node = Command::new("sleep").arg("60").process_group(0).spawn().expect("there is sleep");
        let fd = fs::File::open("/dev/null").expect("it is there").into();
        let listener = Listener { fd, node: NodeId(0), leader: node.id() as i32, tries: false };
        shared.lock().listeners.insert(0, listener);
        let mistake = std::panic::catch_unwind(|| {
            let _last = Last(&shared);
            panic!("a mistake of ours")
        });
        assert!(mistake.is_err());
        assert_eq!(node.wait().expect("ours").signal(), Some(Signal::SIGKILL as i32));
    }

    #[test]
    fn a_mapping_is_known_by_any_address_in_it() {
        let me = std::process::id() as i32;
        let code = a_mapping_is_known_by_any_address_in_it as fn() as usize as u64;
        assert_eq!(mapped(me, code), std::env::current_exe().ok());
        let local = 0u8;
        assert_eq!(mapped(me, (&raw const local) as u64), None, "a stack is no file's");
        assert_eq!(mapped(me, 0), None);
    }

    #[test]
    fn text_is_read_to_its_end_and_memory_that_is_not_there_is_none() {
        let me = std::process::id() as i32;
        assert_eq!(text(me, c"nodes.conf".as_ptr() as u64), Some(PathBuf::from("nodes.conf")));
        assert_eq!(text(me, 8), None);
    }
}
