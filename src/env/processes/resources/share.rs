//! A share of one core: a thread that stops a node when its time is used up, and lets it go on when it has some again.
//!
//! As under the kernel's own quota (`cpu.max`) the node has its share anew every [`PERIOD`], and little of what it did not
//! use is saved. What it used is read from the kernel's clocks of its processes, so that a node that wants little is never
//! stopped, and what it took too much, because nobody stopped it in time, is missing from the next.

use super::Family;
use crate::env::STRUCK_NOTHING;
use crate::env::processes::heals::kill_family;
use crate::env::processes::proc::Stat;
use crate::fault::resource::Percent;
use nix::sys::signal::Signal;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a node gets its share. A tenth of the kernel's own period: it stands for shorter times.
const PERIOD: Duration = Duration::from_millis(10);
/// It is not looked at more often than this.
const BREATH: Duration = Duration::from_micros(500);
/// How often its processes are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What was taken too much is made up for, up to so many shares.
const DEBT_MAX: i64 = 20;
/// What it did not use it may use later, up to so many shares: it may have been kept waiting by others, or by us.
const SAVED_MAX: i64 = 5;
/// A measured share may be above the one asked for by this much, in thousandths of a core, and by an eighth of it:
/// what is measured begins and ends in the middle of a period.
const SLACK: u64 = 30;
/// Over a shorter time a share says nothing.
const TELLING: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub struct Share {
    shared: Arc<Shared>,
    limits: BTreeMap<String, Limit>,
    thread: Option<JoinHandle<()>>,
}

/// What one event asked for, and how things stood then.
#[derive(Debug)]
struct Limit {
    percent: Percent,
    since: Instant,
    used: u64,
    stops: u64,
    /// Another limit was in force meanwhile.
    mixed: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    leader: Option<i32>,
    /// In per cent; none: no limit.
    percent: Option<u16>,
    /// Others stop it and let it go on.
    held: bool,
    /// We have stopped it.
    stopped: bool,
    over: bool,
    /// Nanoseconds of processor time since we look.
    used: u64,
    stops: u64,
}

