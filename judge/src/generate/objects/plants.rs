//! Planted anomalies: a correct history, and one answer in it made wrong in a way that has a name.
//!
//! [`PLANTS`] lists them by model; [`clean`] gives a correct history of a model, [`plant`] spoils it. A plant that
//! finds no place for itself in a short history says so.

use super::collections::{self, Load};
use super::services::{self, Size};
use crate::generate::Random;
use crate::history::{History, NEVER, Op, Outcome};
use crate::objects::search::Order;
use crate::options::Options;
use crate::value::Value;

/// Models and the anomalies that can be planted in their histories.
pub const PLANTS: &[(&str, &[&str])] = &[
    ("queue", &["unexpected", "duplicated", "reordered", "false-empty"]),
    ("stack", &["unexpected", "duplicated", "reordered", "false-empty"]),
    ("bag", &["unexpected", "duplicated", "false-empty"]),
    ("set", &["lost", "unexpected"]),
    ("set-full", &["lost", "stale", "duplicated"]),
    ("counter", &["errors"]),
    ("unordered-queue", &["unexpected", "duplicated"]),
    ("total-queue", &["lost", "unexpected"]),
    ("unique-ids", &["duplicated"]),
    ("bank", &["wrong-total", "nil-balance", "negative-value", "unexpected-key"]),
    ("long-fork", &["forks"]),
    ("monotonic-reads", &["monotonic-reads"]),
    ("monotonic-writes", &["monotonic-writes"]),
    ("read-your-writes", &["read-your-writes"]),
    ("writes-follow-reads", &["writes-follow-reads"]),
    ("sessions", &["monotonic-reads", "monotonic-writes", "read-your-writes", "writes-follow-reads"]),
    ("per-client-fifo", &["monotonic-reads", "monotonic-writes", "read-your-writes", "writes-follow-reads"]),
    (
        "watch",
        &[
            "ordered",
            "unique",
            "atomic",
            "bookmarkable",
            "reliable",
            "resumable",
            "consistent",
            "unexpected",
            "revision-order",
        ],
    ),
    ("lease", &["expired-early", "not-expired", "token-order", "fenced-write"]),
];

/// The options under which the model's histories are clean and all its plants are anomalies.
pub fn options(model: &str) -> Options {
    let initial =
        (model == "bank").then(|| serde_json::json!({"accounts": [0, 1, 2, 3, 4], "total-amount": 50}));
    Options { initial, linearizable: model == "set-full", ..Options::default() }
}

/// A correct history of a model; `None`: no generator knows it.
pub fn clean(model: &str, seed: u64, size: Size) -> Option<History> {
    let load = |order| {
        let unknown_percent = size.unknown_percent;
        Load { unknown_percent, ..Load::new(order, size.clients, size.operations) }
    };
    Some(match model {
        "queue" => collections::history(seed, &load(Order::Fifo)),
        "stack" => collections::history(seed, &load(Order::Lifo)),
        "bag" => collections::history(seed, &load(Order::Bag)),
        "unordered-queue" => collections::history(seed, &Load { empty_fails: true, ..load(Order::Fifo) }),
        "set" | "set-full" => services::set(seed, size),
        "counter" => services::counter(seed, size),
        "total-queue" => services::drained_queue(seed, size),
        "unique-ids" => services::ids(seed, size),
        "bank" => services::bank(seed, size),
        "long-fork" => services::forks(seed, size),
        "monotonic-reads"
        | "monotonic-writes"
        | "read-your-writes"
        | "writes-follow-reads"
        | "sessions"
        | "per-client-fifo" => services::register(seed, size, seed.is_multiple_of(2)),
        "watch" => services::watch(seed, size),
        "lease" => services::leases(seed, size),
        _ => return None,
    })
}

