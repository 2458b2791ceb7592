//! Cycles of dependencies within one strongly connected component, by their kind.
//!
//! Which kinds there are, what each may consist of and which makes another needless to look for follows Elle's
//! cycle specifications (`elle.txn`, after Adya's thesis, chapters 3 to 5): G0 is a cycle of ww, G1c of ww and wr;
//! G-single has exactly one rw beside them, G-nonadjacent several with others between, G2-item several, two of
//! them in a row; the process and realtime variants may use the order of clients or of time as well. A pair that
//! depends in several ways counts as the first of ww, wr, rw, order: a cycle through it is then at least that bad.
//!
//! Each kind is looked for among those components only that can hold it: for ww and wr, components of that
//! subgraph; for non-adjacent rw, components of its product with "the last step was rw", which is also how
//! snapshot isolation is decided (Cerone and Gotsman, PODC 2016). Within those, the shortest cycle by breadth
//! first search from every start, each search cut at the length of the best so far, until [`POLISH`] steps are
//! spent. For G-single, which no component decides, 64 starts at a time are then followed through the condensed
//! graph. All steps are taken from the budget.

use super::graph::{Components, Edges, NONE, Order, PROCESS, REALTIME, RW, Successors, WR, WW};
use crate::budget::{Budget, Spent};
use crate::history::{History, NEVER};

/// How many steps a search goes on for a shorter cycle than the one it has.
const POLISH: u64 = 1_000_000;

/// Cycles longer than this are told as they were found.
const LONG: usize = 4096;

/// One component, its operations renumbered.
#[derive(Debug)]
pub struct Local {
    /// The operations, in order.
    pub ops: Vec<u32>,
    start: Vec<u32>,
    to: Vec<u32>,
    kinds: Vec<u8>,
    precedence: Precedence,
}

/// A cycle of a kind; each operation leads to the next, the last to the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    pub name: &'static str,
    /// Whether a worse cycle of the component reads as this kind too, its pairs taken as any of their kinds: then
    /// this one says little that the worse one does not.
    pub overshadowed: bool,
    /// All kinds of the pair of each step.
    kinds: Vec<u8>,
    /// Each operation with the kind of its step to the next.
    pub steps: Vec<(u32, u8)>,
}

/// What is found in one component.
#[derive(Debug, Default)]
pub struct Found {
    pub cycles: Vec<Cycle>,
    /// Models that a cycle rules out, as `PL-SI-cycle-exists` and the like, with such a cycle.
    pub exists: Vec<Cycle>,
}

/// How often a cycle may use rw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anti {
    Never,
    Once,
    NotTwiceInARow,
    Freely,
}

const fn first(kinds: u8) -> u8 {
    kinds & kinds.wrapping_neg()
}

/// What a pair of several kinds counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precedence {
    /// ww before wr: where versions are read off lists, an order of writes is as certain as a read.
    WritesFirst,
    /// wr before ww: where an order of writes is inferred, a read is more certain.
    ReadsFirst,
}