impl Share {
    pub fn start(family: Family, held: bool) -> io::Result<Self> {
        let state = State {
            leader: family.leader,
            percent: None,
            held,
            stopped: false,
            over: false,
            used: 0,
            stops: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = shared.clone();
        let thread =
            std::thread::Builder::new().name("share".into()).spawn(move || serve(&theirs, family))?;
        Ok(Self { shared, limits: BTreeMap::new(), thread: Some(thread) })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_all();
    }

    pub fn follow(&self, leader: Option<i32>) {
        self.change(|state| (state.leader, state.held, state.stopped) = (leader, false, false));
    }

    pub fn hold(&self) {
        self.change(|state| state.held = true);
    }

    pub fn release(&self, runs: bool) {
        self.change(|state| (state.held, state.stopped) = (false, state.stopped && !runs));
    }

    pub fn limit(&mut self, event: &str, percent: Percent) {
        let mixed = !self.limits.is_empty();
        self.limits.values_mut().for_each(|limit| limit.mixed = true);
        let (used, stops) = {
            let state = self.shared.lock();
            (state.used, state.stops)
        };
        self.limits.insert(event.into(), Limit { percent, since: now(), used, stops, mixed });
        self.put();
    }

    /// The least of what events allow is in force.
    fn put(&self) {
        let least = self.limits.values().map(|limit| limit.percent.0).min();
        self.change(|state| state.percent = least);
    }

    /// Takes a limit off. Answers what the node had under it; more than it should have had is an error.
    pub fn lift(&mut self, event: &str) -> Result<String, String> {
        let Some(limit) = self.limits.remove(event) else { return Ok(STRUCK_NOTHING.into()) };
        let (used, stops) = {
            let state = self.shared.lock();
            (state.used - limit.used, state.stops - limit.stops)
        };
        self.put();
        let took = limit.since.elapsed();
        let thousandths = used * 1000 / (took.as_nanos() as u64).max(1);
        let told = format!(
            "of {} asked for it had {}.{} % of a core in {} ms, and was stopped {stops} times",
            limit.percent,
            thousandths / 10,
            thousandths % 10,
            took.as_millis()
        );
        let asked = u64::from(limit.percent.0) * 10;
        if took > TELLING && !limit.mixed && thousandths > asked + asked / 8 + SLACK {
            return Err(told);
        }
        Ok(if stops == 0 {
            format!("{told}: it wanted no more, and the fault {STRUCK_NOTHING}")
        } else {
            told
        })
    }

    /// Whether no event limits it.
    pub fn is_idle(&self) -> bool {
        self.limits.is_empty()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.change(|state| state.over = true);
        // One that panicked has nothing to say either; what it left is seen at the node.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "real processes use up real time")]
    Instant::now()
}

fn serve(shared: &Shared, mut family: Family) {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as i64);
    let mut meter = Meter::default();
    let (mut last, mut looked) = (now(), None::<Instant>);
    // What it may still use, in nanoseconds.
    let mut left = 0i64;
    let mut state = shared.lock();
    while !state.over {
        let moment = now();
        let passed = moment.duration_since(last).as_nanos() as i64;
        last = moment;
        if family.leader != state.leader || looked.is_none_or(|at| moment - at > LOOK_EVERY) {
            family.leader = state.leader;
            meter.follow(family.members());
            looked = Some(moment);
        }
        let used = meter.used();
        state.used += used;
        let percent = state.percent.map(i64::from);
        let slice = PERIOD.as_nanos() as i64 * percent.unwrap_or(0) / 100;
        left = (left + passed * percent.unwrap_or(0) / 100).min(SAVED_MAX * slice) - used as i64;
        left = left.max(-DEBT_MAX * slice);
        if !state.held && state.leader.is_some() {
            let stop = match (percent, state.stopped) {
                (None, _) => false,
                (Some(_), false) => left <= 0,
                (Some(_), true) => left < slice,
            };
            if stop != state.stopped {
                meter.signal(state.leader, if stop { Signal::SIGSTOP } else { Signal::SIGCONT });
                state.stopped = stop;
                state.stops += u64::from(stop);
            }
        }
        let wait = match percent {
            Some(percent) if state.stopped && !state.held => (slice - left) * 100 / percent,
            Some(_) if !state.held => left / cores,
            _ => LOOK_EVERY.as_nanos() as i64,
        };
        let wait = Duration::from_nanos(wait.max(0) as u64).clamp(BREATH, LOOK_EVERY);
        state = shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
    if state.stopped && !state.held {
        meter.follow(family.members());
        meter.signal(state.leader, Signal::SIGCONT);
        state.stopped = false;
    }
}

/// What the processes of a node have used.
#[derive(Debug, Default)]
struct Meter {
    members: Vec<Stat>,
    /// By pid and start.
    used: BTreeMap<(i32, u64), u64>,
    begun: bool,
}

impl Meter {
    fn follow(&mut self, members: Vec<Stat>) {
        for stat in &members {
            // What those that are there already have used is not asked; of one that came since, all is.
            let so_far = if self.begun { 0 } else { cpu_time(stat.pid).unwrap_or(0) };
            self.used.entry((stat.pid, stat.start)).or_insert(so_far);
        }
        self.begun = true;
        self.used.retain(|(pid, start), _| members.iter().any(|it| it.pid == *pid && it.start == *start));
        self.members = members;
    }

    /// Since it was last asked.
    fn used(&mut self) -> u64 {
        let mut sum = 0;
        for ((pid, _), so_far) in &mut self.used {
            let time = cpu_time(*pid).unwrap_or(*so_far).max(*so_far);
            sum += time - *so_far;
            *so_far = time;
        }
        sum
    }

    fn signal(&self, leader: Option<i32>, signal: Signal) {
        if let Some(leader) = leader {
            kill_family(leader, &self.members, signal);
        }
    }
}

/// What all threads of a process have used, those that have ended too.
pub fn cpu_time(pid: i32) -> Option<u64> {
    let time = clock_getcpuclockid(Pid::from_raw(pid)).and_then(clock_gettime).ok()?;
    Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}
