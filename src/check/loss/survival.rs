//! What became of the acknowledged writes of one key, judged by its value at the end.
//!
//! Only what is certain counts. An operation that was not acknowledged may have taken effect at any time after
//! it was issued, or never; two operations are in order only if one returned before the other was invoked.

use crate::history::{KeyKind, OpKind, Operation, Outcome, Value};
use std::collections::BTreeMap;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fate<'a> {
    /// Acknowledged writes whose effect is certainly gone.
    pub lost: Vec<&'a Operation>,
    /// Acknowledged writes whose effect is certainly there.
    pub survived: Vec<&'a Operation>,
    /// Groups of which all but one are certainly gone: increments that were answered with the same number.
    pub all_but_one: Vec<Vec<&'a Operation>>,
    /// What no loss explains: values nobody wrote, refused writes that took effect, order turned round.
    pub impossible: Vec<String>,
}

/// One returned before the other was invoked, and surely took effect before it.
fn before(one: &Operation, other: &Operation) -> bool {
    one.ok() && one.complete.order < other.invoke.order
}

fn refused(operation: &Operation) -> bool {
    matches!(operation.outcome, Outcome::Fail(_))
}

/// The fate of the writes among `operations`, which are all of one key.
pub fn fate<'a>(kind: KeyKind, operations: &[&'a Operation], value: &Value) -> Fate<'a> {
    match kind {
        KeyKind::Register => register(operations, value),
        KeyKind::Counter => counter(operations, value),
        KeyKind::List => elements(operations, value, OpKind::Append),
        KeyKind::Set => elements(operations, value, OpKind::Add),
    }
}

fn register<'a>(operations: &[&'a Operation], value: &Value) -> Fate<'a> {
    let mut fate = Fate::default();
    let writes: Vec<&'a Operation> =
        operations.iter().copied().filter(|one| one.kind.writes() && !refused(one)).collect();
    match value {
        Value::Text(text) => {
            let wrote = |one: &&&Operation| one.kind == OpKind::Set && one.argument.as_deref() == Some(text);
            match operations.iter().find(wrote) {
                None => fate.impossible.push(format!("holds `{text}`, which nobody wrote")),
                Some(one) if refused(one) => {
                    fate.impossible.push(format!("holds `{text}`, a write that was refused"));
                }
                Some(writer) => {
                    if writer.ok() {
                        fate.survived.push(writer);
                    }
                    fate.lost.extend(writes.iter().filter(|one| one.ok() && before(writer, one)));
                }
            }
        }
        Value::Missing => {
            let deletes: Vec<&&Operation> = writes.iter().filter(|one| one.kind == OpKind::Delete).collect();
            for one in writes.iter().filter(|one| one.kind == OpKind::Set && one.ok()) {
                if deletes.iter().all(|delete| before(delete, one)) {
                    fate.lost.push(one);
                }
            }
        }
        other => fate.impossible.push(format!("is no register but {other:?}")),
    }
    fate
}

fn counter<'a>(operations: &[&'a Operation], value: &Value) -> Fate<'a> {
    let mut fate = Fate::default();
    let count = match value {
        Value::Missing => 0,
        Value::Number(count) => *count,
        other => {
            fate.impossible.push(format!("is no counter but {other:?}"));
            return fate;
        }
    };
    let mut by_answer: BTreeMap<i64, Vec<&'a Operation>> = BTreeMap::new();
    let (mut acknowledged, mut unknown) = (0i64, 0i64);
    for one in operations.iter().copied().filter(|one| one.kind == OpKind::Incr) {
        match &one.outcome {
            Outcome::Ok(Value::Number(answer)) => {
                acknowledged += 1;
                by_answer.entry(*answer).or_default().push(one);
            }
            Outcome::Ok(_) => acknowledged += 1,
            Outcome::Unknown(_) => unknown += 1,
            Outcome::Fail(_) => {}
        }
    }
    if count > acknowledged + unknown {
        let most = acknowledged + unknown;
        fate.impossible.push(format!("is {count}, though at most {most} increments took effect"));
    }
    for (answer, group) in by_answer {
        if answer > count {
            fate.lost.extend(group);
        } else if group.len() > 1 {
            fate.all_but_one.push(group);
        } else if unknown == 0 {
            // An increment of unknown outcome may stand in for a lost one; without any, numbers are places.
            fate.survived.extend(group);
        }
    }
    fate
}