impl Local {
    /// `places` is scratch, one entry for each operation of the history, all [`NONE`] before and after.
    pub fn new(
        history: &History,
        data: &Edges,
        order: &Order,
        members: Vec<u32>,
        precedence: Precedence,
        places: &mut [u32],
    ) -> Self {
        for (place, op) in members.iter().enumerate() {
            places[*op as usize] = place as u32;
        }
        let mut pairs: Vec<(u32, u32, u8)> = Vec::new();
        for (place, op) in members.iter().enumerate() {
            for (to, kind) in data.of(*op) {
                if places[to as usize] != NONE {
                    pairs.push((place as u32, places[to as usize], kind));
                }
            }
            if let Some(next) = order.next_of_process(*op).filter(|next| places[*next as usize] != NONE) {
                pairs.push((place as u32, places[next as usize], PROCESS));
            }
        }
        for op in &members {
            places[*op as usize] = NONE;
        }
        if order.kind() == REALTIME {
            realtime_pairs(history, &members, &mut pairs);
        }
        pairs.sort_unstable();
        let mut start = vec![0u32; members.len() + 1];
        let (mut to, mut kinds): (Vec<u32>, Vec<u8>) = (Vec::new(), Vec::new());
        let mut before = (NONE, NONE);
        for (from, target, kind) in pairs {
            if before == (from, target) {
                *kinds.last_mut().expect("the pair before") |= kind;
                continue;
            }
            before = (from, target);
            to.push(target);
            kinds.push(kind);
            start[from as usize + 1] += 1;
        }
        for place in 0..members.len() {
            start[place + 1] += start[place];
        }
        Self { ops: members, start, to, kinds, precedence }
    }
    const fn first(&self, kinds: u8) -> u8 {
        match self.precedence {
            Precedence::ReadsFirst if kinds & WR != 0 => WR,
            _ => first(kinds),
        }
    }
    fn row(&self, node: u32) -> std::ops::Range<usize> {
        self.start[node as usize] as usize..self.start[node as usize + 1] as usize
    }
    fn kinds_of(&self, from: u32, to: u32) -> u8 {
        let row = self.row(from);
        let at = self.to[row.clone()].binary_search(&to).expect("a step of the cycle is an edge");
        self.kinds[row.start + at]
    }
}

/// Adds the order in time among the members without the pairs that others imply: each answered operation leads to
/// those asked before another answer of one asked after it.
fn realtime_pairs(history: &History, members: &[u32], pairs: &mut Vec<(u32, u32, u8)>) {
    let op = |member: u32| &history.ops[members[member as usize] as usize];
    let mut answers: Vec<u32> =
        (0..members.len() as u32).filter(|m| op(*m).is_ok() && op(*m).ret != NEVER).collect();
    answers.sort_unstable_by_key(|member| op(*member).ret);
    let mut answers = answers.into_iter().peekable();
    let mut latest: Vec<u32> = Vec::new();
    for member in 0..members.len() as u32 {
        let call = op(member).call;
        while let Some(answer) = answers.next_if(|answer| op(*answer).ret < call) {
            latest.retain(|before| op(*before).ret > op(answer).call);
            latest.push(answer);
        }
        pairs.extend(latest.iter().map(|before| (*before, member, REALTIME)));
    }
}

/// A subgraph, or its product with "the last step was rw".
struct View<'a> {
    local: &'a Local,
    /// Kinds that may be used at any time.
    plain: u8,
    anti: Anti,
    /// Whether a pair of several kinds counts as the first of them.
    by_first: bool,
}

impl View<'_> {
    fn kinds(&self, edge: usize) -> u8 {
        let kinds = self.local.kinds[edge];
        if self.by_first { self.local.first(kinds) } else { kinds }
    }
}

impl Successors for View<'_> {
    fn nodes(&self) -> usize {
        self.local.ops.len() * if self.anti == Anti::NotTwiceInARow { 2 } else { 1 }
    }
    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let product = self.anti == Anti::NotTwiceInARow;
        let (place, taken) = if product { (node / 2, node % 2 == 1) } else { (node, false) };
        let row = self.local.row(place);
        loop {
            // Two tries for each edge: as a plain step, then as rw.
            let edge = row.start + (*cursor / 2) as usize;
            if edge >= row.end {
                return None;
            }
            let as_anti = *cursor % 2 == 1;
            *cursor += 1;
            let (kinds, to) = (self.kinds(edge), self.local.to[edge]);
            if !as_anti && kinds & self.plain != 0 {
                return Some(if product { to * 2 } else { to });
            }
            if as_anti && product && !taken && kinds & RW != 0 {
                return Some(to * 2 + 1);
            }
            if as_anti && self.anti == Anti::Freely && kinds & RW != 0 && kinds & self.plain == 0 {
                return Some(to);
            }
        }
    }
}

/// Room for breadth first searches.
struct Search<'a> {
    local: &'a Local,
    budget: &'a Budget,
    stamp: u32,
    seen: Vec<u32>,
    parent: Vec<u32>,
    queue: Vec<u32>,
    work: u64,
}

