//! A contradiction in sentences.

use super::register::Act;
use super::smallest::Core;
use super::zones::{Clash, Hold};
use super::{NEVER, Op};
use crate::history::History;
use crate::value::Value;
use crate::verdict::Anomaly;

/// The name of every contradiction to a linearizable object.
pub const NAME: &str = "nonlinearizable";

/// In longer cores the pairs that real time orders are not listed.
const EDGES_MAX: usize = 24;

fn anomaly(history: &History, key: Value, mut ops: Vec<usize>, story: Vec<String>) -> Anomaly {
    ops.sort_unstable();
    ops.dedup();
    let key = (!key.is_nil()).then(|| history.arena.show(key));
    Anomaly { name: NAME.into(), key, ops, story }
}

/// An operation in few words.
fn brief(history: &History, place: usize) -> String {
    let op = &history.ops[place];
    let value = op.value();
    let value = if value.is_nil() { String::new() } else { format!(" {}", history.arena.show(value)) };
    format!("{}{value} (index {})", history.f(op), op.index)
}

/// A core that a search found.
pub fn of_core<A, S: Copy>(
    history: &History,
    key: Value,
    places: &[u32],
    ops: &[Op<A>],
    core: &Core<S>,
    tell: &dyn Fn(S) -> String,
) -> Anomaly {
    let place = |at: usize| places[at] as usize;
    let mut story = Vec::new();
    if let Some((state, time)) = core.from {
        let before = places.iter().map(|place| &history.ops[*place as usize]);
        let until = before.filter(|op| op.ret == time).map(|op| op.index).next().unwrap_or_default();
        let state = tell(state);
        let state = if state.is_empty() { "one state alone is possible".into() } else { state };
        story.push(format!("once the operation of index {until} returned, whatever the order: {state}"));
    }
    for (at, open) in core.places.iter().zip(&core.open) {
        let returned = history.ops[place(*at)].ret != NEVER;
        let open = if *open && returned { "; when it returned does not matter" } else { "" };
        story.push(format!("{}{open}", history.tell(place(*at))));
    }
    // Whom each operation follows in real time, the nearest alone.
    let closed: Vec<usize> =
        core.places.iter().zip(&core.open).filter(|(_, open)| !**open).map(|(at, _)| *at).collect();
    if core.places.len() <= EDGES_MAX {
        for &at in &core.places {
            let precedes = |one: usize, other: usize| ops[one].ret < ops[other].call;
            let before = closed.iter().filter(|before| precedes(**before, at));
            let near = before.filter(|before| {
                !closed.iter().any(|between| precedes(**before, *between) && precedes(*between, at))
            });
            let near: Vec<String> = near.map(|before| brief(history, place(*before))).collect();
            if !near.is_empty() {
                story.push(format!(
                    "{} had returned when {} was invoked",
                    near.join(" and "),
                    brief(history, place(at))
                ));
            }
        }
    }
    let mut states: Vec<String> = core.states.iter().map(|state| tell(*state)).collect();
    states.retain(|state| !state.is_empty());
    states.sort_unstable();
    states.dedup();
    let stuck = brief(history, place(core.stuck));
    story.push(if states.is_empty() {
        format!("no order of these gives {stuck} its answer by the time it returned")
    } else {
        format!(
            "whatever the order of these, until {stuck} returned it was: {}; that is not what it was answered",
            states.join(" or ")
        )
    });
    if !core.smallest {
        story.push("there may be a smaller core: the search for it was cut short".into());
    }
    anomaly(history, key, core.places.iter().map(|at| place(*at)).collect(), story)
}

/// What the zones of a register with unique values found.
pub fn of_clash(
    history: &History,
    key: Value,
    places: &[u32],
    ops: &[Op<Act>],
    clash: &Clash,
    all: &[usize],
    show: &dyn Fn(u32) -> String,
) -> Anomaly {
    let place = |at: usize| places[at] as usize;
    let name = |at: usize| brief(history, place(at));
    let value = |at: usize| {
        let act = ops[at].act;
        show(act.leaves().or(act.found()).expect("no refusal here"))
    };
    let mut story: Vec<String> = all.iter().map(|at| history.tell(place(*at))).collect();
    match clash {
        Clash::NeverWritten { reader } => {
            let found = show(ops[*reader].act.found().expect("it found one"));
            story.push(format!("{} found {found}, which nobody wrote", name(*reader)));
        }
        Clash::ReplacedTwice { one, other, .. } => {
            let found = show(ops[*one].act.found().expect("it found one"));
            story.push(format!(
                "{} and {} both replaced {found}, which was written once",
                name(*one),
                name(*other)
            ));
        }
        Clash::Circle { swaps } => {
            let names: Vec<String> = swaps.iter().map(|at| name(*at)).collect();
            story.push(format!(
                "each needs a value that another of them leaves, and nothing else wrote one: {}",
                names.join(", ")
            ));
        }
        Clash::Backwards { earlier, later, path } => {
            let names: Vec<String> = path.iter().map(|at| value(*at)).collect();
            let through = if names.len() > 1 {
                format!(", as the values follow {}", names.join(", "))
            } else {
                String::new()
            };
            story.push(format!("{} must come before {}{through}", name(*earlier), name(*later)));
            story.push(format!("but {} had returned when {} was invoked", name(*later), name(*earlier)));
        }
        Clash::Overlap { one, other } => {
            for (hold, against) in [(one, other), (other, one)] {
                story.extend(stretch(hold, &value, &name));
                let first = if hold.path.is_empty() { "the initial value".into() } else { name(hold.first) };
                story.push(if hold.path.is_empty() {
                    format!("{first} was there before {} was invoked", name(against.last))
                } else {
                    format!("{first} had returned when {} was invoked", name(against.last))
                });
            }
            story.push(
                "each value is written once and held in one piece, so neither can have come first".into(),
            );
        }
    }
    anomaly(history, key, all.iter().map(|at| place(*at)).collect(), story)
}

/// That several values are held one directly after the other.
fn stretch(hold: &Hold, value: &dyn Fn(usize) -> String, name: &dyn Fn(usize) -> String) -> Option<String> {
    (hold.path.len() > 1).then(|| {
        let values: Vec<String> = hold.path.iter().map(|at| value(*at)).collect();
        format!(
            "compare-and-sets lead from one to the next of {}, up to {}",
            values.join(", "),
            name(hold.last)
        )
    })
}
