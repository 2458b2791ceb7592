//! Busy threads beside a node: it is bound to one core, they want the same, and the kernel's scheduler divides it.
//!
//! They are threads of the run's process, so that they end with it. What the node says in the end is how long it ran
//! and how long it was ready to run and waited (`/proc/PID/task/TID/schedstat`).

use super::Family;
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads that began while others were bound are bound in so many rounds at the latest.
const ROUNDS: usize = 20;
/// Below this part of the core, in per cent, nobody was busy there.
const BUSY_MIN: u128 = 5;
/// Over a shorter time that says nothing.
const TELLING: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub struct Hogs {
    core: usize,
    /// Where the node's threads might run before.
    everywhere: CpuSet,
    /// Those that had a place of their own.
    before: BTreeMap<i32, CpuSet>,
    busy: BTreeMap<String, Busy>,
}

/// The busy threads of one event.
#[derive(Debug)]
struct Busy {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<nix::Result<Duration>>>,
    since: Instant,
    /// What each of the node's threads had run and waited by then.
    ran: BTreeMap<i32, (u64, u64)>,
}

impl Hogs {
    /// The core that the node was last seen on.
    pub fn find_core(family: &Family) -> Result<Self, String> {
        let leader = family.leader.ok_or("it is not running")?;
        let everywhere = sched_getaffinity(Pid::from_raw(leader)).map_err(|error| error.to_string())?;
        let allowed = |core: &usize| everywhere.is_set(*core).unwrap_or(false);
        let core = last_core(leader)
            .filter(allowed)
            .or_else(|| (0..CpuSet::count()).find(allowed))
            .ok_or("it may run nowhere")?;
        Ok(Self { core, everywhere, before: BTreeMap::new(), busy: BTreeMap::new() })
    }

    pub fn add(&mut self, event: &str, threads: u16, family: &Family) -> Result<String, String> {
        self.bind(family);
        if let Some(why) = self.misplaced(family, &one(self.core)) {
            return Err(why);
        }
        let over = Arc::new(AtomicBool::new(false));
        let mut busy = Busy { over, threads: Vec::new(), since: now(), ran: ran(family) };
        for _ in 0..threads {
            let (over, core) = (busy.over.clone(), self.core);
            let thread = std::thread::Builder::new().name("hog".into()).spawn(move || spin(&over, core));
            busy.threads.push(thread.map_err(|error| error.to_string())?);
        }
        self.busy.insert(event.into(), busy);
        Ok(format!("it is bound to core {}, beside {threads} busy threads", self.core))
    }

    /// Binds every thread of the node to the core; those that a new process has too.
    pub fn bind(&mut self, family: &Family) {
        let here = one(self.core);
        for _ in 0..ROUNDS {
            let elsewhere: Vec<i32> =
                family.threads().into_iter().filter(|thread| !is_at(*thread, &here)).collect();
            if elsewhere.is_empty() {
                return;
            }
            for thread in elsewhere {
                let place = Pid::from_raw(thread);
                if let Ok(before) = sched_getaffinity(place)
                    && before != self.everywhere
                {
                    self.before.insert(thread, before);
                }
                // One that has ended is bound to nothing; one that is not is seen in the next round.
                let _ = sched_setaffinity(place, &here);
            }
        }
    }

    /// Lets the node run where it did before. Answers what does not.
    pub fn unbind(&mut self, family: &Family) -> Option<String> {
        for thread in family.threads() {
            let place = self.before.get(&thread).unwrap_or(&self.everywhere);
            let _ = sched_setaffinity(Pid::from_raw(thread), place);
        }
        let bound = |thread: &i32| {
            let place = self.before.get(thread).unwrap_or(&self.everywhere);
            !is_at(*thread, place)
        };
        family
            .threads()
            .into_iter()
            .find(bound)
            .map(|thread| format!("thread {thread} is still bound to a core"))
    }

    fn misplaced(&self, family: &Family, place: &CpuSet) -> Option<String> {
        let elsewhere = family.threads().into_iter().find(|thread| !is_at(*thread, place));
        elsewhere.map(|thread| format!("thread {thread} cannot be bound to core {}", self.core))
    }

    /// Ends the busy threads of an event. Answers what they and the node had of the core.
    pub fn remove(&mut self, event: &str, family: &Family) -> Result<String, String> {
        let Some(mut busy) = self.busy.remove(event) else { return Ok("nobody was busy".into()) };
        let took = busy.since.elapsed();
        let bound = self.misplaced(family, &one(self.core));
        let (mut ran_for, mut waited) = (0, 0);
        for (thread, (run, wait)) in ran(family) {
            let (run_before, wait_before) = busy.ran.get(&thread).copied().unwrap_or_default();
            ran_for += run.saturating_sub(run_before);
            waited += wait.saturating_sub(wait_before);
        }
        let spun = busy.end().map_err(|error| format!("busy threads cannot be bound to a core: {error}"))?;
        if let Some(why) = bound {
            return Err(why);
        }
        let part = spun.as_nanos() * 100 / took.as_nanos().max(1);
        let told = format!(
            "the busy threads had {part} % of core {} in {} ms; the node ran {} ms and waited {} ms for it",
            self.core,
            took.as_millis(),
            ran_for / 1_000_000,
            waited / 1_000_000
        );
        if took > TELLING && part < BUSY_MIN { Err(told) } else { Ok(told) }
    }

    pub fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }
}

impl Busy {
    /// The time that they had on the processor.
    fn end(&mut self) -> nix::Result<Duration> {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.drain(..).map(|thread| thread.join().unwrap_or(Err(Errno::ECANCELED)));
        ended.sum::<nix::Result<Duration>>()
    }
}

/// Binds a process to where it may run anyway, and looks for its times.
pub fn probe(pid: i32) -> io::Result<()> {
    let place = sched_getaffinity(Pid::from_raw(pid))?;
    sched_setaffinity(Pid::from_raw(pid), &place)?;
    fs::read_to_string(format!("/proc/{pid}/schedstat")).map(drop)
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn spin(over: &AtomicBool, core: usize) -> nix::Result<Duration> {
    sched_setaffinity(Pid::from_raw(0), &one(core))?;
    while !over.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from)
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "real threads are busy in real time")]
    Instant::now()
}

/// The set of one core.
fn one(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    // A core that the kernel named is one of those that a set has room for.
    let _ = set.set(core);
    set
}

/// Whether a thread may run there and nowhere else; yes if it is gone.
fn is_at(thread: i32, place: &CpuSet) -> bool {
    sched_getaffinity(Pid::from_raw(thread)).map_or_else(|error| error == Errno::ESRCH, |set| set == *place)
}

/// The core that a process last ran on: the 39th field of its `stat`.
fn last_core(pid: i32) -> Option<usize> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(36)?.parse().ok()
}

/// How long each thread of a node has run, and has waited to run, in nanoseconds.
fn ran(family: &Family) -> BTreeMap<i32, (u64, u64)> {
    let times = |thread: i32| {
        let text = fs::read_to_string(format!("/proc/{thread}/schedstat")).ok()?;
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u64>);
        Some((thread, (numbers.next()?.ok()?, numbers.next()?.ok()?)))
    };
    family.threads().into_iter().filter_map(times).collect()
}
