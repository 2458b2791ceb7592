//! What a person reads of three hand-made runs: one that passed, one that failed, one that was killed.
//! `SEEDFAULT_BLESS=1 cargo test` renews the expected files; read the difference before you commit it.

use super::live::{Live, Log};
use super::story::Story;
use super::text::Detail;
use crate::check::{Judgement, Verdict};
use crate::env::{Exit, NodeId};
use crate::run::event::{
    ClusterState, FORMAT, Finished, NodeState, Phase, Plan, PlannedEvent, RunEvent, Workload,
};
use crate::run::record::{Applied, Life, LogLine, Status};
use crate::time::{Micros, Millis};

fn expected(name: &str, found: &str) {
    let path = format!("{}/src/report/expected/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("SEEDFAULT_BLESS").is_some() {
        std::fs::write(&path, found).expect("the source folder can be written");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == found, "{name} differs; SEEDFAULT_BLESS=1 renews it. Found:\n{found}");
}

fn planned(id: &str, action: &str, kind: &str, fields: &str, start: &str) -> PlannedEvent {
    PlannedEvent {
        id: id.into(),
        start: start.into(),
        action: action.into(),
        kind: kind.into(),
        fields: fields.into(),
        lasts: (kind == "fault").then(|| "4s".into()),
    }
}

fn applied(event: &str, action: &str, nodes: &[u16], from_ms: u64, to_ms: u64, status: Status) -> RunEvent {
    RunEvent::Applied {
        at_us: to_ms as i64 * 1000 - 2_100_000,
        applied: Box::new(Applied {
            event: event.into(),
            action: action.into(),
            resolved: nodes.iter().map(|node| NodeId(*node)).collect(),
            detail: String::new(),
            started: Micros(from_ms * 1000),
            ended: Some(Micros(to_ms * 1000)),
            status,
            steps: vec![(Micros((from_ms + 10) * 1000), "a step".into())],
            slots: Vec::new(),
            slots_left_open: Vec::new(),
            links: Vec::new(),
        }),
    }
}

/// The beginning that all three share.
fn opening() -> Vec<RunEvent> {
    vec![
        RunEvent::Started {
            format: FORMAT,
            version: "0.1.0".into(),
            seed: 1009,
            name: Some("takeover <&> cut".into()),
            target: "valkey".into(),
            environment: "processes".into(),
            timeline_hash: "00112233445566778899".into(),
            shards: 3,
            replicas: 1,
            run: "runs/20260314T091507Z-1009".into(),
            started_at: "2026-03-14T09:15:07Z".into(),
            server: "valkey-server 8.0.1".into(),
        },
        RunEvent::Plan(Box::new(Plan {
            generator: "chacha8-blake3/1".into(),
            catalogue: 1,
            profile: "processes/1".into(),
            length_ms: 20_000,
            load: "6 clients, 300/s, mixed, 500 keys of each kind".into(),
            events: vec![
                planned("takeover", "failover", "operation", "shard: 0", "at 2s"),
                planned(
                    "e2",
                    "kill",
                    "fault",
                    "node: shard-2-primary, signal: TERM",
                    "after takeover + 300ms",
                ),
                planned("e3", "pause", "fault", "node: node-3", "when any logs \"won\""),
            ],
            checks: vec!["slot_coverage".into(), "acknowledged_loss".into(), "quorum".into()],
            bugs: Vec::new(),
        })),
        RunEvent::Phase { at_us: -2_100_000, phase: Phase::Boot },
        RunEvent::Phase { at_us: 0, phase: Phase::Safety },
        RunEvent::Progress {
            at_us: 1_000_000,
            operations: 300,
            ok: 300,
            nodes_up: 6,
            nodes: 6,
            events_applied: 0,
            events: 3,
            latency_p50_us: None,
            latency_p99_us: None,
        },
        applied("takeover", "failover", &[0, 1], 4_100, 6_000, Status::Applied),
        RunEvent::Progress {
            at_us: 2_000_000,
            operations: 600,
            ok: 590,
            nodes_up: 5,
            nodes: 6,
            events_applied: 1,
            events: 3,
            latency_p50_us: None,
            latency_p99_us: None,
        },
    ]
}

fn finished(verdict: Verdict, exit_code: i32, findings: &[&str]) -> RunEvent {
    RunEvent::Finished(Box::new(Finished {
        verdict,
        seed: 1009,
        timeline_hash: "00112233445566778899".into(),
        schedule_hash: "aabb".into(),
        history_hash: "ccdd".into(),
        trace_hash: None,
        image: None,
        network: None,
        virtual_ms: 33_120,
        wall_ms: 38_640,
        run: "runs/20260314T091507Z-1009".into(),
        findings: findings.iter().map(ToString::to_string).collect(),
        exit_code,
        reproduce: "fuzz replay repro/slot_coverage-valkey-1009.yaml".into(),
        repro: (exit_code == 1).then(|| "repro/slot_coverage-valkey-1009.yaml".into()),
        error: None,
    }))
}

