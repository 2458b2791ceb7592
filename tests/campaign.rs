//! `fuzz campaign` as people start it, on the embedded target: what it finds is small, saved and counted once; killed at
//! any moment it goes on where it was; and its results can be asked.

mod command;
mod servers;

use command::{Place, Said};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// A small cluster under a small load, with a bug that a cut brings out.
const SCENARIO: &str = "fuzz: 1
target: embedded
cluster: {shards: 3, replicas: 1}
load: {clients: 3, rate: 60/s, keys: 8}
bugs: [two_owners_after_slot_move]
draw: {events: 2..4, over: 3s..4s, from: [pause, slow, reshard]}
checks: default
";

fn place(name: &str) -> Place {
    let place = Place::new(name);
    place.write("bug.yaml", SCENARIO);
    place.write("well.yaml", &SCENARIO.replace("bugs: [two_owners_after_slot_move]\n", ""));
    place
}

/// What a question to the results answers: the cells of each line after the titles.
fn ask(place: &Place, question: &[&str]) -> Vec<Vec<String>> {
    let said = place.fuzz(&[&["results"], question].concat());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let cells = |line: &str| {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(String::from).collect()
    };
    said.out.lines().skip(1).filter(|line| *line != "nothing").map(cells).collect()
}

fn files(place: &Place, folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path.join(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

#[track_caller]
fn ends(said: &Said, code: i32, words: &[&str]) {
    let all = format!("{}{}", said.out, said.err);
    assert_eq!(said.code, code, "{all}");
    for word in words {
        assert!(all.contains(word), "no `{word}` in: {all}");
    }
}

#[test]
fn a_failure_is_found_shrunk_saved_and_told_once() {
    let place = place("campaign-finds");
    let said =
        place.fuzz(&["campaign", "--spec", "bug.yaml", "--runs", "12", "--seed", "3", "--corpus", "corpus"]);
    ends(
        &said,
        1,
        &["1 finding:", "slot_coverage: 1 event on", "(reshard), fails in each of 2 runs, exactly"],
    );
    let failures = ask(&place, &["failures"]);
    assert_eq!(failures.len(), 1, "{failures:?}");
    let met: u64 = failures[0][3].parse().expect("a number");
    assert!(met > 1, "several runs met it: {failures:?}");
    let [repro] = &files(&place, "repro", ".yaml")[..] else { panic!("one repro") };
    let again = place.fuzz(&["replay", &repro.to_string_lossy(), "--expect", "fail"]);
    ends(&again, 0, &["slot_coverage"]);
    let page = fs::read_to_string(repro.with_extension("md")).expect("it has a page");
    for part in
        ["# slot_coverage: ", "It must hold that", "fuzz replay ", "## What happens", "reshard", "## The run"]
    {
        assert!(page.contains(part), "no `{part}` in {page}");
    }
    // What was kept is read again, and reaches what it reached.
    let kept = files(&place, "corpus", ".yaml");
    assert!(!kept.is_empty());
    let text = fs::read_to_string(&kept[0]).expect("it is there");
    assert!(text.starts_with("# Kept by a campaign, for it was the first to reach:\n#   "), "{text}");
    let said = place.fuzz(&["corpus", "minimize", "corpus", "--dry-run"]);
    ends(&said, 0, &["can go; the rest reaches the same"]);
    assert_eq!(files(&place, "corpus", ".yaml").len(), kept.len(), "nothing is gone");
    // A night later it is known.
    let said = place.fuzz(&["campaign", "--spec", "bug.yaml", "--runs", "6", "--seed", "50"]);
    ends(&said, 1, &["1 finding:"]);
    assert!(!said.err.contains("run 0: slot_coverage"), "it is not found anew: {}", said.err);
    let failures = ask(&place, &["failures"]);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0][3].parse::<u64>().expect("a number") > met, "{failures:?}");
    assert_eq!(ask(&place, &["campaigns"]).len(), 2);
}

