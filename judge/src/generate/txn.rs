//! Random histories of transactions, and planted anomalies.
//!
//! A history is a run of a correct store by simulated clients: each asks, its transaction takes effect at one
//! moment, it is answered later, and what other clients do falls in between. [`serial`] executes transactions one
//! at a time, [`snapshot`] under snapshot isolation with the first committer winning. [`plant`] then breaks one
//! thing that has a name. Tests, benchmarks and the fuzz target share it. The same seed gives the same history.

use super::Random;
use crate::history::{Builder, Event, History, Kind};
use crate::value::{Arena, Value};
use rustc_hash::FxHashMap;

/// What the transactions are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    Append,
    Register,
}

/// How large a history is and how it goes.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub workload: Workload,
    pub txns: u32,
    pub clients: u32,
    /// Keys in use at a time.
    pub keys: u32,
    /// After so many writes a key is given up for a new one.
    pub writes_per_key: u32,
    /// Reads and writes in a transaction, at most.
    pub mops: u32,
    /// Of a hundred transactions, so many fail, and of so many the outcome is never known.
    pub fails: u32,
    pub infos: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            workload: Workload::Append,
            txns: 30,
            clients: 4,
            keys: 3,
            writes_per_key: 32,
            mops: 4,
            fails: 5,
            infos: 5,
        }
    }
}

/// A read or write of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Write(u32, i64),
    /// The first so many writes of the key, in the order in which they took effect.
    Read(u32, u32),
    /// These, whatever took effect.
    ReadAs(u32, Vec<i64>),
}

impl Step {
    const fn key(&self) -> u32 {
        match self {
            Self::Write(key, _) | Self::Read(key, _) | Self::ReadAs(key, _) => *key,
        }
    }
}

/// A transaction of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    pub process: u32,
    pub steps: Vec<Step>,
    pub end: Kind,
}

/// A history before it is written down: transactions, and the order in which they were asked and answered.
#[derive(Clone, Debug)]
pub struct Draft {
    pub workload: Workload,
    pub txns: Vec<Txn>,
    /// Each transaction twice: asked, then answered.
    pub events: Vec<u32>,
    /// What took effect on each key, in order.
    pub states: FxHashMap<u32, Vec<i64>>,
    next_key: u32,
}

/// A client that waits for its answer.
struct Open {
    txn: u32,
    /// The lengths of the keys when its snapshot was taken.
    snapshot: Option<FxHashMap<u32, u32>>,
    done: bool,
}

/// Transactions that take effect one at a time.
pub fn serial(seed: u64, shape: &Shape) -> History {
    draft(seed, shape, false).history()
}

/// Transactions that read from a snapshot taken after they were asked, and fail where another wrote a key of
/// theirs since.
pub fn snapshot(seed: u64, shape: &Shape) -> History {
    draft(seed, shape, true).history()
}

/// Either, before it is written down.
pub fn draft(seed: u64, shape: &Shape, snapshots: bool) -> Draft {
    let mut dice = Random::new(seed);
    let mut draft = Draft {
        workload: shape.workload,
        txns: Vec::with_capacity(shape.txns as usize),
        events: Vec::with_capacity(shape.txns as usize * 2),
        states: FxHashMap::default(),
        next_key: shape.keys,
    };
    let mut keys: Vec<(u32, u32)> = (0..shape.keys).map(|key| (key, 0)).collect();
    let mut open: Vec<Option<Open>> = (0..shape.clients).map(|_| None).collect();
    let mut process: Vec<u32> = (0..shape.clients).collect();
    while draft.txns.len() < shape.txns as usize || open.iter().any(Option::is_some) {
        let client = dice.below(shape.clients) as usize;
        let Some(waiting) = &mut open[client] else {
            if draft.txns.len() < shape.txns as usize {
                let txn = draft.txns.len() as u32;
                let steps = ask(&mut dice, shape, &mut keys, &mut draft.next_key);
                draft.txns.push(Txn { process: process[client], steps, end: Kind::Ok });
                draft.events.push(txn);
                open[client] = Some(Open { txn, snapshot: None, done: false });
            }
            continue;
        };
        let txn = waiting.txn;
        if snapshots && waiting.snapshot.is_none() {
            let lengths = draft.states.iter().map(|(key, state)| (*key, state.len() as u32));
            waiting.snapshot = Some(lengths.collect());
        } else if !waiting.done {
            waiting.done = true;
            let luck = dice.below(100);
            let end = &mut draft.txns[txn as usize].end;
            if luck < shape.fails {
                *end = Kind::Fail;
            } else if luck < shape.fails + shape.infos {
                *end = Kind::Info;
            }
            let happens = *end == Kind::Ok || (*end == Kind::Info && dice.below(2) == 0);
            if happens && !draft.apply(txn, waiting.snapshot.as_ref()) {
                draft.txns[txn as usize].end = Kind::Fail;
            }
        } else {
            draft.events.push(txn);
            open[client] = None;
            if draft.txns[txn as usize].end == Kind::Info {
                process[client] += shape.clients;
            }
        }
    }
    draft
}

