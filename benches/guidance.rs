//! Whether guidance helps: on the embedded target, equal budgets for the guided campaign and for seeds one after the
//! other, which is the swarm that every seed draws anyway. Two questions:
//!
//! - how many runs it takes to find each planted bug, by the check that is named for it;
//! - how many situations of a family that the guidance does not look at (`run::marks`, each with its count in powers of
//!   two, and each pair in one run) are reached within the budget, without a bug.
//!
//! `cargo bench --bench guidance -- [--trials 20] [--budget 100] [--bug NAME]... [--threads N]`. Judged by the
//! Mann-Whitney U test and by Vargha and Delaney's A12: how often a guided trial is better than a random one, of all
//! pairs, ties by halves.

use seedfault::campaign::{Guide, Mode, feature::features};
use seedfault::canary::{light, run};
use seedfault::entropy::Seed;
use seedfault::env::SIM;
use seedfault::run::marks::marks;
use seedfault::target::embedded::bugs::{BUGS, Bug};
use seedfault::target::embedded::operations::Embedded;
use statrs::stats_tests::Alternative;
use statrs::stats_tests::mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

/// Trials of one campaign are seeds apart.
const APART: u64 = 1_000_000;

#[derive(Clone, Copy)]
enum Goal {
    Bug(&'static Bug),
    Marks,
}

/// How many runs until the bug was found (one more than the budget if it was not), or how many marks were reached.
fn trial(goal: Goal, mode: Mode, trial: u64, budget: u64) -> u64 {
    let mut spec = light();
    if let Goal::Bug(bug) = goal {
        spec.bugs.push(bug.name.into());
    }
    let mut guide = Guide::new(spec, Embedded::NAME, &SIM, mode, Seed(trial * APART));
    let mut reached: BTreeSet<String> = BTreeSet::new();
    for number in 0..budget {
        let proposal = guide.propose(number).expect("the scenario is good");
        let Ok(outcome) = std::panic::catch_unwind(|| run(&proposal.timeline)) else { continue };
        let Ok(outcome) = outcome else { continue };
        match goal {
            Goal::Bug(bug) if outcome.failed().contains(&bug.found_by) => return number + 1,
            Goal::Bug(_) => {}
            Goal::Marks => {
                let these: Vec<String> = marks(&outcome.record)
                    .into_iter()
                    .map(|(mark, count)| format!("{mark} {}", count.next_power_of_two()))
                    .collect();
                for (at, one) in these.iter().enumerate() {
                    reached.insert(one.clone());
                    reached.extend(these[at + 1..].iter().map(|other| format!("{one}, {other}")));
                }
            }
        }
        guide.learn(&proposal, &features(&outcome.record));
    }
    match goal {
        Goal::Bug(_) => budget + 1,
        Goal::Marks => reached.len() as u64,
    }
}

/// How often the first is greater, of all pairs; ties by halves.
fn a12(one: &[u64], other: &[u64]) -> f64 {
    let wins: f64 = one
        .iter()
        .flat_map(|a| other.iter().map(move |b| (a, b)))
        .map(|(a, b)| match a.cmp(b) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
        .sum();
    wins / (one.len() * other.len()) as f64
}

fn p(one: &[u64], other: &[u64]) -> String {
    let float = |all: &[u64]| all.iter().map(|number| *number as f64).collect::<Vec<_>>();
    let test = mannwhitneyu(
        &float(one),
        &float(other),
        MannWhitneyUMethod::AsymptoticInclContinuityCorrection,
        Alternative::TwoSided,
    );
    test.map_or_else(|error| format!("no p ({error})"), |(_, p)| format!("p {p:.3}"))
}

fn median(all: &[u64]) -> u64 {
    let mut all = all.to_vec();
    all.sort_unstable();
    all[all.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str, default: u64| {
        let at = arguments.iter().position(|word| word == flag);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let (trials, budget) = (number("--trials", 20), number("--budget", 100));
    let threads = number("--threads", std::thread::available_parallelism().map_or(1, |n| n.get() as u64));
    let named: Vec<&String> =
        arguments.windows(2).filter(|two| two[0] == "--bug").map(|two| &two[1]).collect();
    let bugs = BUGS.iter().filter(|bug| named.is_empty() || named.iter().any(|name| *name == bug.name));
    let goals: Vec<Goal> = bugs.map(Goal::Bug).chain([Goal::Marks]).collect();
    // Runs of planted bugs may panic in the consensus library; that is told by the trial going on.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{trials} trials each, a budget of {budget} runs; guided against one seed after the other");
    for goal in goals {
        #[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
        let began = Instant::now();
        let jobs: Vec<(Mode, u64)> =
            Mode::ALL.iter().flat_map(|mode| (0..trials).map(|trial| (*mode, trial))).collect();
        let (next, results) = (Mutex::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let at = {
                            let mut next = next.lock().expect("no worker panics");
                            *next += 1;
                            *next - 1
                        };
                        let Some((mode, number)) = jobs.get(at).copied() else { return };
                        let result = trial(goal, mode, number, budget);
                        results.lock().expect("no worker panics").push((mode, result));
                    }
                });
            }
        });
        let results = results.into_inner().expect("all are done");
        let of = |wanted: Mode| -> Vec<u64> {
            results.iter().filter(|(mode, _)| *mode == wanted).map(|(_, result)| *result).collect()
        };
        let (guided, random) = (of(Mode::Guided), of(Mode::Random));
        let seconds = began.elapsed().as_secs();
        match goal {
            Goal::Bug(bug) => {
                let missed = |all: &[u64]| all.iter().filter(|runs| **runs > budget).count();
                // The fewer runs the better.
                println!(
                    "{:32} runs to find it: guided median {} ({} of {trials} missed), random {} ({} missed); A12 {:.2}, {}; {seconds} s",
                    bug.name,
                    median(&guided),
                    missed(&guided),
                    median(&random),
                    missed(&random),
                    a12(&random, &guided),
                    p(&random, &guided)
                );
            }
            Goal::Marks => println!(
                "marks and pairs of marks reached in {budget} runs: guided median {}, random {}; A12 {:.2}, {}; {seconds} s",
                median(&guided),
                median(&random),
                a12(&guided, &random),
                p(&guided, &random)
            ),
        }
    }
}
