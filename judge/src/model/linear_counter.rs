//! `linear-counter`: a counter whose every read is exact (Jepsen's `counter` checker asks for bounds alone).
//!
//! Operations: `add` (by the value, 1 if there is none), `inc` and `incr` (by 1), `dec` and `decr`; an answer
//! that is another number than was asked for is what the counter then held. `read`: the completion's number.

use super::{Model, Unfit};
use crate::linear::judge::{each_key, judge_key};
use crate::linear::sets::{Count, Counter};
use crate::{Budget, History, Options, Outcome, Verdict};

pub const MODEL: Model = Model {
    name: "linear-counter",
    claim: "the additions to each counter and its reads have an order that respects real time and explains every \
            answer",
    judge,
};

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let initial = options.initial.as_ref().and_then(serde_json::Value::as_i64).unwrap_or(0);
    let mut acts: Vec<Option<Count>> = Vec::with_capacity(history.ops.len());
    for (place, op) in history.ops.iter().enumerate() {
        let unfit = |what: &str| Unfit(format!("{what}: {}", history.tell(place)));
        let asked = op.input.as_int();
        let answered = op.output.as_int().filter(|answer| Some(*answer) != asked);
        acts.push(match (history.f(op), op.outcome) {
            (_, Outcome::Fail) | ("read", Outcome::Info) => None,
            ("read", Outcome::Ok) if op.output.is_nil() => None,
            ("read", Outcome::Ok) => {
                Some(Count::Read(op.output.as_int().ok_or_else(|| unfit("a counter holds a number"))?))
            }
            ("add", _) => Some(Count::Add(asked.unwrap_or(1), answered)),
            ("inc" | "incr" | "increment", _) => Some(Count::Add(1, answered)),
            ("dec" | "decr" | "decrement", _) => Some(Count::Add(-1, answered)),
            _ => return Err(unfit("a counter knows add, inc, dec and read")),
        });
    }
    let tell = |state: i64| state.to_string();
    Ok(each_key(history, &acts, |key, places, ops| {
        judge_key(history, key, places, ops, &mut Counter(initial), &tell, budget)
    }))
}