fn ask(dice: &mut Random, shape: &Shape, keys: &mut [(u32, u32)], next_key: &mut u32) -> Vec<Step> {
    (0..=dice.below(shape.mops))
        .map(|_| {
            let at = dice.below(shape.keys) as usize;
            if dice.below(2) == 0 {
                return Step::Read(keys[at].0, 0);
            }
            if keys[at].1 == shape.writes_per_key {
                keys[at] = (*next_key, 0);
                *next_key += 1;
            }
            keys[at].1 += 1;
            Step::Write(keys[at].0, i64::from(keys[at].1))
        })
        .collect()
}

impl Draft {
    /// Lets a transaction take effect, unless another wrote one of its keys since its snapshot.
    fn apply(&mut self, txn: u32, snapshot: Option<&FxHashMap<u32, u32>>) -> bool {
        let steps = &mut self.txns[txn as usize].steps;
        let len = |states: &FxHashMap<u32, Vec<i64>>, key| states.get(&key).map_or(0, |all| all.len() as u32);
        if let Some(snapshot) = snapshot {
            let current = |step: &Step| {
                len(&self.states, step.key()) == snapshot.get(&step.key()).copied().unwrap_or(0)
            };
            if !steps.iter().all(|step| !matches!(step, Step::Write(..)) || current(step)) {
                return false;
            }
        }
        for step in steps {
            match step {
                Step::Write(key, value) => self.states.entry(*key).or_default().push(*value),
                // A key that this transaction wrote has not changed otherwise since the snapshot.
                Step::Read(key, seen) => {
                    let now = len(&self.states, *key);
                    let old = snapshot.map(|snapshot| snapshot.get(key).copied().unwrap_or(0));
                    *seen = old.unwrap_or(now);
                }
                Step::ReadAs(..) => {}
            }
        }
        if snapshot.is_some() {
            self.own_writes(txn);
        }
        true
    }

    /// Reads show what the transaction itself wrote before them.
    fn own_writes(&mut self, txn: u32) {
        let steps = &mut self.txns[txn as usize].steps;
        for at in 0..steps.len() {
            let key = steps[at].key();
            let own = steps[..at]
                .iter()
                .filter(|step| matches!(step, Step::Write(..)) && step.key() == key)
                .count();
            if let Step::Read(_, seen) = &mut steps[at] {
                *seen += own as u32;
            }
        }
    }

    /// As it would have been recorded.
    pub fn history(&self) -> History {
        let mut arena = Arena::default();
        let mut builder = Builder::default();
        let f = arena.intern("txn");
        let read = arena.text("r");
        let write = arena.text(if self.workload == Workload::Append { "append" } else { "w" });
        let mut asked = vec![false; self.txns.len()];
        for (index, txn) in self.events.iter().enumerate() {
            let first = !std::mem::replace(&mut asked[*txn as usize], true);
            let txn = &self.txns[*txn as usize];
            let kind = if first { Kind::Invoke } else { txn.end };
            let mut steps = Vec::with_capacity(txn.steps.len());
            for step in &txn.steps {
                let key = arena.int(i64::from(step.key()));
                let (name, value) = match step {
                    Step::Write(_, value) => (write, arena.int(*value)),
                    _ if kind != Kind::Ok => (read, Value::NIL),
                    Step::Read(key, seen) => {
                        let all = self.states.get(key).map_or(&[][..], |all| &all[..*seen as usize]);
                        (read, self.seen(&mut arena, all))
                    }
                    Step::ReadAs(_, seen) => (read, self.seen(&mut arena, seen)),
                };
                steps.push(arena.list(&[name, key, value]).expect("a short list"));
            }
            let value = arena.list(&steps).expect("a short list");
            let process = arena.int(i64::from(txn.process));
            let event = Event {
                kind,
                process,
                f,
                key: Value::NIL,
                value,
                time: None,
                index: index as u64,
                error: Value::NIL,
                line: index as u32 + 1,
            };
            builder.add(&event, &arena).expect("a client waits for its answer");
        }
        builder.finish(arena)
    }

