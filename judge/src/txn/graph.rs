//! Dependencies between transactions as a graph, and its strongly connected components.
//!
//! A node is an operation by its place in the history. Data dependencies (Adya's ww, wr and rw) are kept as
//! compressed rows: four bytes for a target and one for the kinds. The order in real time has as many pairs as the
//! square of the history, so it is not kept at all: between the last answer of a run of answers and the next
//! request stands a *barrier*; an answered operation leads to the barrier behind it, each barrier to the next
//! and to the operations asked before the next. That is linear, and reaches exactly the pairs where one was
//! answered before the other was asked. Components are found by Tarjan's algorithm without recursion.

use crate::budget::{Budget, Spent};
use crate::history::{History, NEVER};
use rustc_hash::FxHashMap;

/// Kinds of dependencies, as bits; where a pair has several, the lowest names it.
pub const WW: u8 = 1;
pub const WR: u8 = 2;
pub const RW: u8 = 4;
pub const PROCESS: u8 = 8;
pub const REALTIME: u8 = 16;

/// No node.
pub const NONE: u32 = u32::MAX;

/// Data dependencies by their source.
#[derive(Debug, Default)]
pub struct Edges {
    start: Vec<u32>,
    to: Vec<u32>,
    kind: Vec<u8>,
}

impl Edges {
    /// `emit` is run twice, once to count and once to keep, and must say the same both times.
    pub fn build(
        nodes: usize,
        budget: &Budget,
        mut emit: impl FnMut(&mut dyn FnMut(u32, u32, u8)) -> Result<(), Spent>,
    ) -> Result<Self, Spent> {
        let mut start = vec![0u32; nodes + 1];
        let mut total = 0u64;
        emit(&mut |from, to, _| {
            if from != to {
                start[from as usize + 1] += 1;
                total += 1;
            }
        })?;
        budget.hold(total * 5 + nodes as u64 * 8)?;
        if total >= u64::from(u32::MAX) {
            return Err(Spent::Memory((total * 5) >> 20));
        }
        for node in 0..nodes {
            start[node + 1] += start[node];
        }
        let (mut to, mut kind) = (vec![0u32; total as usize], vec![0u8; total as usize]);
        let mut next = start.clone();
        emit(&mut |from, target, bits| {
            if from != target {
                let at = next[from as usize] as usize;
                to[at] = target;
                kind[at] = bits;
                next[from as usize] += 1;
            }
        })?;
        Ok(Self { start, to, kind })
    }
    pub fn len(&self) -> usize {
        self.to.len()
    }
    pub fn is_empty(&self) -> bool {
        self.to.is_empty()
    }
    pub fn of(&self, node: u32) -> impl Iterator<Item = (u32, u8)> + '_ {
        let range = self.start[node as usize] as usize..self.start[node as usize + 1] as usize;
        self.to[range.clone()].iter().copied().zip(self.kind[range].iter().copied())
    }
    /// The target at a place of a row, if the row is that long.
    pub fn target_at(&self, node: u32, place: u32) -> Option<u32> {
        if place < self.degree(node) { Some(self.target(node, place)) } else { None }
    }
    fn degree(&self, node: u32) -> u32 {
        self.start[node as usize + 1] - self.start[node as usize]
    }
    fn target(&self, node: u32, place: u32) -> u32 {
        self.to[(self.start[node as usize] + place) as usize]
    }
}

/// The order that a claim adds to the data: none, each client's own, or real time.
#[derive(Debug)]
pub enum Order {
    None,
    /// For each operation the next one of its process, both acknowledged.
    Process(Vec<u32>),
    Realtime(Barriers),
}

/// Real time, in a linear number of steps.
#[derive(Debug)]
pub struct Barriers {
    /// For each operation the barrier behind its answer; [`NONE`] without one.
    behind: Vec<u32>,
    /// For each barrier the first operation asked behind it; one entry more than there are barriers.
    first: Vec<u32>,
}

