//! What a run without faults says of its load: how much was served, how long it took, and whether we were in time to ask.
//! Pure.
//!
//! Latencies are those of an open loop. Who waits for an answer asks nothing meanwhile, and what fell due then would be
//! missing from the percentiles; so an answer that took longer than a client's period stands for those too, each with the
//! rest of the time («coordinated omission», Gil Tene; `record_correct` of `HdrHistogram`).

use crate::history::{OpKind, Operation, Outcome};
use crate::run::load::Pace;
use crate::run::record::Record;
use crate::time::{Micros, Millis};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Percentiles that are told, as names and as fractions.
pub const PERCENTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];
/// Three digits of each latency are kept.
const DIGITS: u8 = 3;

/// One kind of operation, or all of them.
#[derive(Clone, Debug)]
pub struct Served {
    pub ok: u64,
    pub refused: u64,
    pub unknown: u64,
    /// In microseconds, of what was acknowledged or had no answer.
    latencies: Histogram<u64>,
}

impl Default for Served {
    fn default() -> Self {
        let latencies = Histogram::new(DIGITS).expect("three digits are allowed");
        Self { ok: 0, refused: 0, unknown: 0, latencies }
    }
}

impl Served {
    fn add(&mut self, one: &Operation, period: u64) {
        let took = one.complete.wall.0.saturating_sub(one.invoke.wall.0).max(1);
        match one.outcome {
            Outcome::Ok(_) => self.ok += 1,
            Outcome::Unknown(_) => self.unknown += 1,
            Outcome::Fail(_) => {
                self.refused += 1;
                return;
            }
        }
        self.latencies.record_correct(took, period).expect("it grows by itself");
    }
    pub fn count(&self) -> u64 {
        self.ok + self.refused + self.unknown
    }
    pub fn errors(&self) -> u64 {
        self.refused + self.unknown
    }
    /// In microseconds; nothing where too few were served to tell: one in a hundred of 99 is none.
    pub fn at(&self, quantile: f64) -> Option<u64> {
        let beyond = self.latencies.len() as f64 * (1.0 - quantile);
        (beyond > 0.999).then(|| self.latencies.value_at_quantile(quantile))
    }
    pub fn longest(&self) -> Option<u64> {
        (!self.latencies.is_empty()).then(|| self.latencies.max())
    }
    fn json(&self, over: Millis) -> Value {
        let mut latencies = serde_json::Map::new();
        for (name, quantile) in PERCENTILES {
            latencies.insert(name.into(), json!(self.at(quantile)));
        }
        latencies.insert("max".into(), json!(self.longest()));
        json!({
            "count": self.count(), "ok": self.ok, "refused": self.refused, "unknown": self.unknown,
            "per_second": per_second(self.ok, over) as f64 / 10.0, "latency_us": latencies,
        })
    }
}

/// Operations a second, in tenths.
pub fn per_second(count: u64, over: Millis) -> u64 {
    let over = over.0.max(1);
    (count * 10_000 + over / 2) / over
}

/// One step, from the end of its warm-up on.
#[derive(Clone, Debug)]
pub struct Measured {
    pub over: Millis,
    /// What fell due, and what of it was asked.
    pub due: u64,
    pub asked: u64,
    pub kinds: BTreeMap<OpKind, Served>,
    pub all: Served,
    /// How long after it could have been asked each was, at the 99th percentile, in microseconds: ours, not the servers'.
    pub late: u64,
    /// What was answered instead of a result, and how often; the most frequent first.
    pub errors: Vec<(String, u64)>,
}

