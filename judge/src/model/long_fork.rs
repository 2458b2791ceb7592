//! `long-fork`: two reads of one group of keys see two writes in opposite orders.
//!
//! Jepsen's long-fork test (jepsen-io/jepsen, `jepsen/src/jepsen/tests/long_fork.clj`): each key is written once, by
//! a transaction of one write; reads are transactions over all keys of a group. Of two reads of a group, one must
//! have seen all that the other saw; else the two are a fork, which parallel snapshot isolation allows and
//! snapshot isolation does not. If a key is written twice, a group has another size than the others, or two reads
//! saw two values of a key, the method does not apply: `unknown`.
//!
//! Sorted by how many keys they saw, the reads of a group must form a chain, so neighbours are compared, not
//! all pairs. Reads that saw nothing (early) or everything (late) cannot fork, and are counted.

use super::{Model, Unfit};
use crate::objects::{ident::Idents, report::Report};
use crate::{Budget, History, Options, Value, Verdict};
use rustc_hash::{FxHashMap, FxHashSet};

pub const MODEL: Model =
    Model { name: "long-fork", claim: "reads of a group of keys see its writes in one order", judge };

/// A read of a group: its place, and for each key of the group, in their order, the number of the value or none.
type Read = (usize, Vec<Option<u32>>);

fn judge(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let arena = &history.arena;
    let mut report =
        Report::new(history, "long-fork: the reads of a group are a chain (Jepsen's tests/long-fork)");
    let mut idents = Idents::default();
    let mut written = FxHashSet::default();
    // The keys of a group, in order, and its number; groups are judged in the order of their first reads.
    let mut groups: FxHashMap<Vec<u32>, usize> = FxHashMap::default();
    let mut reads: Vec<Vec<Read>> = Vec::new();
    let mut size = options.group_size.map(|size| size as usize);
    let (mut count, mut early, mut late) = (0, 0, 0);
    for (place, op) in history.ops.iter().enumerate() {
        let unfit = || Unfit(format!("a transaction is a list of [f, key, value]: {}", history.tell(place)));
        let asked = steps(history, op.input).ok_or_else(unfit)?;
        if let [(false, key, _)] = asked[..] {
            if !written.insert(idents.of(arena, key)) {
                let key = arena.show(key);
                report.unknown(Value::NIL, format!("multiple-writes: {key} is written more than once"));
            }
            continue;
        }
        if !op.is_ok() {
            continue;
        }
        let steps = steps(history, op.output).ok_or_else(unfit)?;
        if steps.iter().any(|(read, _, _)| !read) {
            continue;
        }
        count += 1;
        let mut seen: Vec<(u32, Option<u32>)> = Vec::with_capacity(steps.len());
        for (_, key, value) in &steps {
            let (key, value) = (idents.of(arena, *key), (!value.is_nil()).then(|| idents.of(arena, *value)));
            // Of a key that is read twice, the last counts.
            match seen.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => seen.push((key, value)),
            }
        }
        seen.sort_unstable();
        early += usize::from(seen.iter().all(|(_, value)| value.is_none()));
        late += usize::from(seen.iter().all(|(_, value)| value.is_some()));
        let size = *size.get_or_insert(seen.len());
        if seen.len() != size {
            let read = history.tell(place);
            report.unknown(Value::NIL, format!("illegal-history: a read should observe {size} keys: {read}"));
            continue;
        }
        let next = groups.len();
        let group = *groups.entry(seen.iter().map(|(key, _)| *key).collect()).or_insert(next);
        reads.resize_with(groups.len(), Vec::new);
        reads[group].push((place, seen.into_iter().map(|(_, value)| value).collect()));
    }
    let mut forks = Vec::new();
    for group in reads {
        match chain(history, budget, group) {
            Err(spent) => report.unknown(Value::NIL, spent.to_string()),
            Ok(Chain::Holds) => {}
            Ok(Chain::Illegal(a, b)) => {
                let (a, b) = (history.tell(a), history.tell(b));
                report.unknown(
                    Value::NIL,
                    format!("illegal-history: two values of one key were read: {a}; {b}"),
                );
            }
            Ok(Chain::Forks(found)) => forks.extend(found),
        }
    }
    if !report.is_undecided() {
        for (a, b) in forks {
            report.found("forks", Value::NIL, || {
                (vec![a.min(b), a.max(b)], "each saw a write that the other missed".into())
            });
        }
    }
    report.note(format!("{count} reads, {early} early (saw nothing), {late} late (saw everything)"));
    let looked_at = format!("{count} acknowledged reads of {} groups", groups.len());
    Ok(report.verdict(looked_at, "the reads of each group see its writes in one order"))
}