impl<'a> Search<'a> {
    fn new(local: &'a Local, budget: &'a Budget) -> Self {
        let states = local.ops.len() * 2;
        Self {
            local,
            budget,
            stamp: 0,
            seen: vec![0; states],
            parent: vec![NONE; states],
            queue: Vec::new(),
            work: 0,
        }
    }

    /// The shortest walk between two nodes of the view, of fewer than `limit` steps, as nodes without the last.
    fn walk(&mut self, view: &View, from: u32, to: u32, limit: usize) -> Result<Option<Vec<u32>>, Spent> {
        self.stamp += 1;
        self.queue.clear();
        self.queue.push(from);
        // The start is not marked: the way back to it is what is looked for when `from == to`.
        let (mut head, mut layer_end, mut depth) = (0, 1, 0);
        while head < self.queue.len() && depth + 1 < limit {
            let node = self.queue[head];
            head += 1;
            let (mut cursor, mut steps) = (0, 0);
            while let Some(next) = view.next(node, &mut cursor) {
                steps += 1;
                if next == to {
                    let mut back = vec![node];
                    let mut at = node;
                    while at != from {
                        at = self.parent[at as usize];
                        back.push(at);
                    }
                    back.reverse();
                    return Ok(Some(back));
                }
                if self.seen[next as usize] != self.stamp && next != from {
                    self.seen[next as usize] = self.stamp;
                    self.parent[next as usize] = node;
                    self.queue.push(next);
                }
            }
            self.work += steps + 1;
            self.budget.spend(steps + 1)?;
            if head == layer_end {
                layer_end = self.queue.len();
                depth += 1;
            }
        }
        Ok(None)
    }

    /// The shortest cycle in which only `plain` kinds occur beside rw as allowed, with at least one rw unless none
    /// is allowed.
    fn cycle(&mut self, plain: u8, anti: Anti, by_first: bool) -> Result<Option<Vec<u32>>, Spent> {
        self.work = 0;
        let local = self.local;
        let nodes = local.ops.len() as u32;
        let shape = if anti == Anti::Once { Anti::NotTwiceInARow } else { anti };
        let product = shape == Anti::NotTwiceInARow;
        let whole = View { local, plain, anti: shape, by_first };
        let components = Components::find(&whole, self.budget)?;
        let mut best: Option<Vec<u32>> = None;
        if anti == Anti::Never {
            let mut sizes = vec![0u32; components.count as usize];
            components.of.iter().for_each(|component| sizes[*component as usize] += 1);
            let mut starts: Vec<u32> =
                (0..nodes).filter(|node| sizes[components.of[*node as usize] as usize] > 1).collect();
            // Cycles are the shorter the smaller their component is.
            starts.sort_by_key(|node| (sizes[components.of[*node as usize] as usize], *node));
            for node in starts {
                let limit = best.as_ref().map_or(usize::MAX, Vec::len);
                if let Some(found) = self.walk(&whole, node, node, limit)? {
                    best = Some(found);
                }
                if best.as_ref().is_some_and(|best| best.len() == 2 || self.work > POLISH) {
                    break;
                }
            }
            return Ok(best);
        }
        let inner = View { local, plain, anti: Anti::Never, by_first };
        let walks = if anti == Anti::Once { &inner } else { &whole };
        let mut starts: Vec<(u32, u32)> = Vec::new();
        for from in 0..nodes {
            for edge in local.row(from) {
                let to = local.to[edge];
                let (a, b) = if product { (from * 2, to * 2 + 1) } else { (from, to) };
                if whole.kinds(edge) & RW != 0 && components.of[a as usize] == components.of[b as usize] {
                    starts.push((from, to));
                }
            }
        }
        // Components are numbered against the direction of edges: a way back can only lead downwards.
        let inner_components =
            if anti == Anti::Once { Some(Components::find(&inner, self.budget)?) } else { None };
        if let Some(Components { of, .. }) = &inner_components {
            starts.retain(|(from, to)| of[*to as usize] >= of[*from as usize]);
        }
        for (tried, (from, to)) in starts.iter().enumerate() {
            // The step of rw itself comes on top.
            let limit = best.as_ref().map_or(usize::MAX, |best| best.len() - 1);
            let doubled = anti == Anti::NotTwiceInARow;
            let ends = if doubled { (to * 2 + 1, from * 2) } else { (*to, *from) };
            if let Some(mut found) = self.walk(walks, ends.0, ends.1, limit)? {
                if doubled {
                    found.iter_mut().for_each(|node| *node /= 2);
                }
                found.insert(0, *from);
                if is_simple(&found) {
                    best = Some(found);
                }
            }
            if best.as_ref().is_some_and(|best| best.len() == 2 || self.work > POLISH) {
                break;
            }
            if best.is_none()
                && self.work > POLISH
                && let Some(components) = &inner_components
            {
                if let Some((from, to)) = self.reached(&inner, components, &starts[tried + 1..])? {
                    best = self.walk(&inner, to, from, usize::MAX)?.map(|mut found| {
                        found.insert(0, from);
                        found
                    });
                }
                break;
            }
        }
        Ok(best)
    }

