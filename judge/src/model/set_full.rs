//! `set-full`: every read is a judge of every element.
//!
//! Jepsen's `checker/set-full` (jepsen-io/jepsen, jepsen/src/jepsen/checker.clj). An element is *known* at the
//! first acknowledgement of its add or the end of the first read that holds it. It is *stable* if the last-begun
//! read that holds it began after the last-begun read that lacks it; *lost* if it is known and the last-begun
//! read that lacks it began after it was known and after every read that holds it; else *never read*. A stable
//! element is *stale* if a read that began a millisecond or more after it was known lacks it.
//!
//! Lost is bad; so is stale with `linearizable`; so is an element twice in one read (`duplicated`: Jepsen's
//! documentation says so, while its comparison, `(< v 1)`, can find none). No stable element: `unknown`.

use super::{Model, Unfit};
use crate::objects::{ident::Idents, names::Names, report, report::Report};
use crate::{Budget, History, Options, Value, Verdict};

pub const MODEL: Model =
    Model { name: "set-full", claim: "an element of a set, once known to be in it, stays in it", judge };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Add,
    Read,
}

#[derive(Clone, Copy, Default)]
struct Element {
    /// The last attempt, which begins its life (again).
    add: usize,
    known: Option<usize>,
    /// The last-begun reads that hold it and that lack it.
    present: Option<usize>,
    absent: Option<usize>,
    /// The read that this element was seen in last, to find it twice there.
    seen_in: Option<usize>,
}

/// What all sets had together.
#[derive(Default)]
struct Tally {
    stable: usize,
    stale: Vec<Value>,
    never_read: Vec<Value>,
    stable_ms: Vec<u64>,
    lost_ms: Vec<u64>,
}

fn judge(history: &History, options: &Options, _: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "add, read", |f| match f {
        "add" => Some(Role::Add),
        "read" => Some(Role::Read),
        _ => None,
    })?;
    let mut report = Report::new(history, "set-full: the life of every element (Jepsen's checker/set-full)");
    let mut looked = (0, 0);
    let objects = history.by_key(|_| true);
    if objects.is_empty() {
        report.unknown(Value::NIL, "no element is stable");
    }
    let mut all = Tally::default();
    for (key, ops) in &objects {
        let of = |role| {
            let places = ops.iter().map(|op| *op as usize);
            places.filter(|op| names.role(&history.ops[*op]) == Some(role)).collect::<Vec<_>>()
        };
        let (adds, reads) = (of(Role::Add), of(Role::Read));
        looked = (looked.0 + adds.len(), looked.1 + reads.len());
        let before = (all.stable, report.count("lost"));
        one(&mut report, &mut all, history, *key, (&adds, &reads), options.linearizable)?;
        if (all.stable, report.count("lost")) == before {
            report.unknown(*key, "no element is stable");
        }
    }
    for (name, values) in [("stale", &all.stale), ("never-read", &all.never_read)] {
        if !values.is_empty() {
            report.note(format!("{} {name}: {}", values.len(), report::some(history, values)));
        }
    }
    for (name, ms) in [("stable", &mut all.stable_ms), ("lost", &mut all.lost_ms)] {
        if !ms.is_empty() {
            report.note(format!("{name}-latencies in ms: {}", quantiles(ms)));
        }
    }
    let looked_at = format!("{} adds and {} reads of {} sets", looked.0, looked.1, objects.len());
    Ok(report.verdict(looked_at, "every element that was known to be in the set stayed in it"))
}

