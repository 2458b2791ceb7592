//! Limits that the kernel holds each process to (prlimit(2)), lowered and raised while it runs.
//!
//! The soft limit alone is changed, which takes no privilege to raise again. A limit is the process's and its children's:
//! one that is started meanwhile has its own.

use super::Family;
use crate::env::processes::proc::Stat;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

/// A process by its number and start.
type Who = (i32, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Open files, by the largest number that one may have.
    Files,
    /// Private writable memory.
    Data,
}

impl Kind {
    fn number(self) -> libc::__rlimit_resource_t {
        match self {
            Self::Files => libc::RLIMIT_NOFILE,
            Self::Data => libc::RLIMIT_DATA,
        }
    }

    /// The line of `/proc/PID/limits`.
    fn line(self) -> &'static str {
        match self {
            Self::Files => "Max open files",
            Self::Data => "Max data size",
        }
    }
}

/// The limits of one kind that events have put on a node's processes.
#[derive(Debug)]
pub struct Limits {
    kind: Kind,
    /// What each process had before the first of them.
    before: BTreeMap<Who, u64>,
    by_event: BTreeMap<String, BTreeMap<Who, u64>>,
}

impl Limits {
    pub fn new(kind: Kind) -> Self {
        Self { kind, before: BTreeMap::new(), by_event: BTreeMap::new() }
    }

    /// Puts a limit on each process. Answers the least.
    pub fn put(
        &mut self,
        event: &str,
        family: &Family,
        limit_of: impl Fn(i32) -> io::Result<u64>,
    ) -> Result<u64, String> {
        let mut limits = BTreeMap::new();
        for stat in family.members() {
            let mut limited = || -> io::Result<u64> {
                let before = get(stat.pid, self.kind.number())?.rlim_cur;
                let limit = limit_of(stat.pid)?.min(before);
                self.before.entry(who(&stat)).or_insert(before);
                set(stat.pid, self.kind.number(), limit)?;
                Ok(limit)
            };
            let limit = limited().map_err(|error| format!("pid {}: {error}", stat.pid))?;
            limits.insert(who(&stat), limit);
        }
        let least = limits.values().min().copied().ok_or("it has no process")?;
        self.by_event.insert(event.into(), limits);
        match self.wrong(family) {
            Some(why) => Err(why),
            None => Ok(least),
        }
    }

    pub fn lift(&mut self, event: &str) {
        self.by_event.remove(event);
    }

    /// What a process shall have now.
    fn wanted(&self, who: Who) -> Option<u64> {
        let ours = self.by_event.values().filter_map(|limits| limits.get(&who)).min();
        ours.or_else(|| self.before.get(&who)).copied()
    }

    /// Gives every process what it shall have, children that were forked under a limit too. Answers what has not.
    pub fn mend(&mut self, family: &Family) -> Option<String> {
        let members = family.members();
        let parents: BTreeMap<i32, &Stat> = members.iter().map(|stat| (stat.pid, stat)).collect();
        for stat in &members {
            // A child has what its parent had.
            let before = parents.get(&stat.parent).and_then(|parent| self.before.get(&who(parent))).copied();
            if let (Some(before), false) = (before, self.before.contains_key(&who(stat))) {
                self.before.insert(who(stat), before);
            }
            if let Some(limit) = self.wanted(who(stat)) {
                // One that has ended needs none; one that has not is told of below.
                let _ = set(stat.pid, self.kind.number(), limit);
            }
        }
        self.wrong(family)
    }

    /// A process whose limit, as the kernel tells it, is not what it shall be.
    fn wrong(&self, family: &Family) -> Option<String> {
        family.members().iter().find_map(|stat| {
            let wanted = self.wanted(who(stat))?;
            let told = told(stat.pid, self.kind)?;
            (told != wanted)
                .then(|| format!("`{}` of pid {} is {told}, not {wanted}", self.kind.line(), stat.pid))
        })
    }
}

fn who(stat: &Stat) -> Who {
    (stat.pid, stat.start)
}

/// The soft limit, as `/proc/PID/limits` tells it.
fn told(pid: i32, kind: Kind) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(kind.line()))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(libc::RLIM_INFINITY),
        number => number.parse().ok(),
    }
}

fn get(pid: i32, kind: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "prlimit writes one limit to the address of a local")]
    let done = unsafe { libc::prlimit(pid, kind, std::ptr::null(), &raw mut limit) };
    if done == 0 { Ok(limit) } else { Err(io::Error::last_os_error()) }
}

fn set(pid: i32, kind: libc::__rlimit_resource_t, soft: u64) -> io::Result<()> {
    let wish = libc::rlimit { rlim_cur: soft, ..get(pid, kind)? };
    #[expect(unsafe_code, reason = "prlimit reads one limit from the address of a local")]
    let done = unsafe { libc::prlimit(pid, kind, &raw const wish, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What we might open when we began: soft and hard.
static BEGAN: OnceLock<(u64, u64)> = OnceLock::new();

/// What we may open: soft and hard.
pub fn files() -> nix::Result<(u64, u64)> {
    getrlimit(Resource::RLIMIT_NOFILE)
}

/// Lets this process open as many files as it can be let.
pub fn open_many() -> io::Result<()> {
    let (soft, hard) = files()?;
    BEGAN.get_or_init(|| (soft, hard));
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// What the command starts may open what it might before [`open_many`].
pub fn files_as_we_began(command: &mut Command) {
    let Some((soft, hard)) = BEGAN.get().copied() else { return };
    let limit = move || Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?);
    #[expect(unsafe_code, reason = "the closure makes a system call and allocates nothing")]
    unsafe {
        command.pre_exec(limit);
    }
}

/// Sets a limit of a process to what it is.
pub fn probe(pid: i32) -> io::Result<()> {
    let kind = Kind::Files.number();
    set(pid, kind, get(pid, kind)?.rlim_cur)
}

/// The numbers of the files that a process has open.
pub fn open_files(pid: i32) -> io::Result<BTreeSet<u64>> {
    let names = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten().map(|file| file.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// The limit below which so many numbers are free.
pub fn limit_for(open: &BTreeSet<u64>, spare: u64) -> u64 {
    let mut limit = spare;
    for number in open {
        if *number > limit {
            break;
        }
        limit += 1;
    }
    limit
}

/// The size of a process's private writable memory, in bytes.
pub fn data_size(pid: i32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmData:"))
        .and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: Option<u64> = line.and_then(|number| number.parse().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("the kernel does not tell its size"))
}

/// What of a process is in memory, in bytes: the second number of `statm`, in pages.
pub fn resident(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(pages * page as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_leaves_so_many_numbers_free_below_it() {
        let open = BTreeSet::from([0, 1, 2, 5, 9]);
        for (spare, limit) in [(0, 3), (1, 4), (2, 6), (3, 7), (5, 10), (6, 11)] {
            let got = limit_for(&open, spare);
            let free = (0..got).filter(|number| !open.contains(number)).count() as u64;
            assert_eq!((got, free), (limit, spare), "{spare} to spare");
        }
        assert_eq!(limit_for(&BTreeSet::new(), 4), 4);
    }
}