impl Measured {
    /// `warm_up` and `length` count from when the cluster was healthy.
    pub fn of(record: &Record, warm_up: Millis, length: Millis) -> Self {
        let load = &record.timeline.load;
        let zero = record.healthy_at;
        let pace = Pace::new(load.rate.0, load.clients.into(), load.pipeline);
        let (from, until) = (zero.plus(warm_up), zero.plus(length));
        let within = |due: Micros| from <= due && due < until;
        let mut kinds: BTreeMap<OpKind, Served> = BTreeMap::new();
        let mut all = Served::default();
        let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
        let mut late: Histogram<u64> = Histogram::new(DIGITS).expect("three digits are allowed");
        let mut asked = 0;
        let mut by_client: BTreeMap<u32, Vec<&Operation>> = BTreeMap::new();
        for one in &record.history {
            by_client.entry(one.client).or_default().push(one);
        }
        for (client, mut theirs) in by_client {
            theirs.sort_by_key(|one| (one.index, one.invoke.order));
            // Until when its earlier operations kept it busy, those of its batch left out.
            let (mut free, mut busy, mut round, mut last) = (Micros(0), Micros(0), u64::MAX, u64::MAX);
            for one in theirs {
                let of = one.index / pace.pipeline;
                if of != round {
                    (free, round) = (busy, of);
                }
                busy = busy.max(one.complete.logical);
                let due = pace.due(zero, client, of);
                if !within(due) {
                    continue;
                }
                // Those of one transaction are one issue.
                asked += u64::from(one.index != last);
                last = one.index;
                late.record(one.invoke.logical.0.saturating_sub(due.max(free).0).max(1))
                    .expect("it grows by itself");
                kinds.entry(one.kind).or_default().add(one, pace.period);
                all.add(one, pace.period);
                match &one.outcome {
                    Outcome::Ok(_) => {}
                    Outcome::Fail(why) | Outcome::Unknown(why) => *errors.entry(why).or_default() += 1,
                }
            }
        }
        // How many rounds of a client are due before a moment.
        let before =
            |client, at: Micros| at.0.saturating_sub(pace.first(zero, client).0).div_ceil(pace.period);
        let due = (0..u32::from(load.clients)).map(|client| before(client, until) - before(client, from));
        let due = due.sum::<u64>() * pace.pipeline;
        let mut errors: Vec<(String, u64)> =
            errors.into_iter().map(|(why, count)| (why.to_string(), count)).collect();
        errors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        // A clock that was held back hides how late we were.
        let held: u64 = record.stretches.iter().map(|(_, by)| by.0 * 1000).sum();
        let late = if late.is_empty() { held } else { late.value_at_quantile(0.99).max(held) };
        let over = Millis(length.0.saturating_sub(warm_up.0));
        Self { over, due, asked, kinds, all, late, errors }
    }

    /// What is due and was not asked, since its client still waited for an answer.
    pub fn skipped(&self) -> u64 {
        self.due.saturating_sub(self.asked)
    }

    /// Why the rate asked for is not sustained, or that this cannot be told.
    pub fn short(&self, bound: Millis) -> Option<Short> {
        if self.late > LATE_MAX.0 * 1000 {
            return Some(Short::Ours(format!(
                "the tool itself asked late by {} ms (p99)",
                millis(self.late)
            )));
        }
        let (served, errors) = (self.all.ok, self.all.errors());
        if errors * 1000 > self.all.count() {
            let why = self.errors.first().map_or_else(String::new, |(why, _)| format!(", most often: {why}"));
            return Some(Short::Theirs(format!("{errors} of {} ended in an error{why}", self.all.count())));
        }
        if self.skipped() * 100 > self.due {
            return Some(Short::Theirs(format!(
                "{} of {} that fell due were not asked, since all clients waited",
                self.skipped(),
                self.due
            )));
        }
        match self.all.at(0.99).or(self.all.longest()) {
            None => Some(Short::Theirs("nothing was served".into())),
            Some(p99) if p99 > bound.0 * 1000 => {
                Some(Short::Theirs(format!("p99 was {} ms, of {served} served", millis(p99))))
            }
            Some(_) => None,
        }
    }

    pub fn json(&self) -> Value {
        let kinds: serde_json::Map<String, Value> =
            self.kinds.iter().map(|(kind, served)| (kind.to_string(), served.json(self.over))).collect();
        json!({
            "seconds": self.over.0 as f64 / 1000.0, "due": self.due, "skipped": self.skipped(),
            "asked_late_p99_us": self.late, "all": self.all.json(self.over), "operations": kinds,
            "errors": self.errors.iter().map(|(why, count)| json!({"error": why, "count": count})).collect::<Vec<_>>(),
        })
    }
}

/// Later than this at the 99th percentile, a measurement says more of us than of the servers.
const LATE_MAX: Millis = Millis(10);

/// Why a rate was not sustained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Short {
    /// We could not ask at that rate.
    Ours(String),
    Theirs(String),
}

impl Short {
    pub fn why(&self) -> &str {
        let (Self::Ours(why) | Self::Theirs(why)) = self;
        why
    }
}

