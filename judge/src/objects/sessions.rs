//! Session guarantees over registers: does each client see its own life go forward?
//!
//! Terry, Demers, Petersen, Spreitzer, Theimer and Welch, *Session guarantees for weakly consistent replicated
//! data* (PDIS 1994); Viotti and Vukolić, *Consistency in non-transactional distributed storage systems* (ACM
//! Computing Surveys 49:1, 2016). All copies of a register go through its versions in one order. The guarantees
//! say, of two operations of one client on one register, that the second is at a later version than the first
//! (or at the same, for two reads, and for a read after a write): read and read, write and read, write and write,
//! read and write.
//!
//! With versions in the answers (`[value, version]`), that is compared as it stands. Without, values must be
//! unique, and each pair is a step from one value to a later one: steps that lead in a circle are a contradiction,
//! and the shortest such circle is shown. No order is taken from real time: these guarantees promise none. A write
//! of unknown outcome may take effect after what follows it, so no step begins at it.

use crate::budget::{Budget, Spent};
use crate::model::Unfit;
use crate::objects::ident::Idents;
use crate::objects::names::Names;
use crate::objects::report::Report;
use crate::{History, Outcome, Value, Verdict};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// What a step from one version to a later one rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    ReadYourWrites,
    WritesFollowReads,
    MonotonicWrites,
    MonotonicReads,
}

use Guarantee::{MonotonicReads, MonotonicWrites, ReadYourWrites, WritesFollowReads};

impl Guarantee {
    pub const fn name(self) -> &'static str {
        match self {
            ReadYourWrites => "read-your-writes",
            WritesFollowReads => "writes-follow-reads",
            MonotonicWrites => "monotonic-writes",
            MonotonicReads => "monotonic-reads",
        }
    }
    const fn because(self) -> &'static str {
        match self {
            ReadYourWrites => "a client reads what it wrote, or later",
            WritesFollowReads => "a client writes after what it read",
            MonotonicWrites => "a client's writes take effect in its order",
            MonotonicReads => "a client reads what it read before, or later",
        }
    }
}

/// What is promised: the guarantee that a contradiction must touch, and those that the order of the versions may
/// be taken from beside it. A contradiction of several guarantees is named by the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    pub all: &'static [Guarantee],
    pub orders: &'static [Guarantee],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Read,
    Write,
}

/// From one value to a later one, by two operations of one client.
#[derive(Clone, Copy, Debug)]
struct Step {
    to: u32,
    by: Guarantee,
    first: usize,
    second: usize,
}

/// An operation of a client on a register, as far as it is known.
#[derive(Clone, Copy)]
struct Seen {
    place: usize,
    value: Value,
    version: Option<i64>,
}

pub fn judge(history: &History, promise: &Promise, budget: &Budget) -> Result<Verdict, Unfit> {
    if history.completions_only {
        return Err(Unfit("a history of completions alone has no order of a client".into()));
    }
    let names = Names::of(history, "read, write", |f| match f {
        "read" | "get" | "r" => Some(Role::Read),
        "write" | "put" | "set" | "w" => Some(Role::Write),
        _ => None,
    })?;
    let mut report =
        Report::new(history, "sessions: the order of versions that clients imply (Terry et al., PDIS 1994)");
    let objects = history.by_key(|_| true);
    let mut looked = 0;
    for (key, places) in &objects {
        looked += places.len();
        let seen: Vec<(Role, Seen)> = places
            .iter()
            .filter_map(|place| Some((names.role(&history.ops[*place as usize])?, *place as usize)))
            .filter(|(_, place)| history.ops[*place].may_have_happened())
            .filter_map(|(role, place)| Some((role, seen(history, role, place)?)))
            .collect();
        let versioned = seen.iter().any(|(_, seen)| seen.version.is_some());
        let judged = if versioned {
            by_versions(&mut report, history, *key, &seen, promise);
            Ok(())
        } else {
            by_values(&mut report, history, *key, &seen, promise, budget)
        };
        if let Err(spent) = judged {
            report.unknown(*key, spent.to_string());
        }
    }
    let clients: rustc_hash::FxHashSet<Value> = history.ops.iter().map(|op| op.process).collect();
    let looked_at =
        format!("{looked} operations of {} clients on {} registers", clients.len(), objects.len());
    Ok(report.verdict(looked_at, "what each client did and saw goes forward"))
}

