//! `fuzz bench canary`: many seeds on the embedded target. None may fail without a bug, every mark must be
//! reached (at least 100 times in 10,000 seeds), and each named bug must be found, by the check that is named for it,
//! within its number of seeds, and be shrunk to no more events than it needs.

use super::console::{print, talk};
use super::exit::{Code, Failure};
use crate::canary::{Found, Healthy, find, healthy, light, run, shrink, spec, timeline};
use crate::report::names::thousands;
use crate::run::marks::{Mark, marks};
use crate::shrink::Shrunk;
use crate::spec::Spec;
use crate::target::embedded::bugs::{self, BUGS, Bug};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many seeds run without a bug
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Draw from the scenario of the tests, a small cluster under a small load, which takes a tenth of the time
    #[arg(long)]
    light: bool,
    /// How many seeds run at once; as many as the machine has cores when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: Option<u64>,
    /// Look for no bug
    #[arg(long, conflicts_with = "bugs")]
    no_bugs: bool,
    /// Look for this bug only; may be given several times
    #[arg(long = "bug", value_name = "NAME")]
    bugs: Vec<String>,
}

/// How many failing or undecided seeds are told one by one.
const TOLD_MAX: usize = 20;

pub fn main(args: &Args) -> super::Done {
    let bugs = chosen(&args.bugs, args.no_bugs)?;
    if args.first.checked_add(args.seeds.max(u64::from(u32::MAX))).is_none() {
        return Err(Failure::bad_input("--first leaves too few seeds behind it"));
    }
    let scenario = if args.light { light() } else { spec() };
    let threads =
        args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u64));
    let mut code =
        if args.seeds > 0 { without_bugs(&scenario, args.first, args.seeds, threads) } else { Code::Passed };
    for found in side_by_side(bugs.len() as u64, threads, |at| {
        let bug = bugs[at as usize];
        let found = find(bug, &scenario, args.first, u64::from(bug.within_seeds));
        let shrunk = found.as_ref().ok().and_then(|found| smallest(bug, found.as_ref()?, &scenario));
        (bug, found, shrunk)
    }) {
        let (bug, found, shrunk) = found;
        let found = found.map_err(|why| Failure::new(Code::Broken, why))?;
        if found.is_none() || shrunk.as_ref().is_none_or(|shrunk| !small(bug, shrunk)) {
            code = Code::Finding;
        }
        if !print(&told(bug, found, shrunk)) {
            break;
        }
    }
    Ok(code)
}

/// Does `count` things on several threads; the answers are in the order of the things.
pub fn side_by_side<T: Send>(count: u64, threads: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= count {
                return done;
            }
            done.push((at, work(at)));
        }
    };
    let mut all: Vec<(u64, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker that does not panic")).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, answer)| answer).collect()
}

fn chosen(names: &[String], none: bool) -> Result<Vec<&'static Bug>, Failure> {
    if names.is_empty() {
        return Ok(if none { Vec::new() } else { BUGS.iter().collect() });
    }
    let known = |name: &String| {
        bugs::find(name).ok_or_else(|| {
            Failure::bad_input(format!("--bug: there is no bug `{name}`")).hint("`fuzz list bugs` names them")
        })
    };
    names.iter().map(known).collect()
}

/// What is left of the seed that found the bug.
fn smallest(bug: &Bug, found: &Found, scenario: &Spec) -> Option<Shrunk> {
    let outcome = run(&timeline(found.seed, scenario, &[bug.name]).ok()?).ok()?;
    shrink(&outcome, bug.found_by)
}

/// Whether no event can be left out, and no more are left than the bug needs.
fn small(bug: &Bug, shrunk: &Shrunk) -> bool {
    shrunk.minimal && shrunk.timeline.events.len() <= usize::from(bug.needs_events)
}