/// Plants an anomaly; whether there was a place for it.
pub fn plant(history: &mut History, model: &str, anomaly: &str, seed: u64) -> bool {
    let mut random = Random::new(seed ^ 0x5eed);
    let mut plant = Plant { history, random: &mut random };
    let done = match (model, anomaly) {
        ("queue" | "stack" | "bag", "false-empty") => plant.false_empty(),
        ("queue" | "stack", "reordered") => plant.reordered(model == "queue"),
        ("queue" | "stack" | "bag" | "unordered-queue", "unexpected") => {
            plant.answer_takes(|_, _| Some(FRESH))
        }
        ("queue" | "stack" | "bag" | "unordered-queue", "duplicated") => {
            plant.answer_takes(|earlier, random| {
                (!earlier.is_empty()).then(|| earlier[random.place(earlier.len())])
            })
        }
        ("set", _) => plant.last_list("read", anomaly),
        ("set-full", _) => plant.reads_of_set(anomaly),
        ("counter", _) => plant.far_read(),
        ("total-queue", _) => plant.last_list("drain", anomaly),
        ("unique-ids", _) => plant.same_id(),
        ("bank", _) => plant.balances(anomaly),
        ("long-fork", _) => plant.fork(),
        ("watch", _) => plant.watch(anomaly),
        ("lease", _) => plant.lease(anomaly),
        _ => plant.session(anomaly),
    };
    done.is_some()
}

/// A number that no generator gives.
const FRESH: i64 = 777_777_777;

struct Plant<'a> {
    history: &'a mut History,
    random: &'a mut Random,
}