    fn seen(&self, arena: &mut Arena, all: &[i64]) -> Value {
        match (self.workload, all.last()) {
            (_, None) => Value::NIL,
            (Workload::Register, Some(last)) => arena.int(*last),
            (Workload::Append, Some(_)) => {
                let items: Vec<Value> = all.iter().map(|item| arena.int(*item)).collect();
                arena.list(&items).expect("a short list")
            }
        }
    }
}

/// Every anomaly that [`plant`] knows, by workload: those of lists, then those of registers.
pub const PLANTED: [(Workload, &str); 29] = [
    (Workload::Append, "G0"),
    (Workload::Append, "G1a"),
    (Workload::Append, "G1b"),
    (Workload::Append, "G1c"),
    (Workload::Append, "G-single-item"),
    (Workload::Append, "G-nonadjacent-item"),
    (Workload::Append, "G2-item"),
    (Workload::Append, "lost-update"),
    (Workload::Append, "dirty-update"),
    (Workload::Append, "incompatible-order"),
    (Workload::Append, "duplicate-elements"),
    (Workload::Append, "garbage-read"),
    (Workload::Append, "internal"),
    (Workload::Append, "future-read"),
    (Workload::Append, "G0-realtime"),
    (Workload::Append, "G1c-realtime"),
    (Workload::Append, "G-single-item-realtime"),
    (Workload::Append, "G2-item-realtime"),
    (Workload::Append, "G0-process"),
    (Workload::Append, "G1c-process"),
    (Workload::Append, "G-single-item-process"),
    (Workload::Register, "G1a"),
    (Workload::Register, "G1b"),
    (Workload::Register, "G1c"),
    (Workload::Register, "G-single-item"),
    (Workload::Register, "G2-item"),
    (Workload::Register, "internal"),
    (Workload::Register, "lost-update"),
    (Workload::Register, "G-single-item-realtime"),
];