fn workload() -> RunEvent {
    RunEvent::Workload(Workload {
        operations: 20_118,
        ok: 19_957,
        fail: 100,
        unknown: 61,
        skipped: 4,
        latency_mean_us: 912,
        latency_p99_us: 4_400,
        latency_max_us: 1_000_100,
        span_ms: 38_600,
    })
}

fn judged(check: &str, verdict: Verdict, reason: &str, looked_at: &str) -> RunEvent {
    RunEvent::Judged { judgement: Judgement::new(check, verdict, reason).looked_at(looked_at) }
}

fn passing() -> Vec<RunEvent> {
    let mut events = opening();
    events.push(applied("e2", "kill", &[4], 6_300, 10_300, Status::Applied));
    events.push(applied("e3", "pause", &[3], 7_000, 8_500, Status::Applied));
    events.push(workload());
    events.push(judged(
        "acknowledged_loss",
        Verdict::Pass,
        "every acknowledged write is there",
        "9,100 writes",
    ));
    events.push(judged("slot_coverage", Verdict::Pass, "all 16384 slots assigned", "16384 slots on 6 nodes"));
    events.push(judged("quorum", Verdict::NotOwed, "no minority was cut off", "0 probes"));
    events.push(RunEvent::Marks { marks: [("election under load".to_string(), 2)].into() });
    events.push(finished(Verdict::Pass, 0, &[]));
    events
}

fn failing() -> Vec<RunEvent> {
    let mut events = opening();
    events.push(RunEvent::Stretched { at_us: 4_150_000, by: Millis(40), why: "the kill was late".into() });
    events.push(applied("e2", "kill", &[4], 6_300, 10_300, Status::Failed("no such process".into())));
    events.push(applied("e3", "pause", &[], 7_000, 7_000, Status::Skipped("its anchor never came".into())));
    events.push(RunEvent::Life {
        at_us: 7_000_000,
        life: Life {
            node: NodeId(5),
            incarnation: 1,
            started: Micros(100_000),
            ended: Some((Micros(9_100_000), Exit::Signal(11))),
            signalled: Vec::new(),
            paused: Vec::new(),
            stale: None,
        },
    });
    events.push(RunEvent::Log {
        at_us: 7_050_000,
        line: LogLine {
            at: Micros(9_150_000),
            node: NodeId(3),
            incarnation: 1,
            line: "Failover election won: I'm the new master.".into(),
        },
    });
    let state = |node, role: &str, shard, state: &str, why: &str| NodeState {
        node: NodeId(node),
        role: role.into(),
        shard: Some(shard),
        state: state.into(),
        why: why.into(),
    };
    events.push(workload());
    events.push(RunEvent::Cluster(Box::new(ClusterState {
        nodes: vec![
            state(0, "replica", 0, "CONNECTED", ""),
            state(1, "primary", 0, "CONNECTED", ""),
            state(4, "primary", 2, "FAIL", "ended by signal 15, by e2"),
            state(5, "replica", 2, "DISCONNECTED", "ended by signal 11, by itself"),
        ],
        slots_unowned: vec![(10_922, 16_383)],
        slots_moving: vec!["slot 5: node-1 gives it to node-3".into()],
        settled_at_us: None,
    })));
    let mut loss = Judgement::new("acknowledged_loss", Verdict::Unknown, "shard 2 cannot be read");
    loss.classes = [("suffix of a killed primary's stream".to_string(), 3)].into();
    events.push(RunEvent::Judged { judgement: loss });
    events.push(RunEvent::Judged {
        judgement: Judgement::new(
            "slot_coverage",
            Verdict::Fail,
            "Slots 10922-16383 unassigned <after> failover",
        )
        .looked_at("16384 slots on 4 nodes")
        .with_evidence(vec!["nobody claims 10922-16383".into(), "node-5 \"may\" & did not".into()]),
    });
    events.push(finished(
        Verdict::Fail,
        1,
        &["slot_coverage: Slots 10922-16383 unassigned <after> failover"],
    ));
    events
}

fn killed() -> Vec<RunEvent> {
    opening()
}

fn claims(check: &str, _target: &str) -> Option<(&'static str, &'static str)> {
    (check == "slot_coverage").then_some(("every slot is served", "cluster-spec"))
}

#[test]
fn a_passed_run_reads_well() {
    expected("passed.txt", &super::text::report(&Story::of(&passing()), &claims, Detail::Lines));
}

#[test]
fn a_failed_run_reads_well_and_ends_with_the_command() {
    let text = super::text::report(&Story::of(&failing()), &claims, Detail::Full);
    assert_eq!(text.lines().last(), Some("fuzz replay repro/slot_coverage-valkey-1009.yaml"));
    expected("failed.txt", &text);
}

#[test]
fn a_killed_run_is_told_as_far_as_it_got_and_never_as_passed() {
    let text = super::text::report(&Story::of(&killed()), &claims, Detail::Lines);
    assert!(text.contains("Status: UNKNOWN"));
    assert!(!text.contains("✓ Slot Coverage"));
    expected("killed.txt", &text);
}

