//! The order of the versions of registers, from each source that the caller allows.
//!
//! Sources are added in the order of [`Source`], each whole or not at all: one whose pairs would make the order of a
//! key circular is reported and left out, as Elle does (`elle.rw-register`), since nothing says which of them to keep.

use super::{Before, Registers, Shown, Versions};
use crate::budget::{Budget, Spent};
use crate::history::{NEVER, Op};
use crate::model::Unfit;
use crate::options::Options;
use crate::txn::graph::{Components, Edges, NONE, Successors};
use crate::txn::report::Cases;
use rustc_hash::FxHashMap;
use serde_json::Value as Json;

/// Where an order of two versions comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Initial,
    Transactions,
    Wfr,
    Sequential,
    Linearizable,
}

impl Source {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Initial => "every value comes after the initial nil",
            Self::Transactions => "by the given order of transactions",
            Self::Wfr => "it was written after the other was read, in one transaction",
            Self::Sequential => "the same process saw it later",
            Self::Linearizable => "it was seen later in real time",
        }
    }
}

impl Registers<'_> {
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