fn elements<'a>(operations: &[&'a Operation], value: &Value, kind: OpKind) -> Fate<'a> {
    let mut fate = Fate::default();
    let items: &[String] = match value {
        Value::Missing => &[],
        Value::List(items) | Value::Set(items) => items,
        other => {
            fate.impossible.push(format!("is no collection but {other:?}"));
            return fate;
        }
    };
    let writers: BTreeMap<&str, &'a Operation> = operations
        .iter()
        .filter(|one| one.kind == kind)
        .filter_map(|one| Some((one.argument.as_deref()?, *one)))
        .collect();
    let mut held: BTreeMap<&str, &'a Operation> = BTreeMap::new();
    let mut in_order: Vec<&'a Operation> = Vec::new();
    for item in items {
        match writers.get(item.as_str()) {
            None => fate.impossible.push(format!("holds `{item}`, which nobody wrote")),
            Some(one) if refused(one) => {
                fate.impossible.push(format!("holds `{item}`, a write that was refused"));
            }
            Some(one) => {
                if held.insert(item, one).is_some() {
                    fate.impossible.push(format!("holds `{item}` twice"));
                } else {
                    in_order.push(one);
                }
            }
        }
    }
    if kind == OpKind::Append {
        // The earliest return of all that stand further on: nothing may have been invoked after it.
        let mut earliest: Option<&Operation> = None;
        for one in in_order.iter().rev() {
            if let Some(later) = earliest.filter(|later| before(later, one)) {
                let (first, second) = (argument(one), argument(later));
                fate.impossible.push(format!("holds `{first}` before `{second}`, which returned first"));
            }
            if one.ok() && earliest.is_none_or(|other| one.complete.order < other.complete.order) {
                earliest = Some(one);
            }
        }
    }
    for (item, one) in writers {
        if one.ok() {
            if held.contains_key(item) { fate.survived.push(one) } else { fate.lost.push(one) }
        }
    }
    fate
}

