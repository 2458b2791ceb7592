//! `linearizability`: some order of the operations on each key respects real time and explains every answer.
//!
//! The embedded target is always held to it, Valkey and Redis only in runs without a disruptive event. Keys
//! are judged one by one (linearizability is local: Herlihy and Wing, 1990); that the writes of a `MULTI` take
//! effect together is not claimed here. Reads that a primary answered while a failover replaced it are left out
//! for Valkey: no page promises that the old primary knows at once.

use super::facts::{Facts, disruptive, skipped};
use super::linear::{Act, Answer, Op, growing, register, search};
use super::{Check, Judgement, Verdict};
use crate::history::{Key, KeyKind, OpKind, Operation, Outcome, Value};
use crate::run::record::Record;
use crate::time::Micros;
use std::collections::BTreeMap;

crate::record! {
    pub struct Linearizability {
    }
}

impl Linearizability {
    pub const NAME: &'static str = "linearizability";
}

/// Steps of the search for one key; more than a run's history needs unless hundreds of operations hang.
const BUDGET: u64 = 3_000_000;

/// The texts of one key as numbers, and who wrote them.
#[derive(Default)]
struct Texts<'a> {
    numbers: BTreeMap<&'a str, (u32, bool)>,
}

impl<'a> Texts<'a> {
    fn of(operations: &[&'a Operation]) -> Self {
        let mut texts = Self::default();
        for one in operations {
            if let Some(argument) = one.argument.as_deref() {
                let refused = matches!(one.outcome, Outcome::Fail(_));
                let number = texts.numbers.len() as u32;
                texts.numbers.insert(argument, (number, refused));
            }
        }
        texts
    }
    /// The number of a text that was read, or why nobody can have read it.
    fn read(&self, text: &str) -> Result<u32, String> {
        match self.numbers.get(text) {
            None => Err(format!("read `{text}`, which nobody wrote")),
            Some((_, true)) => Err(format!("read `{text}`, a write that was refused")),
            Some((number, false)) => Ok(*number),
        }
    }
    fn read_all(&self, items: &[String]) -> Result<Vec<u32>, String> {
        items.iter().map(|item| self.read(item)).collect()
    }
}

/// What an operation means to the deciders; `None` if it tells nothing.
fn act(one: &Operation, texts: &Texts<'_>) -> Result<Option<Act>, String> {
    let own = || one.argument.as_deref().and_then(|text| texts.numbers.get(text)).map(|(number, _)| *number);
    let answer = match &one.outcome {
        Outcome::Fail(_) => return Ok(None),
        Outcome::Unknown(_) if one.kind == OpKind::Get => return Ok(None),
        Outcome::Unknown(_) => None,
        Outcome::Ok(value) => Some(value),
    };
    Ok(match (one.kind, one.key.kind, answer) {
        (OpKind::Set, ..) => own().map(|value| Act::Write(Some(value))),
        (OpKind::Delete, KeyKind::Register, _) => Some(Act::Write(None)),
        (OpKind::Append, ..) => own().map(Act::Append),
        (OpKind::Add, ..) => own().map(Act::Add),
        (OpKind::Incr, _, Some(Value::Number(number))) => Some(Act::Increment(Some(*number))),
        (OpKind::Incr, ..) => Some(Act::Increment(None)),
        (OpKind::Get, KeyKind::Register, Some(Value::Missing)) => Some(Act::Read(None)),
        (OpKind::Get, KeyKind::Register, Some(Value::Text(text))) => Some(Act::Read(Some(texts.read(text)?))),
        (OpKind::Get, KeyKind::Counter, Some(Value::Missing)) => Some(Act::ReadNumber(0)),
        (OpKind::Get, KeyKind::Counter, Some(Value::Number(number))) => Some(Act::ReadNumber(*number)),
        (OpKind::Get, KeyKind::List, Some(Value::Missing)) => Some(Act::ReadList(Vec::new())),
        (OpKind::Get, KeyKind::List, Some(Value::List(items))) => Some(Act::ReadList(texts.read_all(items)?)),
        (OpKind::Get, KeyKind::Set, Some(Value::Missing)) => Some(Act::ReadSet(Vec::new())),
        (OpKind::Get, KeyKind::Set, Some(Value::Set(items))) => {
            let mut items = texts.read_all(items)?;
            items.sort_unstable();
            Some(Act::ReadSet(items))
        }
        (kind, _, Some(value)) => return Err(format!("{kind} answered {value:?}")),
        (_, _, None) => None,
    })
}

/// Whether anybody saw the effect of a write of unknown outcome; who was never seen need not have happened.
fn seen(act: &Act, ops: &[(Op, &Operation)]) -> bool {
    ops.iter().any(|(op, _)| match (act, &op.act) {
        (Act::Write(Some(value)), Act::Read(Some(read))) => value == read,
        (Act::Append(value), Act::ReadList(items)) | (Act::Add(value), Act::ReadSet(items)) => {
            items.contains(value)
        }
        (Act::Write(None), Act::Read(None))
        | (Act::Increment(_), Act::Increment(Some(_)) | Act::ReadNumber(_)) => true,
        _ => false,
    })
}

enum Found {
    Fine,
    Wrong(String),
    Unknown(String),
}

fn judge_key(key: Key, operations: &[&Operation], zero: Micros) -> Found {
    let texts = Texts::of(operations);
    let mut ops: Vec<(Op, &Operation)> = Vec::new();
    for one in operations {
        match act(one, &texts) {
            Err(why) => {
                let (client, at) = (one.client, one.complete.logical.counted_from(zero));
                return Found::Wrong(format!("{key}: client {client} {why} at {at}"));
            }
            Ok(None) => {}
            Ok(Some(act)) => {
                let ret = one.ok().then_some(one.complete.order);
                ops.push((Op { call: one.invoke.order, ret, act }, one));
            }
        }
    }
    let kept: Vec<(Op, &Operation)> =
        ops.iter().filter(|(op, _)| op.ret.is_some() || seen(&op.act, &ops)).cloned().collect();
    let plain: Vec<Op> = kept.iter().map(|(op, _)| op.clone()).collect();
    let simple = plain.iter().all(|op| matches!(op.act, Act::Read(_) | Act::Write(Some(_))));
    let grows = plain
        .iter()
        .all(|op| matches!(op.act, Act::Append(_) | Act::ReadList(_) | Act::Add(_) | Act::ReadSet(_)));
    let answer = if simple {
        register::decide(&plain)
    } else if grows {
        growing::decide(&plain)
    } else {
        search::decide(&plain, BUDGET)
    };
    match answer {
        Answer::Linearizable => Found::Fine,
        Answer::Exceeded => Found::Unknown(format!("{key}: no answer within {BUDGET} steps")),
        Answer::Broken(places) => {
            let told: Vec<String> = places.iter().map(|place| tell(kept[*place].1, zero)).collect();
            Found::Wrong(format!("{key}: no order explains {}", told.join("; ")))
        }
    }
}

/// An operation in words, its times counted from `zero`.
pub fn tell(one: &Operation, zero: Micros) -> String {
    let what = one.argument.as_deref().map_or_else(String::new, |text| format!(" {text}"));
    let answer = match &one.outcome {
        Outcome::Ok(value) => super::data_consistency::brief(value),
        Outcome::Fail(why) | Outcome::Unknown(why) => why.clone(),
    };
    format!(
        "{}{what} -> {answer} (client {}, {} to {})",
        one.kind,
        one.client,
        one.invoke.logical.counted_from(zero),
        one.complete.logical.counted_from(zero)
    )
}

/// A read that a node of the shard answered while a failover was replacing its primary.
fn during_failover(facts: &Facts<'_>, one: &Operation) -> bool {
    let Some(node) = one.node.filter(|_| one.kind == OpKind::Get) else { return false };
    facts.record.applied.iter().any(|applied| {
        applied.action == "failover"
            && !skipped(applied)
            && applied.started <= one.complete.logical
            && applied.ended.is_none_or(|ended| ended.plus(facts.node_timeout()) >= one.invoke.logical)
            && applied.resolved.iter().any(|other| {
                *other == node || (facts.shard(*other).is_some() && facts.shard(*other) == facts.shard(node))
            })
    })
}

/// Judges a history by itself, whatever the run: what a person asks for by name. Its times are told as they stand.
pub fn judge_history(history: &[Operation]) -> Judgement {
    let mut by_key: BTreeMap<Key, Vec<&Operation>> = BTreeMap::new();
    for one in history {
        by_key.entry(one.key).or_default().push(one);
    }
    if !history.iter().any(Operation::ok) {
        return Judgement::new(
            Linearizability::NAME,
            Verdict::Unknown,
            "nothing observed: no operation succeeded",
        );
    }
    judge_keys(&by_key, Micros(0))
}

fn judge_keys(by_key: &BTreeMap<Key, Vec<&Operation>>, zero: Micros) -> Judgement {
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    for (key, operations) in by_key {
        match judge_key(*key, operations, zero) {
            Found::Fine => {}
            Found::Wrong(why) => wrong.push(why),
            Found::Unknown(why) => unknown.push(why),
        }
    }
    let operations: usize = by_key.values().map(Vec::len).sum();
    let looked_at = format!("{operations} operations on {} keys", by_key.len());
    let judgement = if !wrong.is_empty() {
        let reason = format!("{} key(s) are not linearizable: {}", wrong.len(), wrong[0]);
        Judgement::new(Linearizability::NAME, Verdict::Fail, reason).with_evidence(wrong)
    } else if !unknown.is_empty() {
        let reason = format!("{} key(s) could not be decided: {}", unknown.len(), unknown[0]);
        Judgement::new(Linearizability::NAME, Verdict::Unknown, reason).with_evidence(unknown)
    } else {
        Judgement::new(
            Linearizability::NAME,
            Verdict::Pass,
            "every key has an order that explains all answers",
        )
    };
    judgement.looked_at(looked_at)
}

impl Check for Linearizability {
    fn claim(&self) -> &'static str {
        "the operations on each key have an order that respects real time and explains every answer"
    }
    fn source(&self) -> &'static str {
        "Herlihy and Wing, 'Linearizability' (1990); the embedded target reads and writes through a consensus log"
    }

    fn judge(&self, record: &Record) -> Judgement {
        let facts = Facts::of(record);
        let events = disruptive(&record.applied, &record.timeline);
        if !facts.consensus() {
            if let Some(event) = events.first() {
                let reason =
                    format!("asynchronous replication owes it in undisturbed runs only ({})", event.event);
                return Judgement::new(Self::NAME, Verdict::NotOwed, reason);
            }
            if record.lives.iter().any(|life| life.ended.is_some()) {
                let reason = "asynchronous replication owes it only while every process lives";
                return Judgement::new(Self::NAME, Verdict::NotOwed, reason);
            }
        }
        if !record.history.iter().any(Operation::ok) {
            return if record.timeline.load.is_none() {
                Judgement::new(Self::NAME, Verdict::NotOwed, "the timeline has no load")
            } else {
                Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed: no operation succeeded")
            };
        }
        let mut by_key: BTreeMap<Key, Vec<&Operation>> = BTreeMap::new();
        let mut left_out = 0;
        for one in &record.history {
            if !facts.consensus() && during_failover(&facts, one) {
                left_out += 1;
            } else {
                by_key.entry(one.key).or_default().push(one);
            }
        }
        let mut judgement = judge_keys(&by_key, record.healthy_at);
        if left_out > 0 {
            judgement.classes.insert("read-during-failover".into(), left_out);
        }
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, list, text};
    use super::*;

    fn judge(scene: &Scene) -> Judgement {
        Linearizability {}.judge(&scene.record)
    }
    fn embedded() -> Scene {
        Scene::new(3, 2).target("embedded").healthy()
    }

    #[test]
    fn a_stale_read_fails_and_names_the_key() {
        let mut scene = embedded();
        scene.set(0, "r:9", "x", 7000);
        scene.set(0, "r:9", "y", 7100);
        scene.get(0, "r:9", Some("x"), 7200);
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.evidence[0].starts_with("r:{9}: no order explains"), "{judgement:?}");
    }

    #[test]
    fn a_refused_write_or_a_strangers_value_that_is_read_fails() {
        let mut scene = embedded();
        scene.op(0, OpKind::Set, "r:9", Some("x"), Outcome::Fail("READONLY".into()), 7000, 7001);
        scene.get(0, "r:9", Some("x"), 7200);
        assert!(judge(&scene).reason.contains("a write that was refused"));
        let mut scene = embedded();
        scene.get(0, "r:9", Some("x"), 7200);
        assert!(judge(&scene).reason.contains("which nobody wrote"));
    }

    #[test]
    fn deletes_are_understood() {
        let mut scene = embedded();
        scene.set(0, "r:9", "x", 7000);
        scene.op(0, OpKind::Delete, "r:9", None, Outcome::Ok(Value::Number(1)), 7100, 7101);
        scene.get(0, "r:9", None, 7200);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.get(0, "r:9", Some("x"), 7300);
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn unknown_writes_may_show_at_any_later_time_or_never() {
        let mut scene = embedded();
        scene.set(0, "r:9", "x", 7000);
        scene.op(0, OpKind::Set, "r:9", Some("y"), Outcome::Unknown("timed out".into()), 7100, 7900);
        scene.get(0, "r:9", Some("x"), 8000);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.get(0, "r:9", Some("y"), 8100);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.get(0, "r:9", Some("x"), 8200);
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn a_list_read_that_misses_an_element_fails() {
        let mut scene = embedded();
        for (at, item) in [(7000, "x"), (7100, "y")] {
            scene.op(0, OpKind::Append, "l:9", Some(item), Outcome::Ok(Value::Number(1)), at, at + 1);
        }
        scene.op(0, OpKind::Get, "l:9", None, Outcome::Ok(list(&["x", "y"])), 7200, 7201);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.op(0, OpKind::Get, "l:9", None, Outcome::Ok(list(&["y"])), 7300, 7301);
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn valkey_owes_it_in_undisturbed_runs_only() {
        let stale = |mut scene: Scene| {
            scene.set(0, "r:9", "x", 7000);
            scene.set(0, "r:9", "y", 7100);
            scene.get(0, "r:9", Some("x"), 7200);
            scene
        };
        assert_eq!(judge(&stale(Scene::new(3, 1).healthy())).verdict, Verdict::Fail);
        let mut scene = stale(Scene::new(3, 1).healthy());
        scene.kill("k1", 5, 9000, None);
        assert_eq!(judge(&scene).verdict, Verdict::NotOwed);
        let mut scene = stale(embedded());
        scene.kill("k1", 5, 9000, None);
        assert_eq!(judge(&scene).verdict, Verdict::Fail, "the embedded target always does");
    }

    #[test]
    fn a_read_on_the_old_primary_during_a_failover_is_left_out_for_valkey() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.set(0, "r:9", "x", 7000);
        scene.set(1, "r:9", "y", 7100);
        scene.get(0, "r:9", Some("x"), 7200);
        scene.apply("f1", "failover: {shard: 0}", 7000, Some(7150), &[0]);
        let judgement = judge(&scene);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(judgement.classes["read-during-failover"], 1);
        scene.record.timeline.target = "embedded".into();
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
    }

    #[test]
    fn an_answer_of_the_wrong_kind_fails_and_no_answer_is_unknown() {
        let mut scene = embedded();
        scene.op(0, OpKind::Get, "c:9", None, Outcome::Ok(text("x")), 7000, 7001);
        assert_eq!(judge(&scene).verdict, Verdict::Fail);
        scene.record.history.clear();
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
        scene.record.timeline.load.rate.0 = 0;
        assert_eq!(judge(&scene).verdict, Verdict::NotOwed);
    }
}
