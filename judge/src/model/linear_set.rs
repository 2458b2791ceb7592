//! `linear-set`: a set whose every read is exact (Jepsen's `set` checker asks what became of the elements).
//!
//! Operations: `add` and `remove` of the value, `contains` with `[element, answer]`, `read` of all elements.

use super::{Model, Unfit};
use crate::linear::judge::{each_key, judge_key};
use crate::linear::sets::{Change, Set};
use crate::linear::values::Codes;
use crate::value::{Shape, Value};
use crate::{Budget, History, Options, Outcome, Verdict};

pub const MODEL: Model = Model {
    name: "linear-set",
    claim: "the changes of each set and its reads have an order that respects real time and explains every answer",
    judge,
};

fn judge(history: &History, _: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let arena = &history.arena;
    let (mut codes, mut set) = (Codes::new(serde_json::Value::Null), Set::default());
    let mut acts: Vec<Option<Change>> = Vec::with_capacity(history.ops.len());
    for (place, op) in history.ops.iter().enumerate() {
        let unfit = |what: &str| Unfit(format!("{what}: {}", history.tell(place)));
        let mut code = |value: Value| codes.code(value, arena);
        acts.push(match (history.f(op), op.outcome) {
            (_, Outcome::Fail) | ("read" | "contains", Outcome::Info) => None,
            ("read", Outcome::Ok) if op.output.is_nil() => None,
            ("read", Outcome::Ok) => {
                let items = arena.items_of(op.output).ok_or_else(|| unfit("a set is a list of elements"))?;
                let items = items.iter().map(|item| code(*item)).collect();
                Some(Change::Read(set.number(items)))
            }
            ("add", _) => Some(Change::Add(code(op.input))),
            ("remove" | "rem", _) => Some(Change::Remove(code(op.input))),
            ("contains", Outcome::Ok) => match arena.items_of(op.output) {
                Some(&[element, answer]) if matches!(answer.shape(), Shape::Bool(_)) => {
                    Some(Change::Contains(code(element), answer == Value::bool(true)))
                }
                _ => return Err(unfit("contains is answered [element, true or false]")),
            },
            _ => return Err(unfit("a set knows add, remove, contains and read")),
        });
    }
    let tell = |_: u32| String::new();
    Ok(each_key(history, &acts, |key, places, ops| {
        judge_key(history, key, places, ops, &mut set, &tell, budget)
    }))
}
