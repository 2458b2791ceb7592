//! The smallest core of a contradiction: the few operations of a long history that no order explains.
//!
//! Only what is sound is taken away, so that whoever sees the core's contradiction has seen the history's:
//! - what was called after the contradiction shows, and answers that came after it;
//! - what lies before an overwrite, when nothing kept can have seen it: reads that do not follow the overwrite
//!   go, others that overlap it may or may not have happened;
//! - a read, and what the specification calls droppable: a write that no operation of the core tells of. (A
//!   write that one tells of must stay, or that read would seem to have read what nobody wrote.)
//! - the answer of an operation, which then is one of unknown outcome.
//!
//! The result is smallest in the sense that none of the last two can be repeated, unless the budget was spent.

use super::search::{Anchor, Stuck, explain};
use super::{Kind, NEVER, Op, Spec};
use crate::Budget;
use std::ops::Range;

/// A core.
#[derive(Clone, Debug)]
pub struct Core<S> {
    /// Where its operations stand in the history, in the order of their calls.
    pub places: Vec<usize>,
    /// Of each, whether it matters only that it was called, not when or with what it returned.
    pub open: Vec<bool>,
    /// The operation whose return nothing explains, as a place in the history.
    pub stuck: usize,
    /// The states that are possible before it.
    pub states: Vec<S>,
    /// The state that the core begins in, where it does not begin at the beginning: then every order leads to
    /// it by this time.
    pub from: Option<(S, u32)>,
    /// Whether nothing more can be taken away.
    pub smallest: bool,
}

/// Steps for all tries together, and for one.
const STEPS: u64 = 40_000_000;
const STEPS_ONE: u64 = 4_000_000;
/// Tries.
const TRIES: usize = 3_000;
/// How many overwrites back a try begins, each time this many times as far.
const FARTHER: usize = 3;
/// In longer histories reads alone are dropped.
const WRITES_MAX: usize = 4_000;

struct Kept<A> {
    ops: Vec<Op<A>>,
    places: Vec<usize>,
    /// The overwrite that it begins at, by its place in the history: it stays.
    start: Option<usize>,
}

impl<A: Copy> Kept<A> {
    fn without(&self, gone: impl Fn(usize) -> bool) -> Self {
        let keep = (0..self.ops.len()).filter(|at| !gone(*at));
        let (ops, places) = keep.map(|at| (self.ops[at], self.places[at])).unzip();
        Self { ops, places, start: self.start }
    }
}

struct Tries<'a, S: Spec> {
    spec: &'a mut S,
    initial: S::State,
    budget: Budget,
    left: usize,
}

impl<S: Spec> Tries<'_, S> {
    /// `Some`: it is still contradictory. A spent budget is no contradiction.
    fn broken(&mut self, kept: &Kept<S::Act>) -> Option<Stuck<S::State>> {
        self.left = self.left.checked_sub(1)?;
        let one = Budget::new(STEPS_ONE, 256 << 20);
        let found = explain(self.spec, self.initial, &kept.ops, &one);
        self.budget.spend(one.steps_spent() + kept.ops.len() as u64).ok()?;
        found.ok().flatten()
    }
    fn spent(&self) -> bool {
        self.left == 0 || self.budget.spend(0).is_err()
    }
}

/// The same specification for histories that lose answers: an operation whose return is forgotten may find a
/// value later than it did, so what is told of at all is useful for ever.
struct Lasting<'a, S>(&'a mut S);

impl<S: Spec> Spec for Lasting<'_, S> {
    type State = S::State;
    type Act = S::Act;

    fn initial(&self) -> S::State {
        self.0.initial()
    }
    fn step(&mut self, state: S::State, act: S::Act) -> Option<S::State> {
        self.0.step(state, act)
    }
    fn kind(&self, act: S::Act) -> Kind {
        self.0.kind(act)
    }
    fn useful_until(&self, act: S::Act) -> u32 {
        if self.0.useful_until(act) == 0 { 0 } else { u32::MAX }
    }
    fn droppable(&self, act: S::Act, others: &[S::Act]) -> bool {
        self.0.droppable(act, others)
    }
}