    /// The first of these pairs whose second leads back to its first, 64 of them at a time.
    fn reached(
        &mut self,
        view: &View,
        components: &Components,
        pairs: &[(u32, u32)],
    ) -> Result<Option<(u32, u32)>, Spent> {
        let mut nodes: Vec<u32> = (0..self.local.ops.len() as u32).collect();
        nodes.sort_by_key(|node| std::cmp::Reverse(components.of[*node as usize]));
        let mut reach = vec![0u64; components.count as usize];
        for batch in pairs.chunks(64) {
            reach.fill(0);
            for (bit, (_, to)) in batch.iter().enumerate() {
                reach[components.of[*to as usize] as usize] |= 1 << bit;
            }
            for node in &nodes {
                let bits = reach[components.of[*node as usize] as usize];
                if bits == 0 {
                    continue;
                }
                let mut cursor = 0;
                while let Some(next) = view.next(*node, &mut cursor) {
                    reach[components.of[next as usize] as usize] |= bits;
                }
            }
            self.budget.spend((nodes.len() + self.local.to.len()) as u64 / 16)?;
            let hit = |(bit, (from, _)): &(usize, &(u32, u32))| {
                reach[components.of[*from as usize] as usize] >> bit & 1 == 1
            };
            if let Some((_, pair)) = batch.iter().enumerate().find(hit) {
                return Ok(Some(*pair));
            }
        }
        Ok(None)
    }
}

