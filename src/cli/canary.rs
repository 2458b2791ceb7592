//! `fuzz bench canary`: many seeds on the embedded target. None may fail without a bug, every mark must be
//! reached, and each named bug must be found, by the check that is named for it, within its number of seeds.

use super::console::{print, talk};
use super::exit::{Code, Failure};
use crate::canary::{Found, find, healthy, spec};
use crate::report::names::thousands;
use crate::run::marks::{Mark, marks};
use crate::target::embedded::bugs::{self, BUGS, Bug};
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many seeds run without a bug
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Look for this bug only; may be given several times
    #[arg(long = "bug", value_name = "NAME")]
    bugs: Vec<String>,
}

/// How many failing or undecided seeds are told one by one.
const TOLD_MAX: usize = 20;

pub fn main(args: &Args) -> super::Done {
    let bugs = chosen(&args.bugs)?;
    if args.first.checked_add(args.seeds.max(u64::from(u32::MAX))).is_none() {
        return Err(Failure::bad_input("--first leaves too few seeds behind it"));
    }
    let mut code = if args.seeds > 0 { without_bugs(args.first, args.seeds) } else { Code::Passed };
    for bug in bugs {
        let most = u64::from(bug.within_seeds);
        let found = find(bug, &spec(), args.first, most).map_err(|why| Failure::new(Code::Broken, why))?;
        if found.is_none() {
            code = Code::Finding;
        }
        if !print(&told(bug, found)) {
            break;
        }
    }
    Ok(code)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Bug>, Failure> {
    if names.is_empty() {
        return Ok(BUGS.iter().collect());
    }
    let known = |name: &String| {
        bugs::find(name).ok_or_else(|| {
            Failure::bad_input(format!("--bug: there is no bug `{name}`")).hint("`fuzz list bugs` names them")
        })
    };
    names.iter().map(known).collect()
}

fn told(bug: &Bug, found: Option<Found>) -> String {
    match found {
        Some(found) => format!(
            "✓ {}: found by {} at seed {}, the {} of at most {}\n",
            bug.name,
            found.by.join(", "),
            found.seed,
            ordinal(found.after),
            bug.within_seeds
        ),
        None => format!(
            "✗ {}: none of {} found it in {} seeds\n",
            bug.name,
            bug.found_by.join(", "),
            bug.within_seeds
        ),
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

/// Runs the healthy seeds and prints what came of them, with the table of marks.
fn without_bugs(first: u64, seeds: u64) -> Code {
    let mut table: BTreeMap<Mark, u64> = BTreeMap::new();
    let healthy = healthy(&spec(), first, seeds, |seed, outcome| {
        for (mark, count) in marks(&outcome.record) {
            *table.entry(mark).or_default() += u64::from(count > 0);
        }
        if (seed - first + 1).is_multiple_of(100) {
            talk(&format!("{} of {} seeds\n", thousands(seed - first + 1), thousands(seeds)));
        }
    });
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
    let mut missed = false;
    for mark in Mark::ALL.iter().filter(|mark| mark.targets().contains(&"embedded")) {
        let count = table.get(mark).copied().unwrap_or(0);
        missed |= count == 0;
        let sign = if count == 0 { "✗" } else { " " };
        writeln!(out, "{sign} {:>8}  {mark}: {}", thousands(count), mark.line()).expect("a string takes all");
    }
    print(&(out + "\n"));
    // A few seeds cannot reach everything.
    if healthy.failed.is_empty() && (!missed || seeds < 1000) { Code::Passed } else { Code::Finding }
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