/// Takes away from a history that got stuck whatever is not needed for that.
pub fn core<S: Spec>(spec: &mut S, ops: &[Op<S::Act>], stuck: &Stuck<S::State>) -> Core<S::State> {
    let spec = &mut Lasting(spec);
    let initial = spec.initial();
    let mut tries = Tries { spec, initial, budget: Budget::new(STEPS, u64::MAX), left: TRIES };
    let mut kept = prefix(ops, stuck.place, tries.spec);
    let mut last = stuck.clone();
    last.place = kept.places.iter().position(|place| *place == stuck.place).expect("it is its own prefix");
    let mut from = None;
    if let Some((less, found)) = recent(&mut tries, &kept, ops[stuck.place].ret) {
        (kept, last) = (less, found);
    } else if let Some(anchor) = &stuck.anchor
        && kept.ops.len() > 8
    {
        let less = after(&kept, anchor, tries.spec);
        tries.initial = anchor.state;
        if let Some(found) = tries.broken(&less) {
            (kept, last, from) = (less, found, Some((anchor.state, anchor.time)));
        } else {
            tries.initial = initial;
        }
    }
    loop {
        let before = (kept.ops.len(), kept.ops.iter().filter(|op| op.ret == NEVER).count());
        drop_some(&mut tries, &mut kept, &mut last);
        relax_some(&mut tries, &mut kept, &mut last);
        if before == (kept.ops.len(), kept.ops.iter().filter(|op| op.ret == NEVER).count()) || tries.spent() {
            break;
        }
    }
    if kept.start.is_some() && !bring_back(tries.spec, ops, &mut kept, &mut last) {
        kept.start = None;
        drop_some(&mut tries, &mut kept, &mut last);
        relax_some(&mut tries, &mut kept, &mut last);
    }
    Core {
        stuck: kept.places[last.place],
        open: kept.ops.iter().map(|op| op.ret == NEVER).collect(),
        states: last.states,
        from,
        smallest: !tries.spent(),
        places: kept.places,
    }
}

/// Adds to a core that begins at an overwrite what its reads tell of and that overwrite has replaced: without,
/// they would seem to have read what nobody wrote. All that is left of the core follows the overwrite, so it
/// stays contradictory. Whether there was anything to add.
fn bring_back<S: Spec>(
    spec: &S,
    ops: &[Op<S::Act>],
    kept: &mut Kept<S::Act>,
    last: &mut Stuck<S::State>,
) -> bool {
    let Some(start) = kept.start else { return false };
    let (stuck, before) = (kept.places[last.place], kept.places.len());
    let mut back: Vec<usize> = (0..ops.len()).filter(|at| ops[*at].ret < ops[start].call).collect();
    back.sort_by_key(|at| std::cmp::Reverse(ops[*at].ret));
    for place in back {
        let act = ops[place].act;
        let known = kept.ops.iter().any(|op| op.act == act);
        let acts: Vec<S::Act> = kept.ops.iter().map(|op| op.act).collect();
        if spec.kind(act) == Kind::Overwrite && !known && !spec.droppable(act, &acts) {
            let at = kept.places.partition_point(|other| *other < place);
            kept.places.insert(at, place);
            kept.ops.insert(at, ops[place]);
        }
    }
    last.place = kept.places.iter().position(|place| *place == stuck).expect("it was there");
    kept.places.len() > before
}

/// What was called by the time of the return that nothing explains; later answers are not known by then.
fn prefix<S: Spec>(ops: &[Op<S::Act>], stuck: usize, spec: &S) -> Kept<S::Act> {
    let until = ops[stuck].ret;
    let mut kept = Kept { ops: Vec::new(), places: Vec::new(), start: None };
    for (place, op) in ops.iter().enumerate().filter(|(_, op)| op.call <= until) {
        let ret = if op.ret <= until { op.ret } else { NEVER };
        let useful = spec.kind(op.act) != Kind::Read && spec.useful_until(op.act) >= op.call;
        if ret != NEVER || useful {
            kept.ops.push(Op { ret, ..*op });
            kept.places.push(place);
        }
    }
    kept
}

