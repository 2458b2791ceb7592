//! From what was found to a verdict: what the claim forbids of it, what it rules out, and its story in words.

use super::cycles::Cycle;
use super::graph::{PROCESS, REALTIME, RW, WR, WW};
use super::lattice;
use crate::budget::Spent;
use crate::history::History;
use crate::model::Unfit;
use crate::options::Options;
use crate::verdict::{Anomaly, Answer, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// The claim that a verdict is relative to.
#[derive(Debug)]
pub struct Claim {
    prohibited: BTreeSet<&'static str>,
    words: String,
}

impl Claim {
    /// Without any, strict serializability.
    pub fn of(options: &Options) -> Result<Self, Unfit> {
        let default = ["strict-serializable".to_owned()];
        let models: &[String] = match (&options.consistency_models, &options.anomalies) {
            (Some(models), _) => models,
            (None, Some(_)) => &[],
            (None, None) => &default,
        };
        let known = |name: &String, found: Option<&'static str>, what: &str, all: BTreeSet<&str>| {
            let all: Vec<&str> = all.into_iter().collect();
            found.ok_or_else(|| Unfit(format!("no {what} is named {name:?}; there are {}", all.join(", "))))
        };
        let models_known: Vec<_> = models
            .iter()
            .map(|name| known(name, lattice::canonical(name), "consistency model", lattice::model_names()))
            .collect::<Result<_, _>>()?;
        let anomalies = options.anomalies.as_deref().unwrap_or(&[]);
        let anomalies_known: Vec<_> = anomalies
            .iter()
            .map(|name| known(name, lattice::anomaly_named(name), "anomaly", lattice::anomaly_names()))
            .collect::<Result<_, _>>()?;
        let mut words = models.join(" and ");
        if !anomalies.is_empty() {
            let none_of = format!("none of {}", anomalies.join(", "));
            words = if words.is_empty() { none_of } else { format!("{words} and {none_of}") };
        }
        Ok(Self { prohibited: lattice::prohibited(&models_known, &anomalies_known), words })
    }
    pub fn forbids(&self, anomaly: &str) -> bool {
        self.prohibited.contains(anomaly)
    }
    /// Whether it speaks of real time; else of processes; else of neither.
    pub fn order(&self) -> u8 {
        let any = |suffix: &str| {
            self.prohibited.iter().any(|name| {
                name.ends_with(suffix) && (name.starts_with("G0") || name.starts_with("G1c") || is_anti(name))
            })
        };
        if any("-realtime") {
            REALTIME
        } else if any("-process") {
            PROCESS
        } else {
            0
        }
    }
}

fn is_anti(name: &str) -> bool {
    ["G-single", "G-nonadjacent", "G2"].iter().any(|start| name.starts_with(start))
}

/// Tells why one operation came before another.
pub trait Explain {
    /// `None` where the data does not say.
    fn step(&self, from: u32, to: u32, kind: u8, names: (&str, &str)) -> Option<String>;
}

/// What was found without a cycle: the first case of each kind, and how many there are.
#[derive(Debug, Default)]
pub struct Cases {
    found: BTreeMap<&'static str, (Anomaly, u64)>,
}

impl Cases {
    pub fn add(
        &mut self,
        name: &'static str,
        key: Option<String>,
        ops: &[usize],
        story: impl FnOnce() -> Vec<String>,
    ) {
        if let Some((_, count)) = self.found.get_mut(name) {
            *count += 1;
            return;
        }
        let anomaly = Anomaly { name: name.into(), key, ops: ops.to_vec(), story: story() };
        self.found.insert(name, (anomaly, 1));
    }
    /// Keeps the shortest cycle of each kind.
    fn add_cycle(&mut self, anomaly: Anomaly, name: &'static str) {
        match self.found.get_mut(name) {
            Some((kept, count)) => {
                *count += 1;
                if anomaly.ops.len() < kept.ops.len() {
                    *kept = anomaly;
                }
            }
            None => {
                self.found.insert(name, (anomaly, 1));
            }
        }
    }
    /// Whether a cycle of this kind and length would be kept.
    pub fn wants(&mut self, cycle: &Cycle) -> bool {
        match self.found.get_mut(cycle.name) {
            Some((kept, count)) if kept.ops.len() <= cycle.steps.len() => {
                *count += 1;
                false
            }
            _ => true,
        }
    }
    pub fn add_explained(&mut self, history: &History, explain: &impl Explain, cycle: &Cycle) {
        let names: Vec<String> = (1..=cycle.steps.len()).map(|number| format!("T{number}")).collect();
        let next = |at: usize| (at + 1) % cycle.steps.len();
        let story = (0..cycle.steps.len()).map(|at| {
            let ((from, kind), (to, _)) = (cycle.steps[at], cycle.steps[next(at)]);
            let (a, b) = (names[at].as_str(), names[next(at)].as_str());
            let told = if kind < PROCESS { explain.step(from, to, kind, (a, b)) } else { None };
            let told = told.unwrap_or_else(|| in_order(history, from, to, kind, (a, b)));
            format!("{told}: so {a} came before {b} ({})", word(kind))
        });
        let story = story.collect();
        let ops = cycle.steps.iter().map(|(op, _)| *op as usize).collect();
        self.add_cycle(Anomaly { name: cycle.name.into(), key: None, ops, story }, cycle.name);
    }
    fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.found.keys().copied()
    }
}