#[test]
fn the_older_forms_sections_stand_in_their_order() {
    let text = super::text::report(&Story::of(&failing()), &claims, Detail::Full);
    let sections = [
        "=== seedfault Test Results ===",
        "Cluster Configuration:",
        "Operations Executed:",
        "Validation Results:",
        "Workload Metrics:",
        "=== Test Failure Report ===",
        "Failure Details:",
        "Cluster State at Failure:",
        "Error Log:",
        "Reproduction Command:",
    ];
    let places: Vec<usize> = sections
        .iter()
        .map(|section| text.lines().position(|line| line == *section).unwrap_or_else(|| panic!("{section}")))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn junit_counts_failures_and_what_was_not_decided() {
    let (failing, passing) = (Story::of(&failing()), Story::of(&passing()));
    let xml =
        super::junit::xml(&[&failing, &passing], &[], &|_| vec!["1. 0.500 s: node-0 <was> killed.".into()]);
    assert!(xml.contains("tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"2\""), "{xml}");
    expected("junit.xml", &xml);
}

#[test]
fn the_result_file_has_the_newer_tools_keys() {
    let story = Story::of(&failing());
    let value = super::result::results(&[&story]);
    assert_eq!(value["results"][0]["final_validation"]["failed_checks"][0], "slot_coverage");
    assert_eq!(value["results"][0]["final_validation"]["checks"]["data_consistency"]["success"], false);
    assert!(value["results"][0]["final_validation"]["checks"]["topology"].is_null(), "it was off");
    expected("result.json", &format!("{}\n", serde_json::to_string_pretty(&value).expect("plain data")));
}

#[test]
fn progress_is_one_line_and_the_log_has_a_line_per_turn_of_events() {
    let (mut story, mut live, mut log) = (Story::default(), Live::default(), String::new());
    let mut plain = Log::new(true);
    for event in failing() {
        story.hear(&event);
        let progress = live.progress(&story, 100);
        assert!(progress.chars().count() < 100);
        for line in plain.lines(&event, &story) {
            log += &format!("{line}\n");
        }
        if matches!(event, RunEvent::Progress { .. }) {
            log += &format!("    {progress}\n");
        }
    }
    expected("log.txt", &log);
}

#[test]
fn a_log_in_brief_tells_what_goes_as_planned_a_second_at_a_time() {
    let (mut story, mut plain, mut log) = (Story::default(), Log::default(), Vec::new());
    let done = |id: &str, action: &str, at: u64| applied(id, action, &[1], at, at + 100, Status::Applied);
    let mut events = opening();
    events.truncate(2);
    events.extend([
        RunEvent::Phase { at_us: -2_100_000, phase: Phase::Boot },
        RunEvent::Phase { at_us: 0, phase: Phase::Safety },
        done("e1", "reshard", 3_000),
        done("e2", "reshard", 3_100),
        RunEvent::Role { at_us: 1_200_000, node: NodeId(1), role: "primary".into(), shard: Some(0) },
        applied("e3", "drain", &[1], 3_500, 3_600, Status::Failed("no".into())),
        done("e4", "drain", 3_700),
        done("e5", "drain", 4_900),
        finished(Verdict::Pass, 0, &[]),
    ]);
    for event in &events {
        story.hear(event);
        log.extend(plain.lines(event, &story));
    }
    let expected = [
        "[+0.000s] phase safety",
        "[+1.000s] e1 Reshard on node-1 ended; e2 Reshard on node-1 ended; node-1 is primary of shard 0",
        "[+1.500s] e3 Drain on node-1 failed: no",
        "[+1.700s] e4 Drain on node-1 ended",
        "[+2.900s] e5 Drain on node-1 ended",
    ];
    assert_eq!(log[1..], expected);
}

#[test]
fn every_event_survives_its_line_of_json() {
    for event in failing().into_iter().chain(passing()) {
        let line = serde_json::to_string(&event).expect("plain data");
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<RunEvent>(&line).expect("what was written"), event);
    }
}

#[test]
fn two_checks_under_one_key_of_the_newer_tool_keep_their_own_names() {
    let mut story = Story::of(&failing());
    story.judgements = vec![
        Judgement::new("acknowledged_loss", Verdict::Fail, "2 writes are gone"),
        Judgement::new("linearizability", Verdict::Fail, "no order explains key 3"),
        Judgement::new("topology", Verdict::Fail, "a replica is missing"),
    ];
    let value = super::result::results(&[&story]);
    let checks = &value["results"][0]["final_validation"]["checks"];
    let data = &checks["data_consistency"];
    assert_eq!(
        data["error"],
        "acknowledged_loss: 2 writes are gone; linearizability: no order explains key 3"
    );
    assert_eq!(data["by_check"]["acknowledged_loss"]["error"], "2 writes are gone");
    assert_eq!(data["by_check"]["linearizability"]["error"], "no order explains key 3");
    assert_eq!(checks["topology"]["error"], "a replica is missing");
    assert!(checks["topology"]["by_check"].is_null(), "there is nothing to tell apart");
}