fn told(bug: &Bug, found: Option<Found>, shrunk: Option<Shrunk>) -> String {
    let left = shrunk.map_or_else(
        || "could not be shrunk".into(),
        |shrunk| {
            let sign = if small(bug, &shrunk) { "" } else { "✗ " };
            let actions: Vec<&str> = shrunk.timeline.events.iter().map(|event| event.action.name()).collect();
            let left = if actions.is_empty() { "the load alone".into() } else { actions.join(", ") };
            format!("{sign}shrunk to {} of at most {} events: {left}", actions.len(), bug.needs_events)
        },
    );
    match found {
        Some(found) => format!(
            "✓ {}: found by {} at seed {}, the {} of at most {}; {left}\n",
            bug.name,
            found.by.join(", "),
            found.seed,
            ordinal(found.after),
            bug.within_seeds
        ),
        None => format!("✗ {}: {} did not find it in {} seeds\n", bug.name, bug.found_by, bug.within_seeds),
    }
}

/// `21st`, `12th`.
fn ordinal(number: u64) -> String {
    let ending = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// Seeds that one thread takes at a time.
const BATCH: u64 = 50;

/// Runs the healthy seeds and prints what came of them, with the table of marks.
fn without_bugs(scenario: &Spec, first: u64, seeds: u64, threads: u64) -> Code {
    let done = AtomicU64::new(0);
    let batches = side_by_side(seeds.div_ceil(BATCH), threads, |at| {
        let mut table: BTreeMap<Mark, u64> = BTreeMap::new();
        let count = BATCH.min(seeds - at * BATCH);
        let healthy = healthy(scenario, first + at * BATCH, count, |_, outcome| {
            for (mark, count) in marks(&outcome.record) {
                *table.entry(mark).or_default() += u64::from(count > 0);
            }
        });
        let before = done.fetch_add(count, Ordering::Relaxed);
        if before / 500 != (before + count) / 500 {
            talk(&format!("{} of {} seeds\n", thousands(before + count), thousands(seeds)));
        }
        (healthy, table)
    });
    let mut table: BTreeMap<Mark, u64> = BTreeMap::new();
    let mut healthy = Healthy::default();
    for (batch, marks) in batches {
        healthy.add(batch);
        for (mark, count) in marks {
            *table.entry(mark).or_default() += count;
        }
    }
    let mut out = format!(
        "without a bug: {} of {} seeds passed, {} undecided, {} failed\n",
        thousands(healthy.passed),
        thousands(healthy.seeds),
        thousands(healthy.unknown.len() as u64),
        thousands(healthy.failed.len() as u64)
    );
    for (sign, those) in [("✗", &healthy.failed), ("?", &healthy.unknown)] {
        for (seed, reasons) in those.iter().take(TOLD_MAX) {
            writeln!(out, "{sign} seed {seed}: {}", reasons.join("; ")).expect("a string takes all");
        }
        if those.len() > TOLD_MAX {
            writeln!(out, "{sign} and {} more", those.len() - TOLD_MAX).expect("a string takes all");
        }
    }
    out += "\nmarks, by the number of seeds that reached them:\n";
    // A few seeds cannot reach everything.
    let least = match seeds {
        ..1_000 => 0,
        1_000..10_000 => 1,
        10_000.. => 100,
    };
    let mut missed = false;
    for mark in Mark::ALL.iter().filter(|mark| mark.targets().contains(&"embedded")) {
        let count = table.get(mark).copied().unwrap_or(0);
        missed |= count < least;
        let sign = if count < least { "✗" } else { " " };
        writeln!(out, "{sign} {:>8}  {mark}: {}", thousands(count), mark.line()).expect("a string takes all");
    }
    print(&(out + "\n"));
    if healthy.failed.is_empty() && !missed { Code::Passed } else { Code::Finding }
}

#[cfg(test)]
mod tests {
    use super::ordinal;

    #[test]
    fn places_are_counted_as_people_do() {
        for (number, text) in
            [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (112, "112th"), (121, "121st")]
        {
            assert_eq!(ordinal(number), text);
        }
    }
}