fn argument(operation: &Operation) -> &str {
    operation.argument.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Scene, key, list, set, text};
    use super::*;

    fn unknown() -> Outcome {
        Outcome::Unknown("timed out".into())
    }
    fn number(count: i64) -> Outcome {
        Outcome::Ok(Value::Number(count))
    }
    /// Lost, survived, groups and impossibilities, as counts.
    fn counts(scene: &Scene, name: &str, value: &Value) -> (usize, usize, usize, usize) {
        let operations: Vec<&Operation> =
            scene.record.history.iter().filter(|one| one.key == key(name)).collect();
        let fate = fate(key(name).kind, &operations, value);
        (fate.lost.len(), fate.survived.len(), fate.all_but_one.len(), fate.impossible.len())
    }

    #[test]
    fn a_register_loses_what_was_written_after_its_value() {
        let mut scene = Scene::new(3, 1);
        scene.set(0, "r:9", "a", 100);
        scene.set(0, "r:9", "b", 200);
        scene.set(0, "r:9", "c", 300);
        assert_eq!(counts(&scene, "r:9", &text("c")), (0, 1, 0, 0));
        assert_eq!(counts(&scene, "r:9", &text("a")), (2, 1, 0, 0));
        assert_eq!(counts(&scene, "r:9", &Value::Missing), (3, 0, 0, 0));
        assert_eq!(counts(&scene, "r:9", &text("z")), (0, 0, 0, 1));
    }

    #[test]
    fn concurrent_writes_overwrite_each_other_in_either_order() {
        let mut scene = Scene::new(3, 1);
        scene.op(0, OpKind::Set, "r:9", Some("a"), Outcome::Ok(text("OK")), 100, 200);
        scene.op(0, OpKind::Set, "r:9", Some("b"), Outcome::Ok(text("OK")), 150, 250);
        assert_eq!(counts(&scene, "r:9", &text("a")), (0, 1, 0, 0));
        assert_eq!(counts(&scene, "r:9", &text("b")), (0, 1, 0, 0));
    }

    #[test]
    fn an_unknown_write_may_come_late_and_a_refused_one_never() {
        let mut scene = Scene::new(3, 1);
        scene.op(0, OpKind::Set, "r:9", Some("a"), unknown(), 100, 110);
        scene.set(0, "r:9", "b", 200);
        scene.op(0, OpKind::Set, "r:9", Some("c"), Outcome::Fail("MOVED".into()), 300, 310);
        assert_eq!(counts(&scene, "r:9", &text("a")), (0, 0, 0, 0));
        assert_eq!(counts(&scene, "r:9", &text("c")), (0, 0, 0, 1));
    }

    #[test]
    fn a_deleted_value_that_comes_back_is_a_lost_delete() {
        let mut scene = Scene::new(3, 1);
        scene.set(0, "r:9", "a", 100);
        scene.op(0, OpKind::Delete, "r:9", None, number(1), 200, 201);
        assert_eq!(counts(&scene, "r:9", &Value::Missing), (0, 0, 0, 0));
        assert_eq!(counts(&scene, "r:9", &text("a")), (1, 1, 0, 0));
    }

    #[test]
    fn a_delete_excuses_the_absence_of_what_it_may_have_followed_only() {
        let mut scene = Scene::new(3, 1);
        scene.op(0, OpKind::Delete, "r:9", None, number(0), 100, 101);
        scene.set(0, "r:9", "a", 200);
        assert_eq!(counts(&scene, "r:9", &Value::Missing), (1, 0, 0, 0));
        scene.op(0, OpKind::Delete, "r:9", None, unknown(), 150, 160);
        assert_eq!(counts(&scene, "r:9", &Value::Missing), (0, 0, 0, 0), "it may have come late");
    }

    #[test]
    fn a_counter_loses_the_numbers_it_does_not_reach() {
        let mut scene = Scene::new(3, 1);
        for count in 1..=4 {
            scene.op(0, OpKind::Incr, "c:9", None, number(count), 100 * count as u64, 100 * count as u64 + 1);
        }
        assert_eq!(counts(&scene, "c:9", &Value::Number(4)), (0, 4, 0, 0));
        assert_eq!(counts(&scene, "c:9", &Value::Number(2)), (2, 2, 0, 0));
        assert_eq!(counts(&scene, "c:9", &Value::Missing), (4, 0, 0, 0));
        assert_eq!(counts(&scene, "c:9", &Value::Number(5)), (0, 4, 0, 1));
        scene.op(0, OpKind::Incr, "c:9", None, unknown(), 900, 901);
        assert_eq!(counts(&scene, "c:9", &Value::Number(5)), (0, 0, 0, 0), "the unknown one took effect");
        assert_eq!(counts(&scene, "c:9", &Value::Number(6)), (0, 0, 0, 1));
    }

    #[test]
    fn increments_with_the_same_answer_are_all_lost_but_one() {
        let mut scene = Scene::new(3, 1);
        for (at, count) in [(100, 1), (200, 2), (300, 2), (400, 3)] {
            scene.op(0, OpKind::Incr, "c:9", None, number(count), at, at + 1);
        }
        assert_eq!(counts(&scene, "c:9", &Value::Number(3)), (0, 2, 1, 0));
    }

    #[test]
    fn a_list_tells_losses_strangers_doubles_and_order() {
        let mut scene = Scene::new(3, 1);
        for (at, item) in [(100, "a"), (200, "b"), (300, "c")] {
            scene.op(0, OpKind::Append, "l:9", Some(item), number(0), at, at + 1);
        }
        scene.op(0, OpKind::Append, "l:9", Some("u"), unknown(), 150, 151);
        scene.op(0, OpKind::Append, "l:9", Some("f"), Outcome::Fail("OOM".into()), 160, 161);
        for (items, expected) in [
            (vec!["a", "b", "c"], (0, 3, 0, 0)),
            (vec!["a", "b"], (1, 2, 0, 0)),
            (vec!["a", "c"], (1, 2, 0, 0)),
            (vec!["a", "b", "c", "u"], (0, 3, 0, 0)),
            (vec!["u", "a", "b", "c"], (0, 3, 0, 1)),
            (vec!["b", "a", "c"], (0, 3, 0, 1)),
            (vec!["a", "b", "b", "c"], (0, 3, 0, 1)),
            (vec!["a", "b", "c", "z"], (0, 3, 0, 1)),
            (vec!["a", "b", "c", "f"], (0, 3, 0, 1)),
        ] {
            assert_eq!(counts(&scene, "l:9", &list(&items)), expected, "{items:?}");
        }
        assert_eq!(counts(&scene, "l:9", &Value::Missing), (3, 0, 0, 0));
    }

    #[test]
    fn a_set_has_no_order() {
        let mut scene = Scene::new(3, 1);
        for (at, item) in [(100, "b"), (200, "a")] {
            scene.op(0, OpKind::Add, "s:9", Some(item), number(1), at, at + 1);
        }
        assert_eq!(counts(&scene, "s:9", &set(&["a", "b"])), (0, 2, 0, 0));
        assert_eq!(counts(&scene, "s:9", &set(&["a"])), (1, 1, 0, 0));
        assert_eq!(counts(&scene, "s:9", &set(&["a", "b", "z"])), (0, 2, 0, 1));
    }

    #[test]
    fn a_value_of_another_kind_is_impossible() {
        let scene = Scene::new(3, 1);
        for (name, value) in
            [("r:9", list(&["a"])), ("c:9", text("a")), ("l:9", text("a")), ("s:9", text("a"))]
        {
            assert_eq!(counts(&scene, name, &value), (0, 0, 0, 1), "{name}");
        }
    }
}