/// Begins at an overwrite shortly before the end, if the contradiction is behind it.
fn recent<S: Spec>(
    tries: &mut Tries<'_, S>,
    kept: &Kept<S::Act>,
    end: u32,
) -> Option<(Kept<S::Act>, Stuck<S::State>)> {
    let overwrites = kept.places.iter().zip(&kept.ops);
    let mut overwrites: Vec<(usize, Op<S::Act>)> = overwrites
        .filter(|(_, op)| op.ret < end && tries.spec.kind(op.act) == Kind::Overwrite)
        .map(|(place, op)| (*place, *op))
        .collect();
    overwrites.sort_by_key(|(place, op)| std::cmp::Reverse((op.call, op.ret, *place)));
    let mut back = 0;
    while let Some((place, start)) = overwrites.get(back) {
        let mut less = kept.without(|at| {
            let op = &kept.ops[at];
            op.ret < start.call || op.call <= start.ret && tries.spec.kind(op.act) == Kind::Read
        });
        for op in &mut less.ops {
            let kind = tries.spec.kind(op.act);
            if op.call <= start.ret && matches!(kind, Kind::Partial | Kind::Total) {
                op.ret = NEVER;
            }
        }
        less.start = Some(*place);
        if less.ops.len() * 2 > kept.ops.len() {
            return None;
        }
        if let Some(found) = tries.broken(&less) {
            return Some((less, found));
        }
        back = back * FARTHER + 1;
    }
    None
}

/// What is open at a point at which all orders agree, and what follows.
fn after<S: Spec>(kept: &Kept<S::Act>, anchor: &Anchor<S::State>, spec: &S) -> Kept<S::Act> {
    let mut open = anchor.open.clone();
    open.sort_unstable();
    kept.without(|at| {
        let op = &kept.ops[at];
        op.call <= anchor.time
            && (op.ret <= anchor.time || spec.kind(op.act) == Kind::Read)
            && open.binary_search(&(kept.places[at] as u32)).is_err()
    })
}

/// Drops what may be dropped, in pieces that get smaller.
fn drop_some<S: Spec>(tries: &mut Tries<'_, S>, kept: &mut Kept<S::Act>, last: &mut Stuck<S::State>) {
    let mut size = kept.ops.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.ops.len() {
            let piece = at..(at + size).min(kept.ops.len());
            let mut gone: Vec<bool> = (0..kept.ops.len()).map(|at| piece.contains(&at)).collect();
            keep_what_is_told(tries.spec, kept, &mut gone, piece);
            let less = kept.without(|at| gone[at]);
            if less.ops.len() < kept.ops.len()
                && let Some(found) = tries.broken(&less)
            {
                (*kept, *last) = (less, found);
            } else {
                at += size;
            }
            if tries.spent() {
                return;
            }
        }
        if size == 1 {
            return;
        }
        size = size.div_ceil(2).min(size - 1);
    }
}

/// Takes back what may not be dropped together with the rest of the piece.
fn keep_what_is_told<S: Spec>(spec: &S, kept: &Kept<S::Act>, gone: &mut [bool], piece: Range<usize>) {
    loop {
        let mut others: Vec<S::Act> =
            (0..gone.len()).filter(|at| !gone[*at]).map(|at| kept.ops[at].act).collect();
        let before = others.len();
        for op in piece.clone().filter(|op| spec.kind(kept.ops[*op].act) != Kind::Read) {
            // To compare a write with every read is too much for the longest histories.
            let stays = kept.start == Some(kept.places[op]) || kept.ops.len() > WRITES_MAX;
            if gone[op] && (stays || !spec.droppable(kept.ops[op].act, &others)) {
                gone[op] = false;
                others.push(kept.ops[op].act);
            }
        }
        // What was taken back may tell of what was dropped before.
        if others.len() == before {
            return;
        }
    }
}

/// Forgets answers, in pieces that get smaller.
fn relax_some<S: Spec>(tries: &mut Tries<'_, S>, kept: &mut Kept<S::Act>, last: &mut Stuck<S::State>) {
    let mut size = kept.ops.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < kept.ops.len() {
            let piece = at..(at + size).min(kept.ops.len());
            let mut less = kept.without(|_| false);
            let mut changed = false;
            for (op, place) in less.ops[piece.clone()].iter_mut().zip(&kept.places[piece]) {
                if kept.start != Some(*place) && op.ret != NEVER && tries.spec.kind(op.act) != Kind::Read {
                    (op.ret, changed) = (NEVER, true);
                }
            }
            if changed && let Some(found) = tries.broken(&less) {
                (*kept, *last) = (less, found);
            }
            at += size;
            if tries.spent() {
                return;
            }
        }
        if size == 1 {
            return;
        }
        size = size.div_ceil(2).min(size - 1);
    }
}
