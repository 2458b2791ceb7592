//! A program that runs, its clients, and a fault: the hands of every measurement.

use super::super::striking::Healed;
use super::super::{A, Bench, ME};
use super::program::{Answer, Ask, Program};
use seedfault::env::{ConnId, Effect, Env as _, Exit, Input, NodeAction, Observed, Why};
use seedfault::fault::restart::RestartData;
use seedfault::time::{Micros, Millis};
use std::collections::BTreeMap;
use std::fs;

/// How long a program may take to answer for the first time. A JVM compiles its source first.
const STARTS_WITHIN: u64 = 60_000;
/// How long any answer may take that is to come.
pub const COMES: u64 = 20_000;
/// What is waited for an answer that is not to come, in milliseconds.
pub const SILENT: u64 = 300;

pub struct Lab<'a> {
    pub bench: &'a mut Bench,
    pub program: Program,
    /// What each connection has received and not yet taken as an answer.
    buffers: BTreeMap<ConnId, Vec<u8>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    Silent,
    Refused,
    /// In the kernel's words.
    Closed(String),
    /// What came is no answer.
    Garbage(String),
}

/// Microseconds for people.
pub fn told(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.2} ms", micros as f64 / 1000.0),
        10_000..1_000_000 => format!("{:.0} ms", micros as f64 / 1000.0),
        _ => format!("{:.2} s", micros as f64 / 1_000_000.0),
    }
}