#[test]
fn killed_at_any_moment_it_goes_on_and_counts_nothing_twice() {
    const RUNS: usize = 14;
    let place = place("campaign-killed");
    let runs = RUNS.to_string();
    let arguments = ["campaign", "--spec", "well.yaml", "--runs", &runs, "--seed", "1"];
    let mut killed = 0;
    loop {
        let mut command = place.command(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut patience = 35 + 20 * killed;
        let ended = loop {
            match child.try_wait().expect("it is ours") {
                Some(status) => break Some(status),
                None if patience == 0 => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
            patience -= 1;
        };
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(0));
            break;
        }
        child.kill().expect("it lives");
        child.wait().expect("it ends");
        killed += 1;
        assert!(killed < 60, "it never gets to its end");
    }
    assert!(killed > 1, "it was killed on the way");
    let campaigns = ask(&place, &["campaigns"]);
    assert_eq!(campaigns.len(), 1, "each part went on with the same: {campaigns:?}");
    assert_eq!(campaigns[0][5], runs, "{campaigns:?}");
    let numbers: BTreeSet<String> =
        ask(&place, &["slowest", "--lines", "1000"]).into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(numbers, (0..RUNS).map(|number| number.to_string()).collect());
    // The same again is another campaign, since this one came to its end.
    ends(
        &place.fuzz(&["campaign", "--spec", "well.yaml", "--runs", "1", "--seed", "1"]),
        0,
        &["campaign 2: guided"],
    );
}

#[test]
fn parts_share_no_run_and_two_campaigns_are_compared() {
    let place = place("campaign-parts");
    let common = ["campaign", "--mode", "random", "--seed", "5", "--runs", "3", "--spec"];
    for shard in ["1/2", "2/2"] {
        ends(&place.fuzz(&[&common[..], &["well.yaml", "--shard", shard]].concat()), 0, &["3 passed"]);
    }
    let runs = ask(&place, &["slowest", "--lines", "100"]);
    let numbers: BTreeSet<&String> = runs.iter().map(|row| &row[1]).collect();
    assert_eq!(numbers.len(), 6, "{runs:?}");
    let said = place.fuzz(&["results", "--compare", "1", "2"]);
    ends(&said, 4, &["0 runs of the same timelines", "mode `random`"]);
    ends(
        &place.fuzz(&[&common[..], &["well.yaml", "--shard", "1/2", "--fresh"]].concat()),
        0,
        &["campaign 3"],
    );
    let said = place.fuzz(&["results", "--compare", "1", "3"]);
    ends(&said, 0, &["3 runs of the same timelines, 3 with the same verdict", "mean latency, us"]);
    for question in ["failures", "flakiest", "failover", "rare"] {
        ask(&place, &[question, "--since", "1d"]);
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let place = place("campaign-refused");
    ends(&place.fuzz(&["campaign", "--seed", "1"]), 2, &["--budget"]);
    ends(&place.fuzz(&["campaign", "--runs", "1", "--shard", "3/2"]), 2, &["2/4"]);
    ends(&place.fuzz(&["campaign", "--runs", "1", "--quota", "much"]), 2, &["500MB"]);
    ends(&place.fuzz(&["campaign", "--runs", "1", "--spec", "none.yaml"]), 2, &["none.yaml"]);
    ends(&place.fuzz(&["results"]), 2, &["there are no results", "fuzz campaign"]);
    place.write(
        "text.db",
        "this is no database, though it is long enough to look like something that was kept",
    );
    ends(&place.fuzz(&["results", "--results", "text.db"]), 3, &["text.db", "not a database"]);
    assert!(files(&place, "runs", "").is_empty(), "nothing ran");
}

#[test]
fn servers_are_compared_seed_by_seed_and_the_first_that_fails_is_found() {
    let servers = servers::installed();
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))) || servers.is_empty() {
        println!("skipped: no server runs in virtual time here");
        return;
    }
    let place = Place::new("campaign-servers");
    let name = |server: &PathBuf| server.to_string_lossy().into_owned();
    // The same one twice differs in nothing.
    let one = name(&servers[0]);
    let said = place.fuzz(&[
        "diff",
        "--server",
        &one,
        "--server",
        &one,
        "--seeds",
        "1",
        "--shards",
        "3",
        "--replicas",
        "1",
    ]);
    ends(&said, 0, &["0 of 1 seeds differ"]);
    ends(&place.fuzz(&["diff", "--server", &one]), 2, &["twice or more"]);
    let redis = servers.iter().find(|server| server.ends_with("redis-server")).map(name);
    let valkey = servers.iter().find(|server| server.ends_with("valkey-server")).map(name);
    let (Some(redis), Some(valkey)) = (redis, valkey) else { return };
    let repro = concat!(env!("CARGO_MANIFEST_DIR"), "/repro/slot_coverage-redis-7.0.15-import.yaml");
    let list = format!("{valkey},{valkey},{redis}");
    ends(
        &place.fuzz(&["bisect", repro, "--servers", &list]),
        1,
        &["the first that fails is", "redis-server", "passes"],
    );
    let list = format!("{redis},{valkey}");
    ends(&place.fuzz(&["bisect", repro, "--servers", &list]), 0, &["it passes on the last one"]);
}
