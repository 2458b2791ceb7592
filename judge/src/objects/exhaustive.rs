//! For the tests of the collections: every order of the operations, one after the other, without any cleverness,
//! so that nothing it shares with the algorithms can be wrong in both.

use crate::generate::objects::collections::{self, Load};
use crate::objects::collection::{self, Step};
use crate::objects::names;
use crate::objects::search::Order;
use crate::{Answer, Budget, History, Options, Value, model};

struct Every {
    steps: Vec<(Step, u32, Option<u32>)>,
    made: Vec<bool>,
    order: Order,
}

impl Every {
    fn possible(&mut self, inside: &mut Vec<Value>) -> bool {
        if self.steps.iter().zip(&self.made).all(|((_, _, ret), made)| *made || ret.is_none()) {
            return true;
        }
        for at in 0..self.steps.len() {
            let (step, call, _) = self.steps[at];
            let late = self
                .steps
                .iter()
                .zip(&self.made)
                .any(|((_, _, ret), made)| !made && ret.is_some_and(|ret| ret < call));
            if self.made[at] || late {
                continue;
            }
            self.made[at] = true;
            let before = inside.clone();
            // At which places the step may find its value.
            let choices = match (step, self.order) {
                (Step::Take(None), _) => 0..usize::from(inside.is_empty()),
                (Step::Take(Some(_)) | Step::OpenTake, Order::Fifo) => 0..inside.len().min(1),
                (Step::Take(Some(_)) | Step::OpenTake, Order::Lifo) => {
                    inside.len().saturating_sub(1)..inside.len()
                }
                (Step::Take(Some(_)) | Step::OpenTake, Order::Bag) => 0..inside.len(),
                _ => 0..1,
            };
            for choice in choices {
                match step {
                    Step::Put(value) => inside.push(value),
                    Step::Take(Some(value)) if inside[choice] != value => continue,
                    Step::Take(Some(_)) | Step::OpenTake => drop(inside.remove(choice)),
                    _ => {}
                }
                if self.possible(inside) {
                    return true;
                }
                inside.clone_from(&before);
            }
            self.made[at] = false;
        }
        false
    }
}

fn exhaustively(history: &History, order: Order) -> bool {
    let steps = (0..history.ops.len()).filter_map(|place| {
        let op = &history.ops[place];
        let step = collection::step(history, names::collection(history.f(op))?, place);
        (step != Step::Nothing).then(|| (step, op.call, (op.ret != crate::history::NEVER).then_some(op.ret)))
    });
    let steps: Vec<_> = steps.collect();
    let made = vec![false; steps.len()];
    Every { steps, made, order }.possible(&mut Vec::new())
}

/// How many histories of each kind: a few seconds' worth, or what `SEEDFAULT_RANDOM` says.
pub fn histories() -> u64 {
    std::env::var("SEEDFAULT_RANDOM").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000)
}

/// Judges random small histories both ways; how many were good, bad and undecided.
fn compare(name: &str, order: Order, change: impl Fn(u64, &mut Load)) -> [u64; 3] {
    let model = model::named(name).expect("a model");
    let mut counts = [0; 3];
    for seed in 0..histories() {
        let mut load = Load::new(order, 2 + seed as usize % 4, 4 + seed as usize % 6);
        load.put_percent = [50, 60, 40][seed as usize % 3];
        load.wrong_percent = [0, 15, 40][seed as usize / 3 % 3];
        change(seed, &mut load);
        let history = collections::history(seed, &load);
        let verdict = (model.judge)(&history, &Options::default(), &Budget::default()).expect("it fits");
        let told: Vec<String> = (0..history.ops.len()).map(|place| history.tell(place)).collect();
        let ok = exhaustively(&history, order);
        let expected = if ok { Answer::Ok } else { Answer::Bad };
        assert!(
            verdict.answer == expected || verdict.answer == Answer::Unknown,
            "{name}, seed {seed}: {expected:?} by trying every order; {verdict:#?}\n{told:#?}\n{:?}",
            history.ops.iter().map(|op| (op.call, op.ret)).collect::<Vec<_>>()
        );
        if load.wrong_percent == 0 {
            assert!(ok, "a correct history, seed {seed}");
        }
        counts[match verdict.answer {
            Answer::Ok => 0,
            Answer::Bad => 1,
            Answer::Unknown => 2,
        }] += 1;
        for anomaly in &verdict.anomalies {
            assert_core(&history, &anomaly.ops, order, seed);
        }
    }
    counts
}

/// The operations of an anomaly contradict each other by themselves, and no value of them can be left out.
fn assert_core(history: &History, ops: &[usize], order: Order, seed: u64) {
    let with = |ops: &[usize]| {
        let mut alone = history.clone();
        alone.ops = ops.iter().map(|op| history.ops[*op]).collect();
        exhaustively(&alone, order)
    };
    let told: Vec<String> = ops.iter().map(|op| history.tell(*op)).collect();
    assert!(!with(ops), "seed {seed}: the core is possible: {told:#?}");
    for op in ops {
        let value = history.ops[*op].value();
        if value.is_nil() {
            continue;
        }
        let fewer: Vec<usize> = ops.iter().copied().filter(|op| history.ops[*op].value() != value).collect();
        assert!(with(&fewer), "seed {seed}: the core is not the smallest: {told:#?}");
    }
}

const ALL: [(&str, Order); 3] = [("queue", Order::Fifo), ("stack", Order::Lifo), ("bag", Order::Bag)];

#[test]
fn unique_values_are_judged_as_every_order_says() {
    for (name, order) in ALL {
        let [good, bad, undecided] = compare(name, order, |_, _| {});
        assert!(good > 0 && bad > 0 && undecided == 0, "{name}: {good} {bad} {undecided}");
    }
}

#[test]
fn unknown_outcomes_are_judged_as_every_order_says() {
    for (name, order) in ALL {
        let [good, bad, undecided] =
            compare(name, order, |seed, load| load.unknown_percent = 10 + seed as u32 % 40);
        assert!(good > 0 && bad > 0 && undecided == 0, "{name}: {good} {bad} {undecided}");
    }
}

#[test]
fn repeated_values_are_judged_as_every_order_says() {
    for (name, order) in ALL {
        let [good, bad, undecided] = compare(name, order, |seed, load| {
            load.repeated_percent = 40;
            load.unknown_percent = if seed % 2 == 0 { 0 } else { 20 };
        });
        assert!(good > 0 && bad > 0 && undecided == 0, "{name}: {good} {bad} {undecided}");
    }
}
