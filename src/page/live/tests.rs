use super::*;
use crate::check::{Judgement, Verdict};
use crate::env::{Exit, NodeId};
use crate::page::testing::tags;
use crate::run::event::{Finished, Phase, Plan, PlannedEvent, RunEvent};
use crate::run::record::{Applied, Life, Status};
use crate::time::Micros;

/// A cluster of two shards that took 1.5 s to form; the primary of shard 0 is killed at 4 s, and it is 6 s.
fn events(text: &str) -> Vec<RunEvent> {
    let life = |node: u16, ended: Option<u64>| Life {
        node: NodeId(node),
        incarnation: 0,
        started: Micros(100_000),
        ended: ended.map(|at| (Micros(at), Exit::Signal(9))),
        signalled: Vec::new(),
        paused: Vec::new(),
        stale: None,
    };
    let role = |at_us: i64, node: u16, role: &str, shard: u16| RunEvent::Role {
        at_us,
        node: NodeId(node),
        role: role.into(),
        shard: Some(shard),
    };
    let progress = |at_us: i64, ok: u64| RunEvent::Progress {
        at_us,
        operations: ok + 40,
        ok,
        nodes_up: 3,
        nodes: 4,
        events_applied: 1,
        events: 2,
        latency_p50_us: Some(310),
        latency_p99_us: Some(2_400),
    };
    let applied = |ended: Option<u64>| RunEvent::Applied {
        at_us: 4_000_000,
        applied: Box::new(Applied {
            event: "e1".into(),
            action: "kill".into(),
            resolved: vec![NodeId(0)],
            detail: text.into(),
            started: Micros(5_500_000),
            ended: ended.map(Micros),
            status: Status::Applied,
            steps: Vec::new(),
            slots: Vec::new(),
            slots_left_open: Vec::new(),
            links: Vec::new(),
        }),
    };
    let planned = |id: &str| PlannedEvent {
        id: id.into(),
        start: format!("at 4s {text}"),
        action: "kill".into(),
        kind: "fault".into(),
        fields: text.into(),
        lasts: None,
    };
    let mut events = vec![
        RunEvent::Started {
            format: 1,
            version: "0.1.0".into(),
            seed: 7,
            name: Some(format!("name {text}")),
            target: "valkey".into(),
            environment: "exact".into(),
            timeline_hash: "0bd4".into(),
            shards: 2,
            replicas: 1,
            run: format!("runs/{text}"),
            started_at: "2026-03-14T09:15:07Z".into(),
            server: format!("Redis server {text}"),
        },
        RunEvent::Plan(Box::new(Plan {
            generator: String::new(),
            catalogue: 2,
            profile: String::new(),
            length_ms: 20_000,
            load: "none".into(),
            events: vec![planned("e1"), planned("e2")],
            checks: vec!["topology".into()],
            bugs: Vec::new(),
        })),
        RunEvent::Phase { at_us: 0, phase: Phase::Boot },
    ];
    events.extend((0..4).map(|node| RunEvent::Life { at_us: 100_000, life: life(node, None) }));
    for (node, is, shard) in [(0, "primary", 0), (1, "replica", 0), (2, "primary", 1), (3, "replica", 1)] {
        events.push(role(900_000, node, is, shard));
    }
    events.extend([
        RunEvent::Progress {
            at_us: 1_400_000,
            operations: 0,
            ok: 0,
            nodes_up: 4,
            nodes: 4,
            events_applied: 0,
            events: 2,
            latency_p50_us: None,
            latency_p99_us: None,
        },
        RunEvent::Note { at_us: 1_500_000, text: format!("formed {text}") },
        RunEvent::Phase { at_us: 0, phase: Phase::Safety },
        progress(1_000_000, 300),
        progress(2_000_000, 600),
        applied(None),
        RunEvent::Began { at_us: 5_000_000, began: "e2".into(), resolved: vec![NodeId(2)] },
        RunEvent::Life { at_us: 4_010_000, life: life(0, Some(5_510_000)) },
        progress(6_000_000, 900),
    ]);
    events
}

fn story(text: &str) -> Story {
    Story::of(&events(text))
}

fn shown(story: &Story) -> String {
    page(&run(story, &Now { wall_ms: 700, ..Now::default() }))
}

/// The attribute of the line that says how far it is.
fn now_at(page: &str) -> i64 {
    let at = page.find("id=\"now\" data-us=\"").expect("there is a line") + 18;
    page[at..].split('"').next().expect("a number").parse().expect("a number")
}

#[test]
fn it_says_what_is_missing_and_for_how_long() {
    let page = shown(&story(""));
    for part in [
        "Shard 0 has had no running primary for 1.990 s.",
        "▶ running: safety phase",
        "✕ down for 1.990 s",
        "node-0: primary of shard 0 (-1.400 to 4.010 s)",
        "1 of 2",
        "1 under way",
        "e2: kill node-2, from 5.000 s, under way",
        "median: 0.31 ms",
        "http-equiv=\"refresh\"",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
}

#[test]
fn the_line_goes_on_with_the_logical_clock() {
    let mut story = Story::default();
    let mut last = i64::MIN;
    for event in events("").iter().skip(14) {
        story.hear(event);
        let now = now_at(&shown(&story));
        assert!(now >= last || last > 0, "it goes back only when the cluster is healthy");
        last = now;
    }
    assert_eq!(last, 6_000_000);
}

#[test]
fn at_the_end_there_is_the_verdict_and_what_can_be_read() {
    let mut story = story("");
    story.hear(&RunEvent::Judged { judgement: Judgement::new("topology", Verdict::Fail, "two primaries") });
    story.hear(&RunEvent::Finished(Box::new(Finished {
        verdict: Verdict::Fail,
        seed: 7,
        timeline_hash: String::new(),
        schedule_hash: String::new(),
        history_hash: String::new(),
        trace_hash: None,
        image: None,
        network: None,
        virtual_ms: 30_000,
        wall_ms: 900,
        run: "runs/x".into(),
        findings: vec!["topology: two primaries".into()],
        exit_code: 1,
        reproduce: "fuzz --seed 7".into(),
        repro: None,
        error: None,
    })));
    let links = vec![("its report".to_string(), "report/0".to_string())];
    let page = page(&run(&story, &Now { wall_ms: 900, is_last: true, links }));
    for part in ["✕ failed", "<h1>topology: two primaries</h1>", "href=\"report/0\" data-keep=\"\"", "runs/x"]
    {
        assert!(page.contains(part), "no `{part}`");
    }
    assert!(!page.contains("EventSource") && !page.contains("http-equiv=\"refresh\""), "nothing follows");
}

#[test]
fn nothing_that_was_told_becomes_markup() {
    let campaign = |text: &str| {
        let told = Night {
            id: 1,
            target: text.into(),
            environment: text.into(),
            spent: "1 s".into(),
            ended: [3, 1, 0, 0],
            findings: vec![(1, text.into(), text.into())],
            failures: vec![(3, text.into())],
            ..Night::default()
        };
        tags(&page(&night(&told, &Now::default())))
    };
    let (plain, other) = (tags(&shown(&story("x"))), campaign("x"));
    for hostile in ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "]]></svg>\u{0}\u{1b}\n"]
    {
        assert_eq!(tags(&shown(&story(hostile))), plain, "{hostile:?}");
        assert_eq!(campaign(hostile), other, "{hostile:?}");
    }
    assert_eq!(shown(&story("x")), shown(&story("x")));
}

#[test]
fn there_is_a_page_before_anything_is_told() {
    assert!(shown(&Story::default()).contains("The run starts."));
}