impl Draft {
    /// Adds transactions on keys of their own that show the anomaly of this name, each at a random place between
    /// the others, in the order given where that order matters. `false`: there is no such anomaly to plant.
    pub fn plant(&mut self, name: &str, dice: &mut Random) -> bool {
        let (x, y) = (self.next_key, self.next_key + 1);
        self.next_key += 2;
        let a = |key, value| Step::Write(key, value);
        let r = |key, seen: &[i64]| Step::ReadAs(key, seen.to_vec());
        let ok = |steps: Vec<Step>| (Kind::Ok, steps);
        let register = self.workload == Workload::Register;
        let txns = match name {
            "G0" => vec![
                ok(vec![a(x, 1), a(y, 1)]),
                ok(vec![a(x, 2), a(y, 2)]),
                ok(vec![r(x, &[1, 2]), r(y, &[2, 1])]),
            ],
            "G1a" if register => vec![(Kind::Fail, vec![a(x, 1)]), ok(vec![r(x, &[1])])],
            "G1a" => vec![(Kind::Fail, vec![a(x, 1)]), ok(vec![r(x, &[1])])],
            "G1b" => vec![ok(vec![a(x, 1), a(x, 2)]), ok(vec![r(x, &[1])]), ok(vec![r(x, &[1, 2])])],
            "G1c" => vec![ok(vec![a(x, 1), r(y, &[1])]), ok(vec![a(y, 1), r(x, &[1])])],
            "G-single-item" => vec![ok(vec![a(x, 1), a(y, 1)]), ok(vec![r(x, &[1]), r(y, &[])])],
            "G-nonadjacent-item" => vec![
                ok(vec![a(x, 1)]),
                ok(vec![r(x, &[1]), r(y, &[])]),
                ok(vec![a(y, 1)]),
                ok(vec![r(y, &[1]), r(x, &[])]),
            ],
            "G2-item" => vec![ok(vec![r(x, &[]), a(y, 1)]), ok(vec![r(y, &[]), a(x, 1)])],
            "lost-update" if register => {
                vec![ok(vec![a(x, 1)]), ok(vec![r(x, &[1]), a(x, 2)]), ok(vec![r(x, &[1]), a(x, 3)])]
            }
            "lost-update" => vec![ok(vec![r(x, &[]), a(x, 1)]), ok(vec![r(x, &[]), a(x, 2)])],
            "dirty-update" => {
                vec![(Kind::Fail, vec![a(x, 1)]), ok(vec![a(x, 2)]), ok(vec![r(x, &[1, 2])])]
            }
            "incompatible-order" => {
                vec![ok(vec![a(x, 1)]), ok(vec![a(x, 2)]), ok(vec![r(x, &[1])]), ok(vec![r(x, &[2, 1])])]
            }
            "duplicate-elements" => vec![ok(vec![a(x, 1)]), ok(vec![r(x, &[1, 1])])],
            "garbage-read" => vec![ok(vec![a(x, 1)]), ok(vec![r(x, &[1, 9])])],
            "internal" => vec![ok(vec![r(x, &[]), a(x, 1), r(x, &[])])],
            "future-read" => vec![ok(vec![r(x, &[1]), a(x, 1)])],
            "G0-realtime" | "G0-process" => {
                let txns = vec![vec![a(x, 1)], vec![a(x, 2)], vec![r(x, &[2, 1])]];
                return self.plant_in_order(txns, name.ends_with("process"), dice);
            }
            "G1c-realtime" | "G1c-process" => {
                return self.plant_in_order(
                    vec![vec![r(x, &[1])], vec![a(x, 1)]],
                    name.ends_with("process"),
                    dice,
                );
            }
            "G-single-item-realtime" | "G-single-item-process" => {
                return self.plant_in_order(
                    vec![vec![a(x, 1)], vec![r(x, &[])]],
                    name.ends_with("process"),
                    dice,
                );
            }
            "G2-item-realtime" => {
                self.plant_in_order(vec![vec![a(y, 1)], vec![r(x, &[])]], false, dice);
                // Open from before both until after both.
                let around = self.add(Kind::Ok, vec![a(x, 1), r(y, &[])]);
                self.events.insert(0, around);
                self.events.push(around);
                return true;
            }
            _ => return false,
        };
        for (end, steps) in txns {
            let txn = self.add(end, steps);
            // All of them are open at the same time, so that only what they read and wrote orders them.
            self.events.insert(0, txn);
            let last = self.events.len() as u32;
            let at = last - dice.below((last / 4).max(1));
            self.events.insert(at as usize, txn);
        }
        true
    }

    /// One after the other, each answered before the next is asked: by one process, or by as many as there are.
    fn plant_in_order(&mut self, txns: Vec<Vec<Step>>, one_process: bool, dice: &mut Random) -> bool {
        let mut at = 0;
        let first = self.txns.len();
        for steps in txns {
            let txn = self.add(Kind::Ok, steps);
            if one_process {
                self.txns[txn as usize].process = self.txns[first].process;
            }
            for _ in 0..2 {
                at += dice.below(self.events.len() as u32 - at + 1);
                self.events.insert(at as usize, txn);
                at += 1;
            }
        }
        true
    }

    /// A transaction of a process of its own.
    fn add(&mut self, end: Kind, steps: Vec<Step>) -> u32 {
        let txn = self.txns.len() as u32;
        self.txns.push(Txn { process: 1_000_000 + txn, steps, end });
        txn
    }

    /// Spoils reads at random: for comparing judges, not for anything with a name.
    pub fn spoil(&mut self, dice: &mut Random, times: u32) {
        for _ in 0..times {
            if self.txns.is_empty() {
                return;
            }
            let txn = dice.below(self.txns.len() as u32) as usize;
            let steps = &mut self.txns[txn].steps;
            let at = dice.below(steps.len() as u32) as usize;
            let Step::Read(key, seen) = steps[at] else { continue };
            let all = self.states.get(&key).cloned().unwrap_or_default();
            steps[at] = match dice.below(4) {
                0 => Step::Read(key, seen.saturating_sub(1)),
                1 => Step::Read(key, (seen + 1).min(all.len() as u32)),
                2 => Step::Read(key, dice.below(all.len() as u32 + 1)),
                _ => {
                    let mut items = all[..seen as usize].to_vec();
                    if items.len() > 1 {
                        let place = dice.below(items.len() as u32 - 1) as usize;
                        items.swap(place, place + 1);
                    }
                    Step::ReadAs(key, items)
                }
            };
        }
    }
}