impl Plant<'_> {
    fn int(&mut self, value: i64) -> Value {
        self.history.arena.int(value)
    }
    fn items(&self, value: Value) -> Vec<Value> {
        self.history.arena.items_of(value).unwrap_or_default().to_vec()
    }
    fn list(&mut self, items: &[Value]) -> Value {
        self.history.arena.list(items).expect("a short list")
    }
    /// One operation of those that fit.
    fn one(&mut self, fits: impl Fn(&History, &Op) -> bool) -> Option<usize> {
        let ops = &self.history.ops;
        let fit: Vec<usize> = (0..ops.len()).filter(|place| fits(self.history, &ops[*place])).collect();
        (!fit.is_empty()).then(|| fit[self.random.place(fit.len())])
    }
    /// Room for two events after each.
    fn spread(&mut self) {
        for op in &mut self.history.ops {
            for place in [&mut op.call, &mut op.ret, &mut op.end] {
                if *place != NEVER {
                    *place *= 3;
                }
            }
        }
    }
    /// A new operation, answered at once, after the event at a place of a history with room.
    fn insert(&mut self, after: u32, process: i64, f: &str, input: Value, output: Value) {
        let near = self.history.ops.iter().filter(|op| op.call <= after).max_by_key(|op| op.call);
        let time = near.and_then(|op| op.time_call);
        let op = Op {
            process: self.history.arena.int(process),
            f: self.history.arena.intern(f),
            key: Value::NIL,
            input,
            output,
            outcome: Outcome::Ok,
            call: after + 1,
            ret: after + 2,
            end: after + 2,
            time_call: time,
            time_end: time,
            index: u64::from(after) + 1,
            error: Value::NIL,
        };
        let at = self.history.ops.partition_point(|other| other.call < op.call);
        self.history.ops.insert(at, op);
    }
    fn end(&self) -> u32 {
        let last =
            self.history.ops.iter().flat_map(|op| [op.call, op.end]).filter(|place| *place != NEVER).max();
        last.map_or(0, |last| last + 1)
    }

    /// The put and the take of each value that was taken.
    fn lives(&self) -> Vec<(Op, Op, usize)> {
        let ops = &self.history.ops;
        let takes = (0..ops.len())
            .filter(|take| ops[*take].is_ok() && ops[*take].input.is_nil() && !ops[*take].output.is_nil());
        takes
            .filter_map(|take| {
                let put = ops.iter().find(|put| !put.input.is_nil() && put.input == ops[take].output)?;
                Some((*put, ops[take], take))
            })
            .collect()
    }
    fn false_empty(&mut self) -> Option<()> {
        let lives: Vec<_> = self.lives().into_iter().filter(|(put, take, _)| put.ret < take.call).collect();
        let (put, take, place) = *lives.get(self.random.place(lives.len().max(1)))?;
        let f = self.history.f(&self.history.ops[place]).to_owned();
        let after = put.ret + self.random.place((take.call - put.ret) as usize) as u32;
        self.spread();
        self.insert(3 * after, 1_000_000, &f, Value::NIL, Value::NIL);
        Some(())
    }
    fn reordered(&mut self, fifo: bool) -> Option<()> {
        let lives = self.lives();
        let mut pairs = Vec::new();
        for (put_a, take_a, a) in &lives {
            for (put_b, take_b, b) in &lives {
                let (first, second) = if fifo { (take_a, take_b) } else { (take_b, take_a) };
                if put_a.ret < put_b.call && put_b.ret < first.call && first.ret < second.call {
                    pairs.push((*a, *b));
                }
            }
        }
        let (a, b) = *pairs.get(self.random.place(pairs.len().max(1)))?;
        let ops = &mut self.history.ops;
        (ops[a].output, ops[b].output) = (ops[b].output, ops[a].output);
        Some(())
    }
    /// Answers one take with another value, given those that came out before it.
    fn answer_takes(&mut self, other: impl Fn(&[i64], &mut Random) -> Option<i64>) -> Option<()> {
        let place = self.one(|history, op| {
            let before = |other: &Op| {
                other.is_ok() && other.input.is_nil() && other.ret < op.call && !other.output.is_nil()
            };
            op.is_ok() && op.input.is_nil() && !op.output.is_nil() && history.ops.iter().any(before)
        })?;
        let call = self.history.ops[place].call;
        let earlier: Vec<i64> = self
            .history
            .ops
            .iter()
            .filter(|other| other.is_ok() && other.input.is_nil() && other.ret < call)
            .filter_map(|other| other.output.as_int())
            .collect();
        let value = other(&earlier, self.random)?;
        self.history.ops[place].output = self.int(value);
        Some(())
    }

    /// In the last list that was answered, an acknowledged element is missing, or a new one is there.
    fn last_list(&mut self, f: &str, anomaly: &str) -> Option<()> {
        let last = self.history.ops.iter().rposition(|op| op.is_ok() && self.history.f(op) == f)?;
        let mut items = self.items(self.history.ops[last].output);
        if anomaly == "unexpected" {
            items.push(self.int(FRESH));
        } else {
            let acknowledged =
                |item: &Value| self.history.ops.iter().any(|op| op.is_ok() && op.input == *item);
            let known: Vec<usize> = (0..items.len()).filter(|at| acknowledged(&items[*at])).collect();
            items.remove(*known.get(self.random.place(known.len().max(1)))?);
        }
        self.history.ops[last].output = self.list(&items);
        Some(())
    }
    fn reads_of_set(&mut self, anomaly: &str) -> Option<()> {
        if anomaly == "lost" {
            return self.last_list("read", "lost");
        }
        // A read, and an element in it that was acknowledged before.
        let last = self.history.ops.iter().rposition(|op| op.is_ok() && self.history.f(op) == "read")?;
        let mut pairs = Vec::new();
        for (place, read) in self.history.ops.iter().enumerate().take(last) {
            if read.is_ok() && read.input.is_nil() {
                for (at, item) in self.items(read.output).into_iter().enumerate() {
                    let known = |add: &Op| add.is_ok() && add.input == item && add.ret < read.call;
                    if self.history.ops.iter().any(known) {
                        pairs.push((place, at));
                    }
                }
            }
        }
        let (place, at) = *pairs.get(self.random.place(pairs.len().max(1)))?;
        let mut items = self.items(self.history.ops[place].output);
        if anomaly == "stale" {
            items.remove(at);
        } else {
            items.push(items[at]);
        }
        self.history.ops[place].output = self.list(&items);
        Some(())
    }
    fn far_read(&mut self) -> Option<()> {
        let place = self.one(|history, op| op.is_ok() && history.f(op) == "read")?;
        let sum: i64 = self.history.ops.iter().filter_map(|op| op.input.as_int()).sum();
        let far = if self.random.percent(50) { sum + 1 } else { -1 };
        self.history.ops[place].output = self.int(far);
        Some(())
    }
    fn same_id(&mut self) -> Option<()> {
        let one = self.one(|_, op| op.is_ok())?;
        let other = self.one(|_, op| op.is_ok()).filter(|other| *other != one)?;
        self.history.ops[one].output = self.history.ops[other].output;
        Some(())
    }
    fn balances(&mut self, anomaly: &str) -> Option<()> {
        let place = self.one(|history, op| op.is_ok() && history.f(op) == "read")?;
        let mut items = self.items(self.history.ops[place].output);
        let (one, other) = (2 * self.random.place(5), self.random.place(4));
        let other = (one + 2 * (1 + other)) % 10;
        let (first, second) = (items[one + 1].as_int()?, items[other + 1].as_int()?);
        match anomaly {
            "wrong-total" => items[one + 1] = self.int(first + 1),
            "nil-balance" => items[one + 1] = Value::NIL,
            "negative-value" => {
                items[one + 1] = self.int(-1);
                items[other + 1] = self.int(second + first + 1);
            }
            _ => items[one] = self.history.arena.text("nobody"),
        }
        self.history.ops[place].output = self.list(&items);
        Some(())
    }
    /// Two reads of one group, at the end: each sees what the other does not.
    fn fork(&mut self) -> Option<()> {
        let r = self.history.arena.text("r");
        self.spread();
        for (process, sees) in [(1_000_000, 0), (1_000_001, 1)] {
            let steps = [0, 1].map(|key| {
                let (key, value) =
                    (self.int(FRESH + key), if key == sees { self.int(1) } else { Value::NIL });
                self.list(&[r, key, value])
            });
            let (steps, after) = (self.list(&steps), self.end());
            self.insert(after, process, "txn", steps, steps);
        }
        Some(())
    }
    /// At the end, one client or two do what the guarantee forbids.
    fn session(&mut self, anomaly: &str) -> Option<()> {
        let versions = self.history.ops.iter().any(|op| op.is_ok() && op.output.as_list().is_some());
        self.spread();
        let (old, new, newer) = (FRESH, FRESH + 1, FRESH + 2);
        let (a, b) = (1_000_000, 1_000_001);
        let script: Vec<(i64, &str, i64)> = match anomaly {
            "monotonic-reads" => vec![(a, "read", old), (a, "read", new), (a, "read", old)],
            "read-your-writes" => vec![(a, "read", old), (a, "write", new), (a, "read", old)],
            "monotonic-writes" if versions => vec![(a, "write", new), (a, "write", old)],
            "writes-follow-reads" if versions => vec![(a, "read", new), (a, "write", old)],
            "monotonic-writes" => {
                vec![(a, "write", new), (a, "write", newer), (b, "read", newer), (b, "read", new)]
            }
            _ => vec![(a, "read", old), (a, "write", new), (b, "read", new), (b, "read", old)],
        };
        for (process, f, value) in script {
            let (value, after) = (self.int(value), self.end());
            // A version like the value: what is older has the lower one.
            let answer = if versions { self.list(&[value, value]) } else { value };
            let asked = if f == "write" { value } else { Value::NIL };
            self.insert(after, process, f, asked, answer);
        }
        Some(())
    }

    /// Deliveries with events, in the order of one watch each.
    fn watch(&mut self, anomaly: &str) -> Option<()> {
        let watch = |history: &History, op: &Op| op.is_ok() && history.f(op) == "watch";
        let events = |plant: &Self, place: usize| plant.items(plant.history.ops[place].output);
        let revision = |plant: &Self, event: Value| plant.items(event)[0].as_int().unwrap_or(0);
        match anomaly {
            "ordered" | "unique" | "consistent" => {
                let place = self.one(|history, op| {
                    let Some(events) = history.arena.items_of(op.output).filter(|_| watch(history, op))
                    else {
                        return false;
                    };
                    let of = |event: &Value| history.arena.items_of(*event).map(|event| event[0]);
                    !events.is_empty()
                        && (anomaly != "ordered" || of(&events[0]) != of(&events[events.len() - 1]))
                })?;
                let mut sent = events(self, place);
                match anomaly {
                    "ordered" => sent.reverse(),
                    "unique" => sent.push(sent[sent.len() - 1]),
                    _ => {
                        let at = self.random.place(sent.len());
                        let event = self.items(sent[at]);
                        let changed = [event[0], event[1], self.int(FRESH)];
                        sent[at] = self.list(&changed);
                    }
                }
                self.history.ops[place].output = self.list(&sent);
            }
            "unexpected" => {
                let place = self.history.ops.iter().rposition(|op| watch(self.history, op))?;
                let mut sent = events(self, place);
                let event = [self.int(FRESH), self.history.arena.text("x"), self.int(FRESH)];
                sent.push(self.list(&event));
                self.history.ops[place].output = self.list(&sent);
            }
            "revision-order" => {
                let writes: Vec<usize> = (0..self.history.ops.len())
                    .filter(|place| {
                        self.history.ops[*place].is_ok() && self.history.f(&self.history.ops[*place]) == "put"
                    })
                    .collect();
                let pairs = writes.iter().flat_map(|a| writes.iter().map(move |b| (*a, *b)));
                let ops = &self.history.ops;
                let pairs: Vec<(usize, usize)> = pairs.filter(|(a, b)| ops[*a].ret < ops[*b].call).collect();
                let (a, b) = *pairs.get(self.random.place(pairs.len().max(1)))?;
                let (of_a, of_b) =
                    (self.items(self.history.ops[a].output), self.items(self.history.ops[b].output));
                self.history.ops[a].output = self.list(&[of_a[0], of_b[1]]);
                self.history.ops[b].output = self.list(&[of_b[0], of_a[1]]);
            }
            // Those that need two deliveries of one watch.
            _ => {
                let mut pairs = Vec::new();
                let mut last: Vec<(Value, usize)> = Vec::new();
                for (place, op) in self.history.ops.iter().enumerate() {
                    if watch(self.history, op) && (!op.input.is_nil() || !events(self, place).is_empty()) {
                        let before =
                            last.iter().find(|(process, _)| *process == op.process).map(|(_, at)| *at);
                        if let Some(before) = before.filter(|_| op.input.is_nil()) {
                            pairs.push((before, place));
                        }
                        last.retain(|(process, _)| *process != op.process);
                        last.push((op.process, place));
                    }
                }
                let fits = |plant: &Self, (before, after): (usize, usize)| {
                    let (first, second) = (events(plant, before), events(plant, after));
                    let opens = !plant.history.ops[before].input.is_nil();
                    let known = |event: Value| {
                        plant.history.ops.iter().any(|op| {
                            let written = plant
                                .history
                                .arena
                                .items_of(op.output)
                                .filter(|_| op.is_ok() && !watch(plant.history, op));
                            written.is_some_and(|written| {
                                written.len() == 2 && written[1].as_int() == Some(revision(plant, event))
                            })
                        })
                    };
                    match anomaly {
                        "atomic" => {
                            first.len() > 1
                                && revision(plant, first[first.len() - 1])
                                    == revision(plant, first[first.len() - 2])
                                && !second.is_empty()
                        }
                        "reliable" => !first.is_empty() && second.len() > 1 && known(second[0]),
                        "resumable" => opens && !first.is_empty() && !second.is_empty() && known(first[0]),
                        _ => !second.is_empty(),
                    }
                };
                let pairs: Vec<(usize, usize)> = pairs.into_iter().filter(|pair| fits(self, *pair)).collect();
                let (before, after) = *pairs.get(self.random.place(pairs.len().max(1)))?;
                let (mut first, mut second) = (events(self, before), events(self, after));
                match anomaly {
                    "atomic" => second.insert(0, first.pop()?),
                    "reliable" => drop(second.remove(0)),
                    "resumable" => {
                        let gone = revision(self, first[0]);
                        first.retain(|event| revision(self, *event) != gone);
                    }
                    _ => {
                        let (bookmark, at) = (revision(self, second[0]), self.history.ops[before].end);
                        let (bookmark, process) =
                            (self.int(bookmark), self.history.ops[before].process.as_int()?);
                        self.spread();
                        self.insert(3 * at, process, "progress", Value::NIL, bookmark);
                        return Some(());
                    }
                }
                self.history.ops[before].output = self.list(&first);
                self.history.ops[after].output = self.list(&second);
            }
        }
        Some(())
    }
    fn lease(&mut self, anomaly: &str) -> Option<()> {
        match anomaly {
            "expired-early" => {
                let place = self.one(|history, op| history.f(op) == "read" && !op.output.is_nil())?;
                self.history.ops[place].output = Value::NIL;
            }
            "not-expired" => {
                let place = self.one(|history, op| history.f(op) == "read" && op.output.is_nil())?;
                self.history.ops[place].output = self.int(1);
            }
            _ => {
                let f = if anomaly == "token-order" { "acquire" } else { "fenced-write" };
                let one = self.one(|history, op| history.f(op) == f)?;
                let other = self.one(|history, op| history.f(op) == f).filter(|other| *other != one)?;
                let ops = &mut self.history.ops;
                (ops[one].output, ops[other].output) = (ops[other].output, ops[one].output);
                (ops[one].input, ops[other].input) = (ops[other].input, ops[one].input);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Budget, model};

    const CLEAN: u64 = 10_000;
    const PLANTED: u64 = 300;

    fn verdict(name: &str, history: &History) -> crate::Verdict {
        let model = model::named(name).expect("a model of the list");
        (model.judge)(history, &options(name), &Budget::default()).expect("it fits the model")
    }

    #[test]
    fn every_planted_anomaly_is_found_by_its_name() {
        for (name, anomalies) in PLANTS {
            for anomaly in *anomalies {
                let mut planted = 0;
                for seed in 0..PLANTED {
                    let size = Size { clients: 2 + seed as usize % 4, operations: 40, unknown_percent: 0 };
                    let mut history = clean(name, seed, size).expect("a generator");
                    if !plant(&mut history, name, anomaly, seed) {
                        continue;
                    }
                    planted += 1;
                    let verdict = verdict(name, &history);
                    assert!(
                        verdict.names().contains(anomaly),
                        "{name}, {anomaly}, seed {seed}: {verdict:#?}"
                    );
                    let found = &verdict.anomalies[0];
                    assert!(!found.ops.is_empty() && found.story.len() > found.ops.len(), "{found:#?}");
                }
                assert!(planted > PLANTED / 3, "{name}, {anomaly}: planted only {planted} times");
            }
        }
    }

    #[test]
    fn nothing_is_found_in_correct_histories() {
        for (name, _) in PLANTS {
            let mut undecided = 0;
            for seed in 0..CLEAN {
                let unknown_percent = [0, 5, 20][seed as usize % 3];
                let size = Size {
                    clients: 2 + seed as usize % 5,
                    operations: 12 + seed as usize % 24,
                    unknown_percent,
                };
                let history = clean(name, seed, size).expect("a generator");
                let verdict = verdict(name, &history);
                assert_ne!(verdict.answer, Answer::Bad, "{name}, seed {seed}: {verdict:#?}");
                undecided += u64::from(verdict.answer == Answer::Unknown);
            }
            // Nothing was added to some sets, or nothing that is known.
            assert!(undecided < CLEAN / 100, "{name}: {undecided} are undecided");
        }
    }
}