fn one(
    report: &mut Report<'_>,
    all: &mut Tally,
    history: &History,
    key: Value,
    (adds, reads): (&[usize], &[usize]),
    linearizable: bool,
) -> Result<(), Unfit> {
    let (arena, ops) = (&history.arena, &history.ops);
    let mut idents = Idents::default();
    let mut elements: Vec<Element> = Vec::new();
    for add in adds {
        let id = idents.of(arena, ops[*add].input) as usize;
        elements.resize(idents.len(), Element { add: usize::MAX, ..Element::default() });
        elements[id].add = *add;
    }
    let know = |element: &mut Element, by: usize| {
        let first = element.known.is_none_or(|known| ops[by].end < ops[known].end);
        if first && ops[by].end > ops[element.add].call {
            element.known = Some(by);
        }
    };
    for add in adds.iter().filter(|add| ops[**add].is_ok()) {
        know(&mut elements[idents.of(arena, ops[*add].input) as usize], *add);
    }
    // In the order of their calls, and for each the latest end of it and of all before: when that is before an
    // element's add, no earlier read says anything of the element.
    let reads: Vec<usize> = reads.iter().copied().filter(|read| ops[*read].is_ok()).collect();
    let mut ends = Vec::with_capacity(reads.len());
    for read in &reads {
        ends.push(ops[*read].end.max(ends.last().copied().unwrap_or(0)));
    }
    let mut unresolved: Vec<u32> =
        (0..elements.len() as u32).filter(|id| elements[*id as usize].add != usize::MAX).collect();
    for (place, read) in reads.iter().enumerate().rev() {
        let op = &ops[*read];
        let Some(items) = arena.items_of(op.output) else {
            return Err(Unfit(format!("a read of a set gives a list: {}", history.tell(*read))));
        };
        for item in items {
            let id = idents.of(arena, *item) as usize;
            if id >= elements.len() {
                elements.resize(id + 1, Element { add: usize::MAX, ..Element::default() });
            }
            let element = &mut elements[id];
            if element.seen_in == Some(*read) {
                report.found("duplicated", key, || {
                    (vec![*read], format!("{} is twice in one read", arena.show(*item)))
                });
            }
            element.seen_in = Some(*read);
            if element.add != usize::MAX && op.end > ops[element.add].call {
                know(element, *read);
                element.present.get_or_insert(*read);
            }
        }
        unresolved.retain(|id| {
            let element = &mut elements[*id as usize];
            let add = ops[element.add].call;
            if ends[place] < add {
                return false;
            }
            if op.end > add && element.seen_in != Some(*read) {
                element.absent = Some(*read);
                return false;
            }
            true
        });
    }
    for (id, element) in elements.iter().enumerate().filter(|(_, element)| element.add != usize::MAX) {
        let value = idents.value(id as u32);
        let call = |read: Option<usize>| read.map_or(-1, |read| i64::from(ops[read].call));
        let (present, absent) = (call(element.present), call(element.absent));
        let known = element.known.map_or(i64::MAX, |known| i64::from(ops[known].end));
        if present > absent {
            all.stable += 1;
            let late = element.known.map_or(0, |known| latency(history, element.absent, known));
            all.stable_ms.push(late);
            if late > 0 {
                all.stale.push(value);
            }
            if let (true, true, Some(known), Some(absent)) =
                (linearizable, late > 0, element.known, element.absent)
            {
                report.found("stale", key, || {
                    let value = arena.show(value);
                    let story =
                        format!("{value} was known to be in the set; a read begun {late} ms later lacks it");
                    (vec![known, absent], story)
                });
            }
        } else if let (Some(by), Some(absent_in), true) = (element.known, element.absent, absent > known) {
            all.lost_ms.push(latency(history, element.present, by));
            report.found("lost", key, || {
                let mut places = vec![element.add, by];
                places.extend(element.present);
                places.push(absent_in);
                places.sort_unstable();
                places.dedup();
                let value = arena.show(value);
                (
                    places,
                    format!("{value} was known to be in the set; no later read holds it, and one lacks it"),
                )
            });
        } else {
            all.never_read.push(value);
        }
    }
    Ok(())
}

/// From when the element was known to just after the read began, in milliseconds; in places of events where the
/// history has no times. Zero for no read, and for one that began before.
fn latency(history: &History, read: Option<usize>, known: usize) -> u64 {
    let Some(read) = read else { return 0 };
    let (read, known) = (&history.ops[read], &history.ops[known]);
    match (read.time_call, known.time_end) {
        (Some(read), Some(known)) => (read + 1).saturating_sub(known) / 1_000_000,
        _ => u64::from(read.call).saturating_sub(u64::from(known.end)),
    }
}