pub fn share(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

impl<'a> Lab<'a> {
    pub fn new(bench: &'a mut Bench, program: Program) -> Self {
        let binary = program.binary().expect("the parent found it");
        let create = NodeAction::Create(program.node(binary));
        bench.apply(Effect::Node(A, create)).expect("there is room");
        let mut lab = Self { bench, program, buffers: BTreeMap::new() };
        lab.bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts");
        lab.answers();
        lab
    }

    pub fn now(&self) -> u64 {
        self.bench.env.wall().0
    }

    pub fn strike(&mut self, fault: &str, fields: &str) {
        self.bench.seen.clear();
        self.bench.strike(fault, fields, self.program.asks_time());
    }

    pub fn heal(&mut self) -> Healed {
        self.bench.heal_fault()
    }

    pub fn wait(&mut self, millis: u64) {
        let until = self.bench.env.wall().plus(Millis(millis));
        while self.bench.env.wall() < until {
            let left = until.since(self.bench.env.wall()).millis();
            self.bench.pass(left.max(Millis(1)));
        }
    }

    /// Waits until something is so, at most so many milliseconds.
    pub fn until(&mut self, millis: u64, mut is: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.bench.env.wall().plus(Millis(millis));
        loop {
            if is(self) {
                return true;
            }
            let now = self.bench.env.wall();
            if now >= until {
                return false;
            }
            self.bench.pass(until.since(now).millis().clamp(Millis(1), Millis(50)));
        }
    }

    /// Opens a connection: a client's of the load, or the tool's own, which no fault of links is about.
    pub fn open(&mut self, as_client: bool, patience: u64) -> Result<ConnId, No> {
        self.bench.next += 1;
        let id = ConnId(self.bench.next);
        let open = if as_client { Effect::OpenAsClient(id, A) } else { Effect::Open(id, A) };
        self.bench.env.submit(ME, open);
        let mut came = Err(No::Silent);
        self.until(patience, |lab| {
            let seen = lab.bench.seen.iter().position(|input| match input {
                Input::Opened(one) | Input::Closed(one, _) => *one == id,
                _ => false,
            });
            if let Some(place) = seen {
                came = match lab.bench.seen.remove(place) {
                    Input::Closed(_, why) => Err(no(why)),
                    _ => Ok(id),
                };
            }
            seen.is_some()
        });
        if came.is_err() {
            self.close(id);
        }
        came
    }

    pub fn client(&mut self) -> ConnId {
        self.open(true, COMES).unwrap_or_else(|why| panic!("a client cannot connect: {why:?}"))
    }

    pub fn close(&mut self, client: ConnId) {
        self.bench.env.submit(ME, Effect::Close(client));
        self.buffers.remove(&client);
    }

    pub fn say(&mut self, client: ConnId, ask: Ask) {
        let bytes = self.program.request(ask);
        self.bench.env.submit(ME, Effect::Send(client, bytes));
    }

    /// The next answer, if all of it is there; or why there will be none.
    pub fn take(&mut self, client: ConnId) -> Option<Result<Answer, No>> {
        let mut closed = None;
        let mut kept = Vec::new();
        for input in self.bench.seen.drain(..) {
            match input {
                Input::Bytes(id, bytes) => self.buffers.entry(id).or_default().extend(bytes),
                Input::Closed(id, ref why) if id == client => {
                    closed = Some(no(why.clone()));
                    kept.push(input);
                }
                other => kept.push(other),
            }
        }
        self.bench.seen = kept;
        let buffer = self.buffers.entry(client).or_default();
        match self.program.answer(buffer) {
            // One is asked for at a time.
            Ok(Some(answer)) => {
                buffer.clear();
                Some(Ok(answer))
            }
            Ok(None) => closed.map(Err),
            Err(why) => Some(Err(No::Garbage(why))),
        }
    }

    pub fn hear(&mut self, client: ConnId, patience: u64) -> Result<Answer, No> {
        let mut came = Err(No::Silent);
        self.until(patience, |lab| match lab.take(client) {
            Some(taken) => {
                came = taken;
                true
            }
            None => false,
        });
        came
    }

    /// An answer and the microseconds that it took.
    pub fn ask(&mut self, client: ConnId, ask: Ask, patience: u64) -> Result<(Answer, u64), No> {
        let began = self.now();
        self.say(client, ask);
        self.hear(client, patience).map(|answer| (answer, self.now() - began))
    }

    /// The times of round trips, sorted.
    pub fn trips(&mut self, client: ConnId, count: usize) -> Result<Vec<u64>, String> {
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(self.ask(client, Ask::Ping, COMES).map_err(|why| format!("{why:?}"))?.1);
        }
        times.sort_unstable();
        Ok(times)
    }

    /// Waits until the program answers a new client. Answers how long that took.
    pub fn answers(&mut self) -> u64 {
        self.comes_back().unwrap_or_else(|words| panic!("{} has ended: {words}", self.program.name()))
    }

    /// As [`Lab::answers`], of a program that may end instead: then its last words.
    pub fn comes_back(&mut self) -> Result<u64, String> {
        if let Some(took) = self.answers_within(STARTS_WITHIN) {
            return Ok(took);
        }
        assert!(!self.runs(), "{} does not answer", self.program.name());
        let lines = self.bench.seen.iter().rev().find_map(|input| match input {
            Input::Observed(Observed::Log { line, .. }) if !line.trim().is_empty() => Some(line.clone()),
            _ => None,
        });
        let line = lines.unwrap_or_default();
        Err(line.rsplit(" | ").next().unwrap_or_default().trim().to_string())
    }

    /// How long a new client waits for an answer, if it has one within so many milliseconds.
    pub fn answers_within(&mut self, patience: u64) -> Option<u64> {
        let (began, mut answered) = (self.now(), false);
        self.until(patience, |lab| {
            if let Ok(client) = lab.open(false, 1000) {
                let came = lab.ask(client, Ask::Ping, 1000);
                lab.close(client);
                answered = matches!(came, Ok((Answer { error: None, .. }, _)));
            }
            answered || !lab.runs()
        });
        answered.then(|| self.now() - began)
    }

    /// Whether its process runs, as far as was seen.
    fn runs(&self) -> bool {
        self.bench.world.borrow().nodes.get(&A).is_some_and(|node| node.up)
    }

    /// Writes a value as nobody's client.
    pub fn put(&mut self, value: &[u8]) -> Result<u64, String> {
        self.aside(Ask::Put(value)).map(|(_, took)| took)
    }

    /// Reads it as nobody's client.
    pub fn get(&mut self) -> Result<Vec<u8>, String> {
        self.aside(Ask::Get).map(|(answer, _)| answer.body)
    }

    /// Asks by a connection of the tool's own, and takes no error for an answer.
    fn aside(&mut self, ask: Ask) -> Result<(Answer, u64), String> {
        let client = self.open(false, COMES).map_err(|why| format!("{why:?}"))?;
        let came = self.ask(client, ask, COMES).map_err(|why| format!("{why:?}"));
        self.close(client);
        match came? {
            (Answer { error: Some(error), .. }, _) => Err(error),
            well => Ok(well),
        }
    }

    /// How far the program's clock is ahead of ours: bounds in microseconds. Where it tells whole seconds, when the next
    /// begins.
    pub fn ahead(&mut self) -> Result<(i64, i64), String> {
        let (grain, mut last) = (self.program.grain(), None);
        loop {
            let (before, time, after) = self.glance()?;
            if grain < 1_000_000 {
                return Ok((time - after, time + grain - before));
            }
            match last.replace((time, before)) {
                Some((earlier, since)) if time == earlier + grain => return Ok((time - after, time - since)),
                _ => self.wait(2),
            }
        }
    }

    /// Our clock, the program's, and ours again, in microseconds.
    pub fn glance(&mut self) -> Result<(i64, i64, i64), String> {
        let ours = || {
            let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME).expect("a clock");
            time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000
        };
        let before = ours();
        let client = self.open(false, COMES).map_err(|why| format!("{why:?}"))?;
        let answer = self.ask(client, Ask::Time, COMES).map_err(|why| format!("{why:?}"));
        self.close(client);
        // The date of an error is as good.
        Ok((before, answer?.0.time.ok_or("it does not tell the time")?, ours()))
    }

    /// Between two rows: no fault is left, and the program answers. One that its data keeps from starting loses them.
    pub fn over(&mut self) {
        if self.bench.striking.is_some() {
            self.heal();
        }
        if !self.runs() {
            self.bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Empty))).expect("it starts");
        }
        self.answers();
    }

    pub fn exit(&mut self) -> Exit {
        self.bench.exit(A)
    }

    /// Whether it has ended since the fault began.
    pub fn ended(&self) -> Option<Exit> {
        self.bench.seen.iter().find_map(|input| match input {
            Input::Observed(Observed::Exited { exit, .. }) => Some(*exit),
            _ => None,
        })
    }

    /// A counter of the node's own kernel: of TCP in its network namespace.
    pub fn counter(&self, name: &str) -> u64 {
        let pid = self.bench.pid;
        let mut counts = BTreeMap::new();
        for file in ["snmp", "netstat"] {
            let text = fs::read_to_string(format!("/proc/{pid}/net/{file}")).expect("it runs");
            let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
            for two in lines.chunks_exact(2).filter(|two| two[0][0].starts_with("Tcp")) {
                let pairs = two[0].iter().zip(&two[1]).skip(1);
                counts.extend(pairs.map(|(name, count)| (name.to_string(), count.parse().unwrap_or(0))));
            }
        }
        *counts.get(name).unwrap_or_else(|| panic!("the kernel counts no {name}"))
    }

    /// From that moment to now.
    pub fn since(&self, at: Micros) -> u64 {
        self.now() - at.0
    }
}

fn no(why: Why) -> No {
    match why {
        Why::Refused => No::Refused,
        Why::Reset(words) => No::Closed(words.split(" (os error").next().unwrap_or_default().to_string()),
    }
}

/// How a process ended, for people.
pub fn exited(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}
