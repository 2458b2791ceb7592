//! The canaries: on the embedded cluster no seed fails without a bug, each bug is found by the check that is
//! named for it, and a seed means the same in every process. `SEEDFAULT_SEEDS` sets how many seeds are tried.

use seedfault::canary::{self, Outcome};
use seedfault::target::embedded::bugs::BUGS;
use seedfault::yaml::document::Problems;
use std::process::Command;

fn seeds(default: u64) -> u64 {
    std::env::var("SEEDFAULT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn outcome(seed: u64) -> Outcome {
    let timeline = canary::timeline(seed, &canary::light(), &[]).expect("a timeline");
    canary::run(&timeline).expect("a run")
}

/// What a run was, in one line.
fn print(outcome: &Outcome) -> String {
    let record = &outcome.record;
    format!("{} {} {}", outcome.timeline.hash(), record.schedule_hash(), record.history_hash())
}

#[test]
fn without_a_bug_no_seed_fails() {
    let healthy = canary::healthy(&canary::light(), 0, seeds(30), |_, _| {});
    assert!(healthy.failed.is_empty(), "{:#?}", healthy.failed);
    assert!(healthy.passed * 2 > healthy.seeds, "too much is unknown: {:#?}", healthy.unknown);
}

#[test]
fn each_bug_is_found_by_the_check_that_is_named_for_it() {
    let mut missed = Vec::new();
    // An unoptimized build looks for the first two. `fuzz bench canary --light` on the release build looks for all,
    // and CI runs it.
    let bugs = if cfg!(debug_assertions) { &BUGS[..2] } else { BUGS };
    for bug in bugs {
        match canary::find(bug, &canary::light(), 0, u64::from(bug.within_seeds)) {
            Ok(Some(_)) => {}
            Ok(None) => missed.push(format!("{} was not found in {} seeds", bug.name, bug.within_seeds)),
            Err(why) => missed.push(format!("{}: {why}", bug.name)),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn what_was_found_and_mended_stays_mended() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/repro");
    let files =
        std::fs::read_dir(folder).expect("the folder of repros").map(|entry| entry.expect("a file").path());
    let mut repros: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    repros.sort();
    assert!(!repros.is_empty(), "the repository keeps some");
    for path in repros {
        let bytes = std::fs::read(&path).expect("a file that can be read");
        let repro = seedfault::repro::read(&bytes, &mut Problems::default()).expect("a good repro");
        if repro.timeline.target != "embedded" {
            continue;
        }
        let outcome = canary::run(&repro.timeline).expect("a run");
        assert_eq!(outcome.failed(), Vec::<&str>::new(), "{}", path.display());
    }
}

#[test]
fn a_seed_means_the_same_twice_and_in_another_process() {
    const CHILD: &str = "SEEDFAULT_CANARY_CHILD";
    let prints: Vec<String> = (0..3).map(|seed| print(&outcome(seed))).collect();
    if std::env::var_os(CHILD).is_some() {
        prints.iter().for_each(|line| println!("print {line}"));
        return;
    }
    let again: Vec<String> = (0..3).map(|seed| print(&outcome(seed))).collect();
    assert_eq!(prints, again);
    let child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_seed_means_the_same_twice_and_in_another_process", "--nocapture"])
        .env(CHILD, "1")
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "tr_TR.UTF-8")
        .current_dir(std::env::temp_dir())
        .output()
        .expect("a child process");
    let text = String::from_utf8_lossy(&child.stdout);
    let there: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("print ").map(|(_, rest)| rest)).collect();
    assert_eq!(prints, there);
}