/// The value and the version; a read that was not answered tells nothing.
fn seen(history: &History, role: Role, place: usize) -> Option<Seen> {
    let op = &history.ops[place];
    if role == Role::Read && !op.is_ok() {
        return None;
    }
    let said = if role == Role::Read { op.output } else { op.value() };
    Some(match history.arena.items_of(said) {
        Some([value, version]) if version.as_int().is_some() && op.is_ok() => {
            Seen { place, value: *value, version: version.as_int() }
        }
        _ => Seen { place, value: if role == Role::Read { said } else { op.input }, version: None },
    })
}

/// Calls back with each pair of operations of one client that a guarantee speaks of.
fn pairs(
    history: &History,
    seen: &[(Role, Seen)],
    promise: &Promise,
    mut pair: impl FnMut(Guarantee, &Seen, &Seen),
) {
    // The last read and the last acknowledged write of each client.
    let mut last: FxHashMap<Value, (Option<Seen>, Option<Seen>)> = FxHashMap::default();
    for (role, now) in seen {
        let (read, write) = last.entry(history.ops[now.place].process).or_default();
        let (after_read, after_write) = match role {
            Role::Read => (MonotonicReads, ReadYourWrites),
            Role::Write => (WritesFollowReads, MonotonicWrites),
        };
        for (guarantee, before) in [(after_read, &*read), (after_write, &*write)] {
            if let (Some(before), true) = (before, promise.orders.contains(&guarantee)) {
                pair(guarantee, before, now);
            }
        }
        match role {
            Role::Read => *read = Some(*now),
            Role::Write if history.ops[now.place].outcome == Outcome::Ok => *write = Some(*now),
            Role::Write => {}
        }
    }
}

fn by_versions(
    report: &mut Report<'_>,
    history: &History,
    key: Value,
    seen: &[(Role, Seen)],
    promise: &Promise,
) {
    // A client that goes back is held to the latest it saw, not to where it went back to.
    let mut latest: FxHashMap<(Value, Before), Seen> = FxHashMap::default();
    for (role, now) in seen {
        let process = history.ops[now.place].process;
        let Some(version) = now.version else { continue };
        let after = match role {
            Role::Read => [(Before::Read, MonotonicReads), (Before::Write, ReadYourWrites)],
            Role::Write => [(Before::Read, WritesFollowReads), (Before::Write, MonotonicWrites)],
        };
        for (kind, guarantee) in after {
            let Some(before) = latest.get(&(process, kind)).filter(|_| promise.all.contains(&guarantee))
            else {
                continue;
            };
            let then = before.version.unwrap_or(i64::MIN);
            // A write makes a version of its own.
            if version < then || version == then && *role == Role::Write {
                report.found(guarantee.name(), key, || {
                    let story =
                        format!("version {then}, and then version {version}: {}", guarantee.because());
                    (vec![before.place, now.place], story)
                });
            }
        }
        let kind = if *role == Role::Read { Before::Read } else { Before::Write };
        let known = latest.entry((process, kind)).or_insert(*now);
        if known.version < now.version {
            *known = *now;
        }
    }
}

/// What a client did before.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Before {
    Read,
    Write,
}

fn by_values(
    report: &mut Report<'_>,
    history: &History,
    key: Value,
    seen: &[(Role, Seen)],
    promise: &Promise,
    budget: &Budget,
) -> Result<(), Spent> {
    let mut idents = Idents::default();
    // Nothing was written: the first version of all.
    let first = idents.of(&history.arena, Value::NIL);
    let mut writes: Vec<Option<usize>> = vec![None];
    for (_, write) in seen.iter().filter(|(role, _)| *role == Role::Write) {
        let id = idents.of(&history.arena, write.value) as usize;
        writes.resize(idents.len(), None);
        if let Some(other) = writes[id].replace(write.place) {
            let (other, this) = (history.tell(other), history.tell(write.place));
            report.unknown(
                key,
                format!("a value is written twice, so values are no versions: {other}; {this}"),
            );
            return Ok(());
        }
    }
    let mut steps: Vec<Vec<Step>> = Vec::new();
    pairs(history, seen, promise, |by, before, now| {
        let (from, to) = (idents.of(&history.arena, before.value), idents.of(&history.arena, now.value));
        steps.resize_with(idents.len().max(steps.len()), Vec::new);
        if from != to && from != first {
            steps[from as usize].push(Step { to, by, first: before.place, second: now.place });
        }
    });
    budget.spend(steps.iter().map(|steps| 1 + steps.len() as u64).sum())?;
    for circle in circles(&steps, first, promise, budget)? {
        let touched = |guarantee: &&Guarantee| circle.iter().any(|step| step.by == **guarantee);
        let Some(name) = promise.all.iter().find(touched) else { continue };
        report.found(name.name(), key, || told(history, &circle, first));
    }
    Ok(())
}

