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

use super::graph::{Components, Edges, NONE, RW, Successors, WR, WW};
use super::mops::{Mops, Words};
use super::report::{Cases, Explain};
use crate::budget::{Budget, Spent};
use crate::history::{History, NEVER, Op};
use crate::model::Unfit;
use crate::options::Options;
use crate::value::Value;
use rustc_hash::FxHashMap;
use serde_json::Value as Json;

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

/// Where an order of two versions comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Initial,
    Transactions,
    Wfr,
    Sequential,
    Linearizable,
}

impl Source {
    const fn words(self) -> &'static str {
        match self {
            Self::Initial => "every value comes after the initial nil",
            Self::Transactions => "by the given order of transactions",
            Self::Wfr => "it was written after the other was read, in one transaction",
            Self::Sequential => "the same process saw it later",
            Self::Linearizable => "it was seen later in real time",
        }
    }
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

    /// The last version that an acknowledged operation leaves, or the first that it meets.
    fn leaves(shown: &Shown) -> u32 {
        if shown.write == NONE { shown.read } else { shown.write }
    }
    fn meets(&self, op: &Op, shown: &Shown) -> u32 {
        let initial = shown.read < self.mops.keys.len() as u32;
        if !op.is_ok() || shown.read == NONE || (initial && shown.write != NONE) {
            shown.write
        } else {
            shown.read
        }
    }

    /// The order of versions from every source that the options allow.
    pub fn versions(
        &self,
        options: &Options,
        cases: &mut Cases,
        budget: &Budget,
    ) -> Result<Result<Versions, Spent>, Unfit> {
        let mut sources = vec![(Source::Initial, self.initial())];
        if let Some(order) = &options.transaction_order {
            sources.push((Source::Transactions, self.by_transactions(order)?));
        }
        if options.wfr_keys {
            sources.push((Source::Wfr, self.wfr()));
        }
        let timed = !self.history.completions_only;
        if options.sequential_keys && timed {
            sources.push((Source::Sequential, self.sequential()));
        }
        if options.linearizable_keys && timed {
            sources.push((Source::Linearizable, self.linearizable()));
        }
        let mut kept: Vec<Before> = Vec::new();
        for (source, mut found) in sources {
            let before = kept.len();
            kept.append(&mut found);
            let steps = kept.len() as u64;
            if let Err(spent) = budget.spend(steps).and_then(|()| budget.hold(steps * 40)) {
                return Ok(Err(spent));
            }
            // Nothing precedes the initial versions yet.
            if source == Source::Initial {
                continue;
            }
            kept.sort_unstable();
            match self.circular(&kept, cases, budget) {
                Ok(false) => {}
                Ok(true) => kept.retain(|edge| edge.source != source),
                Err(spent) => return Ok(Err(spent)),
            }
            debug_assert!(kept.len() >= before);
        }
        kept.sort_unstable();
        kept.dedup_by_key(|edge| (edge.from, edge.to));
        Ok(Ok(Versions(kept)))
    }

    fn initial(&self) -> Vec<Before> {
        let mut found = Vec::new();
        for op in 0..self.history.ops.len() as u32 {
            for shown in self.shown_by(op) {
                for to in [shown.write, shown.read] {
                    if to != NONE && to != shown.key {
                        found.push(Before { from: shown.key, to, source: Source::Initial, by: [NONE, op] });
                    }
                }
            }
        }
        found.sort_unstable();
        found.dedup_by_key(|edge| (edge.from, edge.to));
        found
    }

    /// Writes of a key in the order of their transactions. They are named by the index of their completion, which
    /// is also the index of an operation where the history holds completions alone.
    fn by_transactions(&self, order: &Json) -> Result<Vec<Before>, Unfit> {
        let ranks = ranks(order)?;
        let mut writes: Vec<(u32, i128, u32, u32)> = Vec::new();
        for (op, known) in self.history.ops.iter().enumerate() {
            let rank = ranks.get(&known.index).or_else(|| ranks.get(&u64::from(known.end)));
            let Some(rank) = rank.filter(|_| known.may_have_happened()) else { continue };
            for shown in self.shown_by(op as u32).iter().filter(|shown| shown.write != NONE) {
                writes.push((shown.key, *rank, op as u32, shown.write));
            }
        }
        writes.sort_unstable();
        let pairs = writes.windows(2).filter(|pair| pair[0].0 == pair[1].0 && pair[0].3 != pair[1].3);
        Ok(pairs
            .map(|pair| Before {
                from: pair[0].3,
                to: pair[1].3,
                source: Source::Transactions,
                by: [pair[0].2, pair[1].2],
            })
            .collect())
    }

    fn wfr(&self) -> Vec<Before> {
        let mut found = Vec::new();
        for (op, known) in self.history.ops.iter().enumerate().filter(|(_, op)| op.is_ok()) {
            let both = |shown: &&Shown| {
                shown.read != NONE && shown.write != NONE && shown.read != shown.key && known.is_ok()
            };
            for shown in self.shown_by(op as u32).iter().filter(both) {
                if shown.read != shown.write {
                    let by = [op as u32; 2];
                    found.push(Before { from: shown.read, to: shown.write, source: Source::Wfr, by });
                }
            }
        }
        found
    }

    fn sequential(&self) -> Vec<Before> {
        let mut last: FxHashMap<(u64, u32), (u32, u32)> = FxHashMap::default();
        let mut found = Vec::new();
        for (op, known) in self.history.ops.iter().enumerate().filter(|(_, op)| op.is_ok()) {
            for shown in self.shown_by(op as u32) {
                let (at, to) = ((known.process.word(), shown.key), self.meets(known, shown));
                if let Some((before, from)) = last.insert(at, (op as u32, Self::leaves(shown)))
                    && from != to
                {
                    let by = [before, op as u32];
                    found.push(Before { from, to, source: Source::Sequential, by });
                }
            }
        }
        found
    }

    /// Each operation on a key is followed by those asked next after its answer, until one of them is answered.
    fn linearizable(&self) -> Vec<Before> {
        let ops = &self.history.ops;
        let mut answers: Vec<u32> = (0..ops.len() as u32).filter(|op| ops[*op as usize].is_ok()).collect();
        answers.retain(|op| ops[*op as usize].ret != NEVER);
        answers.sort_unstable_by_key(|op| ops[*op as usize].ret);
        let mut answers = answers.into_iter().peekable();
        let mut latest: Vec<Vec<(u32, u32)>> = vec![Vec::new(); self.mops.keys.len()];
        let mut found = Vec::new();
        for (op, known) in ops.iter().enumerate() {
            while let Some(answer) = answers.next_if(|answer| ops[*answer as usize].ret < known.call) {
                for shown in self.shown_by(answer) {
                    let latest = &mut latest[shown.key as usize];
                    latest.retain(|(before, _)| ops[*before as usize].ret > ops[answer as usize].call);
                    latest.push((answer, Self::leaves(shown)));
                }
            }
            for shown in self.shown_by(op as u32) {
                let to = self.meets(known, shown);
                for (before, from) in &latest[shown.key as usize] {
                    if to != NONE && *from != to {
                        let by = [*before, op as u32];
                        found.push(Before { from: *from, to, source: Source::Linearizable, by });
                    }
                }
            }
        }
        found
    }

    /// Reports every circle in the order of versions.
    fn circular(&self, edges: &[Before], cases: &mut Cases, budget: &Budget) -> Result<bool, Spent> {
        let versions = self.writer.len();
        let graph = Edges::build(versions, budget, |emit| {
            edges.iter().for_each(|edge| emit(edge.from, edge.to, 1));
            Ok(())
        })?;
        let rows = Rows { nodes: versions, edges: &graph };
        let components = Components::find(&rows, budget)?;
        let groups = components.nontrivial(versions);
        for members in &groups {
            let inside = |version: u32| members.binary_search(&version).is_ok();
            let circle = circle(&graph, members[0], inside);
            let next = |at: usize| circle[(at + 1) % circle.len()];
            let steps: Vec<&Before> = (0..circle.len())
                .filter_map(|at| edges.iter().find(|edge| (edge.from, edge.to) == (circle[at], next(at))))
                .collect();
            let mut ops: Vec<usize> = steps
                .iter()
                .flat_map(|edge| edge.by)
                .filter(|op| *op != NONE)
                .map(|op| op as usize)
                .collect();
            ops.sort_unstable();
            ops.dedup();
            let key = self.show_key(self.version_key[members[0] as usize]);
            cases.add("cyclic-versions", Some(key.clone()), &ops, || {
                let told = steps.iter().map(|edge| {
                    let (from, to) = (self.show(edge.from), self.show(edge.to));
                    format!("{key}: {to} is later than {from}, as {}", edge.source.words())
                });
                told.collect()
            });
        }
        Ok(!groups.is_empty())
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

/// Ranks of transactions from `{"3": 1, "5": 2}` or `[[3, 1], [5, 2]]`.
fn ranks(order: &Json) -> Result<FxHashMap<u64, i128>, Unfit> {
    let unfit = || Unfit("transaction-order is a map of the index of a completion to a number".into());
    let number = |json: &Json| json.as_i64().map(i128::from).or_else(|| json.as_u64().map(i128::from));
    match order {
        Json::Object(fields) => fields
            .iter()
            .map(|(index, rank)| Ok((index.parse().map_err(|_| unfit())?, number(rank).ok_or_else(unfit)?)))
            .collect(),
        Json::Array(pairs) => pairs
            .iter()
            .map(|pair| match pair.as_array().map(Vec::as_slice) {
                Some([index, rank]) => {
                    Ok((index.as_u64().ok_or_else(unfit)?, number(rank).ok_or_else(unfit)?))
                }
                _ => Err(unfit()),
            })
            .collect(),
        _ => Err(unfit()),
    }
}

struct Rows<'a> {
    nodes: usize,
    edges: &'a Edges,
}

impl Successors for Rows<'_> {
    fn nodes(&self) -> usize {
        self.nodes
    }
    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        *cursor += 1;
        self.edges.target_at(node, *cursor - 1)
    }
}

/// A shortest circle through a node, over the nodes inside.
fn circle(graph: &Edges, start: u32, inside: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut parent: FxHashMap<u32, u32> = FxHashMap::default();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for (to, _) in graph.of(node).filter(|(to, _)| inside(*to)) {
            if to == start {
                let mut circle = vec![node];
                let mut at = node;
                while at != start {
                    at = parent[&at];
                    circle.push(at);
                }
                circle.reverse();
                return circle;
            }
            parent.entry(to).or_insert_with(|| {
                queue.push_back(to);
                node
            });
        }
    }
    vec![start]
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
