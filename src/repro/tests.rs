//! What is written reads back, and what a stranger may have put in is refused.

use super::{Cut, Facts, Pins, Rate, ReadError, Repro, read};
use crate::check::Verdict;
use crate::entropy::Seed;
use crate::env::Image;
use crate::env::PROCESSES;
use crate::timeline::generate;
use crate::yaml::document::Problems;

const SCENARIO: &str = "fuzz: 1
name: a name
cluster: {shards: 3, replicas: 1, settings: {cluster-node-timeout: 1000}}
timeline:
  - {at: 2s, do: {kill: {node: shard-1-primary}}, for: 3s}
  - {with: e1, delay: 100ms, do: {failover: {shard: 2}}}
checks: [slot_coverage, {convergence_time: {within: 20s}}]
";

fn repro() -> Repro {
    let mut problems = Problems::default();
    let spec = crate::spec::parse::parse(SCENARIO.as_bytes(), &mut problems)
        .unwrap_or_else(|| panic!("{problems:#?}"));
    let timeline = generate(&spec, Seed(1009), "valkey", &PROCESSES).expect("it offers all of it");
    let facts = Facts {
        verdict: Verdict::Fail,
        checks: vec!["slot_coverage".into(), "topology".into()],
        findings: vec!["slot_coverage: \"a\": b # c".into()],
        timeline_hash: timeline.hash().to_hex().to_string(),
        schedule_hash: "0123".into(),
        history_hash: "4567".into(),
        trace_hash: Some("89ab".into()),
        image: Some(Image { server: "00ff".into(), libc: "1e10".into(), kernel: "6.1.0-18-amd64".into() }),
        schedule: vec!["e1 applied node-2".into(), "e2 failed node-4".into()],
        tool: "0.1.0".into(),
        server: "valkey-server 8.0.1".into(),
        drawn: Some(Pins { shards: Some(3), replicas: None }),
        shrunk: Some(Cut {
            from: "00ff".into(),
            events: 60,
            nodes: 6,
            runs: 143,
            minimal: true,
            before: None,
            again: Some(Rate { failed: 19, runs: 20 }),
            token: Some("67890:1f3a.2@1".into()),
        }),
    };
    Repro { timeline, facts }
}

fn refused(text: &str) -> (ReadError, String) {
    let mut problems = Problems::default();
    let error = read(text.as_bytes(), &mut problems).expect_err("it is not to be read");
    (error, problems.list.iter().map(|problem| format!("{}\n", problem.message)).collect())
}

#[test]
fn a_repro_reads_back_and_a_scenario_too() {
    let repro = repro();
    let text = repro.to_yaml();
    let mut problems = Problems::default();
    let found =
        read(text.as_bytes(), &mut problems).unwrap_or_else(|error| panic!("{error}\n{problems:#?}\n{text}"));
    assert_eq!(found, repro);
    assert_eq!(found.to_yaml(), text);
    assert!(crate::spec::parse::parse(text.as_bytes(), &mut problems).is_some(), "`fuzz run` reads it");
    assert_eq!(repro.file_name(), "slot_coverage-valkey-1009.yaml");
}

#[test]
fn what_is_written_is_short_enough_to_be_read() {
    let mut repro = repro();
    repro.facts.findings = (0..5000).map(|n| format!("slot_coverage: {n} {}", "é, ".repeat(9000))).collect();
    repro.facts.schedule = (0..2000).map(|n| format!("e{n} applied node-1 node-2")).collect();
    let text = repro.to_yaml();
    let mut problems = Problems::default();
    let found = read(text.as_bytes(), &mut problems).unwrap_or_else(|error| panic!("{error}\n{problems:#?}"));
    assert_eq!(found.facts.schedule, repro.facts.schedule);
    assert_eq!(found.to_yaml(), text);
    assert!(text.contains("slot_coverage: 0 é") && text.contains(" ...\""), "{}", &text[..300]);
}

#[test]
fn a_changed_timeline_is_noticed() {
    let text = repro().to_yaml().replace("at: 2s", "at: 3s");
    assert!(matches!(refused(&text).0, ReadError::Changed { .. }));
}

#[test]
fn strangers_name_no_file_and_no_module() {
    for (from, to, message) in [
        ("cluster-node-timeout: 1000", "loadmodule: evil", "`loadmodule` is set by the run itself"),
        ("cluster-node-timeout: 1000", "cluster-config-file: x", "`cluster-config-file` is set by the run"),
        ("cluster-node-timeout: 1000", "dbfilename: \"../../x\"", "it names a path"),
        ("  checks: [slot_coverage", "  checks: [no_such_check", "there is no check `no_such_check`"),
        ("  format: 1", "  format: 2", "format 1, not 2"),
        ("  tool: ", "  command: rm\n  tool: ", "unknown key `command`"),
        ("repro:", "repor:", "unknown key `repor`"),
        ("seed: 1009\n", "", "names its `seed`"),
        ("environment: processes", "environment: nowhere", "nowhere"),
    ] {
        let (error, told) = refused(&repro().to_yaml().replace(from, to));
        assert!(told.contains(message), "{from} -> {to}: {error}: {told}");
    }
}

#[test]
fn what_is_no_repro_says_so() {
    assert!(refused(SCENARIO).1.contains("this is no repro file"));
    assert!(refused("[]").1.contains("a repro is a mapping"));
    assert!(matches!(refused("").0, ReadError::Problems));
}
