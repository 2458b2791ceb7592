//! The canary from the command line: `cargo run --release --example canary -- [SEEDS] [FIRST] [BUG...]`.
//!
//! `SEEDFAULT_LIGHT=1` takes the lighter scenario of the tests instead of the built-in one.
//! Without bugs it runs that many seeds and fails when one fails. With bugs (`all` means each) it looks for the
//! first seed that shows each, and fails when one is not found within the number that its table states.

use seedfault::canary;
use seedfault::target::embedded::bugs::{BUGS, find};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |place: usize, default| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seeds, first) = (number(0, 200), number(1, 0));
    let light = std::env::var_os("SEEDFAULT_LIGHT").is_some();
    let spec = if light { canary::light() } else { canary::spec() };
    let bugs: Vec<&str> = arguments.iter().skip(2).map(String::as_str).collect();
    if bugs.is_empty() {
        let mut virtual_s = 0;
        let mut operations = 0;
        let healthy = canary::healthy(&spec, first, seeds, |_, outcome| {
            virtual_s += outcome.record.last.as_ref().map_or(0, |last| last.view.at.0 / 1_000_000);
            operations += outcome.record.history.len();
        });
        println!(
            "{} of {} seeds passed, {virtual_s} s of virtual time, {operations} operations",
            healthy.passed, healthy.seeds
        );
        for (what, seeds) in [("unknown", &healthy.unknown), ("failed", &healthy.failed)] {
            println!("{what}: {}", seeds.len());
            for (seed, why) in seeds.iter().take(40) {
                println!("  seed {seed}: {}", why.join("; "));
            }
        }
        return if healthy.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut missed = false;
    let named = BUGS.iter().filter(|bug| bugs.contains(&"all") || bugs.contains(&bug.name));
    for bug in named.filter(|bug| find(bug.name).is_some()) {
        let most = seeds.min(u64::from(bug.within_seeds));
        match canary::find(bug, &spec, first, most) {
            Ok(Some(found)) => {
                println!(
                    "{}: seed {} after {} of {}, by {}",
                    bug.name,
                    found.seed,
                    found.after,
                    bug.within_seeds,
                    found.by.join(", ")
                );
                missed |= found.after > u64::from(bug.within_seeds);
            }
            Ok(None) => {
                println!("{}: not found in {most} seeds", bug.name);
                missed = true;
            }
            Err(why) => {
                println!("{}: {why}", bug.name);
                missed = true;
            }
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
