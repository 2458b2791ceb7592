//! The canary: many seeds on the embedded cluster, healthy ones that must pass and buggy ones that must not.
//!
//! A campaign over the whole line, from a seed to a verdict, in this process and without any input or output:
//! it proves the checks (each named bug is found by the check that is named for it, within the number of seeds
//! that the bug's table states) and guards against false alarms (with no bug on, no seed fails).

use crate::check::way::Way;
use crate::check::{self, Judgement, Verdict};
use crate::entropy::Seed;
use crate::env::sim::SimEnv;
use crate::env::{Env as _, SIM};
use crate::run::event::RunEvent;
use crate::run::execute::{Bounds, Oracle, execute};
use crate::run::record::{Applied, Life, Record};
use crate::shrink::{self, KEYS, Shrunk, Stopped, minimize};
use crate::spec::parse::parse;
use crate::spec::{DEFAULT, Spec};
use crate::target::embedded::bugs::Bug;
use crate::target::embedded::operations::Embedded;
use crate::time::Millis;
use crate::timeline::{Timeline, generate};
use crate::yaml::document::Problems;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What the executor asks of the checks.
struct Checks;

impl Oracle for Checks {
    fn look(&self, record: &Record, checks: &[String]) -> Vec<Judgement> {
        check::look(record, checks)
    }
    fn settle_bound(&self, timeline: &Timeline, applied: &[Applied], lives: &[Life]) -> (Millis, String) {
        check::owed::settle_bound(timeline, applied, lives)
    }
}

/// Virtual time that a run may take; none waits for real time.
const BOUNDS: Bounds = Bounds { boot: Millis::secs(30), run: Millis::secs(1800) };

/// One seed's run.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub timeline: Timeline,
    pub record: Record,
    pub judgements: Vec<Judgement>,
    pub verdict: Verdict,
}

impl Outcome {
    /// The checks that failed, by name.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.judgements.iter().filter(|judgement| judgement.verdict == Verdict::Fail);
        failed.map(|judgement| judgement.check.as_str()).collect()
    }
}

/// The timeline of a seed on the embedded target, with these bugs on.
pub fn timeline(seed: u64, spec: &Spec, bugs: &[&str]) -> Result<Timeline, String> {
    let mut timeline =
        generate(spec, Seed(seed), Embedded::NAME, &SIM).map_err(|error| format!("seed {seed}: {error}"))?;
    timeline.bugs.extend(bugs.iter().map(ToString::to_string));
    Ok(timeline)
}

/// Runs one timeline in the simulation and judges it.
pub fn run(timeline: &Timeline) -> Result<Outcome, String> {
    let mut env = SimEnv::new(timeline);
    let mut nobody = |_: &RunEvent| {};
    let ran = execute(timeline, &mut env, Rc::new(Embedded), BOUNDS, Rc::new(Checks), &mut nobody);
    env.close();
    let record = ran.map_err(|error| format!("seed {}: {error}", timeline.seed))?;
    let judgements = check::judge_all(&record);
    let verdict = check::merge(&judgements);
    Ok(Outcome { timeline: timeline.clone(), record, judgements, verdict })
}

/// What came of many seeds without a bug.
#[derive(Clone, Debug, Default)]
pub struct Healthy {
    pub seeds: u64,
    pub passed: u64,
    /// Each with its reasons: a check that failed, or a run that broke.
    pub failed: Vec<(u64, Vec<String>)>,
    pub unknown: Vec<(u64, Vec<String>)>,
}

impl Healthy {
    /// Takes in what came of the seeds that follow.
    pub fn add(&mut self, more: Self) {
        self.seeds += more.seeds;
        self.passed += more.passed;
        self.failed.extend(more.failed);
        self.unknown.extend(more.unknown);
    }
}

/// Runs seeds from `first` on, none with a bug. `each` sees every outcome.
pub fn healthy(spec: &Spec, first: u64, seeds: u64, mut each: impl FnMut(u64, &Outcome)) -> Healthy {
    let mut healthy = Healthy { seeds, ..Healthy::default() };
    for seed in first..first + seeds {
        let outcome = match timeline(seed, spec, &[]).and_then(|timeline| run(&timeline)) {
            Ok(outcome) => outcome,
            Err(why) => {
                healthy.failed.push((seed, vec![why]));
                continue;
            }
        };
        each(seed, &outcome);
        let reasons = |verdict: Verdict| {
            let those = outcome.judgements.iter().filter(|judgement| judgement.verdict == verdict);
            those.map(|judgement| format!("{}: {}", judgement.check, judgement.reason)).collect::<Vec<_>>()
        };
        match outcome.verdict {
            Verdict::Fail => healthy.failed.push((seed, reasons(Verdict::Fail))),
            Verdict::Unknown => healthy.unknown.push((seed, reasons(Verdict::Unknown))),
            _ => healthy.passed += 1,
        }
    }
    healthy
}

/// How a bug came to light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub seed: u64,
    /// How many seeds were tried, this one included.
    pub after: u64,
    /// The checks that failed.
    pub by: Vec<String>,
}

/// Runs seeds with a bug on until the check that it is named for fails.
pub fn find(bug: &Bug, spec: &Spec, first: u64, seeds: u64) -> Result<Option<Found>, String> {
    for seed in first..first + seeds {
        let outcome = run(&timeline(seed, spec, &[bug.name])?)?;
        let by: Vec<String> = outcome.failed().into_iter().map(Into::into).collect();
        if by.iter().any(|check| check == bug.found_by) {
            return Ok(Some(Found { seed, after: seed - first + 1, by }));
        }
    }
    Ok(None)
}

/// A finding's smallest timeline, by runs in this process.
pub fn shrink(outcome: &Outcome, check: &str) -> Option<Shrunk> {
    let failed = outcome.judgements.iter().find(|judgement| judgement.check == check)?;
    let mut oracle = InProcess { way: Way::of(failed)?, answers: BTreeMap::new() };
    Some(minimize(&outcome.timeline, KEYS, &mut oracle, &mut |_| {}))
}

/// Whether a timeline of the embedded target fails in this way; asked once of each.
struct InProcess {
    way: Way,
    answers: BTreeMap<[u8; 32], bool>,
}

impl shrink::Oracle for InProcess {
    fn first(&mut self, candidates: &[Timeline]) -> Result<Option<usize>, Stopped> {
        let fails = |candidate: &Timeline| {
            let ask = || run(candidate).is_ok_and(|outcome| self.way.is_in(&outcome.judgements));
            *self.answers.entry(*candidate.hash().as_bytes()).or_insert_with(ask)
        };
        Ok(candidates.iter().position(fails))
    }
}

/// What the canary draws from where nobody says otherwise: the built-in scenario of `fuzz --seed N`.
pub fn spec() -> Spec {
    parse(DEFAULT.as_bytes(), &mut Problems::default()).expect("the built-in scenario is good")
}

/// A lighter one for tests: three or four shards, a small load, a few events of what the embedded target has to show.
pub fn light() -> Spec {
    parse(LIGHT.as_bytes(), &mut Problems::default()).expect("the scenario is good")
}

const LIGHT: &str = "\
fuzz: 1
cluster: {shards: 3..4, replicas: 0..2}
load: {clients: 4, rate: 120/s, keys: 12, value_bytes: 16}
draw:
  events: 3..7
  over: 5s..8s
  from: [kill, pause, restart, cut, lossy, slow, clock_skew, failover, reshard, drain, rolling_restart]
checks: default
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_scenarios_are_good() {
        assert!(spec().draw.is_some());
        assert_eq!(light().cluster.shards.low, 3);
    }
}