fn told(history: &History, circle: &[Step], first: u32) -> (Vec<usize>, String) {
    let mut ops: Vec<usize> = circle.iter().flat_map(|step| [step.first, step.second]).collect();
    ops.sort_unstable();
    ops.dedup();
    let value = |place: usize| {
        let op = &history.ops[place];
        history.arena.show(op.value())
    };
    let mut story: Vec<String> = circle
        .iter()
        .map(|step| {
            let (from, to) = (value(step.first), value(step.second));
            let client = history.arena.show(history.ops[step.first].process);
            format!("{to} is later than {from}, by client {client}: {}", step.by.because())
        })
        .collect();
    if circle.last().is_some_and(|step| step.to == first) {
        story.push("and null is what was there before all writes".into());
    }
    (ops, story.join("\n"))
}

/// One shortest circle through each strongly connected part, and each step back to the first version.
fn circles(
    steps: &[Vec<Step>],
    first: u32,
    promise: &Promise,
    budget: &Budget,
) -> Result<Vec<Vec<Step>>, Spent> {
    let mut found = Vec::new();
    for step in steps.iter().flatten().filter(|step| step.to == first) {
        found.push(vec![*step]);
    }
    let parts = parts(steps);
    let mut done = vec![false; steps.len()];
    for from in 0..steps.len() {
        // The first step within a part that the promise speaks of.
        let within = |step: &&Step| parts[step.to as usize] == parts[from] && promise.all.contains(&step.by);
        if done[parts[from] as usize] {
            continue;
        }
        let mut shortest: Option<Vec<Step>> = None;
        for step in steps[from].iter().filter(within) {
            budget.spend(1)?;
            let back = way(steps, &parts, step.to, from as u32, budget)?;
            let circle: Vec<Step> = std::iter::once(*step).chain(back).collect();
            if shortest.as_ref().is_none_or(|shortest| circle.len() < shortest.len()) {
                shortest = Some(circle);
            }
        }
        if let Some(circle) = shortest {
            done[parts[from] as usize] = true;
            found.push(circle);
        }
    }
    Ok(found)
}

/// The shortest way from one value to another of the same part.
fn way(steps: &[Vec<Step>], parts: &[u32], from: u32, to: u32, budget: &Budget) -> Result<Vec<Step>, Spent> {
    let mut by: FxHashMap<u32, (u32, Step)> = FxHashMap::default();
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        if at == to {
            break;
        }
        for step in steps[at as usize].iter().filter(|step| parts[step.to as usize] == parts[from as usize]) {
            budget.spend(1)?;
            if step.to != from && !by.contains_key(&step.to) {
                by.insert(step.to, (at, *step));
                next.push_back(step.to);
            }
        }
    }
    let mut way = Vec::new();
    let mut at = to;
    while let Some((before, step)) = by.get(&at).filter(|_| at != from) {
        way.push(*step);
        at = *before;
    }
    way.reverse();
    Ok(way)
}

/// The strongly connected part of each value (Tarjan, SIAM J. Comput. 1972), without recursion.
fn parts(steps: &[Vec<Step>]) -> Vec<u32> {
    const NONE: u32 = u32::MAX;
    let count = steps.len();
    let (mut number, mut low) = (vec![NONE; count], vec![0u32; count]);
    let mut part = vec![NONE; count];
    let (mut stack, mut visit): (Vec<u32>, Vec<(u32, usize)>) = (Vec::new(), Vec::new());
    let mut next = 0;
    for root in 0..count as u32 {
        if number[root as usize] != NONE {
            continue;
        }
        visit.push((root, 0));
        while let Some((at, edge)) = visit.pop() {
            let here = at as usize;
            if edge == 0 {
                (number[here], low[here]) = (next, next);
                next += 1;
                stack.push(at);
            } else {
                let before = steps[here][edge - 1].to as usize;
                if part[before] == NONE {
                    low[here] = low[here].min(low[before]);
                }
            }
            if let Some(step) = steps[here].get(edge) {
                visit.push((at, edge + 1));
                let to = step.to as usize;
                if number[to] == NONE {
                    visit.push((step.to, 0));
                } else if part[to] == NONE {
                    low[here] = low[here].min(number[to]);
                }
                continue;
            }
            if low[here] == number[here] {
                while let Some(member) = stack.pop() {
                    part[member as usize] = at;
                    if member == at {
                        break;
                    }
                }
            }
        }
    }
    part
}