fn is_simple(cycle: &[u32]) -> bool {
    let mut sorted = cycle.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// The names of a kind of cycle by the order that it uses: none, of processes, in real time.
type Variants = [&'static str; 3];
const G0: Variants = ["G0", "G0-process", "G0-realtime"];
const G1C: Variants = ["G1c", "G1c-process", "G1c-realtime"];
const SINGLE: Variants = ["G-single-item", "G-single-item-process", "G-single-item-realtime"];
const NONADJACENT: Variants =
    ["G-nonadjacent-item", "G-nonadjacent-item-process", "G-nonadjacent-item-realtime"];
const G2: Variants = ["G2-item", "G2-item-process", "G2-item-realtime"];

/// What may be looked for, the worst first.
const KINDS: [(&Variants, u8, Anti); 5] = [
    (&G0, WW, Anti::Never),
    (&G1C, WW | WR, Anti::Never),
    (&SINGLE, WW | WR, Anti::Once),
    (&NONADJACENT, WW | WR, Anti::NotTwiceInARow),
    (&G2, WW | WR, Anti::Freely),
];

/// The name of a cycle by the kinds of its steps.
fn name(steps: &[(u32, u8)]) -> &'static str {
    let count = |kind: u8| steps.iter().filter(|(_, step)| *step == kind).count();
    let adjacent = (0..steps.len()).any(|at| steps[at].1 == RW && steps[(at + 1) % steps.len()].1 == RW);
    let names = match count(RW) {
        0 if count(WR) > 0 => &G1C,
        0 => &G0,
        1 => &SINGLE,
        _ if adjacent => &G2,
        _ => &NONADJACENT,
    };
    names[if count(REALTIME) > 0 { 2 } else { usize::from(count(PROCESS) > 0) }]
}

/// The models that a cycle of certain steps rules out, without and with each order. The names are Elle's.
const EXISTS: [([&str; 3], u8, Anti); 5] = [
    (["PL-1", "strong-session-PL-1", "strong-PL-1"], WW, Anti::Never),
    (["PL-2", "strong-session-PL-2", "strong-PL-2"], WW | WR, Anti::Never),
    (
        ["PL-SI", "strong-session-snapshot-isolation", "strong-snapshot-isolation"],
        WW | WR,
        Anti::NotTwiceInARow,
    ),
    (["PL-2.99", "", ""], WW | WR, Anti::Freely),
    (["PL-3", "strong-session-serializable", "PL-SS"], WW | WR, Anti::Freely),
];

/// Everything that is wrong in a component, each kind once unless a worse one implies it.
pub fn search(history: &History, local: &Local, order: u8, budget: &Budget) -> Result<Found, (Found, Spent)> {
    let mut found = Found::default();
    let outcome = fill(local, order, budget, &mut found);
    for cycle in found.cycles.iter_mut().chain(&mut found.exists) {
        cycle.shorten(history, local);
    }
    match outcome {
        Ok(()) => Ok(found),
        Err(spent) => Err((found, spent)),
    }
}

fn fill(local: &Local, order: u8, budget: &Budget, found: &mut Found) -> Result<(), Spent> {
    let mut search = Search::new(local, budget);
    let mut implied = std::collections::BTreeSet::new();
    let variant = match order {
        0 => 0,
        PROCESS => 1,
        _ => 2,
    };
    for used in [0, variant] {
        let extra = if used == 0 { 0 } else { order };
        for (names, plain, anti) in KINDS {
            if implied.contains(names[used]) {
                continue;
            }
            let Some(nodes) = search.cycle(plain | extra, anti, true)? else { continue };
            let mut cycle = Cycle::of(local, &nodes, None);
            // A search finds a cycle of at least the kind it looked for; the same cycle twice says nothing new.
            if !implied.contains(cycle.name) {
                implied.extend(super::lattice::implied_by([cycle.name]));
                cycle.overshadowed = found.cycles.iter().any(|worse| worse.reads_as(plain | extra, anti));
                found.cycles.push(cycle);
            }
        }
        if variant == 0 {
            break;
        }
    }
    // A pair that depends in several ways was taken as the first of them; here as any of them.
    let mut ruled_out = super::lattice::impossible(found.cycles.iter().map(|cycle| cycle.name));
    for used in [0, variant] {
        let extra = if used == 0 { 0 } else { order };
        for (models, plain, anti) in EXISTS {
            let Some(model) = super::lattice::canonical(models[used]) else { continue };
            if ruled_out.contains(model) {
                continue;
            }
            let Some(nodes) = search.cycle_or_plain(plain | extra, anti)? else { continue };
            let exists = super::lattice::anomaly_named(&format!("{model}-cycle-exists"));
            let exists = exists.expect("the table has one for each of these models");
            ruled_out.extend(super::lattice::impossible([exists]));
            found.exists.push(Cycle { name: exists, ..Cycle::of(local, &nodes, Some(plain | extra)) });
        }
        if variant == 0 {
            break;
        }
    }
    Ok(())
}

impl Search<'_> {
    /// Any cycle of these steps, taking each pair as any of its kinds.
    fn cycle_or_plain(&mut self, plain: u8, anti: Anti) -> Result<Option<Vec<u32>>, Spent> {
        if let Some(found) = self.cycle(plain, Anti::Never, false)? {
            return Ok(Some(found));
        }
        if anti == Anti::Never { Ok(None) } else { self.cycle(plain, anti, false) }
    }
}