/// The steps of a transaction: whether it reads, key, value. `None`: it is none.
fn steps(history: &History, txn: Value) -> Option<Vec<(bool, Value, Value)>> {
    let step = |step: &Value| {
        let [f, key, value] = *history.arena.items_of(*step)? else { return None };
        match history.arena.str_of(f)?.trim_start_matches(':') {
            "r" | "read" => Some((true, key, value)),
            "w" | "write" => Some((false, key, value)),
            _ => None,
        }
    };
    history.arena.items_of(txn)?.iter().map(step).collect()
}

enum Chain {
    Holds,
    /// Two reads that saw two values of one key.
    Illegal(usize, usize),
    Forks(Vec<(usize, usize)>),
}

fn chain(history: &History, budget: &Budget, mut reads: Vec<Read>) -> Result<Chain, crate::Spent> {
    budget.spend(reads.len() as u64)?;
    for key in 0..reads.first().map_or(0, |(_, seen)| seen.len()) {
        let mut values = reads.iter().filter_map(|(place, seen)| Some((*place, seen[key]?)));
        if let Some((first, value)) = values.next()
            && let Some((other, _)) = values.find(|(_, other)| *other != value)
        {
            return Ok(Chain::Illegal(first, other));
        }
    }
    let saw = |seen: &[Option<u32>]| seen.iter().flatten().count();
    reads.sort_by_key(|(place, seen)| (saw(seen), history.ops[*place].call));
    let forks: Vec<(usize, usize)> = reads
        .windows(2)
        .filter(|pair| pair[0].1.iter().zip(&pair[1].1).any(|(less, more)| less.is_some() && more.is_none()))
        .map(|pair| (pair[0].0, pair[1].0))
        .collect();
    Ok(if forks.is_empty() { Chain::Holds } else { Chain::Forks(forks) })
}

#[cfg(test)]
mod tests {
    use crate::Options;
    use crate::objects::tests::{answer, judged_with};

    #[test]
    fn two_reads_that_each_miss_what_the_other_saw_are_a_fork() {
        let events = r#"0 i read [["r",0,null],["r",1,null],["r",2,null]];
            1 i read [["r",2,null],["r",0,null],["r",1,null]];
            0 o read [["r",0,1],["r",1,1],["r",2,null]]; 1 o read [["r",2,1],["r",0,1],["r",1,null]]"#;
        let verdict =
            judged_with("long-fork", events, &Options { group_size: Some(3), ..Options::default() });
        assert_eq!((verdict.reason.as_str(), &verdict.anomalies[0].ops[..]), ("1 forks", &[0, 1][..]));
        assert_eq!(verdict.notes, ["2 reads, 0 early (saw nothing), 0 late (saw everything)"]);
        let two = judged_with("long-fork", events, &Options { group_size: Some(2), ..Options::default() });
        assert_eq!(two.answer.word(), "unknown");
    }

    #[test]
    fn reads_in_one_order_are_no_fork() {
        let events = r#"2 i txn [["w",0,1]]; 0 i txn [["r",0,null],["r",1,null]]; 0 o txn [["r",0,1],["r",1,null]];
            1 i txn [["r",1,null],["r",0,null]]; 1 o txn [["r",1,1],["r",0,1]]"#;
        assert_eq!(answer("long-fork", events), "ok");
    }

    #[test]
    fn two_writes_to_a_key_or_two_values_of_it_are_not_judged() {
        assert_eq!(
            answer("long-fork", r#"0 i txn [["w",0,1]]; 0 f txn [["w",0,1]]; 0 i txn [["w",0,2]]"#),
            "unknown"
        );
        let values =
            r#"0 i txn [["r",0,null]]; 0 o txn [["r",0,1]]; 0 i txn [["r",0,null]]; 0 o txn [["r",0,2]]"#;
        assert_eq!(answer("long-fork", values), "unknown");
    }
}