/// `1.234`, from microseconds.
pub fn millis(micros: u64) -> String {
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{Scene, text};
    use crate::timeline::{Load, Rate};

    /// Two clients, ten operations a second each, from 5 s on; each operation as (client, index, asked, answered) in
    /// milliseconds after that.
    fn measured(operations: &[(u32, u64, u64, u64)], outcome: &Outcome) -> Measured {
        let mut scene = Scene::new(3, 0);
        scene.record.timeline.load = Load { clients: 2, rate: Rate(20), ..Load::default() };
        for (client, index, asked, answered) in operations {
            let one = scene.op(0, OpKind::Get, "r:1", None, outcome.clone(), 5000 + asked, 5000 + answered);
            (one.client, one.index) = (*client, *index);
        }
        Measured::of(&scene.record, Millis(100), Millis(1100))
    }

    fn ok() -> Outcome {
        Outcome::Ok(text("x"))
    }

    /// All in time, a millisecond each.
    fn even() -> Vec<(u32, u64, u64, u64)> {
        let of = |client: u32| (0..11).map(move |n| (client, n, n, u64::from(client)));
        of(0)
            .chain(of(1))
            .map(|(client, n, round, place)| {
                let due = round * 100 + place * 50;
                (client, n, due, due + 1)
            })
            .collect()
    }

    #[test]
    fn what_is_due_in_time_is_neither_skipped_nor_late() {
        let measured = measured(&even(), &ok());
        assert_eq!(
            (measured.due, measured.asked, measured.skipped()),
            (20, 20, 0),
            "the warm-up is left out"
        );
        assert_eq!((measured.all.ok, measured.all.errors()), (20, 0));
        assert_eq!(per_second(measured.all.ok, measured.over), 200);
        assert_eq!((measured.all.at(0.5), measured.all.longest()), (Some(1000), Some(1000)));
        assert_eq!(measured.late, 1);
        assert_eq!(measured.short(Millis(1)), None);
    }

    #[test]
    fn who_waits_for_an_answer_waits_for_those_it_did_not_ask_too() {
        let mut operations = even();
        // Client 0 waits for 350 ms, in which three more fall due.
        operations.retain(|(client, n, ..)| *client == 1 || !(3..=5).contains(n));
        operations.iter_mut().filter(|one| (one.0, one.1) == (0, 2)).for_each(|one| one.3 = one.2 + 350);
        let measured = measured(&operations, &ok());
        assert_eq!((measured.due, measured.asked, measured.skipped()), (20, 17, 3));
        // 350, and 250 and 150 for what fell due meanwhile; who was asked late counts from then on.
        let long = measured.all.latencies.iter_recorded().filter(|one| one.value_iterated_to() > 10_000);
        assert_eq!(long.map(|one| one.count_at_value()).sum::<u64>(), 3);
        assert_eq!(measured.all.longest().map(|longest| longest / 1000), Some(350));
        assert!(
            matches!(measured.short(Millis(1000)), Some(Short::Theirs(why)) if why.starts_with("3 of 20 that fell due"))
        );
    }

    #[test]
    fn asking_late_without_having_waited_is_our_fault() {
        let mut operations = even();
        operations.iter_mut().for_each(|one| (one.2, one.3) = (one.2 + 20, one.3 + 20));
        let measured = measured(&operations, &ok());
        assert_eq!(measured.late / 1000, 20);
        assert!(matches!(measured.short(Millis(1000)), Some(Short::Ours(_))));
    }

    #[test]
    fn errors_and_silence_are_no_success() {
        let measured_of = |outcome| measured(&even(), &outcome);
        let refused = measured_of(Outcome::Fail("CLUSTERDOWN".into()));
        assert_eq!((refused.all.refused, refused.all.at(0.5)), (20, None));
        assert_eq!(refused.errors, [("CLUSTERDOWN".to_string(), 20)]);
        assert!(
            matches!(refused.short(Millis(1000)), Some(Short::Theirs(why)) if why.contains("20 of 20 ended in an error"))
        );
        assert!(matches!(measured(&[], &ok()).short(Millis(1000)), Some(Short::Theirs(_))));
    }

    #[test]
    fn a_long_tail_breaks_the_bound() {
        let mut operations = even();
        operations.iter_mut().for_each(|one| one.3 += 30);
        let measured = measured(&operations, &ok());
        assert_eq!(measured.short(Millis(50)), None);
        assert_eq!(measured.short(Millis(30)), Some(Short::Theirs("p99 was 31.007 ms, of 20 served".into())));
    }
}
