//! `counter`: increments, and reads between the bounds that they allow.
//!
//! Jepsen's `checker/counter` (jepsen-io/jepsen, jepsen/src/jepsen/checker.clj): the counter begins at zero (or at
//! `--initial`); a read is at least the sum of the increments acknowledged before it began, and at most the sum
//! of those asked for before it ended; refused increments count for nothing. The bounds suppose that the counter
//! only grows, so with a negative increment Jepsen gives up, and so does this: `unknown`. Reads may contradict
//! each other within their bounds; that is for a linearizable counter to find.

use super::{Model, Unfit};
use crate::objects::{names::Names, report::Report};
use crate::{Budget, History, Options, Value, Verdict};

pub const MODEL: Model = Model {
    name: "counter",
    claim: "a counter reads no less than what was acknowledged before, and no more than what was asked for",
    judge,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Add,
    Read,
}

fn judge(history: &History, options: &Options, _: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "add, increment, read", |f| match f {
        "add" | "increment" | "incr" | "inc" => Some(Role::Add),
        "read" | "get" => Some(Role::Read),
        _ => None,
    })?;
    let initial = options.initial.as_ref().and_then(serde_json::Value::as_i64).unwrap_or(0);
    let mut report = Report::new(history, "counter: bounds of every read (Jepsen's checker/counter)");
    let mut reads = 0;
    let objects = history.by_key(|_| true);
    for (key, ops) in &objects {
        reads += one(&mut report, history, &names, (*key, ops), i128::from(initial))?;
    }
    let looked_at = format!("{reads} acknowledged reads of {} counters", objects.len());
    Ok(report.verdict(looked_at, "every read is within its bounds"))
}

fn one(
    report: &mut Report<'_>,
    history: &History,
    names: &Names<Role>,
    (key, places): (Value, &[u32]),
    initial: i128,
) -> Result<usize, Unfit> {
    // Every event of this counter, in order: whether it is a completion, and of which operation.
    let mut events: Vec<(u32, bool, usize)> = Vec::new();
    for place in places.iter().map(|place| *place as usize) {
        let op = &history.ops[place];
        if names.role(op).is_some() && op.may_have_happened() {
            events.push((op.call, false, place));
            if op.is_ok() {
                events.push((op.end, true, place));
            }
        }
    }
    events.sort_unstable();
    let amount = |place: usize| {
        let op = &history.ops[place];
        let amount = if op.input.is_nil() && !op.is_ok() { Value::small(1) } else { Some(op.value()) };
        let amount = amount.filter(|amount| !amount.is_nil()).or(Value::small(1)).and_then(Value::as_int);
        amount.ok_or_else(|| Unfit(format!("an increment is a whole number: {}", history.tell(place))))
    };
    let (mut lower, mut upper) = (initial, initial);
    let mut lowest = rustc_hash::FxHashMap::default();
    let mut reads = 0;
    for (_, completed, place) in &events {
        let op = &history.ops[*place];
        match (names.role(op), completed) {
            (Some(Role::Add), false) => {
                let amount = amount(*place)?;
                if amount < 0 {
                    report
                        .unknown(key, "a negative increment: the bounds suppose that the counter only grows");
                    return Ok(reads);
                }
                upper += i128::from(amount);
            }
            (Some(Role::Add), true) => lower += i128::from(amount(*place)?),
            (Some(Role::Read), false) => drop(lowest.insert(*place, lower)),
            (Some(Role::Read), true) => {
                reads += 1;
                let Some(read) = op.output.as_int() else {
                    report.unknown(key, format!("a read that gave no number: {}", history.tell(*place)));
                    continue;
                };
                let lower = lowest.remove(place).unwrap_or(lower);
                if i128::from(read) < lower || i128::from(read) > upper {
                    report.found("errors", key, || {
                        (core(history, names, places, *place), format!("{read} is not in [{lower}, {upper}]"))
                    });
                }
            }
            (None, _) => {}
        }
    }
    Ok(reads)
}

/// The read, and the increments that make its bound: too low, those acknowledged before; too high, there is
/// nothing to show but the read, for the increments that would explain it are missing.
fn core(history: &History, names: &Names<Role>, places: &[u32], read: usize) -> Vec<usize> {
    const SHOWN_MAX: usize = 16;
    let op = &history.ops[read];
    let value = op.output.as_int().unwrap_or(0);
    let mut sum = 0i128;
    let mut core = Vec::new();
    for place in places.iter().map(|place| *place as usize) {
        let add = &history.ops[place];
        let before = add.is_ok() && add.end < op.call && names.role(add) == Some(Role::Add);
        if before && sum <= i128::from(value) && core.len() < SHOWN_MAX {
            sum += i128::from(add.value().as_int().unwrap_or(1));
            core.push(place);
        }
    }
    if sum <= i128::from(value) {
        core.clear();
    }
    core.push(read);
    core
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::{answer, judged};

    #[test]
    fn refused_increments_count_for_nothing_and_open_ones_for_the_upper_bound() {
        assert_eq!(answer("counter", ""), "ok");
        assert_eq!(answer("counter", "0 i read; 0 o read 0"), "ok");
        assert_eq!(answer("counter", "0 i add 1; 0 f add 1; 0 i read; 0 o read 0"), "ok");
        assert_eq!(answer("counter", "0 i add 1; 1 i read; 1 o read 0; 1 i read; 1 o read 1"), "ok");
        assert_eq!(answer("counter", "0 i read; 0 o read 1"), "bad");
    }

    #[test]
    fn reads_are_bounded_by_what_was_acknowledged_before_and_asked_for_by_their_end() {
        let verdict = judged(
            "counter",
            "0 i read; 1 i add 1; 2 i read; 3 i add 2; 4 i read; 5 i add 4; 6 i read; 7 i add 8; 8 i read; \
             0 o read 6; 1 o add 1; 2 o read 0; 3 o add 2; 4 o read 3; 5 o add 4; 6 o read 100; 7 o add 8; \
             8 o read 15",
        );
        assert_eq!(verdict.reason, "1 errors");
        assert_eq!(verdict.anomalies[0].story.last().expect("a story"), "100 is not in [0, 15]");
        let rolling = "0 i read; 1 i add 1; 0 o read 0; 0 i read; 1 o add 1; 1 i add 2; 0 o read 3; 0 i read; \
                       1 o add 2; 0 o read 5";
        let verdict = judged("counter", rolling);
        assert_eq!(verdict.anomalies[0].story.last().expect("a story"), "5 is not in [1, 3]");
    }

    #[test]
    fn a_read_below_the_bound_shows_the_increments_that_it_lacks() {
        let verdict = judged("counter", "0 i add 1; 0 o add 1; 0 i add 2; 0 o add 2; 1 i read; 1 o read 1");
        assert_eq!(verdict.anomalies[0].ops, [0, 1, 2]);
    }

    #[test]
    fn a_counter_that_shrinks_is_not_judged() {
        assert_eq!(answer("counter", "0 i add -1; 0 o add -1; 1 i read; 1 o read 5"), "unknown");
    }
}
