//! From a history to a verdict: the operations of each key, decided one key after the other.
//!
//! Linearizability is local (Herlihy and Wing, 1990): a history is linearizable exactly if the part on each
//! object is.

use super::{Found, Gap, Op, Spec, search, smallest, story};
use crate::Budget;
use crate::history::History;
use crate::value::Value;
use crate::verdict::{Anomaly, Answer, Verdict};

/// What was found out about one key.
#[derive(Debug)]
pub struct OfKey {
    pub key: Value,
    pub found: Found,
    /// The contradiction, where there is one.
    pub anomaly: Option<Anomaly>,
    pub algorithm: &'static str,
}

/// All keys together: bad if one is, else unknown if one is.
pub fn verdict(history: &History, looked_at: usize, keys: Vec<OfKey>) -> Verdict {
    let count = keys.len();
    let mut algorithms: Vec<&str> = keys.iter().map(|key| key.algorithm).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    let algorithm = if algorithms.is_empty() { "none".to_owned() } else { algorithms.join(" and ") };
    let name =
        |key: Value| if key.is_nil() { String::new() } else { format!("{}: ", history.arena.show(key)) };
    let mut unknown: Vec<(Value, Gap)> = Vec::new();
    let mut anomalies = Vec::new();
    let mut first_bad = None;
    for key in keys {
        match key.found {
            Found::Linearizable => {}
            Found::Unknown(gap) => unknown.push((key.key, gap)),
            Found::Broken(_) => {
                first_bad.get_or_insert(key.key);
                anomalies.extend(key.anomaly);
            }
        }
    }
    let objects = if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
    let looked_at = format!("{looked_at} operations on {objects}");
    let mut verdict = if let Some(key) = first_bad {
        let reason = format!(
            "{}no order that respects real time explains the answers ({} of {objects})",
            name(key),
            anomalies.len()
        );
        let mut verdict = Verdict::new(Answer::Bad, algorithm, reason);
        verdict.anomalies = anomalies;
        verdict
    } else if let Some((key, gap)) = unknown.first() {
        Verdict::new(Answer::Unknown, algorithm, format!("{}{gap}", name(*key)))
    } else {
        Verdict::new(Answer::Ok, algorithm, "an order that respects real time explains every answer")
    };
    verdict.notes.extend(unknown.iter().map(|(key, gap)| format!("{}not decided: {gap}", name(*key))));
    verdict.looked_at(looked_at)
}

/// Judges a history key by key: what each operation did (`None`: nothing that counts), and how one key is decided.
pub fn each_key<A: Copy>(
    history: &History,
    acts: &[Option<A>],
    mut decide: impl FnMut(Value, &[u32], &[Op<A>]) -> OfKey,
) -> Verdict {
    let keys = history.by_key(|place| acts[place].is_some());
    let count = keys.iter().map(|(_, places)| places.len()).sum();
    let decided = keys.into_iter().map(|(key, places)| {
        let op = |place: &u32| {
            let op = &history.ops[*place as usize];
            Op { call: op.call, ret: op.ret, act: acts[*place as usize].expect("kept") }
        };
        let ops: Vec<Op<A>> = places.iter().map(op).collect();
        decide(key, &places, &ops)
    });
    let found = decided.collect();
    verdict(history, count, found)
}

/// Decides one key by search and tells what contradicts. `tell` says in words what a state is, or nothing.
pub fn judge_key<S: Spec>(
    history: &History,
    key: Value,
    places: &[u32],
    ops: &[Op<S::Act>],
    spec: &mut S,
    tell: &dyn Fn(S::State) -> String,
    budget: &Budget,
) -> OfKey {
    let initial = spec.initial();
    let (found, anomaly) = match search::explain(spec, initial, ops, budget) {
        Ok(None) => (Found::Linearizable, None),
        Err(gap) => (Found::Unknown(gap), None),
        Ok(Some(stuck)) => {
            let core = smallest::core(spec, ops, &stuck);
            let anomaly = story::of_core(history, key, places, ops, &core, tell);
            (Found::Broken(core.places), Some(anomaly))
        }
    };
    OfKey { key, found, anomaly, algorithm: search::NAME }
}
