//! `set`: elements are added, and the last read is the judge of all.
//!
//! Jepsen's `checker/set` (jepsen-io/jepsen, jepsen/src/jepsen/checker.clj): of the last acknowledged `read`,
//! every acknowledged `add` must be in it (else `lost`), and everything in it must have been asked for (else
//! `unexpected`; a refused add counts as asked for). Adds of unknown outcome that are in it are `recovered`.
//! Without an acknowledged read there is nothing to judge by: `unknown`.

use super::{Model, Unfit};
use crate::objects::{ident::Idents, names::Names, report, report::Report};
use crate::{Budget, History, Options, Value, Verdict};

pub const MODEL: Model = Model {
    name: "set",
    claim: "the last read of a set holds every acknowledged element, and none that was not added",
    judge,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Add,
    Read,
}

fn judge(history: &History, _: &Options, _: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "add, read", |f| match f {
        "add" => Some(Role::Add),
        "read" => Some(Role::Read),
        _ => None,
    })?;
    let mut report = Report::new(history, "set: the last read against the adds (Jepsen's checker/set)");
    let (mut attempts, mut reads) = (0, 0);
    let objects = history.by_key(|_| true);
    if objects.is_empty() {
        report.unknown(Value::NIL, "the set was never read");
    }
    for (key, ops) in &objects {
        let names = &names;
        let of = |role| {
            ops.iter().map(|op| *op as usize).filter(move |op| names.role(&history.ops[*op]) == Some(role))
        };
        attempts += of(Role::Add).count();
        reads += of(Role::Read).count();
        let last = of(Role::Read).filter(|op| history.ops[*op].is_ok()).max_by_key(|op| history.ops[*op].end);
        match last.filter(|op| !history.ops[*op].output.is_nil()) {
            None => report.unknown(*key, "the set was never read"),
            Some(last) => one(&mut report, history, *key, of(Role::Add), last)?,
        }
    }
    let looked_at = format!("{attempts} adds and {reads} reads of {} sets", objects.len());
    Ok(report.verdict(looked_at, "the last read holds what was acknowledged, and nothing else"))
}

fn one(
    report: &mut Report<'_>,
    history: &History,
    key: Value,
    adds: impl Iterator<Item = usize>,
    last: usize,
) -> Result<(), Unfit> {
    let arena = &history.arena;
    let Some(read) = arena.items_of(history.ops[last].output) else {
        return Err(Unfit(format!("a read of a set gives a list: {}", history.tell(last))));
    };
    let mut idents = Idents::default();
    // By element: the first acknowledged add, else the first attempt.
    let mut asked: Vec<Option<usize>> = Vec::new();
    for add in adds {
        let op = &history.ops[add];
        let id = idents.of(arena, op.input) as usize;
        asked.resize(idents.len(), None);
        if asked[id].is_none_or(|first| op.is_ok() && !history.ops[first].is_ok()) {
            asked[id] = Some(add);
        }
    }
    let mut in_read = vec![false; asked.len()];
    for item in read {
        let id = idents.of(arena, *item) as usize;
        in_read.resize(idents.len().max(in_read.len()), false);
        asked.resize(in_read.len(), None);
        if asked[id].is_none() && !in_read[id] {
            report.found("unexpected", key, || {
                (vec![last], format!("{} was read and never added", arena.show(*item)))
            });
        }
        in_read[id] = true;
    }
    in_read.resize(asked.len(), false);
    let mut recovered = Vec::new();
    for (id, add) in asked.iter().enumerate() {
        let Some(add) = add else { continue };
        let ok = history.ops[*add].is_ok();
        if ok && !in_read[id] {
            report.found("lost", key, || {
                let element = arena.show(idents.value(id as u32));
                (vec![*add, last], format!("the add of {element} was acknowledged; the last read lacks it"))
            });
        } else if !ok && in_read[id] {
            recovered.push(idents.value(id as u32));
        }
    }
    if !recovered.is_empty() {
        report.note(format!(
            "{} recovered (read, though the add was not acknowledged): {}",
            recovered.len(),
            report::some(history, &recovered)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::{answer, judged};

    #[test]
    fn lost_unexpected_and_recovered_elements_are_told_apart() {
        let verdict = judged(
            "set",
            "0 i add 0; 0 o add 0; 0 i add 1; 0 o add 1; 1 i add 10; 1 ? add 10; 2 i add 20; 2 f add 20; \
             4 i read; 4 o read [0,10,20,30]",
        );
        assert_eq!(verdict.reason, "1 unexpected, 1 lost");
        assert_eq!(verdict.notes, ["2 recovered (read, though the add was not acknowledged): 10, 20"]);
        assert_eq!(verdict.anomalies[1].ops, [1, 4]);
    }

    #[test]
    fn a_set_that_was_never_read_is_unknown() {
        assert_eq!(answer("set", "0 i add 0; 0 o add 0; 1 i read; 1 ? read"), "unknown");
        assert_eq!(answer("set", "0 i add 0; 0 o add 0; 1 i read; 1 o read null"), "unknown");
        assert_eq!(answer("set", ""), "unknown");
    }

    #[test]
    fn only_the_last_read_counts() {
        assert_eq!(
            answer("set", "0 i add 0; 0 o add 0; 1 i read; 1 o read []; 1 i read; 1 o read [0]"),
            "ok"
        );
    }
}