/// A serial run whose last transaction misses what the first wrote: in real time all lie on one cycle.
pub fn stale_end(seed: u64, shape: &Shape) -> Draft {
    let mut draft = draft(seed, shape, false);
    let key = draft.next_key;
    draft.next_key += 1;
    let first = draft.add(Kind::Ok, vec![Step::Write(key, 1)]);
    let last = draft.add(Kind::Ok, vec![Step::ReadAs(key, Vec::new())]);
    draft.events.splice(0..0, [first, first]);
    draft.events.extend([last, last]);
    draft
}

/// A ring of `ring` transactions that is one G-single, among `ring` times `noise` others that lie on cycles with it
/// which are none: the search has no short way (the idea is that of a test of Elle's, `unfindable-g-single`).
pub fn needle(ring: u32, noise: u32) -> Draft {
    let mut draft = Draft {
        workload: Workload::Append,
        txns: Vec::new(),
        events: Vec::new(),
        states: FxHashMap::default(),
        next_key: 2 * ring + 2,
    };
    let (chain, missed) = (0, 1);
    let (side, back) = (|i: u32| 2 + i, |i: u32| 2 + ring + i);
    let whole: Vec<i64> = (0..i64::from(ring)).collect();
    for i in 0..ring {
        let other = match i {
            0 => Step::Write(missed, 0),
            i if i == ring - 1 => Step::ReadAs(missed, Vec::new()),
            i => Step::Write(side(i), 0),
        };
        draft.add(Kind::Ok, vec![Step::Write(chain, i64::from(i)), other]);
    }
    draft.add(Kind::Ok, vec![Step::ReadAs(chain, whole)]);
    for i in 1..ring - 1 {
        for j in 1..noise - 2 {
            draft.add(Kind::Ok, vec![Step::Write(side(i), i64::from(j))]);
        }
        let seen = (0..i64::from(noise - 2)).collect();
        draft.add(Kind::Ok, vec![Step::ReadAs(side(i), seen), Step::ReadAs(back(i), Vec::new())]);
        draft.add(Kind::Ok, vec![Step::Write(back(i), 0), Step::ReadAs(chain, Vec::new())]);
    }
    draft.events = (0..draft.txns.len() as u32).flat_map(|txn| [txn, txn]).collect();
    draft
}

/// A small history of list appends spelled by bytes, whatever they are: at most six transactions of at most three
/// steps, whose reads show anything. Appended elements are unique to their key.
pub fn from_bytes(bytes: &[u8]) -> History {
    let mut bytes = bytes.iter().copied().chain(std::iter::repeat(0));
    let mut next = |sides: u8| bytes.next().unwrap_or(0) % sides;
    let mut draft = Draft {
        workload: Workload::Append,
        txns: Vec::new(),
        events: Vec::new(),
        states: FxHashMap::default(),
        next_key: 3,
    };
    let mut appended = [0i64; 3];
    for txn in 0..2 + u32::from(next(5)) {
        let end = [Kind::Ok, Kind::Ok, Kind::Ok, Kind::Ok, Kind::Info, Kind::Fail][next(6) as usize];
        let mut steps = Vec::new();
        for _ in 0..=next(3) {
            let key = next(3);
            steps.push(if next(2) == 0 {
                appended[key as usize] += 1;
                Step::Write(u32::from(key), appended[key as usize])
            } else {
                let items = (0..next(4)).map(|_| i64::from(next(4)) + 1);
                Step::ReadAs(u32::from(key), items.collect())
            });
        }
        draft.txns.push(Txn { process: txn, steps, end });
        // Asked at the end so far, answered anywhere behind that.
        let asked = usize::from(next(8)).min(draft.events.len());
        draft.events.insert(draft.events.len() - asked, txn);
        let behind = asked - usize::from(next(8)).min(asked);
        draft.events.insert(draft.events.len() - behind, txn);
    }
    draft.history()
}
