//! A history: what each client asked for, what it was answered, and in which order.
//!
//! Events come in real-time order; an invocation and its completion become one [`Op`]. What a history must be
//! for any verdict to mean something is checked while it is built: a process has one open operation at most, and
//! a completion matches its invocation. A history that breaks this is refused, never judged.

use crate::value::{Arena, Value};
use rustc_hash::FxHashMap;

/// What an event says of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

impl Kind {
    /// The kind of this name, as every form of history writes it.
    pub const fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"invoke" => Some(Self::Invoke),
            b"ok" => Some(Self::Ok),
            b"fail" => Some(Self::Fail),
            b"info" => Some(Self::Info),
            _ => None,
        }
    }
}

/// One line of a history.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub kind: Kind,
    /// Who; equal for equal processes.
    pub process: Value,
    /// What for, interned in the arena.
    pub f: u32,
    /// Nil where the history has one object only.
    pub key: Value,
    pub value: Value,
    /// In nanoseconds, where the source has it.
    pub time: Option<u64>,
    /// The index that the source gives it, or its place.
    pub index: u64,
    /// Why it failed or what is not known, where the source tells.
    pub error: Value,
    /// The line in the source, from 1.
    pub line: u32,
}

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It took effect between its call and its return.
    Ok,
    /// It did not take effect.
    Fail,
    /// It may take effect at any time after its call, or never.
    Info,
}

/// The return of an operation that never returned.
pub const NEVER: u32 = u32::MAX;

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub process: Value,
    pub f: u32,
    pub key: Value,
    /// What was asked: the invocation's value.
    pub input: Value,
    /// What was answered: the completion's value; nil when there was none.
    pub output: Value,
    pub outcome: Outcome,
    /// The place of the invocation among all events. No two events share one.
    pub call: u32,
    /// The place of the completion, [`NEVER`] if its outcome is unknown: an operation may take effect later than
    /// the client gave up on it.
    pub ret: u32,
    /// The place of the completion event, also that of an `info`; [`NEVER`] when there was none.
    pub end: u32,
    pub time_call: Option<u64>,
    pub time_end: Option<u64>,
    /// The source's own index of the invocation (of the completion where the history has only those).
    pub index: u64,
    pub error: Value,
}

impl Op {
    pub const fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok)
    }
    /// Whether it may have taken effect.
    pub const fn may_have_happened(&self) -> bool {
        !matches!(self.outcome, Outcome::Fail)
    }
    /// The completion's value where there is one, else the invocation's.
    pub const fn value(&self) -> Value {
        if self.output.is_nil() { self.input } else { self.output }
    }
}

/// All operations of a history, in the order of their calls.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub ops: Vec<Op>,
    pub arena: Arena,
    /// It holds completions alone, so no order in time or of a process can be drawn from it.
    pub completions_only: bool,
}

impl History {
    pub fn f(&self, op: &Op) -> &str {
        self.arena.str(op.f)
    }
    /// The places of the operations to keep on each key, keys in the order in which they first appear. A history
    /// without keys has one.
    pub fn by_key(&self, keep: impl Fn(usize) -> bool) -> Vec<(Value, Vec<u32>)> {
        let mut keys: Vec<(Value, Vec<u32>)> = Vec::new();
        let mut known: FxHashMap<u64, usize> = FxHashMap::default();
        let mut lists: FxHashMap<String, usize> = FxHashMap::default();
        for (place, op) in self.ops.iter().enumerate() {
            if !keep(place) {
                continue;
            }
            let at = *known.entry(op.key.word()).or_insert_with(|| {
                let fresh = keys.len();
                // Lists are equal by their items.
                let at = match op.key.as_list() {
                    None => fresh,
                    Some(_) => *lists.entry(self.arena.show(op.key)).or_insert(fresh),
                };
                if at == fresh {
                    keys.push((op.key, Vec::new()));
                }
                at
            });
            keys[at].1.push(place as u32);
        }
        keys
    }
    /// One operation in words: `3 invokes cas [1, 2] of "x" (index 17), fails`.
    pub fn tell(&self, place: usize) -> String {
        let op = &self.ops[place];
        let value = if op.input.is_nil() { String::new() } else { format!(" {}", self.arena.show(op.input)) };
        let key = if op.key.is_nil() { String::new() } else { format!(" of {}", self.arena.show(op.key)) };
        let end = match op.outcome {
            Outcome::Ok if op.output.is_nil() || self.arena.equal(op.output, op.input) => "ok".into(),
            Outcome::Ok => format!("ok: {}", self.arena.show(op.output)),
            Outcome::Fail => "refused".into(),
            Outcome::Info => "outcome unknown".into(),
        };
        format!("{} {}{value}{key}: {end} (index {})", self.arena.show(op.process), self.f(op), op.index)
    }
}

