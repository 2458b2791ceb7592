//! `total-queue`: what goes in must come out.
//!
//! Jepsen's `checker/total-queue` (jepsen-io/jepsen, jepsen/src/jepsen/checker.clj), over the multiset of all
//! that was taken by acknowledged dequeues and drains: an acknowledged enqueue that never came out is `lost`,
//! what came out without an attempt to enqueue it is `unexpected`; either is bad. What came out more often than
//! it was attempted is `duplicated`, what came out of an enqueue that was not acknowledged is `recovered`; Jepsen
//! counts them and finds no fault, for many queues promise delivery at least once. The history has to drain the
//! queue. A drain of unknown outcome may have taken anything: `unknown`. As in Jepsen, a dequeue of an empty
//! queue is a `fail`; an acknowledged dequeue of null took a null.

use super::{Model, Unfit};
use crate::objects::names::{self, Collection, Names};
use crate::objects::{ident::Idents, report, report::Report};
use crate::{Budget, History, Options, Outcome, Value, Verdict};

pub const MODEL: Model = Model {
    name: "total-queue",
    claim: "every acknowledged enqueue is dequeued in the end, and nothing else is",
    judge,
};

/// How often one value was tried, acknowledged and taken.
#[derive(Clone, Copy, Default)]
struct Count {
    attempts: u32,
    acknowledged: u32,
    taken: u32,
    /// The last acknowledged enqueue, else the last attempt; the last to take it.
    put: Option<usize>,
    take: Option<usize>,
}

fn judge(history: &History, _: &Options, _: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "enqueue, dequeue, drain", names::collection)?;
    let mut report = Report::new(history, "total-queue: multisets (Jepsen's checker/total-queue)");
    let objects = history.by_key(|_| true);
    let (mut puts, mut takes) = (0, 0);
    let (mut duplicated, mut recovered) = (Vec::new(), Vec::new());
    for (key, places) in &objects {
        let mut idents = Idents::default();
        let mut counts: Vec<Count> = Vec::new();
        let mut crashed = None;
        let mut of = |counts: &mut Vec<Count>, value: Value| {
            let id = idents.of(&history.arena, value) as usize;
            counts.resize(idents.len().max(counts.len()), Count::default());
            id
        };
        for place in places.iter().map(|place| *place as usize) {
            let op = &history.ops[place];
            match names.role(op) {
                Some(Collection::Put) => {
                    let id = of(&mut counts, op.input);
                    let count = &mut counts[id];
                    count.attempts += 1;
                    count.acknowledged += u32::from(op.is_ok());
                    if op.is_ok() || count.acknowledged == 0 {
                        count.put = Some(place);
                    }
                    puts += 1;
                }
                Some(Collection::Take) if op.is_ok() => {
                    let id = of(&mut counts, op.output);
                    counts[id].taken += 1;
                    counts[id].take = Some(place);
                    takes += 1;
                }
                Some(Collection::Drain) if op.is_ok() => {
                    let Some(items) = history.arena.items_of(op.output) else {
                        return Err(Unfit(format!("a drain gives a list: {}", history.tell(place))));
                    };
                    for item in items {
                        let id = of(&mut counts, *item);
                        counts[id].taken += 1;
                        counts[id].take = Some(place);
                        takes += 1;
                    }
                }
                Some(Collection::Drain) if op.outcome == Outcome::Info => crashed = crashed.or(Some(place)),
                _ => {}
            }
        }
        if let Some(place) = crashed {
            let drain = history.tell(place);
            report.unknown(*key, format!("a drain of unknown outcome may have taken anything: {drain}"));
            continue;
        }
        for (id, count) in counts.iter().enumerate() {
            let value = idents.value(id as u32);
            let shown = || history.arena.show(value);
            if count.acknowledged > count.taken {
                report.found("lost", *key, || {
                    let ops = count.put.into_iter().chain(count.take).collect();
                    let (put, taken) = (count.acknowledged, count.taken);
                    (ops, format!("{} was enqueued {put} times for sure and dequeued {taken} times", shown()))
                });
            }
            if count.taken > 0 && count.attempts == 0 {
                report.found("unexpected", *key, || {
                    (count.take.into_iter().collect(), format!("{} was never enqueued", shown()))
                });
            } else if count.taken > count.attempts {
                duplicated.push(value);
            }
            if count.taken.min(count.attempts) > count.acknowledged {
                recovered.push(value);
            }
        }
    }
    for (name, values) in [("duplicated", &duplicated), ("recovered", &recovered)] {
        if !values.is_empty() {
            report.note(format!("{} {name}: {}", values.len(), report::some(history, values)));
        }
    }
    let looked_at = format!("{puts} enqueues and {takes} values taken from {} queues", objects.len());
    Ok(report.verdict(looked_at, "everything acknowledged came out, and nothing else"))
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::{answer, judged};

    #[test]
    fn an_unacknowledged_enqueue_that_comes_out_is_recovered() {
        let verdict = judged(
            "total-queue",
            "1 i enqueue 1; 2 i enqueue 2; 2 o enqueue 2; 3 i dequeue; 3 o dequeue 1; 3 i dequeue; 3 o dequeue 2",
        );
        assert_eq!((verdict.answer.word(), &verdict.notes[..]), ("ok", &["1 recovered: 1".to_owned()][..]));
    }

    #[test]
    fn lost_and_unexpected_are_bad_and_duplicated_is_told() {
        let verdict = judged(
            "total-queue",
            r#"1 i enqueue "hung"; 2 i enqueue "enqueued"; 2 o enqueue "enqueued"; 3 i enqueue "dup";
               3 o enqueue "dup"; 4 i dequeue; 5 i dequeue; 5 o dequeue "wtf"; 6 i dequeue; 6 o dequeue "dup";
               7 i dequeue; 7 o dequeue "dup""#,
        );
        assert_eq!(verdict.reason, "1 lost, 1 unexpected");
        assert_eq!(verdict.notes, ["1 duplicated: \"dup\""]);
    }

    #[test]
    fn a_drain_takes_all_that_it_lists_and_a_crashed_one_hides_the_rest() {
        let two = "1 i enqueue 1; 1 o enqueue 1; 1 i enqueue 2; 1 o enqueue 2; 3 i drain; ";
        assert_eq!(answer("total-queue", &format!("{two}3 o drain [1,2]")), "ok");
        assert_eq!(answer("total-queue", &format!("{two}3 o drain [1]")), "bad");
        assert_eq!(answer("total-queue", &format!("{two}3 ? drain")), "unknown");
        assert_eq!(answer("total-queue", &format!("{two}3 f drain")), "bad");
    }
}