/// At 0, 0.5, 0.95, 0.99 and 1, as Jepsen gives them.
fn quantiles(ms: &mut [u64]) -> String {
    ms.sort_unstable();
    let at = |(permille, name): (usize, &str)| {
        format!("{name}: {}", ms[(ms.len() * permille / 1000).min(ms.len() - 1)])
    };
    let points = [(0, "0"), (500, "0.5"), (950, "0.95"), (990, "0.99"), (1000, "1")];
    points.map(at).join(", ")
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::{answer, judged, judged_with};
    use crate::{Answer, Options};

    #[test]
    fn a_concurrent_read_that_lacks_an_element_says_nothing() {
        let (a, a2, r, yes, no) = ("0 i add 0", "0 o add 0", "1 i read", "1 o read [0]", "1 o read []");
        let all = |events: [&str; 4]| answer("set-full", &events.join("; "));
        for events in [[r, a, yes, a2], [r, a, a2, yes], [a, r, yes, a2], [a, r, a2, yes], [a, a2, r, yes]] {
            assert_eq!(all(events), "ok");
        }
        assert_eq!(all([a, a2, r, no]), "bad");
        for events in [[r, a, no, a2], [r, a, a2, no], [a, r, no, a2], [a, r, a2, no]] {
            assert_eq!(all(events), "unknown");
        }
        assert_eq!(answer("set-full", "0 i add 0; 0 o add 0"), "unknown");
        assert_eq!(answer("set-full", "0 i add 0; 1 i read; 1 o read []"), "unknown");
    }

    #[test]
    fn elements_that_vanish_are_lost_with_their_latency() {
        let verdict = judged(
            "set-full",
            "0 i add 0; 1 i add 1; 2 i read; 2 o read [1]; 0 o add 0; 1 o add 1; 2 i read; 2 o read [0,1]; \
             2 i read; 2 o read [0]; 2 i read; 2 o read []",
        );
        assert_eq!((verdict.answer, verdict.reason.as_str()), (Answer::Bad, "2 lost"));
        assert_eq!(verdict.notes, ["lost-latencies in ms: 0: 3, 0.5: 4, 0.95: 4, 0.99: 4, 1: 4"]);
    }

    #[test]
    fn an_element_that_flutters_is_stale() {
        let verdict = judged(
            "set-full",
            "0 i add 0; 0 o add 0; 1 i add 1; 2 i read; 2 o read [1]; 1 o add 1; 2 i read; 3 i read; \
             3 o read [1]; 2 o read [0]",
        );
        assert_eq!(verdict.reason, "1 lost");
        assert_eq!(
            verdict.notes,
            [
                "1 stale: 1",
                "stable-latencies in ms: 0: 2, 0.5: 2, 0.95: 2, 0.99: 2, 1: 2",
                "lost-latencies in ms: 0: 5, 0.5: 5, 0.95: 5, 0.99: 5, 1: 5"
            ]
        );
    }

    #[test]
    fn a_stale_read_is_bad_for_a_linearizable_set_alone() {
        let events = "0 i add 0; 0 o add 0; 1 i read; 1 o read []; 1 i read; 1 o read [0]";
        assert_eq!(answer("set-full", events), "ok");
        let verdict = judged_with("set-full", events, &Options { linearizable: true, ..Options::default() });
        assert_eq!((verdict.reason.as_str(), &verdict.anomalies[0].ops[..]), ("1 stale", &[0, 1][..]));
    }

    #[test]
    fn an_element_twice_in_one_read_is_duplicated() {
        assert_eq!(
            judged("set-full", "0 i add 0; 0 o add 0; 1 i read; 1 o read [0,0]").reason,
            "1 duplicated"
        );
    }
}
