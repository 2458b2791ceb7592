//! `unordered-queue`: every dequeue must come from somewhere.
//!
//! Jepsen's `checker/queue` (jepsen-io/jepsen, jepsen/src/jepsen/checker.clj) over knossos' `unordered-queue`
//! (jepsen-io/knossos, src/knossos/model.clj): in the order of events, each invocation of an enqueue (whatever
//! came of it) puts its value into a bag, and each acknowledged dequeue takes its value out of it. What is not
//! there is `unexpected`, or `duplicated` if it had been there. Every sub-history of every queue keeps this, so
//! drains and unknown dequeues are passed over.

use super::{Model, Unfit};
use crate::objects::names::{self, Collection, Names};
use crate::objects::{ident::Idents, report::Report};
use crate::{Budget, History, Options, Verdict};

pub const MODEL: Model =
    Model { name: "unordered-queue", claim: "what is dequeued was enqueued before, and as often", judge };

/// What became of one value.
#[derive(Clone, Copy, Default)]
struct Pending {
    count: u32,
    last_put: Option<usize>,
    last_take: Option<usize>,
}

fn judge(history: &History, _: &Options, _: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "enqueue, dequeue", names::collection)?;
    let mut report =
        Report::new(history, "unordered-queue: a bag in the order of events (Jepsen's checker/queue)");
    let objects = history.by_key(|_| true);
    let (mut puts, mut takes) = (0, 0);
    for (key, places) in &objects {
        let mut events: Vec<(u32, bool, usize)> = Vec::new();
        for place in places.iter().map(|place| *place as usize) {
            let op = &history.ops[place];
            match names.role(op) {
                Some(Collection::Put) => events.push((op.call, false, place)),
                Some(Collection::Take) if op.is_ok() => events.push((op.end, true, place)),
                _ => {}
            }
        }
        events.sort_unstable();
        let mut idents = Idents::default();
        let mut bag: Vec<Pending> = Vec::new();
        for (_, take, place) in events {
            let op = &history.ops[place];
            let value = if take { op.output } else { op.input };
            let id = idents.of(&history.arena, value) as usize;
            bag.resize(idents.len().max(bag.len()), Pending::default());
            let pending = &mut bag[id];
            if !take {
                puts += 1;
                pending.count += 1;
                pending.last_put = Some(place);
                continue;
            }
            takes += 1;
            if pending.count > 0 {
                pending.count -= 1;
            } else {
                let name = if pending.last_take.is_some() { "duplicated" } else { "unexpected" };
                report.found(name, *key, || {
                    let ops =
                        [pending.last_put, pending.last_take, Some(place)].into_iter().flatten().collect();
                    (ops, format!("can't dequeue {}: it is not in the queue", history.arena.show(value)))
                });
            }
            pending.last_take = Some(place);
        }
    }
    let looked_at = format!("{puts} enqueues and {takes} acknowledged dequeues of {} queues", objects.len());
    Ok(report.verdict(looked_at, "every dequeue comes from an enqueue"))
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::{answer, judged};

    #[test]
    fn an_enqueue_counts_from_its_invocation() {
        assert_eq!(answer("unordered-queue", ""), "ok");
        assert_eq!(answer("unordered-queue", "1 i enqueue 1"), "ok");
        assert_eq!(answer("unordered-queue", "2 i dequeue; 1 i enqueue 1; 2 o dequeue 1"), "ok");
        assert_eq!(answer("unordered-queue", "2 i dequeue; 2 o dequeue 1; 1 i enqueue 1"), "bad");
    }

    #[test]
    fn a_value_comes_out_as_often_as_it_went_in() {
        let twice = "1 i enqueue 1; 1 o enqueue 1; 2 i dequeue; 2 o dequeue 1; 2 i dequeue; 2 o dequeue 1";
        let verdict = judged("unordered-queue", twice);
        assert_eq!(
            (verdict.reason.as_str(), &verdict.anomalies[0].ops[..]),
            ("1 duplicated", &[0, 1, 2][..])
        );
    }
}
