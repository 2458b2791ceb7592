//! `kv-append`: a string per key that is put, appended to and got, linearizable. The key-value store of
//! Porcupine's tests (`porcupine_test.go`, after the labs of MIT 6.824).
//!
//! Operations: `get` (the completion holds the string), `put` and `append` (the invocation does). Every key
//! begins with the empty string unless `initial` says otherwise; a get that is answered null found that.

use super::{Model, Unfit};
use crate::linear::judge::{each_key, judge_key};
use crate::linear::strings::{Act, State, Strings};
use crate::options::NullRead;
use crate::value::{Shape, Value};
use crate::{Budget, History, Options, Outcome, Verdict};
use serde_json::Value as Json;

pub const MODEL: Model = Model {
    name: "kv-append",
    claim: "the puts, appends and gets of each key have an order that respects real time and explains every answer",
    judge,
};

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let initial = match &options.initial {
        None | Some(Json::Null) => "",
        Some(Json::String(text)) => text,
        Some(other) => return Err(Unfit(format!("a key begins as a text, not as {other}"))),
    };
    // The texts by the arena's numbers, and the initial one after them.
    let mut texts: Vec<&str> = (0..history.arena.texts() as u32).map(|id| history.arena.str(id)).collect();
    let nothing = texts.len() as u32;
    texts.push(initial);
    let mut acts: Vec<Option<Act>> = Vec::with_capacity(history.ops.len());
    for (place, op) in history.ops.iter().enumerate() {
        let text = |value: Value| match value.shape() {
            Shape::Text(id) => Ok(id),
            Shape::Nil => Ok(nothing),
            _ => Err(Unfit(format!("a value is a text: {}", history.tell(place)))),
        };
        acts.push(match (history.f(op), op.outcome) {
            ("get", Outcome::Ok) if op.output.is_nil() && options.null_read == NullRead::UnknownRead => None,
            ("get", Outcome::Ok) => Some(Act::Get(text(op.output)?)),
            ("get", _) | ("put" | "append", Outcome::Fail) => None,
            ("put", _) => Some(Act::Put(text(op.input)?)),
            ("append", _) => Some(Act::Append(text(op.input)?)),
            _ => return Err(Unfit(format!("this model knows get, put and append: {}", history.tell(place)))),
        });
    }
    let tell = |_: State| String::new();
    Ok(each_key(history, &acts, |key, places, ops| {
        let mut strings = Strings::new(initial, &texts, ops);
        judge_key(history, key, places, ops, &mut strings, &tell, budget)
    }))
}