impl Order {
    pub fn process(history: &History) -> Self {
        let mut next = vec![NONE; history.ops.len()];
        let mut last: FxHashMap<u64, u32> = FxHashMap::default();
        for (place, op) in history.ops.iter().enumerate() {
            if op.is_ok()
                && let Some(before) = last.insert(op.process.word(), place as u32)
            {
                next[before as usize] = place as u32;
            }
        }
        Self::Process(next)
    }

    pub fn realtime(history: &History) -> Self {
        let ops = &history.ops;
        let events = ops.iter().map(|op| op.call.max(if op.ret == NEVER { 0 } else { op.ret }) + 1).max();
        let mut answered = vec![NONE; events.unwrap_or(0) as usize];
        for (place, op) in ops.iter().enumerate() {
            if op.is_ok() && op.ret != NEVER {
                answered[op.ret as usize] = place as u32;
            }
        }
        let (mut behind, mut first) = (vec![NONE; ops.len()], Vec::new());
        let mut asked = 0u32;
        for (event, op) in answered.iter().enumerate() {
            if *op != NONE {
                if first.last() != Some(&asked) {
                    first.push(asked);
                }
                behind[*op as usize] = first.len() as u32 - 1;
            }
            if ops.get(asked as usize).is_some_and(|op| op.call as usize == event) {
                asked += 1;
            }
        }
        first.push(asked);
        Self::Realtime(Barriers { behind, first })
    }

    /// Whether it orders any two operations.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::None => true,
            Self::Process(next) => next.iter().all(|next| *next == NONE),
            Self::Realtime(Barriers { first, .. }) => first.first() == first.last(),
        }
    }
    fn barriers(&self) -> usize {
        match self {
            Self::Realtime(barriers) => barriers.first.len() - 1,
            _ => 0,
        }
    }
    pub const fn kind(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Process(_) => PROCESS,
            Self::Realtime(_) => REALTIME,
        }
    }
    /// The next operation of the same process.
    pub fn next_of_process(&self, op: u32) -> Option<u32> {
        match self {
            Self::Process(next) => Some(next[op as usize]).filter(|next| *next != NONE),
            _ => None,
        }
    }
}

/// What Tarjan's algorithm walks over.
pub trait Successors {
    fn nodes(&self) -> usize;
    /// The next successor behind the cursor, which it moves; `None` at the end.
    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32>;
}

/// Data and order together: operations first, barriers behind them.
#[derive(Debug)]
pub struct Whole<'a> {
    pub ops: usize,
    pub data: &'a Edges,
    pub order: &'a Order,
}

impl Successors for Whole<'_> {
    fn nodes(&self) -> usize {
        self.ops + self.order.barriers()
    }
    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let place = *cursor;
        *cursor += 1;
        let ops = self.ops as u32;
        if node < ops {
            let degree = self.data.degree(node);
            if place < degree {
                return Some(self.data.target(node, place));
            }
            if place > degree {
                return None;
            }
            return match self.order {
                Order::None => None,
                Order::Process(next) => Some(next[node as usize]).filter(|next| *next != NONE),
                Order::Realtime(Barriers { behind, .. }) => Some(behind[node as usize])
                    .filter(|barrier| *barrier != NONE)
                    .map(|barrier| ops + barrier),
            };
        }
        let Order::Realtime(Barriers { first, .. }) = self.order else { return None };
        let barrier = (node - ops) as usize;
        let asked = first[barrier + 1] - first[barrier];
        if place < asked {
            Some(first[barrier] + place)
        } else if place == asked && barrier + 2 < first.len() {
            Some(node + 1)
        } else {
            None
        }
    }
}

/// The component of each node: components are numbered so that edges lead to the same or a lower number.
#[derive(Debug)]
pub struct Components {
    pub of: Vec<u32>,
    pub count: u32,
}