impl Cycle {
    /// With the smallest operation first. A step counts as the first of its kinds, or else of those `preferred`.
    fn of(local: &Local, nodes: &[u32], preferred: Option<u8>) -> Self {
        let smallest = (0..nodes.len()).min_by_key(|at| nodes[*at]).unwrap_or(0);
        let at = |place: usize| nodes[(smallest + place) % nodes.len()];
        let steps: Vec<(u32, u8)> = (0..nodes.len())
            .map(|place| {
                let kinds = local.kinds_of(at(place), at(place + 1));
                let kind = local.first(kinds & preferred.unwrap_or(kinds));
                (local.ops[at(place) as usize], if kind == 0 { local.first(kinds) } else { kind })
            })
            .collect();
        let kinds = (0..nodes.len()).map(|place| local.kinds_of(at(place), at(place + 1))).collect();
        Self { name: name(&steps), overshadowed: false, kinds, steps }
    }

    /// Takes time in one step where it took several, or went through data: of the order in time only the pairs
    /// that no other implies are edges. What makes the cycle of its kind is kept.
    fn shorten(&mut self, history: &History, local: &Local) {
        let len = self.steps.len();
        if len > LONG || !self.steps.iter().any(|(_, kind)| *kind == REALTIME) {
            return;
        }
        let rarest = [RW, WR, WW].into_iter().find(|kind| self.steps.iter().any(|(_, step)| step == kind));
        let Some(start) = self.steps.iter().position(|(_, step)| Some(*step) == rarest) else { return };
        self.steps.rotate_left(start);
        self.kinds.rotate_left(start);
        // Only one ww or wr is needed, but every rw: without one of several the cycle would be of another kind.
        let fixed = |at: usize| at == 0 || (rarest == Some(RW) && self.steps[at].1 == RW);
        let op = |at: usize| &history.ops[self.steps[at % len].0 as usize];
        let local_place = |at: usize| local.ops.binary_search(&self.steps[at % len].0).ok();
        let free = |from: usize, to: usize| {
            let places = local_place(from).zip(local_place(to));
            places.is_some_and(|(from, to)| {
                let row = local.row(from as u32);
                let at = local.to[row.clone()].binary_search(&(to as u32));
                at.is_ok_and(|at| local.kinds[row.start + at] == REALTIME) || at.is_err()
            })
        };
        let (mut steps, mut kinds, mut at) = (Vec::new(), Vec::new(), 0);
        while at < len {
            let mut next = at + 1;
            let mut kind = self.steps[at].1;
            if !fixed(at) {
                // As far as the next step that is kept, and back to the start at most.
                let end = (at + 1..len).find(|later| fixed(*later)).unwrap_or(len);
                let before = |to: &usize| op(at).is_ok() && op(at).ret < op(*to).call && free(at, *to);
                if let Some(far) = (at + 2..=end).rev().find(before) {
                    (next, kind) = (far, REALTIME);
                }
            }
            steps.push((self.steps[at].0, kind));
            kinds.push(if next == at + 1 { self.kinds[at] } else { REALTIME });
            at = next;
        }
        let first = (0..steps.len()).min_by_key(|at| steps[*at].0).unwrap_or(0);
        steps.rotate_left(first);
        kinds.rotate_left(first);
        if steps.iter().any(|(_, kind)| *kind == REALTIME) {
            (self.steps, self.kinds) = (steps, kinds);
        }
    }

    /// Whether it is also a cycle of `plain` kinds with rw as often as allowed, and at least once.
    fn reads_as(&self, plain: u8, anti: Anti) -> bool {
        let anti_only = |kinds: &&u8| **kinds & plain == 0;
        let possible = self.kinds.iter().filter(|kinds| **kinds & RW != 0).count();
        let forced = self.kinds.iter().filter(anti_only).count();
        let all_fit = self.kinds.iter().all(|kinds| kinds & (plain | RW) != 0);
        match anti {
            Anti::Never => false,
            Anti::Once => all_fit && possible > 0 && forced <= 1,
            Anti::NotTwiceInARow | Anti::Freely => all_fit && possible > 1,
        }
    }
}
