//! What reads and writes of registers tell of the order of versions (Kingsbury and Alvaro, VLDB 2020, section 5;
//! Elle's `rw-register`).
//!
//! Values are unique, so a read names its writer (wr); but which of two values came later is known only where
//! something tells: the initial nil comes before every value; the caller may give the order of transactions; and
//! where the caller vouches for it, a transaction that reads a key and then writes it puts its value right behind
//! the one it read (`wfr-keys?`), each process sees a key advance (`sequential-keys?`), or a key advances in real
//! time (`linearizable-keys?`). Sources are added one by one; one that makes the order of a key circular is
//! reported as `cyclic-versions` and left out. From versions follow ww and rw. Only what a transaction shows
//! outwards counts: of each key the first read, unless it wrote the key before, and the last write.

use super::graph::{Edges, NONE, RW, WR, WW};
use super::mops::{Mops, Words};
use super::report::{Cases, Explain};
use crate::budget::{Budget, Spent};
use crate::history::History;
use crate::value::Value;
use rustc_hash::FxHashMap;
use versions::Source;

mod versions;

/// What a transaction shows of a key; [`NONE`] for neither.
#[derive(Clone, Copy, Debug)]
struct Shown {
    key: u32,
    read: u32,
    write: u32,
}

/// The versions of all keys: those below the number of keys are their initial nil.
#[derive(Debug)]
pub struct Registers<'a> {
    history: &'a History,
    mops: Mops,
    version_key: Vec<u32>,
    version_value: Vec<Value>,
    shown: Vec<Shown>,
    shown_start: Vec<u32>,
    /// The acknowledged writer of each version, and a second one if there is.
    writer: Vec<u32>,
    second: Vec<u32>,
    reader_start: Vec<u32>,
    readers: Vec<u32>,
}

/// One version before another, with the operations that show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Before {
    from: u32,
    to: u32,
    source: Source,
    by: [u32; 2],
}

/// The order of versions, sorted.
#[derive(Debug)]
pub struct Versions(Vec<Before>);

impl<'a> Registers<'a> {
    pub fn new(history: &'a History, mut mops: Mops) -> Self {
        let keys = mops.keys.len() as u32;
        let mut words = Words::default();
        let mut ids: FxHashMap<(u32, u64), u32> = FxHashMap::default();
        let mut version_key: Vec<u32> = (0..keys).collect();
        let mut version_value = vec![Value::NIL; keys as usize];
        for mop in &mut mops.all {
            mop.at = if mop.value.is_nil() {
                mop.key()
            } else {
                *ids.entry((mop.key(), words.of(&history.arena, mop.value))).or_insert_with(|| {
                    version_key.push(mop.key());
                    version_value.push(mop.value);
                    version_key.len() as u32 - 1
                })
            };
        }
        let versions = version_key.len();
        let mut registers = Self {
            history,
            mops,
            version_key,
            version_value,
            shown: Vec::new(),
            shown_start: Vec::with_capacity(history.ops.len() + 1),
            writer: vec![NONE; versions],
            second: vec![NONE; versions],
            reader_start: vec![0; versions + 1],
            readers: Vec::new(),
        };
        registers.show_all();
        registers
    }