impl Components {
    /// Tarjan, "Depth-first search and linear graph algorithms" (1972), with its own stack.
    pub fn find(graph: &impl Successors, budget: &Budget) -> Result<Self, Spent> {
        let nodes = graph.nodes();
        budget.hold(nodes as u64 * 24)?;
        let mut of = vec![NONE; nodes];
        let mut low = vec![NONE; nodes];
        let mut cursor = vec![0u32; nodes];
        let (mut stack, mut path): (Vec<u32>, Vec<(u32, u32)>) = (Vec::new(), Vec::new());
        let (mut clock, mut count) = (0u32, 0u32);
        for root in 0..nodes as u32 {
            if low[root as usize] != NONE {
                continue;
            }
            low[root as usize] = clock;
            path.push((root, clock));
            stack.push(root);
            clock += 1;
            let mut work = 0;
            while let Some(&(node, index)) = path.last() {
                work += 1;
                let at = node as usize;
                if let Some(next) = graph.next(node, &mut cursor[at]) {
                    let to = next as usize;
                    if low[to] == NONE {
                        low[to] = clock;
                        path.push((next, clock));
                        stack.push(next);
                        clock += 1;
                    } else if of[to] == NONE {
                        low[at] = low[at].min(low[to]);
                    }
                    continue;
                }
                path.pop();
                if let Some(&(parent, _)) = path.last() {
                    let parent = parent as usize;
                    low[parent] = low[parent].min(low[at]);
                }
                if low[at] == index {
                    while let Some(member) = stack.pop() {
                        of[member as usize] = count;
                        if member == node {
                            break;
                        }
                    }
                    count += 1;
                }
            }
            budget.spend(work)?;
        }
        Ok(Self { of, count })
    }

    /// The members of the components with at least two of the first `limit` nodes, each in order, by their first.
    pub fn nontrivial(&self, limit: usize) -> Vec<Vec<u32>> {
        let mut size = vec![0u32; self.count as usize];
        for component in &self.of[..limit] {
            size[*component as usize] += 1;
        }
        let mut slot = vec![NONE; self.count as usize];
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for (node, component) in self.of[..limit].iter().enumerate() {
            let component = *component as usize;
            if size[component] < 2 {
                continue;
            }
            if slot[component] == NONE {
                slot[component] = groups.len() as u32;
                groups.push(Vec::with_capacity(size[component] as usize));
            }
            groups[slot[component] as usize].push(node as u32);
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::txn::{Shape, serial};

    struct Rows(Vec<Vec<u32>>);

    impl Successors for Rows {
        fn nodes(&self) -> usize {
            self.0.len()
        }
        fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
            *cursor += 1;
            self.0[node as usize].get(*cursor as usize - 1).copied()
        }
    }

    #[test]
    fn components_are_what_reaches_itself() {
        let rows = Rows(vec![vec![1], vec![2], vec![0, 3], vec![4], vec![5], vec![4], vec![]]);
        let found = Components::find(&rows, &Budget::default()).expect("within the budget");
        assert_eq!(found.nontrivial(7), [vec![0, 1, 2], vec![4, 5]]);
        assert_eq!(found.nontrivial(5), [vec![0, 1, 2]]);
        assert!(found.of[0] > found.of[3]);
    }

    #[test]
    fn barriers_reach_exactly_what_was_asked_after_an_answer() {
        for seed in 0..50 {
            let history = serial(seed, &Shape { txns: 20, ..Shape::default() });
            let data = Edges::build(history.ops.len(), &Budget::default(), |_| Ok(())).expect("empty");
            let order = Order::realtime(&history);
            let whole = Whole { ops: history.ops.len(), data: &data, order: &order };
            for (from, op) in history.ops.iter().enumerate() {
                let mut reached = vec![false; whole.nodes()];
                let mut open = vec![from as u32];
                while let Some(node) = open.pop() {
                    let mut cursor = 0;
                    while let Some(next) = whole.next(node, &mut cursor) {
                        if !std::mem::replace(&mut reached[next as usize], true) {
                            open.push(next);
                        }
                    }
                }
                for (to, other) in history.ops.iter().enumerate() {
                    let before = op.is_ok() && op.ret < other.call;
                    assert_eq!(reached[to], before, "seed {seed}: {from} to {to}");
                }
            }
        }
    }
}
