//! Locks with holders: `owner-aware-mutex`, `reentrant-mutex`, `fenced-mutex`, `reentrant-fenced-mutex`, as in
//! Jepsen's Hazelcast tests (`hazelcast/src/jepsen/hazelcast.clj` of jepsen-io/jepsen).
//!
//! Operations: `acquire` and `release`. Who did it is the `client` of the value where that is a map with one,
//! else the process. The fencing token is the `fence` of the completion's map, or the completion's value where
//! that is a number; 0 and below, and none, are no token (a lock that was interrupted has none). A reentrant
//! lock can be held twice, which is what Jepsen's tests allow.

use super::{Model, Unfit};
use crate::history::Op as Operation;
use crate::linear::judge::{each_key, judge_key};
use crate::linear::locks::{Act, Lock, Rule, State, forget_owners};
use crate::linear::values::Codes;
use crate::value::{Arena, Value};
use crate::{Budget, History, Options, Outcome, Verdict};
use serde_json::Value as Json;

/// How often a reentrant lock may be held at once.
const HOLDS_MAX: u8 = 2;

pub const OWNED: Model = Model {
    name: "owner-aware-mutex",
    claim: "each lock has one holder at a time, and only the holder releases it",
    judge: |history, options, budget| judge_with(history, options, budget, rule(1, false)),
};
pub const REENTRANT: Model = Model {
    name: "reentrant-mutex",
    claim: "each lock has one holder at a time, who may hold it twice and alone releases it",
    judge: |history, options, budget| judge_with(history, options, budget, rule(HOLDS_MAX, false)),
};
pub const FENCED: Model = Model {
    name: "fenced-mutex",
    claim: "each lock has one holder at a time, and each holder's fencing token is higher than all before",
    judge: |history, options, budget| judge_with(history, options, budget, rule(1, true)),
};
pub const REENTRANT_FENCED: Model = Model {
    name: "reentrant-fenced-mutex",
    claim: "each lock has one holder at a time, who may hold it twice under one fencing token, higher than all \
            before",
    judge: |history, options, budget| judge_with(history, options, budget, rule(HOLDS_MAX, true)),
};

const fn rule(holds_max: u8, fenced: bool) -> Rule {
    Rule { owned: true, holds_max, fenced }
}

pub(super) fn judge_with(
    history: &History,
    options: &Options,
    budget: &Budget,
    rule: Rule,
) -> Result<Verdict, Unfit> {
    let held = match &options.initial {
        None | Some(Json::Null) => false,
        Some(Json::String(word)) if word == "free" => false,
        Some(Json::String(word)) if word == "held" && !rule.owned => true,
        Some(other) => return Err(Unfit(format!("a lock begins \"free\", not {other}"))),
    };
    let mut clients = Codes::new(Json::Null);
    let mut acts = Vec::with_capacity(history.ops.len());
    for (place, op) in history.ops.iter().enumerate() {
        let client =
            clients.code(field(op.value(), "client", &history.arena).unwrap_or(op.process), &history.arena);
        let act = match history.f(op) {
            "acquire" => Act::Acquire(client, token(op, &history.arena)),
            "release" => Act::Release(client),
            _ => return Err(Unfit(format!("a lock knows acquire and release: {}", history.tell(place)))),
        };
        acts.push(op.may_have_happened().then_some(act));
    }
    let tell = |state: State| match state.owner {
        None => "the lock is free".to_owned(),
        Some(_) if !rule.owned => "the lock is held".to_owned(),
        Some(owner) => format!("the lock is held by {}", clients.show(owner, &history.arena)),
    };
    Ok(each_key(history, &acts, |key, places, ops| {
        let mut ops = ops.to_vec();
        if !rule.owned {
            forget_owners(&mut ops);
        }
        let mut lock = Lock::new(rule, held.then_some(0));
        judge_key(history, key, places, &ops, &mut lock, &tell, budget)
    }))
}

/// The token of a completed acquisition.
fn token(op: &Operation, arena: &Arena) -> Option<i64> {
    if op.outcome != Outcome::Ok {
        return None;
    }
    let fence = field(op.output, "fence", arena).unwrap_or(op.output);
    fence.as_int().filter(|fence| *fence > 0)
}

/// A field of a map, which the arena holds as a list of keys and values in turns.
fn field(value: Value, name: &str, arena: &Arena) -> Option<Value> {
    let items = arena.items_of(value).filter(|items| items.len() % 2 == 0)?;
    items.chunks(2).find(|pair| arena.str_of(pair[0]) == Some(name)).map(|pair| pair[1])
}
