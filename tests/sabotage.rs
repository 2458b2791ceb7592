//! The checks, tested by harm: each sabotage behind a real cluster's back turns the verdict to fail, the check
//! that is named for it says so, and a healthy run stays silent. The scenarios are in `tests/sabotage/`.
//!
//! Every scenario runs on each server that is installed, in real time and in virtual time. Without any it is skipped by name, and fails where
//! `SEEDFAULT_REQUIRE_SERVERS=1` says that servers must be there.

mod servers;

use servers::{Ran, places, run, side_by_side};
use std::path::{Path, PathBuf};

/// Most of a run is waiting: for time-outs, and for the bound within which the cluster must settle.
const AT_ONCE: usize = 6;

type Claim = (&'static str, &'static str, Option<&'static str>);

/// What is shown, the scenario, and the check that must speak; where none is named, all must be silent.
const CLAIMS: &[Claim] = &[
    // The longest first: its promotion is waited for until it is overdue.
    ("a promotion that is owed and forbidden is missed", "forbid-failover", Some("slot_coverage")),
    ("a slot of two owners is seen", "claim-slot", Some("slot_coverage")),
    ("an unassigned slot is not covered", "unassign-slot", Some("slot_coverage")),
    ("a link kept down is no sync", "break-link", Some("replica_sync")),
    ("a crash at promotion is a crash", "crash-at-promotion", Some("crash")),
    ("deleted keys are an acknowledged loss", "delete-keys", Some("acknowledged_loss")),
    ("an emptied replica is inconsistent data", "empty-replica", Some("data_consistency")),
    ("a healthy cluster passes", "healthy", None),
];

/// Why a run does not show what it should; `None` if it does.
fn amiss(ran: &Ran, check: Option<&str>) -> Option<String> {
    let findings = ran.findings();
    match check {
        Some(_) if ran.verdict() != "fail" => Some(format!("the verdict is {}", ran.verdict())),
        Some(check) if !findings.iter().any(|finding| finding.starts_with(&format!("{check}: "))) => {
            Some(format!("{check} did not speak, but {findings:?}"))
        }
        None if ran.verdict() != "pass" || !findings.is_empty() => {
            Some(format!("the verdict is {} with {findings:?}", ran.verdict()))
        }
        _ => None,
    }
}

#[test]
fn every_sabotage_is_found_by_the_check_that_is_named_for_it() {
    let places = places();
    if places.is_empty() {
        for (claim, scenario, _) in CLAIMS {
            println!("skipped: {claim} (tests/sabotage/{scenario}.yaml): no server is on PATH");
        }
        println!("skipped: {} sabotages, because none of {:?} is on PATH", CLAIMS.len(), servers::SERVERS);
        return;
    }
    let jobs: Vec<(&Claim, &(PathBuf, &str))> =
        CLAIMS.iter().flat_map(|claim| places.iter().map(move |place| (claim, place))).collect();
    let attempt = |((_, scenario, _), (server, environment)): &(&Claim, &(PathBuf, &str))| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/sabotage/{scenario}.yaml"));
        let file = file.to_string_lossy();
        let arguments = ["run", &file, "--seed", "1", "--env", environment];
        run(&format!("sabotage-{scenario}-{environment}"), &arguments, server)
    };
    let runs = side_by_side(&jobs, AT_ONCE, attempt);
    let mut failed = Vec::new();
    for (job, mut ran) in jobs.iter().zip(runs) {
        let ((claim, scenario, check), (server, environment)) = job;
        let place = format!("{claim} ({scenario} on {} in {environment})", server.display());
        // In real time a message of before may undo it, while several runs are under way: it has a second attempt, alone.
        if let Some(why) = amiss(&ran, *check).filter(|_| *environment != "exact") {
            println!("again: {place}: {why}");
            ran = attempt(job);
        }
        match amiss(&ran, *check) {
            None => println!("ok: {place}"),
            Some(why) => failed.push(format!("{place}: {why}\n{}", ran.story())),
        }
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), jobs.len(), failed.join("\n"));
}
