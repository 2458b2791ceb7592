//! `multi-register`: several registers, read and written together, linearizable. Knossos's `multi-register`.
//!
//! Operations: `txn` of `[f, key, value]` in turns, with f `read`, `r`, `write` or `w`; also `read` and `write`
//! of such lists, or of maps from keys to values. `initial` is a map from keys to values, or one value for all;
//! null unless said. With `null_read: UnknownRead` a read of null is always legal, as in Knossos. Registers that
//! no transaction connects are judged apart; operations of different `key`s always are.

use super::{Model, Unfit};
use crate::history::Op as Operation;
use crate::linear::Op;
use crate::linear::judge::{judge_key, verdict};
use crate::linear::transactions::{Micro, Registers};
use crate::linear::values::Codes;
use crate::options::NullRead;
use crate::value::Value;
use crate::{Budget, History, Options, Outcome, Verdict};
use serde_json::Value as Json;

pub const MODEL: Model = Model {
    name: "multi-register",
    claim: "the transactions on several registers have an order that respects real time and explains every answer",
    judge,
};

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    // Null has the number 0; what the registers begin with is found below.
    let (mut names, mut codes) = (Codes::new(Json::Null), Codes::new(Json::Null));
    let mut txns: Vec<Option<Vec<Micro>>> = Vec::with_capacity(history.ops.len());
    for (place, op) in history.ops.iter().enumerate() {
        txns.push(txn(history, place, op, options, &mut names, &mut codes)?);
    }
    let initial: Vec<u32> = (0..names.len() as u32)
        .map(|name| {
            let name = names.show(name, &history.arena);
            let value = match &options.initial {
                Some(Json::Object(map)) => map.get(name.trim_matches('"')).unwrap_or(&Json::Null),
                Some(value) => value,
                None => &Json::Null,
            };
            codes.code_of(value, &history.arena)
        })
        .collect();
    let keys = history.by_key(|place| txns[place].is_some());
    let count = keys.iter().map(|(_, places)| places.len()).sum();
    let mut found = Vec::new();
    for (key, places) in keys {
        for (names, places) in connected(names.len(), &places, &txns) {
            let mut registers = Registers::new(names.iter().map(|name| initial[*name as usize]).collect());
            let mut ops: Vec<Op<u32>> = Vec::with_capacity(places.len());
            for place in &places {
                let txn = txns[*place as usize].clone().expect("kept");
                let local = |name: u32| names.binary_search(&name).expect("of this part") as u32;
                let txn = txn.into_iter().map(|micro| Micro { key: local(micro.key), ..micro }).collect();
                let op = &history.ops[*place as usize];
                ops.push(Op { call: op.call, ret: op.ret, act: registers.act(txn) });
            }
            let tell = |_: u32| String::new();
            found.push(judge_key(history, key, &places, &ops, &mut registers, &tell, budget));
        }
    }
    Ok(verdict(history, count, found))
}

/// What a transaction tells; `None`: nothing.
fn txn(
    history: &History,
    place: usize,
    op: &Operation,
    options: &Options,
    names: &mut Codes,
    codes: &mut Codes,
) -> Result<Option<Vec<Micro>>, Unfit> {
    let arena = &history.arena;
    let unfit = |what: &str| Unfit(format!("{what}: {}", history.tell(place)));
    let name = history.f(op);
    if !["txn", "read", "write", "r", "w"].contains(&name) {
        return Err(unfit("this model knows txn, read and write"));
    }
    if op.outcome == Outcome::Fail {
        return Ok(None);
    }
    let Some(items) = arena.items_of(op.value()) else {
        return if op.value().is_nil() { Ok(None) } else { Err(unfit("a transaction is a list")) };
    };
    let triples = items.iter().all(|item| arena.items_of(*item).is_some_and(|item| item.len() == 3));
    let steps: Vec<(&str, Value, Value)> = if triples {
        let step = |item: &Value| {
            let item = arena.items_of(*item).expect("seen above");
            (arena.str_of(item[0]).unwrap_or_default(), item[1], item[2])
        };
        items.iter().map(step).collect()
    } else if items.len() % 2 == 0 && name != "txn" {
        items.chunks(2).map(|pair| (name, pair[0], pair[1])).collect()
    } else {
        return Err(unfit("a step of a transaction is [f, key, value]"));
    };
    let mut txn = Vec::with_capacity(steps.len());
    for (f, key, value) in steps {
        let writes = match f {
            "w" | "write" => true,
            "r" | "read" => false,
            _ => return Err(unfit("a step of a transaction reads or writes")),
        };
        let told = op.is_ok() && !(value.is_nil() && options.null_read == NullRead::UnknownRead);
        if writes || told {
            txn.push(Micro { writes, key: names.code(key, arena), value: codes.code(value, arena) });
        }
    }
    Ok((!txn.is_empty()).then_some(txn))
}

/// The registers and the transactions of each part that no transaction connects to another, in the order in
/// which they first appear.
fn connected(names: usize, places: &[u32], txns: &[Option<Vec<Micro>>]) -> Vec<(Vec<u32>, Vec<u32>)> {
    let mut leader: Vec<u32> = (0..names as u32).collect();
    let txn = |place: u32| txns[place as usize].as_deref().expect("kept");
    for place in places {
        let first = find(&mut leader, txn(*place)[0].key);
        for micro in txn(*place) {
            let other = find(&mut leader, micro.key);
            leader[other as usize] = first;
        }
    }
    let mut parts: Vec<(Vec<u32>, Vec<u32>)> = Vec::new();
    let mut part_of: Vec<Option<usize>> = vec![None; names];
    for place in places {
        let of = find(&mut leader, txn(*place)[0].key) as usize;
        let part = *part_of[of].get_or_insert_with(|| {
            parts.push((Vec::new(), Vec::new()));
            parts.len() - 1
        });
        parts[part].1.push(*place);
        parts[part].0.extend(txn(*place).iter().map(|micro| micro.key));
    }
    for (names, _) in &mut parts {
        names.sort_unstable();
        names.dedup();
    }
    parts
}

/// The register that stands for all that are connected to this one.
fn find(leader: &mut [u32], mut name: u32) -> u32 {
    while leader[name as usize] != name {
        leader[name as usize] = leader[leader[name as usize] as usize];
        name = leader[name as usize];
    }
    name
}
