//! The disk of a node, its power and its memory: rules for its calls, what was synced, what is lost.
//!
//! The rules in force lie in the page of the node's server, where the shim counts (`shim/disk.rs`); here is what
//! outlasts the server. What became durable comes as notes, by inode, which are read after each turn. A file that
//! no note speaks of was written by us, before the server began, and is durable.

use super::area::slot::{
    AT_MOST, FAILS, FILLS, GO_ON, HALT, NO_RULE, RENAME, REPLACED, RULES, SLOWS, STRIKES, SYNC, Slot, TEARS,
    WRITE,
};
use super::{ExactEnv, Observed};
use crate::env::{EnvError, NodeId};
use crate::fault::disk::{Blow, DiskErrno, DiskRule, FileCall};
use nix::libc;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering::Relaxed;

const MEGABYTE: u64 = 1 << 20;
/// How long a process may take to die of SIGKILL.
const END_MAX_MS: u16 = 30_000;

/// A rule and how far it has counted.
#[derive(Clone, Debug)]
struct Held {
    event: String,
    rule: DiskRule,
    countdown: u64,
    times: u64,
    amount: u64,
    /// It has struck before.
    told: bool,
}

/// How many bytes of a file are durable.
#[derive(Clone, Copy, Debug, Default)]
struct Durable {
    synced: u64,
    /// With those that the file held when it took the place of another.
    replaced: u64,
}

#[derive(Debug, Default)]
pub struct Disk {
    rules: [Option<Held>; RULES],
    /// By inode.
    durable: BTreeMap<u64, Durable>,
    /// The node ends, by a rule.
    falls: bool,
    /// Its power is lost: by which event, and whether files that took the place of others are safe.
    loses: Option<(String, bool)>,
}

impl Disk {
    /// What is in the folder now was put there by us.
    pub fn forget(&mut self) {
        self.durable.clear();
    }
}

const fn calls(call: FileCall) -> u32 {
    match call {
        FileCall::Write => WRITE,
        FileCall::Sync => SYNC,
        FileCall::Rename => RENAME,
        FileCall::Any => WRITE | SYNC | RENAME,
    }
}

const fn errno(error: DiskErrno) -> i32 {
    match error {
        DiskErrno::Io => libc::EIO,
        DiskErrno::NoSpace => libc::ENOSPC,
    }
}

impl Held {
    /// `word` decides where a write is torn.
    fn new(event: String, rule: DiskRule, word: u64) -> Self {
        let (countdown, times, amount) = match &rule {
            DiskRule::Fail { error, nth, count, .. } => {
                let times = if *count == 0 { u64::MAX } else { u64::from(*count) };
                (u64::from(*nth), times, errno(*error) as u64)
            }
            DiskRule::Full { room } => (0, 0, *room),
            // Its number of times is free for the rate.
            DiskRule::Slow { delay, rate, .. } => (0, u64::from(*rate), delay.micros().0),
            DiskRule::Strike { nth, .. } => (u64::from(*nth), 1, word),
        };
        Self { event, rule, countdown, times, amount, told: false }
    }

    const fn does(&self) -> (u32, u32) {
        match self.rule {
            DiskRule::Fail { call, .. } => (FAILS, calls(call)),
            DiskRule::Full { .. } => (FILLS, WRITE),
            DiskRule::Slow { .. } => (SLOWS, WRITE | SYNC),
            DiskRule::Strike { call, how: Blow::Torn, .. } => (TEARS, calls(call)),
            DiskRule::Strike { call, .. } => (STRIKES, calls(call)),
        }
    }
}

/// Writes the rules into the page where the shim looks.
fn show(disk: &Disk, page: &Slot) {
    for (held, place) in disk.rules.iter().zip(&page.disk.rules) {
        let (does, calls) = held.as_ref().map_or((NO_RULE, 0), Held::does);
        place.does.store(does, Relaxed);
        place.calls.store(calls, Relaxed);
        let numbers = held.as_ref().map_or((0, 0, 0), |held| (held.countdown, held.times, held.amount));
        place.countdown.store(numbers.0, Relaxed);
        place.times.store(numbers.1, Relaxed);
        place.amount.store(numbers.2, Relaxed);
    }
    page.disk.armed.store(disk.rules.iter().flatten().count() as u32, Relaxed);
}

/// Reads back how far they have counted.
fn read(disk: &mut Disk, page: &Slot) {
    for (held, place) in disk.rules.iter_mut().zip(&page.disk.rules) {
        if let Some(held) = held {
            held.countdown = place.countdown.load(Relaxed);
            held.times = place.times.load(Relaxed);
            held.amount = place.amount.load(Relaxed);
        }
    }
}

impl ExactEnv {
    /// Before a server starts in a slot.
    pub(super) fn mount(&mut self, id: NodeId, slot: usize) {
        let page = self.area.slot(slot);
        page.home.store(slot as u32, Relaxed);
        page.disk.noted.store(0, Relaxed);
        show(&self.nodes[&id].disk, page);
    }

