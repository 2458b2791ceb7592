//! What our own events did to a real cluster is put right by us, and never held against the server: each
//! scenario in `tests/heals/` leaves something behind that only an administrator can mend, and passes.
//!
//! Each runs on every server that is installed, in real time and in virtual time, unless it names its environment
//! itself. Without any they are skipped by name, and fail where `SEEDFAULT_REQUIRE_SERVERS=1` says that servers must
//! be there.

mod servers;

use servers::{Ran, left_over, places, run, side_by_side};
use std::path::{Path, PathBuf};

/// Most of a run is waiting.
const AT_ONCE: usize = 4;

/// The scenario, and what each event has to come to: its id and `applied`, `skipped` or `failed`.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("stranger-followed", &[("gone", "applied"), ("wiped", "applied")]),
    ("stranger-dies", &[("again", "applied")]),
    ("older-than-promotion", &[("over", "applied"), ("older", "applied")]),
    ("older-epoch", &[("over", "applied"), ("back", "applied"), ("older", "applied")]),
    ("older-than-wiped", &[("wiped", "applied"), ("older", "skipped"), ("more", "applied")]),
    ("stranger-alone", &[("wiped", "applied")]),
    ("foreign", &[("replica", "applied"), ("primary", "applied")]),
    ("two-ways", &[("to-1", "applied"), ("fro-1", "applied"), ("to-6", "applied"), ("fro-6", "applied")]),
    ("heard-late", &[("pong", "applied"), ("ping", "applied"), ("to", "applied"), ("fro", "applied")]),
    ("idle-primary", &[("some", "applied"), ("older", "applied")]),
    ("on-its-way", &[("first", "applied"), ("second", "applied")]),
    ("told-later", &[("stop", "applied"), ("fewer", "applied")]),
    (
        "left-for-good",
        &[("back", "applied"), ("fewer", "applied"), ("dies", "applied"), ("leaves", "applied")],
    ),
];

/// What is wrong with a run.
fn amiss(ran: &Ran, events: &[(&str, &str)]) -> Vec<String> {
    let mut amiss = Vec::new();
    if ran.code != 0 || ran.verdict() != "pass" {
        amiss.push(format!("exit code {}, verdict {}: {:?}", ran.code, ran.verdict(), ran.findings()));
    }
    for (event, status) in events {
        let applied = ran.applied().find(|applied| applied["event"] == *event);
        let came_to = applied.map(|applied| match &applied["status"] {
            serde_json::Value::String(word) => word.clone(),
            other => other.as_object().and_then(|map| map.keys().next().cloned()).unwrap_or_default(),
        });
        if came_to.as_deref() != Some(status) {
            amiss.push(format!("{event} came to {came_to:?}, not {status}"));
        }
    }
    let left = left_over(&ran.out);
    if !left.is_empty() {
        amiss.push(format!("left behind: {left:?}"));
    }
    amiss
}

#[test]
fn what_our_own_events_left_behind_is_mended_and_never_fails_the_server() {
    let places = places();
    if places.is_empty() {
        for (scenario, _) in CASES {
            println!("skipped: tests/heals/{scenario}.yaml: no server is on PATH");
        }
        return;
    }
    let file =
        |scenario: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/heals/{scenario}.yaml"));
    let mut jobs: Vec<(&Case, &(PathBuf, &str))> =
        CASES.iter().flat_map(|case| places.iter().map(move |place| (case, place))).collect();
    jobs.retain(|((scenario, _), (_, environment))| {
        let text = std::fs::read_to_string(file(scenario)).expect("the scenario is there");
        let named = text.lines().find_map(|line| line.strip_prefix("environment: "));
        named.is_none_or(|named| named == *environment)
    });
    let runs = side_by_side(&jobs, AT_ONCE, |((scenario, _), (server, environment))| {
        let file = file(scenario);
        let arguments = ["run", &file.to_string_lossy(), "--seed", "1", "--env", environment];
        run(&format!("heals-{scenario}-{environment}"), &arguments, server)
    });
    let mut failed = Vec::new();
    for (((scenario, events), (server, environment)), ran) in jobs.iter().zip(&runs) {
        let amiss = amiss(ran, events);
        if !amiss.is_empty() {
            failed.push(format!(
                "{scenario} on {} in {environment}: {}\n{}",
                server.display(),
                amiss.join("\n  "),
                ran.story()
            ));
        }
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), jobs.len(), failed.join("\n"));
}
