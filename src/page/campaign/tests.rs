use super::*;
use crate::page::testing::tags;

/// Three findings over an hour, of which one is new; two campaigns before.
fn night(text: &str) -> Campaign {
    let run = |number: u64| Run {
        number,
        started: 1_773_439_200 + number as i64 * 30,
        origin: if number.is_multiple_of(2) { "seed".into() } else { format!("a{text}: later") },
        seed: number.to_string(),
        shards: 3,
        replicas: 1,
        events: 4,
        verdict: match number % 10 {
            3 => Verdict::Fail,
            7 => Verdict::Unknown,
            _ => Verdict::Pass,
        },
        why: if number % 10 == 3 { format!("it broke: {text}") } else { String::new() },
        finding: (number % 10 == 3).then_some(1 + (number as i64 / 10) % 3),
        virtual_ms: 20_000,
        wall_ms: 25_000 + number * 10,
        latency_p99_us: 900 + number,
        failover_ms: number.is_multiple_of(4).then_some(2_000 + number),
        first: 600 / (number + 1),
        ..Run::default()
    };
    let finding = |id: i64, new: bool| Finding {
        id,
        new,
        check: format!("topology{text}"),
        reason: format!("13 things out of place: {text}"),
        server: format!("Redis server v=7.0.15 {text}"),
        before: Some(12),
        small: (id != 3).then(|| Small {
            events: 2,
            nodes: 6,
            shape: format!("kill, reshard{text}"),
            failed: 9,
            replays: 10,
            minimal: true,
            token: Some(format!("7:a{text}.1@7")),
        }),
        repro: format!("repro/a{text}.yaml"),
        replay: format!("fuzz replay repro/a{text}.yaml"),
        links: vec![("repro".into(), "repro/a.yaml".into())],
        upstream: (id == 2).then(|| format!("redis/redis#1 {text}")),
    };
    let before = |id: i64| Before {
        id,
        server: format!("Redis server {text}"),
        build: "other".into(),
        spent_ms: 3_600_000,
        features: 500,
        findings: 2,
        runs: (0..90).map(run).collect(),
    };
    Campaign {
        id: 7,
        is_over: true,
        spent_ms: 3_625_000,
        seed: "9".into(),
        mode: "guided".into(),
        target: "valkey".into(),
        environment: "exact".into(),
        server: format!("Redis server v=7.0.15 {text}"),
        build: "0fc1e0bbd6ecb1df".into(),
        tool: "0.1.0".into(),
        command: Some(format!("fuzz campaign --budget 1h --spec '{text}'")),
        runs: (0..120).map(run).collect(),
        findings: vec![finding(1, true), finding(2, false), finding(3, false)],
        features: BTreeMap::from([("log".into(), 800), ("node".into(), 40)]),
        kept: 12,
        marks: Some(vec![
            Mark { name: "promotion".into(), line: "a replica won an election".into(), runs: 70 },
            Mark { name: "shard_down".into(), line: "a whole shard was down".into(), runs: 0 },
        ]),
        before: vec![before(6), before(5)],
        ..Campaign::default()
    }
}

#[test]
fn the_first_sentences_say_how_many_failures_there_are_and_which_are_new() {
    let page = page(&night(""));
    for part in [
        "120 runs found three distinct failures. One of them is new.",
        "The two known failures came back. One failure is not shrunk. One rare situation was never reached.",
        "13 March 2026, 22:00 to 22:59 UTC",
        "<b>9 of 10</b>",
        "60–98 %",
        "12 → <b>2</b>",
        "✕ never reached",
        "Hollow: campaign 6, 90 runs, on another build",
        "said once there are three campaigns",
    ] {
        assert!(page.contains(part), "no `{part}`");
    }
    let rows: Vec<usize> =
        ["data-is=\"new\"", "data-is=\"known\""].iter().filter_map(|state| page.find(state)).collect();
    assert!(rows.is_sorted(), "new ones first");
}

#[test]
fn the_same_campaign_gives_the_same_bytes_and_asks_for_nothing() {
    let page = page(&night("x"));
    assert_eq!(page, super::page(&night("x")));
    assert!(page.len() < 200_000, "{} bytes", page.len());
    for word in ["http://", "https://", "src=", "@import", "url(h"] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn nothing_that_a_server_said_becomes_markup() {
    let plain = tags(&page(&night("x")));
    for hostile in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "]]></style></script></svg><svg onload=alert(1)>",
        "\u{0}\u{1b}[2J\u{202e}\n\r\t",
        "&lt;script&gt;",
    ] {
        assert_eq!(tags(&page(&night(hostile))), plain, "{hostile:?}");
    }
    let page = page(&night("\u{1b}[2J\u{202e}"));
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'), "they are told by number");
}

#[test]
fn a_change_is_worse_only_when_it_is_outside_of_all_before() {
    let mut campaign = night("");
    campaign.before = (0..4).map(|id| Before { id, ..campaign.before[0].clone() }).collect();
    let page = page(&campaign);
    assert!(page.contains("= as before") && page.contains("✓ better"), "840 features after 500");
    assert!(page.contains("outside of all of the last 4"));
}

#[test]
fn an_empty_campaign_has_a_page_too() {
    let page = page(&Campaign { id: 1, target: "etcd".into(), ..Campaign::default() });
    for part in ["0 runs found no failure.", "No run is over.", "did not come to its end"] {
        assert!(page.contains(part), "no `{part}`");
    }
}