    /// Puts an event's rule on a disk, or takes it off.
    pub(super) fn set_disk_rule(
        &mut self,
        id: NodeId,
        event: &str,
        rule: Option<DiskRule>,
    ) -> Result<String, EnvError> {
        let word = self.key.child("disk").child(event).word("torn", u64::from(id.0), 0);
        let node = self.nodes.get_mut(&id).expect("looked up by the caller");
        let page = node.server.map(|slot| self.area.slot(slot));
        if let Some(page) = page {
            read(&mut node.disk, page);
        }
        let rules = &mut node.disk.rules;
        let slow = |held: &&Held| held.event == event && matches!(held.rule, DiskRule::Slow { .. });
        let slowed = rules.iter().flatten().find(slow).map(|held| held.countdown);
        rules
            .iter_mut()
            .filter(|held| held.as_ref().is_some_and(|held| held.event == event))
            .for_each(|held| *held = None);
        let said = match rule {
            None => slowed.map_or_else(
                || "no rule is on it".into(),
                |count| format!("{count} calls of this process took longer"),
            ),
            Some(rule) => {
                let Some(free) = rules.iter_mut().find(|held| held.is_none()) else {
                    return Err(EnvError::Unable { what: format!("put more than {RULES} rules on a disk") });
                };
                let said = format!("{rule:?}");
                *free = Some(Held::new(event.into(), rule, word));
                said
            }
        };
        if let Some(page) = page {
            show(&node.disk, page);
        }
        self.trace.line(format_args!("{} {id} disk {event}: {said}", self.now));
        Ok(said)
    }

    /// A rule strikes at a call of a process that has the turn.
    pub(super) fn struck(&mut self, slot: usize, arguments: [i64; 2]) -> i64 {
        let id = self.processes[&slot].node;
        let node = self.nodes.get_mut(&id).expect("its process runs");
        let Some(held) = node.disk.rules.get_mut(arguments[0] as usize).and_then(Option::as_mut) else {
            return GO_ON;
        };
        let call = match arguments[1] as u32 {
            SYNC => "an fsync",
            RENAME => "a rename",
            _ => "a write",
        };
        let whose = if self.processes[&slot].parent.is_some() { " of a forked child" } else { "" };
        let (blow, what) = match &held.rule {
            DiskRule::Fail { error, .. } => (None, format!("{call}{whose} of {id} failed by {error}")),
            DiskRule::Full { .. } => (None, format!("{call}{whose} of {id} did not fit on its disk")),
            DiskRule::Slow { .. } => return GO_ON,
            DiskRule::Strike { how, .. } => {
                let what = match how {
                    Blow::Kill => "was killed before",
                    Blow::Torn => "was killed in the middle of",
                    Blow::Power => "lost its power before",
                    Blow::Pause => "was stopped before",
                };
                (Some(*how), format!("{id} {what} {call}{whose}"))
            }
        };
        let event = held.event.clone();
        let first = !std::mem::replace(&mut held.told, true);
        self.trace.line(format_args!("{} {id} struck by {event}: {what}", self.now));
        match blow {
            None => {}
            Some(Blow::Pause) => node.paused = true,
            Some(how) => {
                node.disk.falls = true;
                node.disk.loses = (how == Blow::Power).then(|| (event.clone(), true));
            }
        }
        let falls = node.disk.falls;
        if first {
            self.observe(Observed::Struck { node: id, event, blow, what });
        }
        if falls {
            for process in self.processes.values().filter(|process| process.node == id) {
                process.send(libc::SIGKILL);
                process.is_dead(END_MAX_MS);
            }
        }
        if blow == Some(Blow::Pause) { HALT } else { GO_ON }
    }

    /// Reads what a process noted of its node's files.
    pub(super) fn take_notes(&mut self, slot: usize) {
        let home = self.area.slot(slot).home.load(Relaxed) as usize;
        if home == 0 {
            return;
        }
        let disk = &self.area.slot(home).disk;
        let noted = disk.noted.swap(0, Relaxed) as usize;
        if noted == 0 {
            return;
        }
        let Some(process) = self.processes.get(&slot) else { return };
        let durable = &mut self.nodes.get_mut(&process.node).expect("it has a process").disk.durable;
        for note in disk.journal.iter().take(noted) {
            let (inode, length) = (note.inode.load(Relaxed), note.length.load(Relaxed));
            let bytes = length & !(AT_MOST | REPLACED);
            if length & REPLACED != 0 {
                durable.entry(inode).and_modify(|known| known.replaced = bytes);
            } else if length & AT_MOST == 0 {
                durable.insert(inode, Durable { synced: bytes, replaced: bytes });
            } else if let Some(known) = durable.get_mut(&inode) {
                known.synced = known.synced.min(bytes);
                known.replaced = known.replaced.min(bytes);
            }
        }
    }