fn in_order(history: &History, from: u32, to: u32, kind: u8, (a, b): (&str, &str)) -> String {
    let (from, to) = (&history.ops[from as usize], &history.ops[to as usize]);
    if kind == PROCESS {
        format!("process {} did {a}, then {b}", history.arena.show(from.process))
    } else {
        format!("{a} was answered (event {}) before {b} was asked (event {})", from.ret, to.call)
    }
}

const fn word(kind: u8) -> &'static str {
    match kind {
        WW => "ww",
        WR => "wr",
        RW => "rw",
        PROCESS => "process",
        _ => "realtime",
    }
}

/// The verdict on everything found. `left` is why something was left open.
pub fn verdict(
    history: &History,
    claim: &Claim,
    mut cases: Cases,
    algorithm: &str,
    looked_at: String,
    left: Option<Spent>,
) -> Verdict {
    // That a cycle exists is worth a word only where nothing found says as much.
    let proven = lattice::impossible(cases.names().filter(|name| !name.ends_with("-cycle-exists")));
    cases
        .found
        .retain(|name, _| name.strip_suffix("-cycle-exists").is_none_or(|model| !proven.contains(model)));
    let not = lattice::weakest_impossible(cases.names());
    let all: BTreeSet<&str> = cases.names().collect();
    let (mut anomalies, mut notes) = (Vec::new(), Vec::new());
    let (mut bad, mut open) = (Vec::new(), Vec::new());
    for (name, (mut anomaly, count)) in cases.found {
        let undecided = lattice::UNDECIDING.contains(&name);
        if undecided {
            open.push(name);
        } else if claim.forbids(name) {
            bad.push(name);
        } else {
            notes.push(format!("{name} was seen as well, which the claim allows"));
            continue;
        }
        if count > 1 {
            notes.push(format!("{name}: one of {count} cases is shown"));
        }
        let who = anomaly.ops.iter().enumerate();
        let mut story: Vec<String> =
            who.map(|(number, op)| format!("T{}: {}", number + 1, history.tell(*op))).collect();
        story.append(&mut anomaly.story);
        anomaly.story = story;
        anomalies.push(anomaly);
    }
    anomalies
        .sort_by_key(|anomaly| (lattice::UNDECIDING.contains(&anomaly.name.as_str()), anomaly.ops.len()));
    if let Some(spent) = &left {
        notes.push(format!("the search for cycles was not finished: {spent}"));
    }
    let claimed = &claim.words;
    let mut verdict = if !bad.is_empty() {
        Verdict::new(Answer::Bad, algorithm, format!("not {claimed}: {}", bad.join(", ")))
    } else if let Some(spent) = left {
        Verdict::spent(algorithm, spent)
    } else if all.contains("empty-transaction-graph") {
        let reason = "no two of its transactions depend on each other, so that nothing was checked";
        Verdict::new(Answer::Unknown, algorithm, reason)
    } else {
        Verdict::new(Answer::Ok, algorithm, format!("no anomaly that {claimed} forbids"))
    };
    if !anomalies.is_empty() {
        verdict.not = not;
    }
    verdict.anomalies = anomalies;
    verdict.notes = notes;
    verdict.looked_at(looked_at)
}