/// Why events are no history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("line {line}: process {process} invokes while its operation of line {open} is open")]
    Overlap { line: u32, process: String, open: u32 },
    #[error("line {line}: process {process} completes {f:?} without having invoked it")]
    NoInvocation { line: u32, process: String, f: String },
    #[error(
        "line {line}: process {process} completes {f:?}, but what it invoked in line {open} is {asked:?}"
    )]
    Mismatch { line: u32, process: String, f: String, open: u32, asked: String },
    #[error("line {line}: the completion says {answered}, its invocation in line {open} said {asked}")]
    OtherValue { line: u32, open: u32, asked: String, answered: String },
    #[error("the history has more than {max} events", max = u32::MAX - 1)]
    TooLong,
}

/// Pairs events to operations.
#[derive(Debug, Default)]
pub struct Builder {
    ops: Vec<Op>,
    /// The open operation of each process, with its line.
    open: FxHashMap<Value, (u32, u32)>,
    events: u32,
    completions_only: bool,
}

impl Builder {
    /// For a history that holds completions alone.
    pub fn of_completions() -> Self {
        Self { completions_only: true, ..Self::default() }
    }

    pub fn add(&mut self, event: &Event, arena: &Arena) -> Result<(), Malformed> {
        let at = self.events;
        self.events += 1;
        if self.events == NEVER {
            return Err(Malformed::TooLong);
        }
        let process = || arena.show(event.process);
        if event.kind == Kind::Invoke {
            if self.completions_only {
                return Ok(());
            }
            let place = self.ops.len() as u32;
            if let Some((_, open)) = self.open.insert(event.process, (place, event.line)) {
                return Err(Malformed::Overlap { line: event.line, process: process(), open });
            }
            self.ops.push(Op {
                process: event.process,
                f: event.f,
                key: event.key,
                input: event.value,
                output: Value::NIL,
                outcome: Outcome::Info,
                call: at,
                ret: NEVER,
                end: NEVER,
                time_call: event.time,
                time_end: None,
                index: event.index,
                error: Value::NIL,
            });
            return Ok(());
        }
        let outcome = match event.kind {
            Kind::Ok => Outcome::Ok,
            Kind::Fail => Outcome::Fail,
            Kind::Info | Kind::Invoke => Outcome::Info,
        };
        if self.completions_only {
            self.ops.push(Op {
                process: event.process,
                f: event.f,
                key: event.key,
                input: event.value,
                output: event.value,
                outcome,
                call: at,
                ret: if outcome == Outcome::Info { NEVER } else { at },
                end: at,
                time_call: event.time,
                time_end: event.time,
                index: event.index,
                error: event.error,
            });
            return Ok(());
        }
        let Some((place, open)) = self.open.remove(&event.process) else {
            let f = arena.str(event.f).to_owned();
            return Err(Malformed::NoInvocation { line: event.line, process: process(), f });
        };
        let op = &mut self.ops[place as usize];
        if op.f != event.f {
            let (f, asked) = (arena.str(event.f).to_owned(), arena.str(op.f).to_owned());
            return Err(Malformed::Mismatch { line: event.line, process: process(), f, open, asked });
        }
        op.outcome = outcome;
        op.end = at;
        op.time_end = event.time;
        op.error = event.error;
        if outcome == Outcome::Ok {
            op.output = event.value;
        }
        if outcome != Outcome::Info {
            op.ret = at;
        }
        if op.key.is_nil() {
            op.key = event.key;
        }
        Ok(())
    }

    pub fn finish(self, arena: Arena) -> History {
        History { ops: self.ops, arena, completions_only: self.completions_only }
    }
}