    fn show_all(&mut self) {
        for (op, known) in self.history.ops.iter().enumerate() {
            let begin = self.shown.len();
            self.shown_start.push(begin as u32);
            if !known.may_have_happened() {
                continue;
            }
            for mop in self.mops.of(op) {
                let at = self.shown[begin..].iter().position(|shown| shown.key == mop.key());
                let at = at.map_or_else(
                    || {
                        self.shown.push(Shown { key: mop.key(), read: NONE, write: NONE });
                        // Of an operation without an answer the reads are not known.
                        if !mop.is_write() && known.is_ok() {
                            self.shown.last_mut().expect("just pushed").read = mop.at;
                        }
                        self.shown.len() - 1
                    },
                    |at| begin + at,
                );
                if mop.is_write() {
                    self.shown[at].write = mop.at;
                }
            }
            for shown in self.shown[begin..].iter().filter(|_| known.is_ok()) {
                if shown.read != NONE {
                    self.reader_start[shown.read as usize + 1] += 1;
                }
                if shown.write != NONE {
                    let slot = &mut self.writer[shown.write as usize];
                    if *slot == NONE {
                        *slot = op as u32;
                    } else {
                        self.second[shown.write as usize] = op as u32;
                    }
                }
            }
        }
        self.shown_start.push(self.shown.len() as u32);
        for version in 0..self.writer.len() {
            self.reader_start[version + 1] += self.reader_start[version];
        }
        self.readers = vec![NONE; self.reader_start.last().map_or(0, |end| *end as usize)];
        let mut next = self.reader_start.clone();
        for op in 0..self.history.ops.len() {
            for at in self.shown_start[op] as usize..self.shown_start[op + 1] as usize {
                let read = self.shown[at].read;
                if read != NONE {
                    self.readers[next[read as usize] as usize] = op as u32;
                    next[read as usize] += 1;
                }
            }
        }
    }

    fn shown_by(&self, op: u32) -> &[Shown] {
        let op = op as usize;
        &self.shown[self.shown_start[op] as usize..self.shown_start[op + 1] as usize]
    }
    fn readers_of(&self, version: u32) -> &[u32] {
        let version = version as usize;
        &self.readers[self.reader_start[version] as usize..self.reader_start[version + 1] as usize]
    }
    fn show_key(&self, key: u32) -> String {
        self.history.arena.show(self.mops.keys[key as usize])
    }
    fn show(&self, version: u32) -> String {
        self.history.arena.show(self.version_value[version as usize])
    }

    /// Why nothing can be inferred: a value was written twice and read.
    pub fn written_twice(&self) -> Option<String> {
        let read =
            |version: &u32| self.second[*version as usize] != NONE && !self.readers_of(*version).is_empty();
        (0..self.writer.len() as u32).find(read).map(|version| {
            let (value, key) = (self.show(version), self.show_key(self.version_key[version as usize]));
            let tell = |op: u32| self.history.tell(op as usize);
            let (first, second) = (self.writer[version as usize], self.second[version as usize]);
            format!(
                "{value} was written to {key} twice, so that its reads do not name their writer: {}; {}",
                tell(first),
                tell(second)
            )
        })
    }

    /// All data dependencies, and whether some transaction depends on itself.
    pub fn edges(&self, versions: &Versions, budget: &Budget) -> Result<(Edges, bool), Spent> {
        let mut touched = false;
        let edges = Edges::build(self.history.ops.len(), budget, |emit| {
            let mut emit = |from, to, kind| {
                touched |= from == to;
                emit(from, to, kind);
            };
            for (version, writer) in self.writer.iter().enumerate() {
                if *writer != NONE {
                    self.readers_of(version as u32).iter().for_each(|reader| emit(*writer, *reader, WR));
                }
            }
            for edge in &versions.0 {
                let to = self.writer[edge.to as usize];
                if to == NONE {
                    continue;
                }
                let from = self.writer[edge.from as usize];
                if from != NONE {
                    emit(from, to, WW);
                }
                let readers = self.readers_of(edge.from);
                budget.spend(readers.len() as u64 / 2 + 1)?;
                readers.iter().for_each(|from| emit(*from, to, RW));
            }
            Ok(())
        })?;
        Ok((edges, touched))
    }