    /// After a turn: a rule may have ended the node, at a call of its server or of a child.
    pub(super) fn fall(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if std::mem::take(&mut node.disk.falls) && node.server.is_some() {
            self.kill_family(id);
        }
    }

    /// Whether a node that is about to end loses its power: then its machine tells nobody.
    pub(super) fn loses_power(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.disk.loses.is_some())
    }

    /// All processes of a node are dead: keeps what its rules have counted, and takes what it had not synced if its
    /// power is lost.
    pub(super) fn unmount(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if let Some(slot) = node.server {
            read(&mut node.disk, self.area.slot(slot));
        }
        node.disk.falls = false;
        let Some((event, flushed)) = node.disk.loses.take() else { return };
        let what = match self.cut_files(id, flushed) {
            Ok((files, lost)) => {
                format!("{lost} bytes of {files} files of {id} were not synced and are lost")
            }
            Err(error) => format!("the files of {id} could not be cut: {error}"),
        };
        self.trace.line(format_args!("{} {id} {event}: {what}", self.now));
        self.observe(Observed::Struck { node: id, event, blow: None, what });
    }

    /// Ends a node and loses what it had not synced.
    pub(super) fn lose_power(&mut self, id: NodeId, event: String, flushed: bool) -> String {
        let node = self.nodes.get_mut(&id).expect("looked up by the caller");
        node.disk.loses = Some((event, flushed));
        self.kill_family(id);
        "ended, and lost what was not synced".into()
    }

    /// Cuts each file somewhere between what is durable and what was written. Answers files and bytes.
    fn cut_files(&mut self, id: NodeId, flushed: bool) -> io::Result<(u32, u64)> {
        let node = self.nodes.get_mut(&id).expect("looked up by the caller");
        let (mut files, mut lost) = (0, 0);
        let key = self.key.child("power");
        for name in node.folder.files()? {
            let path = node.folder.path.join(&name);
            let told = fs::metadata(&path)?;
            let durable = node.disk.durable.get(&told.ino());
            let durable =
                durable.map_or(told.len(), |known| if flushed { known.replaced } else { known.synced });
            if durable >= told.len() {
                continue;
            }
            let loose = told.len() - durable;
            let word =
                key.child(&name.to_string_lossy()).word("cut", u64::from(id.0), node.incarnations.into());
            let length = durable + word % (loose + 1);
            if length < told.len() {
                fs::OpenOptions::new().write(true).open(&path)?.set_len(length)?;
                files += 1;
                lost += told.len() - length;
            }
        }
        node.disk.durable.clear();
        Ok((files, lost))
    }

    /// Limits the memory of a node's server to what it has and so much more.
    pub(super) fn limit_memory(&mut self, id: NodeId, room: Option<u32>) -> Result<String, EnvError> {
        let failed = |why: String| EnvError::Failed { what: format!("limiting the memory of {id}"), why };
        let slot = self.nodes[&id].server.ok_or(EnvError::NotRunning { node: id })?;
        let pid = self.processes[&slot].kernel_pid;
        let limit = match room {
            None => libc::RLIM_INFINITY,
            Some(room) => {
                let status = fs::read_to_string(format!("/proc/{pid}/status"))
                    .map_err(|error| failed(error.to_string()))?;
                data_of(&status).ok_or_else(|| failed("the kernel does not tell its size".into()))?
                    + u64::from(room) * MEGABYTE
            }
        };
        let wish = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
        #[expect(unsafe_code, reason = "prlimit reads one limit from the address of a local")]
        let done = unsafe { libc::prlimit(pid, libc::RLIMIT_DATA, &raw const wish, std::ptr::null_mut()) };
        if done != 0 {
            return Err(failed(io::Error::last_os_error().to_string()));
        }
        Ok(room.map_or_else(|| "no limit".into(), |room| format!("{room} MB more than it has")))
    }
}

/// The size of a process's private writable memory, which `RLIMIT_DATA` limits, in bytes.
fn data_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_process_is_read_from_its_status() {
        assert_eq!(data_of("VmPeak:\t 1 kB\nVmData:\t  51200 kB\n"), Some(50 * MEGABYTE));
        assert_eq!(data_of("Name:\tx\n"), None);
    }

    #[test]
    fn a_rule_without_a_count_strikes_for_as_long_as_it_is_there() {
        let rule = |count| DiskRule::Fail { call: FileCall::Any, error: DiskErrno::Io, nth: 3, count };
        assert_eq!(Held::new("e".into(), rule(0), 0).times, u64::MAX);
        assert_eq!(Held::new("e".into(), rule(2), 0).times, 2);
        assert_eq!(Held::new("e".into(), rule(2), 0).does(), (FAILS, WRITE | SYNC | RENAME));
    }
}
