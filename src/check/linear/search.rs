//! Any kind of key, by search: operations are put in order just in time, when one of them returns (Lowe,
//! "Testing for linearizability", 2017; after Wing and Gong, 1993).
//!
//! A configuration is a state and the operations that took effect but have not returned. At each return every
//! configuration is carried on until that operation has taken effect; none left means no order explains it.
//! Reads are taken as soon as they fit.
//! Operations of unknown outcome stay open for ever; of two configurations that differ only in them, the one
//! that used fewer can do all that the other can, so only that one is kept.

use super::{Act, Answer, Op};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Register(Option<u32>),
    Number(i64),
    List(Vec<u32>),
    Set(BTreeSet<u32>),
}

/// The state of a key that was never written.
fn nothing(act: &Act) -> State {
    match act {
        Act::Write(_) | Act::Read(_) | Act::Swap(..) | Act::Differs(_) => State::Register(None),
        Act::Increment(_) | Act::ReadNumber(_) => State::Number(0),
        Act::Append(_) | Act::ReadList(_) => State::List(Vec::new()),
        Act::Add(_) | Act::ReadSet(_) => State::Set(BTreeSet::new()),
    }
}

/// The state after an operation, if the operation's answer fits.
fn apply(state: &State, act: &Act) -> Option<State> {
    match (state, act) {
        (State::Register(_), Act::Write(value)) => Some(State::Register(*value)),
        (State::Register(held), Act::Read(value)) => (held == value).then(|| state.clone()),
        (State::Register(held), Act::Swap(from, to)) => {
            (*held == Some(*from)).then_some(State::Register(Some(*to)))
        }
        (State::Register(held), Act::Differs(value)) => (*held != Some(*value)).then(|| state.clone()),
        (State::Number(held), Act::Increment(answer)) => {
            answer.is_none_or(|answer| answer == held + 1).then_some(State::Number(held + 1))
        }
        (State::Number(held), Act::ReadNumber(value)) => (held == value).then(|| state.clone()),
        (State::List(held), Act::Append(value)) => {
            let mut list = held.clone();
            list.push(*value);
            Some(State::List(list))
        }
        (State::List(held), Act::ReadList(list)) => (held == list).then(|| state.clone()),
        (State::Set(held), Act::Add(value)) => {
            let mut set = held.clone();
            set.insert(*value);
            Some(State::Set(set))
        }
        (State::Set(held), Act::ReadSet(set)) => held.iter().eq(set).then(|| state.clone()),
        _ => None,
    }
}

/// Whether it leaves the state as it is.
fn is_read(act: &Act) -> bool {
    matches!(act, Act::Read(_) | Act::Differs(_) | Act::ReadNumber(_) | Act::ReadList(_) | Act::ReadSet(_))
}

/// States by the known operations that took effect early, each with the least sets of unknown ones used.
#[derive(Default)]
struct Configurations(BTreeMap<(State, BTreeSet<usize>), Vec<BTreeSet<usize>>>);

impl Configurations {
    /// False when a configuration at hand can do all that this one can.
    fn insert(&mut self, state: State, known: BTreeSet<usize>, unknown: BTreeSet<usize>) -> bool {
        let least = self.0.entry((state, known)).or_default();
        if least.iter().any(|other| other.is_subset(&unknown)) {
            return false;
        }
        least.retain(|other| !unknown.is_subset(other));
        least.push(unknown);
        true
    }
}

/// Decides a history of one key within `budget` steps.
pub fn decide(ops: &[Op], budget: u64) -> Answer {
    let Some(first) = ops.first() else { return Answer::Linearizable };
    // At equal order calls come first: the intervals are closed.
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (place, op) in ops.iter().enumerate() {
        events.push((op.call, false, place));
        events.extend(op.ret.map(|ret| (ret, true, place)));
    }
    events.sort_unstable();
    let mut open: BTreeSet<usize> = BTreeSet::new();
    let mut now = Configurations::default();
    now.insert(nothing(&first.act), BTreeSet::new(), BTreeSet::new());
    let mut left = budget;
    for (_, returns, place) in events {
        if !returns {
            open.insert(place);
            continue;
        }
        let mut next = Configurations::default();
        let mut seen = Configurations::default();
        let mut work: Vec<(State, BTreeSet<usize>, BTreeSet<usize>)> = Vec::new();
        for ((state, known), least) in std::mem::take(&mut now.0) {
            for unknown in least {
                work.push((state.clone(), known.clone(), unknown));
            }
        }
        while let Some((state, mut known, unknown)) = work.pop() {
            // A read that fits may as well come now: it changes nothing, so whatever could come before it still can.
            let fits = |other: &&usize| {
                let op = &ops[**other];
                op.ret.is_some() && is_read(&op.act) && apply(&state, &op.act).is_some()
            };
            known.extend(open.iter().filter(fits));
            if known.remove(&place) {
                next.insert(state, known, unknown);
                continue;
            }
            let mut alike: BTreeSet<bool> = BTreeSet::new();
            for &other in &open {
                if known.contains(&other) || unknown.contains(&other) {
                    continue;
                }
                let op = &ops[other];
                if is_read(&op.act) {
                    continue;
                }
                // Unknown operations that do the same are interchangeable: the first will do.
                let same = op.ret.is_none() && matches!(op.act, Act::Increment(_) | Act::Write(None));
                if same && !alike.insert(true) {
                    continue;
                }
                if left == 0 {
                    return Answer::Exceeded;
                }
                left -= 1;
                let Some(after) = apply(&state, &op.act) else { continue };
                let (mut known, mut unknown) = (known.clone(), unknown.clone());
                if op.ret.is_none() { &mut unknown } else { &mut known }.insert(other);
                if seen.insert(after.clone(), known.clone(), unknown.clone()) {
                    work.push((after, known, unknown));
                }
            }
        }
        open.remove(&place);
        if next.0.is_empty() {
            return Answer::Broken(vec![place]);
        }
        now = next;
    }
    Answer::Linearizable
}