    /// What is wrong without a cycle.
    pub fn cases(&self, cases: &mut Cases, budget: &Budget) -> Result<(), Spent> {
        let versions = self.writer.len();
        let (mut failed, mut intermediate) = (vec![NONE; versions], vec![NONE; versions]);
        for (op, known) in self.history.ops.iter().enumerate() {
            let mops = self.mops.of(op);
            for (at, mop) in mops.iter().enumerate().filter(|(_, mop)| mop.is_write()) {
                if mop.value.is_nil() {
                    continue;
                }
                if !known.may_have_happened() {
                    failed[mop.at as usize] = op as u32;
                }
                if mops[at + 1..].iter().any(|later| later.is_write() && later.key() == mop.key()) {
                    intermediate[mop.at as usize] = op as u32;
                }
                budget.spend(mops.len() as u64 / 8)?;
            }
        }
        let mut updates = vec![NONE; versions];
        for (op, known) in self.history.ops.iter().enumerate().filter(|(_, op)| op.is_ok()) {
            let mops = self.mops.of(op);
            budget.spend(mops.len() as u64 * mops.len() as u64 / 8)?;
            debug_assert!(known.is_ok());
            for (at, mop) in mops.iter().enumerate() {
                let before = mops[..at].iter().rev().find(|before| before.key() == mop.key());
                if mop.is_write() {
                    self.lost_update(cases, op, at, &mut updates);
                    continue;
                }
                let key = || self.show_key(mop.key());
                let read = || format!("T1 read {} as {}", key(), self.show(mop.at));
                let writer = failed[mop.at as usize];
                if writer != NONE {
                    cases.add("G1a", Some(key()), &[op, writer as usize], || {
                        vec![format!("{}, but T2, which wrote it, failed", read())]
                    });
                }
                let writer = intermediate[mop.at as usize];
                if writer != NONE && writer as usize != op {
                    cases.add("G1b", Some(key()), &[op, writer as usize], || {
                        vec![format!("{}, but T2 overwrote it itself", read())]
                    });
                }
                if let Some(before) = before.filter(|before| before.at != mop.at) {
                    cases.add("internal", Some(key()), &[op], || {
                        vec![format!("{}, after its own steps left {}", read(), self.show(before.at))]
                    });
                }
            }
        }
        Ok(())
    }

    /// Two transactions that read the same version and wrote another.
    fn lost_update(&self, cases: &mut Cases, op: usize, at: usize, updates: &mut [u32]) {
        let mops = self.mops.of(op);
        let key = mops[at].key();
        let mut read = NONE;
        for mop in mops[..at].iter().filter(|mop| mop.key() == key) {
            if mop.is_write() {
                return;
            }
            if read == NONE {
                read = mop.at;
            }
        }
        if read == NONE {
            return;
        }
        let first = &mut updates[read as usize];
        if *first == NONE {
            *first = op as u32;
        } else {
            cases.add("lost-update", Some(self.show_key(key)), &[*first as usize, op], || {
                vec![format!(
                    "T1 and T2 both read {} as {} and both wrote it",
                    self.show_key(key),
                    self.show(read)
                )]
            });
        }
    }
}

/// Registers and the order of their versions, to tell of.
#[derive(Debug)]
pub struct Explained<'a> {
    pub registers: &'a Registers<'a>,
    pub versions: &'a Versions,
}

impl Explain for Explained<'_> {
    fn step(&self, from: u32, to: u32, kind: u8, (a, b): (&str, &str)) -> Option<String> {
        let registers = self.registers;
        for second in registers.shown_by(to) {
            for first in registers.shown_by(from).iter().filter(|first| first.key == second.key) {
                let key = registers.show_key(first.key);
                if kind == WR && second.read != NONE && first.write == second.read {
                    let value = registers.show(second.read);
                    return Some(format!("{a} wrote {value} to {key}, {b} read it"));
                }
                let known = if kind == WW { first.write } else { first.read };
                if kind == WR || known == NONE || second.write == NONE {
                    continue;
                }
                let edges = &self.versions.0;
                let at = edges.binary_search_by_key(&(known, second.write), |edge| (edge.from, edge.to));
                if let Ok(at) = at {
                    let (value, next) = (registers.show(known), registers.show(second.write));
                    let did = if kind == WW { "wrote" } else { "read" };
                    let why = edges[at].source.words();
                    return Some(format!(
                        "{a} {did} {key} as {value}, {b} wrote {next}, which is later ({why})"
                    ));
                }
            }
        }
        None
    }
}
